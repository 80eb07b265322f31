"""Our metrics and the rules about them: as Prometheus' own tool reads them, and as they are.

Leaves out what a rule means over time, but for the ones that must fire when InfluxDB is away.
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from alerting.testing import CHECKOUT
from forewarn.bus_metrics import BusCollector
from forewarn.config import load
from forewarn.families import process_registry
from forewarn.figures import Outputs, SinkCollector
from forewarn.follow import Follower
from forewarn.judged import Judged
from forewarn.metrics import FollowerCollector, sources
from forewarn.pipeline import Pipeline
from forewarn.stage_metrics import StageCollector
from ingest.health import Status
from stream.clock import SystemClock
from stream.embedded import EmbeddedBus
from stream.records import DeadLetter, Finding, Forecast, ObjectRef, Point, Severity
from stream.sinks.base import Trouble
from stream.sinks.drain import Drain
from stream.sinks.encode import Refusal
from stream.topics import DEAD_LETTERS, FINDINGS, FORECASTS, TS
from tests.conftest import ROOT, missing

ON_KAFKA = {"forewarn_lso_lag_seconds"}  # shown by tests/kafka/test_lag.py
RULES = ROOT / "deploy" / "prometheus" / "rules.yaml"


@pytest.fixture(scope="session")
def promtool() -> str:
    """Prometheus' own checker, as `make components` has cached it."""
    ensure = ROOT / "deploy" / "prometheus" / "ensure.sh"
    found = subprocess.run(
        ["bash", str(ensure), "--where"], capture_output=True, text=True, check=False
    )
    if found.returncode:
        missing("promtool", "run `make components`")
    return found.stdout.strip()


class Nowhere:
    """A server that is never asked."""

    async def write(self, lines: Any) -> None: ...

    async def aclose(self) -> None: ...


def forecast(at: float, value: float, resource: str = "disk") -> Forecast:
    return Forecast(
        cluster="c",
        object=ObjectRef("Node", "", "n1"),
        resource=resource,
        at=at,
        value=value,
        limit=100.0,
        unit="bytes",
        horizons=(3600.0, 7200.0),
        mean=(60.0, 70.0),
        lower=(40.0, 40.0),
        upper=(80.0, 90.0),
    )


def scores(*values: float, every: float = 3600.0, resource: str = "disk") -> dict[str, float]:
    judged = Judged()
    for i, value in enumerate(values):
        judged.take(forecast(every * i, value, resource))
    return {
        sample.name.removeprefix("forewarn_"): sample.value
        for family in judged.collect()
        for sample in family.samples
    }


def test_forecasts_are_held_against_what_came_at_the_time_they_spoke_of() -> None:
    found = scores(50.0, 50.0, 90.0, 65.0)
    assert found["forecasts_judged_total"] == 3
    assert found["forecast_coverage_ratio"] == pytest.approx(2 / 3)
    assert found["forecast_mae_ratio"] == pytest.approx((0.1 + 0.3 + 0.05) / 3)


def test_what_comes_too_late_judges_nothing() -> None:
    assert scores(50.0, 50.0, every=21_600.0) == {}
    assert scores(50.0, 50.0, 50.0, every=1_800.0)["forecasts_judged_total"] == 1


def test_a_container_that_was_restarted_is_not_held_to_what_was_said_of_its_life_before() -> None:
    assert scores(60.0, 10.0, resource="container-memory") == {}
    assert scores(60.0, 50.0, resource="container-memory")["forecasts_judged_total"] == 1
    assert scores(60.0, 10.0)["forecast_coverage_ratio"] == 0.0, "a disk that was freed is a miss"


class Watches(Collector):
    """What a live cluster would be known by."""

    def collect(self) -> Iterator[Metric]:
        status = Status("c", "pods", listed_at=1.0, heard_at=1.0)
        status.lists.observe(1.0)
        status.counts["restart:expired"] += 1
        yield from sources([status])


