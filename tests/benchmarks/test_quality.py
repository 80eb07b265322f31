"""The quality harness itself: every bank is judged, and scores mean what they say.

Left out: the figures (`make quality` measures them).
"""

import numpy as np
import pytest

from benchmarks import workloads_growth as like
from benchmarks import workloads_growth_unseen as unseen
from benchmarks.quality import growth, nab
from benchmarks.quality.__main__ import SCENARIOS, audit, table
from benchmarks.quality.figures import AIMS, JUDGED, Aim, Figure
from models import BANKS


def test_every_bank_is_judged_by_figures_that_have_an_aim() -> None:
    audit()
    assert set(JUDGED) == set(BANKS)
    assert {name[0] for names in JUDGED.values() for name in names} <= set(SCENARIOS)


def test_a_bound_is_never_stricter_than_its_aim() -> None:
    for name, aim in AIMS.items():
        assert aim.bound <= aim.aim if aim.more else aim.bound >= aim.aim, name


def test_the_table_says_what_is_met_and_what_others_reach() -> None:
    text = table([Figure("G1-6", 8.0, {"predict_linear 6h": 20.0}), Figure("A1-nab", 10.0)])
    assert "| 8 | ≤ 9 | yes | predict_linear 6h 20 |" in text
    assert "**no**" in text
    assert Aim("x", 1, 2).holds(2.0)
    assert not Aim("x", 1, 2, more=True).holds(1.5)


def series(windows: list[tuple[int, int]], rows: int = 4000) -> nab.Series:
    return nab.Series("s", np.arange(rows) * 300.0, np.zeros(rows), windows)


def test_nab_gives_nothing_for_silence_and_everything_for_the_first_row_of_each_window() -> None:
    windows = [(1000, 1399), (2500, 2899)]
    silent, early, late = (np.zeros(4000) for _ in range(3))
    early[[1000, 2500]] = 1.0
    late[[1399, 2899]] = 1.0
    assert nab.score([nab.tally(series(windows), silent)], 0.5) == 0.0
    assert nab.score([nab.tally(series(windows), early)], 0.5) == pytest.approx(100.0)
    # A detection at the very end is worth next to nothing, but is no miss.
    assert nab.score([nab.tally(series(windows), late)], 0.5) == pytest.approx(50.0, abs=1.0)


def test_nab_takes_for_a_false_positive_and_does_not_look_at_the_first_rows() -> None:
    scores = np.zeros(4000)
    scores[1000] = 1.0
    clean = nab.score([nab.tally(series([(1000, 1399)]), scores)], 0.5)
    scores[3900] = 1.0
    assert nab.score([nab.tally(series([(1000, 1399)]), scores)], 0.5) == pytest.approx(
        clean - 100 * nab.FALSE / 2
    )
    scores[3900], scores[100] = 0.0, 1.0
    assert nab.score([nab.tally(series([(1000, 1399)]), scores)], 0.5) == clean


def test_families_of_both_lists_are_different_and_seeded() -> None:
    assert not {*like.GROWING, *like.BENIGN} & {*unseen.GROWING, *unseen.BENIGN, *unseen.LEAKS}
    for families in (like.BENIGN, unseen.GROWING):
        one, two = like.fleet(5, 1, families), like.fleet(5, 1, families)
        np.testing.assert_array_equal(one.seen, two.seen)


def test_an_alarm_that_was_taken_back_does_not_count_as_a_lead() -> None:
    world = like.fleet(5, 1, {"linear": like.GROWING["linear"]})
    (crossing,) = growth.crossings(world)
    on = np.zeros((1, growth.SLOTS), bool)
    last = int(np.ceil(crossing.place)) - 1
    on[0, last - 40 : last] = True
    assert growth.leads(world, on, ["linear"])[0] == pytest.approx(20.0, abs=1.0)
    on[0, last - 6] = False
    assert growth.leads(world, on, ["linear"])[0] == pytest.approx(2.5, abs=1.0)
