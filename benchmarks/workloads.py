"""Seeded input for the benchmarks: a busy cluster's watch lines and samples, as raw JSON.

The same seed gives the same bytes. Lines are made from a few realistic objects with fields filled
in, so making them is fast and what is timed is forewarn. Real recorded objects are in
`examples/tapes`; this is for sizes that no recording has.
"""

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

START = 1_760_000_000.0  # Unix seconds of the first line


def stamp(at: float) -> str:
    """Kubernetes' own form of a time."""
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


NODES = 50
PODS = 2000  # 40 on each node
SAMPLED = 10  # of them in a node's summary
CRASHING = 7  # the pod that restarts


def pod_name(number: int) -> str:
    """Name of pod `number`, of the Deployment ``app-…``."""
    return f"app-{number % 200}-6d5f7c8b9-{(number * 7919) % 0xFFFFF:05x}"


def pod_uid(number: int) -> str:
    """Its uid."""
    return f"{number:08x}-0000-4000-8000-{number:012d}"


def pod(number: int, at: float, *, restarts: int = 0, version: int = 1) -> dict[str, Any]:
    """One running pod of a Deployment as the API server shows it, some 4 KB."""
    workload = f"app-{number % 200}"
    namespace = f"team-{number % 20}"
    labels = {"app.kubernetes.io/name": workload, "pod-template-hash": "6d5f7c8b9"}
    owner = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": f"{workload}-6d5f7c8b9",
        "uid": f"rs-{workload}",
        "controller": True,
        "blockOwnerDeletion": True,
    }
    state: dict[str, Any] = {"running": {"startedAt": stamp(at - 60)}}
    last: dict[str, Any] = {}
    if restarts:
        last = {
            "terminated": {
                "exitCode": 1,
                "reason": "Error",
                "startedAt": stamp(at - 200),
                "finishedAt": stamp(at - 61),
                "containerID": "containerd://" + "ab" * 32,
            }
        }
    conditions = [
        {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": stamp(START)}
        for kind in (
            "PodReadyToStartContainers",
            "Initialized",
            "Ready",
            "ContainersReady",
            "PodScheduled",
        )
    ]
    container = {
        "name": "main",
        "image": f"registry.example/{workload}:v41",
        "args": ["--listen=:8080", "--log=json"],
        "env": [{"name": f"SETTING_{i}", "value": "x" * 20} for i in range(12)],
        "resources": {
            "limits": {"cpu": "500m", "memory": "512Mi"},
            "requests": {"cpu": "100m", "memory": "256Mi"},
        },
        "volumeMounts": [
            {
                "name": "kube-api-access",
                "readOnly": True,
                "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
            }
        ],
        "livenessProbe": {
            "httpGet": {"path": "/livez", "port": 8080, "scheme": "HTTP"},
            "periodSeconds": 10,
        },
        "terminationMessagePath": "/dev/termination-log",
        "imagePullPolicy": "IfNotPresent",
    }
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "name": pod_name(number),
            "generateName": f"{workload}-6d5f7c8b9-",
            "namespace": namespace,
            "uid": pod_uid(number),
            "resourceVersion": str(1_000_000 + version),
            "creationTimestamp": stamp(START - 86_400),
            "labels": labels,
            "ownerReferences": [owner],
            "managedFields": [
                {
                    "manager": "kubelet",
                    "operation": "Update",
                    "apiVersion": "v1",
                    "time": stamp(at),
                    "fieldsType": "FieldsV1",
                    "subresource": "status",
                    "fieldsV1": {"f:status": {f"f:{i}": {} for i in range(20)}},
                }
            ],
        },
        "spec": {
            "containers": [container],
            "nodeName": f"node-{number % NODES}",
            "restartPolicy": "Always",
            "serviceAccountName": "default",
            "schedulerName": "default-scheduler",
            "tolerations": [
                {
                    "key": "node.kubernetes.io/not-ready",
                    "operator": "Exists",
                    "effect": "NoExecute",
                    "tolerationSeconds": 300,
                }
            ],
        },
        "status": {
            "phase": "Running",
            "conditions": conditions,
            "hostIP": "192.0.2.10",
            "podIP": "198.51.100.20",
            "startTime": stamp(START - 86_400),
            "containerStatuses": [
                {
                    "name": "main",
                    "state": state,
                    "lastState": last,
                    "ready": True,
                    "restartCount": restarts,
                    "image": container["image"],
                    "imageID": "registry.example/x@sha256:" + "cd" * 32,
                    "containerID": "containerd://" + "ef" * 32,
                    "started": True,
                }
            ],
            "qosClass": "Burstable",
        },
    }


