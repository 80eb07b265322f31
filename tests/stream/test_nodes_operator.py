"""Nodes as stories: what lasts is said, what is ordinary is evidence."""

from __future__ import annotations

from stream.operators.nodes import Nodes, NodeSettings
from stream.records import Condition, Finding, NodeMetricsRecord, NodeRecord, Severity, Tick

START = 1_760_000_000.0


class Cluster:
    def __init__(self, **settings: object) -> None:
        self.operator = Nodes(NodeSettings(**settings))  # type: ignore[arg-type]
        self.now = START
        self.version = 0
        self.said: list[Finding] = []

    def offer(self, record: object) -> None:
        for output in self.operator.on_records([record]):  # type: ignore[list-item]
            assert isinstance(output, Finding)
            self.said.append(output)

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now = min(self.now + 10.0, end)
            self.offer(Tick("c", self.now))

    def node(
        self,
        ready: str = "True",
        *,
        name: str = "n1",
        uid: str = "",
        pressure: tuple[str, ...] = (),
        taints: tuple[str, ...] = (),
        cordoned: bool = False,
        boot: str = "b1",
        deleted: bool = False,
    ) -> None:
        self.version += 1
        conditions = (
            Condition("Ready", ready, "KubeletReady", "all well", self.now),
            *(Condition(kind, "True", "Kubelet", "", self.now) for kind in pressure),
        )
        self.offer(
            NodeRecord(
                "c", self.now, name, uid or f"uid-{name}", str(self.version), ready,
                START - 1e6, deleted, cordoned, taints, conditions, boot_id=boot,
            )
        )  # fmt: skip

    def rule(self, rule: str, state: str = "firing") -> list[Finding]:
        return [f for f in self.said if f.rule == rule and f.state == state]


def test_a_node_that_is_not_ready_is_said_after_a_minute_and_taken_back() -> None:
    cluster = Cluster()
    cluster.node()
    cluster.wait(600.0)
    cluster.node("Unknown")
    cluster.wait(50.0)
    assert not cluster.rule("node-not-ready")
    cluster.wait(20.0)
    (found,) = cluster.rule("node-not-ready")
    assert found.severity is Severity.CRITICAL
    assert found.labels["alertname"] == "KubeNodeNotReady"
    assert found.since == START + 600.0
    cluster.node()
    cluster.wait(90.0)
    assert len(cluster.rule("node-not-ready", "resolved")) == 1


def test_a_hiccup_of_the_kubelet_is_silent() -> None:
    cluster = Cluster()
    cluster.node()
    cluster.wait(600.0)
    cluster.node("Unknown")
    cluster.wait(40.0)
    cluster.node()
    cluster.wait(600.0)
    assert not cluster.said


def test_a_node_found_not_ready_at_first_sight_is_said_with_its_own_time() -> None:
    cluster = Cluster()
    cluster.node("False")
    cluster.wait(70.0)
    assert cluster.rule("node-not-ready")


def test_a_cordoned_node_that_is_not_ready_is_only_a_warning() -> None:
    cluster = Cluster()
    cluster.node(cordoned=True)
    cluster.node("False", cordoned=True)
    cluster.wait(120.0)
    assert cluster.rule("node-not-ready")[0].severity is Severity.WARNING


def test_pressure_is_one_episode_whichever_it_is() -> None:
    cluster = Cluster()
    cluster.node()
    cluster.node(pressure=("MemoryPressure",))
    cluster.wait(10.0)
    cluster.node(pressure=("MemoryPressure", "DiskPressure"))
    cluster.wait(60.0)
    (found,) = cluster.rule("node-pressure")
    assert "MemoryPressure" in found.labels["reason"]
    cluster.node()
    cluster.wait(400.0)
    assert cluster.rule("node-pressure", "resolved")


def test_taints_of_the_pool_cordons_and_kubernetes_itself_are_no_news() -> None:
    cluster = Cluster()
    cluster.node(taints=("dedicated=gpu:NoSchedule",))
    cluster.node(
        taints=("dedicated=gpu:NoSchedule", "node.kubernetes.io/unschedulable:NoSchedule"),
        cordoned=True,
    )
    cluster.wait(900.0)
    assert not cluster.rule("node-taint")
    cluster.node(taints=("dedicated=gpu:NoSchedule", "broken=disk:NoExecute"))
    cluster.wait(900.0)
    (found,) = cluster.rule("node-taint")
    assert found.severity is Severity.INFO
    assert "broken=disk" in found.summary


def test_an_autoscaler_that_drains_and_deletes_is_ordinary_life() -> None:
    cluster = Cluster()
    cluster.node()
    cluster.node(taints=("ToBeDeletedByClusterAutoscaler=1:NoSchedule",))
    cluster.wait(300.0)
    cluster.node(taints=("ToBeDeletedByClusterAutoscaler=1:NoSchedule",), deleted=True)
    cluster.wait(3600.0)
    assert [f.rule for f in cluster.said] == ["drain", "node-deleted"]
    assert all(f.state == "evidence" for f in cluster.said)
    assert len(cluster.operator._nodes) == 0


def test_a_node_deleted_without_a_drain_is_a_warning_for_half_an_hour() -> None:
    cluster = Cluster()
    cluster.node()
    cluster.wait(60.0)
    cluster.node(deleted=True)
    cluster.wait(3600.0)
    (found,) = cluster.rule("node-deleted")
    assert found.severity is Severity.WARNING
    (over,) = cluster.rule("node-deleted", "resolved")
    assert 1770.0 <= over.at - found.at <= 1800.0
    assert len(cluster.operator._nodes) == 0


def test_a_node_deleted_while_not_ready_ends_that_episode() -> None:
    cluster = Cluster()
    cluster.node()
    cluster.node("Unknown")
    cluster.wait(120.0)
    cluster.node("Unknown", deleted=True)
    assert cluster.rule("node-not-ready", "resolved")
    assert not cluster.rule("node-deleted")


def test_another_boot_id_is_evidence_of_a_reboot() -> None:
    cluster = Cluster()
    cluster.node()
    cluster.node(boot="b2")
    assert [f.rule for f in cluster.said] == ["node-reboot"]


def test_ready_that_comes_and_goes_is_flapping_until_it_is_steady() -> None:
    cluster = Cluster(not_ready_after=None)
    cluster.node()
    for ready in ("False", "True", "False", "True"):
        cluster.wait(60.0)
        cluster.node(ready)
    cluster.wait(10.0)
    assert len(cluster.rule("node-ready-flapping")) == 1
    cluster.wait(20 * 60.0)
    assert len(cluster.rule("node-ready-flapping", "resolved")) == 1


def test_a_cordon_and_its_end_are_evidence_of_a_drain() -> None:
    cluster = Cluster()
    cluster.node()
    cluster.node(cordoned=True)
    cluster.node()
    assert [f.labels["action"] for f in cluster.rule("drain", "evidence")] == [
        "cordoned",
        "uncordoned",
    ]


def test_known_records_and_measurements_change_nothing() -> None:
    cluster = Cluster()
    cluster.node()
    cluster.version -= 1
    cluster.node("False")
    cluster.offer(NodeMetricsRecord("c", cluster.now, "n1", cpu=1.0))
    cluster.wait(300.0)
    assert not cluster.said
