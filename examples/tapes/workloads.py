"""What runs in the recorded cluster: six nodes, 14 Deployments, a StatefulSet and a DaemonSet.

Manifests only; what happens to them is `story.py`. Every container has a CPU request and a memory
limit, because a forecast against a limit needs one. Two durations are set to a few real seconds,
because real controllers act on them during a recording; `stretch.py` lengthens them with everything
else, and on the tape they read as minutes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from api import ApiServer, Document

NODES: dict[str, dict[str, str]] = {
    "node-1": {},
    "node-2": {},
    "node-3": {"storage": "fast"},
    "node-4": {"scratch": "large"},
    "node-5": {},
    "node-6": {"storage": "fast"},
}
NAMESPACES = ("shop", "payments", "data", "batch", "platform")
PROGRESS_DEADLINE = 8  # real seconds, 640 s on the tape (kubectl's default is 600)
TOLERATION = 5  # real seconds, 400 s on the tape (the admission default is 300)
GRACE = 1  # real second, 80 s on the tape (the default is 30)


@dataclass(frozen=True)
class Workload:
    """One Deployment, StatefulSet or DaemonSet of one container."""

    namespace: str
    name: str
    version: str
    replicas: int
    cpu: str
    memory: str  # the limit; the request is the same
    manager: str  # who applies it
    kind: str = "Deployment"
    probed: bool = False
    near: dict[str, str] = field(default_factory=dict)  # preferred node labels
    only: dict[str, str] = field(default_factory=dict)  # required node labels
    cause: str = ""

    @property
    def path(self) -> str:
        """The object's path in the API."""
        return f"/apis/apps/v1/namespaces/{self.namespace}/{self.kind.lower()}s/{self.name}"


ARGO = "argocd-controller"
PERSON = "kubectl"
HELM = "helm"

WORKLOADS = (
    Workload("shop", "frontend", "v118", 5, "400m", "384Mi", ARGO, probed=True),
    Workload("shop", "checkout", "v41", 4, "500m", "512Mi", ARGO, probed=True),
    Workload("shop", "cart", "v77", 3, "250m", "256Mi", ARGO, probed=True),
    Workload("shop", "search", "v9", 3, "750m", "1Gi", ARGO, probed=True),
    Workload("shop", "batcher", "v3", 1, "200m", "256Mi", PERSON),
    Workload("payments", "ledger", "v12", 3, "300m", "512Mi", ARGO),
    Workload("payments", "gateway", "v55", 3, "400m", "384Mi", ARGO, probed=True),
    Workload("payments", "fraud", "v8", 2, "1000m", "2Gi", ARGO),
    Workload("data", "ingest", "v21", 1, "500m", "768Mi", HELM, near={"scratch": "large"}),
    Workload("data", "cache", "7.4.1", 3, "200m", "1Gi", HELM),
    Workload("batch", "dispatcher", "v6", 1, "100m", "128Mi", HELM),
    Workload("platform", "canary", "v2", 2, "50m", "64Mi", PERSON),
    Workload("platform", "ticker", "v4", 1, "50m", "64Mi", PERSON),
    Workload("kube-system", "coredns", "v1.13.1", 2, "100m", "170Mi", PERSON, probed=True),
    Workload(
        "data", "postgres", "17.6", 2, "1000m", "4Gi", HELM, "StatefulSet", only={"storage": "fast"}
    ),
    Workload("kube-system", "node-agent", "v0.30", 0, "100m", "200Mi", HELM, "DaemonSet"),
)


def by_name(name: str) -> Workload:
    """Return the workload of that name."""
    return next(w for w in WORKLOADS if w.name == name)


def manifest(workload: Workload) -> Document:
    """Return the object to apply."""
    labels = {"app.kubernetes.io/name": workload.name}
    spec: Document = {
        "selector": {"matchLabels": labels},
        "template": _template(workload, labels),
    }
    if workload.kind == "Deployment":
        spec |= {"replicas": workload.replicas, "progressDeadlineSeconds": PROGRESS_DEADLINE}
    if workload.kind == "StatefulSet":
        spec |= {"replicas": workload.replicas, "serviceName": workload.name}
        spec["volumeClaimTemplates"] = [
            {
                "metadata": {"name": "data"},
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "storageClassName": "fast",
                    "resources": {"requests": {"storage": "50Gi"}},
                },
            }
        ]
    annotations = {"kubernetes.io/change-cause": workload.cause} if workload.cause else {}
    return {
        "apiVersion": "apps/v1",
        "kind": workload.kind,
        "metadata": {
            "name": workload.name,
            "namespace": workload.namespace,
            "labels": labels,
            **({"annotations": annotations} if annotations else {}),
        },
        "spec": spec,
    }


