"""Masked templates beside drain3: do messages of one kind get one template, and how fast.

    python -m benchmarks.score_templates

drain3 is no dependency of ours; with it, in an environment of its own:

    python -m venv DIR && DIR/bin/pip install drain3==0.9.11 numpy==2.4.6
    PYTHONPATH=. DIR/bin/python -m benchmarks.score_templates

Messages are made from the formats of the kubelet, the scheduler and the controllers, with names,
addresses, sizes and times as a cluster gives them. *Grouping accuracy* is the share of messages
whose group is exactly the group of its format (Zhu et al., Tools and Benchmarks for Automated Log
Parsing, ICSE-SEIP 2019). drain3 has its defaults and, beside them, its usual masks.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence

from models.templates import template_of

COUNT = 50_000
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # of Kubernetes' random suffixes
_WORDS = ("checkout", "cart", "search", "ledger", "mail", "auth", "feed", "billing", "stock")

# {p} pod, {d} deployment, {n} node, {i} image, {a} address, {s} size, {c} count, {t} time,
# {v} volume, {w} namespace, {u} uid
FORMATS = (
    'Back-off pulling image "{i}"',
    "Back-off restarting failed container {d} in pod {p}_{w}({u})",
    'Failed to pull image "{i}": rpc error: code = NotFound desc = failed to pull and unpack image',
    "Error: ErrImagePull",
    "Error: ImagePullBackOff",
    "Liveness probe failed: HTTP probe failed with statuscode: {c}",
    "Readiness probe failed: HTTP probe failed with statuscode: {c}",
    'Readiness probe failed: Get "http://{a}:{c}/healthz": dial tcp {a}:{c}: connect: refused',
    'Liveness probe failed: Get "http://{a}:{c}/": context deadline exceeded',
    "Container {d} failed liveness probe, will be restarted",
    "{c}/{c} nodes are available: {c} Insufficient cpu.",
    "{c}/{c} nodes are available: {c} Insufficient memory, {c} node(s) had untolerated taint.",
    'MountVolume.SetUp failed for volume "{v}" : configmap "{d}" not found',
    'MountVolume.SetUp failed for volume "{v}" : secret "{d}" not found',
    'AttachVolume.Attach failed for volume "pvc-{u}" : volume is attached to {n}',
    "Unable to attach or mount volumes: unmounted volumes=[{v}], unattached volumes=[{v}]",
    'Failed to create pod sandbox: rpc error: plugin type="calico" failed (add): no addresses',
    "The node was low on resource: memory. Threshold quantity: {s}, available: {s}.",
    "The node was low on resource: ephemeral-storage. Threshold quantity: {s}, available: {s}.",
    "Node {n} status is now: NodeNotReady",
    "Memory cgroup out of memory: Killed process {c} ({d})",
    "System OOM encountered, victim process: {d}, pid: {c}",
    'Error creating: pods "{p}" is forbidden: exceeded quota: compute, requested: cpu={c}',
    "Failed to garbage collect required amount of images. Attempted to free {c} bytes, only {c}",
    "failed to get cpu utilization: unable to get metrics for resource cpu: no metrics returned",
    "Stopping container {d}",
    "Created container: {d}",
    'Successfully pulled image "{i}" in {t} ({t} including waiting). Image size: {c} bytes.',
    "Scaled up replica set {p} from {c} to {c}",
    "Successfully assigned {w}/{p} to {n}",
    "Job has reached the specified backoff limit",
    "Exec lifecycle hook ([/bin/drain.sh]) for Container {d} in Pod {p} failed",
)

# Written after the masks, and the masks not touched since.
HELD_OUT = (
    'Error: failed to start container "{d}": Error response from daemon: OCI runtime create failed',
    'error killing pod: failed to "KillContainer" for "{d}" with KillContainerError: rpc error',
    "Created pod: {p}",
    "Deleted pod: {p}",
    "Readiness probe errored: rpc error: desc = failed to exec: container {u} not found",
    "Evicting pod {w}/{p}",
    "Preempted by pod {u} on node {n}",
    "pod has unbound immediate PersistentVolumeClaims. preemption: not eligible",
    "create Pod {d}-{c} in StatefulSet {d} successful",
    "Saw completed job: {d}-{c}, status: Complete",
    "Cannot determine if job needs to be started: too many missed start times",
    "New size: {c}; reason: cpu resource utilization (percentage of request) above target",
    "Failed to update endpoint {w}/{d}: Operation cannot be fulfilled on endpoints",
    "Node {n} event: Registered Node {n} in Controller",
    "Started container {d}",
    "Scaled down replica set {p} from {c} to {c}",
    "Search Line limits were exceeded, the applied search line is: {w}.svc.cluster.local",
    "waiting for first consumer to be created before binding",
    "Successfully provisioned volume pvc-{u}",
    "Killing container with id containerd://{d}:Need to kill Pod",
    "Too many missed heartbeats from {n}, marking as unknown",
    "The node had condition: [DiskPressure].",
    "Pod was rejected: Node didn't have enough resource: pods, requested: {c}, used: {c}",
    "Secret {w}/{d} not found for ingress {w}/{d}",
    "deleting pod for node scale down",
    "pod didn't trigger scale-up: {c} max node group size reached",
)


def messages(
    seed: int, count: int = COUNT, formats: Sequence[str] = FORMATS
) -> list[tuple[int, str]]:
    """Return pairs of format and message; formats are as unequal as a cluster's reasons are."""
    rng = random.Random(seed)

    def letters(number: int) -> str:
        return "".join(rng.choices(_LETTERS, k=number))

    def filled(text: str) -> str:
        while "{" in text:
            start = text.index("{")
            kind, word = text[start + 1], rng.choice(_WORDS)
            value = {
                "d": word,
                "w": f"team-{rng.choice(_WORDS)}",
                "p": f"{word}-{letters(5)}"  # a DaemonSet's pod, or a Deployment's
                if rng.random() < 0.3
                else f"{word}-{letters(9)}-{letters(5)}",
                "n": f"ip-10-0-{rng.randrange(9)}-{rng.randrange(250)}.internal",
                "i": f"registry.example/{word}:v{rng.randrange(90)}",
                "a": f"10.{rng.randrange(9)}.{rng.randrange(250)}.{rng.randrange(250)}",
                "s": f"{rng.randrange(900)}Mi",
                "c": str(rng.randrange(1, 600)),
                "t": f"{rng.random() * 9:.3f}s",
                "v": f"{word}-{rng.choice(('data', 'config', 'tls'))}",
                "u": "-".join(letters(n) for n in (8, 4, 4, 12)),
            }[kind]
            text = text[:start] + value + text[start + 3 :]
        return text

    weights = [1.0 / (1 + i % 7) for i in range(len(formats))]
    chosen = rng.choices(range(len(formats)), weights, k=count)
    return [(i, filled(formats[i])) for i in chosen]


