"""Rows, rounds and pages: numbering, and bytes that depend on content alone.

Leaves out the loop that writes the pages (`test_runtime.py`).
"""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import BANKS
from stream.checkpoint import PAGE_ROWS, PagedBank, PagedValue
from stream.columns import Columns, rounds
from stream.errors import Corrupt
from tests.stream.toy import ToyBank

KEYS = st.text("abcdef", min_size=1, max_size=1)
STEP = st.tuples(
    st.sampled_from(["see", "release", "evict", "restore"]), st.lists(KEYS, max_size=6)
)


# ---- rounds -----------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 9), max_size=60))
def test_rounds_hold_distinct_rows_and_keep_the_order_of_each(rows: list[int]) -> None:
    array = np.array(rows, np.intp)
    found = rounds(array)
    assert sorted(np.concatenate([*found, []]).tolist()) == list(range(len(rows)))
    seen: dict[int, list[int]] = {}
    for round_ in found:
        assert len(set(array[round_].tolist())) == round_.size
        assert round_.tolist() == sorted(round_.tolist())
        for position in round_.tolist():
            seen.setdefault(rows[position], []).append(position)
    assert all(positions == sorted(positions) for positions in seen.values())
    assert len(found) == max((rows.count(row) for row in rows), default=0)


def test_one_hot_row_among_many_is_not_quadratic() -> None:
    rows = np.where(np.arange(200_000) % 2, 0, np.arange(200_000))
    found = rounds(rows)  # quadratic would be 2e10 steps: minutes
    assert len(found) == 100_001
    assert sum(round_.size for round_ in found) == 200_000


# ---- columns ----------------------------------------------------------------------------------


@given(st.lists(STEP, max_size=30))
def test_columns_number_like_a_plain_dict_with_the_lowest_free_row(
    steps: list[tuple[str, list[str]]],
) -> None:
    columns, model = Columns(), {}  # type: ignore[var-annotated]
    pages: dict[str, bytes] = {}
    for time, (what, keys) in enumerate(steps):
        match what:
            case "see":
                rows = columns.rows_of(keys)
                columns.see(rows, np.full(rows.size, float(time)))
                for key in keys:
                    free = min(set(range(len(model) + 1)) - {row for row, _ in model.values()})
                    model[key] = (model.get(key, (free, 0))[0], time)
                assert rows.tolist() == [model[key][0] for key in keys]
            case "release":
                gone = [model.pop(key)[0] for key in dict.fromkeys(keys) if key in model]
                assert columns.release(keys).tolist() == gone
            case "evict":
                old = sorted(row for row, seen in model.values() if seen < time - 5)
                model = {key: value for key, value in model.items() if value[1] >= time - 5}
                assert columns.evict(time - 5.0).tolist() == old
            case "restore":
                pages |= columns.snapshot()
                columns = Columns()
                columns.restore(pages)
                assert not columns.snapshot()
    assert len(columns) == len(model)
    for key, (row, seen) in model.items():
        assert columns.key_of(row) == key
        assert columns.seen(np.array([row])).tolist() == [seen]
        assert key in columns
    assert columns.find(["never"]).tolist() == [-1]


def test_columns_survive_a_restore_over_many_pages() -> None:
    keys = [f"k{i}" for i in range(5_000)]
    one = Columns()
    one.see(one.rows_of(keys), np.arange(5_000.0))
    one.release(keys[100:3_000:7])
    other = Columns()
    pages = one.snapshot()
    other.restore(pages)
    for columns in (one, other):
        columns.rows_of([f"new{i}" for i in range(3_000)])
    more = [f"new{i}" for i in range(3_000)]
    assert one.rows_of(more).tolist() == other.rows_of(more).tolist()
    assert one.idle(2_500.0).tolist() == other.idle(2_500.0).tolist()
    written, again = one.snapshot(), other.snapshot()
    assert written.keys() == again.keys() != set()
    assert written == again


def test_a_free_row_has_no_key() -> None:
    columns = Columns()
    columns.rows_of(["a", "b"])
    columns.release(["a"])
    for row in (0, 2):
        with pytest.raises(KeyError):
            columns.key_of(row)


