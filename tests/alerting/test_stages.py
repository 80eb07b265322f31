"""The parts of a decision one by one: matchers, routes, times, inhibition, budgets, causes.

Leaves out their play together (`tests/timelines`).
"""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting import budget, causes, dedup, duration
from alerting.alert import Alert, Reason
from alerting.budget import Limit, Window
from alerting.inhibit import BUILT_IN, Sources
from alerting.matcher import Matcher, parse
from alerting.mute import TimeInterval, covering
from alerting.route import Leaf, RouteConfig, leaves, resolve
from stream.records import Finding, ObjectRef, Severity

CHECKOUT = ObjectRef("Deployment", "shop", "checkout")


def alert(rule: str, ref: ObjectRef = CHECKOUT, starts_at: float = 0.0, **labels: str) -> Alert:
    own = {"rule": rule, "cluster": "prod", "kind": ref.kind, "name": ref.name}
    if ref.namespace:
        own["namespace"] = ref.namespace
    return Alert(
        fingerprint=f"{rule}-{ref.name}",
        rule=rule,
        cluster="prod",
        object=ref,
        severity=Severity.WARNING,
        labels=own | labels,
        summary=rule,
        starts_at=starts_at,
        updated_at=starts_at,
    )


# ---- matchers ----


@pytest.mark.parametrize(
    ("text", "labels", "matches"),
    [
        ('a="b"', {"a": "b"}, True),
        ("a=b", {"a": "b"}, True),
        (' a = "b c" ', {"a": "b c"}, True),
        ('a!="b"', {}, True),
        ('a=""', {}, True),
        ('a=~"b|c"', {"a": "c"}, True),
        ('a=~"b"', {"a": "bb"}, False),
        ('a!~"b.*"', {"a": "bb"}, False),
        ('a=~".+"', {}, False),
        (r'a="say \"x\""', {"a": 'say "x"'}, True),
    ],
)
def test_a_matcher_means_what_alertmanager_means(
    text: str, labels: dict[str, str], matches: bool
) -> None:
    assert parse(text).matches(labels) is matches


@pytest.mark.parametrize("text", ["", "a", "=b", 'a=~"("', 'a="b', "a==b=", 3, None, "1a=b"])
def test_what_is_no_matcher_is_refused_when_it_is_read(text: object) -> None:
    if text == "a==b=":  # Alertmanager reads this as the value "=b="
        assert parse(text).value == "=b="
        return
    with pytest.raises(ValueError, match=r"matcher|expression|quote"):
        parse(text)


@given(st.sampled_from(["=", "!="]), st.text())
def test_a_matcher_reads_what_it_writes(operator: str, value: str) -> None:
    one = Matcher("name", operator, value)
    assert parse(str(one)) == one


# ---- durations ----


@pytest.mark.parametrize(
    "text", ["", "5", "5x", "-5m", "m", True, -1, None, "1h 30m", float("nan")]
)
def test_what_is_no_length_of_time_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"time|seconds"):
        duration.parse(text)


# ---- routes ----


def receivers(config: RouteConfig, **labels: str) -> list[tuple[str, ...]]:
    root = resolve(config, Leaf((), 30.0, 300.0, 14_400.0, (), ()))
    return [leaf.receivers for leaf in leaves(root, labels)]


def test_the_first_child_that_matches_takes_it_unless_it_continues() -> None:
    config = RouteConfig.model_validate(
        {
            "receiver": "all",
            "routes": [
                {"matchers": ["a=1"], "receiver": "one", "continue": True},
                {"matchers": ["b=1"], "receiver": "two", "routes": [{"matchers": ["c=1"]}]},
                {"matchers": ["b=1"], "receiver": "never"},
            ],
        }
    )
    assert receivers(config, a="1", b="1") == [("one",), ("two",)]
    assert receivers(config, b="1", c="1") == [("two",)]
    assert receivers(config, z="1") == [("all",)]


def test_what_a_child_does_not_say_it_inherits() -> None:
    config = RouteConfig.model_validate(
        {
            "receiver": "all",
            "group_wait": "1m",
            "routes": [{"matchers": ["a=1"], "repeat_interval": 0}],
        }
    )
    root = resolve(config, Leaf((), 30.0, 300.0, 14_400.0, (), ()))
    (leaf,) = leaves(root, {"a": "1"})
    assert leaf == Leaf(("all",), 60.0, 300.0, 0.0, (), ())


# ---- times of the week ----


