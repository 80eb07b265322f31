"""Stories with the labels that operators really send: several pods, nodes and containers.

Leaves out what one incident is in general (`tests/timelines/test_incidents.py`).
"""

from __future__ import annotations

from alerting.alert import State
from alerting.testing import CART, CHECKOUT, NODE, START, Story
from stream.records import Part, Severity


def test_an_alert_whose_newest_container_changes_is_one_alert_and_ends() -> None:
    story = Story()
    story.at(0).firing("restart-burst", CHECKOUT, container="app", pod="a")
    story.at(5).firing("restart-burst", CHECKOUT, container="proxy", pod="b")
    story.at(20).resolved("restart-burst", CHECKOUT, container="proxy", pod="b")
    story.at(40).quiet()
    (incident,) = story.incidents()
    assert len(incident.alerts) == 1
    assert incident.state is State.RESOLVED


def test_of_several_pods_the_one_that_is_due_first_counts() -> None:
    story = Story()
    rule = "container-memory-exhaustion"
    story.at(0).firing(rule, CHECKOUT, expected_in=300, pod="a", container="app")
    story.at(1).firing(rule, CHECKOUT, expected_in=100, pod="b", container="app")
    story.at(2).firing(rule, CHECKOUT, expected_in=290, pod="a", container="app")
    story.at(10).quiet()
    (incident,) = story.incidents()
    assert incident.expected_at == START + 101 * 60


def test_a_workload_on_several_nodes_is_not_explained_by_one_of_them() -> None:
    story = Story()
    story.at(0).firing("node-not-ready", NODE, severity=Severity.CRITICAL)
    story.at(1).firing("restart-burst", CART, node="node-3,node-4")
    story.at(20).quiet()
    own = next(i for i in story.incidents() if i.object == CART)
    assert own.cause is not None
    assert own.cause.kind == "node"  # suspected all the same
    assert len(story.between(0, 20).notified()) == 2


def test_a_rule_that_is_turned_off_explains_but_does_not_alert() -> None:
    story = Story(rules={"restart-count": {"enabled": False}, "oom-kill": {"enabled": False}})
    story.at(0).firing("oom-kill", CHECKOUT)
    story.at(1).firing("restart-burst", CHECKOUT)
    story.at(2).firing("restart-count", CHECKOUT)
    story.at(10).quiet()
    (incident,) = story.incidents()
    assert [alert.rule for alert in incident.alerts] == ["restart-burst"]
    assert incident.cause is not None
    assert incident.cause.kind == "oom"


def test_a_node_that_was_odd_before_is_a_suspect_that_never_leads() -> None:
    story = Story()
    story.at(-10).evidence("node-odd", NODE, "memory of the node is odd", score=0.9)
    story.at(0).firing("restart-burst", CHECKOUT, node=NODE.name)
    story.at(5).evidence("node-odd", NODE, "processors of the node are odd", score=0.9)
    story.at(10).quiet()
    (incident,) = story.incidents()
    assert incident.cause is None, "it is likelier that the cause is not known"
    odd = [cause for cause in incident.causes if cause.kind == "node-odd"]
    assert [cause.text for cause in odd] == ["memory of the node is odd, 10 min before"]
    assert 0.0 < odd[0].odds < 0.5
    assert not story.between(-20, -1).notified(), "by itself it tells nobody"


def test_what_people_think_of_events_stands_on_the_timeline_of_their_incident() -> None:
    story = Story()
    story.at(0).firing("event-anomaly", CHECKOUT)
    story.at(2).firing("event-anomaly", CART)
    story.at(5).evidence("event-feedback", CHECKOUT, "FailedMount was called noise")
    story.at(10).quiet()
    noted = {
        incident.object: [part.text for part in incident.timeline if part.name == "feedback"]
        for incident in story.incidents()
    }
    assert noted == {CHECKOUT: ["FailedMount was called noise"], CART: []}
    assert len(story.between(0, 10).notified(about="checkout")) == 1, "nobody is told of it"


def test_a_severity_of_the_configuration_goes_before_the_findings_own() -> None:
    story = Story(rules={"restart-burst": {"severity": "critical"}})
    story.at(0).firing("restart-burst", CHECKOUT, severity=Severity.INFO)
    story.at(10).quiet()
    assert story.incidents()[0].severity is Severity.CRITICAL


