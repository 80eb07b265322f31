"""The faults: each a small coroutine that does harm to some workers, or to the broker.

It is given a `Scene` and returns the moments (wall clock) at which harm was done; the harness
measures how long outputs then stood still. New fault: one function, one line in `FAULTS`.
"""

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from tests.kafka_broker import Broker


class Scene(Protocol):
    """What a fault may touch."""

    broker: Broker
    chance: random.Random
    session: float  # seconds after which a silent worker counts as gone
    apart: bool  # whether a worker is where the network can be cut

    async def add(self, *, apart: bool = False) -> None:
        """Start one more worker; `apart` from the others, where the network can be cut."""

    async def whole(self) -> None:
        """Return when every worker is a member of the group."""

    def cut(self, cut: bool) -> None:
        """Cut off the workers that are apart, or join them again."""

    def one(self) -> asyncio.subprocess.Process:
        """Any worker that runs."""

    async def end(self, worker: asyncio.subprocess.Process, how: signal.Signals) -> None:
        """Signal it and wait for its end."""


async def none(scene: Scene) -> list[float]:
    """Nothing: the row that the others are compared with."""
    return []


async def kill(scene: Scene) -> list[float]:
    """A worker is killed at a random moment, and another is started."""
    await asyncio.sleep(scene.chance.uniform(0.0, 1.5))
    at = time.time()
    await scene.end(scene.one(), signal.SIGKILL)
    await scene.add()
    return [at]


async def terminate(scene: Scene) -> list[float]:
    """A worker is asked to end, as a rollout does; the other takes over, then a new one joins."""
    await asyncio.sleep(scene.chance.uniform(0.0, 0.5))
    at = time.time()
    await scene.end(scene.one(), signal.SIGTERM)
    await asyncio.sleep(2.0)
    await scene.add()
    return [at]


async def pause(scene: Scene) -> list[float]:
    """A worker stands still for twice the session, then goes on, a zombie."""
    await asyncio.sleep(scene.chance.uniform(0.0, 0.5))
    victim = scene.one()
    at = time.time()
    victim.send_signal(signal.SIGSTOP)
    await asyncio.sleep(2.0 * scene.session)
    victim.send_signal(signal.SIGCONT)
    return [at]


async def partition(scene: Scene) -> list[float]:
    """A worker cannot reach the broker for twice the session; then what it sent arrives, late."""
    if not scene.apart:
        await scene.end(scene.one(), signal.SIGTERM)
        await scene.add(apart=True)
        await scene.whole()
    await asyncio.sleep(scene.chance.uniform(0.5, 1.5))
    at = time.time()
    scene.cut(True)
    await asyncio.sleep(2.0 * scene.session)
    scene.cut(False)
    return [at]


async def kill_then_pause(scene: Scene) -> list[float]:
    """The short form that runs with every test: both, one after the other."""
    killed = await kill(scene)
    await asyncio.sleep(2.0)
    return [*killed, *await pause(scene)]


async def storm(scene: Scene) -> list[float]:
    """Workers come and go, 2 → 3 → 2 → 1 → 2, faster than the group can settle."""
    moments = []
    for step in ("add", "end", "end", "add"):
        moments.append(time.time())
        if step == "add":
            await scene.add()
        else:
            await scene.end(scene.one(), scene.chance.choice([signal.SIGTERM, signal.SIGKILL]))
        await asyncio.sleep(scene.chance.uniform(0.2, 1.2))
    return moments


async def broker(scene: Scene) -> list[float]:
    """The only broker is killed and started again."""
    at = time.time()
    await asyncio.to_thread(scene.broker.kill)
    await asyncio.to_thread(scene.broker.start)
    return [at]


async def dangling(scene: Scene) -> list[float]:
    """All workers are killed, in the middle of whatever they do; after a while new ones come."""
    at = time.time()
    for _ in range(2):
        await scene.end(scene.one(), signal.SIGKILL)
    await asyncio.sleep(1.0)
    for _ in range(2):
        await scene.add()
    return [at]


FAULTS: Final[dict[str, Callable[[Scene], Awaitable[list[float]]]]] = {
    "none": none,
    "kill -9": kill,
    "SIGTERM": terminate,
    "SIGSTOP, SIGCONT": pause,
    "kill -9, then SIGSTOP": kill_then_pause,
    "rebalance storm": storm,
    "network cut": partition,
    "broker kill -9": broker,
    "all killed": dangling,
}
