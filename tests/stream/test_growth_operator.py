"""Stories of a node, a volume and a container as the growth operator tells them.

Borders of batches, restoring and order of time are the conformance suite's.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from stream.operators.base import Output
from stream.operators.growth import Growth, GrowthSettings
from stream.records import (
    Allocatable,
    ContainerUsage,
    Filesystem,
    Finding,
    Forecast,
    NodeMetricsRecord,
    ObjectRef,
    Point,
    Severity,
    Tick,
    VolumeUsage,
)

START = 1_760_000_400.0
HOUR = 3600.0
GIB = 2.0**30
APP = ObjectRef("Deployment", "shop", "checkout")

Shape = Callable[[float], float]  # hours → percent of the capacity


def scrape(at: float, **parts: Any) -> NodeMetricsRecord:
    size = Allocatable(cpu=4.0, memory=15 * GIB, pods=110.0)
    return NodeMetricsRecord(
        cluster="prod", at=at, node="a", allocatable=size, capacity=size, **parts
    )


def disk(percent: float, capacity: float = 100 * GIB) -> Filesystem:
    used = capacity * percent / 100
    return Filesystem(used=used, capacity=capacity, available=capacity - used)


def told(
    hours: float,
    record: Callable[[float, float], NodeMetricsRecord],
    operator: Growth | None = None,
) -> list[Output]:
    """Feed a scrape each five minutes; `record` is given event time and hours."""
    operator = operator or Growth(GrowthSettings())
    out: list[Output] = []
    for i in range(int(hours * 12)):
        out += operator.on_records([record(START + i * 300.0, i / 12)])
    return out


def findings(out: Sequence[Output], rule: str = "") -> list[Finding]:
    return [o for o in out if isinstance(o, Finding) and (not rule or o.rule == rule)]


def forecasts(out: Sequence[Output], resource: str) -> list[Forecast]:
    return [o for o in out if isinstance(o, Forecast) and o.resource == resource]


def noise(seed: int, size: float) -> Iterator[float]:
    rng = np.random.default_rng(seed)
    while True:
        yield float(rng.normal(0, size))


def test_a_disk_that_fills_is_foretold_once_hours_before_and_resolved_after_cleaning_up() -> None:
    rough = noise(1, 0.2)

    def filling(at: float, hour: float) -> NodeMetricsRecord:
        percent = 20 + 0.8 * max(0.0, hour - 10) if hour < 90 else 30
        return scrape(at, filesystem=disk(percent + next(rough)))

    out = findings(told(100, filling), "node-disk-exhaustion")
    first, last = out[0], out[-1]
    full_at = START + (10 + 70 / 0.8) * HOUR
    assert first.state == "firing"
    assert first.severity is Severity.WARNING
    assert 6 * HOUR < full_at - first.at < 72 * HOUR
    assert first.expected_at == pytest.approx(full_at, abs=0.15 * (full_at - first.at))
    assert {finding.since for finding in out} == {first.at}
    assert [finding.state for finding in out].count("resolved") == 1
    assert last.state == "resolved"
    assert START + 90 * HOUR < last.at < START + 94 * HOUR
    names = [part.name for part in first.because]
    assert names[:3] == ["time_left", "limit", "growth_per_hour"]
    assert "second_opinion" in names
    assert first.object == ObjectRef("Node", "", "a")


def test_an_exhausted_disk_has_no_time_left_and_is_critical() -> None:
    out = told(70, lambda at, hour: scrape(at, filesystem=disk(min(95.0, 20 + 1.3 * hour))))
    last = forecasts(out, "disk")[-1]
    assert (last.p10, last.p50, last.p90) == (0.0, 0.0, 0.0)
    assert last.p_cross_24h == 1.0
    assert last.limit == pytest.approx(90 * GIB)
    assert findings(out, "node-disk-exhaustion")[-1].severity is Severity.CRITICAL


def test_a_grown_volume_is_no_step_and_what_was_foretold_is_taken_back() -> None:
    def volume(at: float, hour: float) -> NodeMetricsRecord:
        capacity = 10 * GIB if hour < 60 else 40 * GIB
        used = 0.1 * GIB * (hour + 20)
        claim = Filesystem(used=used, capacity=capacity, available=capacity - used)
        return scrape(at, volumes=(VolumeUsage("shop", "data", APP, claim),))

    out = told(66, volume)
    said = findings(out, "volume-exhaustion")
    assert said[0].state == "firing"
    assert said[-1].state == "resolved"
    assert said[-1].at > START + 60 * HOUR
    last = forecasts(out, "volume")[-1]
    left = (40 - 0.1 * (last.at - START) / HOUR - 2) / 0.1 * HOUR
    assert last.p50 == pytest.approx(left, rel=0.15)


def test_a_leaking_container_is_foretold_in_its_first_hours_and_by_its_lives_later() -> None:
    rough, life = noise(2, 2e6), 7.0

    def leak(at: float, hour: float) -> NodeMetricsRecord:
        age = hour % life
        used = GIB * (0.15 + 0.85 * age / life) + next(rough)
        usage = ContainerUsage(
            *("shop", "checkout-1", "main", APP, used),
            memory_limit=GIB,
            started_at=START + math.floor(hour / life) * life * HOUR,
        )
        return scrape(at, containers=(usage,))

    out = told(30, leak)
    said = findings(out, "container-memory-exhaustion")
    assert said[0].object == APP
    assert said[0].labels["container"] == "main"
    assert said[0].at < START + 5.5 * HOUR  # of seven
    later = [f for f in forecasts(out, "container-memory") if f.at > START + 22 * HOUR]
    errors = []
    for one in later:
        left = life * HOUR - (one.at - START) % (life * HOUR)
        if one.p50 is not None and left > HOUR:
            errors.append(abs(one.p50 / left - 1))
    assert len(errors) > 8
    assert np.median(errors) < 0.15


def test_two_containers_of_one_workload_are_one_finding_until_both_are_well() -> None:
    def leaks(at: float, hour: float) -> NodeMetricsRecord:
        usages = []
        for pod, onset in (("checkout-1", 0.0), ("checkout-2", 2.0)):
            used = GIB * (0.1 + 0.05 * max(0.0, hour - onset))
            used = 0.1 * GIB if hour > 14 + 4 * onset else used
            usages.append(ContainerUsage("shop", pod, "main", APP, used, memory_limit=GIB))
        return scrape(at, containers=tuple(usages))

    said = findings(told(40, leaks), "container-memory-exhaustion")
    assert said[0].state == "firing"
    assert [f.state for f in said].count("resolved") == 1
    assert said[-1].state == "resolved"
    assert said[-1].at > START + 22 * HOUR
    assert len({f.since for f in said if f.labels["pod"] == "checkout-1"}) == 1


def test_a_daily_rhythm_says_nothing_but_forecasts_and_points() -> None:
    rough = noise(3, 0.5)

    def calm(at: float, hour: float) -> NodeMetricsRecord:
        wave = math.sin(hour * 2 * math.pi / 24)
        return scrape(
            at,
            cpu=1.6 + 0.8 * wave,
            memory=GIB * (6 + 2 * wave),
            filesystem=disk(45 + 3 * wave + next(rough)),
            pods=60.0,
        )

    out = told(96, calm)
    assert not findings(out)
    dull = forecasts(out, "pods")
    assert 0 < len(dull) <= 96 / 6 + 1  # it heads nowhere: every six hours
    assert all(one.p50 is None for one in dull)


def test_a_fixed_threshold_must_hold_and_does_not_flap() -> None:
    shape = {0: 60.0, 1: 75.0, 2: 68.0, 3: 95.0, 4: 87.0, 5: 60.0}

    def cpu(at: float, hour: float) -> NodeMetricsRecord:
        blip = 99.0 if 0.4 < hour < 0.45 else 0.0  # one scrape
        return scrape(at, cpu=max(blip, shape[int(hour)]) / 100 * 4.0)

    said = findings(told(6, cpu), "node-cpu-high")
    assert [(f.state, f.severity.value) for f in said] == [
        ("firing", "warning"),
        ("firing", "critical"),
        ("resolved", "critical"),
    ]
    assert [round((f.at - START) / 60) for f in said] == [65, 185, 300]


def test_pod_slots_above_eighty_percent_are_said_and_a_rule_can_be_turned_off() -> None:
    def full(at: float, hour: float) -> NodeMetricsRecord:
        return scrape(at, pods=100.0, cpu=3.9)

    said = findings(told(1, full))
    assert {f.rule for f in said} == {"node-pods-high", "node-cpu-high"}
    assert {f.severity for f in said if f.rule == "node-pods-high"} == {Severity.WARNING}
    quiet = Growth(GrowthSettings(pods_warning=None, cpu_warning=None))
    assert not findings(told(1, full, quiet))


def test_a_node_that_is_no_longer_reported_ends_its_findings() -> None:
    operator = Growth(GrowthSettings())
    assert findings(told(1, lambda at, hour: scrape(at, cpu=3.9), operator))
    out: list[Output] = []
    for minute in range(0, 60, 5):
        out += operator.on_records([Tick(cluster="prod", at=START + HOUR + minute * 60.0)])
    (end,) = findings(out)
    assert (end.rule, end.state) == ("node-cpu-high", "resolved")
    assert "no longer reported" in end.summary


def test_images_that_are_collected_at_85_percent_foretell_nothing_and_a_failure_does() -> None:
    rng = np.random.default_rng(7)
    level = [70.0]

    def images(at: float, hour: float) -> NodeMetricsRecord:
        level[0] += float(rng.uniform(0, 0.2))
        if level[0] > 85 and hour < 120:
            level[0] = 80.0
        return scrape(at, filesystem=disk(40), image_filesystem=disk(min(level[0], 99), 50 * GIB))

    out = findings(told(130, images), "node-image-disk-exhaustion")
    assert out
    assert all(one.at > START + 120 * HOUR for one in out)


def test_points_come_once_a_minute_and_name_no_pod() -> None:
    operator = Growth(GrowthSettings())
    out: list[Output] = []
    usages = tuple(
        ContainerUsage("shop", f"checkout-{i}", "main", APP, i * GIB, memory_limit=4 * GIB)
        for i in (1, 2)
    )
    for second in range(0, 300, 15):
        out += operator.on_records([scrape(START + second, cpu=1.0, containers=usages)])
    points = [o for o in out if isinstance(o, Point)]
    assert [p.measurement for p in points].count("node") == 5
    container = next(p for p in points if p.measurement == "container")
    assert container.fields["memory_bytes"] == 2 * GIB
    assert dict(container.tags) == {
        "cluster": "prod",
        "namespace": "shop",
        "workload_kind": "Deployment",
        "workload": "checkout",
        "container": "main",
    }
    assert all(list(p.tags) == sorted(p.tags) for p in points)
