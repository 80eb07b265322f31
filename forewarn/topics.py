"""`forewarn topics`: what has to be there on Kafka, and what is.

`ensure` makes what is missing, for clusters where processes may not; `show` compares what is there
with what is wanted and changes nothing. Nobody's configuration is overwritten: a difference is
shown with the command that removes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from alerting import ledger
from alerting.delivery import APP as DELIVERY
from alerting.task import APP as ALERTING
from forewarn.buses import topics_of
from forewarn.config import Config
from forewarn.pipeline import APP
from stream.bus import TopicSpec
from stream.errors import Rejected
from stream.kafka_connection import Connection, TopicState
from stream.kafka_topics import POSITIONS, state_topic

# What a difference of would change the promises, or the disk.
_COMPARED: Final = (
    "cleanup.policy",
    "retention.ms",
    "min.insync.replicas",
    "max.message.bytes",
    "message.timestamp.after.max.ms",
)


class Wanted(NamedTuple):
    """A topic that forewarn uses."""

    spec: TopicSpec
    compacted: bool


class Line(NamedTuple):
    """What is said of one topic."""

    topic: str  # with its prefix, as Kafka knows it
    partitions: int
    replicas: int | None  # None: it is not there
    state: str  # "good", "created", "missing", or what is different


def wanted(config: Config) -> list[Wanted]:
    """Return every topic: records, changelogs, positions."""
    partitions = config.partitions
    records = {spec.name: spec for spec in (*topics_of(config), *ledger.specs(partitions))}
    compacted = [
        *(TopicSpec(state_topic(app), partitions, None) for app in (APP, ALERTING, DELIVERY)),
        TopicSpec(POSITIONS, 1, None),
    ]
    return [*(Wanted(s, False) for s in records.values()), *(Wanted(s, True) for s in compacted)]


async def topics(config: Config, *, ensure: bool) -> list[Line]:
    """Return a line per topic, after making those that are missing if `ensure`.

    Raises
    ------
    Rejected
        The bus is not Kafka, or a topic may not be made.
    Unavailable
        No broker answers.
    """
    if config.bus != "kafka":
        raise Rejected("topics are for `bus: kafka`; the embedded bus makes its own")
    connection = Connection(config.kafka)
    all_wanted = wanted(config)
    names = [each.spec.name for each in all_wanted]
    async with connection.admin() as admin:
        before = {each.name for each in await admin.describe(names)}
        if ensure:
            for compacted in (False, True):
                missing = [
                    each.spec
                    for each in all_wanted
                    if each.spec.name not in before and each.compacted is compacted
                ]
                if missing:
                    await admin.create(missing, compacted)
        found = {each.name: each for each in await admin.describe(names)}
        lines = []
        for each in all_wanted:
            is_there = found.get(each.spec.name)
            configs = admin.configs(each.spec, each.compacted)
            state = "missing" if is_there is None else "; ".join(_differences(is_there, each.spec))
            if is_there is not None:
                others = [
                    f"{key}={is_there.configs.get(key)}, wanted {configs[key]}"
                    for key in _COMPARED
                    if key in configs and is_there.configs.get(key) != configs[key]
                ]
                created = "created" if each.spec.name not in before else "good"
                state = "; ".join([*filter(None, [state]), *others]) or created
            replicas = None if is_there is None else is_there.replicas
            name = connection.named(each.spec.name)
            lines.append(Line(name, each.spec.partitions, replicas, state))
        return lines


def _differences(is_there: TopicState, spec: TopicSpec) -> Sequence[str]:
    if is_there.partitions == spec.partitions:
        return ()
    return (
        f"has {is_there.partitions} partitions, wanted {spec.partitions}: the number never changes",
    )
