"""The growth model's parts against closed forms, numpy and textbook matrices."""

import math

import numpy as np
import pytest

from models.baselines import hours_left, predict_linear
from models.crossing import look
from models.experts import History, opinions, weighted_median, without_steps
from models.growth import BLOCKS, SLOTS, GrowthBank
from models.growth_step import HOUR, LEVEL_NOISE, SAMPLE_HOURS, SLOPE_NOISE


def test_predict_linear_is_least_squares() -> None:
    rng = np.random.default_rng(1)
    times = np.sort(rng.uniform(0, 24, 60))
    values = 3 + 0.7 * times + rng.normal(0, 1, 60)
    values[::9] = np.nan
    known = ~np.isnan(values)
    slope, start = np.polyfit(times[known], values[known], 1)
    assert predict_linear(times, values, 5.0) == pytest.approx(start + slope * (times[-1] + 5))


def test_hours_left_inverts_predict_linear() -> None:
    rng = np.random.default_rng(2)
    times = np.arange(0, 12, 0.25)
    values = 10 + 2 * times + rng.normal(0, 0.5, len(times))
    left = hours_left(times, values, 90.0, 6.0)
    inside = times >= times[-1] - 6
    assert predict_linear(times[inside], values[inside], left) == pytest.approx(90.0)
    assert hours_left(times, -values, 90.0, 6.0) == math.inf
    assert hours_left(times, values, 20.0, 6.0) == 0.0


def test_the_filter_is_the_textbook_kalman_filter_in_matrices() -> None:
    """Without outliers: predict and correct with 2 × 2 matrices, continuous-time process noise."""
    rng = np.random.default_rng(3)
    bank, row = GrowthBank(1, np.float64), np.array([0])
    state = bank.arrays()
    time = 1_760_000_000.0
    bank.learn_many(row, np.array([time]), np.array([30.0]))
    x = np.array([[30.0, 0.0]] * 2)
    p = np.array([[[10.0, 0.0], [0.0, 1.44]]] * 2)
    hour = 0.0
    for _ in range(300):
        dt = float(rng.uniform(0.02, 0.5))
        hour += dt
        value = 30 + 0.4 * hour + float(np.clip(rng.normal(0, 0.5), -1.2, 1.2))
        for i, q in enumerate(SLOPE_NOISE):
            noise = float(state["noise"][0])
            move = np.array([[1.0, dt], [0.0, 1.0]])
            process = np.array(
                [
                    [LEVEL_NOISE * noise * dt + q * noise * dt**3 / 3, q * noise * dt**2 / 2],
                    [q * noise * dt**2 / 2, q * noise * dt],
                ]
            )
            x[i] = move @ x[i]
            p[i] = move @ p[i] @ move.T + process
            gain = p[i][:, 0] / (p[i][0, 0] + noise * max(1.0, SAMPLE_HOURS / dt))
            x[i] += gain * (value - x[i][0])
            p[i] -= np.outer(gain, p[i][0])
        bank.learn_many(row, np.array([time + hour * HOUR]), np.array([value]))
        got = np.stack([state["level"][0], state["slope"][0]], axis=1)
        np.testing.assert_allclose(got, x, rtol=1e-6)
    np.testing.assert_allclose(state["p11"][0], p[:, 1, 1], rtol=1e-6)


def test_roughness_is_the_noise_variance_whatever_the_slope() -> None:
    rng = np.random.default_rng(4)
    bank, rows = GrowthBank(40, np.float64), np.arange(40)
    slopes = np.linspace(-20, 20, 40)  # % an hour
    for i in range(1200):
        values = 500 + slopes * i / 12 / 20 + rng.normal(0, 0.7, 40)
        bank.learn_many(rows, np.full(40, 1_760_000_000.0 + 300.0 * i), values)
    assert bank.arrays()["rough"].mean() == pytest.approx(0.49, rel=0.15)


