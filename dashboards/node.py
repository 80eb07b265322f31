"""Node: everything about one node."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard

from dashboards import kit
from dashboards.kit import CLUSTER, EVERY, NODE, Query, rows

_PERCENT = ("cpu", "memory", "disk", "image_disk", "inodes", "pids", "pods")


def _node(field: str, alias: str) -> Query:
    return Query(
        f'SELECT mean("{field}") FROM "node" WHERE {CLUSTER} AND {NODE} AND {EVERY} fill(none)',
        alias,
    )


_ONE: Final = kit.choice("node", "node", CLUSTER, several=False)
_HERE: Final = f"{CLUSTER} AND {NODE} AND $timeFilter"

PANELS: Final = (
    kit.lines(
        "How full",
        *(_node(f"{name}_percent", name.replace("_", " ")) for name in _PERCENT),
        about="Every resource in percent of what binds it.",
        unit="percent",
        width=24,
        height=9,
    ),
    kit.lines(
        "Time left",
        Query(
            f"""SELECT last("p50_seconds") FROM "forecast"
                        WHERE {CLUSTER} AND {NODE} AND {EVERY}, "resource" fill(none)""",
            "$tag_resource",
        ),
        about="Median time until each resource meets its limit, where one is foreseen.",
        unit="s",
        gap=7.0,
    ),
    kit.lines(
        "CPU, cores",
        _node("cpu_cores", "in use"),
        about="Cores in use.",
    ),
    kit.lines(
        "Memory",
        _node("memory_working_set_bytes", "working set"),
        _node("memory_available_bytes", "available"),
        about="Working set, and what the kubelet calls available.",
        unit="bytes",
    ),
    kit.lines(
        "Disk",
        _node("disk_used_bytes", "used"),
        _node("disk_available_bytes", "available"),
        _node("image_disk_used_bytes", "images"),
        about="The node's file system and that of images.",
        unit="bytes",
    ),
    kit.listing(
        "Forecasts",
        rows(
            f"""SELECT last("percent") AS "used", "p50_seconds" AS "left",
                        "p_cross_24h" AS "odds in 24 h" FROM "forecast"
                        WHERE {_HERE} GROUP BY "resource\""""
        ),
        about="The newest forecast of each resource.",
        width=12,
        units={"used": "percent", "left": "s", "odds in 24 h": "percentunit"},
        sort=("left", False),
    ),
    kit.listing(
        "Findings and changes",
        rows(
            f"""SELECT "rule", "state", "severity", "summary" FROM "finding", "change"
                        WHERE {_HERE} ORDER BY time DESC LIMIT 100"""
        ),
        about="What was concluded about the node, and what was done to it.",
        width=12,
    ),
)


def build() -> Dashboard:
    """Return the dashboard."""
    return kit.board(
        "node", "forewarn / Node", "Everything about one node.", [kit.CLUSTERS, _ONE], panels=PANELS
    )
