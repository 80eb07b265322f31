"""Noise reduction: what came in, what was held back and why, what people were told."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard

from dashboards import kit
from dashboards.kit import CLUSTER, EVERY, Query, rows

_STEPS: Final = [
    Query(f'SELECT sum("lines") FROM "noise" WHERE {CLUSTER} AND $timeFilter', "event lines"),
    Query(f'SELECT sum("candidates") FROM "noise" WHERE {CLUSTER} AND $timeFilter', "candidates"),
    Query(f'SELECT sum("groups") FROM "noise" WHERE {CLUSTER} AND $timeFilter', "groups"),
    Query(
        f"""SELECT count("id") FROM "finding"
                WHERE {CLUSTER} AND "state" = 'firing' AND $timeFilter""",
        "findings",
    ),
    Query(f'SELECT count("id") FROM "incident" WHERE {CLUSTER} AND $timeFilter', "incidents"),
    Query(f'SELECT count("id") FROM "notification" WHERE {CLUSTER} AND $timeFilter', "messages"),
]

PANELS: Final = (
    kit.gauges(
        "From event lines to messages",
        *_STEPS,
        about="Each step of the funnel within the shown time; nothing is dropped "
        "without being counted.",
    ),
    kit.lines(
        "Event lines and what became of them",
        *(
            Query(
                f"""SELECT sum("{field}") FROM "noise"
                            WHERE {CLUSTER} AND $timeFilter GROUP BY time(30m) fill(none)""",
                alias,
            )
            for field, alias in (
                ("normal", "normal life"),
                ("duplicate", "known already"),
                ("usual", "usual for their object"),
                ("candidates", "candidates"),
            )
        ),
        about="Account of every half hour.",
        bars=True,
        stacked=True,
    ),
    kit.lines(
        "Held back, by reason",
        Query(
            f"""SELECT sum("count") FROM "suppressed"
                        WHERE {CLUSTER} AND {EVERY}, "reason" fill(none)""",
            "$tag_reason",
        ),
        about="Alerts that were not sent. Without forewarn each would have been a message.",
        bars=True,
        stacked=True,
    ),
    kit.lines(
        "Sent, by reason",
        Query(
            f"""SELECT count("id") FROM "notification"
                        WHERE {CLUSTER} AND {EVERY}, "reason" fill(none)""",
            "$tag_reason",
        ),
        about="Messages, by why they were sent.",
        bars=True,
        stacked=True,
    ),
    kit.gauges(
        "Held back, by rule",
        Query(
            f"""SELECT sum("count") FROM "suppressed"
                        WHERE {CLUSTER} AND $timeFilter GROUP BY "rule\"""",
            "$tag_rule",
        ),
        about="Which rules were held back most.",
        most=15,
    ),
    kit.lines(
        "Scores of event groups",
        Query(
            f"""SELECT max("score") FROM "finding"
                        WHERE {CLUSTER} AND "rule" = 'event-anomaly' AND "state" = 'firing'
                        AND {EVERY} fill(none)""",
            "highest",
        ),
        about="Evidence of the groups that were said; the threshold is a setting.",
        bars=True,
    ),
    kit.listing(
        "Held back, one by one",
        rows(
            f"""SELECT "rule", "reason", "summary", "by", "count" FROM "suppressed"
                        WHERE {CLUSTER} AND $timeFilter ORDER BY time DESC LIMIT 200"""
        ),
        about="What would have been said, why it was not, and what explains it.",
    ),
)


def build() -> Dashboard:
    """Return the dashboard."""
    return kit.board(
        "noise",
        "forewarn / Noise reduction",
        "From event lines to messages: what each step held back, and why.",
        [kit.CLUSTERS],
        panels=PANELS,
    )
