"""The intake as configured: what every source of facts is fed into, a tape or a live cluster."""

from __future__ import annotations

from collections.abc import Callable

from forewarn.config import Config
from ingest.existing import Existing
from ingest.intake import Intake
from ingest.normalise import Normaliser
from ingest.publish import Publisher
from stream.records import AnyInput


def intake(
    config: Config,
    observe: Callable[[AnyInput], None] = lambda record: None,
    existing: Existing | None = None,
) -> Intake:
    """Return a fresh intake for a source of facts; `observe` is shown every record."""
    publisher = Publisher(config.partitions, tick_seconds=config.tick_seconds)
    settings = config.ingest
    normaliser = Normaliser(
        ignore=frozenset(settings.workloads.ignore), events=settings.logs.events
    )
    return Intake(normaliser, publisher, observe, existing)
