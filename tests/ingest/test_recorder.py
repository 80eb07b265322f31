"""What a tape may hold: no secrets, no names where none are wanted, and all that a replay needs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ingest.facts import Fact, read_fact
from ingest.normalise import Normaliser
from ingest.pseudonyms import Pseudonyms
from ingest.recorder import Recorder
from ingest.recording import TapeWriter
from ingest.tape import TapeReader
from stream.records import DependencyChange, DeploymentChange, EventRecord, PodRecord

Golden = Callable[[str], Any]
Make = Callable[..., Fact]


def recorded(
    folder: Path, facts: list[Fact], names: Pseudonyms | None = None
) -> tuple[list[Fact], str]:
    path = folder / "one.tape"
    path.unlink(missing_ok=True)
    with TapeWriter(path) as tape:
        recorder = Recorder(tape, names, key=b"k" * 32)
        for each in facts:
            recorder.hear(each)
    lines = [line.fact for line in TapeReader([path], read_fact)]
    return [fact for fact in lines if fact is not None], path.read_text()


def records(facts: list[Fact]) -> list[Any]:
    normaliser = Normaliser()
    return [record for each in facts for record in normaliser.feed(each)]


def deployment(golden: Golden, version: str, password: str, *args: str) -> Any:
    content = golden("deployment")
    content["metadata"]["resourceVersion"] = version
    container = content["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [{"name": "DB_PASSWORD", "value": password}]
    container["args"] = ["--token", *args]
    return content


def test_a_replay_sees_that_a_secret_changed_and_never_what_it_was(
    golden: Golden, fact: Make, tmp_path: Path
) -> None:
    facts = [
        fact("deployments", deployment(golden, "1", "canary-one", "canary-a"), "ADDED"),
        fact("deployments", deployment(golden, "2", "canary-two", "canary-b"), "MODIFIED"),
    ]
    tape, text = recorded(tmp_path, facts)
    assert "canary" not in text
    assert records(tape) == records(facts)
    change = records(tape)[-1]
    assert isinstance(change, DeploymentChange)
    assert {each.path.rsplit("/", 1)[-1] for each in change.operations} == {"value", "args"}


def test_messages_are_masked_alike_on_the_tape_and_in_the_cluster(
    golden: Golden, fact: Make, tmp_path: Path
) -> None:
    event = golden("event")
    event["message"] = "cannot reach postgres://app:canary7@db, password=canary8"
    facts = [fact("events", event, "ADDED")]
    tape, text = recorded(tmp_path, facts)
    assert "canary" not in text
    (record,) = records(facts)
    assert isinstance(record, EventRecord)
    assert "canary" not in record.message
    assert records(tape) == [record]


def test_an_object_that_cannot_be_read_is_counted_and_left_out(fact: Make, tmp_path: Path) -> None:
    with TapeWriter(tmp_path / "one.tape") as tape:
        recorder = Recorder(tape)
        recorder.hear(fact("pods", b"{"))
        assert (recorder.refused, tape.facts) == (1, 0)


def test_pseudonyms_are_stable_and_leave_who_belongs_to_whom(
    golden: Golden, fact: Make, tmp_path: Path
) -> None:
    facts = [
        fact("nodes", golden("node")),
        fact("deployments", golden("deployment"), "LIST"),
        fact("pods", golden("pod")),
        fact("events", golden("event")),
    ]
    tape, text = recorded(tmp_path, facts, Pseudonyms(b"a" * 32))
    again, same = recorded(tmp_path, facts, Pseudonyms(b"a" * 32))
    _, other = recorded(tmp_path, facts, Pseudonyms(b"b" * 32))
    assert text == same != other
    pod = golden("pod")["metadata"]
    for name in (pod["name"], pod["uid"], pod["namespace"], "prod"):
        assert name not in text, name
    found = [each for each in records(tape) if isinstance(each, PodRecord)]
    plain = [each for each in records(facts) if isinstance(each, PodRecord)]
    assert len(found) == len(plain) == 1
    assert found[0].workload.kind == plain[0].workload.kind
    assert found[0].phase == plain[0].phase
    assert [each.restarts for each in found[0].containers] == [
        each.restarts for each in plain[0].containers
    ]
    assert json.loads(bytes(again[2].object))["metadata"]["name"] == found[0].pod


def test_what_a_workload_depends_on_is_the_same_on_a_tape_and_under_pseudonyms(
    golden: Golden, fact: Make, tmp_path: Path
) -> None:
    workload, config, claim = golden("deployment"), golden("configmap"), golden("statefulset")
    source = {"configMapRef": {"name": config["metadata"]["name"]}}
    workload["spec"]["template"]["spec"]["containers"][0]["envFrom"] = [source]
    claim["spec"]["volumeClaimTemplates"] = [{"metadata": {"name": "data"}}]
    bigger, changed = golden("persistentvolumeclaim"), golden("configmap")
    bigger["spec"]["resources"]["requests"]["storage"] = "20Gi"
    changed["digest"] = "0" * 16
    for each in (bigger, changed):
        each["metadata"]["resourceVersion"] = "190000"
    facts = [
        fact("horizontalpodautoscalers", golden("horizontalpodautoscaler"), "LIST"),
        fact("deployments", workload, "LIST"),
        fact("statefulsets", claim, "LIST"),
        fact("persistentvolumeclaims", golden("persistentvolumeclaim"), "LIST"),
        fact("configmaps", config, "LIST"),
        fact("persistentvolumeclaims", bigger),
        fact("configmaps", changed),
    ]
    live = records(facts)
    assert [type(each) for each in live] == [DeploymentChange] * 2 + [DependencyChange] * 2
    assert records(recorded(tmp_path, facts)[0]) == live
    tape, text = recorded(tmp_path, facts, Pseudonyms(b"a" * 32))
    for name in ("checkout", "data-db-0", "shop"):
        assert name not in text
    hidden = records(tape)
    assert [type(each) for each in hidden] == [type(each) for each in live]
    assert isinstance(hidden[0], DeploymentChange)
    assert hidden[0].replicas_max == 10
    assert {each.workload for each in hidden[2:]} == {each.workload for each in hidden[:2]}  # type: ignore[union-attr]


def test_a_name_in_a_message_is_replaced_before_and_behind_its_hyphens() -> None:
    names = Pseudonyms(b"a" * 32)
    name = names.name("checkout")
    said = names.text('ReplicaSet "checkout-7d9f" is done; the checkout at 10.1.2.3 was not')
    assert "checkout" not in said
    assert said.startswith(f'ReplicaSet "{name}-')
    assert "10.1.2.3" not in said
    assert said.endswith("was not")