def test_labels_of_a_configuration_group_what_no_cause_joins() -> None:
    story = Story(grouping={"group_by": ["cluster", "namespace"]})
    story.at(0).firing("restart-burst", CHECKOUT)
    story.at(0.2).firing("restart-burst", CART)
    story.at(10).quiet()
    (incident,) = story.incidents()
    assert len(incident.alerts) == 2
    assert "Also:\n- restart-burst of c" in story.between(0, 10).notified()[0].text


def test_events_that_a_node_causes_belong_to_its_incident_and_are_no_news_after_it() -> None:
    story = Story()
    story.at(0).firing("node-not-ready", NODE, severity=Severity.CRITICAL)
    story.at(9).firing("event-anomaly", CART, family="eviction,node", reason="NodeNotReady")
    story.at(20).resolved("node-not-ready", NODE)
    story.at(60).resolved("event-anomaly", CART)
    story.at(90).quiet()
    (incident,) = story.incidents()
    assert incident.object == NODE
    reasons = [notice.reason for notice in story.between(0, 90).notified()]
    assert reasons == ["first-notification", "alerts-resolved"]


def test_what_a_node_leaves_behind_belongs_to_its_incident_and_names_it_as_the_cause() -> None:
    story = Story()
    story.at(0).firing("node-not-ready", NODE, severity=Severity.CRITICAL)
    story.at(5).resolved("node-not-ready", NODE)
    story.at(6).firing("event-anomaly", CART, family="mount,node", reason="FailedMount")
    story.at(60).quiet()
    (incident,) = story.incidents()
    assert incident.object == CART
    (news,) = story.between(5, 60).notified("new-alerts-in-group")
    assert "Suspected cause: node-not-ready of node-3" in news.text


def test_what_begins_long_after_a_node_has_recovered_is_an_incident_of_its_own() -> None:
    story = Story(grouping={"resolve_wait": "20m"})
    story.at(0).firing("node-not-ready", NODE, severity=Severity.CRITICAL)
    story.at(5).resolved("node-not-ready", NODE)
    story.at(16).firing("event-anomaly", CART, family="mount,node", reason="FailedMount")
    story.at(60).quiet()
    assert len(story.incidents()) == 2


def test_evidence_of_a_long_incident_is_not_forgotten_nor_pushed_out() -> None:
    story = Story()
    story.at(0).evidence("release", CHECKOUT, "release v42")
    story.at(2).firing("restart-burst", CHECKOUT)
    for minute in range(3, 900, 3):
        story.at(minute).evidence("restart", CHECKOUT).evidence("scale", CHECKOUT)
    story.at(900).resolved("restart-burst", CHECKOUT)
    story.at(950).quiet()
    (over,) = story.between(890, 950).notified("alerts-resolved")
    assert "Suspected cause: release v42" in over.text


def test_a_change_of_annotations_alone_is_hardly_a_cause() -> None:
    story = Story()
    path = "/metadata/annotations/x"
    moment = story.at(0)
    moment._say(
        "evidence",
        "config-change",
        CHECKOUT,
        Severity.INFO,
        None,
        (Part("replace", path, f"{path}: a → b"),),
        "configured",
        {},
    )
    story.at(2).firing("restart-burst", CHECKOUT)
    story.at(10).quiet()
    assert story.incidents()[0].cause is None


def test_nothing_is_its_own_cause() -> None:
    for rule, ref in [
        ("container-memory-exhaustion", CHECKOUT),
        ("oom-kill", CHECKOUT),
        ("image-pull", CHECKOUT),
        ("node-not-ready", NODE),
        ("node-pressure", NODE),
    ]:
        story = Story()
        story.at(0).firing(rule, ref, reason="OOMKilled" if rule == "oom-kill" else "")
        story.at(10).quiet()
        assert story.incidents()[0].cause is None, rule


def test_a_full_disk_that_was_predicted_is_the_cause_of_the_pressure() -> None:
    story = Story()
    story.at(0).firing("node-disk-exhaustion", NODE, expected_in=60)
    story.at(62).firing("node-pressure", NODE, reason="DiskPressure")
    story.at(70).quiet()
    (incident,) = story.incidents()
    assert incident.cause is not None
    assert incident.cause.kind == "disk-growth"
    assert incident.came_true_at == START + 62 * 60
