"""The usual share of restarting pods, beside sums written out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.share import ALPHA, BETA, HALF_LIFE, WEIGHT, ShareBank


def tail(k: int, n: int, a: float, b: float) -> float:
    def beta(x: float, y: float) -> float:
        return math.lgamma(x) + math.lgamma(y) - math.lgamma(x + y)

    total = sum(
        math.comb(n, i) * math.exp(beta(i + a, n - i + b) - beta(a, b)) for i in range(k, n + 1)
    )
    return -math.log10(total)


@pytest.mark.parametrize(("k", "n"), [(1, 3), (3, 12), (7, 40), (40, 40)])
def test_a_score_is_the_tail_of_the_beta_binomial(k: int, n: int) -> None:
    bank = ShareBank(1)
    row, one = np.array([0]), np.ones(1)
    alpha = beta = 0.0
    for step in range(100):
        share = 0.1 if step % 10 == 0 else 0.0
        bank.learn_many(row, np.array([share * 20]), np.array([20.0]), one)
        keep = 2.0 ** (-1.0 / HALF_LIFE)
        alpha, beta = alpha * keep + WEIGHT * share, beta * keep + WEIGHT * (1.0 - share)
    score = bank.score_many(row, np.array([float(k)]), np.array([float(n)]))[0]
    assert score == pytest.approx(tail(k, n, ALPHA + alpha, BETA + beta), rel=1e-9, abs=1e-9)


def test_no_restart_and_no_pod_are_no_surprise() -> None:
    bank = ShareBank(2)
    scores = bank.score_many(np.array([0, 1]), np.array([0.0, 0.0]), np.array([10.0, 0.0]))
    assert list(scores) == [0.0, 0.0]


def test_a_namespace_that_always_restarts_needs_more() -> None:
    bank = ShareBank(2)
    for _ in range(300):
        bank.learn_many(np.arange(2), np.array([0.0, 6.0]), np.full(2, 30.0), np.ones(2))
    quiet, busy = bank.score_many(np.arange(2), np.full(2, 6.0), np.full(2, 30.0))
    assert quiet > 6
    assert busy < 1
