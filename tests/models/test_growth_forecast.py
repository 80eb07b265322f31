"""What the growth forecast says of shapes that everybody has met, and what it keeps silent about.

Accuracy over many families is `benchmarks/calibrate_growth.py`'s business; here each promise is one
shape. Values are percent of the limit's capacity, the limit is 90.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from models.calibration import CalibrationBank, Odds, Table
from models.crossing import Outlook, look
from models.growth import SLOT, GrowthBank
from models.sawtooth import Reclaim

START = 1_760_000_400.0
HOUR = 3600.0
LIMIT = 90.0


class Told(NamedTuple):
    hour: float
    outlook: Outlook
    odds: Odds


class Fleet:
    """Some series with one shape each, sampled every ten minutes, looked at from hour `watch`."""

    def __init__(self, count: int, dtype: Any = np.float32, declared: float = np.nan) -> None:
        self.bank, self.memory = GrowthBank(count, dtype), CalibrationBank(count)
        self.table, self.rows = Table(), np.arange(count)
        self.declared = np.full(count, declared)
        self.hour = 0.0
        self.told: list[Told] = []

    def run(self, hours: float, values: Callable[[float], Any], watch: float = 0.0) -> "Fleet":
        """Go on for `hours`; `values` gives each series' percent at an hour since the start."""
        for _ in range(int(hours * 6)):
            at = np.full(len(self.rows), START + self.hour * HOUR)
            value = np.broadcast_to(np.asarray(values(self.hour), float), self.rows.shape)
            closed = self.rows[self.bank.learn_many(self.rows, at, value)]
            self.hour += 1 / 6
            if closed.size == len(self.rows) and self.hour > watch:
                limits = np.full(closed.size, LIMIT)
                outlook = look(self.bank.arrays(), closed, limits, self.declared)
                slots = self.bank.arrays()["slot"][closed] - 1
                odds = self.memory.follow(closed, slots, outlook, self.table)
                self.told.append(Told(self.hour, outlook, odds))
        return self

    @property
    def last(self) -> Outlook:
        return self.told[-1].outlook

    def alarms(self) -> np.ndarray:
        return np.array([told.odds.alarm for told in self.told]).any(axis=0)


def rhythm(hour: float, size: float) -> float:
    return float(size * np.sin(hour * 2 * np.pi / 24))


def test_a_linear_fill_is_known_within_15_percent_a_day_before() -> None:
    rng = np.random.default_rng(1)
    rates = np.linspace(0.3, 0.8, 10)  # % an hour
    full = 70 / rates
    fleet = Fleet(10)
    errors = np.full(10, np.nan)
    fleet.run(230, lambda hour: np.minimum(20 + rates * hour, 99) + rng.normal(0, 0.4, 10), 60)
    for told in fleet.told:
        left = full - told.hour
        here = np.abs(left - 24) < 0.26
        errors[here] = np.abs(told.odds.hours[here, 1] / left[here] - 1)
    assert np.nanmax(errors) < 0.15
    assert not np.isnan(errors).any()


def test_growth_with_a_daily_rhythm_is_known_within_15_percent_three_days_before() -> None:
    rng = np.random.default_rng(2)
    fleet = Fleet(8)
    fleet.run(128, lambda hour: 20 + 0.35 * hour + rhythm(hour, 6) + rng.normal(0, 0.5, 8), 126)
    crossing = next(h for h in np.arange(0, 300, 0.1) if 20 + 0.35 * h + rhythm(h, 6) >= LIMIT)
    assert np.abs(fleet.last.hours / (crossing - fleet.told[-1].hour) - 1).max() < 0.15


def test_accelerating_growth_is_known_within_25_percent() -> None:
    rng = np.random.default_rng(3)
    fleet = Fleet(6)
    fleet.run(150 - 24, lambda hour: 20 + 70 * (hour / 150) ** 2 + rng.normal(0, 0.3, 6), 124)
    assert np.abs(fleet.last.hours / 24 - 1).max() < 0.25


def test_a_daily_rhythm_warns_nobody_in_ten_days() -> None:
    rng = np.random.default_rng(4)
    size = np.linspace(2, 16, 12)
    fleet = Fleet(12)
    fleet.run(
        240,
        lambda hour: 50 + size * np.sin((hour + 4) * 2 * np.pi / 24) + rng.normal(0, 0.6, 12),
    )
    assert not fleet.alarms().any()


def test_images_collected_at_the_declared_ceiling_warn_nobody_in_ten_days() -> None:
    rng = np.random.default_rng(5)
    level = rng.uniform(60, 80, 10)

    def images(hour: float) -> Any:
        level[:] += rng.uniform(0, 0.3, 10)
        level[:] = np.where(level > 85, rng.uniform(78, 81, 10), level)
        return level

    fleet = Fleet(10, declared=85.0).run(240, images)
    assert not fleet.alarms().any()
    assert np.isinf(fleet.last.hours).all()
    assert (fleet.last.reclaim == Reclaim.DECLARED).all()


