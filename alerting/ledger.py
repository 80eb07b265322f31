"""The delivery ledger: what was tried and what became of it, per notification and channel.

An entry is *attempting* before the first byte leaves and *delivered* or *failed* after, each
written through the bus. A crash between the place's answer and the entry is the only window in
which a message can go out twice: what is found *attempting* after a restart is sent again, marked
as a possible repeat. Settled entries leave the ledger when the position has passed them; their
outcome stays on the topic `deliveries`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from stream.bus import Outgoing, TopicSpec
from stream.codec import cloudevent_headers
from stream.topics import partition_of

DELIVERIES: Final = "deliveries"
_KEEP: Final = 30 * 86_400.0  # seconds, as the notifications themselves


class Outcome(StrEnum):
    """Where the delivery of one notification stands."""

    ATTEMPTING = "attempting"
    DELIVERED = "delivered"
    FAILED = "failed"  # rejected, or given up
    RENDERED = "rendered"  # dry: shown, never sent


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One entry."""

    notification: str
    channel: str
    outcome: Outcome
    at: float  # of the clock
    attempts: int = 0
    repeat: bool = False  # a crash had left it in doubt; it was marked as a possible repeat
    error: str = ""  # without secrets


_encode: Final = msgspec.json.Encoder(order="deterministic").encode
_decode: Final = msgspec.json.Decoder(Delivery).decode
encode = _encode
decode = _decode


def key_of(notification: str, channel: str) -> bytes:
    """Return the ledger's key."""
    return f"delivery/{notification}/{channel}".encode()


def specs(partitions: int) -> tuple[TopicSpec, ...]:
    """Return the topic that outcomes are kept on."""
    return (TopicSpec(DELIVERIES, partitions, _KEEP),)


def outgoing(delivery: Delivery, partitions: int) -> Outgoing:
    """Return the message that keeps an outcome."""
    key, value = delivery.notification.encode(), _encode(delivery)
    headers = cloudevent_headers("delivery", key, value)
    partition = partition_of(key, partitions)
    return Outgoing(DELIVERIES, partition, key, value, delivery.at, headers)
