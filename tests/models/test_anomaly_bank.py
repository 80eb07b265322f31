"""The oddity bank: equal to its scalar reference, and right about a few plain stories.

Left out: what it reaches on labelled data (`benchmarks/quality`).
"""

import numpy as np

from models.anomaly import DAY, THRESHOLD, AnomalyBank
from models.anomaly_reference import AnomalyReference

START = 1_760_000_000.0
EVERY = 300.0


def series(days: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A daily rhythm with noise, five minutes apart."""
    times = START + np.arange(0.0, days * DAY, EVERY)
    rng = np.random.default_rng(seed)
    return times, 50 + 10 * np.sin(times / DAY * 2 * np.pi) + rng.normal(0, 1, times.size)


def scores(times: np.ndarray, values: np.ndarray) -> np.ndarray:
    bank, row = AnomalyBank(1, np.float64), np.zeros(1, np.intp)
    return np.array(
        [
            bank.learn_many(row, np.array([t]), np.array([v])).score[0]
            for t, v in zip(times, values, strict=True)
        ]
    )


def test_the_bank_equals_its_scalar_reference_on_messy_streams() -> None:
    rng = np.random.default_rng(5)
    rows = 6
    steps = np.array([15.0, 60.0, 300.0, 300.0, 1200.0, 3600.0])
    bank = AnomalyBank(rows, np.float64)
    references = [AnomalyReference() for _ in range(rows)]
    times = np.full(rows, START)
    level = rng.normal(50, 10, rows)
    for _ in range(2500):
        times = times + steps * rng.choice([1.0, 1.0, 1.0, 0.0, -0.5, 3.0], rows)
        level = level + rng.normal(0, 0.1, rows) + 25 * (rng.random(rows) < 0.002)
        values = level + rng.normal(0, 1, rows)
        values[rng.random(rows) < 0.05] = np.nan
        said = bank.learn_many(np.arange(rows), times, values)
        for i, reference in enumerate(references):
            assert abs(said.score[i] - reference.learn_one(times[i], values[i])) < 1e-9
    for name, expected in ((n, [r.state()[n] for r in references]) for n in bank.arrays()):
        np.testing.assert_allclose(bank.arrays()[name], np.array(expected), atol=1e-9, rtol=1e-9)


def test_a_value_never_seen_is_worth_a_notification_and_ordinary_days_are_not() -> None:
    times, values = series(10)
    values[2500] = 95.0
    said = scores(times, values)
    assert said[2500] >= THRESHOLD
    assert (said[:2500] >= THRESHOLD).sum() <= 2


def test_a_value_in_a_gap_of_its_range_is_rare_though_no_record() -> None:
    rng = np.random.default_rng(2)
    times = START + np.arange(4000) * EVERY
    values = np.where(rng.random(4000) < 0.5, 10.0, 90.0) + rng.normal(0, 1, 4000)
    values[3500] = 50.0
    assert scores(times, values)[3500] >= THRESHOLD


def test_what_was_said_is_said_again_only_when_it_is_half_as_strong_again() -> None:
    times, values = series(10)
    values[2500:2510] = 95.0
    said = scores(times, values)
    assert said[2500] > 0
    assert (said[2501:2510] == 0).all()


def test_a_young_series_is_judged_by_its_jumps_alone() -> None:
    times, values = series(1.5)
    values[300:] += 40 * (np.arange(values[300:].size) % 2)
    bank, row = AnomalyBank(1), np.zeros(1, np.intp)
    told = []
    for t, v in zip(times, values, strict=True):
        said = bank.learn_many(row, np.array([t]), np.array([v]))
        assert (said.parts[0, 1:] == 0).all()
        told.append(bool(said.notify[0]))
    assert not any(told[:300])
    assert any(told[300:320])


def test_parts_explain_the_score() -> None:
    times, values = series(5)
    values[-1] = 99.0
    bank, row = AnomalyBank(1), np.zeros(1, np.intp)
    for t, v in zip(times, values, strict=True):
        said = bank.learn_many(row, np.array([t]), np.array([v]))
    assert np.sqrt((said.parts**2).sum()) == said.raw[0]
    assert said.parts[0].argmax() == 0


def test_a_row_is_small() -> None:
    assert AnomalyBank(1).nbytes <= 450
