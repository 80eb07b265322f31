"""What the page knows and says: feed, series, incidents, funnel, on the synthetic day.

Left out: HTTP (`test_console_server`), the browser (`test_console_browser`).
"""

import json
from typing import Any

import msgspec
import pytest

from alerting.alert import Incident, Reason, State, Suppressed
from forewarn.console import series as series_module
from forewarn.console.feed import Feed, Pulse
from forewarn.console.series import Series, band_at
from forewarn.console.view import view as page
from stream.records import Finding, Forecast, ObjectRef, Part, Point, Severity
from stream.testing import ManualClock
from tests.forewarn import synthetic_feed as day

NODE = ObjectRef("Node", "", "n")
HOUR = 3600.0


def forecast(
    at: float, value: float = 50.0, p50: float | None = 10 * HOUR, **more: Any
) -> Forecast:
    steps = (HOUR, 6 * HOUR, 24 * HOUR)
    said = {
        "cluster": "c",
        "object": NODE,
        "resource": "disk",
        "at": at,
        "value": value,
        "limit": 100.0,
        "unit": "pods",
        "p10": None if p50 is None else 0.8 * p50,
        "p50": p50,
        "p90": None if p50 is None else 1.5 * p50,
        "horizons": steps,
        "mean": tuple(value + 5 * h / HOUR for h in steps),
        "lower": tuple(value + 4 * h / HOUR for h in steps),
        "upper": tuple(value + 6 * h / HOUR for h in steps),
    }
    return Forecast(**(said | more))


@pytest.fixture
def clock():
    return ManualClock(1_000.0)


@pytest.fixture
def feed(clock):
    return Feed(clock, "c")


def test_an_empty_feed_speaks(feed):
    view = page(feed)
    assert view["head"]["sentence"] == "Waiting for the first record."
    assert view["risks"]["empty"].startswith("No forecast yet.")
    assert view["plot"]["none"]
    assert view["incidents"]["empty"].startswith("Nothing is open.")
    json.dumps(view)


def test_the_same_records_give_the_same_page_and_json_can_hold_it(clock):
    first, second = page(day.filled(clock)), page(day.filled(clock))
    assert msgspec.json.encode(first) == msgspec.json.encode(second)


def test_one_sentence_tells_the_truth(clock):
    head = page(day.filled(clock))["head"]
    assert head["sentence"].startswith("2 open incidents; shop/checkout’s memory limit is reached")
    assert head["tone"] == "bad"


def test_the_age_of_live_data_is_told_and_stale_data_is_called_stale(feed, clock):
    feed.apply("forecasts", forecast(0.0))
    clock.advance(4.0)
    assert page(feed)["head"]["sentence"].endswith("data 4 s old.")
    clock.advance(100.0)
    assert page(feed)["head"]["state_text"] == "Stale"


def test_risks_are_sorted_by_time_left_and_count_down(feed):
    for name, hours in (("late", 30.0), ("soon", 5.0), ("never", None)):
        p50 = None if hours is None else hours * HOUR
        feed.apply("forecasts", forecast(0.0, p50=p50, object=ObjectRef("Node", "", name)))
    rows = page(feed)["risks"]["rows"]
    assert [(row["object"], row["left"], row["band"]) for row in rows] == [
        ("soon", "5 h", "4 h – 7 h 30 min"),
        ("late", "30 h", "24 h – 45 h"),
    ]
    feed.pulse(Pulse(event_time=1200.0))
    assert page(feed)["risks"]["rows"][0]["left"] == "4 h 40 min"


def test_what_nobody_speaks_of_any_more_is_at_risk_no_more(feed):
    for at in (0.0, 600.0):
        feed.apply("forecasts", forecast(at))
    feed.pulse(Pulse(event_time=3000.0))
    assert len(feed.at_risk()) == 0


def test_what_is_due_but_not_measured_is_not_called_now(feed):
    feed.apply("forecasts", forecast(0.0, value=98.0, p50=60.0))
    feed.pulse(Pulse(event_time=120.0))
    assert page(feed)["risks"]["rows"][0]["left"] == "any moment"
    assert "disk is full any moment" in page(feed)["head"]["sentence"]
    feed.apply("forecasts", forecast(121.0, value=100.0, p50=0.0))
    assert page(feed)["risks"]["rows"][0]["left"] == "now"


def test_a_learning_series_with_a_crossing_is_shown(feed):
    feed.apply("forecasts", forecast(0.0, state="learning"))
    assert len(page(feed)["risks"]["rows"]) == 1


