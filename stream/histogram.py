"""Counts of durations, as Prometheus' histograms want them: cheap to fill, read by whoever exports.

Guaranteed: `observe` is one bisection, memory is a number per bound. Left to others: names, labels
and exposition (`forewarn.families`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

# Seconds; from a step of a task to a message that was tried for half an hour.
SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 600.0)


class Histogram:
    """How many values there were up to each bound, and their sum.

    Examples
    --------
    >>> durations = Histogram((1.0, 10.0))
    >>> for seconds in (0.5, 1.0, 2.0, 60.0):
    ...     durations.observe(seconds)
    >>> durations.counts, durations.total
    ([2, 1, 1], 63.5)
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)  # the last one: above all bounds
        self.total = 0.0

    def add(self, other: Histogram) -> None:
        """Count all that `other` has counted; its bounds are the same."""
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        self.total += other.total

    def observe(self, value: float) -> None:
        """Count one value; a bound holds what equals it. A clock set back counts as no time."""
        value = max(value, 0.0)
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value
