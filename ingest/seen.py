"""What one cluster has shown so far: the memory that joins one object's fact with another's.

Pods seen give an Event its workload and a sample its limits; ReplicaSets seen give a pod its
Deployment; nodes seen give a sample its allocatable. Entries are keyed by uid, and pods by name
too, for those who name a pod without its uid.

Guaranteed: bounded (`capacity` pods, the longest unobserved go first), and what was DELETED is
still known for `GRACE` seconds of event time, because its last Events come after it. Left to
others: the roll-up rules themselves (`ingest.owners`).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

import msgspec

from stream.records import Allocatable, Container, ObjectRef

GRACE: Final = 600.0  # seconds; Events about a killed pod are batched by the kubelet for minutes
CAPACITY: Final = 200_000  # pods; some 300 MB with two containers each, twice the largest clusters


class PodSeen(msgspec.Struct, gc=False):
    """What is remembered of a pod."""

    uid: str
    namespace: str
    name: str
    workload: ObjectRef
    node: str = ""
    containers: tuple[Container, ...] = ()
    deleted: bool = False
    version: str = ""
    phase: str = ""
    created_at: float = 0.0

    def container(self, name: str) -> Container | None:
        """Return the container of this name as last seen."""
        for container in self.containers:
            if container.name == name:
                return container
        return None


class Seen:
    """The memory of one cluster.

    Parameters
    ----------
    capacity
        Most pods, and most ReplicaSets, to remember.
    grace
        Seconds of event time that a deleted object is remembered.
    """

    def __init__(self, *, capacity: int = CAPACITY, grace: float = GRACE) -> None:
        self._capacity = capacity
        self._grace = grace
        self._pods: OrderedDict[str, PodSeen] = OrderedDict()
        self._names: dict[tuple[str, str], PodSeen] = {}
        self._replicasets: OrderedDict[str, ObjectRef] = OrderedDict()
        self._doomed: deque[tuple[float, str]] = deque()  # (event time, uid), in order of deletion
        self._nodes: dict[str, tuple[Allocatable, Allocatable]] = {}

    def __len__(self) -> int:
        return len(self._pods)

    def pod(self, uid: str, namespace: str = "", name: str = "") -> PodSeen | None:
        """Return the pod by its uid or, where that is not known, by its name."""
        return self._pods.get(uid) or self._names.get((namespace, name))

    def owned_pod(self, uid: str) -> PodSeen | None:
        """Return the pod of exactly this uid."""
        return self._pods.get(uid)

    def saw_pod(self, pod: PodSeen, at: float) -> None:
        """Remember a pod, or that it was deleted."""
        self._pods[pod.uid] = pod
        self._pods.move_to_end(pod.uid)
        self._names[pod.namespace, pod.name] = pod
        if pod.deleted:
            self._doomed.append((at + self._grace, pod.uid))
        if len(self._pods) > self._capacity:
            self._forget(next(iter(self._pods)))

    def replicaset(self, uid: str) -> ObjectRef | None:
        """Return the root owner of a ReplicaSet that was seen."""
        return self._replicasets.get(uid)

    def saw_replicaset(self, uid: str, root: ObjectRef, at: float, *, deleted: bool) -> None:
        """Remember whose a ReplicaSet is."""
        self._replicasets[uid] = root
        if deleted:
            self._doomed.append((at + self._grace, uid))
        if len(self._replicasets) > self._capacity:
            self._replicasets.popitem(last=False)

    def node(self, name: str) -> tuple[Allocatable, Allocatable] | None:
        """Return allocatable and capacity of a node that was seen."""
        return self._nodes.get(name)

    def saw_node(
        self, name: str, allocatable: Allocatable, capacity: Allocatable, *, deleted: bool
    ) -> None:
        """Remember a node's size, or forget it: samples of a deleted node are its last."""
        if deleted:
            self._nodes.pop(name, None)
        else:
            self._nodes[name] = (allocatable, capacity)

    def expire(self, at: float) -> None:
        """Forget what was deleted more than the grace before `at`. Almost always free."""
        while self._doomed and self._doomed[0][0] <= at:
            _, uid = self._doomed.popleft()
            self._replicasets.pop(uid, None)
            pod = self._pods.get(uid)
            if pod is not None and pod.deleted:
                self._forget(uid)

    def _forget(self, uid: str) -> None:
        pod = self._pods.pop(uid)
        name = (pod.namespace, pod.name)
        if self._names.get(name) is pod:  # a StatefulSet's next pod has the same name
            del self._names[name]
