"""Who wants to know what became of every single event line: the operator's decisions as they fall.

The account (`event-noise`) counts; a witness sees each. The live product runs without one; the
backtest answers with it for every line of a person's own data. A witness only listens.
"""

from __future__ import annotations

from typing import Literal, Protocol

from stream.operators.event_groups import Group
from stream.records import Finding

Dismissal = Literal["normal", "duplicate", "usual", "learning"]


class Witness(Protocol):
    """Takes decisions in the order in which they fall; times are event times of the decision."""

    def dismissed(self, why: Dismissal) -> None:
        """Hear that the line just given is nothing to look at."""
        ...

    def counted(self, key: str) -> None:
        """Hear that the line just given waits to be judged under ``subject|reason``."""
        ...

    def usual(self, key: str, why: Dismissal, at: float) -> None:
        """Hear that what was counted under the key is nothing unusual."""
        ...

    def placed(self, key: str, group: Group, at: float, *, stranger: bool) -> None:
        """Hear to which group it belongs, and whether it made that stranger."""
        ...

    def said(self, group: Group, finding: Finding, at: float) -> None:
        """Hear that a group was said."""
        ...

    def folded(self, group: Group, into: int, at: float) -> None:
        """Hear that a group is part of another, which was said."""
        ...

    def ended(self, group: Group, at: float) -> None:
        """Hear that a group is over; if not said or folded, it never weighed enough."""
        ...


class Nobody:
    """The witness of the live product, which does not listen."""

    def dismissed(self, why: Dismissal) -> None:
        """Not listen."""

    def counted(self, key: str) -> None:
        """Not listen."""

    def usual(self, key: str, why: Dismissal, at: float) -> None:
        """Not listen."""

    def placed(self, key: str, group: Group, at: float, *, stranger: bool) -> None:
        """Not listen."""

    def said(self, group: Group, finding: Finding, at: float) -> None:
        """Not listen."""

    def folded(self, group: Group, into: int, at: float) -> None:
        """Not listen."""

    def ended(self, group: Group, at: float) -> None:
        """Not listen."""
