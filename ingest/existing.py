"""What a cluster is known to have, kept across restarts: so that what went meanwhile is told.

An object's first record notes it, its deletion takes the note away; the notes are committed with
the messages (`stream.bus.Position`). After a restart a reflector begins with them, and what its
first list does not have is told as deleted, with its root owner as it was.

Guaranteed: notes and records are of one transaction, so neither can be without the other. Some 100
bytes of memory an object, some 150 in the store. Kept are pods, nodes and workloads; of an Event
that expired, and of a sample, nothing follows. Left to others: the comparison (`ingest.reflect`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from ingest.known import Metadata
from ingest.workloads import AUDITED
from stream.records import AnyInput, DeploymentChange, NodeRecord, ObjectRef, PodRecord

_RESOURCES: Final = {kind: resource for resource, kind in AUDITED.items()}
_encode: Final = msgspec.msgpack.encode


class _Note(msgspec.Struct, frozen=True, array_like=True):
    namespace: str
    name: str
    owner: ObjectRef | None = None  # of a pod: its root owner


_decode: Final = msgspec.msgpack.Decoder(_Note).decode


class Existing:
    """The objects that exist, of all clusters.

    Parameters
    ----------
    notes
        As an earlier run has committed them.

    Examples
    --------
    >>> existing = Existing()
    >>> existing.note(NodeRecord("prod", 1.0, "n1", "uid-1", "7", "True", 0.0))
    >>> kept = {name: note for name, note in existing.take().items() if note}
    >>> [each.name for each in Existing(kept).of("prod", "nodes")]
    ['n1']
    """

    def __init__(self, notes: Mapping[str, bytes] | None = None) -> None:
        self._earlier = dict(notes or {})
        self._names = set(self._earlier)
        self._changes: dict[str, bytes | None] = {}

    def of(self, cluster: str, resource: str, namespace: str = "") -> Iterator[Metadata]:
        """Yield what an earlier run has left of a resource, or of one namespace of it; once."""
        prefix = f"{cluster}/{resource}/"
        for name in [each for each in self._earlier if each.startswith(prefix)]:
            note = _decode(self._earlier[name])
            if namespace in ("", note.namespace):
                del self._earlier[name]
                yield Metadata(
                    uid=name.removeprefix(prefix),
                    namespace=note.namespace,
                    name=note.name,
                    owner_references=_owners(note.owner),
                )

    def forget_the_rest(self) -> None:
        """Drop what nobody has asked for: of clusters and namespaces that are watched no more."""
        for name in self._earlier:
            self._set(name, None)
        self._earlier.clear()

    def note(self, record: AnyInput) -> None:
        """Take a record; most say nothing of what exists."""
        match record:
            case PodRecord():
                content = _Note(record.namespace, record.pod, record.workload)
                resource, gone = "pods", record.deleted
            case NodeRecord():
                content = _Note("", record.node)
                resource, gone = "nodes", record.deleted
            case DeploymentChange():
                content = _Note(record.workload.namespace, record.workload.name)
                resource, gone = _RESOURCES[record.workload.kind], record.type == "deleted"
            case _:
                return
        name = f"{record.cluster}/{resource}/{record.uid}"
        if gone == (name in self._names):  # it goes and was there, or comes and was not
            self._set(name, None if gone else _encode(content))

    def take(self) -> dict[str, bytes | None]:
        """Return, and let go of, what has changed since the last call."""
        changes, self._changes = self._changes, {}
        return changes

    def _set(self, name: str, content: bytes | None) -> None:
        self._changes[name] = content
        if content is None:
            self._names.discard(name)
        else:
            self._names.add(name)


def _owners(owner: ObjectRef | None) -> msgspec.Raw:
    if owner is None:
        return msgspec.Raw(b"")
    reference = {"kind": owner.kind, "name": owner.name, "controller": True}
    return msgspec.Raw(msgspec.json.encode([reference]))
