"""What is recorded is what was sent, and scripted kubelets keep kubelet's rules of restarting.

A keeper of requests stands in for the API server, and the tape's time passes a thousand
times as fast; the real server is met when a tape is recorded.
"""

from __future__ import annotations

import asyncio
import random
from types import SimpleNamespace
from typing import Any

import pytest

FACTOR = 1e3


class Server:
    """Takes status patches and keeps them; knows one pod."""

    def __init__(self, pod: dict[str, Any]) -> None:
        self.pod = pod
        self.states: list[tuple[int, str, str]] = []
        self.deleted = False

    async def call(
        self, method: str, path: str, body: dict[str, Any], **_: object
    ) -> dict[str, Any]:
        self.pod = {**self.pod, "status": body["status"]}
        [status] = body["status"]["containerStatuses"]
        [(kind, detail)] = status["state"].items()
        message = str(detail.get("message") or detail.get("reason", ""))
        self.states.append((status["restartCount"], kind, message))
        return self.pod

    async def raw(self, method: str, path: str, body: dict[str, Any], **_: object) -> bytes:
        self.deleted = method == "DELETE"
        return b"{}"


def pod(restart_policy: str = "Always") -> dict[str, Any]:
    meta = {"name": "p", "namespace": "n", "uid": "u", "resourceVersion": "1", "labels": {}}
    spec = {"containers": [{"name": "c", "image": "i:1"}], "restartPolicy": restart_policy}
    return {"metadata": meta, "spec": spec, "status": {}}


async def play(pods: Any, life: Any, lives: int, policy: str = "Always") -> Server:
    """Let a pod live as often as that, then delete it."""
    server = Server(pod(policy))
    worker: Any = None

    def behaviour(_: object, before: int) -> Any:
        if before == lives:
            worker.interrupt("delete")
            return pods.Life()
        return life

    async def emit(*_: object) -> None: ...

    async def wait(_: float) -> None: ...

    up = asyncio.Event()
    up.set()
    fleet = SimpleNamespace(
        api=server,
        events=SimpleNamespace(emit=emit),
        pace=SimpleNamespace(factor=FACTOR, wait=wait),
        random=random.Random(1),
        behaviour=behaviour,
        witness=lambda *_: None,
    )
    kubelet = SimpleNamespace(
        fleet=fleet, up=up, images=set(), source=None, address="a", pod_address=lambda: "b"
    )
    worker = pods.PodWorker(kubelet, server.pod)
    if policy == "Never":
        asyncio.get_running_loop().call_later(0.05, worker.interrupt, "delete")
    await asyncio.wait_for(worker.run(), 5)
    return server


async def test_the_first_restart_is_immediate_and_the_next_climb_the_ladder_to_its_cap(
    pods_module: Any,
) -> None:
    crash = pods_module.Life(1.0, 1, "Error", ready=False)
    server = await play(pods_module, crash, lives=9)
    waits = [
        message.split()[1]
        for _, kind, message in server.states
        if kind == "waiting" and message.startswith("back-off")
    ]
    assert waits == ["10s", "20s", "40s", "1m20s", "2m40s", "5m0s", "5m0s", "5m0s"]


async def test_the_count_grows_when_the_next_life_starts_and_not_when_one_ends(
    pods_module: Any,
) -> None:
    server = await play(pods_module, pods_module.Life(1.0, 1, "Error"), lives=2)
    kinds = [(count, kind) for count, kind, _ in server.states]
    assert kinds == [
        (0, "waiting"),
        (0, "running"),
        (0, "terminated"),
        (1, "running"),
        (1, "terminated"),
        (1, "waiting"),
        (2, "running"),
        (2, "terminated"),
    ]
    assert server.deleted


async def test_a_job_s_pod_ends_and_is_not_started_again(pods_module: Any) -> None:
    server = await play(pods_module, pods_module.Life(1.0, 0, "Completed"), 1, policy="Never")
    assert [kind for _, kind, _ in server.states] == ["waiting", "running", "terminated"]
    assert server.pod["status"]["phase"] == "Succeeded"


def test_a_watch_line_is_split_without_touching_the_object_s_bytes(recorder: Any) -> None:
    line = b'{"type":"MODIFIED","object":{"kind":"Pod", "x":1.0,"type":"a\\",\\"object\\":"}}'
    kind, document = recorder.split_watch_line(line)
    assert kind == b"MODIFIED"
    assert document == b'{"kind":"Pod", "x":1.0,"type":"a\\",\\"object\\":"}'


@pytest.mark.parametrize("line", [b"", b"{}", b'{"object":{}}', b'{"type":"ADDED","object":[1'])
def test_a_line_that_is_not_of_a_watch_is_refused(recorder: Any, line: bytes) -> None:
    with pytest.raises(ValueError, match="not a line of a watch"):
        recorder.split_watch_line(line)
