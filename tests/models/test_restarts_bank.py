"""The usual rate of restarts: the bank beside its scalar reference, and what its scores mean."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from models.restarts import DAY, WINDOWS, RestartBank
from models.restarts_reference import RestartRate

START = 1_760_000_000.0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_bank_equals_its_reference(seed: int) -> None:
    rng = random.Random(seed)
    n = 40
    bank, references = RestartBank(n), [RestartRate() for _ in range(n)]
    for row in range(0, n, 3):
        count, days = float(rng.randint(0, 90)), rng.uniform(0.1, 40.0)
        bank.credit_many(np.array([row]), np.array([count]), np.array([days]))
        references[row].credit_one(count, days)
    for step in range(120):
        rows = np.array(sorted(rng.sample(range(n), 15)))
        counts = np.array([rng.choice([0.0, 0.0, 0.1, 1.0, 7.0, math.nan]) for _ in rows])
        times = START + step * 5000.0 + np.array([rng.uniform(-9000.0, 9000.0) for _ in rows])
        bank.learn_many(rows, counts, times)
        for row, count, time in zip(rows, counts, times, strict=True):
            references[row].learn_one(float(count), float(time))
    k = np.array([[float(rng.randint(0, 40)) for _ in range(len(WINDOWS))] for _ in range(n)])
    scores, rates = bank.score_many(np.arange(n), k), bank.rate_many(np.arange(n))
    for row, reference in enumerate(references):
        assert rates[row] == pytest.approx(reference.rate(), rel=1e-9)
        assert scores[row] == pytest.approx(reference.score_one(tuple(k[row])), rel=1e-9, abs=1e-9)


def _after(days: float, per_day: float) -> RestartBank:
    bank = RestartBank(1)
    for day in range(int(days) + 1):
        count = np.array([per_day if day else 0.0])
        bank.learn_many(np.array([0]), count, np.array([START + day * DAY]))
    return bank


def test_three_restarts_in_five_minutes_surprise_of_a_quiet_workload_not_of_a_busy_one() -> None:
    k = np.full((1, len(WINDOWS)), 3.0)
    quiet = _after(20, 0.0).score_many(np.array([0]), k)[0]
    busy = _after(20, 60.0).score_many(np.array([0]), k)[0]
    assert quiet[0] > 9
    assert busy[0] < 4
    assert busy[3] < 0.1  # ten in four hours are usual
    assert list(quiet) == sorted(quiet, reverse=True)  # the same count in less time says more


def test_the_rate_is_what_was_seen_and_fades_with_a_half_life_of_a_week() -> None:
    bank = _after(60, 4.0)
    assert bank.rate_many(np.array([0]))[0] == pytest.approx(4.0, rel=0.3)
    for day in range(61, 89):
        bank.learn_many(np.array([0]), np.array([0.0]), np.array([START + day * DAY]))
    assert bank.rate_many(np.array([0]))[0] < 0.35


def test_a_tail_beyond_what_doubles_hold_is_still_a_number() -> None:
    score = RestartBank(1).score_many(np.array([0]), np.full((1, len(WINDOWS)), 200.0))
    assert np.all(np.isfinite(score))
    assert score[0, 0] > 300
