"""Draws what each panel would be given, roughly as Grafana would: one contact sheet, HTML with SVG.

Small on purpose: enough to see a panel that is empty, unreadable, on the wrong scale, or without
its band. Grafana's own looks are left out.
"""

import html
import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from dashboards.kit import LABEL_NAMES
from tests.dashboards.demo_history import (
    History,
    ask,
    board,
    boards,
    expand,
    filled,
    panels,
    span,
)

COLUMN, ROW = 33, 25  # pixels of one unit of Grafana's grid
PALETTE = (
    *("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8E8E8E", "#B8860B"),
    *("#6A3D9A", "#1B9E77", "#A6761D", "#666666"),
)


class Line(NamedTuple):
    """One series as a panel gets it."""

    name: str
    points: list[tuple[float, float]]  # seconds, value


def draw(history: History) -> str:
    """The whole sheet."""
    parts = [_board(history, name) for name in boards()]
    return (
        "<!doctype html><meta charset=utf-8><style>"
        "body{font:10px sans-serif;margin:8px;background:#e9ebee;color:#222;columns:3;"
        "column-gap:10px;width:2440px}section{break-inside:avoid;margin-bottom:12px}"
        "h2{font-size:14px;margin:2px}.grid{position:relative}.panel{position:absolute;"
        "background:#fff;border:1px solid #ccd;box-sizing:border-box;overflow:hidden;padding:2px}"
        "h3{font-size:10px;margin:0 0 1px}.big{font-size:19px;text-align:center}"
        "table{border-collapse:collapse;font-size:8px;white-space:nowrap}"
        "td,th{padding:0 4px;text-align:left;max-width:170px;overflow:hidden;"
        "text-overflow:ellipsis}.empty{background:#fdd}.legend{font-size:8px}</style>"
        + "".join(parts)
    )


def _board(history: History, name: str) -> str:
    shown = panels(name)
    height = max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in shown) * ROW
    inside = "".join(_panel(history, name, panel) for panel in shown)
    title = html.escape(board(name)["title"])
    return (
        f"<section><h2>{title}</h2>"
        f'<div class=grid style="height:{height}px;width:{24 * COLUMN}px">{inside}</div></section>'
    )


def _panel(history: History, name: str, panel: dict[str, Any]) -> str:
    begin, end = span(history, name, panel)
    answers = [
        (target, ask(history.servers[1], expand(name, target["query"], begin, end)))
        for target in panel["targets"]
    ]
    place = panel["gridPos"]
    width, height = place["w"] * COLUMN - 2, place["h"] * ROW - 2
    paint = PAINTERS[panel["type"]]
    body = paint(panel, answers, (begin, end), (width - 6, height - 18))
    title = html.escape(panel["title"].replace("$horizon", "6h"))
    empty = "" if any(filled(series) for _, series in answers) else " empty"
    return (
        f'<div class="panel{empty}" style="left:{place["x"] * COLUMN}px;top:{place["y"] * ROW}px;'
        f'width:{width}px;height:{height}px"><h3>{title}</h3>{body}</div>'
    )


def _lines(answers: Sequence[Any]) -> list[Line]:
    found = []
    for target, series in answers:
        for one in series:
            tags = one.get("tags", {})
            name = re.sub(r"\$tag_(\w+)", lambda m, t=tags: t.get(m[1], ""), target["alias"])
            points = [
                (at / 1e9, float(value))
                for at, value, *_ in one["values"]
                if isinstance(value, int | float)
            ]
            if "$tag_label" in target["alias"]:  # as the panel's transformation does
                name = re.sub(LABEL_NAMES.removeprefix("/").removesuffix("/g"), "", name)
            found.append(Line(name or one["columns"][1], points))
    return found


# What people count in: seconds and bytes have marks of their own.
SCALES = {
    "s": (60.0, 300.0, 900.0, 3600.0, 3 * 3600.0, 6 * 3600.0, *(86_400.0 * 2**i for i in range(9))),
    "bytes": tuple(2.0**i for i in range(10, 50)),
}


def _step_of(least: float, unit: str) -> float:
    """A round distance of two lines, no smaller than `least`."""
    scale = SCALES.get(unit, ())
    if scale and least > scale[0]:
        return next((step for step in scale if step >= least), scale[-1])
    ten = 10.0 ** math.floor(math.log10(least))
    return next(step for step in (ten, 2 * ten, 5 * ten, 10 * ten) if step >= least * 0.999)


def _told(value: float, unit: str) -> str:
    match unit:
        case "bytes":
            for mark in ("B", "KiB", "MiB", "GiB", "TiB"):
                if abs(value) < 1024 or mark == "TiB":
                    return f"{value:.3g} {mark}"
                value /= 1024
        case "percent":
            return f"{value:.3g}%"
        case "percentunit":
            return f"{100 * value:.3g}%"
        case "s":
            if value < 120:
                return f"{value:.3g} s"
            if value < 7200:
                return f"{value / 60:.3g} min"
            return f"{value / 3600:.3g} h" if value < 4 * 86_400 else f"{value / 86_400:.3g} d"
        case _:
            pass
    if abs(value) >= 1e6:
        return f"{value / 1e6:.3g} M"
    return f"{value:,.0f}" if abs(value) >= 1e3 else f"{value:.4g}"