def _template(workload: Workload, labels: dict[str, str]) -> Document:
    container: Document = {
        "name": workload.name,
        "image": f"registry.example.com/{workload.namespace}/{workload.name}:{workload.version}",
        "resources": {
            "requests": {"cpu": workload.cpu, "memory": workload.memory},
            "limits": {"memory": workload.memory},
        },
    }
    if workload.probed:
        container["readinessProbe"] = {
            "httpGet": {"path": "/ready", "port": 8080},
            "periodSeconds": 5,
        }
    if workload.kind == "StatefulSet":
        container["volumeMounts"] = [{"name": "data", "mountPath": "/var/lib/data"}]
    pod: Document = {
        "containers": [container],
        "terminationGracePeriodSeconds": GRACE,
        "automountServiceAccountToken": False,
        "tolerations": _tolerations(workload),
    }
    if workload.only:
        pod["nodeSelector"] = workload.only
    if workload.near:
        pod["affinity"] = {"nodeAffinity": _preference(workload.near)}
    return {"metadata": {"labels": labels}, "spec": pod}


def _tolerations(workload: Workload) -> list[Document]:
    if workload.kind == "DaemonSet":
        return [{"operator": "Exists"}]
    return [
        {
            "key": f"node.kubernetes.io/{trouble}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": TOLERATION,
        }
        for trouble in ("not-ready", "unreachable")
    ]


def _preference(labels: dict[str, str]) -> Document:
    matches = [{"key": key, "operator": "In", "values": [value]} for key, value in labels.items()]
    term = {"weight": 100, "preference": {"matchExpressions": matches}}
    return {"preferredDuringSchedulingIgnoredDuringExecution": [term]}


def job(name: str) -> Document:
    """One run of batch/report, named as its CronJob would name it."""
    labels = {"app.kubernetes.io/name": "report"}
    container = {
        "name": "report",
        "image": "registry.example.com/batch/report:v14",
        "resources": {
            "requests": {"cpu": "500m", "memory": "512Mi"},
            "limits": {"memory": "512Mi"},
        },
    }
    pod = {
        "restartPolicy": "Never",
        "containers": [container],
        "terminationGracePeriodSeconds": GRACE,
        "automountServiceAccountToken": False,
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": "batch", "labels": labels},
        "spec": {"backoffLimit": 2, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }


def autoscaler() -> Document:
    """Return an autoscaler that never gets metrics; its complaints are nobody's emergency."""
    target = {"type": "Utilization", "averageUtilization": 70}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "search", "namespace": "shop"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "search"},
            "minReplicas": 3,
            "maxReplicas": 6,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        },
    }


async def set_up(api: ApiServer) -> None:
    """Create namespaces, volumes and workloads."""
    for namespace in NAMESPACES:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        await api.call("POST", "/api/v1/namespaces", body)
    for ordinal in range(by_name("postgres").replicas):
        await api.call("POST", "/api/v1/persistentvolumes", _volume(ordinal))
    for workload in WORKLOADS:
        await api.apply(workload.path, manifest(workload), workload.manager)
    path = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers"
    await api.call("POST", path, autoscaler(), manager=PERSON)
    for name in ("web", "api"):
        await api.call(
            "POST", "/apis/networking.k8s.io/v1/namespaces/shop/ingresses", _ingress(name)
        )


def _ingress(name: str) -> Document:
    backend = {"service": {"name": name, "port": {"number": 80}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"ingressClassName": "public", "defaultBackend": backend},
    }


def _volume(ordinal: int) -> Document:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"pv-postgres-{ordinal}"},
        "spec": {
            "capacity": {"storage": "50Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "fast",
            "hostPath": {"path": f"/mnt/fast/{ordinal}"},
            "claimRef": {"namespace": "data", "name": f"data-postgres-{ordinal}"},
        },
    }
