"""Which topics there are: made where they are missing, known by their number of partitions.

Nothing is made by the broker on first use. What forewarn needs besides its records' topics, it
makes itself where it may: the changelog of an application, and the positions of sources, both
compacted. Where it may not, somebody runs `forewarn topics ensure` once, who may.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from stream.bus import Outgoing, Part, TopicSpec
from stream.errors import Corrupt, Rejected
from stream.kafka_connection import Admin

POSITIONS: Final = "positions"  # of what sources have published; one partition


def state_topic(app: str) -> str:
    """Return the name of an application's changelog topic."""
    return f"{app}-state"


class Topics:
    """The topics of one prefix, as the brokers have them; a number of partitions never changes."""

    def __init__(self, admin: Admin) -> None:
        self._admin = admin
        self._counts: dict[str, int] = {}
        self.ensured: dict[str, TopicSpec] = {}

    async def ensure(self, topics: Sequence[TopicSpec]) -> None:
        """Create what is missing; what is there keeps its configuration.

        Raises
        ------
        Corrupt
            A topic exists with another number of partitions.
        """
        found = await self._admin.partitions([spec.name for spec in topics])
        for name, partitions, _ in topics:
            if found.get(name, partitions) != partitions:
                raise Corrupt(
                    f"topic {name!r} has {found[name]} partitions, {partitions} are asked for: "
                    "keep the old number, or use another prefix"
                )
        if missing := [spec for spec in topics if spec.name not in found]:
            await self._admin.create(missing)
        self.ensured |= {spec.name: spec for spec in topics}
        self._counts |= {spec.name: spec.partitions for spec in topics}

    async def ensure_state(self, app: str, partitions: int) -> None:
        """Create the changelog topic of `app`.

        Raises
        ------
        Corrupt
            It exists with fewer partitions: the state belongs to another number of tasks.
        """
        name = state_topic(app)
        found = await self.count(name)
        if found is None:
            await self._admin.create([TopicSpec(name, partitions, None)], compacted=True)
            found = self._counts[name] = partitions
        if found < partitions:
            raise Corrupt(
                f"the state of {app!r} is that of {found} tasks, now there are {partitions}: set "
                "the old number of partitions, or use a new application name or prefix and "
                "rebuild from the inputs"
            )

    async def ensure_positions(self) -> None:
        """Create the topic of positions."""
        if await self.count(POSITIONS) is None:
            await self._admin.create([TopicSpec(POSITIONS, 1, None)], compacted=True)
            self._counts[POSITIONS] = 1

    async def count(self, topic: str) -> int | None:
        """Return the number of partitions of `topic`, or None where there is none."""
        if topic not in self._counts:
            self._counts |= await self._admin.partitions([topic])
        return self._counts.get(topic)

    async def parts(self, topic: str) -> list[Part]:
        """Return the partitions of `topic`.

        Raises
        ------
        Rejected
            There is no such topic.
        """
        count = await self.count(topic)
        if count is None:
            raise Rejected(f"topic {topic!r} does not exist: create it with `ensure`")
        return [(topic, partition) for partition in range(count)]

    async def part(self, topic: str, partition: int) -> Part:
        """Return one partition of `topic`; raises `Rejected` where there is none."""
        parts = await self.parts(topic)
        if not 0 <= partition < len(parts):
            raise Rejected(
                f"topic {topic!r} has {len(parts)} partitions, none numbered {partition}"
            )
        return parts[partition]

    async def check(self, messages: Iterable[Outgoing]) -> None:
        """Raise `Rejected` for a message to nowhere."""
        for topic, partition in {(message.topic, message.partition) for message in messages}:
            await self.part(topic, partition)
