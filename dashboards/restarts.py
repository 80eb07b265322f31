"""Restarts: where, how many, why, and whether that is usual."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard

from dashboards import kit
from dashboards.kit import CLUSTER, EVERY, NAMESPACE, Query, rows

_HERE: Final = f"{CLUSTER} AND {NAMESPACE}"

PANELS: Final = (
    kit.heat(
        "Restarts by namespace and hour",
        Query(
            f"""SELECT sum("restarts_total") FROM "restarts"
                        WHERE {_HERE} AND $timeFilter GROUP BY time(1h), "namespace" fill(0)""",
            "$tag_namespace",
        ),
        about="How many containers restarted, as restartCount says.",
    ),
    kit.gauges(
        "Most restarts",
        Query(
            f"""SELECT sum("restarts_total") FROM "restarts"
                        WHERE {_HERE} AND $timeFilter GROUP BY "namespace", "workload\"""",
            "$tag_namespace/$tag_workload",
        ),
        about="Restarts of each workload within the shown time.",
        height=9,
        most=15,
    ),
    kit.gauges(
        "Why containers ended",
        Query(
            f"""SELECT sum("count") FROM "finding"
                        WHERE {_HERE} AND "rule" = 'restart' AND $timeFilter GROUP BY "reason\"""",
            "$tag_reason",
        ),
        about="Reason of the last termination, as the kubelet gave it.",
        most=15,
    ),
    kit.lines(
        "Bursts, crash loops and OOM kills",
        Query(
            f"""SELECT count("score") FROM "finding" WHERE {_HERE} AND "state" = 'firing'
                        AND "rule" =~ /^(restart-burst|restart-count|crash-loop|oom-kill)$/
                        AND {EVERY}, "rule" fill(none)""",
            "$tag_rule",
        ),
        about="Findings about restarts. A crash loop stands on the ladder of pauses, from "
        "ten seconds to five minutes.",
        bars=True,
        stacked=True,
    ),
    kit.listing(
        "Bursts by score",
        rows(
            f"""SELECT "object", "score", "summary" FROM "finding"
                        WHERE {_HERE} AND "rule" = 'restart-burst' AND "state" = 'firing'
                        AND $timeFilter ORDER BY time DESC LIMIT 50"""
        ),
        about="The score is the decimal exponent of the odds against chance, judged by "
        "the workload's own rate.",
        width=12,
        sort=("score", True),
    ),
    kit.lines(
        "Restarting share of a namespace",
        Query(
            f"""SELECT max("share") FROM "restart_share"
                        WHERE {_HERE} AND {EVERY}, "namespace" fill(none)""",
            "$tag_namespace",
        ),
        about="Share of pods that restarted within half an hour.",
        unit="percentunit",
        height=9,
        bars=True,
    ),
    kit.lines(
        "Against what is usual",
        Query(
            f"""SELECT max("score") FROM "restart_share"
                        WHERE {_HERE} AND {EVERY}, "namespace" fill(none)""",
            "$tag_namespace",
        ),
        about="How unusual that share is for the namespace: by chance once in 10 to this "
        "power half hours.",
        bars=True,
    ),
    kit.lines(
        "Replicas missing",
        Query(
            f"""SELECT last("desired") - last("ready") FROM "deployment_replicas"
                        WHERE {_HERE} AND {EVERY}, "workload" fill(previous)""",
            "$tag_workload",
        ),
        about="Replicas wanted and not ready.",
        floor=None,
        gap=24.0,
    ),
)


def build() -> Dashboard:
    """Return the dashboard."""
    return kit.board(
        "restarts",
        "forewarn / Restarts",
        "Containers that restart: where, why, and whether that is usual.",
        [kit.CLUSTERS, kit.NAMESPACES],
        panels=PANELS,
    )
