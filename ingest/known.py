"""What an API server is known to have of one resource: enough to tell what changed, and no more.

Per object its uid, resourceVersion, namespace, name and owners: some 500 bytes, whatever the object
weighs. A list is compared by rounds: `begin`, `note` each object, then `missing` are those that the
list did not have. Versions are compared for equality only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from ingest.resources import Resource

_NO_OWNERS: Final = msgspec.Raw(b"")


class Metadata(msgspec.Struct, rename="camel", gc=False):
    """The part of an object's metadata that a reflector reads."""

    resource_version: str = ""
    uid: str = ""
    name: str = ""
    namespace: str = ""
    annotations: dict[str, str] | None = None
    owner_references: msgspec.Raw = _NO_OWNERS


class _Entry(msgspec.Struct, gc=False):
    version: str
    namespace: str
    name: str
    owners: bytes  # JSON, as it came
    round: int


class Known:
    """The objects of one resource.

    Examples
    --------
    >>> known = Known()
    >>> known.note(Metadata(uid="1", resource_version="5", name="a"))
    >>> known.begin()
    >>> known.version("1"), list(known.missing())
    ('5', ['1'])
    """

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._round = 0

    def __len__(self) -> int:
        return len(self._entries)

    def version(self, uid: str) -> str | None:
        """Return the last version of an object, None where it is not known."""
        entry = self._entries.get(uid)
        return None if entry is None else entry.version

    def note(self, metadata: Metadata) -> None:
        """Remember the object as of now."""
        self._entries[metadata.uid] = _Entry(
            metadata.resource_version,
            metadata.namespace,
            metadata.name,
            bytes(metadata.owner_references),
            self._round,
        )

    def forget(self, uid: str) -> None:
        """Remember the object no longer. Harmless where it is not known."""
        self._entries.pop(uid, None)

    def begin(self) -> None:
        """Begin to compare with a list."""
        self._round += 1

    def confirm(self, uid: str) -> None:
        """Note that the list has the object, unchanged."""
        self._entries[uid].round = self._round

    def missing(self) -> Iterator[str]:
        """Yield the uids that the list did not have; they may be forgotten meanwhile."""
        yield from [uid for uid, each in self._entries.items() if each.round != self._round]

    def tombstone(self, uid: str, resource: Resource) -> msgspec.Raw:
        """Return the object, minimal, as it was last known: what a deletion may carry."""
        entry = self._entries[uid]
        metadata: dict[str, object] = {
            "name": entry.name,
            "uid": uid,
            "resourceVersion": entry.version,
        }
        if entry.namespace:
            metadata["namespace"] = entry.namespace
        if entry.owners:
            metadata["ownerReferences"] = msgspec.Raw(entry.owners)
        return msgspec.Raw(
            msgspec.json.encode(
                {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}
            )
        )