def _style(panel: dict[str, Any], name: str) -> dict[str, Any]:
    for override in panel["fieldConfig"].get("overrides", ()):
        if override["matcher"]["options"] == name:
            return {each["id"]: each["value"] for each in override["properties"]}
    return {}


def _unit(panel: dict[str, Any]) -> str:
    unit: str = panel["fieldConfig"]["defaults"].get("unit", "short")
    return unit


def timeseries(
    panel: dict[str, Any],
    answers: Sequence[Any],
    within: tuple[float, float],
    size: tuple[float, float],
) -> str:
    width, height = size[0], size[1] - 14
    lines = _lines(answers)
    custom = panel["fieldConfig"]["defaults"].get("custom", {})
    bars = custom.get("drawStyle") == "bars"
    stacked = custom.get("stacking", {}).get("mode") == "normal"
    values = [value for line in lines for _, value in line.points]
    if not values:
        return ""
    heights: dict[float, float] = {}
    if stacked:
        for line in lines:
            for at, value in line.points:
                heights[at] = heights.get(at, 0.0) + value
        values = list(heights.values())
    low = min(0.0, *values) if panel["fieldConfig"]["defaults"].get("min") is None else 0.0
    high = max(values) * 1.05 or 1.0
    left, begin, end = 46, *within

    def x(at: float) -> float:
        return left + (at - begin) / (end - begin) * (width - left)

    def y(value: float) -> float:
        return height - 10 - (value - low) / (high - low) * (height - 14)

    parts = []
    step = _step_of((high - low) / 4, _unit(panel))
    for i in range(math.ceil(low / step), math.floor(high / step) + 1):
        value = i * step
        parts.append(
            f'<line x1={left} x2={width} y1={y(value):.1f} y2={y(value):.1f} stroke="#eee"/>'
            f"<text x={left - 2} y={y(value) + 3:.1f} text-anchor=end>"
            f"{_told(value, _unit(panel))}</text>"
        )
    for i in range(7):
        at = begin + (end - begin) * i / 6
        when = datetime.fromtimestamp(at, UTC).strftime("%d. %H:%M")
        anchor = "start" if i == 0 else "end" if i == 6 else "middle"
        parts.append(f"<text x={x(at):.0f} y={height} text-anchor={anchor}>{when}</text>")
    by_name = {line.name: line for line in lines}
    bottom: dict[float, float] = {}
    legend = []
    for i, line in enumerate(lines):
        style = _style(panel, line.name)
        colour = style.get("color", {}).get("fixedColor", PALETTE[i % len(PALETTE)])
        if i < 12:
            legend.append(f'<span style="color:{colour}">■ {html.escape(line.name)}</span>')
        below = by_name.get(style.get("custom.fillBelowTo", ""))
        if below is not None:
            path = [(x(a), y(v)) for a, v in line.points]
            path += [(x(a), y(v)) for a, v in reversed(below.points)]
            parts.append(f'<polygon points="{_path(path)}" fill="{colour}" opacity=.2 />')
        if bars:
            for at, value in line.points:
                base = bottom.get(at, 0.0) if stacked else 0.0
                bottom[at] = base + value
                tall = abs(y(base) - y(base + value))
                parts.append(
                    f"<rect x={x(at):.1f} y={y(base + value):.1f} width=5 height={tall:.1f} "
                    f'fill="{colour}" opacity=.8 />'
                )
        elif style.get("custom.lineWidth") != 0:
            dash = ' stroke-dasharray="6 4"' if "custom.lineStyle" in style else ""
            path = [(x(a), y(v)) for a, v in line.points]
            mark = "circle" if len(path) == 1 else ""
            if mark:
                cx, cy = path[0]
                parts.append(f'<circle cx={cx:.1f} cy={cy:.1f} r=2 fill="{colour}"/>')
            parts.append(
                f'<polyline points="{_path(path)}" fill=none stroke="{colour}" '
                f"stroke-width={style.get('custom.lineWidth', 1.5)}{dash} />"
            )
    return (
        f"<svg width={width} height={height} font-size=8>{''.join(parts)}</svg>"
        f"<div class=legend>{' '.join(legend)}</div>"
    )


