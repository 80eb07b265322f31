"""A raw Event (core/v1, or events.k8s.io/v1 by its own names) → `EventRecord`.

Time rule: ``series.lastObservedTime`` → ``lastTimestamp`` → ``eventTime`` → ``firstTimestamp`` →
``creationTimestamp`` → when it was heard; a time more than `ingest.times.CLOCK_SKEW` ahead of that
is a wrong clock and is not believed. Count rule: ``series.count`` → ``count`` → 1. A deleted Event
is one that expired: its time is when that was heard.

Left to others: the root owner (`ingest.owners`), duplicates (`ingest.normalise`), whether it
matters (`models.events`).
"""

from __future__ import annotations

from typing import Final

from ingest.objects import Event, EventSource, Reference, identify
from ingest.reasons import category_of
from ingest.redact import redact
from ingest.times import CLOCK_SKEW, seconds
from models.templates import template_of
from stream.errors import Rejected
from stream.records import EventRecord, ObjectRef

_NO_SOURCE: Final = EventSource()


def reference_of(event: Event) -> Reference:
    """Return what the Event is about.

    Raises
    ------
    Rejected
        It names no object.
    """
    reference = event.involved_object or event.regarding
    if reference is None or not reference.kind or not reference.name:
        raise Rejected("the Event names no involvedObject: kind and name are needed")
    return reference


def event_record(
    cluster: str, received: float, event: Event, workload: ObjectRef, *, deleted: bool = False
) -> EventRecord:
    """Return the record of one Event at this count. About 1 µs.

    Raises
    ------
    Rejected
        Name, uid or object are missing, or a time is none.
    """
    metadata = event.metadata
    identify(metadata)
    reference = reference_of(event)
    reason = event.reason or ""
    message = redact(event.message or event.note or "")
    source = event.source or event.deprecated_source or _NO_SOURCE
    first_at = (
        seconds(event.first_timestamp or event.deprecated_first_timestamp)
        or seconds(event.event_time)
        or seconds(metadata.creation_timestamp)
    )
    at = received if deleted else _said_at(event, first_at, received)
    return EventRecord(
        cluster,
        at,
        metadata.namespace,
        metadata.uid,
        metadata.resource_version,
        ObjectRef(reference.kind, reference.namespace, reference.name),
        workload,
        event.type or "Normal",
        reason,
        category_of(reason, message),
        message,
        template_of(message),
        count_of(event),
        at if first_at is None else min(first_at, at),
        _node(event, source, reference),
        source.component or event.reporting_component or event.reporting_controller or "",
        container_of(reference.field_path),
        deleted,
    )


def _said_at(event: Event, first_at: float | None, received: float) -> float:
    at = (
        (seconds(event.series.last_observed_time) if event.series is not None else None)
        or seconds(event.last_timestamp or event.deprecated_last_timestamp)
        or seconds(event.event_time)
        or first_at
    )
    return received if at is None or at > received + CLOCK_SKEW else at


def count_of(event: Event) -> int:
    """Return how often it has happened: series.count → count → 1."""
    series = event.series.count if event.series is not None else None
    return max(1, series or event.count or event.deprecated_count or 1)


def container_of(field_path: str) -> str:
    """Return the container in ``spec.containers{name}``, or "".

    Examples
    --------
    >>> container_of("spec.containers{checkout}"), container_of("spec.nodeName")
    ('checkout', '')
    """
    start = field_path.find("{")
    if start < 0 or not field_path.endswith("}"):
        return ""
    return field_path[start + 1 : -1]


def _node(event: Event, source: EventSource, reference: Reference) -> str:
    if reference.kind == "Node":
        return reference.name
    if source.host:
        return source.host
    # The new events API has no host: there the kubelet's instance is its node's name.
    if event.reporting_component == "kubelet" or event.reporting_controller == "kubelet":
        return event.reporting_instance or ""
    return ""
