"""What an operator is: a deterministic step from the records of one topic to conclusions.

An operator is synchronous and pure in the large: no I/O, no clock, no unseeded chance, no iteration
over sets. The same records in the same order give the same outputs and the same state **whatever
the borders between the calls**, so a replay is bit-identical; the conformance suite
(`tests/conformance/test_operators.py`) tries that on every row of the table `OPERATORS`.

It reads exactly one input topic, so the interleaving of topics cannot matter. Its event time is the
largest `at` that it has seen; whatever it says carries that time, never an older one, which lets
alerting put several operators in order (`stream.records.Progress` is sent by the runtime).

Left to others: keys, offsets, transactions and dead letters (`stream.runtime`), joining several
facts into an incident (`alerting`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from stream.records import Finding, Forecast, Point

Output = Finding | Forecast | Point


class Place(NamedTuple):
    """Where an operator runs; goes into `Finding.source` as ``topic/partition``."""

    partition: int
    partitions: int


class Operator(Protocol):
    """A deterministic step over one topic."""

    @property
    def name(self) -> str:
        """Name of the operator, unique; the prefix of its pages in the changelog."""
        ...

    @property
    def topic(self) -> str:
        """The one input topic that it reads."""
        ...

    def on_records(self, records: Sequence[Any]) -> Sequence[Output]:
        """Learn from records of its topic, `Tick`s among them, in log order; return conclusions.

        Raises
        ------
        Rejected
            One record cannot be used. The runtime then restores the operator, finds the record by
            bisection and sends it to the dead letters; the others are offered again.
        """
        ...

    def snapshot(self) -> Mapping[str, bytes]:
        """Return the pages of state that changed since the last `snapshot` or `restore`.

        All pages together are the whole state; a page is replaced, never patched.
        """
        ...

    def restore(self, pages: Mapping[str, bytes]) -> None:
        """Become what the pages say, from any state; no pages: as new.

        Raises
        ------
        Corrupt
            The pages are of another version or contradict each other.
        """
        ...
