"""Every panel's query, variables filled in, on real servers with the demo's recording.

None may be empty, both servers must say the same, and what can be counted by hand is. Leaves out
how Grafana draws (it cannot be had here); `test_sheet.py` draws what it would be given.
"""

import re
from typing import Any

import pytest

from stream.sinks.schema import TAGS
from tests.dashboards.demo_history import (
    DAY,
    LISTED_EVERY,
    History,
    ask,
    boards,
    expand,
    filled,
    panels,
    span,
)

pytestmark = pytest.mark.influxdb
EVERY = [
    pytest.param(name, index, id=f"{name}: {panel['title']}")
    for name in boards()
    for index, panel in enumerate(panels(name))
]


@pytest.mark.parametrize(("name", "index"), EVERY)
def test_no_panel_is_empty_and_both_servers_say_the_same(
    history: History, name: str, index: int
) -> None:
    panel = panels(name)[index]
    begin, end = span(history, name, panel)
    for target in panel["targets"]:
        query = expand(name, target["query"], begin, end)
        first, second = (ask(server, query) for server in history.servers)
        healthy = re.search("|".join(NONE_WHERE_ALL_IS_WELL), query)
        assert filled(first) != bool(healthy), query
        if "forewarn_metric" not in query:  # the sink of each server has figures of its own
            assert plain(first) == plain(second), query


# What did not happen within the recording has no row at all; the other lines of its panel have.
NONE_WHERE_ALL_IS_WELL = ("influx_points_rejected", "influx_points_folded")


def plain(series: list[dict[str, Any]]) -> list[Any]:
    """Series as they compare: sorted, without what may differ between versions."""
    return sorted(
        (
            (one["name"], sorted(one.get("tags", {}).items()), one["columns"], rows(one["values"]))
            for one in series
        ),
        key=repr,
    )


def rows(values: list[list[Any]]) -> list[Any]:
    return [tuple(float(f"{v:.9g}") if isinstance(v, float) else v for v in row) for row in values]


def test_the_recording_lost_nothing_on_the_way(history: History) -> None:
    points = history.records["Point"]
    for server, drain in zip(history.servers, history.drains, strict=True):
        assert not drain.encoder.dropped
        assert not drain.tally.refused
        assert not drain.encoder.folded
        for measurement in ("node", "container", "restarts"):
            wanted = {(p.tags, round(p.at * 1000)) for p in points if p.measurement == measurement}
            field = {"node": "cpu_cores", "container": "memory_bytes", "restarts": "restarts_total"}
            count = ask(server, f'SELECT count("{field[measurement]}") FROM "{measurement}"')
            assert count[0]["values"][0][1] == len(wanted)


def only(history: History, name: str, title: str, target: int = 0) -> list[dict[str, Any]]:
    """What the first server answers to one query of one panel."""
    (panel,) = [panel for panel in panels(name) if panel["title"] == title]
    begin, end = span(history, name, panel)
    query = expand(name, panel["targets"][target]["query"], begin, end)
    return ask(history.servers[0], query)


def value(series: list[dict[str, Any]]) -> Any:
    return series[0]["values"][-1][1] if series else 0


def last_of(records: list[Any]) -> list[Any]:
    """The newest state of each incident."""
    return list({record.id: record for record in records}.values())


def test_open_incidents_are_those_that_the_stream_left_open(history: History) -> None:
    for severity in ("critical", "warning"):
        wanted = [
            incident
            for incident in last_of(history.records["Incident"])
            if incident.severity == severity and incident.state != "resolved"
        ]
        assert value(only(history, "fleet", f"Open, {severity}")) == len(wanted)


def test_counts_are_those_of_the_records(history: History) -> None:
    restarts = [p for p in history.records["Point"] if p.measurement == "restarts"]
    within = [p for p in restarts if p.at >= history.begin]
    total = sum(p.fields["restarts_total"] for p in within)
    assert value(only(history, "fleet", "Restarts")) == total
    day = [p for p in restarts if history.end - 2 * DAY <= p.at <= history.end - DAY]
    earlier = sum(p.fields["restarts_total"] for p in day)
    assert value(only(history, "fleet", "Restarts, a day earlier")) == earlier
    held = sum(record.count for record in history.records["Suppressed"])
    assert value(only(history, "fleet", "Held back and sent")) == held
    sent = len(history.records["Notification"])
    assert value(only(history, "fleet", "Held back and sent", 1)) == sent
    assert value(only(history, "noise", "From event lines to messages", 5)) == sent
    lines = sum(
        part.value
        for finding in history.records["Finding"]
        if finding.rule == "event-noise" and finding.at >= history.begin
        for part in finding.because
        if part.name == "lines"
    )
    assert value(only(history, "noise", "From event lines to messages")) == lines


