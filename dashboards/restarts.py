"""Restarts: where, how many, why, and whether that is usual."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from dashboards import kit
from dashboards.kit import CLUSTER, EVERY, NAMESPACE, Query, rows


def build() -> Dashboard:
    """Return the dashboard."""
    here = f"{CLUSTER} AND {NAMESPACE}"
    return (
        kit.board(
            "restarts",
            "forewarn / Restarts",
            "Containers that restart: where, why, and whether that is usual.",
            [kit.CLUSTERS, kit.NAMESPACES],
        )
        .with_panel(
            kit.heat(
                "Restarts by namespace and hour",
                Query(
                    f"""SELECT sum("restarts_total") FROM "restarts"
                        WHERE {here} AND $timeFilter GROUP BY time(1h), "namespace" fill(0)""",
                    "$tag_namespace",
                ),
                about="How many containers restarted, as restartCount says.",
            )
        )
        .with_panel(
            kit.gauges(
                "Most restarts",
                Query(
                    f"""SELECT sum("restarts_total") FROM "restarts"
                        WHERE {here} AND $timeFilter GROUP BY "namespace", "workload\"""",
                    "$tag_namespace/$tag_workload",
                ),
                about="Restarts of each workload within the shown time.",
                height=9,
                most=15,
            )
        )
        .with_panel(
            kit.gauges(
                "Why containers ended",
                Query(
                    f"""SELECT sum("count") FROM "finding"
                        WHERE {here} AND "rule" = 'restart' AND $timeFilter GROUP BY "reason\"""",
                    "$tag_reason",
                ),
                about="Reason of the last termination, as the kubelet gave it.",
                most=15,
            )
        )
        .with_panel(
            kit.lines(
                "Bursts, crash loops and OOM kills",
                Query(
                    f"""SELECT count("score") FROM "finding" WHERE {here} AND "state" = 'firing'
                        AND "rule" =~ /^(restart-burst|restart-count|crash-loop|oom-kill)$/
                        AND {EVERY}, "rule" fill(none)""",
                    "$tag_rule",
                ),
                about="Findings about restarts. A crash loop stands on the ladder of pauses, from "
                "ten seconds to five minutes.",
                bars=True,
                stacked=True,
            )
        )
        .with_panel(
            kit.listing(
                "Bursts by score",
                rows(
                    f"""SELECT "object", "score", "summary" FROM "finding"
                        WHERE {here} AND "rule" = 'restart-burst' AND "state" = 'firing'
                        AND $timeFilter ORDER BY time DESC LIMIT 50"""
                ),
                about="The score is the decimal exponent of the odds against chance, judged by "
                "the workload's own rate.",
                width=12,
                sort=("score", True),
            )
        )
        .with_panel(
            kit.lines(
                "Restarting share of a namespace",
                Query(
                    f"""SELECT max("share") FROM "restart_share"
                        WHERE {here} AND {EVERY}, "namespace" fill(none)""",
                    "$tag_namespace",
                ),
                about="Share of pods that restarted within half an hour.",
                unit="percentunit",
                height=9,
                bars=True,
            )
        )
        .with_panel(
            kit.lines(
                "Against what is usual",
                Query(
                    f"""SELECT max("score") FROM "restart_share"
                        WHERE {here} AND {EVERY}, "namespace" fill(none)""",
                    "$tag_namespace",
                ),
                about="How unusual that share is for the namespace: by chance once in 10 to this "
                "power half hours.",
                bars=True,
            )
        )
        .with_panel(
            kit.lines(
                "Replicas missing",
                Query(
                    f"""SELECT last("desired") - last("ready") FROM "deployment_replicas"
                        WHERE {here} AND {EVERY}, "workload" fill(previous)""",
                    "$tag_workload",
                ),
                about="Replicas wanted and not ready.",
                floor=None,
                gap=24.0,
            )
        )
    )
