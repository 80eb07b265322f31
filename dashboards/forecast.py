"""Forecast: what was measured, what was foreseen, and what was foreseen hours ago."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from grafana_foundation_sdk.builders.dashboard import Dashboard

from dashboards import kit
from dashboards.kit import CLUSTER, EVERY, NODE, Query


class Resource(NamedTuple):
    """One resource of a node: its name in forecasts, its field among the points, its unit."""

    name: str
    field: str
    unit: str
    title: str


RESOURCES: Final = (
    Resource("memory", "memory_working_set_bytes", "bytes", "Memory"),
    Resource("disk", "disk_used_bytes", "bytes", "Disk"),
    Resource("cpu", "cpu_cores", "short", "CPU, cores"),
    Resource("inodes", "inodes_used", "short", "Inodes"),
    Resource("pids", "pids", "short", "Processes"),
    Resource("pods", "pods", "short", "Pods"),
)


def foreseen(where: str) -> list[Query]:
    """Return the queries for a band: what was said `$horizon` before the time it speaks of."""
    path = f"""FROM "forecast_path" WHERE {where} AND "horizon" =~ /^$horizon$/ AND {EVERY}"""
    return [
        Query(f'SELECT mean("p10") {path} fill(none)', "P10"),
        Query(f'SELECT mean("p90") {path} fill(none)', "P90"),
        Query(f'SELECT mean("mean") {path} fill(none)', "P50"),
        Query(f'SELECT min("limit") {path} fill(none)', "limit"),
    ]


def now_said(where: str) -> list[Query]:
    """Return the queries for the newest forecast: the last point of each horizon, in order."""
    # No end: the newest forecast is wanted whole, however far ahead is shown.
    newest = f"""FROM "forecast_path" WHERE {where} AND time >= ${{__from}}ms GROUP BY "horizon\""""
    return [
        Query(
            f'SELECT "{field}" FROM (SELECT last("{field}") AS "{field}" {newest})',
            {"p10": "P10", "p90": "P90", "mean": "P50", "limit": "limit"}[field],
        )
        for field in ("p10", "p90", "mean", "limit")
    ]


def measured(resource: Resource) -> Query:
    """Return the query for what a node had."""
    return Query(
        f'SELECT mean("{resource.field}") FROM "node" WHERE {CLUSTER} AND {NODE} AND {EVERY} '
        "fill(none)",
        "measured",
    )


def _node(resource: Resource) -> Any:
    where = f"""{CLUSTER} AND {NODE} AND "resource" = '{resource.name}'"""
    return kit.band(
        kit.lines(
            f"{resource.title}: measured, and what was said $horizon before",
            measured(resource),
            *foreseen(where),
            about="The band is P10 to P90 as it was said $horizon before the time it lies at; "
            "right of now it is what is said today. The dashed line is the limit that binds.",
            unit=resource.unit,
            gap=7.0,
        )
    )


def _newest(resource: Resource) -> Any:
    where = f"""{CLUSTER} AND {NODE} AND "resource" = '{resource.name}'"""
    return kit.band(
        kit.lines(
            f"{resource.title}: the newest forecast",
            measured(resource),
            *now_said(where),
            about="What is said now, hour by hour for three days as far as shown.",
            unit=resource.unit,
            gap=24.0,
        )
    )


def _error(resource: Resource) -> Any:
    """How far off it was, beside how far off it said it might be."""
    path = f"""
        FROM "forecast_path" WHERE {CLUSTER} AND {NODE} AND "resource" = '{resource.name}'
        AND "horizon" =~ /^($horizon|)$/ AND $timeFilter GROUP BY time(1h) fill(none)"""
    return kit.lines(
        f"{resource.title}: error of what was said $horizon before",
        Query(f'SELECT abs(mean("actual") - mean("mean")) {path}', "error"),
        Query(f'SELECT (mean("p90") - mean("p10")) / 2 {path}', "half the band"),
        about="Mean absolute error by hour, beside half of the band's width: above it, the "
        "measured value lay outside of the band.",
        unit=resource.unit,
        gap=7.0,
        colours={"error": kit.RED, "half the band": kit.BLUE},
    )


def build() -> Dashboard:
    """Return the dashboard."""
    node = kit.choice("node", "forecast_path", CLUSTER, several=False)
    horizon = kit.options("horizon", ("1h", "2h", "4h", "6h", "12h", "24h"), "6h")
    made = kit.board(
        "forecast",
        "forewarn / Forecast",
        "One node: what was measured, what is foreseen, what was foreseen.",
        [kit.CLUSTERS, node, horizon],
        ahead="24h",
    )
    for resource in RESOURCES:
        made.with_panel(_node(resource))
    for resource in RESOURCES[:2]:
        made.with_panel(_newest(resource))
    for resource in RESOURCES[:2]:
        made.with_panel(_error(resource))
    return made.with_panel(
        kit.lines(
            "Odds of meeting a limit within a day",
            Query(
                f"""SELECT last("p_cross_24h") FROM "forecast"
                    WHERE {CLUSTER} AND {NODE} AND {EVERY}, "resource" fill(none)""",
                "$tag_resource",
            ),
            about="By resource of the node, as said at each forecast.",
            unit="percentunit",
            width=24,
            gap=7.0,
        )
    )
