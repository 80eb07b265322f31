"""Autoscalers, volume claims and ConfigMaps: which workloads a change of them concerns."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import msgspec
import pytest

from ingest.digests import Digests
from ingest.facts import Fact
from ingest.normalise import Normaliser
from stream.errors import Rejected
from stream.records import AnyInput, DependencyChange, DeploymentChange, ObjectRef, Operation

AT = 1_760_000_000.0
Golden = Callable[[str], Any]
Make = Callable[..., Fact]
CHECKOUT = ObjectRef("Deployment", "shop", "checkout")
DB = ObjectRef("StatefulSet", "shop", "db")


class Story:
    """One namespace, told fact by fact."""

    def __init__(self, golden: Golden, fact: Make) -> None:
        self.normaliser = Normaliser()
        self.autoscaler = golden("horizontalpodautoscaler")
        self.claim = golden("persistentvolumeclaim")
        self.config = golden("configmap")
        self.deployment = golden("deployment")
        self.statefulset = golden("statefulset")
        self._fact = fact
        self._version = 1000

    @property
    def pod(self) -> Any:
        return self.deployment["spec"]["template"]["spec"]

    def say(self, resource: str, content: Any, word: str = "MODIFIED") -> list[AnyInput]:
        self._version += 1
        content["metadata"]["resourceVersion"] = str(self._version)
        return self.normaliser.feed(self._fact(resource, content, word, at=AT + self._version))

    def lists(self) -> list[AnyInput]:
        """The first lists, in the order in which a live cluster gives them."""
        return [
            *self.say("horizontalpodautoscalers", self.autoscaler, "LIST"),
            *self.say("deployments", self.deployment, "LIST"),
            *self.say("statefulsets", self.statefulset, "LIST"),
            *self.say("persistentvolumeclaims", self.claim, "LIST"),
            *self.say("configmaps", self.config, "LIST"),
        ]

    def configure(self, digest: str) -> list[AnyInput]:
        self.config["digest"] = digest
        return self.say("configmaps", self.config)


@pytest.fixture
def story(golden: Golden, fact: Make) -> Story:
    return Story(golden, fact)


def depends(records: list[AnyInput]) -> DependencyChange:
    (record,) = records
    assert isinstance(record, DependencyChange)
    return record


MOUNTS: dict[str, Any] = {
    "a volume": {"volumes": [{"name": "c", "configMap": {"name": "checkout-config"}}]},
    "a projected volume": {
        "volumes": [
            {"name": "c", "projected": {"sources": [{"configMap": {"name": "checkout-config"}}]}}
        ]
    },
    "envFrom": {
        "containers": [{"name": "a", "envFrom": [{"configMapRef": {"name": "checkout-config"}}]}]
    },
    "env": {
        "containers": [
            {
                "name": "a",
                "env": [
                    {
                        "name": "LEVEL",
                        "valueFrom": {"configMapKeyRef": {"name": "checkout-config", "key": "x"}},
                    }
                ],
            }
        ]
    },
    "envFrom of an init container": {
        "initContainers": [
            {"name": "i", "envFrom": [{"configMapRef": {"name": "checkout-config"}}]}
        ]
    },
}


@pytest.mark.parametrize("mount", MOUNTS.values(), ids=MOUNTS)
def test_a_configmap_with_other_data_concerns_whoever_names_it(story: Story, mount: Any) -> None:
    story.pod.update(deepcopy(mount))
    known = story.lists()
    assert all(isinstance(each, DeploymentChange) for each in known)  # what was there is no change
    change = depends(story.configure("0000000000000000"))
    assert change.workload == CHECKOUT
    assert change.object == ObjectRef("ConfigMap", "shop", "checkout-config")
    assert (change.type, change.manager) == ("modified", "kubectl-edit")
    assert change.operations == (
        Operation("replace", "/data", '"4f2a90c1d3b8e756"', '"0000000000000000"'),
    )


def test_a_configmap_that_nobody_names_or_whose_data_are_the_same_is_no_news(story: Story) -> None:
    story.lists()
    assert not story.configure("0000000000000000")
    story.pod.update(MOUNTS["a volume"])
    story.say("deployments", story.deployment)
    assert not story.configure("0000000000000000")  # its metadata alone
    story.pod["containers"][0]["args"] = ["--config=checkout-config"]  # a name, and no mount
    story.pod["volumes"] = []
    story.say("deployments", story.deployment)
    assert not story.configure("1111111111111111")


def test_a_configmap_of_another_namespace_concerns_nobody_here(story: Story) -> None:
    story.pod.update(MOUNTS["a volume"])
    story.config["metadata"]["namespace"] = "other"
    story.lists()
    assert not story.configure("0000000000000000")


def test_a_configmap_that_goes_while_it_is_mounted_is_told_and_so_is_its_return(
    story: Story,
) -> None:
    story.pod.update(MOUNTS["a volume"])
    story.lists()
    assert depends(story.say("configmaps", story.config, "DELETED")).type == "deleted"
    assert not story.say("configmaps", story.config, "DELETED")  # told already
    story.config["metadata"] |= {"uid": "another", "creationTimestamp": "2025-10-09T09:10:00Z"}
    assert depends(story.say("configmaps", story.config, "ADDED")).type == "added"


def test_an_autoscaler_gives_a_workload_its_maximum(story: Story) -> None:
    (checkout,) = [each for each in story.lists() if each.workload == CHECKOUT]  # type: ignore[union-attr]
    assert isinstance(checkout, DeploymentChange)
    assert (checkout.replicas_max, checkout.autoscaler) == (10, "checkout")
    story.autoscaler["status"]["currentReplicas"] = 4
    assert not story.say("horizontalpodautoscalers", story.autoscaler)  # its status is no news
    story.autoscaler["spec"]["maxReplicas"] = 4
    again, change = story.say("horizontalpodautoscalers", story.autoscaler)
    assert isinstance(again, DeploymentChange)
    assert (again.type, again.operations, again.replicas_max) == ("modified", (), 4)
    assert isinstance(change, DependencyChange)
    assert (change.workload, change.manager) == (CHECKOUT, "helm")
    assert change.operations == (Operation("replace", "/spec/maxReplicas", "10", "4"),)
    again, gone = story.say("horizontalpodautoscalers", story.autoscaler, "DELETED")
    assert isinstance(again, DeploymentChange)
    assert (again.replicas_max, again.autoscaler) == (4, "")  # 3 and a surge of 25 %, rounded up
    assert isinstance(gone, DependencyChange)
    assert gone.type == "deleted"


def test_an_autoscaler_that_turns_to_another_workload_leaves_the_first(story: Story) -> None:
    story.lists()
    story.autoscaler["spec"]["scaleTargetRef"] |= {"kind": "StatefulSet", "name": "db"}
    first, second, *changes = story.say("horizontalpodautoscalers", story.autoscaler)
    assert isinstance(first, DeploymentChange)
    assert (first.workload, first.autoscaler) == (CHECKOUT, "")
    assert isinstance(second, DeploymentChange)
    assert (second.workload, second.autoscaler, second.replicas_max) == (DB, "checkout", 10)
    assert {each.workload for each in changes} == {CHECKOUT, DB}  # type: ignore[union-attr]


def test_a_claim_of_a_statefulset_is_its_own_and_only_what_is_asked_for_counts(
    story: Story,
) -> None:
    story.statefulset["spec"]["volumeClaimTemplates"] = [{"metadata": {"name": "data"}}]
    story.lists()
    story.claim["status"]["capacity"]["storage"] = "20Gi"
    assert not story.say("persistentvolumeclaims", story.claim)
    story.claim["spec"]["resources"]["requests"]["storage"] = "20Gi"
    change = depends(story.say("persistentvolumeclaims", story.claim))
    assert change.workload == DB
    assert change.operations == (
        Operation("replace", "/spec/resources/requests/storage", '"10Gi"', '"20Gi"'),
    )
    story.claim["status"]["phase"] = "Lost"
    change = depends(story.say("persistentvolumeclaims", story.claim))
    assert change.operations == (Operation("replace", "/status/phase", '"Bound"', '"Lost"'),)
    assert not story.say("persistentvolumeclaims", story.claim, "DELETED")  # with its pod


def test_a_claim_of_a_deployment_is_found_by_its_name(story: Story) -> None:
    story.pod["volumes"] = [{"name": "d", "persistentVolumeClaim": {"claimName": "data-db-0"}}]
    story.lists()
    story.claim["spec"]["resources"]["requests"]["storage"] = "20Gi"
    assert depends(story.say("persistentvolumeclaims", story.claim)).workload == CHECKOUT


@pytest.mark.parametrize(
    ("resource", "spec"),
    [
        ("horizontalpodautoscalers", {"maxReplicas": 3}),
        ("horizontalpodautoscalers", []),
        ("persistentvolumeclaims", {"resources": 3}),
    ],
)
def test_a_spec_that_cannot_be_read_is_refused(story: Story, resource: str, spec: Any) -> None:
    content = {"metadata": {"name": "x", "uid": "x"}, "spec": spec}
    with pytest.raises(Rejected, match=resource):
        story.say(resource, content)


def test_a_template_that_cannot_be_read_names_nothing(story: Story) -> None:
    story.pod["volumes"] = {"checkout-config": 1}
    story.lists()
    assert not story.configure("0000000000000000")


# ---- digests ---------------------------------------------------------------------------


def raw(**content: Any) -> msgspec.Raw:
    metadata = {
        "name": "web",
        "namespace": "shop",
        "uid": "u",
        "resourceVersion": "7",
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "canary"},
        "labels": {"canary": "canary"},
        "managedFields": [{"manager": "helm", "fieldsV1": {"f:data": {"f:canary": {}}}}],
    }
    return msgspec.Raw(json.dumps({"metadata": metadata, **content}).encode())


def test_nothing_of_a_configmap_is_left_but_who_it_is_and_a_hash() -> None:
    digests = Digests()
    left = bytes(digests(raw(data={"canary": "canary"}, binaryData={"canary": "Y2FuYXJ5"})))
    assert b"canary" not in left
    assert b"Y2FuYXJ5" not in left
    found = json.loads(left)
    assert found["metadata"]["name"] == "web"
    assert found["metadata"]["resourceVersion"] == "7"
    assert [each["manager"] for each in found["metadata"]["managedFields"]] == ["helm"]


def test_the_hash_follows_the_data_alone_and_cannot_be_made_elsewhere() -> None:
    digests = Digests()

    def digest(**content: Any) -> str:
        found: str = json.loads(bytes(digests(raw(**content))))["digest"]
        return found

    assert digest(data={"a": "1"}) == digest(data={"a": "1"}, immutable=True)
    values = [digest(data={"a": "1"}), digest(data={"a": "2"}), digest(binaryData={"a": "1"})]
    assert len(set(values)) == 3
    assert json.loads(bytes(Digests()(raw(data={"a": "1"}))))["digest"] != values[0]


def test_a_configmap_that_cannot_be_read_leaves_nothing_for_a_dead_letter() -> None:
    assert bytes(Digests()(msgspec.Raw(b'{"metadata": 3, "data": "canary"}'))) == b"{}"
