"""A raw pod → `PodRecord`.

Each container's spec is joined with its status by name: image and limits from the spec (limits from
the status where it says which are in force, since in-place resize), restarts and states from the
status. A container without status has not started: no restarts, no state.

Event time is `ingest.times.observed_at`: when we heard of it, yet not before the newest condition
change, start or end that the pod itself carries. ``deletionTimestamp`` does not count there, for it
lies in the future: it is the end of the grace period.

Left to others: the root owner (`ingest.owners`), duplicates and memory (`ingest.normalise`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from ingest.objects import RawCondition, identify
from ingest.owners import generation_of
from ingest.pod_objects import ContainerSpec, ContainerStatus, Pod, Resources
from ingest.quantity import amount
from ingest.redact import redact
from ingest.times import observed_at, seconds
from stream.records import Condition, Container, ObjectRef, PodRecord

_LONGEST_MESSAGE: Final = 1024  # characters of a termination message
_NO_STATUS: Final = ContainerStatus(name="")


def pod_record(
    cluster: str, received: float, pod: Pod, workload: ObjectRef, *, deleted: bool = False
) -> PodRecord:
    """Return the record of one observation of one pod. About 4 µs with three containers.

    Raises
    ------
    Rejected
        Name or uid are empty, or a time or a quantity is none.
    """
    metadata, spec, status = pod.metadata, pod.spec, pod.status
    identify(metadata)
    containers = [
        *_containers(spec.init_containers, status.init_container_statuses, True),
        *_containers(spec.containers, status.container_statuses, False),
    ]
    conditions = conditions_of(status.conditions)
    created_at = seconds(metadata.creation_timestamp)
    proven = created_at or 0.0
    for condition in conditions:
        if condition.since is not None and condition.since > proven:
            proven = condition.since
    for container in containers:
        if container.started_at is not None and container.started_at > proven:
            proven = container.started_at
        if container.finished_at is not None and container.finished_at > proven:
            proven = container.finished_at
        if container.last_finished_at is not None and container.last_finished_at > proven:
            proven = container.last_finished_at
    labels = metadata.labels or {}
    return PodRecord(
        cluster,
        observed_at(received, proven),
        metadata.namespace,
        metadata.name,
        metadata.uid,
        metadata.resource_version,
        workload,
        spec.node_name or "",
        status.phase,
        received if created_at is None else created_at,
        tuple(containers),
        deleted,
        seconds(metadata.deletion_timestamp),
        generation_of(labels),
        status.reason or "",
        conditions,
        labels,
    )


def conditions_of(raw: list[RawCondition] | None) -> tuple[Condition, ...]:
    """Return conditions as records word them, in Kubernetes' order."""
    if not raw:
        return ()
    return tuple(
        [
            Condition(
                condition.type,
                condition.status,
                condition.reason or "",
                condition.message or "",
                seconds(condition.last_transition_time),
            )
            for condition in raw
        ]
    )


def _containers(
    specs: list[ContainerSpec] | None, statuses: list[ContainerStatus] | None, init: bool
) -> list[Container]:
    if not specs:
        return []
    by_name = {status.name: status for status in statuses} if statuses else {}
    return [_container(spec, by_name.get(spec.name, _NO_STATUS), init) for spec in specs]


def _container(spec: ContainerSpec, status: ContainerStatus, init: bool) -> Container:
    word = reason = last_reason = message = ""
    exit_code = started_at = finished_at = None
    last_exit_code = last_signal = last_started_at = last_finished_at = None
    state = status.state
    if state is not None:
        if state.running is not None:
            word, started_at = "running", seconds(state.running.started_at)
        elif state.terminated is not None:
            ended = state.terminated
            word, reason, exit_code = "terminated", ended.reason or "", ended.exit_code
            started_at, finished_at = seconds(ended.started_at), seconds(ended.finished_at)
            message = ended.message or ""
        elif state.waiting is not None:
            word, reason = "waiting", state.waiting.reason or ""
    last = status.last_state.terminated if status.last_state is not None else None
    if last is not None:
        last_reason, last_exit_code, last_signal = last.reason or "", last.exit_code, last.signal
        last_started_at, last_finished_at = seconds(last.started_at), seconds(last.finished_at)
        message = message or last.message or ""
    return Container(
        spec.name,
        spec.image,
        status.restart_count,
        status.ready,
        word,
        reason,
        exit_code,
        started_at,
        finished_at,
        last_reason,
        last_exit_code,
        last_signal,
        last_started_at,
        last_finished_at,
        *_sizes(spec.resources, status.resources),
        init,
        redact(message)[:_LONGEST_MESSAGE] if message else "",
    )


_Sizes = tuple[float | None, float | None, float | None, float | None]


def _sizes(wanted: Resources | None, actual: Resources | None) -> _Sizes:
    """Return memory and cpu limit, memory and cpu request: in force, else as wanted."""
    limits = (actual.limits if actual is not None else None) or (
        wanted.limits if wanted is not None else None
    )
    requests = (actual.requests if actual is not None else None) or (
        wanted.requests if wanted is not None else None
    )
    return _amounts(
        limits.memory if limits is not None else None,
        limits.cpu if limits is not None else None,
        requests.memory if requests is not None else None,
        requests.cpu if requests is not None else None,
    )


@lru_cache(maxsize=8192)  # distinct quadruples, about as many as containers in templates; 2 MB
def _amounts(
    memory_limit: str | float | None,
    cpu_limit: str | float | None,
    memory_request: str | float | None,
    cpu_request: str | float | None,
) -> _Sizes:
    return amount(memory_limit), amount(cpu_limit), amount(memory_request), amount(cpu_request)