def test_dependable_drops_are_understood_without_a_declaration() -> None:
    fleet = Fleet(1).run(120, lambda hour: 40 + (hour % 20), 118)
    assert fleet.last.reclaim[0] == Reclaim.WORKS
    assert fleet.last.ceiling[0] == pytest.approx(60, abs=1)
    assert np.isinf(fleet.last.hours[0])
    fleet.run(30, lambda hour: 40 + max(hour - 120, 20) * 1.2, 148)  # and then it fails
    assert fleet.last.reclaim[0] != Reclaim.WORKS
    assert np.isfinite(fleet.last.hours[0])


def test_at_the_limit_nothing_is_left_and_the_odds_are_one() -> None:
    fleet = Fleet(2).run(60, lambda hour: [min(95.0, 40 + hour), 30.0], 58)
    assert fleet.last.hours[0] == 0
    assert fleet.told[-1].odds.hours[0].tolist() == [0, 0, 0]
    assert fleet.told[-1].odds.crossing[0].tolist() == [1, 1, 1]
    assert np.isinf(fleet.told[-1].odds.hours[1]).all()
    assert fleet.told[-1].odds.crossing[1].tolist() == [0, 0, 0]


def test_a_runaway_is_followed_however_fast_it_is() -> None:
    rng = np.random.default_rng(6)
    rate = np.array([3.0, 8.0, 15.0])  # % an hour after three quiet days
    fleet = Fleet(3)
    fleet.run(78, lambda hour: 20 + rate * max(0, hour - 72) + rng.normal(0, 0.5, 3), 76)
    left = 70 / rate - (fleet.told[-1].hour - 72)
    assert np.abs(fleet.last.hours / left - 1)[:2].max() < 0.5
    assert fleet.last.hours[2] == 0


def test_the_band_holds_the_median_and_widens_with_time() -> None:
    rng = np.random.default_rng(7)
    fleet = Fleet(5).run(100, lambda hour: 20 + 0.5 * hour + rng.normal(0, 0.3, 5), 98)
    odds = fleet.told[-1].odds
    assert (odds.hours[:, 0] <= odds.hours[:, 1]).all()
    assert (odds.hours[:, 1] <= odds.hours[:, 2]).all()
    assert (np.diff(odds.crossing, axis=1) >= 0).all()
    assert (np.diff(fleet.last.spread, axis=1) >= 0).all()
    at24 = list(np.array([1, 2, 4, 6, 9, 12, 18, 24])).index(24)
    assert fleet.last.mean[:, at24] == pytest.approx(
        20 + 0.5 * (fleet.told[-1].hour + 24), rel=0.03
    )


def test_a_gap_of_half_a_day_and_missing_values_change_little() -> None:
    def gappy(hour: float) -> float:
        return np.nan if 60 < hour < 72 or round(hour * 6) % 7 == 0 else 20 + 0.5 * hour

    whole = Fleet(1).run(100, lambda hour: 20 + 0.5 * hour, 98)
    holey = Fleet(1).run(100, gappy, 98)
    assert holey.last.hours == pytest.approx(whole.last.hours, rel=0.05)


def test_before_any_value_nothing_is_foreseen() -> None:
    bank = GrowthBank(3)
    outlook = look(bank.arrays(), np.arange(3), np.full(3, LIMIT), np.full(3, np.nan))
    assert np.isinf(outlook.hours).all()
    assert (outlook.age == 0).all()
    empty = look(bank.arrays(), np.arange(0), np.zeros(0), np.zeros(0))
    assert empty.hours.shape == (0,)


def test_looking_changes_nothing_and_a_row_is_alone() -> None:
    rng = np.random.default_rng(8)
    count = 700  # more than one chunk
    rates = rng.uniform(-0.1, 0.8, count)
    fleet = Fleet(count)
    fleet.run(80, lambda hour: 20 + rates * hour + rhythm(hour, 3) + rng.normal(0, 0.4, count), 99)
    before = {name: array.copy() for name, array in fleet.bank.arrays().items()}
    limits, declared = np.full(count, LIMIT), np.full(count, np.nan)
    whole = look(fleet.bank.arrays(), fleet.rows, limits, declared)
    order = rng.permutation(count)
    mixed = look(fleet.bank.arrays(), order, limits, declared)
    for name, array in fleet.bank.arrays().items():
        np.testing.assert_array_equal(array, before[name])
    for name, value in whole._asdict().items():
        np.testing.assert_array_equal(getattr(mixed, name), value[order], err_msg=name)
    for row in (0, 511, 699):
        alone = look(fleet.bank.arrays(), np.array([row]), limits[:1], declared[:1])
        for name, value in whole._asdict().items():
            np.testing.assert_array_equal(getattr(alone, name)[0], value[row], err_msg=name)


