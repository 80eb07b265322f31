"""What ingest must be allowed to do, by its settings: the one list behind manifests and doctor.

RBAC's words: verb, resource with its subresource, API group. `deploy/kubernetes` grants exactly
what `rights` names (a test compares), and `forewarn doctor` asks the API server for each of them.
Nothing is ever written but the Lease.
"""

from __future__ import annotations

from typing import NamedTuple

from ingest.resources import NAMESPACES, watched
from ingest.settings import IngestSettings


class Right(NamedTuple):
    """One verb on one resource."""

    verb: str
    group: str  # "" for the core
    resource: str  # with its subresource: "pods/log"
    namespace: str  # "" for the whole cluster
    why: str
    needed: bool = True  # whether there is no way without it

    def __str__(self) -> str:
        name = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.verb} {name}" + (f" in {self.namespace}" if self.namespace else "")


def rights(settings: IngestSettings, *, leads: bool = True) -> list[Right]:
    """Return all that these settings need in one cluster, lists and watches first.

    Parameters
    ----------
    leads
        Whether it is the first cluster, which keeps the Lease.
    """
    scope, kubelet = settings.scope, settings.kubelet
    places = scope.include if scope.namespaced else ("",)
    found = [
        Right(verb, each.group, each.name, place, f"to see {each.name}")
        for place in places
        for each in (NAMESPACES, *watched(settings.also))
        if each.namespaced or not scope.namespaced
        for verb in ("list", "watch")
    ]
    if not scope.namespaced:
        if kubelet.source in ("auto", "summary"):
            needed = kubelet.source == "summary"
            found.append(Right("get", "", "nodes/stats", "", "for samples of kubelets", needed))
        if kubelet.source == "proxy":
            found.append(Right("get", "", "nodes/proxy", "", "for samples through the API server"))
        if kubelet.source in ("auto", "metrics"):
            needed = kubelet.source == "metrics"
            found += [
                Right("list", "metrics.k8s.io", which, "", "for samples without disk", needed)
                for which in ("nodes", "pods")
            ]
    if settings.logs.tail:
        found += [
            Right("get", "", "pods/log", place, "for last words of containers", False)
            for place in places
        ]
    if settings.lease.elect and leads:
        found += [
            Right(verb, "coordination.k8s.io", "leases", settings.lease.namespace, "for the lease")
            for verb in ("get", "create", "update")
        ]
    return found
