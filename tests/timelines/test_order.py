"""Only findings and event time decide: not interleaving, not batches, not steps, not restarts.

Leaves out the bus (`tests/alerting/test_task.py`).
"""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from alerting.cluster import Memory
from alerting.incidents import Incidents
from alerting.ordering import SILENT_TURNS, Ordering
from alerting.testing import CART, CHECKOUT, CLUSTER, NODE, START, Story, digest_of
from stream.records import Conclusion, Finding, Progress, Severity


def outage() -> Story:
    story = Story(grouping={"group_wait": "10s", "group_interval": "1m"})
    story.at(0, "deployments/0").evidence("release", CHECKOUT, "release v42", manager="kubectl")
    story.at(0.5, "pods/0").firing("restart-burst", CHECKOUT, node="node-3")
    story.at(0.5, "events/0").firing("event-anomaly", CHECKOUT)
    story.at(1.25, "pods/0").firing("crash-loop", CHECKOUT, severity=Severity.CRITICAL)
    story.at(1.25, "node-metrics/0").firing("node-not-ready", NODE)
    story.at(1.25, "events/0").evidence("event-noise", CART)
    story.at(2, "pods/0").firing("restart-burst", CART, node="node-3")
    story.at(3, "node-metrics/0").resolved("node-not-ready", NODE)
    story.at(3.5, "pods/0").resolved("restart-burst", CHECKOUT).resolved("crash-loop", CHECKOUT)
    story.at(4, "events/0").resolved("event-anomaly", CHECKOUT)
    story.at(8).quiet()
    return story


def by_source(story: Story) -> list[list[Conclusion]]:
    logged = story.logged()
    names = sorted({conclusion.source for conclusion in logged})
    return [[c for c in logged if c.source == name] for name in names]


STORY = outage()
TOLD = digest_of(STORY.records)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_every_interleaving_of_the_sources_tells_the_same(data: st.DataObject) -> None:
    queues = [list(queue) for queue in by_source(STORY)]
    log: list[Conclusion] = []
    while any(queues):
        queue = data.draw(st.sampled_from([queue for queue in queues if queue]))
        log += [queue.pop(0) for _ in range(data.draw(st.integers(1, min(6, len(queue)))))]
    step = data.draw(st.integers(0, 7))
    assert digest_of(STORY.told(log, step)) == TOLD


@given(st.lists(st.floats(0, 600), max_size=30))
@settings(max_examples=100, deadline=None)
def test_the_size_of_the_steps_changes_nothing(steps: list[float]) -> None:
    whole = Incidents(STORY.config.policy(), Memory(CLUSTER))
    at_once = whole.advance(STORY.findings, START + 600.0)
    engine = Incidents(STORY.config.policy(), Memory(CLUSTER))
    records = []
    waiting = list(STORY.findings)
    for step in [*sorted(steps), 600.0]:
        until = START + step
        due = [finding for finding in waiting if finding.at < until]
        waiting = waiting[len(due) :]
        records += engine.advance(due, until)
    assert digest_of(records) == digest_of(at_once)


@given(st.integers(0, 40))
@settings(max_examples=41, deadline=None)
def test_a_restart_from_a_snapshot_goes_on_as_if_nothing_had_been(cut: int) -> None:
    log = STORY.logged()
    ordering, memory = Ordering(), Memory(CLUSTER)
    ordering.expect(sorted({conclusion.source for conclusion in log}))
    records = []
    for number, conclusion in enumerate(log):
        if number == cut:
            stored = msgspec.msgpack.encode((ordering, memory))
            ordering, memory = msgspec.msgpack.decode(stored, type=tuple[Ordering, Memory])
            assert msgspec.msgpack.encode((ordering, memory)) == stored
        engine = Incidents(STORY.config.policy(), memory)
        ordering.offer(conclusion)
        records += engine.advance(*ordering.release())
    assert digest_of(records) == TOLD


def finding(at: float, source: str) -> Finding:
    return Finding(
        id="f",
        rule="restart-burst",
        state="firing",
        at=at,
        cluster=CLUSTER,
        object=CHECKOUT,
        severity=Severity.WARNING,
        summary="s",
        since=at,
        source=source,
    )


def progress(at: float, source: str) -> Progress:
    return Progress(source=source, cluster=CLUSTER, at=at)


def test_nothing_is_released_before_every_expected_source_has_got_past_it() -> None:
    ordering = Ordering()
    ordering.expect(["a", "b"])
    ordering.offer(finding(10.0, "a"))
    ordering.offer(progress(20.0, "a"))
    assert ordering.release()[0] == []
    ordering.offer(progress(10.0, "b"))
    assert ordering.release() == ([], 10.0)  # b may still say something of 10.0 itself
    ordering.offer(progress(15.0, "b"))
    released, reached = ordering.release()
    assert (len(released), reached) == (1, 15.0)


def test_a_dead_source_is_left_out_and_what_it_says_later_is_late_but_kept() -> None:
    ordering = Ordering()
    ordering.expect(["a", "b", "dead"])
    for turn in range(SILENT_TURNS + 40):
        ordering.offer(progress(turn * 10.0, "a"))
        ordering.offer(progress(turn * 10.0, "b"))
    assert ordering.left_out == 1
    assert ordering.release()[1] > 300.0
    ordering.offer(finding(5.0, "dead"))
    ordering.offer(progress(1000.0, "dead"))
    ordering.offer(progress(1000.0, "a"))
    ordering.offer(progress(1000.0, "b"))
    (late,), _ = ordering.release()
    assert late.at > 300.0
    assert ordering.late == 1


def test_a_fast_replay_leaves_nobody_out() -> None:
    ordering = Ordering()
    ordering.expect(["a", "b"])
    for start in range(0, 36_000, 3_600):
        for source in ("a", "b"):
            for at in range(start, start + 3_600, 10):
                ordering.offer(progress(float(at), source))
    assert ordering.left_out == 0
