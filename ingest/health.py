"""What each source is doing, and when ingest may call itself ready.

A `Status` is the one thing that a source keeps about itself: its phase, the last byte it heard, why
it waits, and counters. `Health` reads them: ready means that every list is complete and the last
byte of every watch is young, which is what a person assumes when a probe answers 200.

Guaranteed: reading never waits and never changes anything. A standby (another replica holds the
lease) is ready, or a rolling update would never end. Left to others: HTTP, metric names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from stream.histogram import Histogram

Phase = Literal["new", "connecting", "listing", "watching", "waiting", "sampling", "stopped"]

# A watch reconnects after its idle time; a probe fails only when that did not help either.
SLACK: Final = 30.0  # seconds beyond a source's own `patience`


@dataclass(slots=True)
class Status:
    """One source's account of itself. Times are Unix seconds, None: not yet."""

    cluster: str
    source: str
    """Resource, with the namespace behind it where it is watched alone: "pods", "pods/shop"."""
    patience: float = 150.0
    """Seconds without a byte after which the source itself takes its connection for dead."""
    required: bool = True
    """Whether ingest is unready without it; samples only leave the picture poorer."""
    phase: Phase = "new"
    listing_since: float = 0.0
    """When the last list was begun."""
    listed_at: float | None = None
    """When the last list was complete."""
    heard_at: float | None = None
    """When the last byte came: an event, a bookmark, a sample."""
    retry_at: float | None = None
    """End of the present wait."""
    reason: str = ""
    """Why it waits, for a person: names the verb and the resource that RBAC lacks."""
    known: int = 0
    """Objects that the server is known to have."""
    counts: Counter[str] = field(default_factory=Counter)
    """lists (their pages), watches, facts, waits, bookmarks, gaps, broken_lines, bytes,
    "restart:<reason>"."""
    lists: Histogram = field(default_factory=Histogram)
    """Seconds that each complete list took, its pages or its stream together."""


class Check(NamedTuple):
    """One line of ``/readyz?verbose``."""

    name: str  # "prod/watch:pods"
    passed: bool
    text: str  # "last byte 3 s ago"


class Health:
    """Whether the sources may be relied on.

    Parameters
    ----------
    statuses
        One per source; the list may grow while it is read.
    standby
        Says whether another replica does the work now.
    """

    def __init__(
        self, statuses: Sequence[Status], standby: Callable[[], bool] = lambda: False
    ) -> None:
        self._statuses = statuses
        self._standby = standby

    def checks(self, now: float) -> list[Check]:
        """Return one check per source; none where this replica stands by."""
        if self._standby():
            return [Check("lease", True, "standing by: another replica holds the lease")]
        return [_check(status, now) for status in self._statuses]

    def ready(self, now: float) -> bool:
        """Return whether every list is complete and every watch was heard of lately."""
        checks = self.checks(now)
        return bool(checks) and all(check.passed for check in checks)


def _check(status: Status, now: float) -> Check:
    name = f"{status.cluster}/watch:{status.source}"
    why = f": {status.reason}" if status.reason else ""
    if not status.required:
        return Check(name, True, f"{status.phase}{why}")
    if status.listed_at is None:
        return Check(name, False, f"not listed yet ({status.phase}){why}")
    if status.heard_at is None:
        return Check(name, False, f"nothing heard yet ({status.phase}){why}")
    age = now - status.heard_at
    passed = age <= status.patience + SLACK
    return Check(name, passed, f"last byte {age:.0f} s ago ({status.phase}){'' if passed else why}")
