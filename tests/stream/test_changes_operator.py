"""Changes as stories: who did what, and rollouts that do not finish."""

from __future__ import annotations

from stream.operators.changes import Changes, ChangeSettings
from stream.records import (
    DependencyChange,
    DeploymentChange,
    Finding,
    Gap,
    ObjectRef,
    Operation,
    Point,
    Severity,
    Tick,
)

START = 1_760_000_000.0
CHECKOUT = ObjectRef("Deployment", "shop", "checkout")
TEMPLATE = "/spec/template/spec/containers/0"


def image(old: str, new: str) -> Operation:
    return Operation("replace", f"{TEMPLATE}/image", f'"{old}"', f'"{new}"')


class Cluster:
    def __init__(self, **settings: object) -> None:
        self.operator = Changes(ChangeSettings(**settings))  # type: ignore[arg-type]
        self.now = START
        self.version = 0
        self.generation = 1
        self.said: list[Finding] = []
        self.points: list[Point] = []

    def offer(self, record: object) -> None:
        for output in self.operator.on_records([record]):  # type: ignore[list-item]
            if isinstance(output, Point):
                self.points.append(output)
            else:
                assert isinstance(output, Finding)
                self.said.append(output)

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now = min(self.now + 30.0, end)
            self.offer(Tick("c", self.now))

    def change(self, *operations: Operation, type: str = "modified", **facts: object) -> None:  # noqa: A002
        self.version += 1
        self.generation += bool(operations)
        known = {"rollout": "complete", "replicas_desired": 3, "replicas_ready": 3} | facts
        self.offer(
            DeploymentChange(
                "c", self.now, CHECKOUT, "uid", str(self.version), type, operations,  # type: ignore[arg-type]
                self.generation, **known,  # type: ignore[arg-type]
            )
        )  # fmt: skip

    def rule(self, rule: str, state: str = "evidence") -> list[Finding]:
        return [f for f in self.said if f.rule == rule and f.state == state]


def test_a_release_says_from_what_to_what_and_by_whom() -> None:
    cluster = Cluster()
    cluster.change(type="known", images=("a:1",))
    assert not cluster.said
    cluster.change(image("a:1", "a:2"), images=("a:2",), manager="helm", revision="7")
    (release,) = cluster.rule("release")
    assert release.summary == "Deployment shop/checkout released: a:1 → a:2 by helm"
    assert release.labels["revision"] == "7"
    assert release.labels["action"] == "release"


def test_images_that_ran_before_are_a_rollback() -> None:
    cluster = Cluster()
    cluster.change(type="known", images=("a:1",))
    cluster.change(image("a:1", "a:2"), images=("a:2",))
    cluster.change(image("a:2", "a:1"), images=("a:1",))
    assert [f.labels["action"] for f in cluster.rule("release")] == ["release", "rollback"]


def test_a_rollout_restart_is_called_that() -> None:
    cluster = Cluster()
    cluster.change(type="known", images=("a:1",))
    path = "/spec/template/metadata/annotations/kubectl.kubernetes.io~1restartedAt"
    cluster.change(
        Operation("add", path, "", '"2026-11-21T10:00:00Z"'),
        images=("a:1",),
        manager="kubectl-rollout",
    )
    (restart,) = cluster.rule("release")
    assert restart.summary == "Deployment shop/checkout restarted by kubectl-rollout"
    assert restart.labels["action"] == "restart"


def test_values_of_the_environment_are_never_repeated() -> None:
    cluster = Cluster()
    cluster.change(type="known")
    secret = Operation("replace", f"{TEMPLATE}/env/0/value", '"old-token"', '"new-token"')
    cluster.change(secret)
    (release,) = cluster.rule("release")
    assert release.labels["env"] == "changed"
    assert "token" not in str(release)


def test_scaling_names_the_autoscaler_or_the_person() -> None:
    cluster = Cluster()
    cluster.change(type="known")
    replicas = Operation("replace", "/spec/replicas", "3", "5")
    cluster.change(replicas, manager="kube-controller-manager")
    cluster.change(replicas, manager="kubectl-edit", user="ada@example.org")
    assert [f.labels["by"] for f in cluster.rule("scale")] == ["hpa", "person"]
    assert not cluster.rule("release")


def test_a_scaling_names_the_autoscaler_that_is_known_and_whether_it_is_at_its_end() -> None:
    cluster = Cluster()
    cluster.change(type="known")
    replicas = Operation("replace", "/spec/replicas", "3", "5")
    scaled = {"manager": "kube-controller-manager", "autoscaler": "web", "replicas_max": 5}
    cluster.change(replicas, replicas_desired=4, **scaled)
    cluster.change(replicas, replicas_desired=5, **scaled)
    assert [f.summary.partition(" by ")[2] for f in cluster.rule("scale")] == [
        "autoscaler web",
        "autoscaler web, at its maximum of 5",
    ]


