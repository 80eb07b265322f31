"""Incidents as stories: what is one incident, what its cause is, who hears of it and when.

Leaves out channels (`tests/conformance/test_channels.py`) and delivery (`tests/alerting`).
"""

from __future__ import annotations

import pytest

from alerting.alert import Incident, State
from alerting.cluster import Memory
from alerting.incidents import Incidents
from alerting.testing import CART, CHECKOUT, NODE, Story
from stream.records import ObjectRef, Part, Severity

SHOP = ObjectRef("Namespace", "", "shop")


def test_a_bad_release_is_one_incident_that_names_the_release_and_who() -> None:
    story = Story()
    story.at(0).evidence(
        "release", CHECKOUT, "release of shop/checkout, image v41 → v42", manager="kubectl"
    )
    story.at(3).firing("restart-burst", CHECKOUT, container="app")
    story.at(3.2).firing("rollout-stuck", CHECKOUT)
    story.at(3.3).firing("image-pull", CHECKOUT, container="side")
    story.at(10).quiet()
    (incident,) = story.incidents()
    assert incident.cause is not None
    assert incident.cause.kind in ("release", "image")
    release = next(c for c in (incident.cause, *incident.causes) if c.kind == "release")
    assert "image v41 → v42" in release.text
    assert "by kubectl" in release.text
    assert "3 min before" in release.text
    assert len(story.between(0, 10).notified()) == 1


def test_a_configmap_that_was_changed_can_be_the_cause_unless_it_belongs_to_a_release() -> None:
    story = Story()
    story.at(0).evidence("dependency-change", CHECKOUT, "ConfigMap rates changed", manager="helm")
    story.at(2).firing("restart-burst", CHECKOUT)
    story.at(10).quiet()
    (incident,) = story.incidents()
    assert incident.cause is not None
    assert incident.cause.kind == "config-change"
    assert "ConfigMap rates changed, by helm, 2 min before" in incident.cause.text
    story = Story()
    story.at(0).evidence("dependency-change", CHECKOUT, "ConfigMap rates changed")
    story.at(0.1).evidence("release", CHECKOUT, "release")
    story.at(2).firing("restart-burst", CHECKOUT)
    story.at(10).quiet()
    (incident,) = story.incidents()
    kinds = {c.kind for c in (*incident.causes, incident.cause) if c is not None}
    assert kinds == {"release", "unknown"}


def test_a_release_long_before_is_a_weaker_suspicion_than_one_just_before() -> None:
    odds = []
    for minutes in (3, 60, 119):
        story = Story()
        story.at(0).evidence("release", CHECKOUT, "release")
        story.at(minutes).firing("restart-burst", CHECKOUT)
        story.at(minutes + 5).quiet()
        (incident,) = story.incidents()
        causes = {c.kind: c.odds for c in (*incident.causes, incident.cause) if c}
        assert sum(causes.values()) == pytest.approx(1.0)
        odds.append(causes["release"])
    assert odds == sorted(odds, reverse=True)
    assert odds[0] > 0.8
    assert odds[2] < 0.4


def test_without_evidence_the_cause_is_not_known_and_says_so() -> None:
    story = Story()
    story.at(0).firing("restart-burst", CHECKOUT)
    story.at(5).quiet()
    (incident,) = story.incidents()
    assert incident.cause is None
    (notice,) = story.between(0, 5).notified()
    assert "Suspected cause: not known." in notice.text


def test_a_failing_node_inhibits_the_alerts_of_its_pods() -> None:
    story = Story()
    story.at(0).firing("node-not-ready", NODE, severity=Severity.CRITICAL)
    story.at(0.2).firing("pod-pending", CHECKOUT, node="node-3")
    story.at(0.3).firing("restart-burst", CART, node="node-3")
    story.at(20).quiet()
    (incident,) = story.incidents()
    assert incident.object == NODE
    assert {alert.object for alert in incident.alerts} == {NODE, CHECKOUT, CART}
    (notice,) = story.between(0, 20).notified()
    assert notice.reason == "first-notification"
    (drop,) = story.between(0, 20).suppressed("inhibited", "checkout")
    assert drop.by == "node-not-ready Node node-3"


def test_pods_that_fail_before_their_node_is_seen_to_fail_are_merged_into_its_incident() -> None:
    story = Story()
    story.at(0).firing("restart-burst", CART, node="node-3")
    story.at(0.2).firing("crash-loop", CHECKOUT, node="node-3")
    story.at(0.4).firing("node-not-ready", NODE, severity=Severity.CRITICAL)
    story.at(20).quiet()
    whole = next(i for i in story.incidents() if i.object == NODE)
    parts = [i for i in story.incidents() if i is not whole]
    assert {part.merged_into for part in parts} == {whole.id}
    assert len(story.between(0, 20).notified()) == 1


