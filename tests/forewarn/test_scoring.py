"""Scores are arithmetic that can be done by hand; here it is done by hand."""

import pytest

from forewarn.scoring import HOUR, Met, met_by, score_forecasts
from stream.records import Finding, Forecast, ObjectRef, Severity


def forecast(hour: float, value: float, *left: float | None, name: str = "n1") -> Forecast:
    p10, p50, p90 = (None if each is None else each * HOUR for each in left or (None,) * 3)
    return Forecast(
        cluster="c",
        object=ObjectRef("Node", "", name),
        resource="disk",
        at=hour * HOUR,
        value=value,
        limit=100.0,
        unit="bytes",
        p10=p10,
        p50=p50,
        p90=p90,
    )


def test_a_crossing_inside_the_band_comes_true_and_its_error_is_relative_to_what_was_left() -> None:
    scores = score_forecasts([forecast(0, 50, 8, 12, 20), forecast(10, 100, 0, 0, 0)])
    assert (scores.crossings, scores.resolved, scores.came_true) == (1, 1, 1)
    assert scores.median_error["6-24h"] == pytest.approx(0.2)
    assert (scores.foreseen, scores.longest_lead) == (1, 10 * HOUR)


def test_a_crossing_outside_the_band_is_resolved_but_not_true() -> None:
    scores = score_forecasts([forecast(0, 50, 1, 2, 3), forecast(10, 100, 0, 0, 0)])
    assert (scores.resolved, scores.came_true, scores.coverage) == (1, 0, 0.0)


def test_growth_that_stops_counts_against_us_once_the_band_has_passed() -> None:
    scores = score_forecasts([forecast(0, 50, 1, 2, 3), forecast(10, 50)])
    assert (scores.resolved, scores.came_true, scores.open) == (1, 0, 0)


def test_an_open_band_is_judged_by_nobody() -> None:
    scores = score_forecasts([forecast(0, 50, 1, 2, None), forecast(10, 50)])
    assert (scores.resolved, scores.open) == (0, 1)


def test_a_series_that_was_full_from_the_start_could_not_be_foreseen() -> None:
    scores = score_forecasts([forecast(0, 100, 0, 0, 0), forecast(1, 100, 0, 0, 0)])
    assert (scores.crossings, scores.forecasts) == (0, 0)


def test_a_second_life_after_a_clean_up_is_judged_by_itself() -> None:
    history = [
        forecast(0, 50, 8, 10, 12),
        forecast(10, 100, 0, 0, 0),
        forecast(11, 40, 3, 4, 6),
        forecast(15, 100, 0, 0, 0),
    ]
    scores = score_forecasts(history)
    assert (scores.crossings, scores.came_true) == (2, 2)


def test_two_series_do_not_mix() -> None:
    scores = score_forecasts([forecast(0, 50, 8, 10, 12), forecast(10, 100, 0, 0, 0, name="other")])
    assert (scores.series, scores.crossings, scores.open) == (2, 0, 1)


def test_no_forecast_gives_no_figure() -> None:
    scores = score_forecasts([])
    assert scores.coverage is None
    assert scores.longest_lead is None


def test_a_crossing_that_no_sample_shows_is_proved_by_another_fact() -> None:
    node = ObjectRef("Node", "", "n1")
    met = [Met("c", node, "disk", frozenset(), 10 * HOUR)]
    scores = score_forecasts([forecast(0, 50, 8, 12, 20), forecast(11, 30)], met)
    assert (scores.crossings, scores.came_true, scores.longest_lead) == (1, 1, 10 * HOUR)


def test_a_proof_for_one_pod_says_nothing_of_another() -> None:
    node = ObjectRef("Node", "", "n1")
    met = [Met("c", node, "disk", frozenset({("pod", "a")}), 10 * HOUR)]
    scores = score_forecasts([forecast(0, 50, 8, 12, 20), forecast(11, 30)], met)
    assert scores.crossings == 0


def test_an_oom_kill_proves_that_a_container_met_its_limit() -> None:
    kill = Finding(
        id="1",
        rule="oom-kill",
        state="evidence",
        at=5.0,
        cluster="c",
        object=ObjectRef("Deployment", "shop", "cart"),
        severity=Severity.INFO,
        summary="",
        since=4.0,
        labels={"pod": "cart-1", "container": "main", "reason": "OOMKilled", "node": "n1"},
    )
    (met,) = met_by([kill])
    assert met.resource == "container-memory"
    assert met.labels == {("pod", "cart-1"), ("container", "main")}
    assert met.at == 4.0


def test_a_life_that_ends_otherwise_leaves_its_forecasts_to_nobody() -> None:
    node = ObjectRef("Node", "", "n1")
    rebooted = Met("c", node, "disk", frozenset(), 4 * HOUR, by_limit=False)
    history = [forecast(0, 50, 1, 2, 3), forecast(3, 60, 1, 2, 3), forecast(12, 100, 0, 0, 0)]
    scores = score_forecasts(history, [rebooted])
    assert (scores.resolved, scores.open) == (1, 1)  # the first one's band had passed before
    assert scores.came_true == 0


def test_a_restart_that_no_limit_caused_ends_a_life() -> None:
    restart = Finding(
        id="1",
        rule="restart",
        state="evidence",
        at=5.0,
        cluster="c",
        object=ObjectRef("Deployment", "shop", "cart"),
        severity=Severity.INFO,
        summary="",
        since=4.0,
        labels={"pod": "cart-1", "container": "main", "reason": "Unknown", "node": "n1"},
    )
    (met,) = met_by([restart])
    assert (met.by_limit, met.at) == (False, 4.0)
