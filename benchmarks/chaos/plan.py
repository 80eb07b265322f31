"""What a chaos run is made of: the same for generator, workers, verifier and harness.

Every record has a dense id: number i is sight ``i // PODS + 1`` of pod ``i % PODS``. The operator
says for each record how often it has seen the pod, so what it says of a pod must be 1, 2, 3, …:
a hole is a loss, a repeat is a duplicate, in the state or in the outputs.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from stream.kafka_settings import KafkaSettings
from stream.operators.base import Operator
from stream.runtime import Pace
from stream.topics import partition_of
from tests.stream.toy import Toy

PODS: Final = 200
PARTITIONS: Final = 4
TICK: Final = 100  # records between two ticks; also how the generator cuts its batches
POISON: Final = 700  # one record in so many is none
APP: Final = "chaos"
# Snapshots often, so that kills meet them too.
PACE: Final = Pace(commit_seconds=0.2, snapshot_records=1_500)


@dataclass(frozen=True)
class Place:
    """Where a run takes place; goes to the child processes as words."""

    address: str
    prefix: str
    session: float

    def words(self) -> list[str]:
        return [self.address, self.prefix, str(self.session)]

    def settings(self) -> KafkaSettings:
        return KafkaSettings(
            bootstrap=(self.address,),
            prefix=self.prefix,
            replication_factor=1,
            min_insync_replicas=1,
            session_timeout=self.session,
            transaction_timeout=max(5.0, 2 * self.session),
        )


def place_of(words: Sequence[str]) -> tuple[Place, list[str]]:
    """Read what `Place.words` wrote; return the rest beside it."""
    address, prefix, session, *rest = words
    return Place(address, prefix, float(session)), rest


def pod(i: int) -> str:
    return f"pod-{i % PODS}"


def partition(name: str) -> int:
    return partition_of(name.encode(), PARTITIONS)


def at(i: int) -> float:
    """Event time: a pod is seen every 0.2 s, far more often than the operator forgets."""
    return 1_000.0 + i / 1_000


def operators() -> Sequence[Operator]:
    return [Toy()]


def arguments() -> tuple[Place, list[str]]:
    return place_of(sys.argv[1:])