def test_a_lost_page_of_keys_is_corrupt() -> None:
    columns = Columns()
    columns.rows_of([f"k{i}" for i in range(3_000)])
    pages = columns.snapshot()
    del pages["keys/1"]
    with pytest.raises(Corrupt, match="page before it"):
        Columns().restore(pages)


# ---- pages of banks ---------------------------------------------------------------------------


def filled(bank: Any, rows: int, seed: int) -> None:
    """Write something into every array, of every dtype."""
    chance = np.random.default_rng(seed)
    for array in bank.arrays().values():
        array[:rows] = chance.integers(0, 2, (rows, *array.shape[1:])).astype(array.dtype)


@pytest.mark.parametrize("name", sorted(BANKS))
@pytest.mark.parametrize("capacity", [1, 3_000])
def test_every_bank_comes_back_as_it_went_whatever_its_capacity(name: str, capacity: int) -> None:
    bank = BANKS[name](1)
    pages = PagedBank("bank", bank)
    pages.reserve(2_500)
    filled(bank, 2_500, seed=1)
    pages.touch(np.arange(2_500))
    written = pages.snapshot()
    assert max(len(page) for page in written.values()) < 1_000_000
    other = BANKS[name](capacity)
    again = PagedBank("bank", other)
    again.reserve(10)
    filled(other, 1, seed=2)
    again.restore(written)
    for key, array in bank.arrays().items():
        np.testing.assert_array_equal(array[:2_500], other.arrays()[key][:2_500])
    assert not again.snapshot()
    again.touch(np.arange(2_500))
    assert again.snapshot() == written


def test_only_touched_pages_are_written() -> None:
    bank = ToyBank()
    pages = PagedBank("bank", bank)
    pages.reserve(10_000)
    pages.touch(np.array([PAGE_ROWS, 5 * PAGE_ROWS + 1, PAGE_ROWS + 7]))
    pages.touch(np.array([], np.intp))
    assert sorted(pages.snapshot()) == ["bank/1", "bank/5"]
    assert not pages.snapshot()


def test_no_pages_make_a_bank_as_new() -> None:
    bank = ToyBank()
    pages = PagedBank("bank", bank)
    pages.reserve(10)
    filled(bank, 10, seed=1)
    pages.restore({"banker/0": b"another's"})
    np.testing.assert_array_equal(bank.arrays()["count"], 0)
    assert np.isnan(bank.arrays()["mean"]).all()


@pytest.mark.parametrize("page", [b"", b"\xc1", b"\x92\xc4\x01x\x80", b"\x92\xa1\xff\x80"])
def test_a_damaged_page_is_corrupt(page: bytes) -> None:
    with pytest.raises(Corrupt):
        PagedBank("bank", ToyBank()).restore({"bank/0": page})
    with pytest.raises(Corrupt):
        Columns().restore({"keys/0": page})


def test_a_bank_of_another_shape_is_refused() -> None:
    pages = PagedBank("bank", ToyBank(width=2))
    pages.touch(np.array([0]))
    with pytest.raises(Corrupt, match="another version"):
        PagedBank("bank", ToyBank(width=3)).restore(pages.snapshot())


def test_a_small_value_is_written_when_it_differs_and_comes_back() -> None:
    kept: dict[str, float] = {"a": 1.0}

    def put(value: dict[str, float] | None) -> None:
        kept.clear()
        kept.update(value or {})

    page = PagedValue("small", dict[str, float], lambda: kept, put)
    first = page.snapshot()
    assert sorted(first) == ["small"]
    assert not page.snapshot()
    kept["b"] = 2.0
    second = page.snapshot()
    page.restore(first)
    assert kept == {"a": 1.0}
    assert not page.snapshot()
    page.restore({})
    assert kept == {}
    page.restore(second)
    assert kept == {"a": 1.0, "b": 2.0}
    with pytest.raises(Corrupt):
        page.restore({"small": b"\x01"})