def test_a_pod_on_another_node_is_an_incident_of_its_own() -> None:
    story = Story()
    story.at(0).firing("node-not-ready", NODE)
    story.at(0.2).firing("restart-burst", CART, node="node-4")
    story.at(20).quiet()
    assert len(story.incidents()) == 2
    assert len(story.between(0, 20).notified()) == 2


def test_restarts_of_a_whole_namespace_are_one_incident() -> None:
    story = Story()
    story.at(0).firing("restart-burst", CART)
    story.at(0.1).firing("namespace-restart-share", SHOP, severity=Severity.CRITICAL)
    story.at(0.3).firing("restart-burst", CHECKOUT)
    story.at(20).quiet()
    (incident,) = [i for i in story.incidents() if not i.merged_into]
    assert incident.rule == "namespace-restart-share"
    assert len(story.between(0, 20).notified()) == 1


def test_a_leak_is_one_story_with_the_time_that_is_left_and_comes_true() -> None:
    story = Story()
    band = (Part("p10", 9600.0, ""), Part("p90", 16_200.0, ""))
    story.at(0).firing(
        "container-memory-exhaustion", CHECKOUT, expected_in=190, because=band, container="app"
    )
    story.at(178).evidence("oom-kill", CHECKOUT, "app was killed for its memory")
    story.at(178).firing("oom-kill", CHECKOUT, severity=Severity.CRITICAL, container="app")
    story.at(179).firing("restart-burst", CHECKOUT, container="app")
    story.at(200).resolved("oom-kill", CHECKOUT).resolved("restart-burst", CHECKOUT)
    story.at(200).resolved("container-memory-exhaustion", CHECKOUT)
    story.at(230).quiet()
    (incident,) = story.incidents()
    assert incident.state is State.RESOLVED
    assert [part.text for part in incident.timeline if part.name == "came-true"] == [
        "came true 12 min before P50"
    ]
    first = story.between(0, 5).notified("first-notification")[0]
    assert "in about 3 h 10 min [2 h 40 min – 4 h 30 min]" in first.text
    over = story.between(0, 230).notified("alerts-resolved")[0]
    assert "12 min before P50" in over.text
    assert "2 h 58 min after the first warning" in over.text


def test_a_prediction_that_does_not_come_true_says_so_when_it_is_over() -> None:
    story = Story()
    story.at(0).firing("node-disk-exhaustion", NODE, expected_in=120)
    story.at(30).resolved("node-disk-exhaustion", NODE)
    story.at(60).quiet()
    (over,) = story.between(30, 60).notified("alerts-resolved")
    assert "it did not happen" in over.text


def test_reaching_the_limit_is_a_prediction_that_came_true() -> None:
    story = Story()
    story.at(0).firing("volume-exhaustion", CART, expected_in=60)
    story.at(60.5).firing("volume-exhaustion", CART, expected_in=0, severity=Severity.CRITICAL)
    story.at(70).quiet()
    (incident,) = story.incidents()
    assert incident.came_true_at is not None
    assert "at P50" in incident.timeline[-2].text + incident.timeline[-3].text


def test_an_alert_that_comes_and_goes_is_held_and_told_once_more_at_most() -> None:
    story = Story()
    for minute in range(0, 40, 4):
        story.at(minute).firing("pod-pending", CHECKOUT)
        story.at(minute + 2.5).resolved("pod-pending", CHECKOUT)
    story.at(90).quiet()
    heard = story.between(0, 90).notified()
    assert len(heard) <= 4
    assert story.between(0, 90).suppressed("flapping")
    assert heard[-1].reason == "alerts-resolved"
    assert story.incidents()[-1].state is State.RESOLVED


def test_what_lasts_shorter_than_its_rule_asks_is_suppressed_with_its_reason() -> None:
    story = Story(rules={"pod-pending": {"for": "5m"}})
    story.at(0).firing("pod-pending", CHECKOUT)
    story.at(3).resolved("pod-pending", CHECKOUT)
    story.at(20).firing("pod-pending", CHECKOUT)
    story.at(40).quiet()
    (drop,) = story.between(0, 15).suppressed("below-pending")
    assert drop.rule == "pod-pending"
    assert not story.between(0, 24.9).notified()
    assert len(story.between(25, 26).notified()) == 1


