"""How unusual the flow of one kind of event is, for many kinds at once.

A row follows one key: a workload and a reason, or a reason in a namespace, in the cluster, on a
node. It answers two questions about the last half hour:

- *return period*: how often did this key reach so many? Counts rise through half-octave levels;
  an episode that reached level j is an up-crossing of all levels to j, learned when it is over,
  with a half-life of seven days; rates of higher levels lean on lower ones. −log10 of the rate a
  day: 0 is daily, 2 is once in a hundred days;
- *excess*: by how many standard deviations the count over half an hour and three hours lies above
  the key's own mean, learned with a half-life of three days.

Windows are two buckets each, the older one fading out linearly, so a row is constant in size (about
300 bytes) and time whatever the traffic. A new row is told how long the cluster was watched without
it (`credit_many`): silence is knowledge.

Left to others: what the keys are, and what to make of the numbers (`stream.operators.events`).
`models.events_reference` is one row of the same, readable.

References
----------
[1] M. R. Leadbetter, G. Lindgren, H. Rootzén, Extremes and Related Properties of Random Sequences
    and Processes (1983), ch. 7: up-crossings and return periods.
[2] W. A. Gale, G. Sampson, Good-Turing frequency estimation without tears, J. Quantitative
    Linguistics 2 (1995): why what was never seen has a rate above nothing.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.base import Arrays, Floats, Rows
from models.tails import finite

DAY: Final = 86_400.0
WINDOWS: Final = np.array([300.0, 1800.0, 10_800.0])  # seconds
LEVELS: Final = 26  # half-octaves: to 2^13 events in half an hour
HALF_LIFE: Final = 7.0  # days, of up-crossings
LIFETIME: Final = HALF_LIFE / float(np.log(2.0))
MEAN_HALF_LIFE: Final = 3.0  # days, of means
PRIOR_DAYS: Final = 1.0  # kappa: the prior rate counts as one day
PRIOR_RATE: Final = 0.1  # a day: what a key does of which nothing is known
TAIL: Final = 0.8  # of episodes that reach a level reach the next, before anything is known,
TAIL_WEIGHT: Final = 2.0  # known no better than from two episodes
EPISODE: Final = 12 * 3600.0  # seconds after which an episode begins anew
MATURE: Final = 0.9  # days that a mean must have seen
_STEPS: Final = np.arange(LEVELS)
_KEEP: Final = np.exp2(-WINDOWS / DAY / MEAN_HALF_LIFE)  # of a mean, over one bucket


class EventBank:
    """Event flows, a row per key.

    Attributes
    ----------
    current, previous, bucket : (capacity, 3)
        Counts of the running and the last full bucket of each of `WINDOWS`, and its number.
    total, square, seen : (capacity, 3)
        Decayed sums of full buckets, of their squares, and of ones.
    crossings : (capacity, 26)
        Decayed up-crossings of each level of the half-hour count by episodes that are over.
    exposure, until : (capacity,)
        Decayed days, and the Unix seconds up to which all is known (NaN: new).
    top, began : (capacity,)
        Highest level of the running episode (-1: none) and when it began.
    """

    def __init__(self, capacity: int = 1024) -> None:
        self._columns = _new(capacity)

    @property
    def capacity(self) -> int:
        """Rows that the arrays have room for."""
        return self._columns["until"].size

    def reserve(self, capacity: int) -> None:
        """Grow to at least `capacity` rows; never shrinks."""
        more = capacity - self.capacity
        if more > 0:
            fresh = _new(more)
            self._columns = {
                name: np.concatenate([column, fresh[name]])
                for name, column in self._columns.items()
            }

    def forget(self, rows: Rows) -> None:
        """Make rows as new."""
        fresh = _new(1)
        for name, column in self._columns.items():
            column[rows] = fresh[name][0]

    def arrays(self) -> Arrays:
        """Return the live arrays by name."""
        return dict(self._columns)

    def credit_many(self, rows: Rows, days: Floats, times: Floats) -> None:
        """Learn that new rows were silent for `days` before `times`; arrays (n,)."""
        good = finite(days, times) & (days >= 0)
        rows, days, times = rows[good], days[good], times[good]
        c = self._columns
        c["exposure"][rows] = LIFETIME * (1.0 - np.exp2(-days / HALF_LIFE))
        c["until"][rows] = times
        c["bucket"][rows] = np.floor(times[:, None] / WINDOWS)
        full = np.floor(days[:, None] * DAY / WINDOWS)
        c["seen"][rows] = (1.0 - _KEEP**full) / (1.0 - _KEEP)

    def learn_many(self, rows: Rows, counts: Floats, times: Floats, weights: Floats) -> None:
        """Learn `counts` more events at `times`.

        Parameters
        ----------
        rows, counts, times, weights : (n,)
            Distinct rows; events since the row's last time; Unix seconds; the weight with which an
            episode that ended before is learned, 0 to 1 (an incident that was told is hardly
            usual). A time before the last counts as the last; what is not finite is skipped.
        """
        good = finite(counts, times, weights) & (counts >= 0)
        rows, counts, times, weights = rows[good], counts[good], times[good], weights[good]
        c = self._columns
        until = c["until"][rows]
        times = np.fmax(times, until)
        days = np.where(np.isnan(until), 0.0, times - np.where(np.isnan(until), 0.0, until)) / DAY
        keep = np.exp2(-days / HALF_LIFE)
        c["exposure"][rows] = c["exposure"][rows] * keep + LIFETIME * (1.0 - keep)
        self._turn(rows, times)
        quiet = _level(self._sliding(rows, times)[:, 1])
        top, began = c["top"][rows], c["began"][rows]
        ended = (quiet < 0) | (quiet < top - 2) | (times - began >= EPISODE)
        crossed = ended[:, None] & (top[:, None] >= _STEPS)
        c["crossings"][rows] = c["crossings"][rows] * keep[:, None] + weights[:, None] * crossed
        top = np.where(ended, -1, top)
        c["current"][rows] += counts[:, None]
        level = _level(self._sliding(rows, times)[:, 1])
        c["began"][rows] = np.where((top < 0) & (level >= 0), times, began)
        c["top"][rows] = np.maximum(top, level)
        c["until"][rows] = times

    def _turn(self, rows: Rows, times: Floats) -> None:
        """Close the buckets that have ended by `times`; empty ones in closed form."""
        c = self._columns
        number = np.floor(times[:, None] / WINDOWS)
        known = c["bucket"][rows]
        steps = np.where(np.isnan(known), 0.0, np.maximum(number - known, 0.0))
        current, previous = c["current"][rows], c["previous"][rows]
        total, square, seen = c["total"][rows], c["square"][rows], c["seen"][rows]
        mean, deviation = _moments(total, square, seen)
        value = np.minimum(current, mean + 6.0 * deviation + 3.0)
        turned = steps >= 1
        empty = _KEEP ** np.maximum(steps - 1.0, 0.0)
        c["total"][rows] = np.where(turned, (total * _KEEP + value) * empty, total)
        c["square"][rows] = np.where(turned, (square * _KEEP + value * value) * empty, square)
        gained = (seen * _KEEP + 1.0) * empty + (1.0 - empty) / (1.0 - _KEEP)
        c["seen"][rows] = np.where(turned, gained, seen)
        c["previous"][rows] = np.where(turned, np.where(steps == 1, current, 0.0), previous)
        c["current"][rows] = np.where(turned, 0.0, current)
        c["bucket"][rows] = np.fmax(known, number)

    def _sliding(self, rows: Rows, times: Floats) -> NDArray[np.float64]:
        c = self._columns
        phase = np.clip(times[:, None] / WINDOWS - c["bucket"][rows], 0.0, 1.0)
        out: NDArray[np.float64] = c["current"][rows] + c["previous"][rows] * (1.0 - phase)
        return out

    def count_many(self, rows: Rows) -> NDArray[np.float64]:
        """Return the counts over `WINDOWS` at each row's last time, (n, 3); pure."""
        until = np.where(np.isnan(self._columns["until"][rows]), 0.0, self._columns["until"][rows])
        return np.where(np.isnan(self._columns["bucket"][rows]), 0.0, self._sliding(rows, until))

    def excess_many(self, rows: Rows) -> NDArray[np.float64]:
        """Return by how many deviations the half-hour and three-hour counts are high, (n, 2); pure.

        0 while the means have seen less than `MATURE` days.
        """
        c = self._columns
        counts = self.count_many(rows)[:, 1:]
        seen = c["seen"][rows][:, 1:]
        mean, deviation = _moments(c["total"][rows][:, 1:], c["square"][rows][:, 1:], seen)
        z = (counts - mean) / np.sqrt(deviation**2 + 0.25 * mean**2 + 1.0)
        return np.where(seen * WINDOWS[1:] / DAY < MATURE, 0.0, z)

    def return_many(self, rows: Rows) -> NDArray[np.float64]:
        """Return −log10 of the daily rate at which the episode's level is reached, (n,); pure.

        0 for a row without a running episode. At most 2.05 for a first event; each half-octave
        that was never reached adds 0.1 or more, the more is known.
        """
        c = self._columns
        crossings, top = c["crossings"][rows], c["top"][rows]
        rate = (crossings[:, 0] + PRIOR_DAYS * PRIOR_RATE) / (c["exposure"][rows] + PRIOR_DAYS)
        passed = (crossings[:, 1:] + TAIL_WEIGHT * TAIL) / (crossings[:, :-1] + TAIL_WEIGHT)
        passed = np.where(_STEPS[1:] <= top[:, None], np.minimum(passed, 1.0), 1.0)
        return np.where(top >= 0, -np.log10(rate * passed.prod(axis=1)), 0.0)


def _new(capacity: int) -> dict[str, NDArray[np.float64]]:
    three = {name: np.zeros((capacity, 3)) for name in ("current", "previous", "total")}
    return {
        **three,
        "square": np.zeros((capacity, 3)),
        "seen": np.zeros((capacity, 3)),
        "bucket": np.full((capacity, 3), np.nan),
        "crossings": np.zeros((capacity, LEVELS)),
        "exposure": np.zeros(capacity),
        "until": np.full(capacity, np.nan),
        "top": np.full(capacity, -1.0),
        "began": np.zeros(capacity),
    }


def _level(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the half-octave of counts, -1 below one event."""
    # 1e-9 keeps 2^(j/2) on the upper side of its border, however the logarithm rounds.
    level = np.floor(2.0 * np.log2(np.maximum(counts, 1.0)) + 1e-9)
    return np.where(counts >= 1.0, np.minimum(level, LEVELS - 1), -1.0)


def _moments(
    total: NDArray[np.float64], square: NDArray[np.float64], seen: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of the buckets learned."""
    n = np.maximum(seen, 1.0)
    mean = total / n
    return mean, np.sqrt(np.maximum(square / n - mean * mean, 0.0))
