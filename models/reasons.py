"""What is known of Events before any is seen: how grave a category is, and which belong together.

The table is knowledge of Kubernetes, not learned: the one thing that tells a harmless oddity from
the first sign of an outage. Categories are those of the taxonomy in `stream.records.EventRecord`;
an Event without one (a custom operator's) gets the middle. Gravity is 0 (harmless) to 1 (pods
cannot run). Pure and constant time.

References
----------
[1] Kubernetes source, pkg/kubelet/events/event.go and pkg/controller: the reasons and when they
    are recorded.
[2] kube-eventer, core/events: the taxonomy's older half.
"""

from __future__ import annotations

from typing import Final

# family → (gravity, categories)
_FAMILIES: Final[dict[str, tuple[float, tuple[str, ...]]]] = {
    "memory": (0.8, ("PodOOM", "NodeOOM")),
    "image": (0.8, ("ImagePull",)),
    "crash": (0.7, ("CrashLoop", "ContainerStart", "ContainerHook")),
    "config": (0.8, ("ContainerConfig",)),
    "probe": (0.4, ("ProbeFailed",)),
    "scheduling": (0.7, ("PodUnschedulable", "PodPreempted", "PodRejected")),
    "eviction": (0.7, ("PodEvicted", "NodeEviction")),
    "network": (1.0, ("PodSandbox", "PodNetwork")),
    "sync": (0.4, ("PodSync", "PodStop")),
    "volume": (0.8, ("VolumeMount", "VolumeResize", "VolumeProvision")),
    "node": (
        1.0,
        (
            "NodeNotReady", "NodeDiskPressure", "NodeMemoryPressure", "NodePIDPressure",
            "NodePLEG", "NodeDisk", "NodeKernel", "NodeRuntime", "NodeKubelet", "NodeConntrack",
        ),
    ),
    "node-life": (0.2, ("NodeCordon", "NodeReboot", "NodeRemoved", "NodeGC", "NodeClock")),
    "create": (0.9, ("WorkloadCreate", "RolloutStuck")),
    "autoscaling": (0.5, ("Autoscaling",)),
    "job": (0.4, ("JobFailed",)),
}  # fmt: skip
_OF: Final = {
    category: (family, gravity)
    for family, (gravity, categories) in _FAMILIES.items()
    for category in categories
}
_UNKNOWN: Final = 0.5


def family_of(category: str, reason: str) -> str:
    """Return the family of an Event; one without a category is its own family.

    Examples
    --------
    >>> family_of("VolumeMount", "FailedMount"), family_of("", "CertificateIssueFailed")
    ('volume', 'CertificateIssueFailed')
    """
    return _OF[category][0] if category in _OF else category or reason


def gravity_of(category: str) -> float:
    """Return how grave a category is, 0 to 1."""
    return _OF[category][1] if category in _OF else _UNKNOWN


# Normal events that say that something goes on, and the families that they clear.
PROGRESS: Final[dict[str, frozenset[str]]] = {
    "Scheduled": frozenset({"scheduling"}),
    "Pulled": frozenset({"image"}),
    "Started": frozenset({"image", "config", "network", "volume", "scheduling"}),
    "SuccessfulAttachVolume": frozenset({"volume"}),
    "SuccessfulCreate": frozenset({"create"}),
    "NodeReady": frozenset({"node"}),
    "RemovingNode": frozenset({"node", "node-life", "eviction"}),
    "SuccessfulRescale": frozenset({"autoscaling"}),
}
