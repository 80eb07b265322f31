"""Kubernetes Events: from a flood of lines to the few that are new, persistent and severe."""

from __future__ import annotations

from dataclasses import dataclass

_MINUTE = 60.0
_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class EventSettings:
    """When a group of events is worth a word."""

    threshold: float | None = 1.0
    """`event-anomaly` from this evidence score; None turns the rule off."""
    hold: float = 2 * _HOUR
    """Seconds without a new candidate after which a group is over."""
    noise_every: float = 30 * _MINUTE
    """Seconds of event time between two `event-noise` accounts."""
