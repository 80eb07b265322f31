"""What every bank must do, tried on each row of `models.BANKS` through its own learning verb.

Each bank gets an adapter here: how it learns one step of a seeded stream, and all that it answers.
Left out: that the answers are right (each bank's own test, beside its scalar reference).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models import BANKS
from models.anomaly import AnomalyBank
from models.base import Bank
from models.events import EventBank
from models.growth import GrowthBank
from models.restarts import WINDOWS, RestartBank
from models.share import ShareBank

START = 1_760_000_000.0
ROWS = 40
Columns = tuple[NDArray[np.float64], ...]  # (ROWS,) each: one step's input, by row
Array = NDArray[Any]


def _restart_step(rng: np.random.Generator, at: float) -> Columns:
    return rng.poisson(0.5, ROWS).astype(float), np.full(ROWS, at)


def _restart_answers(bank: RestartBank, rows: Array) -> list[Array]:
    k = np.tile(3.0 + np.arange(len(WINDOWS)) ** 1.5, (rows.size, 1))
    return [bank.rate_many(rows), bank.score_many(rows, k)]


def _share_step(rng: np.random.Generator, at: float) -> Columns:
    alive = rng.integers(0, 30, ROWS).astype(float)
    return np.minimum(rng.poisson(1.0, ROWS), alive), alive, np.ones(ROWS)


def _share_answers(bank: ShareBank, rows: Array) -> list[Array]:
    n = np.full(rows.size, 20.0)
    return [bank.usual_many(rows), bank.score_many(rows, np.full(rows.size, 5.0), n)]


def _event_step(rng: np.random.Generator, at: float) -> Columns:
    counts = rng.choice([0.0, 1.0, 1.0, 4.0, 50.0], ROWS)
    return counts, np.full(ROWS, at), rng.choice([1.0, 0.2], ROWS)


def _event_answers(bank: EventBank, rows: Array) -> list[Array]:
    return [bank.count_many(rows), bank.excess_many(rows), bank.return_many(rows)]


def _growth_step(rng: np.random.Generator, at: float) -> Columns:
    days = (at - START) / 86_400.0
    return np.full(ROWS, at), 40.0 + 3.0 * days + rng.normal(0.0, 0.3, ROWS)


def _growth_answers(bank: GrowthBank, rows: Array) -> list[Array]:
    return [np.array(array[rows]) for _, array in sorted(bank.arrays().items())]


def _anomaly_step(rng: np.random.Generator, at: float) -> Columns:
    return np.full(ROWS, at), rng.normal(50.0, 5.0, ROWS)


def _anomaly_answers(bank: AnomalyBank, rows: Array) -> list[Array]:
    return [np.array(array[rows]) for _, array in sorted(bank.arrays().items())]


# bank → a step's columns, how it learns them, all that it answers
ADAPTERS: dict[
    str,
    tuple[
        Callable[[np.random.Generator, float], Columns],
        Callable[..., Any],
        Callable[..., list[Array]],
    ],
] = {
    "anomaly": (_anomaly_step, AnomalyBank.learn_many, _anomaly_answers),
    "restarts": (_restart_step, RestartBank.learn_many, _restart_answers),
    "share": (_share_step, ShareBank.learn_many, _share_answers),
    "events": (_event_step, EventBank.learn_many, _event_answers),
    "growth": (_growth_step, GrowthBank.learn_many, _growth_answers),
}


@pytest.fixture(params=sorted(BANKS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Story:
    """A bank that is fed a seeded stream, the same for every test."""

    def __init__(self, name: str, capacity: int = ROWS) -> None:
        self.bank: Bank = BANKS[name](capacity)
        self.step, self.learn, self.answers = ADAPTERS[name]
        self.rng = np.random.default_rng(7)
        self.at = START

    def go(
        self, steps: int, change: Callable[[Array, Columns], tuple[Array, Columns]] | None = None
    ) -> Story:
        for _ in range(steps):
            self.at += 600.0
            rows, columns = np.arange(ROWS), self.step(self.rng, self.at)
            if change is not None:
                rows, columns = change(rows, columns)
            self.learn(self.bank, rows, *columns)
        return self

    def says(self, rows: Array | None = None) -> list[Array]:
        return self.answers(self.bank, np.arange(ROWS) if rows is None else rows)


def same(some: list[Array], others: list[Array]) -> None:
    assert len(some) == len(others)
    for one, other in zip(some, others, strict=True):
        np.testing.assert_array_equal(one, other)


def test_every_bank_has_an_adapter_here(name: str) -> None:
    assert name in ADAPTERS


def test_the_order_of_rows_does_not_matter(name: str) -> None:
    order = np.random.default_rng(1).permutation(ROWS)
    shuffled = Story(name).go(30, lambda r, c: (r[order], tuple(x[order] for x in c)))
    same(Story(name).go(30).says(), shuffled.says())


def test_rows_learned_one_at_a_time_are_the_same(name: str) -> None:
    singly = Story(name)
    for _ in range(20):
        singly.at += 600.0
        columns = singly.step(singly.rng, singly.at)
        for row in range(ROWS):
            singly.learn(singly.bank, np.array([row]), *(x[row : row + 1] for x in columns))
    same(Story(name).go(20).says(), singly.says())


def test_given_arrays_are_neither_kept_nor_changed(name: str) -> None:
    seen: list[tuple[Columns, Columns]] = []

    def keep(rows: Array, columns: Columns) -> tuple[Array, Columns]:
        seen.append((columns, tuple(x.copy() for x in columns)))
        return rows, columns

    story = Story(name).go(10, keep)
    for given, before in seen:
        same(list(before), list(given))
    answers = [x.copy() for x in story.says()]
    for given, _ in seen:
        for column in given:
            column[:] = -1.0
    same(answers, story.says())


def test_asking_changes_nothing(name: str) -> None:
    story = Story(name).go(20)
    before = {key: array.copy() for key, array in story.bank.arrays().items()}
    story.says()
    for key, array in story.bank.arrays().items():
        np.testing.assert_array_equal(array, before[key])


def test_forgotten_rows_are_as_new_and_others_untouched(name: str) -> None:
    story = Story(name).go(20)
    kept = np.arange(10, ROWS)
    before = [x.copy() for x in story.says(kept)]
    story.bank.forget(np.arange(10))
    fresh = BANKS[name](ROWS)
    for key, array in story.bank.arrays().items():
        np.testing.assert_array_equal(array[:10], fresh.arrays()[key][:10])
    same(before, story.says(kept))


def test_reserving_keeps_what_is_known_and_adds_new_rows(name: str) -> None:
    story = Story(name).go(20)
    before = [x.copy() for x in story.says()]
    story.bank.reserve(ROWS * 3)
    assert story.bank.capacity >= ROWS * 3
    same(before, story.says())
    fresh = BANKS[name](1)
    for key, array in story.bank.arrays().items():
        np.testing.assert_array_equal(array[-1], fresh.arrays()[key][0])
    capacity = story.bank.capacity
    story.bank.reserve(1)
    assert story.bank.capacity == capacity


def test_copied_arrays_have_the_same_future(name: str) -> None:
    story = Story(name).go(20)
    copy = Story(name)
    for key, array in copy.bank.arrays().items():
        array[...] = story.bank.arrays()[key]
    copy.rng, copy.at = np.random.default_rng(7), story.at
    copy.rng.bit_generator.state = story.rng.bit_generator.state
    same(story.go(20).says(), copy.go(20).says())


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_what_is_not_a_number_does_not_touch_other_rows(name: str, poison: float) -> None:
    def poisoned(rows: Array, columns: Columns) -> tuple[Array, Columns]:
        columns = tuple(x.copy() for x in columns)
        for i, column in enumerate(columns):
            column[i] = poison
        return rows, columns

    others = np.arange(5, ROWS)
    story = Story(name).go(20, poisoned)
    same(Story(name).go(20).says(others), story.says(others))


def test_no_rows_are_no_trouble(name: str) -> None:
    story = Story(name)
    none = np.array([], np.intp)
    columns = story.step(story.rng, START)
    story.learn(story.bank, none, *(x[:0] for x in columns))
    assert all(len(x) == 0 for x in story.says(none))