def test_the_plot_stays_until_another_is_much_more_urgent(feed):
    other = ObjectRef("Node", "", "other")
    feed.apply("forecasts", forecast(0.0, p50=10 * HOUR))
    assert page(feed)["plot"]["object"] == "n"
    feed.apply("forecasts", forecast(1.0, p50=8 * HOUR, object=other))
    assert page(feed)["plot"]["object"] == "n"
    feed.apply("forecasts", forecast(2.0, p50=2 * HOUR, object=other))
    assert page(feed)["plot"]["object"] == "other"


def test_a_chosen_series_is_plotted_and_nonsense_is_not(feed):
    other = forecast(0.0, p50=None, object=ObjectRef("Node", "", "other"))
    feed.apply("forecasts", forecast(0.0))
    feed.apply("forecasts", other)
    assert page(feed, series_module.series_id(other))["plot"]["object"] == "other"
    assert page(feed, "0" * 16)["plot"]["object"] == "n"


def test_what_was_said_is_held_against_what_came(feed):
    for step in range(37):
        at = step * 600.0
        feed.apply("forecasts", forecast(at, value=20 + 5 * at / HOUR, p50=(16 - at / HOUR) * HOUR))
    plot = page(feed, ago=3 * HOUR)["plot"]
    assert plot["said_text"] == (
        "3 h ago it was to last 13 h [10 h – 20 h]. The present answer is the same. "
        "All of what came since lies in its band."
    )
    assert [choice["text"] for choice in plot["choices"]] == ["1 h", "3 h", "6 h"]


def test_points_are_the_history_and_meet_the_forecast_of_a_reserving_disk(feed):
    tags = (("cluster", "c"), ("node", "n"))
    for minute in range(120):
        fields = {"disk_used_bytes": 40 + minute / 60, "cpu_cores": 1.0}
        feed.apply("ts", Point("node", tags, fields, minute * 60.0))
    feed.apply("forecasts", forecast(119 * 60.0, value=45.0))
    (series,) = feed.series.values()
    points = series.points(0.0, 500)
    assert len(points) == 120
    assert points[-1][1] == pytest.approx(45.0)
    assert points[0][1] == pytest.approx(45.0 - 119 / 60)


def test_points_of_something_else_are_not_shown(feed):
    feed.apply("ts", Point("node", (("cluster", "c"), ("node", "n")), {"cpu_cores": 90.0}, 0.0))
    feed.apply("forecasts", forecast(1.0, resource="cpu", value=50.0))
    (series,) = feed.series.values()
    assert series.points(0.0, 10) == [(1.0, 50.0)]


def test_a_band_is_linear_between_horizons_and_unknown_beyond():
    said = forecast(0.0, value=10.0)
    assert band_at(said, 0.5 * HOUR) == pytest.approx((12.0, 13.0))
    assert band_at(said, 25 * HOUR) is None


def test_memory_is_bounded_whatever_comes(feed, monkeypatch):
    monkeypatch.setattr("forewarn.console.feed._SERIES", 20)
    for number in range(100):
        for step in range(3):
            ref = ObjectRef("Node", "", f"n{number}")
            feed.apply("forecasts", forecast(step * 400.0, object=ref))
    assert len(feed.series) == 20
    series = Series(forecast(0.0))
    for step in range(20_000):
        series.add(forecast(step * 300.0))
    assert len(series.points(0.0, 10**6)) <= series_module.KEEP
    assert len(series._earlier) <= series_module.FORECASTS
    assert series.said(20 * 24 * HOUR) is not None


def test_a_long_history_keeps_the_extremes_when_it_is_drawn():
    history = series_module.History(2000)
    for step in range(2000):
        history.add(float(step), 100.0 if step == 1234 else 1.0)
    drawn = history.since(0.0, 100)
    assert len(drawn) <= 130
    assert max(value for _, value in drawn) == 100.0
    assert drawn == sorted(drawn)


def test_an_incident_is_one_card_through_its_life(clock):
    feed = day.filled(clock)
    view = page(feed)["incidents"]
    assert [card["severity"] for card in view["open"]] == ["critical", "warning"]
    first = view["open"][0]
    assert first["odds"] == "81 %"
    assert first["others"] == "2 other suspects"
    assert first["affected"] == "4 objects affected"
    assert {card["key"] for card in view["resolved"]} == {"node-2", "indexer-leak"}