def accuracy(truth: Sequence[int], found: Sequence[Hashable]) -> float:
    """Return the share of messages whose group is exactly that of its format."""
    by_truth: dict[int, list[int]] = defaultdict(list)
    by_found: dict[Hashable, int] = defaultdict(int)
    for i, (kind, group) in enumerate(zip(truth, found, strict=True)):
        by_truth[kind].append(i)
        by_found[group] += 1
    right = 0
    for places in by_truth.values():
        groups = {found[i] for i in places}
        if len(groups) == 1 and by_found[next(iter(groups))] == len(places):
            right += len(places)
    return right / len(truth)


def ours(texts: Sequence[str]) -> list[Hashable]:
    template_of.cache_clear()
    return [template_of(text) for text in texts]


def masked_only(texts: Sequence[str]) -> list[Hashable]:
    """Ours without the cache in front: what a message costs that was never seen."""
    return [template_of.__wrapped__(text) for text in texts]


def drain(texts: Sequence[str], *, masks: bool) -> list[Hashable]:
    from drain3 import TemplateMiner
    from drain3.masking import MaskingInstruction
    from drain3.template_miner_config import TemplateMinerConfig

    config = TemplateMinerConfig()
    if masks:
        config.masking_instructions = [
            MaskingInstruction(r'"[^"]*"', "QUOTED"),
            MaskingInstruction(r"\d{1,3}(?:\.\d{1,3}){3}", "IP"),
            MaskingInstruction(r"(?<=[^A-Za-z0-9])\d+(?=[^A-Za-z0-9])|\b\d+\b", "NUM"),
        ]
    miner = TemplateMiner(config=config)
    return [miner.add_log_message(text)["cluster_id"] for text in texts]


def main() -> None:
    methods: dict[str, Callable[[Sequence[str]], list[Hashable]]] = {
        "ours": ours,
        "ours, nothing cached": masked_only,
    }
    try:
        import drain3  # noqa: F401
    except ImportError:
        print("drain3 is not installed here; see the docstring for how to compare")
    else:
        methods["drain3, defaults"] = lambda texts: drain(texts, masks=False)
        methods["drain3, masks"] = lambda texts: drain(texts, masks=True)
    for seed, name_of, formats in (
        (1, "design", FORMATS), (2, "design", FORMATS), (11, "held out", HELD_OUT),
        (12, "held out", HELD_OUT), (13, "held out", HELD_OUT),
    ):  # fmt: skip
        pairs = messages(seed, formats=formats)
        truth, texts = [kind for kind, _ in pairs], [text for _, text in pairs]
        for name, method in methods.items():
            began = time.process_time()
            found = method(texts)
            spent = time.process_time() - began
            print(
                f"{name_of} {seed} {name:22} accuracy {accuracy(truth, found):.3f}, "
                f"{len(set(found))} groups of {len(set(truth))}, {len(texts) / spent:,.0f} a second"
            )


if __name__ == "__main__":
    main()