def test_what_is_over_before_group_wait_is_not_told() -> None:
    story = Story()
    story.at(0).firing("pod-pending", CHECKOUT)
    story.at(0.3).resolved("pod-pending", CHECKOUT)
    story.at(20).quiet()
    assert not story.between(0, 20).notified()
    assert story.between(0, 20).suppressed("below-pending")


def test_a_silence_keeps_quiet_until_it_ends() -> None:
    story = Story(
        silences=[
            {
                "matchers": ['namespace="shop"'],
                "from": "2025-10-09T08:00:00Z",
                "until": "2025-10-09T09:23:20Z",
                "comment": "migration, ask Ann",
            }
        ]
    )
    story.at(0).firing("restart-burst", CHECKOUT)
    story.at(60).quiet()
    (drop,) = story.between(0, 60).suppressed("silenced")
    assert drop.by == "migration, ask Ann"
    (notice,) = story.between(0, 60).notified()
    assert notice.at == 1_760_001_800.0


def test_a_resolved_notice_passes_a_mute_time_but_a_new_incident_waits_for_its_end() -> None:
    # The story begins on a Thursday, 2025-10-09 at 08:53:20 UTC, 16:53:20 in Shanghai.
    story = Story(
        time_intervals={"evening": [{"times": ["17:00-17:30"], "location": "Asia/Shanghai"}]},
        route={"receivers": ["terminal"], "mute_times": ["evening"]},
    )
    story.at(0).firing("restart-burst", CHECKOUT)
    story.at(8).resolved("restart-burst", CHECKOUT)
    story.at(10).firing("restart-burst", CART)
    story.at(60).quiet()
    assert story.between(8, 12).notified("alerts-resolved", "checkout")
    assert story.between(7, 12).suppressed("muted", "cart")
    (late,) = story.between(30, 60).notified("first-notification", "cart")
    assert late.at == 1_760_002_200.0


def test_outside_of_its_active_times_a_route_is_quiet() -> None:
    story = Story(
        time_intervals={"weekend": [{"weekdays": ["saturday:sunday"]}]},
        route={"receivers": ["terminal"], "active_times": ["weekend"]},
    )
    story.at(0).firing("restart-burst", CHECKOUT)
    story.at(60).quiet()
    assert not story.between(0, 60).notified()
    assert story.between(0, 60).suppressed("inactive")


def test_what_goes_on_is_said_again_after_the_repeat_interval() -> None:
    story = Story(grouping={"repeat_interval": "4h"})
    story.at(0).firing("restart-burst", CHECKOUT)
    story.at(30).firing("restart-burst", CHECKOUT)
    story.at(9 * 60).quiet()
    reasons = [n.reason for n in story.between(0, 540).notified()]
    assert reasons == ["first-notification", "repeat-interval", "repeat-interval"]
    assert story.between(0, 540).suppressed("already-notified")


def test_without_an_interval_severity_says_how_often_it_is_said_again() -> None:
    for severity, times in ((Severity.INFO, 1), (Severity.WARNING, 2), (Severity.CRITICAL, 4)):
        story = Story()
        story.at(0).firing("restart-burst", CHECKOUT, severity=severity)
        story.at(26 * 60).quiet()
        assert len(story.between(0, 26 * 60).notified()) == times, severity


def test_an_incident_never_names_itself_as_its_cause() -> None:
    story = Story()
    story.at(0).firing("container-memory-exhaustion", CHECKOUT, expected_in=180)
    story.at(10).firing("oom-kill", CHECKOUT)
    story.at(20).quiet()
    (incident,) = story.incidents()
    assert incident.rule == "container-memory-exhaustion"
    assert incident.cause is None


def test_a_burst_of_oom_kills_is_not_explained_by_oom_kills() -> None:
    story = Story()
    story.at(0).firing("oom-kill", CHECKOUT, reason="OOMKilled")
    story.at(1).firing("restart-burst", CHECKOUT, reason="OOMKilled")
    story.at(20).quiet()
    (incident,) = story.incidents()
    assert incident.rule == "restart-burst"
    assert incident.cause is None or incident.cause.kind != "oom"


def test_the_title_says_the_time_that_is_left_when_it_is_sent() -> None:
    story = Story(grouping={"repeat_interval": "1h"})
    story.at(0).firing("container-memory-exhaustion", CHECKOUT, expected_in=150)
    story.at(200).quiet()
    titles = [n.title for n in story.between(0, 200).notified()]
    assert titles[0].endswith("in about 2 h 30 min")
    assert titles[1].endswith("in about 1 h 30 min")
    assert titles[3].endswith("any moment")


