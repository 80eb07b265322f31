"""Other people's consumers read what forewarn writes: the examples, run as they stand."""

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from alerting.alert import Incident, State
from alerting.wire import decode, outgoing
from stream.bus import Outgoing
from stream.kafka import KafkaBus
from stream.kafka_settings import KafkaSettings
from stream.records import ObjectRef, Severity
from stream.topics import INCIDENTS, specs
from tests.kafka_broker import Broker

pytestmark = pytest.mark.kafka
PREFIX = "consumers."
INCIDENT = Incident(
    id="i1",
    cluster="prod",
    rule="restart-burst",
    object=ObjectRef("Deployment", "shop", "checkout"),
    severity=Severity.CRITICAL,
    state=State.FIRING,
    opened_at=1_700_000_000.0,
    updated_at=1_700_000_060.0,
    summary="checkout restarts in a burst",
)


@pytest.fixture
async def told(kafka: Broker) -> AsyncIterator[Outgoing]:
    settings = KafkaSettings(
        bootstrap=(kafka.address,), prefix=PREFIX, replication_factor=1, min_insync_replicas=1
    )
    message = outgoing(INCIDENT, 1)
    async with KafkaBus.open(settings) as bus:
        await bus.ensure([each._replace(retention=None) for each in specs(1)])
        await bus.publish([message])
        await bus.settled(INCIDENTS)
        yield message


def test_a_consumer_in_plain_aiokafka(kafka: Broker, told: Outgoing, root: Path) -> None:
    script = root / "examples" / "consumers" / "incidents.py"
    words = ["--bootstrap", kafka.address, "--prefix", PREFIX, "--count", "1"]
    run = subprocess.run(
        [sys.executable, script, *words], capture_output=True, text=True, timeout=60, check=True
    )
    assert "firing" in run.stdout
    assert "checkout restarts" in run.stdout


def test_the_java_console_consumer(kafka: Broker, told: Outgoing) -> None:
    said = kafka.java(
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        *("--topic", f"{PREFIX}incidents", "--from-beginning", "--max-messages", "1"),
        *("--isolation-level", "read_committed", "--timeout-ms", "20000"),
        *("--formatter-property", "print.headers=true"),
    )
    headers, _, value = said.strip().rpartition("\t")
    assert "ce_type:dev.forewarn.incident.v1" in headers
    assert "ce_specversion:1.0" in headers
    assert decode(INCIDENTS, value.encode()) == decode(INCIDENTS, told.value)