def event(number: int, at: float, rng: random.Random, pods: int = PODS) -> dict[str, Any]:
    """One core/v1 Event; one in five is a warning, as in a cluster with a few chronic troubles."""
    workload = f"app-{number % 200}"
    namespace = f"team-{number % 20}"
    warning = rng.random() < 0.2
    reason, message = (
        rng.choice(
            (
                ("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503"),
                ("BackOff", "Back-off restarting failed container main in pod"),
                (
                    "FailedMount",
                    'MountVolume.SetUp failed for volume "config" : configmap "x" not found',
                ),
            )
        )
        if warning
        else rng.choice(
            (
                ("Scheduled", "Successfully assigned"),
                ("Pulled", 'Container image "registry.example/app:v41" already present on machine'),
                ("Started", "Started container main"),
            )
        )
    )
    return {
        "kind": "Event",
        "apiVersion": "v1",
        "metadata": {
            "name": f"{workload}.{number:x}",
            "namespace": namespace,
            "uid": f"event-{number}",
            "resourceVersion": str(5_000_000 + number),
            "creationTimestamp": stamp(at),
        },
        "involvedObject": {
            "kind": "Pod",
            "namespace": namespace,
            "name": pod_name(number % pods),
            "uid": pod_uid(number % pods),
            "apiVersion": "v1",
            "resourceVersion": "1",
            "fieldPath": "spec.containers{main}",
        },
        "reason": reason,
        "message": message,
        "source": {"component": "kubelet", "host": f"node-{number % NODES}"},
        "firstTimestamp": stamp(at),
        "lastTimestamp": stamp(at),
        "count": 1 + (number % 3 if warning else 0),
        "type": "Warning" if warning else "Normal",
        "eventTime": None,
        "reportingComponent": "kubelet",
        "reportingInstance": f"node-{number % NODES}",
    }


def summary(node: int, at: float, rng: random.Random, containers: int = SAMPLED) -> dict[str, Any]:
    """One kubelet /stats/summary document with `containers` pods on the node."""
    time = stamp(at)
    rise = (at - START) / 86_400

    def files(used: float, capacity: float) -> dict[str, Any]:
        return {
            "time": time,
            "usedBytes": int(used),
            "capacityBytes": int(capacity),
            "availableBytes": int(capacity - used),
            "inodes": 6_000_000,
            "inodesUsed": 500_000,
            "inodesFree": 5_500_000,
        }

    pods = [
        {
            "podRef": {
                "name": pod_name(number),
                "namespace": f"team-{number % 20}",
                "uid": pod_uid(number),
            },
            "startTime": stamp(START - 86_400),
            "containers": [
                {
                    "name": "main",
                    "startTime": stamp(START - 86_400),
                    "cpu": {"time": time, "usageNanoCores": rng.randrange(10**7, 10**8)},
                    "memory": {"time": time, "workingSetBytes": rng.randrange(10**8, 2 * 10**8)},
                }
            ],
        }
        for number in range(node, node + NODES * containers, NODES)
    ]
    return {
        "node": {
            "nodeName": f"node-{node}",
            "cpu": {"time": time, "usageNanoCores": rng.randrange(10**9, 3 * 10**9)},
            "memory": {
                "time": time,
                "workingSetBytes": rng.randrange(8 * 2**30, 9 * 2**30),
                "availableBytes": 20 * 2**30,
                "usageBytes": 12 * 2**30,
            },
            "fs": files((40 + 20 * rise) * 2**30, 100 * 2**30),
            "runtime": {"imageFs": files(30 * 2**30, 100 * 2**30)},
            "rlimit": {"time": time, "maxpid": 4_194_304, "curproc": 900},
        },
        "pods": pods,
    }


def line(at: float, resource: str, kind: str, obj: dict[str, Any], **more: str) -> bytes:
    """One tape line."""
    return json.dumps(
        {"at": at, "cluster": "bench", "resource": resource, "type": kind, **more, "object": obj},
        separators=(",", ":"),
    ).encode()


def busy_cluster(lines: int, seed: int = 1, pods: int = PODS) -> Iterator[bytes]:
    """Yield `lines` tape lines: the pods' list, then six in ten events, three pods, one summary.

    Event time moves 20 ms a line (50 lines a second: a cluster of some 20,000 pods). One pod
    restarts every half minute, so that there is something to find.
    """
    rng = random.Random(seed)
    listed = min(pods, lines // 5)
    restarts = 0
    for number in range(lines):
        at = START + number * 0.02
        share = rng.random()
        if number < listed:
            yield line(at, "pods", "LIST", pod(number, START))
        elif number % 1500 == 0:
            restarts += 1
            yield line(at, "pods", "MODIFIED", pod(CRASHING, at, restarts=restarts, version=number))
        elif share < 0.6:
            yield line(at, "events", "ADDED", event(number, at, rng, pods))
        elif share < 0.9:
            which = rng.randrange(CRASHING + 1, pods)
            yield line(at, "pods", "MODIFIED", pod(which, at, version=number))
        else:
            which = rng.randrange(NODES)
            yield line(at, "summary", "SAMPLE", summary(which, at, rng), node=f"node-{which}")


def write_tape(path: Path, lines: int, seed: int = 1, pods: int = PODS) -> int:
    """Write a plain tape of `lines` lines; return its size in bytes."""
    with path.open("wb") as tape:
        for text in busy_cluster(lines, seed, pods):
            tape.write(text + b"\n")
    return path.stat().st_size
