"""The usual share of a namespace's pods that restart in half an hour, and how far one is beyond it.

Every half hour is one observation of a share. Its mean is learned with a half-life of seven days;
a half hour counts as `WEIGHT` pods however many there are, because pods of one namespace fail
together: without that, ten restarts of one cause would look like ten proofs. The chance of k of n
pods or more is then the tail of a beta-binomial. Constant time and 24 bytes a row.

Left to others: which pods and restarts count (`stream.operators.restarts`); joining the parts of a
namespace that other tasks hold (`alerting`).

References
----------
[1] J. G. Skellam, A probability distribution derived from the binomial by regarding the
    probability of success as variable between the sets of trials, JRSS B 10 (1948).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.base import Arrays, Floats, Rows
from models.tails import beta_binomial_surprise, finite

ALPHA: Final = 0.2  # before anything is known one pod in a hundred restarts in half an hour,
BETA: Final = 19.8  # known no better than from twenty pods
WEIGHT: Final = 2.0  # pods that one half hour counts for
HALF_LIFE: Final = 7 * 48.0  # half hours


class ShareBank:
    """Shares of restarting pods, a row per namespace.

    Attributes
    ----------
    alpha, beta : (capacity,)
        Decayed pods that did and that did not restart.
    seen : (capacity,)
        Half hours learned.
    """

    def __init__(self, capacity: int = 64) -> None:
        self._columns = {name: np.zeros(capacity) for name in ("alpha", "beta", "seen")}

    @property
    def capacity(self) -> int:
        """Rows that the arrays have room for."""
        return self._columns["seen"].size

    def reserve(self, capacity: int) -> None:
        """Grow to at least `capacity` rows; never shrinks."""
        more = capacity - self.capacity
        if more > 0:
            for name, column in self._columns.items():
                self._columns[name] = np.concatenate([column, np.zeros(more)])

    def forget(self, rows: Rows) -> None:
        """Make rows as new."""
        for column in self._columns.values():
            column[rows] = 0.0

    def arrays(self) -> Arrays:
        """Return the live arrays by name."""
        return dict(self._columns)

    def learn_many(self, rows: Rows, restarted: Floats, alive: Floats, weights: Floats) -> None:
        """Learn one half hour: `restarted` of `alive` pods; arrays (n,), rows distinct.

        A row with no pod alive, or with a number that is not finite, is skipped.
        """
        good = finite(restarted, alive, weights) & (alive > 0)
        rows, restarted, alive, weights = rows[good], restarted[good], alive[good], weights[good]
        share = np.clip(restarted / alive, 0.0, 1.0)
        keep = 2.0 ** (-1.0 / HALF_LIFE)
        alpha, beta, seen = (self._columns[name] for name in ("alpha", "beta", "seen"))
        alpha[rows] = alpha[rows] * keep + weights * WEIGHT * share
        beta[rows] = beta[rows] * keep + weights * WEIGHT * (1.0 - share)
        seen[rows] += weights

    def usual_many(self, rows: Rows) -> NDArray[np.float64]:
        """Return the expected share; pure."""
        alpha, beta = self._columns["alpha"][rows] + ALPHA, self._columns["beta"][rows] + BETA
        out: NDArray[np.float64] = alpha / (alpha + beta)
        return out

    def score_many(self, rows: Rows, restarted: Floats, alive: Floats) -> NDArray[np.float64]:
        """Return −log10 of the chance of so many restarting pods or more, (n,); pure."""
        alpha, beta = self._columns["alpha"][rows] + ALPHA, self._columns["beta"][rows] + BETA
        return np.array(
            [
                beta_binomial_surprise(int(k), int(n), float(a), float(b))
                if np.isfinite(k) and np.isfinite(n) and n >= k
                else 0.0
                for k, n, a, b in zip(restarted, alive, alpha, beta, strict=True)
            ]
        )