def at(text: str) -> float:
    return datetime.datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    ("interval", "moment", "covers"),
    [
        ({"weekdays": ["monday:friday"]}, "2025-10-10T12:00:00Z", True),
        ({"weekdays": ["monday:friday"]}, "2025-10-11T12:00:00Z", False),
        ({"times": ["09:00-17:30"]}, "2025-10-10T17:29:59Z", True),
        ({"times": ["09:00-17:30"]}, "2025-10-10T17:30:00Z", False),
        ({"times": ["23:00-24:00"]}, "2025-10-10T23:59:59Z", True),
        ({"times": ["09:00-10:00"], "location": "Asia/Shanghai"}, "2025-10-10T01:30:00Z", True),
        ({"weekdays": ["saturday"], "location": "Asia/Shanghai"}, "2025-10-10T16:00:00Z", True),
        # Berlin leaves summer time on 2025-10-26: 09:00 is 07:00Z before and 08:00Z after.
        ({"times": ["09:00-10:00"], "location": "Europe/Berlin"}, "2025-10-25T07:30:00Z", True),
        ({"times": ["09:00-10:00"], "location": "Europe/Berlin"}, "2025-10-27T07:30:00Z", False),
        ({"times": ["09:00-10:00"], "location": "Europe/Berlin"}, "2025-10-27T08:30:00Z", True),
        ({"days_of_month": ["-1"]}, "2024-02-29T12:00:00Z", True),
        ({"days_of_month": ["-3:-1"]}, "2025-02-26T12:00:00Z", True),
        ({"days_of_month": ["1:5"]}, "2025-12-06T00:00:00Z", False),
        ({"months": ["november:december"]}, "2025-12-31T12:00:00Z", True),
        ({"months": ["3"]}, "2025-12-31T12:00:00Z", False),
    ],
)
def test_a_time_interval_follows_the_calendar_of_its_zone(
    interval: dict[str, object], moment: str, covers: bool
) -> None:
    assert TimeInterval.model_validate(interval).covers(at(moment)) is covers


@pytest.mark.parametrize(
    "interval",
    [
        {"weekdays": ["friday:monday"]},
        {"weekdays": ["funday"]},
        {"times": ["17:00-09:00"]},
        {"times": ["9-17"]},
        {"times": ["24:30-24:40"]},
        {"days_of_month": ["0"]},
        {"days_of_month": ["32"]},
        {"months": ["13"]},
        {"location": "Mars/Olympus"},
        {"hours": ["1"]},
    ],
)
def test_what_is_no_time_interval_is_refused(interval: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"validation error"):
        TimeInterval.model_validate(interval)


def test_several_intervals_of_one_name_add_up() -> None:
    days = tuple(TimeInterval.model_validate({"weekdays": [day]}) for day in ("monday", "friday"))
    assert covering(["x"], {"x": days}, at("2025-10-10T12:00:00Z")) == "x"
    assert covering(["x"], {"x": days}, at("2025-10-09T12:00:00Z")) is None


# ---- inhibition ----


def explained(target: Alert, *sources: Alert) -> str:
    known = Sources(BUILT_IN)
    for source in (target, *sources):
        known.add(source)
    found = known.of(target)
    return found.rule if found else ""


NODE = ObjectRef("Node", "", "n1")


@pytest.mark.parametrize(
    ("target", "source", "by"),
    [
        (
            alert("restart-burst", node="n1"),
            alert("node-not-ready", NODE, node="n1"),
            "node-not-ready",
        ),
        (alert("restart-burst", node="n2"), alert("node-not-ready", NODE, node="n1"), ""),
        (alert("restart-burst"), alert("node-not-ready", NODE, node="n1"), ""),
        (alert("crash-loop"), alert("rollout-stuck"), "rollout-stuck"),
        (alert("rollout-stuck"), alert("crash-loop"), ""),
        (alert("restart-count"), alert("restart-burst"), "restart-burst"),
        (alert("oom-kill"), alert("restart-burst"), ""),
        (
            alert("node-memory-high", NODE, node="n1"),
            alert("node-memory-exhaustion", NODE, node="n1"),
            "node-memory-exhaustion",
        ),
        (
            alert("restart-burst"),
            alert("namespace-restart-share", ObjectRef("Namespace", "", "shop"), namespace="shop"),
            "namespace-restart-share",
        ),
        (
            alert("restart-burst"),
            alert("namespace-restart-share", ObjectRef("Namespace", "", "pay"), namespace="pay"),
            "",
        ),
    ],
)
def test_what_kubernetes_explains_is_inhibited(target: Alert, source: Alert, by: str) -> None:
    assert explained(target, source) == by


