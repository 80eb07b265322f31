"""State of many series: bytes that 100,000 rows take, and seconds until they are back.

The restored bank is asserted to be the saved one before the restore is timed.
"""

import time

import numpy as np
import pytest

from models.growth import GrowthBank
from stream.checkpoint import PagedBank

ROWS = 100_000
MOST_BYTES = 200e6
MOST_SECONDS = 3.0


def filled() -> GrowthBank:
    rng = np.random.default_rng(3)
    bank = GrowthBank(ROWS)
    rows = np.arange(ROWS)
    for step in range(4):
        times = np.full(ROWS, 1.76e9 + 300.0 * step)
        bank.learn_many(rows, times, rng.uniform(10.0, 80.0, ROWS))
    return bank


@pytest.mark.benchmark(group="state")
def test_100_000_series_fit_and_come_back(benchmark) -> None:  # type: ignore[no-untyped-def]
    bank = filled()
    size = sum(array.nbytes for array in bank.arrays().values())
    saved = PagedBank("growth", bank)
    saved.touch(np.arange(ROWS))
    pages = saved.snapshot()

    def restore() -> GrowthBank:
        fresh = GrowthBank(ROWS)
        PagedBank("growth", fresh).restore(pages)
        return fresh

    back = restore()
    for name, array in bank.arrays().items():
        assert np.array_equal(array, back.arrays()[name], equal_nan=True), name
    began = time.perf_counter()
    restore()
    seconds = time.perf_counter() - began
    benchmark.pedantic(restore, rounds=3)
    print(f"\n{ROWS:,} series: {size / 1e6:.0f} MB, back in {seconds:.2f} s")
    assert size <= MOST_BYTES
    assert seconds <= MOST_SECONDS
