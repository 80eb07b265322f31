"""Incidents, notifications and suppressions ↔ messages of their public topics.

JSON with CloudEvents headers, keyed by the cluster, as `stream.codec` does for findings: one
cluster's records keep their order.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from alerting.alert import Incident, Notification, Suppressed
from stream.bus import Outgoing
from stream.codec import cloudevent_headers
from stream.errors import Rejected
from stream.topics import INCIDENTS, NOTIFICATIONS, SUPPRESSED, partition_of

Record = Incident | Notification | Suppressed

_encode: Final = msgspec.json.Encoder(order="deterministic").encode
_TOPICS: Final[dict[type[Record], str]] = {
    Incident: INCIDENTS,
    Notification: NOTIFICATIONS,
    Suppressed: SUPPRESSED,
}
_DECODERS: Final[dict[str, msgspec.json.Decoder[Any]]] = {
    topic: msgspec.json.Decoder(record) for record, topic in _TOPICS.items()
}


def encode(record: Record) -> bytes:
    """Return the JSON value of a record."""
    return _encode(record)


def outgoing(record: Record, partitions: int) -> Outgoing:
    """Return the message for a record, with topic, key, partition and headers."""
    at = record.updated_at if isinstance(record, Incident) else record.at
    key, value = record.cluster.encode(), _encode(record)
    headers = cloudevent_headers(type(record).__name__.lower(), key, value)
    topic = _TOPICS[type(record)]
    return Outgoing(topic, partition_of(key, partitions), key, value, at, headers)


def decode(topic: str, value: bytes) -> Any:
    """Return the record in `value`, a message of `topic`.

    Raises
    ------
    Rejected
        The bytes are not a record of this topic.
    """
    try:
        return _DECODERS[topic].decode(value)
    except msgspec.DecodeError as error:
        raise Rejected(f"not a record of topic {topic!r}: {error}") from error
