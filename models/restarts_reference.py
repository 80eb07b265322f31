"""One workload's restart rate in plain scalars: what `models.restarts.RestartBank` must equal.

The tail is summed term by term from the definition of the negative binomial, not through the
incomplete beta function, so the two share no formula but the model itself.
"""

from __future__ import annotations

import math

from models.restarts import DAY, EXPOSURE, HALF_LIFE, LIFETIME, SHAPE, WINDOWS


class RestartRate:
    """The usual rate of one workload; the verbs of the bank, one row at a time."""

    def __init__(self) -> None:
        self.counts = 0.0
        self.exposure = 0.0
        self.until: float | None = None

    def learn_one(self, count: float, time: float) -> None:
        """Learn that up to `time` there were `count` more restarts than was known so far."""
        if not (math.isfinite(count) and math.isfinite(time)):
            return
        days = 0.0 if self.until is None else max(time - self.until, 0.0) / DAY
        keep = 2.0 ** (-days / HALF_LIFE)
        self.counts = self.counts * keep + count
        self.exposure = self.exposure * keep + LIFETIME * (1.0 - keep)
        self.until = time if self.until is None else max(self.until, time)

    def credit_one(self, count: float, days: float) -> None:
        """Learn an unwatched past: `count` restarts, evenly over the last `days`."""
        if not (math.isfinite(count) and math.isfinite(days) and days > 0):
            return
        seen = LIFETIME * (1.0 - 2.0 ** (-days / HALF_LIFE))
        self.counts += count / days * seen
        self.exposure += seen

    def rate(self) -> float:
        """Return the expected restarts a day."""
        return (SHAPE + self.counts) / (EXPOSURE + self.exposure)

    def score_one(self, k: tuple[float, ...]) -> tuple[float, ...]:
        """Return −log10 P(K ≥ k) for each of `WINDOWS`; `k` are whole numbers.

        The term for i restarts is Γ(a+i) / (Γ(a) i!) · (1−q)^a · q^i with q = w / (w + b).
        """
        shape, exposure = SHAPE + self.counts, EXPOSURE + self.exposure
        scores = []
        for count, window in zip(k, WINDOWS, strict=True):
            if not math.isfinite(count) or count <= 0:
                scores.append(0.0)
                continue
            q = window / DAY / (window / DAY + exposure)
            i = int(count)
            log_term = (
                math.lgamma(shape + i)
                - math.lgamma(shape)
                - math.lgamma(i + 1)
                + shape * math.log1p(-q)
                + i * math.log(q)
            )
            total, ratio = 0.0, 1.0
            while ratio > 1e-18 * total or i < shape * q / (1.0 - q):
                total += ratio
                ratio *= (shape + i) / (i + 1) * q
                i += 1
            scores.append(max(0.0, -(log_term + math.log(total)) / math.log(10.0)))
        return tuple(scores)
