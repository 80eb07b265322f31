"""Facts: what an API server or a kubelet said, untouched, with when and where it was heard.

A fact is one line of a tape (`ingest.tape`) and one step of a live watch alike; behind this point
nobody knows which it was. The object stays raw JSON (`msgspec.Raw`, a view without a copy) until
`ingest.normalise` reads just the fields that are needed.

Guaranteed: `read_fact` accepts a fact or raises `Rejected` with what is wrong, where, and a hint;
it never raises anything else, whatever the bytes. A dead letter holds the original bytes, cut only
where the bus could not carry them, and then it says how many are missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args

import msgspec

from stream.errors import Rejected
from stream.records import DeadLetter

Kind: TypeAlias = Literal[
    "pods",
    "events",
    "nodes",
    "deployments",
    "statefulsets",
    "daemonsets",
    "replicasets",
    "horizontalpodautoscalers",
    "persistentvolumeclaims",
    "configmaps",
    "summary",
    "metrics",
    "logs",
    "audit",
]
Type: TypeAlias = Literal["LIST", "ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR", "SAMPLE"]
KINDS: Final[tuple[str, ...]] = get_args(Kind)
TYPES: Final[tuple[str, ...]] = get_args(Type)

YEAR_2100: Final = 4_102_444_800.0  # later than this is milliseconds or nonsense
# A dead letter travels as JSON with its bytes in base64: 4/3 of this stays under the bus's 1 MiB.
KEPT: Final = 760 * 1024  # bytes
_RELAXED: Final = json.JSONDecoder()  # accepts NaN and Infinity, which Go's encoder cannot write


class Fact(msgspec.Struct, gc=False, omit_defaults=True):
    """One observed fact; the form of a tape's line.

    Attributes
    ----------
    at
        When it was heard, Unix seconds.
    resource
        Plural name of the resource (of a ConfigMap a hash stands for its data); "summary" is a
        kubelet's document, "metrics" an item of metrics.k8s.io, "logs" the end of one container's
        log, "audit" who wrote a workload.
    node
        Where a sample was taken; "" for watched objects.
    """

    at: Annotated[float, msgspec.Meta(ge=0, lt=YEAR_2100)]
    cluster: str
    resource: Kind
    type: Type
    object: msgspec.Raw
    node: str = ""


class _List(msgspec.Struct, gc=False):
    kind: str = ""
    items: list[msgspec.Raw] | None = None


_decode: Final = msgspec.json.Decoder(Fact).decode
_decode_list: Final = msgspec.json.Decoder(_List).decode


def read_fact(line: bytes) -> Fact:
    """Return the fact in one line of a tape. About 3 µs for a pod of 4.6 KB.

    NaN and Infinity, which are not JSON, are read as null rather than losing the document.

    Raises
    ------
    Rejected
        The line is not a fact.
    """
    try:
        return _decode(line)
    except msgspec.ValidationError as error:
        raise Rejected(f"not a fact: {error}{_hint(str(error))}") from error
    except (ValueError, RecursionError) as error:  # msgspec.DecodeError, UnicodeDecodeError
        if b"NaN" in line or b"Infinity" in line:
            return _read_relaxed(line, error)
        raise Rejected(f"not a fact: {error}; a line is one JSON object") from error


def _read_relaxed(line: bytes, cause: Exception) -> Fact:
    try:
        document, end = _RELAXED.raw_decode(line.decode())
        strict = msgspec.json.encode(document)  # writes NaN as null
    except (ValueError, RecursionError) as error:
        raise Rejected(f"not a fact: {cause}; a line is one JSON object") from error
    if line[end:].strip():
        raise Rejected("not a fact: there is text behind the JSON object") from cause
    return read_fact(strict)


def _hint(error: str) -> str:
    if "`$.resource`" in error:
        return f"; resources are {', '.join(KINDS)}"
    if "`$.type`" in error:
        return f"; types are {', '.join(TYPES)}"
    if "`$.at`" in error:
        return "; `at` is Unix seconds between 0 and the year 2100 (not milliseconds)"
    if "missing required" in error:
        return "; a fact has at, cluster, resource, type, object"
    return ""


def split(fact: Fact) -> Iterator[Fact]:
    """Yield the fact itself, or one fact per item where its object is a whole ``…List``.

    Costs nothing for watch events; 1–3 µs for facts of type LIST and SAMPLE, which may be lists.
    """
    if fact.type in ("LIST", "SAMPLE") and fact.resource != "summary":
        try:
            document = _decode_list(fact.object)
        except (ValueError, RecursionError):
            document = None  # whoever reads the object says what is wrong with it
        if document is not None and document.items is not None and document.kind.endswith("List"):
            for item in document.items:
                yield Fact(fact.at, fact.cluster, fact.resource, fact.type, item, fact.node)
            return
    yield fact


def fact_of(
    at: float, cluster: str, resource: Kind, word: Type, content: Any, node: str = ""
) -> Fact:
    """Return a fact from JSON bytes, as they came, or from anything that encodes to JSON."""
    raw = content if isinstance(content, bytes) else msgspec.json.encode(content)
    return Fact(at, cluster, resource, word, msgspec.Raw(raw), node)


def dead_letter(at: float, place: str, error: str, original: bytes, cut: int = 0) -> DeadLetter:
    """Return the dead letter of unreadable bytes.

    Parameters
    ----------
    at
        Event time around it, Unix seconds.
    place
        "tape demo.tape.zst line 12".
    cut
        Bytes that were already missing at the end of `original`.
    """
    original = original.rstrip(b"\r\n")
    cut += max(0, len(original) - KEPT)
    if cut:
        error = f"{error} (the last {cut} bytes of the original are cut)"
    return DeadLetter(at=at, place=place, error=error, value=bytes(original[:KEPT]))
