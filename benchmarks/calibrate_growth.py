"""Writes the growth model's prior from seeded synthetic series.

``python -m benchmarks.calibrate_growth`` simulates the families of `benchmarks.workloads_growth`
with the design seeds, lets the model count its own forecasts from an empty table and writes
`models/growth_prior.py`. How good that is on other seeds and families: ``make quality``.

One core: 90 s. What it cannot tell: the families and the model share an author.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.quality.growth import simulate
from benchmarks.workloads_growth import fleet
from models.calibration import Table

DESIGN_SEEDS = (11, 12, 13)


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

    table = Table(prior=False)
    for seed in DESIGN_SEEDS:
        simulate(fleet(seed), table, baselines=False)
        table.fold()
    write(table, Path(growth_prior.__file__))


if __name__ == "__main__":
    main()
