"""Changes of workloads: releases, scalings, configuration, and rollouts that do not finish."""

from __future__ import annotations

from dataclasses import dataclass

_MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class ChangeSettings:
    """When a change is worth a word."""

    stuck_after: float | None = 10 * _MINUTE
    """`rollout-stuck` after so many seconds without progress, Kubernetes' default; None: off."""
    images_kept: int = 10
    """Revisions whose images are remembered, to recognise a rollback."""
