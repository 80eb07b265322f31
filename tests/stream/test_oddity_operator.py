"""Oddity of nodes as stories: what is said, with which reason, and what is not.

Left out: how odd a sample is (`tests/models/test_anomaly_bank.py`), NAB (`benchmarks/quality`),
batch borders, restores and broken numbers (`tests/conformance/test_operators.py`).
"""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from stream.operators.oddity import Oddities, OdditySettings
from stream.records import Finding, NodeMetricsRecord, ObjectRef, Tick

START = 1_760_000_000.0
HOUR = 3600.0
STEP = 120.0  # seconds between two scrapes


class Node:
    """A node whose processors follow the day, with noise from a seed."""

    def __init__(self, **settings: object) -> None:
        self.operator = Oddities(OdditySettings(**settings))  # type: ignore[arg-type]
        self.now = START
        self.chance = random.Random(7)
        self.said: list[Finding] = []

    def live(self, hours: float, *, extra: float = 0.0, name: str = "n1") -> None:
        """Scrape for so long, with `extra` cores in use beside the usual two to four."""
        end = self.now + hours * HOUR
        while self.now < end:
            self.now += STEP
            day = math.sin(2 * math.pi * self.now / (24 * HOUR))
            cores = 3.0 + day + self.chance.gauss(0.0, 0.05) + extra
            self.offer(NodeMetricsRecord("c", self.now, name, cpu=cores))

    def offer(self, record: object) -> None:
        for output in self.operator.on_records([record]):  # type: ignore[list-item]
            assert isinstance(output, Finding)
            self.said.append(output)

    def since(self, at: float) -> list[Finding]:
        return [found for found in self.said if found.since > at]


def test_a_load_that_was_never_seen_is_evidence_with_reasons_that_make_up_its_score() -> None:
    node = Node()
    node.live(4 * 24)
    began = node.now
    node.live(1.0, extra=6.0)
    first = node.since(began)[0]
    assert (first.rule, first.state) == ("node-odd", "evidence")
    assert first.object == ObjectRef("Node", "", "n1")
    assert first.labels == {"node": "n1", "resource": "cpu"}
    assert first.at - first.since <= 120.0, "it waits for a full minute, not longer"
    assert first.summary.startswith("cpu of Node n1 is odd: ")
    assert "outside all that was seen of it" in first.summary
    parts = [float(part.value) for part in first.because]
    assert parts == sorted(parts, reverse=True)
    assert math.hypot(*parts) == pytest.approx(first.score, abs=0.002)


def test_a_usual_week_is_hardly_worth_a_word() -> None:
    node = Node()
    node.live(2 * 24)
    began = node.now
    node.live(5 * 24)
    assert len(node.since(began)) <= 2  # 0.1 a series-day is what NAB saw


def test_of_a_young_node_only_jumps_are_told_and_it_is_said_that_it_is_young() -> None:
    node = Node()
    node.live(6.0)
    began = node.now
    node.live(1.0, extra=4.0)
    first = node.since(began)[0]
    assert [part.name for part in first.because] == ["jump"]
    assert "not known for two days yet" in first.summary


def test_what_stays_odd_is_not_said_again_and_again() -> None:
    node = Node()
    node.live(4 * 24)
    began = node.now
    node.live(8.0, extra=6.0)
    assert 1 <= len(node.since(began)) <= 3


def test_it_can_be_turned_off_and_then_keeps_nothing() -> None:
    node = Node(threshold=None)
    node.live(4 * 24)
    node.live(1.0, extra=6.0)
    assert not node.said
    assert sum(map(len, node.operator.snapshot().values())) < 200


def test_a_node_that_is_gone_is_forgotten_after_a_week() -> None:
    node = Node(idle=24 * HOUR)
    node.live(2.0, name="gone")
    node.live(30.0, name="here")
    keys = node.operator._keys
    assert "c/here|cpu" in keys
    assert "c/gone|cpu" not in keys
    rows = np.flatnonzero(~np.isnan(node.operator._bank.arrays()["time"]))
    assert rows.size == 1


def test_a_series_costs_less_than_a_kilobyte() -> None:
    operator, series = Oddities(OdditySettings()), 2048
    for i in range(series):
        operator.on_records([NodeMetricsRecord("c", START + i % 50, f"ip-10-0-0-{i}.x", cpu=1.0)])
    operator.on_records([Tick("c", START + 120.0)])
    pages = operator.snapshot()
    assert sum(map(len, pages.values())) / series < 1000