def test_lines_and_parabolas_are_polyfit() -> None:
    rng = np.random.default_rng(5)
    slots = np.arange(SLOTS)
    y = 10 + 0.05 * slots + 0.0004 * slots**2 + rng.normal(0, 0.05, SLOTS)
    past = History(
        y[None], np.full((1, BLOCKS), np.nan), np.array([1.5]), np.array([SLOTS], dtype=np.intp)
    )
    one = np.ones(1)
    said = opinions(past, 90 * one, 0.01 * one, one.astype(bool), np.array([1.0, 24.0]))
    ends = slots - (SLOTS - 1)
    for expert, width, degree in ((3, 6, 1), (4, 24, 1), (5, 48, 2), (8, 144, 2)):
        fit = np.polynomial.Polynomial.fit(ends[-width:], y[-width:], degree).convert()
        roots = fit.roots() if degree == 1 else (fit - 90).roots()
        root = (90 - fit.coef[0]) / fit.coef[1] if degree == 1 else max(roots.real)
        # The newest slot's middle lies a quarter of an hour before its end.
        assert said.hours[0, expert] == pytest.approx(root / 2 - 0.25, rel=1e-6)
        at = [fit(2 * h + 0.5) for h in (1.0, 24.0)]
        np.testing.assert_allclose(said.values[0, expert], at, rtol=1e-6)


def test_the_daily_expert_is_yesterday_and_the_drift() -> None:
    slots = np.arange(SLOTS)
    y = 30 + 4 * np.sin(slots * 2 * np.pi / 48) + 0.1 * slots  # 4.8 % a day
    past = History(
        y[None], np.full((1, BLOCKS), np.nan), np.array([1.5]), np.array([SLOTS], dtype=np.intp)
    )
    one = np.ones(1)
    said = opinions(past, 90 * one, 0.01 * one, one.astype(bool), np.array([6.0, 72.0]))
    ahead = SLOTS - 1 + np.array([12, 144])
    expected = 30 + 4 * np.sin(ahead * 2 * np.pi / 48) + 0.1 * ahead
    np.testing.assert_allclose(said.values[0, 0], expected, rtol=1e-9)
    np.testing.assert_allclose(said.drift[0], [4.8, 4.8, 4.8, 4.8], rtol=1e-9)
    future = np.arange(SLOTS, SLOTS + 1000)
    path = 30 + 4 * np.sin(future * 2 * np.pi / 48) + 0.1 * future
    first = future[path >= 90][0] - (SLOTS - 1)
    assert said.hours[0, 0] == pytest.approx(first / 2 - 0.5, abs=0.5)
    assert said.weights[0, 1].argmax() in (0, 1)  # its hindcast is without error


def test_the_weighted_median_is_the_brute_force_one() -> None:
    rng = np.random.default_rng(6)
    for _ in range(50):
        values = rng.choice([1.0, 2.0, 5.0, np.inf, np.nan], 9)
        weights = np.where(np.isnan(values), 0.0, rng.uniform(0, 1, 9))
        got = weighted_median(values[None], weights[None])[0]
        pairs = sorted((v, w) for v, w in zip(values, weights, strict=True) if w > 0)
        total = sum(w for _, w in pairs)
        below, expected = 0.0, math.nan
        for value, weight in pairs:
            below += weight
            if below >= total / 2:
                expected = value
                break
        np.testing.assert_equal(got, expected)


def test_a_step_is_taken_out_and_growth_is_left() -> None:
    y = np.tile(np.linspace(20, 44, SLOTS), (2, 1))
    stepped = y.copy()
    stepped[0, 150:] += 9
    out = without_steps(stepped)
    np.testing.assert_array_equal(out[1], y[1])
    smooth = np.diff(out[0])
    assert np.abs(smooth).max() < 0.5
    assert out[0, -1] == stepped[0, -1]


def test_what_is_left_of_a_life_is_the_median_of_the_log_logistic() -> None:
    """Two lives of 10 h; at age a the answer is where half of those still alive are gone."""
    bank, row, time = GrowthBank(1, np.float64), np.array([0]), 1_760_000_000.0
    for _ in range(2):
        for i in range(121):
            bank.learn_many(row, np.array([time + i * 300.0]), np.array([i / 1.2]))
        time += 121 * 300.0
        bank.restart(row)
    for i in range(49):
        bank.learn_many(row, np.array([time + i * 300.0]), np.array([20.0]))
    outlook = look(bank.arrays(), row, np.array([100.0]), np.array([np.nan]))
    rng = np.random.default_rng(7)
    scale = math.sqrt(0.18 / 4) * math.sqrt(3) / math.pi
    uniform = rng.uniform(0, 1, 2_000_000)
    lives = 10 * (uniform / (1 - uniform)) ** scale
    rest = np.median(lives[lives > 4.0]) - 4.0
    assert outlook.lives[0] == 2
    assert outlook.hours[0] == pytest.approx(rest, rel=0.01)
