"""What alerting decides, as rows of the time-series store: incidents, messages, what was held back.

Like `stream.sinks.points`, for the topics that alerting owns: one function per topic, in `FEEDS`;
tags, time and salt are functions of the record alone. An incident is one row at its beginning,
which later states overwrite, and one more for each change of its state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final

from alerting import ledger, wire
from alerting.alert import Incident, Notification, State, Suppressed
from alerting.ledger import DELIVERIES, Delivery
from stream.sinks.drain import Feed
from stream.sinks.encode import Row, Value
from stream.sinks.points import fields_of, place, tags_of
from stream.topics import INCIDENTS, NOTIFICATIONS, SUPPRESSED


def of_incident(record: Incident) -> Iterator[Row]:
    """Yield the incident's own row, and one for this state of it."""
    said: dict[str, Value] = {
        "id": record.id,
        "object": str(record.object),
        "summary": record.summary,
    }
    cause = record.cause
    ended = record.resolved_at
    due, met = record.first_expected_at, record.came_true_at
    yield Row(
        "incident",
        (("cluster", record.cluster),),
        {
            **said,
            **fields_of(
                rule=record.rule,
                severity=record.severity.value,
                state=record.state.value,
                open=int(record.state is not State.RESOLVED),
                alerts=len(record.alerts),
                notifications=record.notifications,
                cause=cause.text if cause else None,
                cause_kind=cause.kind if cause else None,
                cause_odds=cause.odds if cause else None,
                ended_ms=round(ended * 1000) if ended is not None else None,
                lasted_seconds=ended - record.opened_at if ended is not None else None,
                lead_seconds=met - record.opened_at if due is not None and met else None,
            ),
        },
        record.opened_at,
        record.id,
    )
    tags = {
        "cluster": record.cluster,
        "rule": record.rule,
        "severity": record.severity.value,
        "state": record.state.value,
    }
    fields: dict[str, Value] = {**said, "alerts": len(record.alerts)}
    yield Row("incident_state", tags_of(tags), fields, record.updated_at, record.id)


def of_notification(record: Notification) -> Iterator[Row]:
    """Yield one message as decided."""
    tags = {
        "channel": record.channel,
        "cluster": record.cluster,
        "kind": record.kind,
        "reason": record.reason.value,
        "severity": record.severity.value,
    }
    opened = min((incident.opened_at for incident in record.incidents), default=None)
    fields = fields_of(
        id=record.id,
        title=record.title,
        incidents=len(record.incidents),
        after_seconds=record.at - opened if opened is not None else None,
    )
    yield Row("notification", tags_of(tags), fields, record.at, record.id)


def of_suppressed(record: Suppressed) -> Iterator[Row]:
    """Yield what was not sent."""
    tags = place(record.cluster, record.object)
    tags |= {"reason": record.reason.value, "rule": record.rule}
    fields: dict[str, Value] = {"count": record.count, "summary": record.summary, "by": record.by}
    salt = f"{record.object}|{record.by}"
    yield Row("suppressed", tags_of(tags), fields, record.at, salt)


def of_delivery(record: Delivery) -> Iterator[Row]:
    """Yield what became of a message."""
    tags = {"channel": record.channel, "outcome": record.outcome.value}
    fields: dict[str, Value] = {
        "id": record.notification,
        "attempts": record.attempts,
        "error": record.error,
    }
    yield Row("delivery", tags_of(tags), fields, record.at, record.notification)


FEEDS: Final[Mapping[str, Feed]] = {
    INCIDENTS: Feed(partial(wire.decode, INCIDENTS), of_incident),
    NOTIFICATIONS: Feed(partial(wire.decode, NOTIFICATIONS), of_notification),
    SUPPRESSED: Feed(partial(wire.decode, SUPPRESSED), of_suppressed),
    DELIVERIES: Feed(ledger.decode, of_delivery),
}
