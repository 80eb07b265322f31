"""Restarts of containers: from pod records to bursts, crash loops and kills for want of memory."""

from __future__ import annotations

from dataclasses import dataclass

_MINUTE = 60.0
_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class RestartSettings:
    """When restarts are worth a word; every rule can be turned off by None."""

    alert_score: float | None = 5.0
    """`restart-burst` from this −log10 of the chance that the usual rate does it by itself."""
    oom_alert_score: float = 4.0
    """The same when every counted restart was an OOM kill: memory does not come back by luck."""
    min_restarts: int = 3
    """A burst has at least so many restarts; 2 when they are OOM kills."""
    quiet: float = 10 * _MINUTE
    """Seconds without a restart and with pods ready after which a burst is over."""
    count_threshold: int | None = 3
    """`restart-count` from so many counted restarts of one workload in `count_window`."""
    count_window: float = _HOUR
    """Seconds; also the mute: the rule says it again only after a window without it."""
    ignore_exit_code_zero: bool = True
    """A container that ended with exit code 0 did what it was asked: kept, not counted."""
    crash_loop_after: float | None = 15 * _MINUTE
    """`crash-loop` after so many seconds in CrashLoopBackOff (kubernetes-mixin's figure)."""
    image_pull_after: float | None = 5 * _MINUTE
    """`image-pull` after so many seconds in ImagePullBackOff or ErrImagePull."""
    pending_after: float | None = 10 * _MINUTE
    """`pod-pending` after so many seconds that no node took the pod."""
    oom_threshold: int | None = 2
    """`oom-kill` fires from so many OOM kills of one workload in `oom_window`."""
    oom_window: float = 24 * _HOUR
    """Seconds."""
    share_score: float | None = 4.0
    """`namespace-restart-share` from this −log10 chance under the namespace's own history."""
    grace: float = 10 * _MINUTE
    """Seconds that a deleted pod is remembered, so that a late record does not revive it."""
