"""The fixed rules beside the burst model: what Kubernetes itself calls trouble, with a timer.

`crash-loop`, `image-pull` and `pod-pending` last; `restart-count` and `oom-kill` happen. Each is
one episode a workload, whichever of its pods shows it, because one notice a workload is what a
person needs. The names kubernetes-mixin gives to the same things go into the label ``alertname``,
so that a silence for one source can be written for both.

Left to others: timers' state (`stream.operators.episode`), sending (`alerting`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from stream.operators.bounds import Count, Score, Seconds
from stream.operators.conclude import span
from stream.operators.pods import CRASH_LOOP, IMAGE_PULL, Pod
from stream.records import Part, Severity

_MINUTE = 60.0
_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class RestartSettings:
    """When restarts are worth a word; every rule can be turned off by None."""

    alert_score: Score | None = 6.8
    """`restart-burst` from this −log10 of the chance that the usual rate does it by itself."""
    oom_alert_score: Score = 3.0
    """The same when every counted restart was an OOM kill: memory does not come back by luck."""
    min_restarts: Count = 3
    """A burst has at least so many restarts; 2 when they are OOM kills."""
    quiet: Seconds = 10 * _MINUTE
    """Seconds without a restart and with pods ready after which a burst is over."""
    startup: Seconds = 10 * _MINUTE
    """Seconds of a new release's pod in which restarts wait for a verdict; 0: they do not."""
    startup_restarts: Count = 3
    """So many of them are ordinary; from one more all count."""
    unknown_startup_restarts: Count = 5
    """So many are as long as fewer than `startup_pods` of the workload were seen to start."""
    startup_pods: Count = 20
    """Pods seen to start until their habit is known: one more needs more in 1 of 20 cases."""
    rollout: Seconds = _HOUR
    """Seconds after a release's first pod in which its pods are called new."""
    count_threshold: Count | None = 3
    """`restart-count` from so many counted restarts in `count_window`; severity info."""
    count_window: Seconds = _HOUR
    """Seconds, twelve hours at most; also the mute before the rule is said again."""
    ignore_exit_code_zero: bool = True
    """A container that ended with exit code 0 did what it was asked: told, not counted."""
    crash_loop_after: Seconds | None = 15 * _MINUTE
    """`crash-loop` after so many seconds in CrashLoopBackOff (kubernetes-mixin's figure)."""
    image_pull_after: Seconds | None = 5 * _MINUTE
    """`image-pull` after so many seconds in ImagePullBackOff or ErrImagePull."""
    pending_after: Seconds | None = 10 * _MINUTE
    """`pod-pending` after so many seconds that no node took the pod."""
    oom_threshold: Count | None = 2
    """`oom-kill` fires from so many OOM kills of one workload in `oom_window`."""
    oom_window: Seconds = 24 * _HOUR
    """Seconds."""
    share_score: Score | None = 4.0
    """`namespace-restart-share` from this −log10 chance under the namespace's own history."""
    share_pods: Count = 3
    """It takes so many restarting pods, of `share_workloads` workloads."""
    share_workloads: Count = 2
    """See above: one workload's trouble is that workload's burst."""
    grace: Seconds = 10 * _MINUTE
    """Seconds that a deleted pod is remembered, so that a late record does not revive it."""
    idle: Seconds = 14 * 24 * _HOUR
    """Seconds without a pod after which a workload is forgotten; two days for Jobs and pods."""


def timers(settings: RestartSettings) -> dict[str, tuple[float, float]]:
    """Return the rules that are on: how long each must last, and must be gone to be over."""
    on = {
        # The state disappears for seconds at each attempt: max_over_time(…[5m]) in the mixin.
        "crash-loop": (settings.crash_loop_after, 5 * _MINUTE),
        "image-pull": (settings.image_pull_after, _MINUTE),
        "pod-pending": (settings.pending_after, _MINUTE),
        "restart-count": (_zero(settings.count_threshold), settings.count_window),
        "oom-kill": (_zero(settings.oom_threshold), settings.oom_window),
    }
    return {rule: (after, keep) for rule, (after, keep) in on.items() if after is not None}


def _zero(threshold: int | None) -> float | None:
    return None if threshold is None else 0.0


def standing(pods: Iterable[Pod]) -> dict[str, Pod | None]:
    """Return the lasting rules with the first pod that shows each, or None."""
    found: dict[str, Pod | None] = {"crash-loop": None, "image-pull": None, "pod-pending": None}
    for pod in pods:
        if not pod.alive:
            continue
        if pod.waiting in CRASH_LOOP:
            found["crash-loop"] = found["crash-loop"] or pod
        elif pod.waiting in IMAGE_PULL:
            found["image-pull"] = found["image-pull"] or pod
        if pod.unscheduled:
            found["pod-pending"] = found["pod-pending"] or pod
    return found


_ALERTNAME: Final = {
    "crash-loop": "KubePodCrashLooping",
    "image-pull": "KubeContainerWaiting",
    "pod-pending": "KubePodNotReady",
}
Words = tuple[Severity, str, tuple[Part, ...], dict[str, str]]


def words(rule: str, what: str, pod: Pod | None, lasted: float, count: int) -> Words:
    """Return severity, summary, reasons and labels of a fixed rule that fires on `what`."""
    labels = {"alertname": _ALERTNAME.get(rule, "")}
    if pod is not None:
        labels |= {"pod": pod.name, "node": pod.node, "generation": pod.generation}
    since = Part("lasted", lasted, f"for {span(lasted)}")
    match rule:
        case "crash-loop":
            labels["reason"] = "CrashLoopBackOff"
            return Severity.CRITICAL, f"{what} is in a crash loop", (since,), labels
        case "image-pull":
            image = pod.waiting_image if pod else ""
            labels |= {"reason": pod.waiting if pod else "", "image": image}
            return Severity.WARNING, f"{what} cannot pull {image or 'its image'}", (since,), labels
        case "pod-pending":
            why = pod.unscheduled_why if pod else ""
            labels["reason"] = pod.unscheduled if pod else ""
            parts = (since, Part("scheduler", why, why)) if why else (since,)
            return Severity.WARNING, f"no node takes a pod of {what}", parts, labels
        case "oom-kill":
            part = Part("count", float(count), f"{count} OOM kills in a day")
            labels["reason"] = "OOMKilled"
            return Severity.WARNING, f"{what} runs out of memory again and again", (part,), labels
        case _:
            part = Part("count", float(count), f"{count} restarts")
            return Severity.INFO, f"{what} restarted {count} times", (part,), labels