def test_what_was_said_six_hours_ago_lies_at_the_time_it_spoke_of(history: History) -> None:
    said = {
        round(forecast.at + 6 * 3600): forecast.mean[forecast.horizons.index(6 * 3600.0)]
        for forecast in history.records["Forecast"]
        if forecast.object.name == "node-4" and forecast.resource == "disk"
    }
    query = (
        'SELECT "mean" FROM "forecast_path" WHERE "node" = \'node-4\' '
        "AND \"resource\" = 'disk' AND \"horizon\" = '6h'"
    )
    (series,) = ask(history.servers[0], query)
    assert {at // 10**9: mean for at, mean in series["values"]} == said
    (drawn,) = only(history, "forecast", "Disk: measured, and what was said $horizon before", 3)
    assert min(said.values()) * 0.99 <= drawn["values"][5][1] <= max(said.values()) * 1.01


def test_the_newest_forecast_runs_into_the_future_in_order(history: History) -> None:
    newest = max(
        (
            forecast
            for forecast in history.records["Forecast"]
            if forecast.object.name == "node-4" and forecast.resource == "disk"
        ),
        key=lambda forecast: forecast.at,
    )
    (series,) = only(history, "forecast", "Disk: the newest forecast", 3)
    times = [at / 1e9 for at, _ in series["values"]]
    assert times == sorted(times)
    wanted = {
        newest.at + ahead: mean
        for ahead, mean in zip(newest.horizons, newest.mean, strict=True)
        if newest.at + ahead <= history.end + DAY
    }
    got = {at / 1e9: mean for at, mean in series["values"]}
    assert wanted.items() <= got.items()


def test_next_to_run_full_names_what_is_foreseen_and_nothing_else(history: History) -> None:
    newest = {}
    for forecast in history.records["Forecast"]:
        key = (str(forecast.object), forecast.resource, forecast.labels.get("container"))
        newest[key] = forecast
    wanted = sorted(forecast.p50 for forecast in newest.values() if forecast.p50 is not None)
    found = only(history, "fleet", "Next to run full")
    columns = found[0]["columns"]
    got = sorted(row[columns.index("left")] for row in found[0]["values"])
    assert got == wanted


def test_waits_are_percentiles_of_what_was_decided(history: History) -> None:
    after = [
        record.at - record.incidents[0].opened_at
        for record in history.records["Notification"]
        if record.kind == "firing"
    ]
    worst = only(history, "pipeline", "From incident to message", 2)
    assert max(row[1] for row in worst[0]["values"]) == max(after)


def test_watches_are_as_old_and_broke_as_often_as_the_known_ones(history: History) -> None:
    ages = only(history, "pipeline", "Watches: since the last byte")
    assert {one["tags"]["label"] for one in ages} == {
        f"cluster=demo,resource={name}" for name in ("pods", "nodes", "events")
    }
    seen = [age for one in ages for _, age in one["values"]]
    assert 0.0 <= min(seen) < max(seen) < 45.0
    for target in (0, 1):  # lists, broken watches: one of each source every six hours
        [one] = only(history, "pipeline", "Lists, and watches that broke", target)
        told = [count for _, count in one["values"] if count]
        assert set(told) <= {1.0, 2.0, 3.0}
        assert sum(told) == pytest.approx(3 * 2 * DAY / LISTED_EVERY, abs=3)


def test_no_tag_holds_the_name_of_a_pod_or_an_id(history: History) -> None:
    pod = re.compile(r"-[a-z0-9]{6,10}-[a-z0-9]{5}$|[0-9a-f]{8}-[0-9a-f]{4}-|^[0-9a-f]{20,}$")
    for server in history.servers:
        keys = {row[0] for one in ask(server, "SHOW TAG KEYS") for row in one["values"]}
        assert keys <= set(TAGS)
        for key in keys - {"label"}:
            for one in ask(server, f'SHOW TAG VALUES WITH KEY = "{key}"'):
                for _, text in one["values"]:
                    assert not pod.search(text), (one["name"], key, text)
