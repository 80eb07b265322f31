"""What the plots of a backtest show: one panel a series, in the words of the models.

Growth: the series, its limit, shaded where it warned, and every so often a forecast as a fan from
its origin to the P10 and P90 of when the limit is met. Anomaly: series and score. Restarts: bursts
by workload. Events: lines an hour, and where a message was sent.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from forewarn.backtest.picture import (
    BAND,
    BLUE,
    DIM,
    GREEN,
    HEIGHT,
    INK,
    ORANGE,
    RED,
    WIDTH,
    Panel,
    Picture,
    Words,
)
from forewarn.backtest.reading import Samples

PANELS: Final = 12  # series that one picture shows
_FANS: Final = 9  # forecasts drawn into one panel
_POINTS: Final = 1800  # of a line; more than two in a pixel cannot be told apart
_HOUR: Final = 3600.0

Lines = Sequence[dict[str, Any]]


def growth(place: int, name: str, samples: Samples, lines: Lines, limit: float) -> Panel:
    """Draw a series that may run full."""
    panel = Panel(place, name, samples.times, [*samples.values, limit])
    for since, until in _spans(lines):
        panel.span(since, until, ORANGE)
    told = [line for line in lines if line["time_left"]["p50"]]
    known = dict(zip(samples.times, samples.values, strict=True))
    for line in told[:: max(1, len(told) // _FANS)]:
        _fan(panel, line, known[line["origin"]], limit)
    panel.line(_thin(samples), BLUE)
    panel.line([(samples.times.min(), limit), (samples.times.max(), limit)], RED, dashed=True)
    warned = sum(line["warn"] for line in lines)
    _note(panel, place, f"{len(lines)} forecasts, {warned} of them warnings (shaded)")
    return panel


def _fan(panel: Panel, line: dict[str, Any], value: float, limit: float) -> None:
    origin, left = line["origin"], line["time_left"]
    last = left["p90"] if left["p90"] is not None else 4 * left["p50"]
    if not math.isfinite(value):
        return
    corners = [(origin, value), (origin + left["p10"], limit), (origin + last, limit)]
    panel.area(corners, BAND, 0.45)
    panel.line([(origin, value), (origin + left["p50"], limit)], DIM, 0.8)


def anomaly(place: int, name: str, samples: Samples, lines: Lines, limit: float) -> Panel:
    """Draw a series, its scores along the lower edge, and where it would have notified."""
    panel = Panel(place, name, samples.times, samples.values)
    known = samples.values[~_bad(samples)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    height = 0.3 * ((high - low) or 1.0)
    scores = [(line["at"], low + height * min(line["score"], 1.0)) for line in lines]
    panel.line(_thin(samples), BLUE)
    spoken = [(at, y) for (at, y), line in zip(scores, lines, strict=True) if line["score"] > 0]
    for at, y in spoken:
        panel.line([(at, low), (at, y)], ORANGE, 1.0)
    notified = [line["at"] for line in lines if line["notify"]]
    for at in notified:
        panel.mark(at, RED)
    _note(panel, place, f"{len(lines)} points, {len(notified)} notifications (marks)")
    return panel


def restarts(place: int, name: str, samples: None, lines: Lines, limit: float) -> Panel:
    """Draw each workload's bursts on a line of its own."""
    workloads = sorted({line["workload"] for line in lines})
    times = [line["at"] for line in lines]
    panel = Panel(place, name, times, [0.0, max(len(workloads), 1)])
    for row, workload in enumerate(workloads):
        since: float | None = None
        for line in lines:
            if line["workload"] != workload:
                continue
            if line["state"] == "burst":
                since = line["at"]
            elif since is not None:
                y = row + 0.5
                panel.line([(since, y), (line["at"], y)], RED, 3.0)
                panel.mark(since, RED)
                since = None
        if len(workloads) <= PANELS:
            panel.shapes.append(Words(84, panel.y(row + 0.5) - 4, workload))
    bursts = sum(line["state"] == "burst" for line in lines)
    _note(panel, place, f"{bursts} bursts of {len(workloads)} workloads")
    return panel


def events(place: int, name: str, samples: None, lines: Lines, limit: float) -> Panel:
    """Draw lines an hour, those of incidents among them, and where a message was sent."""
    timed = [line for line in lines if line["at"] is not None]
    every = Counter(line["at"] // _HOUR for line in timed)
    grouped = Counter(line["at"] // _HOUR for line in timed if line["action"] != "suppress")
    hours = [hour * _HOUR for hour in sorted(every)]
    panel = Panel(place, name, hours, [0.0, *every.values()])
    panel.line([(at, every[at // _HOUR]) for at in hours], BLUE)
    panel.line([(at, grouped[at // _HOUR]) for at in hours], GREEN)
    sent = [line["at"] for line in timed if line["action"] == "notify"]
    for at in sent:
        panel.mark(at, RED)
    _note(
        panel, place, f"{len(lines)} lines an hour (blue), in incidents (green), {len(sent)} sent"
    )
    return panel


def picture(panels: Sequence[Panel], left_out: int) -> Picture:
    """Return the panels as one picture; says how many series it does not show."""
    shapes = [shape for panel in panels for shape in panel.shapes]
    height = HEIGHT * max(len(panels), 1)
    if left_out:
        shapes.append(Words(74, height + 6, f"and {left_out} more series, not drawn"))
        height += 20
    return Picture(WIDTH, height, shapes)


def _note(panel: Panel, place: int, text: str) -> None:
    panel.shapes.append(Words(WIDTH - 20, place * HEIGHT + 22, text, INK, "end"))


def _spans(lines: Lines) -> list[tuple[float, float]]:
    """Return from when to when it warned."""
    spans: list[tuple[float, float]] = []
    since: float | None = None
    for line in lines:
        if line["warn"] and since is None:
            since = line["origin"]
        elif not line["warn"] and since is not None:
            spans.append((since, line["origin"]))
            since = None
    if since is not None:
        spans.append((since, lines[-1]["origin"]))
    return spans


def _bad(samples: Samples) -> Any:
    return samples.values != samples.values  # NaN alone differs from itself


def _thin(samples: Samples) -> list[tuple[float, float]]:
    """Return at most some two thousand points, lowest and highest of each stretch kept."""
    n = len(samples.times)
    order = samples.times.argsort(kind="stable")
    times, values = samples.times[order], samples.values[order]
    stretch = max(1, 2 * n // _POINTS)
    points: list[tuple[float, float]] = []
    for i in range(0, n, stretch):
        part = range(i, min(i + stretch, n))
        known = [k for k in part if math.isfinite(values[k])]
        if not known:
            points.append((float(times[i]), math.nan))
            continue
        ends = {min(known, key=lambda k: values[k]), max(known, key=lambda k: values[k])}
        points += [(float(times[k]), float(values[k])) for k in sorted(ends)]
    return points