@pytest.fixture
async def exposition() -> bytes:
    """All metrics of a process that has seen one of everything."""
    outputs, config = Outputs(), load(None)
    outputs.apply(TS, Point("node", (), {"pods": 1.0}, 0.0))
    outputs.apply(DEAD_LETTERS, DeadLetter(at=0.0, place="x", error="y"))
    finding = Finding(
        id="f",
        rule="oom-kill",
        state="firing",
        at=0.0,
        cluster="c",
        object=CHECKOUT,
        severity=Severity.CRITICAL,
        summary="s",
        since=0.0,
    )
    outputs.apply(FINDINGS, finding)
    for i in range(3):
        outputs.apply(FORECASTS, forecast(3600.0 * i, 50.0))
    clock = SystemClock()
    async with EmbeddedBus.open(None) as bus, Pipeline.open(bus, config, clock) as pipeline:
        drain = Drain(bus, 1, Nowhere(), clock)
        drain.tally.refused[Refusal.SERVER] += 1
        drain.tally.troubles[Trouble.BUSY] += 1
        drain.tally.written_at = 0.0
        drain.encoder.folded["node"] += 1
        pipeline.deliveries[0].outcomes["terminal", "failed"] += 1
        await pipeline.drain()
        transport = BusCollector(bus)
        await transport.look()
        registry = process_registry(
            *(outputs, SinkCollector(drain), FollowerCollector(Follower(config, clock)), Watches()),
            *(transport, StageCollector(pipeline.stages, clock.now)),
        )
        return generate_latest(registry)


def test_promtool_finds_nothing_to_say_about_our_metrics(exposition: bytes, promtool: str) -> None:
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=exposition, capture_output=True, check=False
    )
    assert checked.stdout + checked.stderr == b""
    assert checked.returncode == 0


def test_promtool_accepts_the_rules(promtool: str) -> None:
    checked = subprocess.run(
        [promtool, "check", "rules", "--lint=all", "--lint-fatal", str(RULES)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def rules() -> list[dict[str, Any]]:
    groups: Any = yaml.safe_load(RULES.read_text())
    return [rule for group in groups["groups"] for rule in group["rules"]]


def test_rules_name_only_metrics_that_are_exported(exposition: bytes) -> None:
    exported = set(re.findall(r"^(\w+)", exposition.decode(), re.MULTILINE)) | ON_KAFKA
    for rule in rules():
        named = set(re.findall(r"\bforewarn_\w+", rule["expr"]))
        assert named <= exported, rule["alert"]
        assert named or rule["alert"] in ("ForewarnWatchdog", "ForewarnDown")


def test_there_are_at_least_twelve_rules_one_of_which_always_fires() -> None:
    assert len(rules()) >= 12
    assert [rule["expr"] for rule in rules() if rule["alert"] == "ForewarnWatchdog"] == [
        "vector(1)"
    ]
    for rule in rules():
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in ("none", "warning", "critical")


def test_the_rules_fire_when_influxdb_is_away_and_not_before(promtool: str, tmp_path: Path) -> None:
    case = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": 'forewarn_influx_up{job="forewarn"}', "values": "1x9 0x20"},
                    {"series": 'up{job="forewarn"}', "values": "1x30"},
                ],
                "alert_rule_test": [
                    {"alertname": "ForewarnInfluxUnavailable", "eval_time": "12m"},
                    {
                        "alertname": "ForewarnInfluxUnavailable",
                        "eval_time": "16m",
                        "exp_alerts": [{"exp_labels": {"severity": "warning", "job": "forewarn"}}],
                    },
                    {"alertname": "ForewarnDown", "eval_time": "30m"},
                ],
            },
            {
                "interval": "1m",
                "input_series": [{"series": 'up{job="forewarn"}', "values": "0x30"}],
                "alert_rule_test": [
                    {
                        "alertname": "ForewarnDown",
                        "eval_time": "10m",
                        "exp_alerts": [{"exp_labels": {"severity": "critical"}}],
                    }
                ],
            },
        ],
    }
    for test in case["tests"]:
        for expectation in test["alert_rule_test"]:
            for alert in expectation.get("exp_alerts", ()):
                (rule,) = [r for r in rules() if r["alert"] == expectation["alertname"]]
                alert["exp_annotations"] = rule["annotations"]
    path = tmp_path / "case.yaml"
    path.write_text(yaml.safe_dump(case))
    ran = subprocess.run(
        [promtool, "test", "rules", str(path)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
