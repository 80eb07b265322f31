"""How far a Deployment, StatefulSet or DaemonSet has rolled out: three kinds' words in one shape.

The outcome follows ``kubectl rollout status``, with one difference: once a Deployment's controller
has called a rollout complete, a pod that fails later does not reopen it.

Left to others: what changed (`ingest.workloads`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from ingest.objects import Raw, RawCondition

_PROGRESSING: Final = "Progressing"
_DEADLINE: Final = "ProgressDeadlineExceeded"
_COMPLETE: Final = "NewReplicaSetAvailable"
_DEFAULT_SURGE: Final = "25%"  # of a Deployment; the API server writes it out


class RollingUpdate(Raw):
    """rollingUpdate of a strategy."""

    max_surge: int | str | None = None
    partition: int | None = None


class Strategy(Raw):
    """strategy, updateStrategy."""

    type: str = ""
    rolling_update: RollingUpdate | None = None


class TemplateContainer(Raw):
    """spec.template.spec.containers[], its image only."""

    image: str = ""


class TemplateSpec(Raw):
    """spec.template.spec."""

    containers: list[TemplateContainer] | None = None


class Template(Raw):
    """spec.template."""

    spec: TemplateSpec | None = None


class RolloutSpec(Raw):
    """What a workload's spec says about its replicas and its images."""

    replicas: int | None = None
    paused: bool | None = None
    strategy: Strategy | None = None
    update_strategy: Strategy | None = None
    template: Template | None = None

    def images(self) -> tuple[str, ...]:
        """Return the containers' images, in the template's order."""
        spec = self.template.spec if self.template is not None else None
        if spec is None or not spec.containers:
            return ()
        return tuple(container.image for container in spec.containers)


class RolloutStatus(Raw):
    """What a workload's status counts, in the words of all three kinds."""

    observed_generation: int = 0
    conditions: list[RawCondition] | None = None
    replicas: int = 0
    updated_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    current_revision: str = ""
    update_revision: str = ""
    desired_number_scheduled: int = 0
    current_number_scheduled: int = 0
    updated_number_scheduled: int = 0
    number_ready: int = 0


class Shape(NamedTuple):
    """Replicas and outcome; two equal shapes are no news."""

    desired: int
    actual: int
    updated: int
    ready: int
    most: int  # desired + surge
    rollout: str  # "progressing" | "complete" | "stuck" | "paused" | ""


def shape_of(kind: str, generation: int, spec: RolloutSpec, status: RolloutStatus) -> Shape:
    """Return the shape of a workload of this kind."""
    return _SHAPES[kind](generation, spec, status)


def _deployment(generation: int, spec: RolloutSpec, status: RolloutStatus) -> Shape:
    desired = 1 if spec.replicas is None else spec.replicas
    rolling = spec.strategy is None or spec.strategy.type != "Recreate"
    given = spec.strategy.rolling_update if spec.strategy is not None else None
    surge = given.max_surge if given is not None else None
    most = desired + (_surge(_DEFAULT_SURGE if surge is None else surge, desired) if rolling else 0)
    return Shape(
        desired,
        status.replicas,
        status.updated_replicas,
        status.ready_replicas,
        most,
        _deployment_outcome(generation, desired, spec, status),
    )


def _deployment_outcome(
    generation: int, desired: int, spec: RolloutSpec, status: RolloutStatus
) -> str:
    if spec.paused:
        return "paused"
    if status.observed_generation < generation:
        return "progressing"
    progress = next((c.reason for c in status.conditions or () if c.type == _PROGRESSING), None)
    if progress == _DEADLINE:
        return "stuck"
    all_new = status.replicas == status.updated_replicas
    if progress == _COMPLETE and all_new:
        return "complete"
    if all_new and status.updated_replicas == desired == status.available_replicas:
        return "complete"
    return "progressing"


def _statefulset(generation: int, spec: RolloutSpec, status: RolloutStatus) -> Shape:
    desired = 1 if spec.replicas is None else spec.replicas
    strategy = spec.update_strategy
    given = strategy.rolling_update if strategy is not None else None
    held_back = (given.partition if given is not None else None) or 0
    if strategy is not None and strategy.type == "OnDelete":
        rollout = ""
    elif status.observed_generation < generation:
        rollout = "progressing"
    elif status.current_revision == status.update_revision:
        rollout = "complete"
    elif held_back and status.updated_replicas >= desired - held_back:
        rollout = "complete"  # as far as the partition lets it
    else:
        rollout = "progressing"
    return Shape(
        desired, status.replicas, status.updated_replicas, status.ready_replicas, desired, rollout
    )


def _daemonset(generation: int, spec: RolloutSpec, status: RolloutStatus) -> Shape:
    desired = status.desired_number_scheduled
    strategy = spec.update_strategy
    given = strategy.rolling_update if strategy is not None else None
    surge = given.max_surge if given is not None else None
    if strategy is not None and strategy.type == "OnDelete":
        rollout = ""
    elif status.observed_generation < generation or status.updated_number_scheduled < desired:
        rollout = "progressing"
    else:
        rollout = "complete"
    return Shape(
        desired,
        status.current_number_scheduled,
        status.updated_number_scheduled,
        status.number_ready,
        desired + _surge(0 if surge is None else surge, desired),
        rollout,
    )


def _surge(surge: int | str, desired: int) -> int:
    """Return pods above `desired`; percentages round up, as the controllers do."""
    if isinstance(surge, int):
        return max(0, surge)
    percent = surge.removesuffix("%")
    return math.ceil(int(percent) * desired / 100) if percent.isdecimal() else 0


_SHAPES: Final[dict[str, Callable[[int, RolloutSpec, RolloutStatus], Shape]]] = {
    "Deployment": _deployment,
    "StatefulSet": _statefulset,
    "DaemonSet": _daemonset,
}
read_spec: Final = msgspec.json.Decoder(RolloutSpec).decode
