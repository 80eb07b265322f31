"""Workloads: what changed, who did it, and how far it has rolled out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.diff import LONGEST, difference
from ingest.facts import Fact
from ingest.normalise import Normaliser
from stream.errors import Rejected
from stream.records import DeploymentChange, ObjectRef, Operation

AT = 1_760_000_000.0
Golden = Callable[[str], Any]
Make = Callable[..., Fact]


class Story:
    """One workload, told fact by fact."""

    def __init__(self, resource: str, content: Any, fact: Make, **options: Any) -> None:
        self.resource = resource
        self.content = content
        self.normaliser = Normaliser(**options)
        self._fact = fact
        self._version = 1000

    def say(self, word: str = "MODIFIED", at: float = AT) -> DeploymentChange | None:
        self._version += 1
        self.content["metadata"]["resourceVersion"] = str(self._version)
        records = self.normaliser.feed(self._fact(self.resource, self.content, word, at=at))
        if not records:
            return None
        (record,) = records
        assert isinstance(record, DeploymentChange)
        return record

    @property
    def template(self) -> Any:
        return self.content["spec"]["template"]["spec"]["containers"][0]


@pytest.fixture
def story(golden: Golden, fact: Make) -> Story:
    told = Story("deployments", golden("deployment"), fact)
    first = told.say("LIST")
    assert first is not None
    assert first.type == "known"
    return told


def heard(change: DeploymentChange | None) -> DeploymentChange:
    assert change is not None
    return change


def test_what_was_there_is_known(golden: Golden, fact: Make) -> None:
    record = heard(Story("deployments", golden("deployment"), fact).say("LIST"))
    assert record.workload == ObjectRef("Deployment", "shop", "checkout")
    assert (record.type, record.operations, record.rollout) == ("known", (), "complete")
    assert (record.revision, record.change_cause) == ("4", "release v42")
    assert (record.replicas_desired, record.replicas_actual, record.replicas_max) == (3, 3, 4)
    assert record.images == (
        "registry.example/shop/checkout:v42",
        "registry.example/mesh/proxy:1.9",
    )
    assert (record.manager, record.manager_operation) == ("argocd-controller", "Apply")
    assert record.managed_at == AT - 802


def test_a_release_is_told_from_old_to_new(story: Story) -> None:
    """Seed 004 read the object again and called that the old one: its diff was always empty."""
    story.template["image"] = "registry.example/shop/checkout:v43"
    story.content["metadata"]["generation"] = 5
    story.content["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "5"
    story.content["metadata"]["annotations"]["kubernetes.io/change-cause"] = "release v43"
    record = heard(story.say())
    assert record.type == "modified"
    assert record.operations == (
        Operation(
            "replace",
            "/metadata/annotations/kubernetes.io~1change-cause",
            '"release v42"',
            '"release v43"',
        ),
        Operation(
            "replace",
            "/spec/template/spec/containers/app/image",
            '"registry.example/shop/checkout:v42"',
            '"registry.example/shop/checkout:v43"',
        ),
    )
    assert (record.revision, record.change_cause) == ("5", "release v43")
    assert record.rollout == "progressing"  # generation 5 was not observed yet


def test_noise_is_no_change(story: Story) -> None:
    metadata = story.content["metadata"]
    metadata["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = "{}"
    metadata["managedFields"].append({"manager": "x", "operation": "Update", "time": None})
    story.content["status"]["conditions"][0]["lastUpdateTime"] = "2025-10-09T08:53:00Z"
    assert story.say() is None


def test_status_alone_speaks_only_of_replicas_and_the_outcome(story: Story) -> None:
    story.content["status"]["readyReplicas"] = 2
    record = heard(story.say())
    assert (record.type, record.operations, record.replicas_ready) == ("modified", (), 2)
    assert record.rollout == "complete"  # a pod that fails later does not reopen a rollout
    assert story.say() is None


def test_a_missed_change_is_found_at_the_next_list(story: Story) -> None:
    story.content["spec"]["replicas"] = 5
    record = heard(story.say("LIST"))
    assert record.type == "modified"
    assert [op.path for op in record.operations] == ["/spec/replicas"]


def test_a_sidecar_put_first_does_not_blur_what_changed(story: Story) -> None:
    containers = story.content["spec"]["template"]["spec"]["containers"]
    containers.insert(0, {"name": "logger", "image": "logger:1"})
    record = heard(story.say())
    assert record.operations == (
        Operation(
            "add",
            "/spec/template/spec/containers/logger",
            new='{"image":"logger:1","name":"logger"}',
        ),
    )


def test_environment_is_named_and_secrets_stay_secret(story: Story) -> None:
    story.template["env"] = [
        {"name": "LOG_LEVEL", "value": "debug"},
        {"name": "API_TOKEN", "value": "n3w"},
        {"name": "DB_PASSWORD", "value": "hunter2"},
    ]
    record = heard(story.say())
    env = "/spec/template/spec/containers/app/env"
    assert record.operations == (
        Operation("replace", f"{env}/LOG_LEVEL/value", '"info"', '"debug"'),
        Operation("replace", f"{env}/API_TOKEN/value", '"<redacted>"', '"<redacted>"'),
        Operation(
            "add", f"{env}/DB_PASSWORD", new='{"name":"DB_PASSWORD","value":"<redacted>"}'
        ),
    )  # fmt: skip


def test_a_removed_container_does_not_give_its_secrets_away(story: Story) -> None:
    del story.content["spec"]["template"]["spec"]["containers"][0]
    (operation,) = heard(story.say()).operations
    assert operation.op == "remove"
    assert "s3cr3t" not in operation.old
    assert "<redacted>" in operation.old


def test_an_autoscaler_is_told_from_a_person(story: Story) -> None:
    """As kube-apiserver 1.36 writes it: an entry of the scale subresource has no time."""
    story.content["spec"]["replicas"] = 6
    scaler = {"manager": "kube-controller-manager", "operation": "Update", "subresource": "scale"}
    story.content["metadata"]["managedFields"].insert(0, scaler)
    record = heard(story.say())
    assert (record.manager, record.subresource) == ("kube-controller-manager", "scale")
    assert record.managed_at is None
    containers = story.content["spec"]["template"]["spec"]["containers"]
    containers[0]["image"] = "registry/checkout:v9"  # by somebody else, the entry stays
    assert heard(story.say()).manager != "kube-controller-manager"


def test_fields_may_be_left_out(golden: Golden, fact: Make) -> None:
    told = Story(
        "deployments", golden("deployment"), fact, ignore=frozenset({"/spec/replicas", "/metadata"})
    )
    told.say("LIST")
    told.content["spec"]["replicas"] = 9
    told.content["metadata"]["labels"]["x"] = "y"
    assert heard(told.say()).operations == ()  # still news: the desired replicas
    story = told.content["spec"]
    story["paused"] = True
    assert [op.path for op in heard(told.say()).operations] == ["/spec/paused"]


@pytest.mark.parametrize(
    ("spec", "status", "outcome"),
    [
        ({}, {}, "complete"),
        ({"paused": True}, {}, "paused"),
        ({}, {"observedGeneration": 3}, "progressing"),
        ({}, {"updatedReplicas": 1}, "progressing"),
        ({}, {"replicas": 4}, "progressing"),
        ({}, {"conditions": [{"type": "Progressing", "status": "False",
                              "reason": "ProgressDeadlineExceeded"}]}, "stuck"),
        ({}, {"conditions": None}, "complete"),
        ({}, {"conditions": None, "availableReplicas": 2}, "progressing"),
        ({"replicas": 0}, {"replicas": 0, "updatedReplicas": 0, "availableReplicas": 0,
                           "conditions": None}, "complete"),
    ],
)  # fmt: skip
def test_a_deployments_outcome(
    golden: Golden, fact: Make, spec: Any, status: Any, outcome: str
) -> None:
    deployment = golden("deployment")
    deployment["spec"] |= spec
    deployment["status"] |= status
    assert heard(Story("deployments", deployment, fact).say()).rollout == outcome


@pytest.mark.parametrize(
    ("spec", "status", "outcome"),
    [
        ({}, {}, "progressing"),
        ({}, {"currentRevision": "db-7b9d"}, "complete"),
        ({}, {"currentRevision": "db-7b9d", "observedGeneration": 1}, "progressing"),
        ({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}}, {},
         "complete"),
        ({"updateStrategy": {"type": "OnDelete"}}, {}, ""),
    ],
)  # fmt: skip
def test_a_statefulsets_outcome(
    golden: Golden, fact: Make, spec: Any, status: Any, outcome: str
) -> None:
    statefulset = golden("statefulset")
    statefulset["spec"] |= spec
    statefulset["status"] |= status
    record = heard(Story("statefulsets", statefulset, fact).say())
    assert (record.rollout, record.revision, record.workload.kind) == (
        outcome,
        "db-7b9d",
        "StatefulSet",
    )


@pytest.mark.parametrize(
    ("spec", "status", "outcome", "most"),
    [
        ({}, {}, "complete", 5),
        ({}, {"updatedNumberScheduled": 2}, "progressing", 5),
        ({"updateStrategy": {"type": "OnDelete"}}, {}, "", 5),
        ({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "30%"}}}, {},
         "complete", 7),
    ],
)  # fmt: skip
def test_a_daemonsets_outcome(
    golden: Golden, fact: Make, spec: Any, status: Any, outcome: str, most: int
) -> None:
    daemonset = golden("daemonset")
    daemonset["spec"] |= spec
    daemonset["status"] |= status
    record = heard(Story("daemonsets", daemonset, fact).say())
    assert (record.rollout, record.replicas_max, record.replicas_ready) == (outcome, most, 4)


def test_words_for_a_beginning_and_an_end(golden: Golden, fact: Make) -> None:
    young = golden("deployment")
    young["metadata"]["creationTimestamp"] = "2025-10-09T08:53:19Z"
    told = Story("deployments", young, fact)
    assert heard(told.say("ADDED")).type == "added"
    young["spec"]["replicas"] = 4
    gone = heard(told.say("DELETED"))
    assert (gone.type, gone.operations[0].path) == ("deleted", "/spec/replicas")
    old = Story("deployments", golden("deployment"), fact)
    assert heard(old.say("ADDED")).type == "known"  # a watch without a list begins like this


def test_a_spec_that_cannot_be_read_is_rejected(golden: Golden, fact: Make) -> None:
    deployment = golden("deployment")
    deployment["spec"]["replicas"] = "three"
    with pytest.raises(Rejected, match="replicas"):
        Normaliser().feed(fact("deployments", deployment))


@pytest.mark.parametrize(
    ("old", "new", "operations"),
    [
        ({"a": 1}, {"a": 1}, ()),
        ({"a": None}, {}, (Operation("remove", "/a", "null", ""),)),
        ({"a/b": {"c~d": 1}}, {"a/b": {"c~d": 2}}, (Operation("replace", "/a~1b/c~0d", "1", "2"),)),
        ({"args": ["a"]}, {"args": ["a", "b"]},
         (Operation("replace", "/args", '["a"]', '["a","b"]'),)),
        ({"rules": [{"x": 1}, {"y": 1}]}, {"rules": [{"x": 1}, {"y": 2}]},
         (Operation("replace", "/rules/1/y", "1", "2"),)),
        ({"env": [{"name": "a"}, {"name": "b"}]}, {"env": [{"name": "b"}, {"name": "a"}]},
         (Operation("replace", "/env", '["a","b"]', '["b","a"]'),)),
        ({"ports": [{"containerPort": 53}, {"containerPort": 53, "protocol": "UDP"}]},
         {"ports": [{"containerPort": 53}]},
         (Operation("remove", "/ports/53-UDP", '{"containerPort":53,"protocol":"UDP"}'),)),
        ({"env": [{"name": "a"}, {"name": "a"}]}, {"env": [{"name": "a"}]},
         (Operation("replace", "/env", '[{"name":"a"},{"name":"a"}]', '[{"name":"a"}]'),)),
    ],
)  # fmt: skip
def test_differences_are_clear(old: Any, new: Any, operations: tuple[Operation, ...]) -> None:
    assert difference(old, new) == operations


def test_long_values_are_cut() -> None:
    (operation,) = difference({"a": ""}, {"a": "x" * 10_000})
    assert len(operation.new) == LONGEST + 1


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(old=_json, new=_json)
def test_only_equal_values_have_no_difference(old: Any, new: Any) -> None:
    assert bool(difference(old, new)) == (old != new)
    assert difference(old, old) == ()
