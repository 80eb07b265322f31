"""The leak clock: what earlier generations teach about the present one.

Left out: how far it is off on many leaks (`benchmarks/quality`, L1).
"""

import numpy as np
import pytest

from models.crossing import look
from models.growth import HOURS_A_DAY, GrowthBank

EVERY = 600.0
START = 1_760_054_400.0  # midnight
LIFE = 30 * 3600.0
ROW = np.zeros(1, np.intp)


def leak(bank: GrowthBank, at: float, hours: float, load: np.ndarray) -> float:
    """Let one generation live for some hours; its growth in an hour follows `load` of the day."""
    level = 10.0
    for _ in range(int(hours * 3600 / EVERY)):
        at += EVERY
        level += load[int(at // 3600 % HOURS_A_DAY)] * EVERY / 3600
        bank.learn_many(ROW, np.array([at]), np.array([min(level, 99.0)]))
        if level >= 99:
            break
    return at


def left(bank: GrowthBank) -> tuple[float, float]:
    seen = look(bank.arrays(), ROW, np.array([100.0]), np.array([np.nan]))
    return float(seen.hours[0]), float(seen.lives[0])


def test_a_rhythm_learned_from_earlier_generations_tells_when_the_present_one_ends() -> None:
    load = np.where((np.arange(24) >= 8) & (np.arange(24) < 20), 6.0, 0.5)  # leaks by day
    bank, at = GrowthBank(1, np.float64), START
    for _ in range(6):
        at = leak(bank, at, 200, load)
        bank.restart(ROW)
    at = (at // 86_400 + 1) * 86_400 + 20 * 3600  # a generation that begins in the evening
    begun = at
    at = leak(bank, at, 6, load)  # six quiet hours of the night
    truth = GrowthBank(1, np.float64)
    end = leak(truth, begun, 200, load)
    hours, lives = left(bank)
    assert lives == 6
    assert hours == pytest.approx((end - at) / 3600, rel=0.15)


def test_a_first_life_is_left_to_the_trend() -> None:
    bank = GrowthBank(1, np.float64)
    leak(bank, START, 12, np.full(24, 3.0))
    hours, lives = left(bank)
    assert lives == 0
    assert hours == pytest.approx((100 - 10 - 36) / 3.0, rel=0.1)


def test_a_release_resets_the_level_and_keeps_the_rhythm() -> None:
    bank, at = GrowthBank(1, np.float64), START
    at = leak(bank, at, 20, np.full(24, 2.0))
    before = bank.arrays()["rhythm"][0].copy()
    assert not bank.restart(ROW)[0]
    np.testing.assert_array_equal(bank.arrays()["rhythm"][0], before)
    assert np.isnan(bank.arrays()["level"][0]).all()
    assert bank.arrays()["lives"][0] == 0


def test_what_a_row_says_does_not_depend_on_its_neighbours() -> None:
    load = np.full(24, 3.0)
    bank, at = GrowthBank(1, np.float64), START
    for _ in range(3):
        at = leak(bank, at, 60, load)
        bank.restart(ROW)
    leak(bank, at, 8, load)
    many = GrowthBank(5, np.float64)
    for name, array in many.arrays().items():
        array[3] = bank.arrays()[name][0]
    full, none = np.full(5, 100.0), np.full(5, np.nan)
    together = look(many.arrays(), np.arange(5), full, none)
    assert together.hours[3] == left(bank)[0]
