"""What is watched in a cluster: names, paths, kinds, and in which order the first lists are read.

Owners come before what they own, so that a pod's Deployment is known when the pod is listed.
``namespaces`` give no facts; they only tell `ingest.scope` which of them opt out. `OPTIONAL` are
watched where the settings ask for them (`watched`), for each needs a further right.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Literal, NamedTuple, TypeAlias


class Resource(NamedTuple):
    """One kind of object as the API server serves it."""

    name: str  # plural, as in the path and in RBAC
    kind: str
    group: str  # "" for the core
    stage: int  # lists of a stage wait for those before it
    namespaced: bool = True
    selected: bool = False  # the scope's label selector applies
    version: str = "v1"  # of the API

    def path(self, namespace: str = "") -> str:
        """Return the path of the whole collection, or of one namespace's."""
        root = f"/{'apis' if self.group else 'api'}/{self.api_version}"
        return f"{root}/namespaces/{namespace}/{self.name}" if namespace else f"{root}/{self.name}"

    @property
    def rbac(self) -> str:
        """As RBAC and kubectl name it: "pods", "replicasets.apps"."""
        return f"{self.name}.{self.group}" if self.group else self.name

    @property
    def api_version(self) -> str:
        """As objects carry it."""
        return f"{self.group}/{self.version}" if self.group else self.version


NAMESPACES: Final = Resource("namespaces", "Namespace", "", 0, namespaced=False)
RESOURCES: Final = (
    Resource("nodes", "Node", "", 1, namespaced=False),
    Resource("deployments", "Deployment", "apps", 1, selected=True),
    Resource("statefulsets", "StatefulSet", "apps", 1, selected=True),
    Resource("daemonsets", "DaemonSet", "apps", 1, selected=True),
    Resource("replicasets", "ReplicaSet", "apps", 1, selected=True),
    Resource("pods", "Pod", "", 2, selected=True),
    Resource("events", "Event", "", 3),
)
Also: TypeAlias = Literal["horizontalpodautoscalers", "persistentvolumeclaims", "configmaps"]
OPTIONAL: Final = (
    # Before the workloads, which say how far they are scaled.
    Resource("horizontalpodautoscalers", "HorizontalPodAutoscaler", "autoscaling", 0, version="v2"),
    # Behind the workloads, whose templates name them.
    Resource("persistentvolumeclaims", "PersistentVolumeClaim", "", 3),
    Resource("configmaps", "ConfigMap", "", 3),
)


def watched(also: Collection[Also]) -> tuple[Resource, ...]:
    """Return what gives facts, with the optional ones that are named."""
    return (*RESOURCES, *(each for each in OPTIONAL if each.name in also))
