"""Draws forecasts that came true and ones that did not, from fleets that no choice was made on.

``python -m benchmarks.quality.plots FILE.svg``: one panel a series, the first of its family, drawn
by the code of ``forewarn backtest growth --plot``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks import workloads_growth as like
from benchmarks import workloads_growth_unseen as unseen
from benchmarks.quality.__main__ import GROWTH_SEED, UNSEEN_SEED
from forewarn.backtest import drawing, growth, svg
from forewarn.backtest.reading import Samples

# family → what there is to see
TRUE = {
    "workday": "grows by day, rests by night: came true",
    "accelerating": "grows faster and faster: came true",
    "backup-growth": "a nightly backup over steady growth: came true (unseen family)",
    "weekly-growth": "warned on a Friday, taken back on the weekend, said again (unseen family)",
}
FALSE = {
    "runaway": "full within hours: warned of, but late",
    "jumps": "fills by accidents: warned of too early, taken back, said again",
    "fill-and-clean": "forecasts that did not come true, and no warning (unseen family)",
    "floor-rises": "warned of a first fill in vain, and of the last too late (unseen family)",
}


def main() -> None:
    panels = []
    for family, words in {**TRUE, **FALSE}.items():
        module, seed = (unseen, UNSEEN_SEED) if _is_unseen(family) else (like, GROWTH_SEED)
        make = {**module.GROWING, **module.BENIGN}[family]
        world = like.fleet(seed, 1, {family: make})
        ended = int(growth_end(world))
        times = like.START + 1.0 + like.HOURS[:ended] * 3600
        samples = Samples(times, world.seen[0, :ended])
        (lines,) = growth.run([samples], like.LIMIT, lambda share: None)
        title = f"{family}: {words}"
        panels.append(drawing.growth(len(panels), title, samples, lines, like.LIMIT))
    Path(sys.argv[1]).write_bytes(svg.render(drawing.picture(panels, 0)))


def _is_unseen(family: str) -> bool:
    return family in unseen.GROWING or family in unseen.BENIGN


def growth_end(world: like.Fleet) -> int:
    """Return the step half a day after the series was full for the first time."""
    met = world.truth[0] >= like.LIMIT
    return min(int(met.argmax()) + 72, like.STEPS) if met.any() else like.STEPS


if __name__ == "__main__":
    main()
