"""Opens the bus that the configuration names; the only place that chooses between its kinds.

Guaranteed: what it yields keeps the contract of `stream.bus`, and is closed with the block. Left to
others: what runs on it (`forewarn.pipeline`), which topics there are (`topics_of`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from forewarn.config import Config
from stream.bus import Bus, TopicSpec
from stream.embedded import EmbeddedBus
from stream.embedded_store import Synchronous
from stream.kafka import KafkaBus
from stream.topics import specs

SYNCHRONOUS: Final[Mapping[str, Synchronous]] = {"full": "FULL", "normal": "NORMAL"}


@asynccontextmanager
async def open_bus(config: Config) -> AsyncIterator[Bus]:
    """Open the configured bus for the time of a ``with`` block; topics are not made yet.

    Raises
    ------
    Unavailable
        It cannot be reached or opened now.
    Corrupt
        It is damaged, or none of ours.
    """
    if config.bus == "kafka":
        async with KafkaBus.open(config.kafka) as kafka:
            yield kafka
        return
    path = config.store.path.expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    async with EmbeddedBus.open(path, synchronous=SYNCHRONOUS[config.store.synchronous]) as bus:
        yield bus


def topics_of(config: Config) -> Sequence[TopicSpec]:
    """Return every topic as configured: partitions and retention."""
    keep = config.store.retention.by_topic()
    return [spec._replace(retention=keep[spec.name]) for spec in specs(config.partitions)]