def test_no_two_rules_inhibit_each_other() -> None:
    rules = ["restart-burst", "crash-loop", "restart-count", "rollout-stuck", "oom-kill"]
    rules += ["node-not-ready", "node-pressure", "node-taint", "node-deleted", "node-disk-high"]
    for one in rules:
        for other in rules:
            ref = NODE if one.startswith("node") == other.startswith("node") == True else CHECKOUT  # noqa: E712
            first, second = alert(one, ref, node="n1"), alert(other, ref, node="n1")
            if one == other or one.startswith("node") != other.startswith("node"):
                continue
            pair = {one, other}
            if pair == {"node-not-ready", "node-deleted"}:
                continue
            assert not (explained(first, second) and explained(second, first)), pair


def test_an_alert_that_is_over_inhibits_no_longer() -> None:
    known = Sources(BUILT_IN)
    source = alert("node-not-ready", NODE, node="n1")
    assert known.add(source)
    assert known.remove(source.fingerprint)
    assert known.of(alert("restart-burst", node="n1")) is None


# ---- the notification log ----

LEAF = Leaf(("ops",), 30.0, 300.0, 14_400.0, (), ())


def test_the_reason_says_why_it_speaks_or_not() -> None:
    burst, loop = alert("restart-burst"), alert("crash-loop")
    first = dedup.decide(None, [burst], LEAF, 0.0)
    assert (first.speak, first.reason) == (True, Reason.FIRST_NOTIFICATION)
    told = dedup.tell(None, [burst], 0.0, [burst])
    assert dedup.decide(told, [burst], LEAF, 10.0).reason is Reason.ALREADY_NOTIFIED
    early = dedup.decide(told, [burst, loop], LEAF, 10.0)
    assert (early.speak, early.again_at) == (False, 300.0)
    assert dedup.decide(told, [burst, loop], LEAF, 300.0).reason is Reason.NEW_ALERTS_IN_GROUP
    assert dedup.decide(told, [burst], LEAF, 14_400.0).reason is Reason.REPEAT_INTERVAL


# ---- budgets ----


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=200), st.integers(1, 20))
def test_no_window_holds_more_than_the_limit_and_nothing_is_lost(
    times: list[float], messages: int
) -> None:
    limit, window = Limit(messages, 60.0), Window()
    sent: list[float] = []
    said = 0
    for number, now in enumerate(sorted(times)):
        while window.held and budget.due(window, limit) <= now:
            when = budget.due(window, limit)
            released = budget.release(window, limit, when)
            assert released is not None
            sent.append(when)
            said += len(released[0]) + released[1]
        if budget.admit(window, limit, now):
            sent.append(now)
            said += 1
        else:
            budget.hold(window, str(number))
    assert said + len(window.held) + window.lost == len(times)
    for start in sent:
        assert sum(1 for one in sent if start <= one < start + 60.0) <= messages


# ---- causes ----


def fact(rule: str, at: float, **labels: str) -> Finding:
    return Finding(
        id=rule,
        rule=rule,
        state="evidence",
        at=at,
        cluster="prod",
        object=CHECKOUT,
        severity=Severity.INFO,
        summary=f"{rule} happened",
        since=at,
        labels=labels,
    )


def test_odds_add_up_and_unknown_keeps_its_share() -> None:
    found = causes.suspects(
        [alert("restart-burst", starts_at=1000.0)],
        [fact("release", 900.0, manager="argocd"), fact("scale", 950.0)],
        [],
    )
    assert [cause.kind for cause in found] == ["release", "scale", "unknown"]
    assert sum(cause.odds for cause in found) == pytest.approx(1.0)
    assert found[-1].odds > 0.05
    assert found[0].text == "release happened, by argocd, 2 min before"


def test_a_release_whose_generation_alone_is_affected_is_suspected_more() -> None:
    burst = alert("restart-burst", starts_at=1000.0, generation="abc")
    plain = causes.suspects([burst], [fact("release", 900.0)], [])[0]
    named = causes.suspects([burst], [fact("release", 900.0, generation="abc")], [])[0]
    assert named.odds > plain.odds


def test_what_came_after_is_no_cause() -> None:
    burst = [alert("restart-burst", starts_at=0.0)]
    found = causes.suspects(burst, causes.near(burst, [fact("release", 600.0)]), [])
    assert [cause.kind for cause in found] == ["unknown"]
    assert causes.likeliest(found) is None


def test_evidence_is_bounded_in_number_and_age() -> None:
    kept: dict[str, list[Finding]] = {}
    for number in range(100):
        causes.keep(kept, fact("scale", number * 60.0))
        causes.keep(kept, fact("restart", number * 60.0))
    assert len(kept[causes.place(CHECKOUT)]) == causes.KEPT
    causes.forget(kept, 100 * 60.0 + causes.KEEP_FOR)
    assert not kept
