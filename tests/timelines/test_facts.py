"""Stories with the labels that operators really send: several pods, nodes and containers.

Leaves out what one incident is in general (`tests/timelines/test_incidents.py`).
"""

from __future__ import annotations

from alerting.alert import State
from alerting.testing import CART, CHECKOUT, NODE, START, Story
from stream.records import Severity


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