def test_half_the_digits_forecast_as_well() -> None:
    rng = np.random.default_rng(9)
    noise = rng.normal(0, 0.4, (2000, 20))
    rates = np.linspace(0.1, 0.7, 20)
    hours = []
    for dtype in (np.float32, np.float64):
        fleet = Fleet(20, dtype)
        fleet.run(90, lambda hour: 20 + rates * hour + noise[round(hour * 6)], 88)
        hours.append(fleet.last.hours)
    np.testing.assert_allclose(*hours, rtol=0.02)


def test_odds_learn_from_what_came_of_forecasts_but_only_when_folded() -> None:
    table = Table(prior=False)
    cells = np.array([7, 7, 7, 7])
    before = table.odds(cells[:1]).copy()
    table.count(cells, np.array([10.0, 20.0, 30.0, np.inf]))
    assert table.odds(cells[:1]).tolist() == before.tolist()
    table.fold()
    assert table.arrays()["counts"][7].tolist() == [4, 2, 3, 3]
    for _ in range(50):
        table.count(cells, np.array([10.0, 20.0, 30.0, np.inf]))
    table.fold()
    assert table.odds(cells[:1])[0] == pytest.approx([0.5, 0.75, 0.75], abs=0.03)


def resolve(table: Table, ratios: Any, unit: float = 1.0) -> None:
    """Resolve forecasts of ten hours, of one cell, that came true after ten hours × e^ratios."""
    cells, units = np.zeros(len(ratios), np.intp), np.full(len(ratios), unit)
    table.track(cells, np.full(len(ratios), 10.0), 10 * np.exp(ratios), units)
    table.fold()


def interval(table: Table, unit: float = 1.0) -> Any:
    return table.quantiles(np.zeros(1, np.intp), np.array([10.0]), np.array([unit]))[0]


def test_intervals_find_the_quantiles_of_what_comes_true() -> None:
    rng = np.random.default_rng(10)
    table = Table()
    for _ in range(800):
        resolve(table, rng.normal(0.2, 0.3, 20))
    low, high = interval(table)
    assert low == pytest.approx(0.2 - 1.2816 * 0.3, abs=0.05)
    assert high == pytest.approx(0.2 + 1.2816 * 0.3, abs=0.05)


def test_what_never_comes_opens_the_late_side_and_leaves_the_early_one_alone() -> None:
    rng = np.random.default_rng(12)
    table = Table()
    for _ in range(3000):
        resolve(table, np.where(rng.random(20) < 0.5, np.inf, rng.normal(0.2, 0.3, 20)))
    low, high = interval(table)
    assert low == pytest.approx(0.2 - 1.2816 * 0.3, abs=0.05)
    assert high == np.inf


def test_an_interval_is_as_wide_as_the_series_own_unit() -> None:
    rng = np.random.default_rng(13)
    table = Table()
    for _ in range(800):
        unit = float(rng.choice([0.1, 0.4]))  # a steady fleet and an erratic one, in one span
        resolve(table, unit * rng.normal(0.0, 1.0, 20), unit)
    steady, erratic = interval(table, 0.1), interval(table, 0.4)
    assert steady == pytest.approx([-0.128, 0.128], abs=0.03)
    assert erratic == pytest.approx([-0.513, 0.513], abs=0.12)


def test_a_thousand_forecasts_that_err_together_do_not_throw_an_interval_about() -> None:
    table = Table()
    before = interval(table)
    resolve(table, np.full(1000, -3.0))
    assert np.abs(interval(table)[0] - before[0]) < 0.2


def test_forecasts_are_set_aside_and_resolved_by_what_happens() -> None:
    rng = np.random.default_rng(11)
    fleet = Fleet(1)
    fleet.table = Table(prior=False)
    fleet.run(160, lambda hour: min(95.0, 20 + 0.5 * hour) + rng.normal(0, 0.2))
    fleet.table.fold()
    counts = fleet.table.arrays()["counts"].sum(axis=0)
    assert counts[0] >= 8  # one in twelve hours
    assert counts[0] >= counts[3] >= counts[2] >= counts[1] > 0
    assert (fleet.memory.arrays()["open_slot"] == -1).all()


def test_state_is_small_and_quick_to_copy() -> None:
    count = 5000
    bank, memory = GrowthBank(count), CalibrationBank(count)
    arrays = [*bank.arrays().values(), *memory.arrays().values()]
    assert sum(array.nbytes for array in arrays) / count < 2000
    assert all(len(array) == count for array in arrays)
    assert int(START // SLOT) < 2**31  # a slot number fits where it is kept in 32 bits
