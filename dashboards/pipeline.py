"""Pipeline: forewarn about itself: throughput, waits, failures, the history's sink."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard

from dashboards import kit
from dashboards.kit import CLUSTER, EVERY, Query

_RATE: Final = 'non_negative_derivative(last("value"), 1s)'
_GROWTH: Final = 'non_negative_difference(last("value"))'


def _value(metric: str, alias: str, by: str = "", what: str = 'max("value")') -> Query:
    group = f', "{by}"' if by else ""
    return Query(
        f"""SELECT {what} FROM "forewarn_metric"
            WHERE "metric" = '{metric}' AND {EVERY}{group} fill(none)""",
        alias,
    )


def _rate(metric: str, alias: str) -> Query:
    return _value(f"forewarn_{metric}_total", alias, "label", _RATE)


def _sum(metric: str, labels: str, alias: str, what: str = 'last("value")') -> Query:
    """Return the sum over all series whose labels match: partitions, topics, sources."""
    return Query(
        f"""SELECT sum("one") FROM (SELECT {what} AS "one" FROM "forewarn_metric"
            WHERE "metric" = 'forewarn_{metric}' AND "label" =~ /{labels}/
            AND {EVERY}, "label" fill(none)) WHERE {EVERY} fill(none)""",
        alias,
    )


_WAITS: Final = [
    Query(
        f"""SELECT percentile("after_seconds", {share}) FROM "notification"
                WHERE {CLUSTER} AND "kind" = 'firing' AND {EVERY} fill(none)""",
        f"P{share}",
    )
    for share in (50, 95, 99)
]

PANELS: Final = (
    kit.number(
        "InfluxDB",
        _value("forewarn_influx_up", "up"),
        about="Whether InfluxDB takes points: 1 yes.",
        steps=((None, kit.RED), (1, kit.GREEN)),
    ),
    kit.number(
        "Points waiting",
        _value("forewarn_influx_buffer_seconds", "waiting"),
        about="How long points that are read have been waiting for InfluxDB.",
        unit="s",
        steps=((None, kit.GREEN), (60, kit.ORANGE), (600, kit.RED)),
    ),
    kit.number(
        "Dead letters",
        _value("forewarn_task_dead_letters_total", "dead letters"),
        about="Records that could not be used, since the process started.",
        steps=((None, kit.GREEN), (1, kit.ORANGE)),
    ),
    kit.number(
        "Memory",
        _value("process_resident_memory_bytes", "resident"),
        about="Resident memory of the process.",
        unit="bytes",
    ),
    kit.number(
        "CPU",
        _value("process_cpu_seconds_total", "CPU time"),
        about="CPU time of the process since its start.",
        unit="s",
    ),
    kit.number(
        "Hand-overs",
        _value("forewarn_producer_fenced_total", "fenced"),
        about="Times that a task met a newer owner and gave up its memory.",
    ),
    kit.lines(
        "Records and conclusions",
        _sum("records_processed_total", "stage=work", "records taken", _RATE),
        _sum("task_outputs_total", "stage=work", "records made", _RATE),
        about="Records per second through the operators.",
        unit="cps",
    ),
    kit.lines(
        "From incident to message",
        *_WAITS,
        about="Event time from an incident's beginning to its first message; group_wait "
        "is part of it.",
        unit="s",
        gap=24.0,
    ),
    kit.lines(
        "Not read yet",
        _sum("consumer_lag_records", "^group=work,", "operators"),
        _sum("consumer_lag_records", "^group=alerting,", "alerting"),
        _sum("consumer_lag_records", "^group=delivery,", "delivery"),
        _sum("consumer_lag_records", "^group=influxdb", "history"),
        about="Records between where each stage reads and the end of what is committed, over all "
        "topics. The history's grows while InfluxDB is away.",
    ),
    kit.lines(
        "Watches: since the last byte",
        _value("forewarn_watch_last_activity_age_seconds", "$tag_label", "label"),
        about="Age of what was heard last, by source. A watch gets a bookmark every minute or so.",
        unit="s",
    ),
    kit.lines(
        "Lists, and watches that broke",
        _sum("list_duration_seconds_count", "", "lists", _GROWTH),
        _sum("watch_restarts_total", "reason=(?:[^t]|t[^i])", "broken watches", _GROWTH),
        about="Complete lists, the first ones included, and watches that did not end by their "
        "timeout; each of these may have missed something, and a gap says so.",
        bars=True,
        stacked=True,
    ),
    kit.lines(
        "Transactions that failed",
        _value("forewarn_txn_aborts_total", "$tag_label", "label", _GROWTH),
        about="By reason. All of them are tried again; fenced means that a newer owner has come.",
    ),
    kit.lines(
        "History",
        _sum("influx_points_written_total", "", "points written", _RATE),
        _rate("influx_points_rejected", "refused $tag_label"),
        _rate("influx_points_folded", "folded $tag_label"),
        about="Points per second into InfluxDB, and what was refused or folded.",
        unit="cps",
    ),
    kit.lines(
        "Series",
        _value("forewarn_influx_series", "$tag_label", "label"),
        about="Series of each measurement; the guard folds beyond its most.",
    ),
    kit.lines(
        "Messages",
        Query(
            """SELECT count("attempts") FROM "delivery"
                        WHERE $timeFilter GROUP BY time($__interval), "channel", "outcome"
                        fill(none)""",
            "$tag_channel $tag_outcome",
        ),
        about="What became of messages, by receiver.",
        bars=True,
        stacked=True,
    ),
    kit.lines(
        "Forecasts inside their band",
        _value("forewarn_forecast_coverage_ratio", "$tag_label", "label"),
        about="Share of values that came inside the P10 to P90 band of what was said an "
        "hour before, since the start; 80 % is promised.",
        unit="percentunit",
        gap=24.0,
    ),
    kit.lines(
        "Error of forecasts",
        _value("forewarn_forecast_mae_ratio", "$tag_label", "label"),
        about="Mean absolute error of what was said an hour before, as a share of the "
        "limit, since the start.",
        unit="percentunit",
        gap=24.0,
    ),
    kit.lines(
        "Transactions",
        _sum("task_commits_total", "stage=work", "commits", _RATE),
        _sum("task_restores_total", "stage=work", "restores", _RATE),
        about="Commits and restores of the tasks per second.",
        unit="cps",
    ),
)


def build() -> Dashboard:
    """Return the dashboard."""
    return kit.board(
        "pipeline",
        "forewarn / Pipeline",
        "forewarn's own figures; the same are on /metrics.",
        [kit.CLUSTERS],
        panels=PANELS,
    )
