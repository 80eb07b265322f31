"""The usual rate of restarts of many workloads, and how far a count is beyond it.

A workload's restarts are a Poisson count whose rate is Gamma distributed: shape ``a0 + counts``,
exposure ``b0 + days`` with what was learned halving every seven days. The chance of `k` or more in
a window is then the tail of a negative binomial: a workload that restarts daily needs far more for
a burst than one that never did, and one about which nothing is known lies between. Constant time
and 24 bytes a row.

Left to others: which restarts count at all, how much (one in an alert a tenth, so an incident is
hardly learned as usual), that they are learned only once they have left the longest window (a burst
never excuses itself), and a workload's `k` (`stream.operators.restarts`).
`models.restarts_reference` is the same in scalars.

References
----------
[1] A. Gelman et al., Bayesian Data Analysis, 3rd ed. (2013), 2.6: Poisson with exposure; its
    predictive distribution is negative binomial.
[2] M. West, P. J. Harrison, Bayesian Forecasting and Dynamic Models (1997), 10.8: discounting.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.base import Arrays, Floats, Rows
from models.tails import finite, negative_binomial_surprise

# Seconds, from the ladder's first rungs to a slow cycle of OOM kills: three in four hours are
# little for a workload that restarts now and then anyway, six in twelve are not.
WINDOWS: Final = (300.0, 900.0, 3600.0, 14_400.0, 43_200.0)
DAY: Final = 86_400.0
SHAPE: Final = 0.3  # a0: 0.1 restarts a day before anything is known, and very unsure of it
EXPOSURE: Final = 3.0  # b0, days
HALF_LIFE: Final = 7.0  # days: a week's rhythm is remembered, last month's build is not
LIFETIME: Final = HALF_LIFE / float(np.log(2.0))  # days: the exposure that an eternity adds up to


class RestartBank:
    """Restart rates, a row per workload.

    Attributes
    ----------
    counts, exposure, until : (capacity,)
        Decayed restarts, decayed days, and the Unix seconds up to which both are known (NaN: new).
    """

    def __init__(self, capacity: int = 1024) -> None:
        self._counts = np.zeros(capacity)
        self._exposure = np.zeros(capacity)
        self._until = np.full(capacity, np.nan)

    @property
    def capacity(self) -> int:
        """Rows that the arrays have room for."""
        return self._counts.size

    def reserve(self, capacity: int) -> None:
        """Grow to at least `capacity` rows; never shrinks."""
        more = capacity - self.capacity
        if more > 0:
            self._counts = np.concatenate([self._counts, np.zeros(more)])
            self._exposure = np.concatenate([self._exposure, np.zeros(more)])
            self._until = np.concatenate([self._until, np.full(more, np.nan)])

    def forget(self, rows: Rows) -> None:
        """Make rows as new."""
        self._counts[rows] = 0.0
        self._exposure[rows] = 0.0
        self._until[rows] = np.nan

    def arrays(self) -> Arrays:
        """Return the live arrays by name."""
        return {"counts": self._counts, "exposure": self._exposure, "until": self._until}

    def learn_many(self, rows: Rows, counts: Floats, times: Floats) -> None:
        """Learn that up to `times` there were `counts` more restarts than was known so far.

        Parameters
        ----------
        rows, counts, times : (n,)
            Distinct rows; restarts since the row's last time, weighted; Unix seconds. A first call
            starts the clock: its counts are learned, but no exposure. A time before the last adds
            counts and no exposure; what is not finite is skipped.
        """
        good = finite(counts, times)
        rows, counts, times = rows[good], counts[good], times[good]
        until = self._until[rows]
        days = np.where(np.isnan(until), 0.0, np.maximum(times - until, 0.0) / DAY)
        keep = np.exp2(-days / HALF_LIFE)
        self._counts[rows] = self._counts[rows] * keep + counts
        self._exposure[rows] = self._exposure[rows] * keep + LIFETIME * (1.0 - keep)
        self._until[rows] = np.fmax(until, times)

    def credit_many(self, rows: Rows, counts: Floats, days: Floats) -> None:
        """Learn a past that was not watched: `counts` restarts, evenly over the last `days`.

        A pod that shows restartCount 50 after ten days at first sight says what is usual there.
        """
        good = finite(counts, days) & (days > 0)
        rows, counts, days = rows[good], counts[good], days[good]
        seen = LIFETIME * (1.0 - np.exp2(-days / HALF_LIFE))
        self._counts[rows] += counts / days * seen
        self._exposure[rows] += seen

    def rate_many(self, rows: Rows) -> NDArray[np.float64]:
        """Return the expected restarts a day; pure."""
        out: NDArray[np.float64] = (SHAPE + self._counts[rows]) / (EXPOSURE + self._exposure[rows])
        return out

    def score_many(self, rows: Rows, k: Floats) -> NDArray[np.float64]:
        """Return −log10 of the chance of `k` or more restarts in each window; pure.

        Parameters
        ----------
        rows : (n,)
        k : (n, windows)
            Counts in each of `WINDOWS`; NaN scores 0.

        Returns
        -------
        scores : (n, windows)
        """
        known = np.where(np.isfinite(k), k, 0.0)
        shape = np.broadcast_to((SHAPE + self._counts[rows])[:, None], known.shape)
        windows = np.array(WINDOWS)[None, :] / DAY
        odds = windows / (windows + (EXPOSURE + self._exposure[rows])[:, None])
        return negative_binomial_surprise(known, shape, odds)