def _pieces(points: Sequence[tuple[float, float]], gap: float) -> list[list[tuple[float, float]]]:
    """A line where no two neighbours are further apart than `gap` seconds."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for point in points:
        if pieces[-1] and point[0] - pieces[-1][-1][0] > gap:
            pieces.append([])
        pieces[-1].append(point)
    return pieces


def _path(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def stat(
    panel: dict[str, Any],
    answers: Sequence[Any],
    within: tuple[float, float],
    size: tuple[float, float],
) -> str:
    if _unit(panel) == "dateTimeFromNow":
        at = answers[0][1][0]["values"][-1][0] / 1e9
        return f"<div class=big>{within[1] - at:.0f} s before the end</div>"
    told = []
    for line in _lines(answers):
        value = line.points[-1][1]
        colour = _step(panel, value)
        name = f" {html.escape(line.name)}" if len(answers) > 1 else ""
        told.append(f'<span style="color:{colour}">{_told(value, _unit(panel))}{name}</span>')
    return (
        f"<div class=big>{'<br>'.join(told) or panel['fieldConfig']['defaults']['noValue']}</div>"
    )


def _step(panel: dict[str, Any], value: float) -> str:
    colour = "#222"
    for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]:
        if step["value"] is None or value >= step["value"]:
            colour = step["color"]
    return colour


def bargauge(
    panel: dict[str, Any],
    answers: Sequence[Any],
    within: tuple[float, float],
    size: tuple[float, float],
) -> str:
    sums = [(line.name, sum(value for _, value in line.points)) for line in _lines(answers)]
    most = max((value for _, value in sums), default=0.0) or 1.0
    if "transformations" in panel:
        sums.sort(key=lambda pair: -pair[1])
    rows = "".join(
        f"<tr><td>{html.escape(name)}<td><div style='background:#0072B2;height:9px;"
        f"width:{max(1.0, value / most * (size[0] - 210)):.0f}px'></div>"
        f"<td>{_told(value, _unit(panel))}"
        for name, value in sums[:14]
    )
    return f"<table>{rows}</table>"


def table(
    panel: dict[str, Any],
    answers: Sequence[Any],
    within: tuple[float, float],
    size: tuple[float, float],
) -> str:
    series = answers[0][1]
    if not series:
        return ""
    tags = sorted(series[0].get("tags", {}))
    columns = [*tags, *series[0]["columns"]]
    rows = [[*(one["tags"][t] for t in tags), *row] for one in series for row in one["values"]]
    sort = panel.get("options", {}).get("sortBy") or []
    if sort:
        place = columns.index(sort[0]["displayName"])
        known = [row for row in rows if row[place] is not None]
        known.sort(key=lambda row: row[place], reverse=bool(sort[0].get("desc")))
        rows = known + [row for row in rows if row[place] is None]
    body = ""
    for row in rows[: int(size[1] // 11) - 1]:
        cells = []
        for column, value in zip(columns, row, strict=True):
            unit = _style(panel, column).get("unit", "short")
            if column == "time":
                text = (
                    datetime.fromtimestamp(value / 1e9, UTC).strftime("%d. %H:%M") if value else ""
                )
            elif isinstance(value, int | float) and not isinstance(value, bool):
                text = _told(value, unit)
            else:
                text = "" if value is None else str(value)
            cells.append(f"<td>{html.escape(text)}")
        body += f"<tr>{''.join(cells)}"
    head = "".join(f"<th>{html.escape(column)}" for column in columns)
    return f"<table><tr>{head}{body}</table>"


def _tracks(
    lines: Sequence[Line],
    within: tuple[float, float],
    size: tuple[float, float],
    colour: Callable[[float], str],
) -> str:
    left, parts = 110, []
    tall = max(6.0, (size[1] - 12) / max(1, len(lines)))
    begin, end = within
    times = sorted({at for line in lines for at, _ in line.points})
    wide = (times[1] - times[0] if len(times) > 1 else 1800.0) / (end - begin) * (size[0] - left)
    for i, line in enumerate(sorted(lines)):
        parts.append(f"<text x=0 y={i * tall + tall * 0.7:.1f}>{html.escape(line.name)}</text>")
        for at, value in line.points:
            x = left + (at - begin) / (end - begin) * (size[0] - left)
            parts.append(
                f"<rect x={x:.1f} y={i * tall + 1:.1f} width={wide + 0.3:.1f} "
                f'height={tall - 2:.1f} fill="{colour(value)}"/>'
            )
    return f"<svg width={size[0]} height={size[1]} font-size=8>{''.join(parts)}</svg>"


def heatmap(
    panel: dict[str, Any],
    answers: Sequence[Any],
    within: tuple[float, float],
    size: tuple[float, float],
) -> str:
    lines = _lines(answers)
    most = max((value for line in lines for _, value in line.points), default=0.0) or 1.0
    return _tracks(
        lines, within, size, lambda value: f"rgba(213,94,0,{0.05 + 0.95 * value / most:.2f})"
    )


def states(
    panel: dict[str, Any],
    answers: Sequence[Any],
    within: tuple[float, float],
    size: tuple[float, float],
) -> str:
    return _tracks(_lines(answers), within, size, lambda value: _step(panel, value))


PAINTERS = {
    "timeseries": timeseries,
    "stat": stat,
    "bargauge": bargauge,
    "table": table,
    "heatmap": heatmap,
    "state-timeline": states,
}
