"""Whose is it? Rolls a pod, a ReplicaSet or a Job up to the root owner that people know.

Rules, the first that fits:

- ReplicaSet → its owner as seen; else, where its name ends in the pod-template hash, the Deployment
  (or Argo Rollout) before it; else the ReplicaSet itself.
- Job → the CronJob, where the name ends in a CronJob's scheduled minute; else the Job.
- Node (static, mirror pods) → the Pod named without the node's name, equal on all nodes.
- Any other controller (StatefulSet, DaemonSet, custom resources) → that controller.
- No controller → the pod itself.

A pod's root is decided when it is first seen and then kept, so its records never change partition.
Guaranteed: pure functions of the object and of `ingest.seen.Seen`. Left to others: memory.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from ingest.objects import Metadata, OwnerReference, Reference
from ingest.seen import Seen
from stream.records import ObjectRef

TEMPLATE_HASH: Final = "pod-template-hash"
ROLLOUT_HASH: Final = "rollouts-pod-template-hash"  # Argo Rollouts
REVISION_HASH: Final = "controller-revision-hash"  # StatefulSet, DaemonSet

# k8s.io/apimachinery/pkg/util/rand: no vowels, no look-alikes; so few words look like a hash.
_SAFE: Final = "[bcdfghjklmnpqrstvwxz2456789]"
_OF_REPLICASET: Final = re.compile(rf"(.+)-{_SAFE}{{6,10}}-{_SAFE}{{5}}")
_REPLICASET: Final = re.compile(rf"(.+)-{_SAFE}{{6,10}}")
# The scheduled time in minutes (8 digits until 2160), in seconds with controllers before 1.21.
_OF_CRONJOB: Final = re.compile(r"(.+)-(?:[0-9]{8}|[0-9]{10})")


def root_of_pod(metadata: Metadata, seen: Seen) -> ObjectRef:
    """Return the root owner of a pod."""
    owner = controller_of(metadata.owner_references)
    namespace = metadata.namespace
    if owner is None:
        return ObjectRef("Pod", namespace, metadata.name)
    if owner.kind == "ReplicaSet":
        return seen.replicaset(owner.uid) or _by_hash(owner.name, namespace, metadata.labels or {})
    if owner.kind == "Job":
        return _of_job(owner.name, namespace)
    if owner.kind == "Node":
        return ObjectRef("Pod", namespace, metadata.name.removesuffix(f"-{owner.name}"))
    return ObjectRef(owner.kind, namespace, owner.name)


def root_of_replicaset(metadata: Metadata) -> ObjectRef:
    """Return the owner of a ReplicaSet, itself where it has none."""
    owner = controller_of(metadata.owner_references)
    if owner is None:
        return ObjectRef("ReplicaSet", metadata.namespace, metadata.name)
    return ObjectRef(owner.kind, metadata.namespace, owner.name)


def root_of_reference(reference: Reference, seen: Seen, node: str = "") -> ObjectRef:
    """Return the root owner of what an Event or a sample is about.

    It may come before its pod does; then a name in the form that the ReplicaSet controller gives
    (``checkout-7d4b9c6f5-x2x7q``), or a static pod's (``etcd-node-1``), is enough.

    Parameters
    ----------
    node
        Where it is, if that is known.
    """
    kind, namespace, name = reference.kind, reference.namespace, reference.name
    if kind == "Pod":
        pod = seen.pod(reference.uid, namespace, name)
        if pod is not None:
            return pod.workload
        match = _OF_REPLICASET.fullmatch(name)
        if match:
            return ObjectRef("Deployment", namespace, match[1])
        return ObjectRef("Pod", namespace, name.removesuffix(f"-{node}") if node else name)
    if kind == "ReplicaSet":
        root = seen.replicaset(reference.uid)
        if root is not None:
            return root
        match = _REPLICASET.fullmatch(name)
        return ObjectRef("Deployment", namespace, match[1]) if match else _ref(reference)
    if kind == "Job":
        return _of_job(name, namespace)
    return _ref(reference)


def controller_of(owners: Sequence[OwnerReference] | None) -> OwnerReference | None:
    """Return the owner that controls, else the first that is named."""
    if not owners:
        return None
    for owner in owners:
        if owner.controller:
            return owner
    return owners[0]


def generation_of(labels: Mapping[str, str]) -> str:
    """Return the hash of a pod's template: it changes with a release."""
    return labels.get(TEMPLATE_HASH) or labels.get(REVISION_HASH) or labels.get(ROLLOUT_HASH) or ""


def _by_hash(replicaset: str, namespace: str, labels: Mapping[str, str]) -> ObjectRef:
    for label, kind in ((ROLLOUT_HASH, "Rollout"), (TEMPLATE_HASH, "Deployment")):
        suffix = labels.get(label)
        if suffix and replicaset.endswith(f"-{suffix}"):
            return ObjectRef(kind, namespace, replicaset[: -len(suffix) - 1])
    return ObjectRef("ReplicaSet", namespace, replicaset)


def _of_job(job: str, namespace: str) -> ObjectRef:
    match = _OF_CRONJOB.fullmatch(job)
    if match:
        return ObjectRef("CronJob", namespace, match[1])
    return ObjectRef("Job", namespace, job)


def _ref(reference: Reference) -> ObjectRef:
    return ObjectRef(reference.kind, reference.namespace, reference.name)
