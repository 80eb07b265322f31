"""Fleet: what is open, what runs full next, how the nodes are."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard

from dashboards import kit
from dashboards.kit import CLUSTER, EVERY, GREEN, ORANGE, RED, Query, rows

_NEXT = f"""
SELECT "resource", "node", "namespace", "workload", "container", "claim", "used", "left",
       "at worst", "at best", "odds in 24 h"
FROM (
  SELECT last("percent") AS "used", "p50_seconds" AS "left", "p10_seconds" AS "at worst",
         "p90_seconds" AS "at best", "p_cross_24h" AS "odds in 24 h"
  FROM "forecast" WHERE {CLUSTER} AND $timeFilter
  GROUP BY "resource", "node", "namespace", "workload", "container", "claim"
) WHERE "left" >= 0
"""


def _open(severity: str) -> Query:
    return Query(
        f"""SELECT sum("open") FROM "incident"
            WHERE {CLUSTER} AND "severity" = '{severity}' AND $timeFilter"""
    )


_TIME: Final = kit.common.ReduceDataOptions().calcs(["lastNotNull"]).fields("/^Time$/")
_RESTARTS: Final = f'SELECT sum("restarts_total") FROM "restarts" WHERE {CLUSTER} AND $timeFilter'
_AT_RISK: Final = f"""
SELECT count("left") FROM (
  SELECT last("percent"), "p50_seconds" AS "left" FROM "forecast"
  WHERE {CLUSTER} AND "node" =~ /.+/ AND $timeFilter GROUP BY "node", "resource"
) WHERE "left" >= 0 AND "left" < 86400
"""
_HELD: Final = f'SELECT sum("count") FROM "suppressed" WHERE {CLUSTER} AND $timeFilter'
_SENT: Final = f'SELECT count("id") FROM "notification" WHERE {CLUSTER} AND $timeFilter'

PANELS: Final = (
    kit.number(
        "Open, critical",
        _open("critical"),
        about="Critical incidents that began within the shown time and are not over.",
        steps=((None, GREEN), (1, RED)),
    ),
    kit.number(
        "Open, warning",
        _open("warning"),
        about="Warnings that began within the shown time and are not over.",
        steps=((None, GREEN), (1, ORANGE)),
    ),
    kit.number(
        "Node limits within 24 h",
        Query(_AT_RISK),
        about="Resources of nodes whose median time left is under a day.",
        steps=((None, GREEN), (1, ORANGE), (3, RED)),
    ),
    kit.number("Restarts", Query(_RESTARTS), about="Restarts within the shown time."),
    kit.number(
        "Restarts, a day earlier",
        Query(_RESTARTS),
        about="Restarts within the same time, one day earlier.",
        shift="1d",
    ),
    kit.number(
        "Held back and sent",
        Query(_HELD, "held back"),
        Query(_SENT, "sent"),
        about="Alerts that were held back, each with a reason, and messages sent.",
    ),
    kit.listing(
        "Next to run full",
        rows(_NEXT),
        about="Every series with a foreseen crossing, the soonest first. Left is the "
        "median; at worst and at best are P10 and P90.",
        units={
            "used": "percent",
            "left": "s",
            "at worst": "s",
            "at best": "s",
            "odds in 24 h": "percentunit",
        },
        sort=("left", False),
    ),
    kit.states(
        "Nodes",
        Query(
            f'SELECT max("disk_percent") FROM "node" WHERE {CLUSTER} AND {EVERY}, "node"',
            "$tag_node disk",
        ),
        Query(
            f'SELECT max("memory_percent") FROM "node" WHERE {CLUSTER} AND {EVERY}, "node"',
            "$tag_node memory",
        ),
        about="How full disk and memory of each node are: amber from 70 %, red from 90 %.",
        steps=((None, GREEN), (70, ORANGE), (90, RED)),
        height=10,
    ),
    kit.listing(
        "Incidents",
        rows(
            f"""SELECT "severity", "state", "summary", "cause", "alerts",
                        "lasted_seconds" AS "lasted", "lead_seconds" AS "lead", "id"
                        FROM "incident"
                        WHERE {CLUSTER} AND "severity" =~ /^$severity$/ AND $timeFilter
                        ORDER BY time DESC LIMIT 100"""
        ),
        about="Incidents that began within the shown time; the id leads to the console. "
        "Lead: from the first word to what had been predicted.",
        units={"lasted": "s", "lead": "s"},
        links={"id": "${console}/incidents/${__value.text}"},
    ),
    kit.lines(
        "Incidents by severity",
        Query(
            f"""SELECT count("id") FROM "incident_state"
                        WHERE {CLUSTER} AND "state" = 'firing'
                        AND {EVERY}, "severity" fill(none)""",
            "$tag_severity",
        ),
        about="Incidents that began to fire, or fired anew, by severity.",
        width=18,
        bars=True,
        stacked=True,
        colours=kit.SEVERITY,
    ),
    kit.number(
        "Newest measurement",
        rows(f'SELECT last("cpu_percent") FROM "node" WHERE {CLUSTER} AND $timeFilter'),
        about="When the newest point of any node was measured.",
        unit="dateTimeFromNow",
        width=6,
        height=8,
    ).reduce_options(_TIME),
)


def build() -> Dashboard:
    """Return the dashboard."""
    return kit.board(
        "fleet",
        "forewarn / Fleet",
        "What is open, what is next.",
        [kit.CLUSTERS, kit.options("severity", tuple(kit.SEVERITY))],
        panels=PANELS,
    )
