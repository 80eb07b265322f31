"""Event flows: the bank beside its scalar reference, and what its answers mean."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from models.events import EventBank
from models.events_reference import EventFlow

START = 1_760_000_000.0
DAY = 86_400.0


@pytest.mark.parametrize(("seed", "step"), [(1, 15.0), (2, 400.0), (3, 4000.0)])
def test_the_bank_equals_its_reference(seed: int, step: float) -> None:
    rng = random.Random(seed)
    n = 24
    bank, references = EventBank(n), [EventFlow() for _ in range(n)]
    for row in range(0, n, 2):
        days = rng.uniform(0.0, 12.0)
        bank.credit_many(np.array([row]), np.array([days]), np.array([START]))
        references[row].credit_one(days, START)
    for i in range(400):
        rows = np.array(sorted(rng.sample(range(n), 8)))
        counts = np.array([rng.choice([1.0, 1.0, 0.0, 3.0, 60.0, math.nan]) for _ in rows])
        times = START + i * step + np.array([rng.uniform(-step, step) for _ in rows])
        weights = np.array([rng.choice([1.0, 0.2]) for _ in rows])
        bank.learn_many(rows, counts, times, weights)
        for row, *facts in zip(rows, counts, times, weights, strict=True):
            references[row].learn_one(*map(float, facts))
    excess, returns = bank.excess_many(np.arange(n)), bank.return_many(np.arange(n))
    counted = bank.count_many(np.arange(n))
    for row, reference in enumerate(references):
        assert excess[row] == pytest.approx(reference.excess(), rel=1e-9, abs=1e-9)
        assert returns[row] == pytest.approx(reference.return_period(), rel=1e-9, abs=1e-9)
        assert counted[row] == pytest.approx(
            [w.count(reference.until or 0.0) for w in reference.windows], rel=1e-9, abs=1e-9
        )


def _learn(bank: EventBank, count: float, at: float) -> None:
    bank.learn_many(np.array([0]), np.array([count]), np.array([at]), np.ones(1))


def test_a_first_event_after_a_week_of_silence_is_rare_and_after_none_hardly() -> None:
    bank = EventBank(2)
    bank.credit_many(np.array([0, 1]), np.array([10.0, 0.0]), np.full(2, START))
    bank.learn_many(np.arange(2), np.ones(2), np.full(2, START), np.ones(2))
    known, unknown = bank.return_many(np.arange(2))
    assert known > unknown
    assert known > 0.7


def test_what_happens_daily_is_not_rare_and_ten_times_as_much_is() -> None:
    bank = EventBank(1)
    for day in range(20):
        for i in range(4):
            _learn(bank, 1.0, START + day * DAY + i * 30.0)
    usual = bank.return_many(np.array([0]))[0]
    assert usual < 0.2
    _learn(bank, 40.0, START + 19 * DAY + 300.0)
    assert bank.return_many(np.array([0]))[0] > usual + 1.0


def test_excess_is_silent_until_a_mean_is_known_then_counts_deviations() -> None:
    bank = EventBank(1)
    for i in range(40):
        _learn(bank, 2.0, START + i * 900.0)
    assert bank.excess_many(np.array([0])).max() == 0.0
    for i in range(40, 400):
        _learn(bank, 2.0, START + i * 900.0)
    assert abs(bank.excess_many(np.array([0]))[0, 0]) < 2.0
    _learn(bank, 100.0, START + 400 * 900.0)
    assert bank.excess_many(np.array([0]))[0, 0] > 10.0


def test_a_late_event_counts_now_and_breaks_nothing() -> None:
    bank = EventBank(1)
    _learn(bank, 1.0, START)
    _learn(bank, 1.0, START - 10 * DAY)
    assert bank.count_many(np.array([0]))[0, 0] == 2.0