def test_a_raised_severity_is_said_at_once_and_more_alerts_after_the_interval() -> None:
    story = Story()
    story.at(0).firing("restart-burst", CHECKOUT)
    story.at(1).firing("pod-pending", CHECKOUT)
    story.at(2).firing("restart-burst", CHECKOUT, severity=Severity.CRITICAL)
    story.at(3).firing("image-pull", CHECKOUT)
    story.at(20).quiet()
    told = [
        (round((n.at - 1_760_000_000) / 60, 1), n.reason) for n in story.between(0, 20).notified()
    ]
    assert told == [
        (0.5, "first-notification"),
        (2.0, "severity-raised"),
        (7.0, "new-alerts-in-group"),
    ]


def test_a_burst_beyond_the_channels_budget_becomes_one_digest() -> None:
    story = Story(
        receivers={"ops": {"type": "dingtalk", "url": "https://oapi.dingtalk.com/robot/send"}},
        route={"receivers": ["ops"]},
    )
    for number in range(40):
        story.at(0).firing("restart-burst", ObjectRef("Deployment", "shop", f"w{number:02}"))
    story.at(10).quiet()
    heard = story.between(0, 10).notified()
    assert len([n for n in heard if n.reason == "first-notification"]) == 18
    (digest,) = [n for n in heard if n.reason == "digest"]
    assert digest.at - heard[0].at == 60.0
    assert digest.title.startswith("22 incidents in one message")
    assert len(story.between(0, 10).suppressed("budget")) == 22


def test_a_receiver_that_wants_no_resolved_notice_gets_none() -> None:
    story = Story(receivers={"terminal": {"type": "terminal", "send_resolved": False}})
    story.at(0).firing("restart-burst", CHECKOUT)
    story.at(10).resolved("restart-burst", CHECKOUT)
    story.at(30).quiet()
    assert not story.between(1, 30).notified()
    assert story.between(1, 30).suppressed("resolved-not-wanted")


def test_an_alert_that_fires_again_while_its_incident_ends_goes_on_in_it() -> None:
    story = Story()
    story.at(0).firing("restart-burst", CHECKOUT)
    story.at(10).resolved("restart-burst", CHECKOUT)
    story.at(11).firing("restart-burst", CHECKOUT)
    story.at(30).quiet()
    (incident,) = story.incidents()
    assert incident.state is State.FIRING
    assert len(story.between(0, 30).notified()) == 1


def test_a_node_that_recovers_leaves_its_pods_alerts_to_be_told() -> None:
    story = Story()
    story.at(0).firing("node-not-ready", NODE)
    story.at(1).firing("restart-burst", CART, node="node-3")
    story.at(10).resolved("node-not-ready", NODE)
    story.at(30).quiet()
    assert story.between(10, 30).notified("new-alerts-in-group", "cart")


def test_routes_choose_receivers_by_labels_and_may_continue() -> None:
    story = Story(
        receivers={
            "all": {"type": "terminal"},
            "shop": {"type": "terminal"},
            "pager": {"type": "terminal"},
        },
        route={
            "receivers": ["all"],
            "routes": [
                {"matchers": ['severity="critical"'], "receivers": ["pager"], "continue": True},
                {"matchers": ['namespace=~"shop|pay"'], "receivers": ["shop"]},
            ],
        },
    )
    story.at(0).firing("restart-burst", CHECKOUT, severity=Severity.CRITICAL)
    story.at(0).firing("node-not-ready", NODE)
    story.at(10).quiet()
    heard = {(n.channel, n.incidents[0].object.name) for n in story.between(0, 10).notified()}
    assert heard == {("pager", "checkout"), ("shop", "checkout"), ("all", "node-3")}


def test_state_is_forgotten_when_all_has_been_over_for_hours() -> None:
    story = Story()
    story.at(0).evidence("release", CHECKOUT)
    story.at(1).firing("restart-burst", CHECKOUT)
    story.at(10).resolved("restart-burst", CHECKOUT)
    memory = Memory("prod")
    engine = Incidents(story.config.policy(), memory)
    engine.advance(story.findings, 1_760_000_000.0 + 900)
    assert memory.stories
    engine.advance([], 1_760_000_000.0 + 48 * 3600)
    assert not memory.stories
    assert not memory.tracks
    assert not memory.evidence
    assert not memory.agenda


def test_the_timeline_is_bounded() -> None:
    story = Story(flapping={"changes": 1000})
    for minute in range(100):
        story.at(minute).firing("restart-burst", CHECKOUT)
        story.at(minute + 0.5).resolved("restart-burst", CHECKOUT)
    incidents = [r for r in story.records if isinstance(r, Incident)]
    assert max(len(i.timeline) for i in incidents) == 50
