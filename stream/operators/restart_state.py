"""One workload's pods and restarts: what is remembered, and which restarts count.

A restart counts unless the container ended with exit code 0 (configurable), or it is one of the
first of a new release's pod: those wait, and are dropped if the pod settles, or all count once
there are more than is usual, or once three pods of the release fail and none was ever ready. How
many are usual is three, or what former releases of this workload needed and one more: some wait for
their database every time. Of a workload that was hardly seen to start, five are.

Left to others: what event time makes of it (`stream.operators.restarts`).
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from typing import Final

import msgspec

from stream.operators import burst
from stream.operators.burst import Hit
from stream.operators.episode import Episode
from stream.operators.pods import CRASH_LOOP, Pod, Restart
from stream.operators.restart_rules import RestartSettings
from stream.records import ObjectRef, Part, PodRecord, RecentEvent

IN_ALERT: Final = 0.1  # weight with which restarts of an incident are learned as usual
_HITS: Final = 300  # restarts kept of one workload; more change no verdict
_EVENTS, _EVENT = 3, 90  # Events that a message shows, and characters of each
_LAST_LINE: Final = 200  # characters of a log that a message shows; the finding has it all
_OOMS: Final = 20
_GENERATIONS: Final = 8  # kept of one workload
_HISTORY: Final = 60.0  # seconds until a list is surely read and what it shows can be learned
_SIBLINGS: Final = 3  # failing pods of a release that do not look like slow starts any more
_HABIT: Final = 6  # start-up restarts that can be a habit; a pod that needs more was in trouble


class Workload(msgspec.Struct, gc=False, array_like=True):
    """What is known of one workload."""

    cluster: str
    ref: ObjectRef
    pods: dict[str, Pod] = {}  # by uid
    hits: list[Hit] = []  # counted restarts of the longest window, by time
    births: dict[str, float] = {}  # generation → creation of its first pod
    habit: int = 0  # start-up restarts that pods of former releases needed
    history: tuple[float, float, float] | None = None  # restarts, oldest pod, when to learn it
    burst_since: float | None = None
    critical: bool = False
    floor: float = 0.0  # what was before this belongs to a burst that is over
    last: Restart | None = None  # newest restart or OOM kill
    last_pod: str = ""  # uid
    ooms: list[float] = []
    episodes: dict[str, Episode] = {}
    told_at: float = 0.0  # newest evidence
    untold: int = 0  # restarts since
    untold_clean: int = 0
    untold_kills: list[tuple[str, Restart]] = []  # with the pod's uid
    delta: int = 0  # restarts since the newest point
    idle_since: float | None = None  # without a pod
    due: float | None = None
    tail: str = ""  # end of the log of the container that was restarted last, where it is read
    events: tuple[RecentEvent, ...] = ()  # of the pod that restarted last, where they are kept
    starts: int = 0  # pods of new releases that were seen to come through their first minutes

    def remember(self, pod: Pod, now: float) -> None:
        """Keep what a pod's first sight says of the time before it was watched."""
        total, oldest, when = self.history or (0.0, pod.created_at, now + _HISTORY)
        total += sum(pod.restarts.values())
        self.history = (total, min(oldest, pod.created_at), when)

    def bear(self, record: PodRecord) -> None:
        """Note the first pod of a generation."""
        if record.generation:
            known = self.births.get(record.generation, record.created_at)
            self.births[record.generation] = min(known, record.created_at)
            while len(self.births) > _GENERATIONS:
                del self.births[min(self.births, key=lambda g: (self.births[g], g))]

    def count(
        self, uid: str, pod: Pod, restarts: Sequence[Restart], settings: RestartSettings
    ) -> bool:
        """Take restarts of one pod in; say whether any of them counts."""
        birth = self.births.get(pod.generation, -math.inf)
        new = bool(pod.generation) and pod.created_at - birth < settings.rollout
        usual = self._usual(settings)
        hits: list[Hit] = []
        for restart in restarts:
            self.last, self.last_pod = restart, uid
            self.untold += 1
            self.delta += 1
            if restart.clean and settings.ignore_exit_code_zero:
                self.untold_clean += 1
                continue
            times = [restart.at]
            if new and restart.at - pod.created_at < settings.startup:
                pod.early += 1
                pod.startup.append(restart.at)
                if pod.early <= usual and not self._all_fail(pod.generation, settings):
                    continue
                times, pod.startup = pod.startup, []
            pod.failed_at = max(pod.failed_at, restart.at)
            weight = 1.0 if self.burst_since is None else IN_ALERT
            hits += [Hit(at, uid, restart.container, restart.oom, weight) for at in times]
        if hits:
            self.hits = sorted([*self.hits, *hits], key=lambda hit: hit.at)[-_HITS:]
        return bool(hits)

    def _usual(self, settings: RestartSettings) -> int:
        """Return how many start-up restarts of a pod are no reason to speak.

        Who has needed more than most may need more than it has shown; who was seen to start n times
        will exceed all of these with a chance of 1 in n + 1, so few starts say little.
        """
        known = self.starts >= settings.startup_pods
        least = settings.startup_restarts if known else settings.unknown_startup_restarts
        spare = 2 if self.habit > settings.startup_restarts else 1
        return max(settings.startup_restarts, least, self.habit + spare if self.habit else 0)

    def _all_fail(self, generation: str, settings: RestartSettings) -> bool:
        """Say whether several pods of a release fail and none of it has ever been ready."""
        pods = [pod for pod in self.pods.values() if pod.generation == generation and pod.alive]
        least = max(settings.startup_restarts, self.habit + 1)
        failing = sum(pod.early >= least for pod in pods)
        return failing >= _SIBLINGS and not any(pod.was_ready for pod in pods)

    def settle(self, at: float, settings: RestartSettings) -> None:
        """Learn how many start-up restarts are a habit from pods that came through them."""
        for pod in self.pods.values():
            if pod.starting and at >= pod.created_at + settings.startup and pod.ready:
                pod.starting = False
                self.starts += 1
                if pod.early <= _HABIT:
                    self.habit = max(self.habit, pod.early)
                pod.early, pod.startup = 0, []

    def killed(self, uid: str, kills: Sequence[Restart], now: float) -> None:
        """Note OOM kills of one pod's containers."""
        self.ooms = [*self.ooms, *[now] * len(kills)][-_OOMS:]
        self.untold_kills += [(uid, kill) for kill in kills]
        self.last, self.last_pod = kills[-1], uid

    def tell_kills(self) -> list[tuple[int, tuple[str, Restart]]]:
        """Return the untold OOM kills, the newest of each container of each pod and how many."""
        ends: dict[tuple[str, str], list[Restart]] = {}
        for uid, kill in self.untold_kills:
            ends.setdefault((uid, kill.container), []).append(kill)
        self.untold_kills = []
        return [(len(kills), (uid, kills[-1])) for (uid, _), kills in ends.items()]

    def recent_ooms(self, at: float, window: float) -> int:
        """Return the OOM kills within `window` seconds before `at`."""
        return sum(t > at - window for t in self.ooms)

    def counted(self, at: float, window: float) -> int:
        """Return k (see `stream.operators.burst`) within `window` seconds before `at`."""
        return int(burst.count(self.hits, at - window))

    def affected(self, at: float, quiet: float) -> list[str]:
        """Return the uids of pods that are there and in trouble now, or were minutes ago."""
        fresh = {hit.pod for hit in self.hits if hit.at > at - quiet}
        known = {hit.pod for hit in self.hits}
        return [
            uid
            for uid, pod in sorted(self.pods.items())
            if pod.alive and (uid in fresh or (uid in known and not pod.ready))
        ]

    def at_plateau(self) -> bool:
        """Say whether the container that restarted last waits the longest back-off."""
        last = self.last
        return last is not None and burst.at_plateau(self.hits, self.last_pod, last.container)

    def is_critical(self, at: float, quiet: float) -> bool:
        """Say whether most pods are affected, or one loops at the longest back-off."""
        alive = sum(pod.alive for pod in self.pods.values())
        return 2 * len(self.affected(at, quiet)) > alive or self.at_plateau()

    def uneasy(self) -> bool:
        """Say whether a pod waits for its next attempt, or one that restarted is not ready."""
        troubled = {hit.pod for hit in self.hits}
        return any(
            pod.alive and (pod.waiting in CRASH_LOOP or (uid in troubled and not pod.ready))
            for uid, pod in self.pods.items()
        )

    def last_words(self) -> tuple[Part, ...]:
        """Return the end of the newest restart's log, and Events before it, as far as kept."""
        lines = [line.strip() for line in self.tail.splitlines() if line.strip()]
        found = []
        if lines:
            found.append(Part("log_tail", self.tail, f"last words: {lines[-1][:_LAST_LINE]}"))
        if self.events:
            short = "; ".join(_told(each)[:_EVENT] for each in self.events[:_EVENTS])
            whole = "\n".join(f"{_clock(each.at)} {_told(each)}" for each in self.events)
            found.append(Part("events", whole, f"recent events: {short}"))
        return tuple(found)

    def labels(
        self, affected: Sequence[str] = (), end: tuple[str, Restart] | None = None
    ) -> dict[str, str]:
        """Return the small facts of `end` or the newest restart, and the nodes of `affected`."""
        uid, last = end or (self.last_pod, self.last)
        pod = self.pods.get(uid)
        nodes = sorted({self.pods[uid].node for uid in affected} - {""})
        if not nodes and pod is not None:
            nodes = [pod.node]
        return {
            "node": ",".join(nodes[:3]),
            "pod": pod.name if pod else "",
            "generation": pod.generation if pod else "",
            "container": last.container if last else "",
            "image": last.image if last else "",
            "reason": last.reason if last else "",
            "exit_code": str(last.exit_code) if last and last.exit_code is not None else "",
        }


def _told(event: RecentEvent) -> str:
    often = f" ×{event.count}" if event.count > 1 else ""
    return f"{event.reason}{often}: {event.message}"


def _clock(at: float) -> str:
    return f"{datetime.datetime.fromtimestamp(at, datetime.UTC):%H:%M:%S} UTC"
