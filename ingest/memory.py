"""Everything that is remembered of one cluster between two facts, and the counts of what came.

Guaranteed: bounded. Objects are remembered as `ingest.seen` and `ingest.workloads` say, versions
for the last `VERSIONS` objects. For a large process: call ``gc.freeze()`` once the first lists are
in, and the collector no longer walks over this memory.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import msgspec

from ingest.authors import Authors
from ingest.dependencies import Dependencies
from ingest.recent import Recent
from ingest.seen import Seen
from ingest.workloads import Workloads

VERSIONS: Final = 262_144  # objects whose last version is remembered per cluster; some 80 MB


class Stats(msgspec.Struct):
    """Counts of one resource's facts; they only ever rise."""

    seen: int = 0
    records: int = 0
    duplicates: int = 0
    late: int = 0
    rejected: int = 0


class Memory:
    """What one cluster has shown.

    Attributes
    ----------
    newest
        `at` of the newest fact.
    heard
        `at` of the last fact of each resource.
    """

    def __init__(
        self, *, ignore: frozenset[str] = frozenset(), events: int = 0, versions: int = VERSIONS
    ) -> None:
        self.seen = Seen()
        self.recent = Recent(events)
        self.workloads = Workloads(ignore=ignore)
        self.dependencies = Dependencies(self.workloads)
        self.authors = Authors()
        self.newest = float("-inf")
        self.heard: dict[str, float] = {}
        self._capacity = versions
        self._versions: OrderedDict[str, str] = OrderedDict()

    def knows(self, uid: str, version: str) -> bool:
        """Return whether this was the object's last version; "" is never known."""
        return bool(version) and self._versions.get(uid) == version

    def remember(self, uid: str, version: str) -> None:
        """Keep the last version of an object."""
        self._versions[uid] = version
        self._versions.move_to_end(uid)
        if len(self._versions) > self._capacity:
            self._versions.popitem(last=False)
