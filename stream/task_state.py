"""What a task remembers: its durable state in the changelog, and its memory between commits.

The changelog of a task holds pages (keys ``operator/page``) and one manifest (key ``task``). The
manifest says which input offsets the pages contain (S, `Manifest.base`) and up to where everything
is committed (O, `Manifest.offsets`); it is written with every commit, pages only with a snapshot,
and then in the same transaction as their S. Why so: docs/adr/0003.
"""

from __future__ import annotations

import functools
import operator
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from stream.bus import Outgoing, Ownership
from stream.checkpoint import unpack
from stream.dead_letters import Poison
from stream.errors import Corrupt
from stream.operators.base import Operator
from stream.progress import TopicProgress

MANIFEST: Final = b"task"
VERSION: Final = 2


class Manifest(msgspec.Struct):
    """What the changelog keeps beside the pages."""

    version: int
    partitions: int
    operators: list[str]
    base: dict[str, int]  # S: input topic → first offset that is not in the pages
    offsets: dict[str, int]  # O: input topic → first offset that is not committed
    refused: dict[str, list[int]]  # operator → offsets from S to O that it refused
    progress: dict[str, TopicProgress]  # as of O
    poison: Poison  # as of O
    sum: int = 0  # of all pages as of S: `summed`

    @classmethod
    def read(cls, task: str, changelog: Mapping[bytes, bytes], partitions: int) -> Manifest:
        """Return the manifest in `changelog`, or that of a task which has never run.

        Raises
        ------
        Corrupt
            It is of another version, or was written with another number of partitions.
        """
        page = changelog.get(MANIFEST)
        if page is None:
            return cls(VERSION, partitions, [], {}, {}, {}, {}, Poison())
        manifest: Manifest = unpack(MANIFEST.decode(), page, cls)
        if manifest.version != VERSION:
            raise Corrupt(
                f"the state of task {task} is of version {manifest.version}, this program "
                f"writes {VERSION}: run the version that wrote it, or use a new application name"
            )
        if manifest.partitions != partitions:
            raise Corrupt(
                f"the state of task {task} was written with {manifest.partitions} partitions, "
                f"now there are {partitions}: set the old number, or use a new application "
                "name and rebuild from the inputs"
            )
        return manifest

    def verify(self, task: str, changelog: Mapping[bytes, bytes]) -> dict[bytes, int]:
        """See that `changelog` holds exactly the pages of S; return the sum of each.

        Raises
        ------
        Corrupt
            Pages are missing, or older or newer than the manifest.
        """
        sums: dict[bytes, int] = {}
        found = summed(sums, {key: page for key, page in changelog.items() if b"/" in key})
        if found != self.sum:
            raise Corrupt(
                f"the {len(sums)} pages in the state of task {task} are not those that its "
                "manifest was written with: some were lost; restore the changelog from a "
                "replica, or use a new application name and rebuild from the inputs"
            )
        return sums

    def follows(self, durable: Manifest) -> bool:
        """Whether `durable` still is the snapshot that this manifest goes on from."""
        return all(self.base.get(topic) == at for topic, at in durable.base.items())


@dataclass(slots=True)
class Memory:
    """Everything that is dropped together."""

    ownership: Ownership
    operators: Sequence[Operator]
    manifest: Manifest
    committed_at: float  # processing time
    snapshot_at: float
    stale: set[bytes]  # pages of operators that are gone
    sums: dict[bytes, int] = field(default_factory=dict)  # of the durable pages
    outputs: list[Outgoing] = field(default_factory=list)
    uncommitted: int = 0  # records
    since_snapshot: int = 0  # records
    # operator → pages taken from it since S that are not durable yet
    pending: dict[str, dict[str, bytes]] = field(default_factory=dict)


def summed(sums: dict[bytes, int], pages: Mapping[bytes, bytes | None]) -> int:
    """Take `pages` into `sums`, a page of None out of it; return the sum of all.

    Each page counts with its key, in no order: CRC-32, exclusive or. Against loss and mix-ups, not
    against malice. A GB a second.
    """
    for key, page in pages.items():
        if page is None:
            sums.pop(key, None)
        else:
            sums[key] = zlib.crc32(page, zlib.crc32(key))
    return functools.reduce(operator.xor, sums.values(), 0)


def own_pages(operator: Operator, changelog: Mapping[bytes, bytes]) -> dict[str, bytes]:
    """Return the pages of `operator` under the names that it gave them."""
    prefix = f"{operator.name}/".encode()
    return {
        key[len(prefix) :].decode(): page
        for key, page in changelog.items()
        if key.startswith(prefix)
    }


def changelog_keys(operator: Operator, pages: Mapping[str, bytes]) -> dict[bytes, bytes]:
    """Return `pages` of `operator` under their keys in the changelog."""
    return {f"{operator.name}/{name}".encode(): page for name, page in pages.items()}


def stale_pages(operators: Sequence[Operator], changelog: Mapping[bytes, bytes]) -> set[bytes]:
    """Return the keys of pages whose operator is gone."""
    names = {operator.name for operator in operators}
    return {key for key in changelog if b"/" in key and key.decode().split("/")[0] not in names}
