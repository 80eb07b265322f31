"""The fields of a raw pod that are needed, as msgspec Structs: `ingest.objects`, continued.

Pods are most of what a cluster says, so this is the hot part: some 3 µs for two containers beyond
the skipping of the rest.
"""

from __future__ import annotations

import msgspec

from ingest.objects import Metadata, Raw, RawCondition, Text


class Amounts(Raw):
    """Limits or requests."""

    cpu: str | float | None = None
    memory: str | float | None = None


class Resources(Raw):
    """resources of a container."""

    limits: Amounts | None = None
    requests: Amounts | None = None


class ContainerSpec(Raw):
    """spec.containers[]."""

    name: str
    image: str = ""
    resources: Resources | None = None


class Running(Raw):
    """state.running."""

    started_at: Text = None


class Waiting(Raw):
    """state.waiting."""

    reason: Text = None


class Terminated(Raw):
    """state.terminated and lastState.terminated."""

    exit_code: int = 0
    signal: int | None = None
    reason: Text = None
    message: Text = None
    started_at: Text = None
    finished_at: Text = None


class ContainerState(Raw):
    """One of three, or none."""

    running: Running | None = None
    waiting: Waiting | None = None
    terminated: Terminated | None = None


class ContainerStatus(Raw):
    """status.containerStatuses[]."""

    name: str
    restart_count: int = 0
    ready: bool = False
    state: ContainerState | None = None
    last_state: ContainerState | None = None
    resources: Resources | None = None  # what is in force, since in-place resize (1.33)


class PodSpec(Raw):
    """spec of a pod."""

    containers: list[ContainerSpec] | None = None
    init_containers: list[ContainerSpec] | None = None
    node_name: Text = None


class PodStatus(Raw):
    """status of a pod."""

    phase: str = ""
    reason: Text = None
    conditions: list[RawCondition] | None = None
    container_statuses: list[ContainerStatus] | None = None
    init_container_statuses: list[ContainerStatus] | None = None


class Pod(Raw):
    """core/v1 Pod."""

    metadata: Metadata
    spec: PodSpec
    status: PodStatus = msgspec.field(default_factory=PodStatus)