def test_a_dependency_that_changes_is_told_and_one_that_always_does_only_once() -> None:
    cluster = Cluster()
    cluster.change(type="known")

    def configure(word: str = "modified") -> None:
        config = ObjectRef("ConfigMap", "shop", "rates")
        hashes = (Operation("replace", "/data", '"aa"', '"bb"'),)
        cluster.offer(
            DependencyChange(
                "c", cluster.now, CHECKOUT, config, "uid", "7", word, hashes, "helm"  # type: ignore[arg-type]
            )
        )  # fmt: skip

    for _ in range(30):
        configure()
        cluster.wait(300.0)
    (told,) = cluster.rule("dependency-change")
    assert told.summary == "Deployment shop/checkout: ConfigMap rates changed by helm"
    assert told.labels == {"manager": "helm", "dependency": "ConfigMap rates"}
    cluster.wait(600.0)
    configure("deleted")
    assert cluster.rule("dependency-change")[-1].summary.endswith("ConfigMap rates deleted by helm")


def test_a_maximum_that_moves_alone_becomes_a_point() -> None:
    cluster = Cluster()
    cluster.change(type="known", replicas_max=4)
    cluster.version -= 1  # the record is said again, at the same version
    cluster.change(replicas_max=10)
    assert [p.fields["max"] for p in cluster.points] == [4.0, 10.0]
    assert not cluster.said


def test_what_is_neither_release_nor_scaling_is_configuration() -> None:
    cluster = Cluster()
    cluster.change(type="known")
    cluster.change(Operation("replace", "/spec/paused", "false", "true"))
    assert cluster.rule("config-change")


def test_a_rollout_without_progress_is_stuck_after_ten_minutes_and_resolves() -> None:
    cluster = Cluster()
    cluster.change(type="known", images=("a:1",))
    cluster.change(image("a:1", "a:2"), images=("a:2",), rollout="progressing", replicas_updated=1)
    cluster.wait(8 * 60.0)
    cluster.change(images=("a:2",), rollout="progressing", replicas_updated=2)  # progress
    cluster.wait(9 * 60.0)
    assert not cluster.rule("rollout-stuck", "firing")
    cluster.wait(90.0)
    (stuck,) = cluster.rule("rollout-stuck", "firing")
    assert stuck.labels["image"] == "a:2"
    cluster.change(images=("a:2",), rollout="complete", replicas_updated=3)
    cluster.wait(60.0)
    assert len(cluster.rule("rollout-stuck", "resolved")) == 1


def test_what_kubernetes_calls_stuck_is_said_at_once() -> None:
    cluster = Cluster()
    cluster.change(type="known")
    cluster.change(rollout="stuck", replicas_ready=0)
    cluster.wait(30.0)
    assert len(cluster.rule("rollout-stuck", "firing")) == 1
    cluster.wait(3600.0)
    assert len(cluster.rule("rollout-stuck", "firing")) == 1


def test_a_rollout_that_was_unfinished_at_first_sight_is_only_information() -> None:
    cluster = Cluster()
    cluster.change(type="known", images=("a:1",), rollout="stuck", replicas_ready=0)
    cluster.wait(60.0)
    assert [f.severity for f in cluster.rule("rollout-stuck", "firing")] == [Severity.INFO]
    cluster.change(image("a:1", "a:2"), images=("a:2",), rollout="progressing")
    cluster.wait(60.0)
    cluster.change(images=("a:2",), rollout="stuck", replicas_ready=0)
    cluster.wait(60.0)
    assert cluster.rule("rollout-stuck", "firing")[-1].severity is Severity.WARNING


def test_a_deleted_workload_ends_its_episode_and_is_forgotten() -> None:
    cluster = Cluster()
    cluster.change(type="known")
    cluster.change(rollout="stuck")
    cluster.wait(30.0)
    cluster.change(type="deleted")
    assert cluster.rule("rollout-stuck", "resolved")
    assert cluster.rule("workload-deleted")
    assert len(cluster.operator._workloads) == 0


def test_replica_counts_become_points_when_they_change() -> None:
    cluster = Cluster()
    cluster.change(type="known")
    cluster.change()
    cluster.change(replicas_ready=2)
    assert [p.fields["ready"] for p in cluster.points] == [3.0, 2.0]


def test_a_gap_is_never_silent() -> None:
    cluster = Cluster()
    cluster.offer(Gap("c", START + 60.0, "pods", START, "expired"))
    (gap,) = cluster.rule("gap")
    assert gap.labels == {"resource": "pods", "reason": "expired"}
    assert gap.since == START
