"""Prints a v1 List of fake nodes for KWOK to play.

usage: nodes.py COUNT | kubelite kubectl apply -f -

KWOK fills conditions, addresses and nodeInfo. The annotation of the metrics path is what leads
metrics-server to KWOK.
"""

from __future__ import annotations

import json
import sys


def node(number: int) -> dict[str, object]:
    """Return one Node."""
    name = f"kwok-node-{number}"
    size = {"cpu": "8", "memory": "32Gi", "pods": "110", "ephemeral-storage": "100Gi"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "type": "kwok",
                "kubernetes.io/hostname": name,
                "topology.kubernetes.io/zone": f"zone-{number % 3}",
            },
            "annotations": {
                "kwok.x-k8s.io/node": "fake",
                "metrics.k8s.io/resource-metrics-path": f"/metrics/nodes/{name}/metrics/resource",
            },
        },
        "status": {"allocatable": size, "capacity": size},
    }


if __name__ == "__main__":
    items = [node(number) for number in range(int(sys.argv[1]))]
    json.dump({"apiVersion": "v1", "kind": "List", "items": items}, sys.stdout)