def test_a_promise_is_held_against_what_came(clock):
    view = page(day.filled(clock))["incidents"]
    cards = {card["key"]: card for card in [*view["open"], *view["resolved"]]}
    leak = cards["indexer-leak"]
    assert leak["foreseen"] == "foreseen 6 h 40 min ahead, came true 12 min later"
    assert leak["outcome"] == "true"
    assert cards["node-4-disk"]["outcome"] == "open"
    assert cards["node-2"]["foreseen"] == ""


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"first_expected_at": 0.0, "came_true_at": 0.0}, ""),
        ({"first_expected_at": 900.0, "expected_at": 900.0, "state": State.RESOLVED}, "averted"),
        ({"first_expected_at": 10.0, "expected_at": 10.0, "state": State.RESOLVED}, "late"),
        ({"first_expected_at": 10.0, "expected_at": 10.0}, "late"),
        ({"first_expected_at": 900.0, "expected_at": 900.0}, "open"),
        ({"first_expected_at": 900.0, "came_true_at": 1000.0}, "true"),
    ],
)
def test_every_way_that_a_promise_can_end_is_told_apart(feed, fields, outcome):
    incident = Incident(
        **{
            "id": "i",
            "cluster": "c",
            "rule": "r",
            "object": NODE,
            "severity": Severity.INFO,
            "state": State.FIRING,
            "opened_at": 0.0,
            "updated_at": 500.0,
            "summary": "s",
        }
        | fields
    )
    feed.apply("incidents", incident)
    view = page(feed)["incidents"]
    assert [*view["open"], *view["resolved"]][0]["outcome"] == outcome


def test_pending_and_merged_incidents_are_not_cards(feed):
    base = {
        "cluster": "c",
        "rule": "r",
        "object": NODE,
        "severity": Severity.INFO,
        "opened_at": 0.0,
        "updated_at": 1.0,
        "summary": "s",
    }
    feed.apply("incidents", Incident(id="p", state=State.PENDING, **base))
    feed.apply("incidents", Incident(id="m", state=State.RESOLVED, merged_into="x", **base))
    view = page(feed)["incidents"]
    assert view["open"] == view["resolved"] == []
    assert feed.find("m") is not None


def test_records_that_come_again_are_counted_once(feed):
    part = Part(name="lines", value=100.0, text="100 lines")
    account = Finding(
        id="a",
        rule="event-noise",
        state="evidence",
        at=1.0,
        cluster="c",
        object=NODE,
        severity=Severity.INFO,
        summary="",
        since=0.0,
        because=(part,),
    )
    for _ in range(3):
        feed.apply("findings", account)
        for topic, record in day.records(day.START + 21 * HOUR):
            if topic in ("notifications", "incidents"):
                feed.apply(topic, record)
    assert feed.account["lines"] == 100
    assert feed.totals["messages"] == 3
    assert feed.totals["incidents"] == 2


def test_the_oddest_of_the_last_day_come_first_each_once(feed):
    assert page(feed)["odd"]["some"] is False

    def odd(name: str, hour: float, score: float) -> Finding:
        return Finding(
            id=name,
            rule="node-odd",
            state="evidence",
            at=hour * HOUR,
            cluster="c",
            object=NODE,
            severity=Severity.INFO,
            summary="cpu of Node n is odd",
            since=hour * HOUR,
            score=score,
            because=(Part(name="record", value=score, text="outside all that was seen of it"),),
            labels={"resource": "cpu"},
        )

    for name, hour, score in (("old", 1, 0.9), ("weak", 20, 0.3), ("strong", 21, 0.8)):
        for _ in range(2):
            feed.apply("findings", odd(name, hour, score))
    for i in range(8):
        feed.apply("findings", odd(f"last-{i}", 26, 0.25))
    shown = page(feed)["odd"]
    assert [row["key"] for row in shown["rows"][:2]] == ["strong", "weak"]
    assert len(shown["rows"]) == 6
    assert shown["more"] == "4 weaker ones in the same time"
    assert shown["rows"][0]["text"] == "outside all that was seen of it"
    assert feed.totals["findings"] == 0, "evidence is no finding that fires"


def test_the_funnel_counts_and_says_why(feed):
    feed.pulse(Pulse(events=48_112))
    held = Suppressed(at=1.0, rule="r", cluster="c", object=NODE, reason=Reason.INHIBITED, count=7)
    feed.apply("suppressed", held)
    funnel = page(feed)["funnel"]
    assert funnel["sentence"] == "48,112 events became 0 messages: 100.000 % less to read."
    assert funnel["reasons"][0]["count"] == "7"
    assert funnel["reasons"][0]["note"] == "explained by another alert"
    assert funnel["latest"][0]["times"] == "× 7"


def test_rates_are_measured_not_asked(feed, clock):
    feed.pulse(Pulse(mode="replay", event_time=0.0, records=0, speed=60.0))
    clock.advance(2.0)
    feed.pulse(Pulse(mode="replay", event_time=240.0, records=1000, speed=60.0))
    view = page(feed)
    assert view["head"]["speed"] == "× 120"
    assert view["head"]["asked"] == "asked for × 60"
    assert view["foot"]["rate"] == "500"
