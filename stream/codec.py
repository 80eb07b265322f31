"""Records ↔ bytes: the only file that knows the wire.

Inputs and points are msgpack arrays with the record's class name first; outputs are JSON. Every
message carries the header ``schema=<kind>.v1``; public JSON topics carry CloudEvents binary-mode
headers besides. Decoding errors are `Rejected` with what was wrong and where in the value.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

import msgspec

from stream.bus import Outgoing
from stream.errors import Rejected
from stream.records import (
    AnyInput,
    Conclusion,
    DeadLetter,
    DeploymentInput,
    EventInput,
    Finding,
    Forecast,
    NodeInput,
    ObjectRef,
    PodInput,
    Point,
    Progress,
)
from stream.topics import (
    DEAD_LETTERS,
    DEPLOYMENTS,
    EVENTS,
    FINDINGS,
    FORECASTS,
    NODE_METRICS,
    PODS,
    TS,
    key_of,
    partition_of,
)

_T = TypeVar("_T")

# What the bare decoders raise: text that is not UTF-8 is no DecodeError.
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError)

_pack: Final = msgspec.msgpack.Encoder().encode
_json: Final = msgspec.json.Encoder(order="deterministic").encode

_DECODERS: Final[dict[str, Callable[[bytes], Any]]] = {
    PODS: msgspec.msgpack.Decoder(PodInput).decode,
    EVENTS: msgspec.msgpack.Decoder(EventInput).decode,
    NODE_METRICS: msgspec.msgpack.Decoder(NodeInput).decode,
    DEPLOYMENTS: msgspec.msgpack.Decoder(DeploymentInput).decode,
    TS: msgspec.msgpack.Decoder(Point).decode,
    FINDINGS: msgspec.json.Decoder(Conclusion).decode,
    FORECASTS: msgspec.json.Decoder(Forecast).decode,
    DEAD_LETTERS: msgspec.json.Decoder(DeadLetter).decode,
}


def decoder(topic: str) -> Callable[[bytes], Any]:
    """Return the bare decoder of `topic`, for hot loops.

    It raises one of `UNREADABLE`; `decode` is the same with our own error.
    """
    return _DECODERS[topic]


def decode(topic: str, value: bytes) -> Any:
    """Return the record in `value`.

    Raises
    ------
    Rejected
        The bytes are not a record of this topic.
    """
    try:
        return _DECODERS[topic](value)
    except UNREADABLE as error:
        raise Rejected(f"not a record of topic {topic!r}: {error}") from error


def encode_input(record: AnyInput) -> bytes:
    """Return the msgpack value of an input record."""
    return _pack(record)


def outgoing(
    record: Finding | Progress | Forecast | Point | DeadLetter, partitions: int
) -> Outgoing:
    """Return the message for an output record, with topic, key, partition and headers."""
    match record:
        case Finding() | Progress():
            key = record.cluster.encode()
            return _public(FINDINGS, key, record, record.at, partitions)
        case Forecast():
            return _public(
                FORECASTS, key_of(record.cluster, record.object), record, record.at, partitions
            )
        case DeadLetter():
            return _public(
                DEAD_LETTERS, record.key or record.place.encode(), record, record.at, partitions
            )
        case Point():
            key = repr(record.tags).encode()
            return Outgoing(TS, partition_of(key, partitions), key, _pack(record), record.at)


def _public(
    topic: str,
    key: bytes,
    record: Finding | Progress | Forecast | DeadLetter,
    at: float,
    partitions: int,
) -> Outgoing:
    value = _json(record)
    kind = type(record).__name__.lower()
    headers = cloudevent_headers(kind, key, value)
    return Outgoing(topic, partition_of(key, partitions), key, value, at, headers)


def cloudevent_headers(kind: str, key: bytes, value: bytes) -> tuple[tuple[str, bytes], ...]:
    """Return CloudEvents 1.0 binary-mode headers; the id is a digest, so a replay repeats it."""
    return (
        ("schema", f"{kind}.v1".encode()),
        ("content-type", b"application/json"),
        ("ce_specversion", b"1.0"),
        ("ce_type", f"dev.forewarn.{kind}.v1".encode()),
        ("ce_source", b"forewarn"),
        ("ce_id", hashlib.blake2b(key + b"\0" + value, digest_size=16).hexdigest().encode()),
    )


def finding_id(rule: str, cluster: str, ref: ObjectRef, at: float, sequence: int = 0) -> str:
    """Return the deterministic id of a finding: the same facts give the same id in every replay."""
    text = f"{rule}|{cluster}|{ref.kind}|{ref.namespace}|{ref.name}|{at!r}|{sequence}"
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def digest(values: Iterable[bytes]) -> str:
    """Return one SHA-256 over many values, each framed by its length."""
    total = hashlib.sha256()
    for value in values:
        total.update(len(value).to_bytes(8, "little"))
        total.update(value)
    return total.hexdigest()
