"""What the bus says about itself to Prometheus: lag, transactions, restores.

A scrape waits for nothing, but where a log ends must be asked: `watched` asks now and then, beside
everything else, and the collector says what was heard last. What is not known now is not said,
because an old lag would calm or alarm for no reason. Left to others: what tasks do with records
(`forewarn.stage_metrics`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from forewarn.families import counter, gauge
from stream.bus import Abort, Bus, Lag
from stream.clock import Clock
from stream.errors import ForewarnError
from stream.kafka import KafkaBus

_LOOK: Final = 10.0  # seconds between two looks; a scrape comes every 15 to 60
_log = logging.getLogger(__name__)


class BusCollector(Collector):
    """The numbers of one bus, as this process sees it."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._lags: Sequence[Lag] = ()

    async def look(self) -> None:
        """Ask the bus how far this process is behind."""
        try:
            self._lags = await self._bus.lag()
        except ForewarnError as error:
            self._lags = ()
            _log.debug("lag=unknown error=%r", str(error))

    def collect(self) -> Iterator[Metric]:
        """Yield every metric as of the last look."""
        places = {(lag.group, lag.topic, str(lag.partition)): lag for lag in self._lags}
        names = ["group", "topic", "partition"]
        about = "Offsets between where a group or a task reads and the end of what is committed."
        lags = {key: lag.records for key, lag in places.items()}
        yield gauge("consumer_lag_records", about, names, lags)
        counters = self._bus.counters
        about = "Transactions committed."
        yield counter("transactions", about, [], {(): counters.transactions})
        about = "Transactions that failed, by reason."
        aborts = {(reason.value,): counters.aborts[reason] for reason in Abort}
        yield counter("txn_aborts", about, ["reason"], aborts)
        about = "Times that a group has said which tasks are ours."
        yield counter("rebalances", about, [], {(): counters.rebalances})
        if isinstance(self._bus, KafkaBus):
            about = "How long an open transaction has held back the end of what can be read."
            held = {(lag.topic, str(lag.partition)): lag.held_seconds for lag in self._lags}
            yield gauge("lso_lag_seconds", about, ["topic", "partition"], held)
            yield from _restores(self._bus)


def _restores(bus: KafkaBus) -> Iterator[Metric]:
    known = bus.counters
    about = "Producers replaced before their sequence numbers run out."
    yield counter("kafka_retired", about, [], {(): known.retired})
    about = "Transactions whose end the broker had lost, ended as they were decided."
    yield counter("kafka_settled", about, [], {(): known.settled})
    about = "Tasks that read their state now."
    yield gauge("kafka_restoring", about, [], {(): known.restoring})
    about = "Share of the changelogs that were to be read which is read; 1 when no task restores."
    ratio = known.restored / known.to_restore if known.restoring and known.to_restore else 1.0
    yield gauge("state_restore_progress_ratio", about, [], {(): min(ratio, 1.0)})


@asynccontextmanager
async def watched(bus: Bus, clock: Clock, registry: CollectorRegistry) -> AsyncIterator[None]:
    """Show the bus' numbers in `registry` for the time of the block."""
    collector = BusCollector(bus)

    async def look() -> None:
        while True:
            await collector.look()
            await clock.sleep_until(clock.now() + _LOOK)

    looking = asyncio.create_task(look(), name="lag")
    registry.register(collector)
    try:
        yield
    finally:
        registry.unregister(collector)
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking
