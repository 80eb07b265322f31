"""Topic names, keys and the partitioning rule: the part of the wire that never changes quietly.

A key names the root owner (``cluster/namespace/kind/name``) or the node, so that a pod, its events
and its changes meet in one task. Outputs that are joined per cluster are keyed by the cluster.
"""

from __future__ import annotations

import zlib
from typing import Final

from stream.bus import TopicSpec
from stream.records import ObjectRef

PODS: Final = "pods"
EVENTS: Final = "events"
NODE_METRICS: Final = "node-metrics"
DEPLOYMENTS: Final = "deployments"
INPUTS: Final = (PODS, EVENTS, NODE_METRICS, DEPLOYMENTS)

FINDINGS: Final = "findings"
FORECASTS: Final = "forecasts"
TS: Final = "ts"
INCIDENTS: Final = "incidents"
NOTIFICATIONS: Final = "notifications"  # what is to be sent: the outbox that delivery reads
SUPPRESSED: Final = "suppressed"  # what was not sent, and why
DELIVERIES: Final = "deliveries"  # what became of each message: the ledger
DEAD_LETTERS: Final = "dlq"

_DAY: Final = 86_400.0
RETENTION: Final[dict[str, float]] = {
    # Inputs must outlive the distance between two snapshots (minutes); a day serves `explain`.
    **dict.fromkeys(INPUTS, 2 * _DAY),
    FINDINGS: 30 * _DAY,
    FORECASTS: 30 * _DAY,
    TS: 14 * _DAY,
    INCIDENTS: 365 * _DAY,
    NOTIFICATIONS: 30 * _DAY,
    SUPPRESSED: 30 * _DAY,
    DELIVERIES: 30 * _DAY,
    DEAD_LETTERS: 30 * _DAY,
}


def specs(partitions: int) -> tuple[TopicSpec, ...]:
    """Return every topic, all with the same number of partitions (task p owns partition p)."""
    return tuple(TopicSpec(name, partitions, keep) for name, keep in RETENTION.items())


def key_of(cluster: str, ref: ObjectRef) -> bytes:
    """Return the message key of a record about `ref`."""
    return f"{cluster}/{ref.namespace}/{ref.kind}/{ref.name}".encode()


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of `key`: CRC-32 modulo, the same on every machine and in every run."""
    return zlib.crc32(key) % partitions
