"""Who changed it: audit events meet their change, in either order, and name nobody else's."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from ingest.audit import AuditSettings, facts
from ingest.facts import Fact
from ingest.normalise import Normaliser
from ingest.scope import Scope, ScopeSettings
from stream.errors import Rejected
from stream.operators import OPERATORS
from stream.operators.settings import OperatorSettings
from stream.records import DeploymentChange, Finding
from tests.ingest.conftest import AT

Golden = Callable[[str], Any]
Make = Callable[..., Fact]


def event(**changes: Any) -> dict[str, Any]:
    """As kube-apiserver 1.36 sends it at level Metadata."""
    return {
        "level": "Metadata",
        "auditID": "7b",
        "stage": "ResponseComplete",
        "requestURI": "/apis/apps/v1/namespaces/shop/deployments/checkout",
        "verb": "patch",
        "user": {"username": "alice@example.com", "groups": ["dev"]},
        "sourceIPs": ["192.0.2.7"],
        "objectRef": {
            "resource": "deployments",
            "namespace": "shop",
            "name": "checkout",
            "apiGroup": "apps",
        },
        "responseStatus": {"metadata": {}, "code": 200},
        "stageTimestamp": "2025-10-09T08:53:19.400000Z",
    } | changes


def sent(*events: dict[str, Any], scope: Scope | None = None) -> list[Fact]:
    body = json.dumps({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "items": events})
    return facts(body.encode(), "prod", AT, scope or Scope())


def test_only_finished_writes_to_workloads_are_kept_and_of_them_no_more_than_who_and_when() -> None:
    ref = event()["objectRef"]
    (kept,) = sent(
        event(stage="RequestReceived"),
        event(verb="get"),
        event(objectRef=ref | {"resource": "secrets"}),
        event(objectRef=ref | {"subresource": "status"}),
        event(responseStatus={"code": 409}),
        event(requestObject={"data": "canary"}),
    )
    assert json.loads(bytes(kept.object)) == {
        "resource": "deployments",
        "namespace": "shop",
        "name": "checkout",
        "verb": "patch",
        "user": "alice@example.com",
        "time": "2025-10-09T08:53:19.400000Z",
    }
    assert not sent(event(), scope=Scope(ScopeSettings(exclude=("shop",))))
    (acting,) = sent(event(impersonatedUser={"username": "deployer"}))
    assert b"alice@example.com as deployer" in bytes(acting.object)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"kind": "Pod"}', b'{"kind": 1}'])
def test_what_is_no_event_list_is_refused(body: bytes) -> None:
    with pytest.raises(Rejected, match="not an audit EventList"):
        facts(body, "prod", AT, Scope())


class Story:
    """A Deployment whose image changes, written at AT - 1 by kubectl."""

    def __init__(self, golden: Golden, fact: Make) -> None:
        self.golden, self.fact = golden, fact
        self.normaliser = Normaliser()
        self.operator = OPERATORS["changes"](OperatorSettings())
        self.findings: list[Finding] = []
        self.feed(self.version("1", "web:v1", "2025-10-09T08:00:00Z", at=AT - 60.0))

    def version(self, version: str, image: str, time: str, at: float = AT) -> Fact:
        content = self.golden("deployment")
        content["metadata"]["resourceVersion"] = version
        content["metadata"]["generation"] = int(version)
        writer = {"manager": "kubectl-client-side-apply", "operation": "Update", "time": time}
        content["metadata"]["managedFields"] = [writer]
        content["spec"]["template"]["spec"]["containers"][0]["image"] = image
        return self.fact("deployments", content, "MODIFIED", at)

    def release(self, version: str = "2", at: float = AT) -> Fact:
        return self.version(version, f"web:v{version}", "2025-10-09T08:53:19Z", at)

    def feed(self, fact: Fact) -> list[Any]:
        records = self.normaliser.feed(fact)
        out = self.operator.on_records(records)
        self.findings += [each for each in out if isinstance(each, Finding)]
        return records

    def told(self) -> list[tuple[str, str]]:
        rules = {"release", "change-author"}
        found = [each for each in self.findings if each.rule in rules]
        return [(each.rule, each.labels.get("user", "")) for each in found]


@pytest.fixture
def story(golden: Golden, fact: Make) -> Story:
    return Story(golden, fact)


def test_an_audit_event_that_came_first_signs_the_change(story: Story) -> None:
    (written,) = sent(event())
    assert story.feed(written) == []
    (change,) = story.feed(story.release())
    assert isinstance(change, DeploymentChange)
    assert (change.user, change.manager) == ("alice@example.com", "kubectl-client-side-apply")
    assert story.told() == [("release", "alice@example.com")]
    assert "by alice@example.com" in story.findings[-1].summary


def test_a_change_that_came_first_is_said_again_with_its_author(story: Story) -> None:
    (change,) = story.feed(story.release())
    (written,) = sent(event())
    written.at = AT + 30.0
    (signed,) = story.feed(written)
    assert (signed.user, signed.at) == ("alice@example.com", AT + 30.0)
    assert signed.operations == change.operations
    assert story.told() == [("release", ""), ("change-author", "alice@example.com")]
    assert story.feed(written) == []  # an API server that sends a batch twice names nobody twice


def test_writes_that_are_apart_in_time_or_place_sign_nothing(story: Story) -> None:
    story.feed(story.release())
    other = event()["objectRef"] | {"name": "cart"}
    for written in sent(
        event(stageTimestamp="2025-10-09T08:53:30Z"),
        event(objectRef=other),
    ):
        assert story.feed(written) == []


def test_of_two_writers_each_signs_their_own(story: Story) -> None:
    for written in sent(
        event(user={"username": "bob"}, stageTimestamp="2025-10-09T08:53:45.1Z"), event()
    ):
        story.feed(written)
    (first,) = story.feed(story.release("2"))
    (second,) = story.feed(story.version("3", "web:v3", "2025-10-09T08:53:45Z", AT + 26.0))
    assert (first.user, second.user) == ("alice@example.com", "bob")


def test_listening_to_others_needs_proof_of_who_speaks() -> None:
    with pytest.raises(ValueError, match="beyond loopback"):
        AuditSettings(listen=True, host="0.0.0.0")
    with pytest.raises(ValueError, match="go together"):
        AuditSettings(cert_file="a.crt")
    AuditSettings(host="0.0.0.0", cert_file="a", key_file="b", token_file="c")
