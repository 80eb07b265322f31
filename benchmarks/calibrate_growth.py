"""Writes the growth model's prior from seeded synthetic series.

``python -m benchmarks.calibrate_growth`` simulates the families of `benchmarks.workloads_growth`
with the design seeds and lets the model count its own forecasts from an empty table; then once
more with others of its seeds and these counts, to see how far off the forecasts of each span are.
The result is `models/growth_prior.py`; how good it is on other seeds and families says
``make quality``.

One core: three minutes. What it cannot tell: the families and the model share an author.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.growth import simulate
from benchmarks.workloads_growth import BENIGN, CONTAINERS, GROWING, LEAKS, fleet
from models.calibration import OPEN_UNITS, TRUSTS, Table

DESIGN_SEEDS = (11, 12, 13)
SPREAD_SEEDS = (14, 15)
OPENED = OPEN_UNITS + 0.5  # where a quantile that is infinite begins: it can come down again
LEAST = 30  # resolved forecasts that a quantile must rest on


class Recording(Table):
    """A table that keeps what was resolved."""

    def __init__(self) -> None:
        super().__init__(prior=False)
        self.ratios: dict[int, list[float]] = {}

    def track(self, cells: Any, predicted: Any, hours: Any, units: Any) -> None:
        spans, ratios = self.ratios_of(cells, predicted, hours, units)
        for span, ratio in zip(spans.tolist(), ratios.tolist(), strict=True):
            self.ratios.setdefault(span, []).append(ratio)
        super().track(cells, predicted, hours, units)

    def settle(self) -> None:
        """Make the quantiles those of all that was resolved."""
        quantiles = self.arrays()["quantiles"]
        quantiles[:] = (-0.5, OPENED)
        for span, ratios in self.ratios.items():
            ordered = np.sort(ratios)
            came = ordered[np.isfinite(ordered)]
            if len(came) >= LEAST:
                quantiles[span, 0] = came[int(0.1 * len(came))]
            if len(ordered) >= LEAST:
                quantiles[span, 1] = min(ordered[int(0.9 * len(ordered))], OPENED)


def write(table: Table, path: Path) -> None:
    """Write the prior as a module."""
    head = path.read_text().split('"""')[1]
    counts = table.arrays()["counts"]
    kinds = "tuple[tuple[int, float, float, float, float], ...]"
    rows = [
        f"    ({cell}, {', '.join(f'{value:.1f}' for value in counts[cell])}),"
        for cell in np.flatnonzero(counts[:, 0] > 0)
    ]
    tracked = [
        f"    ({', '.join(f'{value:.3f}' for value in row)}),"
        for row in table.arrays()["quantiles"]
    ]
    lines = [f'"""{head}"""', "", f"COUNTS: {kinds} = (", *rows, ")"]
    lines += ["QUANTILES: tuple[tuple[float, float], ...] = (", *tracked]
    path.write_text("\n".join([*lines, ")", ""]))


def main() -> None:
    """Write the prior."""
    from models import growth_prior

    table = Recording()
    for seed in DESIGN_SEEDS:
        simulate(fleet(seed), table, baselines=False)
        table.fold()
    counted = table.arrays()["counts"].copy()
    every = {**GROWING, **BENIGN, **LEAKS}
    ratios: dict[int, list[float]] = {}
    for contained in (False, True):
        # Caches that warm up would open the band of every disk; a leak clock has spans of its own.
        some = {name: make for name, make in every.items() if (name in CONTAINERS) == contained}
        table.ratios.clear()
        for seed in SPREAD_SEEDS:
            simulate(fleet(seed, families=some), table, baselines=False)
            table.fold()
        clocked = TRUSTS - 1
        ratios |= {s: f for s, f in table.ratios.items() if (s % TRUSTS == clocked) == contained}
    table.ratios = ratios
    table.settle()
    table.arrays()["counts"][:] = counted
    write(table, Path(growth_prior.__file__))


if __name__ == "__main__":
    main()
