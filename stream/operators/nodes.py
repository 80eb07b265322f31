"""Node objects: readiness, pressure, taints, drains and deletions, with event-time timers."""

from __future__ import annotations

from dataclasses import dataclass

_MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """When a node's state is worth a word; every rule can be turned off by None."""

    not_ready_after: float | None = 60.0
    """`node-not-ready` after so many seconds of Ready False or Unknown."""
    pressure_after: float | None = 0.0
    """`node-pressure` after so many seconds of memory, disk or PID pressure."""
    taint_after: float | None = 5 * _MINUTE
    """`node-taint` after so many seconds; a cordon's and Kubernetes' own taints do not count."""
    flapping_transitions: int | None = 3
    """`node-ready-flapping` from so many changes of Ready within `flapping_window`."""
    flapping_window: float = 15 * _MINUTE
    """Seconds."""
