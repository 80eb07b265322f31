"""Workload: everything about one workload."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from dashboards import kit
from dashboards.forecast import foreseen
from dashboards.kit import CLUSTER, EVERY, NAMESPACE, WORKLOAD, Query, rows


def build() -> Dashboard:
    """Return the dashboard."""
    namespace = kit.choice("namespace", "container", CLUSTER, several=False)
    workload = kit.choice("workload", "container", f"{CLUSTER} AND {NAMESPACE}", several=False)
    horizon = kit.options("horizon", ("1h", "2h", "4h", "6h", "12h", "24h"), "6h")
    here = f"{CLUSTER} AND {NAMESPACE} AND {WORKLOAD}"

    def container(field: str, function: str = "max") -> Query:
        return Query(
            f"""SELECT {function}("{field}") FROM "container"
                WHERE {here} AND {EVERY}, "container" fill(none)""",
            "$tag_container",
        )

    return (
        kit.board(
            "workload",
            "forewarn / Workload",
            "Everything about one workload.",
            [kit.CLUSTERS, namespace, workload, horizon],
        )
        .with_panel(
            kit.lines(
                "Memory of limit",
                container("memory_percent"),
                about="Working set of each container in percent of its limit, its highest pod.",
                unit="percent",
            )
        )
        .with_panel(
            kit.band(
                kit.lines(
                    "Memory: measured, and what was said $horizon before",
                    Query(
                        f"""SELECT max("memory_bytes") FROM "container"
                            WHERE {here} AND {EVERY} fill(none)""",
                        "measured",
                    ),
                    *foreseen(f"""{here} AND "resource" = 'container-memory'"""),
                    about="The band is P10 to P90 as it was said $horizon before the time it lies "
                    "at; the dashed line is the memory limit.",
                    unit="bytes",
                    gap=7.0,
                )
            )
        )
        .with_panel(
            kit.lines("CPU, cores", container("cpu_cores"), about="Cores in use by container.")
        )
        .with_panel(
            kit.lines(
                "Replicas",
                *(
                    Query(
                        f"""SELECT last("{field}") FROM "deployment_replicas"
                            WHERE {here} AND {EVERY} fill(previous)""",
                        field,
                    )
                    for field in ("desired", "ready", "updated")
                ),
                about="Replicas wanted, ready, and of the newest revision.",
                gap=24.0,
            )
        )
        .with_panel(
            kit.lines(
                "Restarts",
                Query(
                    f"""SELECT sum("restarts_total") FROM "restarts"
                        WHERE {here} AND {EVERY} fill(none)""",
                    "restarts",
                ),
                about="Restarts of its containers.",
                bars=True,
            )
        )
        .with_panel(
            kit.lines(
                "Time left",
                Query(
                    f"""SELECT last("p50_seconds") FROM "forecast"
                        WHERE {here} AND {EVERY}, "container" fill(none)""",
                    "$tag_container",
                ),
                about="Median time until a container meets its memory limit.",
                unit="s",
                gap=7.0,
            )
        )
        .with_panel(
            kit.listing(
                "Findings and changes",
                rows(
                    f"""SELECT "rule", "state", "severity", "summary", "manager"
                        FROM "finding", "change" WHERE {here} AND $timeFilter
                        ORDER BY time DESC LIMIT 200"""
                ),
                about="What was concluded about the workload, and what was done to it.",
            )
        )
    )
