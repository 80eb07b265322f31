"""All of ingest's settings in one frozen value: the configuration's ``ingest:`` block.

Each part's dataclass lives beside the code that it steers, with units and reasons; this file only
groups them. Left to others: reading YAML and saying what is wrong in it (`forewarn.config`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ingest.audit import AuditSettings
from ingest.buffer import BufferSettings
from ingest.cluster import ClusterSettings
from ingest.kubelet import KubeletSettings
from ingest.lease import LeaseSettings
from ingest.logs import LogSettings
from ingest.reflect import ReflectSettings
from ingest.resources import Also
from ingest.scope import ScopeSettings
from ingest.workloads import WorkloadSettings


@dataclass(frozen=True, slots=True)
class IngestSettings:
    """Which clusters are watched, and how."""

    clusters: tuple[ClusterSettings, ...] = ()
    """Clusters to watch, each with a name of its own; none: the one that kubeconfig or service
    account lead to, under the name in `cluster`."""
    scope: ScopeSettings = field(default_factory=ScopeSettings)
    """Which namespaces and objects are looked at."""
    also: tuple[Also, ...] = ()
    """Kinds that are watched beside the rest, as changes that can be a cause; each needs a right of
    its own (``deploy/kubernetes/rbac-also.yaml``). Of a ConfigMap only a hash is kept."""
    kubelet: KubeletSettings = field(default_factory=KubeletSettings)
    """Where samples of nodes, volumes and containers come from."""
    workloads: WorkloadSettings = field(default_factory=WorkloadSettings)
    """Which changes of Deployments, StatefulSets and DaemonSets are noise."""
    logs: LogSettings = field(default_factory=LogSettings)
    """What is kept as evidence of a restart, beside how the container ended."""
    audit: AuditSettings = field(default_factory=AuditSettings)
    """Whether audit events of the API server are listened for: they name who changed a workload."""
    lease: LeaseSettings = field(default_factory=LeaseSettings)
    """Which of several replicas works."""
    watch: ReflectSettings = field(default_factory=ReflectSettings)
    """How lists and watches are made."""
    buffer: BufferSettings = field(default_factory=BufferSettings)
    """How much may wait for the bus."""

    def __post_init__(self) -> None:
        """Refuse two clusters of one name: their records would be taken for each other's."""
        names = [each.name for each in self.clusters]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"clusters need names of their own, {twice[0]!r} is there twice")

    def named(self, cluster: str) -> IngestSettings:
        """Return these settings with at least one cluster: where there is none, `cluster`."""
        return self if self.clusters else replace(self, clusters=(ClusterSettings(cluster),))
