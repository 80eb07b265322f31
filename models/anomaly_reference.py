"""One row of `models.anomaly`, written to be read: the oracle that the bank must equal.

The same steps with plain numbers, in the order in which they happen. Nothing in production uses it.
`state` answers with the names and shapes of the bank's arrays. About 15 µs a sample.
"""

from __future__ import annotations

import math

import numpy as np

from models.anomaly import (
    BINS,
    CAP_Z,
    CELLS,
    CONTEXT_LEAST,
    DAY,
    FAST,
    HISTORY,
    HOUR,
    KNOWN,
    LAG,
    LEVEL,
    LOUDER,
    OLD,
    PROFILE_SHARE,
    RARITY_LEAST,
    SILENT_SAMPLES,
    SILENT_SECONDS,
    SLOW,
    SMOOTH,
    THRESHOLD,
    WARM,
    WEIGHTS,
    WINSOR,
    YOUNG,
    YOUNG_SHORT,
    YOUNG_SURE,
)
from models.base import Arrays

_TINY = 1e-12


def tail(z: float) -> float:
    """Return −log10 of both tails of the normal distribution, within 0.08."""
    return (z * z / 2 + math.log(1 + 1.2533 * z)) / math.log(10)


class AnomalyReference:
    """The oddity of one series.

    Examples
    --------
    >>> series = AnomalyReference()
    >>> said = [series.learn_one(300.0 * i, float(i % 7)) for i in range(2000)]
    >>> series.learn_one(300.0 * 2000, 40.0) >= THRESHOLD
    True
    """

    def __init__(self) -> None:
        self.time = self.start = self.step = math.nan
        self.seen = 0
        self.smooth = self.level = self.last = math.nan
        self.anchor_time, self.anchors = math.nan, (math.nan, math.nan)
        self.variances = [0.0, 0.0, 0.0]
        self.usual = 0.0
        self.profile: dict[int, float] = {}
        self.means = (math.nan, math.nan)
        self.highest, self.lowest = [-math.inf] * 3, [math.inf] * 3
        self.centre = self.scale = self.counted = 0.0
        self.cells = [0.0] * CELLS
        self.jumps = (0.0, 0.0, 0.0)
        self.said, self.since, self.said_at = 0.0, 0, -math.inf

    def learn_one(self, time: float, value: float) -> float:
        """Return what is said of a sample, and learn it."""
        if not (math.isfinite(time) and math.isfinite(value)):
            return 0.0
        if math.isnan(self.time):
            self.time = self.start = self.anchor_time = time
            self.smooth = self.level = self.last = self.centre = value
            self.anchors, self.means = (value, value), (value, value)
            self.profile[self._hour(time)] = value
            self.highest[0] = self.lowest[0] = value
            self.seen = 1
            return 0.0
        if time <= self.time:
            return 0.0
        passed = time - self.time
        young = time - self.start < YOUNG
        usual_now = self._smooth(time, value, passed)
        context = self._context(time, usual_now, passed)
        records = self._records(value, usual_now)
        rarity = self._rarity(value)
        jump = self._jump(value)
        age = min(1.0, self.seen / OLD) ** 0.25
        parts = [*(record * age for record in records), context, rarity]
        weighed = [part * weight for part, weight in zip(parts, WEIGHTS, strict=True)]
        raw = jump if young else math.sqrt(sum(part**2 for part in weighed))
        self.time, self.seen = time, self.seen + 1
        return self._say(time, raw)

    def _hour(self, time: float) -> int:
        return int(time // HOUR % BINS)

    def _smooth(self, time: float, value: float, passed: float) -> float:
        weight = max(1 - math.exp(-passed / SMOOTH), 1 / (self.seen + 1))
        self.smooth += (1.0 if passed >= SMOOTH else weight) * (value - self.smooth)
        hour = self._hour(time)
        usual = self.profile.get(hour, self.smooth)
        share = max(PROFILE_SHARE, 1 / (1 + (time - self.start) / DAY))
        kept = max(1 - share, _TINY) ** (min(passed, HOUR) / HOUR)
        self.profile[hour] = usual + (1 - kept) * (self.smooth - usual)
        return usual

    def _context(self, time: float, usual_now: float, passed: float) -> float:
        step = passed if math.isnan(self.step) else self.step
        self.step = step + 0.05 * (min(passed, 10 * step) - step)
        coarse = self.step >= 3000.0
        older = self.anchors[0] if coarse else self.anchors[1]
        offs = [self.smooth - self.level, self.smooth - older, self.smooth - usual_now]
        deviations = [math.sqrt(variance) for variance in self.variances]
        z = min(CAP_Z, *(abs(o) / max(s, _TINY) for o, s in zip(offs, deviations, strict=True)))
        score = tail(z) / (5 + 10 * math.sqrt(self.usual))
        weight = max(1 - math.exp(-passed / LEVEL), 1 / (self.seen + 1))
        for i, (off, deviation) in enumerate(zip(offs, deviations, strict=True)):
            bound = WINSOR * deviation if self.seen > WARM else math.inf
            held = max(-bound, min(bound, off))
            self.variances[i] += weight * (held**2 - self.variances[i])
        self.level += weight * (self.smooth - self.level)
        self.usual += weight * (min(tail(z), 10.0) ** 2 - self.usual)
        if coarse or time - self.anchor_time >= LAG:
            self.anchors, self.anchor_time = (self.smooth, self.anchors[0]), time
        return score if self.seen > WARM and score >= CONTEXT_LEAST else 0.0

    def _records(self, value: float, usual_now: float) -> list[float]:
        fast, slow = self.means
        fast, slow = fast + FAST * (value - fast), slow + SLOW * (value - slow)
        self.means = (fast, slow)
        out = []
        for i, face in enumerate((value, value - usual_now, fast - slow)):
            high, low = self.highest[i], self.lowest[i]
            beyond = max(face - high, low - face)
            if self.seen > KNOWN and beyond > 0:
                out.append(math.sqrt(min(1.0, beyond / max(high - low, _TINY))))
            else:
                out.append(0.0)
            self.highest[i], self.lowest[i] = max(high, face), min(low, face)
        return out

    def _rarity(self, value: float) -> float:
        off = value - self.centre
        if self.seen < WARM:
            self.centre += off / (self.seen + 1)
            self.scale += off * (value - self.centre)  # Welford's sum of squares
            if self.seen == WARM - 1:
                self.scale = math.sqrt(self.scale / WARM)
            return 0.0
        place = 20 + 5 * math.asinh(off / max(self.scale, 1e-3 * abs(self.centre), 1e-9))
        cell = int(max(0, min(CELLS - 1, np.rint(place))))
        left = self.cells[cell - 1] if cell else 0.0
        right = self.cells[cell + 1] if cell < CELLS - 1 else 0.0
        share = (self.cells[cell] + (left + right) / 2 + 0.5) / (self.counted + 1)
        score = -math.log10(min(share, 1.0)) / 4
        self.cells[cell] += 1
        self.counted += 1
        if self.counted >= HISTORY:
            self.cells = [count / 2 for count in self.cells]
            self.counted /= 2
        return score if self.seen > KNOWN and score >= RARITY_LEAST else 0.0

    def _jump(self, value: float) -> float:
        jump = abs(value - self.last)
        short, mean, variance = self.jumps
        short += YOUNG_SHORT * (jump - short)
        spread = math.sqrt(max(variance * YOUNG_SHORT / (2 - YOUNG_SHORT), _TINY**2))
        z = max(0.0, min(CAP_Z, (short - mean) / max(spread, 1e-3 * mean + _TINY)))
        bound = WINSOR * math.sqrt(variance) if self.seen > WARM else math.inf
        held = min(jump - mean, bound)
        weight = 1 / min(self.seen + 1, OLD)
        self.jumps = (short, mean + weight * held, variance + weight * (held**2 - variance))
        self.last = value
        return min(THRESHOLD * tail(z) / YOUNG_SURE, 1.0) if self.seen > WARM else 0.0

    def _say(self, time: float, raw: float) -> float:
        self.since += 1
        if self.since > SILENT_SAMPLES and time - self.said_at > SILENT_SECONDS:
            self.said = 0.0
        if raw <= LOUDER * self.said or raw <= 0:
            return 0.0
        self.said, self.since, self.said_at = raw, 0, time
        return raw

    def state(self) -> Arrays:
        """Return the state by the bank's names, without the leading axis of rows."""
        profile = np.full(BINS, np.nan)
        for hour, value in self.profile.items():
            profile[hour] = value
        names = (
            *("time", "start", "seen", "step", "smooth", "anchor_time", "anchors", "level"),
            *("variances", "usual", "means", "highest", "lowest", "centre", "scale", "counted"),
            *("cells", "last", "jumps", "said", "since", "said_at"),
        )
        return {"profile": profile, **{name: np.array(getattr(self, name)) for name in names}}
