"""The growth bank equals its readable reference on every kind of stream, and stays small."""

import math

import numpy as np
import pytest

from models.growth import BLOCKS, SLOT, SLOTS, GrowthBank
from models.growth_reference import GrowthReference

HOUR = 3600.0


def stream(kind: str, seed: int) -> list[tuple[float, float]]:
    """Four days and more of one series: a daily rhythm, growth, a saw, a step, outliers."""
    rng = np.random.default_rng(seed)
    start = 1_760_000_000.0 + float(rng.uniform(0, SLOT))
    every = {"15 s": 15.0, "60 s": 60.0, "300 s": 300.0}.get(kind, 300.0)
    count = 4000 if every < 300 else 1600
    gaps = np.full(count, every)
    if kind == "irregular":
        gaps = rng.exponential(400.0, count) + 1
        gaps[::211] = 9 * HOUR
        gaps[700] = 150 * HOUR
    times = start + np.cumsum(gaps)
    hours = (times - start) / HOUR
    values = 40 + 8 * np.sin(hours * 2 * np.pi / 24) + rng.normal(0, 0.6, count) + 0.3 * hours
    values[count // 2 :] += 12
    values -= 15 * np.floor(hours / 20)
    values[rng.integers(0, count, 12)] += 60
    samples = [(float(t), abs(float(v))) for t, v in zip(times, values, strict=True)]
    if kind == "lossy":
        samples = [s for s in samples if rng.random() > 0.3]
    if kind == "late":
        order = np.argsort([t + rng.exponential(2000.0) for t, _ in samples], kind="stable")
        samples = [samples[i] for i in order]
    if kind == "duplicate":
        samples = [s for s in samples for _ in range(1 + int(rng.random() < 0.3))]
    for place in rng.integers(0, len(samples), 8):
        samples[place] = (samples[place][0], math.nan)
    samples[5] = (samples[5][0], -1.0)
    return samples


@pytest.mark.parametrize(
    "kind", ["15 s", "60 s", "300 s", "irregular", "lossy", "late", "duplicate"]
)
def test_bank_equals_reference(kind: str) -> None:
    streams = [stream(kind, seed) for seed in range(4)]
    bank = GrowthBank(8, np.float64)
    rows = np.array([5, 0, 2, 7])
    references = [GrowthReference() for _ in rows]
    for step in range(max(map(len, streams))):
        live = [i for i, samples in enumerate(streams) if step < len(samples)]
        order = list(np.random.default_rng(step).permutation(live))
        times = np.array([streams[i][step][0] for i in order])
        values = np.array([streams[i][step][1] for i in order])
        closed = bank.learn_many(rows[order], times, values)
        expected = [references[i].learn_one(*streams[i][step]) for i in order]
        assert closed.tolist() == expected
        if step == 900:
            ended = bank.restart(rows[[1]])
            assert ended.tolist() == [references[1].restart()]
    for i, row in enumerate(rows):
        for name, value in references[i].state().items():
            np.testing.assert_allclose(
                bank.arrays()[name][row], value, rtol=1e-9, atol=1e-9, err_msg=f"{kind} {name}"
            )


def test_resize_of_the_limit_leaves_the_same_state_as_if_it_had_always_been() -> None:
    small, large = GrowthBank(1, np.float64), GrowthBank(1, np.float64)
    row = np.array([0])
    for time, value in stream("300 s", 3):
        small.learn_many(row, np.array([time]), np.array([value]))
    large.forget(row)
    for name, state in small.arrays().items():
        large.arrays()[name][:] = state
    large.rescale(row, np.array([0.5]))
    assert large.arrays()["level"][0, 0] == pytest.approx(small.arrays()["level"][0, 0] / 2)
    large.rescale(row, np.array([2.0]))
    for name, state in small.arrays().items():
        np.testing.assert_allclose(large.arrays()[name], state, rtol=1e-12)


def test_lifetimes_of_generations_that_ended_at_the_limit_stay_known() -> None:
    bank, row, time = GrowthBank(1), np.array([0]), 0.0
    for life in (6.0, 8.0):
        for hour in np.arange(0, life, 0.1):
            time += 360.0
            bank.learn_many(row, np.array([time]), np.array([100 * hour / life]))
        assert bank.restart(row).tolist() == [True]
    state = bank.arrays()
    assert state["lives"][0] == 2
    assert math.exp(state["life_mean"][0]) == pytest.approx(6.8, rel=0.02)
    assert np.isnan(state["level"][0]).all()
    bank.learn_many(row, np.array([time + 60]), np.array([3.0]))
    assert bank.restart(row).tolist() == [False]  # a deploy is not a lifetime


def test_a_row_fits_in_two_kibibytes_and_a_hundred_thousand_in_200_megabytes() -> None:
    bank = GrowthBank(1)
    assert bank.nbytes == sum(a.nbytes for a in bank.arrays().values()) <= 2048
    assert bank.nbytes * 100_000 < 200e6


def test_reserve_keeps_what_is_there_and_forget_makes_new() -> None:
    bank = GrowthBank(2)
    bank.learn_many(np.array([1]), np.array([10.0]), np.array([5.0]))
    bank.reserve(5)
    assert bank.capacity == 5
    assert bank.arrays()["last"][1] == 5.0
    bank.forget(np.array([1]))
    fresh = GrowthBank(5)
    for name, state in fresh.arrays().items():
        np.testing.assert_array_equal(bank.arrays()[name], state)
    assert bank.arrays()["half_hours"].shape == (5, SLOTS)
    assert bank.arrays()["two_hours"].shape == (5, BLOCKS)
