"""Records of the stream to rows of the time-series store.

One function per topic, in `ROWS`. A row's time is the record's event time, its tags and salt are
functions of the record alone, so whoever writes it again overwrites it. Left to others: incidents,
notifications and deliveries (`alerting.points`), lines (`stream.sinks.encode`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from stream.records import Conclusion, Finding, Forecast, ObjectRef
from stream.sinks.encode import Row, Tags, Value
from stream.topics import FINDINGS, FORECASTS

# Rules that say that somebody or something changed the cluster.
CHANGES: Final = frozenset(
    {
        "config-change",
        "dependency-change",
        "drain",
        "node-added",
        "node-deleted",
        "node-reboot",
        "release",
        "scale",
    }
)


def place(cluster: str, ref: ObjectRef) -> dict[str, str]:
    """Return the tags that say where an object is."""
    tags = {"cluster": cluster}
    match ref.kind:
        case "Node":
            tags["node"] = ref.name
        case "PersistentVolumeClaim":
            tags |= {"namespace": ref.namespace, "claim": ref.name}
        case "Namespace":
            tags["namespace"] = ref.name
        case "Cluster":
            pass
        case kind:
            tags |= {"namespace": ref.namespace, "workload": ref.name, "workload_kind": kind}
    return tags


def tags_of(tags: Mapping[str, str]) -> Tags:
    """Return tags as a row has them: sorted, none empty."""
    return tuple(sorted((name, value) for name, value in tags.items() if value))


def fields_of(**fields: Value | None) -> dict[str, Value]:
    """Return the fields that are known."""
    return {name: value for name, value in fields.items() if value is not None}


def of_forecast(record: Forecast) -> Iterator[Row]:
    """Yield what is said of a series, and its path, each point at the time it speaks of.

    What is measured now goes to the same measurement, since InfluxQL computes within one only: so
    the error of what was said hours ago is one query.
    """
    tags = {**place(record.cluster, record.object), "resource": record.resource}
    tags["container"] = record.labels.get("container", "")
    series = tags_of(tags)
    yield Row(
        "forecast",
        series,
        fields_of(
            value=record.value,
            limit=record.limit,
            percent=100 * record.value / record.limit if record.limit else None,
            p10_seconds=record.p10,
            p50_seconds=record.p50,
            p90_seconds=record.p90,
            p_cross_24h=record.p_cross_24h,
            p_cross_72h=record.p_cross_72h,
            ready=record.state == "ready",
            unit=record.unit,
        ),
        record.at,
    )
    yield Row("forecast_path", series, {"actual": record.value}, record.at)
    paths = zip(record.horizons, record.mean, record.lower, record.upper, strict=True)
    for ahead, mean, low, high in paths:
        yield Row(
            "forecast_path",
            tags_of({**tags, "horizon": f"{ahead / 3600:g}h"}),
            {"mean": mean, "p10": low, "p90": high, "limit": record.limit},
            record.at + ahead,
        )


def of_finding(record: Conclusion) -> Iterator[Row]:
    """Yield a finding as what it is: a change, an account of events, a share, or a finding."""
    if not isinstance(record, Finding):
        return  # progress is for alerting
    where = place(record.cluster, record.object)
    numbers = {part.name: part.value for part in record.because}
    said = {"id": record.id, "object": str(record.object), "summary": record.summary}
    if record.rule == "event-noise":
        yield Row("noise", tags_of(where), _numbers(numbers), record.at)
    elif record.rule == "namespace-restart-share" and record.state == "evidence":
        restarted, alive = numbers.get("restarted"), numbers.get("alive")
        share = None
        if isinstance(restarted, float) and isinstance(alive, float) and alive:
            share = restarted / alive
        fields = fields_of(
            restarted=restarted, alive=alive, share=share, score=numbers.get("score")
        )
        yield Row("restart_share", tags_of(where), fields, record.at)
    elif record.rule in CHANGES and record.state == "evidence":
        fields = {**said, "manager": record.labels.get("manager", "")}
        yield Row("change", tags_of({**where, "rule": record.rule}), fields, record.at, record.id)
    else:
        tags = where | {
            "reason": record.labels.get("reason", ""),
            "rule": record.rule,
            "severity": record.severity.value,
            "state": record.state,
        }
        count = numbers.get("count")
        expected = record.expected_at
        fields = {
            **said,
            **fields_of(
                count=count if isinstance(count, float) else None,
                score=record.score,
                expected_in_seconds=max(0.0, expected - record.at) if expected else None,
            ),
        }
        yield Row("finding", tags_of(tags), fields, record.at, record.id)


def _numbers(parts: Mapping[str, float | str]) -> dict[str, Value]:
    return {name: value for name, value in parts.items() if isinstance(value, float)}


# Points are rows already; `stream.sinks.drain` takes them as they are.
ROWS: Final[Mapping[str, Callable[[Any], Iterator[Row]]]] = {
    FINDINGS: of_finding,
    FORECASTS: of_forecast,
}
