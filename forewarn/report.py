"""What a run came to: read back from the bus's public topics, as one JSON document or as words.

Everything here is read from what was committed, never from a component's memory, so a run that was
killed and resumed reports what an undisturbed one would. ``output_hash`` covers every message of
the output topics: findings, forecasts and points by their source (how topics interleave is not a
result), incidents, notifications and suppressed in their order. The two hashes are equal for two
runs exactly when they said the same and know the same.

Cost: one pass over the outputs in memory. Left to others: scoring (`forewarn.scoring`), printing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from alerting.alert import Incident, Notification, Suppressed
from forewarn.scoring import Scores, met_by, score_forecasts
from stream.bus import Bus, Message
from stream.codec import decoder, digest
from stream.records import Finding, Forecast, ObjectRef, Point, Progress
from stream.topics import (
    DEAD_LETTERS,
    FINDINGS,
    FORECASTS,
    INCIDENTS,
    NOTIFICATIONS,
    SUPPRESSED,
    TS,
)

_CHUNK: Final = 10_000  # messages per read: some MB


class IncidentLine(msgspec.Struct, frozen=True):
    """One incident as the report shows it: its last state."""

    id: str
    rule: str
    severity: str
    object: ObjectRef
    cluster: str
    opened_at: float
    resolved_at: float | None
    cause: str
    summary: str
    expected_at: float | None
    notifications: int


class NotificationLine(msgspec.Struct, frozen=True):
    """One message to one channel."""

    at: float
    channel: str
    incident: str
    kind: str
    text: str


class SuppressedLine(msgspec.Struct, frozen=True):
    """One thing that was not sent, and why."""

    at: float
    rule: str
    object: ObjectRef
    reason: str
    by: str
    count: int


class Report(msgspec.Struct, frozen=True):
    """The document that ``forewarn replay --report`` writes."""

    records: dict[str, int]  # facts taken in, by resource
    findings: list[Finding]
    incidents: list[IncidentLine]
    notifications: list[NotificationLine]
    suppressed: list[SuppressedLine]
    forecasts_scored: Scores
    dead_letters: int
    state_hash: str
    output_hash: str


async def messages(bus: Bus, topic: str) -> AsyncIterator[Message]:
    """Yield every message that `topic` still keeps, partition by partition."""
    for partition in range(len(await bus.end_offsets(topic))):
        offset = 0
        while batch := await bus.read(topic, partition, offset, _CHUNK):
            for message in batch.messages:
                yield message
            offset = batch.next_offset


async def build(bus: Bus, records: Mapping[str, int], state_hash: str) -> Report:
    """Read a finished run back.

    Raises
    ------
    Corrupt
        The store is damaged.
    """
    outputs = _Outputs()
    await _read_findings(bus, outputs)
    forecasts = await _read_forecasts(bus, outputs)
    await _read_points(bus, outputs)
    incidents = await _read_incidents(bus, outputs)
    notifications = await _read(bus, NOTIFICATIONS, Notification, outputs)
    suppressed = await _read(bus, SUPPRESSED, Suppressed, outputs)
    letters = 0
    async for _ in messages(bus, DEAD_LETTERS):
        letters += 1
    return Report(
        records=dict(records),
        findings=outputs.findings,
        incidents=incidents,
        notifications=[
            NotificationLine(each.at, each.channel, each.incident, each.kind, each.text)
            for each in notifications
        ],
        suppressed=[
            SuppressedLine(each.at, each.rule, each.object, each.reason, each.by, each.count)
            for each in suppressed
        ],
        forecasts_scored=score_forecasts(forecasts, met_by(outputs.findings)),
        dead_letters=letters,
        state_hash=state_hash,
        output_hash=outputs.digest(),
    )


def write(report: Report, path: Path) -> None:
    """Write the document, indented: people read it too."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


class _Outputs:
    """The values of all outputs, by (topic, source), in the order of each source."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self._values: dict[tuple[str, bytes], list[bytes]] = {}

    def add(self, topic: str, source: bytes, value: bytes) -> None:
        self._values.setdefault((topic, source), []).append(value)

    def digest(self) -> str:
        framed: list[bytes] = []
        for (topic, source), values in sorted(self._values.items()):
            framed += (topic.encode(), source, *values)
        return digest(framed)


async def _read_findings(bus: Bus, outputs: _Outputs) -> None:
    decode = decoder(FINDINGS)
    async for message in messages(bus, FINDINGS):
        record: Finding | Progress = decode(message.value)
        outputs.add(FINDINGS, record.source.encode(), message.value)
        if isinstance(record, Finding):
            outputs.findings.append(record)
    outputs.findings.sort(key=lambda each: (each.at, each.source, each.id))


async def _read_forecasts(bus: Bus, outputs: _Outputs) -> list[Forecast]:
    decode = decoder(FORECASTS)
    found: list[Forecast] = []
    async for message in messages(bus, FORECASTS):
        outputs.add(FORECASTS, message.key, message.value)
        found.append(decode(message.value))
    return found


async def _read_points(bus: Bus, outputs: _Outputs) -> None:
    """Take each measurement by itself: two operators' points of one object come as topics do."""
    decode = decoder(TS)
    async for message in messages(bus, TS):
        point: Point = decode(message.value)
        outputs.add(TS, f"{point.measurement}|{point.tags}".encode(), message.value)


async def _read_incidents(bus: Bus, outputs: _Outputs) -> list[IncidentLine]:
    newest: dict[str, Incident] = {}
    for incident in await _read(bus, INCIDENTS, Incident, outputs):
        newest[incident.id] = incident
    return [
        IncidentLine(
            id=each.id,
            rule=each.rule,
            severity=each.severity,
            object=each.object,
            cluster=each.cluster,
            opened_at=each.opened_at,
            resolved_at=each.resolved_at,
            cause=each.cause.text if each.cause else "",
            summary=each.summary,
            expected_at=each.expected_at,
            notifications=each.notifications,
        )
        for each in sorted(newest.values(), key=lambda each: (each.opened_at, each.id))
    ]


async def _read(bus: Bus, topic: str, kind: type[Any], outputs: _Outputs) -> list[Any]:
    decode = msgspec.json.Decoder(kind).decode
    found: list[Any] = []
    async for message in messages(bus, topic):
        outputs.add(topic, message.key, message.value)
        found.append(decode(message.value))
    return found


def rules_of(report: Report) -> Counter[str]:
    """Count incidents by rule."""
    return Counter(each.rule for each in report.incidents)
