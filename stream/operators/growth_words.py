"""What a growth forecast says to a person: sentences, reasons, and the forecast record itself.

Every sentence is a fact with its number and unit; nothing here decides anything.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from models.calibration import Odds
from models.crossing import HORIZONS, Evidence, Outlook
from models.sawtooth import Reclaim
from stream.operators.conclude import span
from stream.operators.growth_series import CONTAINER, Sample, place_of
from stream.records import Forecast, Part

_UNITS = (("TiB", 2.0**40), ("GiB", 2.0**30), ("MiB", 2.0**20), ("KiB", 2.0**10))


class Said(NamedTuple):
    """What the models say of one series, at one closed slot: row `row` of the arrays."""

    outlook: Outlook
    odds: Odds
    row: int
    waited: float  # seconds from the end of the slot to the sample that closed it

    @property
    def left(self) -> tuple[float, float, float]:
        """P10, P50, P90 of seconds left; inf where none is foreseen."""
        low, middle, high = (
            max(0.0, float(hours) * 3600 - self.waited) for hours in self.odds.hours[self.row]
        )
        return low, middle, high

    @property
    def within(self) -> tuple[float, float]:
        """Odds of a crossing within 24 and 72 hours."""
        return float(self.odds.crossing[self.row, 0]), float(self.odds.crossing[self.row, 2])


def amount(value: float, unit: str) -> str:
    """Return a quantity as people read it.

    Examples
    --------
    >>> amount(3.5 * 2**30, "bytes"), amount(-3.0e6, "bytes"), amount(2.5, "cores")
    ('3.5 GiB', '-2.9 MiB', '2.50 cores')
    """
    if unit == "bytes":
        for name, size in _UNITS:
            if abs(value) >= size:
                return f"{value / size:.1f} {name}"
        return f"{value:.0f} B"
    return f"{value:.2f} {unit}" if unit == "cores" else f"{value:,.0f} {unit}"


def summary(sample: Sample, said: Said) -> str:
    """Return the finding's one line; when that will be is `expected_at`, which goes on counting."""
    place = place_of(sample)
    left = said.left[1]
    if left == 0:
        return f"{place} is exhausted"
    if not math.isfinite(left):
        return f"{place}: no exhaustion is foreseen any more"
    what = "reaches its limit" if sample.kind is CONTAINER else "runs full"
    return f"{place} {what}"


def reasons(sample: Sample, said: Said) -> tuple[Part, ...]:
    """Return the evidence, most telling first."""
    outlook, row = said.outlook, said.row
    low, middle, high = said.left
    unit, scale = sample.kind.unit, sample.size / 100
    parts = []
    if middle == 0:
        parts.append(Part("time_left", 0.0, "the limit is reached now"))
    elif math.isfinite(middle):
        late = span(high) if math.isfinite(high) else "open-ended"
        text = f"{span(low)} to {late} left (8 of 10 cases), {span(middle)} most likely"
        parts.append(Part("time_left", round(middle), text))
    limit = sample.limit * scale
    text = (
        f"{amount(sample.value, unit)} of {amount(limit, unit)}: {sample.kind.why}"
        if sample.limit == 100
        else f"{amount(sample.value, unit)} of {amount(limit, unit)} "
        f"({sample.limit:.0f} % of {amount(sample.size, unit)}): {sample.kind.why}"
    )
    parts.append(Part("limit", limit, text))
    growth = float(outlook.slope[row]) * scale
    parts.append(Part("growth_per_hour", growth, f"grows {amount(growth, unit)} an hour"))
    parts.append(Part("evidence", _name(outlook, row), _evidence(said)))
    if (sentence := _reclaim(outlook, row)) is not None:
        parts.append(Part("reclaim", Reclaim(int(outlook.reclaim[row])).name.lower(), sentence))
    if outlook.lives[row] >= 2:
        lives = float(outlook.lives[row])
        life, spread = float(outlook.life[row]) * 3600, float(outlook.life_spread[row]) * 3600
        text = (
            f"{lives:.0f} earlier generations ended at the limit; of late they lived "
            f"{span(life)} ± {span(spread)}"
        )
        parts.append(Part("lifetimes", lives, text))
    if math.isfinite(middle) and middle > 0:
        second = float(outlook.second[row])
        if math.isnan(second):
            text = "no second opinion: less than two days of history"
        elif math.isinf(second):
            text = "the second opinion (day-over-day drift, lesser of two days) sees no crossing"
        else:
            text = f"the second opinion (lesser drift of two days) says {span(second * 3600)}"
        parts.append(Part("second_opinion", second if math.isfinite(second) else -1.0, text))
    within24, within72 = said.within
    text = f"{within24:.0%} within a day, {within72:.0%} within three"
    parts.append(Part("odds", round(within24, 3), text))
    if said.odds.learning[row]:
        age = float(outlook.age[row])
        parts.append(Part("learning", age, f"only {age:.0f} h of history: wider bands"))
    return tuple(parts)


def _name(outlook: Outlook, row: int) -> str:
    return Evidence(int(outlook.evidence[row])).name.lower().replace("_", "-")


def _evidence(said: Said) -> str:
    """Return what the forecast rests on."""
    outlook, row = said.outlook, said.row
    if outlook.fast[row]:
        sure = min(float(outlook.certainty[row]), 999.0)
        return (
            f"it rises where it has not been for three days; the slope is {sure:.0f} standard "
            "deviations from zero and would reach the limit even if it goes on slowing as it did"
        )
    match Evidence(int(outlook.evidence[row])):
        case Evidence.RECLAIM_SEEN:
            return "something was freed lately, but not dependably"
        case Evidence.SAW:
            return "a regular sawtooth whose floor rises"
        case Evidence.BRIEF:
            return "it has grown on less than two days"
        case _:
            return (
                "it has grown on both of two days; the forecasters' hindcast is "
                f"{float(outlook.skill[row]):.0%} better than 'as it is now'"
            )


def _reclaim(outlook: Outlook, row: int) -> str | None:
    ceiling = float(outlook.ceiling[row])
    match Reclaim(int(outlook.reclaim[row])):
        case Reclaim.DECLARED:
            return f"image collection is promised at {ceiling:.0f} %, and it is not above that"
        case Reclaim.WORKS:
            return f"reclaim works: it has always been freed at {ceiling:.0f} %"
        case Reclaim.SEEN:
            return f"freed before at {ceiling:.0f} %"
        case _:
            return None


def forecast(cluster: str, sample: Sample, said: Said, at: float) -> Forecast:
    """Return the record for plots and for asking."""
    low, middle, high = said.left
    scale = sample.size / 100
    mean = said.outlook.mean[said.row] * scale
    spread = said.outlook.spread[said.row] * scale
    within24, within72 = said.within
    return Forecast(
        cluster=cluster,
        object=sample.object,
        resource=sample.kind.resource,
        labels=sample.labels,
        at=at,
        value=sample.value,
        limit=sample.limit * scale,
        unit=sample.kind.unit,
        p10=_known(low),
        p50=_known(middle),
        p90=_known(high),
        p_cross_24h=within24,
        p_cross_72h=within72,
        horizons=tuple((HORIZONS * 3600).tolist()),
        mean=tuple(mean.tolist()),
        lower=tuple(np.maximum(mean - spread, 0.0).tolist()),
        upper=tuple((mean + spread).tolist()),
        state="learning" if said.odds.learning[said.row] else "ready",
        model=_name(said.outlook, said.row),
        because=reasons(sample, said),
    )


def _known(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) else None
