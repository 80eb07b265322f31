"""Workload: everything about one workload."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard

from dashboards import kit
from dashboards.forecast import foreseen
from dashboards.kit import CLUSTER, EVERY, NAMESPACE, WORKLOAD, Query, rows

_ONE_NAMESPACE: Final = kit.choice("namespace", "container", CLUSTER, several=False)
_ONE_WORKLOAD: Final = kit.choice(
    "workload", "container", f"{CLUSTER} AND {NAMESPACE}", several=False
)
_HORIZON: Final = kit.options("horizon", ("1h", "2h", "4h", "6h", "12h", "24h"), "6h")
_HERE: Final = f"{CLUSTER} AND {NAMESPACE} AND {WORKLOAD}"


def _container(field: str, function: str = "max") -> Query:
    return Query(
        f"""SELECT {function}("{field}") FROM "container"
            WHERE {_HERE} AND {EVERY}, "container" fill(none)""",
        "$tag_container",
    )


PANELS: Final = (
    kit.lines(
        "Memory of limit",
        _container("memory_percent"),
        about="Working set of each container in percent of its limit, its highest pod.",
        unit="percent",
    ),
    kit.band(
        kit.lines(
            "Memory: measured, and what was said $horizon before",
            Query(
                f"""SELECT max("memory_bytes") FROM "container"
                            WHERE {_HERE} AND {EVERY} fill(none)""",
                "measured",
            ),
            *foreseen(f"""{_HERE} AND "resource" = 'container-memory'"""),
            about="The band is P10 to P90 as it was said $horizon before the time it lies "
            "at; the dashed line is the memory limit.",
            unit="bytes",
            gap=7.0,
        )
    ),
    kit.lines("CPU, cores", _container("cpu_cores"), about="Cores in use by container."),
    kit.lines(
        "Replicas",
        *(
            Query(
                f"""SELECT last("{field}") FROM "deployment_replicas"
                            WHERE {_HERE} AND {EVERY} fill(previous)""",
                field,
            )
            for field in ("desired", "ready", "updated")
        ),
        about="Replicas wanted, ready, and of the newest revision.",
        gap=24.0,
    ),
    kit.lines(
        "Restarts",
        Query(
            f"""SELECT sum("restarts_total") FROM "restarts"
                        WHERE {_HERE} AND {EVERY} fill(none)""",
            "restarts",
        ),
        about="Restarts of its containers.",
        bars=True,
    ),
    kit.lines(
        "Time left",
        Query(
            f"""SELECT last("p50_seconds") FROM "forecast"
                        WHERE {_HERE} AND {EVERY}, "container" fill(none)""",
            "$tag_container",
        ),
        about="Median time until a container meets its memory limit.",
        unit="s",
        gap=7.0,
    ),
    kit.listing(
        "Findings and changes",
        rows(
            f"""SELECT "rule", "state", "severity", "summary", "manager"
                        FROM "finding", "change" WHERE {_HERE} AND $timeFilter
                        ORDER BY time DESC LIMIT 200"""
        ),
        about="What was concluded about the workload, and what was done to it.",
    ),
)


def build() -> Dashboard:
    """Return the dashboard."""
    return kit.board(
        "workload",
        "forewarn / Workload",
        "Everything about one workload.",
        [kit.CLUSTERS, _ONE_NAMESPACE, _ONE_WORKLOAD, _HORIZON],
        panels=PANELS,
    )
