"""What people think of an incident, put on the bus: useful, or noise.

Only findings about Events learn from it; of an incident each such alert is judged by its object and
its first reason. The verdict travels on the topic of the Events, in the partition of its object, so
the operator meets it in an order that a replay repeats, and expires after event time. A verdict
that comes twice is one.

Left to others: what it counts for (`models.evidence`), asking (`forewarn.console`, the command).
"""

from __future__ import annotations

from typing import Final, Literal

from alerting.alert import Incident
from alerting.wire import decode
from stream.bus import Bus, Outgoing
from stream.codec import encode_input
from stream.errors import Rejected
from stream.records import Feedback, ObjectRef
from stream.topics import EVENTS, INCIDENTS, key_of, partition_of

Verdict = Literal["useful", "noise"]
LASTS: Final = 30 * 86_400.0  # seconds: after a month a workload is another
LONGEST: Final = 366 * 86_400.0  # a verdict that never expires is a rule: change the configuration
_RULE: Final = "event-anomaly"
_READ: Final = 1_000  # incidents at a time


def judged(incident: Incident) -> list[tuple[ObjectRef, str]]:
    """Return what a verdict on the incident is about: objects and reasons, each once."""
    found = {
        (alert.object, alert.labels["reason"]): None
        for alert in incident.alerts
        if alert.rule == _RULE and alert.labels.get("reason")
    }
    return list(found)


async def tell(
    bus: Bus, partitions: int, incident: Incident, verdict: Verdict, lasts: float = LASTS
) -> list[tuple[ObjectRef, str]]:
    """Publish the verdict; return what it is about.

    Raises
    ------
    Rejected
        Nothing in the incident learns from verdicts, or `lasts` is no span for one.
    """
    if not 0 < lasts <= LONGEST:
        raise Rejected("a verdict lasts for more than nothing and for a year at most, such as 30d")
    about = judged(incident)
    if not about:
        raise Rejected(
            f"incident {incident.id} holds no {_RULE}, and only that learns from verdicts; tune "
            "others by their rules (docs/configuration.md)"
        )
    messages = []
    for ref, reason in about:
        said = Feedback(incident.cluster, incident.updated_at, ref, reason, verdict, lasts)
        key = key_of(incident.cluster, ref)
        headers = (("schema", b"feedback.v1"),)
        messages.append(
            Outgoing(
                EVENTS, partition_of(key, partitions), key, encode_input(said), said.at, headers
            )
        )
    await bus.publish(messages)
    return about


async def find(bus: Bus, wanted: str) -> Incident:
    """Return the newest state of the incident whose id begins with `wanted`.

    Raises
    ------
    Rejected
        There is none, or there are several.
    """
    found: dict[str, Incident] = {}
    for partition, start in enumerate(await bus.start_offsets(INCIDENTS)):
        offset = start
        while batch := await bus.read(INCIDENTS, partition, offset, _READ):
            for message in batch.messages:
                incident: Incident = decode(INCIDENTS, message.value)
                if incident.id.startswith(wanted):
                    found[incident.id] = incident
            offset = batch.next_offset
    if not wanted or not found:
        raise Rejected(
            f"there is no incident {wanted!r} on the bus; its id ends the address of its page"
        )
    if len(found) > 1:
        raise Rejected(f"{len(found)} incidents begin with {wanted!r}; give more of the id")
    return next(iter(found.values()))
