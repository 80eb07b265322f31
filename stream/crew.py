"""Runs the tasks that are this process' own, and gives them up in time.

Which tasks those are the bus says (`Bus.follow`): all of them in one process, a share where several
work. Each task is stepped in a loop of its own; a rebalance stands them all still between two
steps, committed, then goes on with those that stay and releases those that go. Nobody waits for a
task that is slow: after some seconds its next commit is simply fenced.

Guaranteed: what a task meets ends only that task. Unavailable: it is tried again, with pauses that
double. Fenced: it is owned anew as long as the bus says that it is ours. Corrupt: it stops, says so
once, and shows in `stopped`; the others go on, since moving it would stop it elsewhere just so.
Anything else is a bug and ends the process (`work` raises it): a task must never stop in silence.

Left to others: what a step does (`stream.runtime`, `alerting.task`, `alerting.delivery`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from stream.bus import Bus
from stream.clock import Clock
from stream.errors import Corrupt, Fenced, ForewarnError, Rejected, Unavailable

log = logging.getLogger(__name__)

_BACK_OFF: Final = (0.5, 5.0)  # seconds, first and longest: a bus that is back is used soon
_AGAIN: Final = 1.0  # seconds until a task that has not ended is cancelled once more
_GOODBYE: Final = 8.0  # seconds for the last commits; Kubernetes gives 30 before it kills


class Work(Protocol):
    """One task, as a crew runs it. Owns itself anew at the first step after any failure."""

    async def step(self) -> int:
        """Take in what there is, waiting a fraction of a second; commit when due."""
        ...

    async def flush(self, *, last: bool) -> None:
        """Commit what is done; `last` asks to leave things so that a successor starts quickly."""
        ...

    async def release(self) -> None:
        """Give the task up. Idempotent."""
        ...


class TaskCrew:
    """A `stream.bus.Crew` that steps its tasks side by side.

    Parameters
    ----------
    app
        Name of the application, for logs.
    make
        Makes the work of one partition, as new.
    """

    def __init__(self, app: str, make: Callable[[int], Work], clock: Clock) -> None:
        self.app = app
        self._make = make
        self._clock = clock
        self._going = asyncio.Event()
        self._broken = asyncio.Event()
        self._bug: Exception | None = None
        self._loops: dict[int, asyncio.Task[None]] = {}
        self._stepping: dict[int, asyncio.Lock] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self.works: dict[int, Work] = {}
        self.stopped: dict[int, str] = {}  # partition → why it does not run
        self.assigned = False  # whether the bus has said what is ours

    # ---- what the bus says ----------------------------------------------------------------------

    async def pause(self) -> None:
        """Commit everything and stand still."""
        self._going.clear()
        await asyncio.gather(*(self._flushed(p, last=False) for p in list(self.works)))

    async def take(self, partitions: frozenset[int]) -> None:
        """Run these tasks from now on."""
        for partition in self._loops.keys() - partitions:
            leaving = asyncio.create_task(self._leave(partition, self._loops.pop(partition)))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)
        for partition in sorted(partitions - self._loops.keys()):
            self.stopped.pop(partition, None)
            lock = self._stepping.setdefault(partition, asyncio.Lock())
            self._loops[partition] = asyncio.create_task(
                self._loop(partition, lock), name=f"{self.app}/{partition}"
            )
        self.assigned = True
        self._going.set()

    async def aclose(self) -> None:
        """Commit everything for a quick start elsewhere, and give all tasks up."""
        self._going.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE):
                await asyncio.gather(*(self._flushed(p, last=True) for p in list(self.works)))
        await self.take(frozenset())
        while self._leaving:
            await asyncio.gather(*self._leaving, return_exceptions=True)

    async def broken(self) -> Exception | None:
        """Wait until a task has met a bug, and return that."""
        await self._broken.wait()
        return self._bug

    # ---- inside ---------------------------------------------------------------------------------

    async def _flushed(self, partition: int, *, last: bool) -> None:
        async with self._stepping[partition]:
            try:
                await self.works[partition].flush(last=last)
            except ForewarnError as error:  # done again by whoever has it next
                log.warning("task=%s/%d not committed: %s", self.app, partition, error)

    async def _leave(self, partition: int, loop: asyncio.Task[None]) -> None:
        while not loop.done():
            loop.cancel()  # and again: a client that was connecting may have swallowed the last one
            await asyncio.wait([loop], timeout=_AGAIN)
        if not loop.cancelled() and (error := loop.exception()) is not None:
            raise error
        log.info("task=%s/%d given_up=true", self.app, partition)

    async def _loop(self, partition: int, lock: asyncio.Lock) -> None:
        """Step one task until it is cancelled or cannot go on."""
        name = f"{self.app}/{partition}"
        pause = _BACK_OFF[0]
        try:
            async with lock:  # a predecessor here may still be leaving
                work = self.works[partition] = self._make(partition)
            while True:
                await self._going.wait()
                wait = 0.0
                async with lock:
                    try:
                        if self._going.is_set():
                            await work.step()
                        pause = _BACK_OFF[0]
                    except Unavailable as error:
                        wait = error.retry_after or pause
                        log.warning("task=%s unavailable retry_in=%.1fs: %s", name, wait, error)
                    except Fenced as error:
                        wait = pause
                        log.warning("task=%s fenced retry_in=%.1fs: %s", name, wait, error)
                    except Rejected as error:
                        wait = pause
                        log.error("task=%s rejected retry_in=%.1fs: %s", name, wait, error)
                    except asyncio.CancelledError:
                        # aiokafka cancels what it waits for when it closes a client, and whoever
                        # waits for that meets it here. Only one that was meant for us ends us.
                        if (us := asyncio.current_task()) is None or us.cancelling():
                            raise
                        wait = pause
                        log.warning("task=%s unavailable retry_in=%.1fs: cut off", name, wait)
                if wait:
                    pause = min(2 * pause, _BACK_OFF[1])
                    await self._clock.sleep_until(self._clock.now() + wait)
                await asyncio.sleep(0)
        except Corrupt as error:
            self.stopped[partition] = str(error)
            log.error("task=%s stopped=corrupt: %s", name, error)
        except Exception as error:
            self._bug = error
            self._broken.set()
            raise
        finally:
            gone = self.works.pop(partition, None)
            if gone is not None:
                async with lock:
                    await gone.release()


async def work(bus: Bus, app: str, topic: str, crew: TaskCrew, clock: Clock) -> None:
    """Follow the bus with `crew` until cancelled; then commit, release, and leave, in this order.

    Raises
    ------
    Rejected, Corrupt
        The bus does not let us join, ever.
    Exception
        Whatever bug a task has met.
    """
    pause = _BACK_OFF[0]
    broken = asyncio.create_task(crew.broken())
    try:
        while True:
            following = asyncio.create_task(bus.follow(app, topic, crew))
            try:
                await asyncio.wait((following, broken), return_when=asyncio.FIRST_COMPLETED)
                if broken.done() and (bug := broken.result()) is not None:
                    raise bug
                if following.cancelled():  # by aiokafka, as above: we have not
                    raise Unavailable("the client was cut off")
                following.result()
            except Unavailable as error:
                wait = error.retry_after or pause
                log.warning("group=%s unavailable retry_in=%.1fs: %s", app, wait, error)
                await crew.pause()
                await clock.sleep_until(clock.now() + wait)
                pause = min(2 * pause, _BACK_OFF[1])
            except asyncio.CancelledError:
                await crew.aclose()  # before leaving: whoever is next finds everything committed
                raise
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
    finally:
        broken.cancel()
        await crew.aclose()
