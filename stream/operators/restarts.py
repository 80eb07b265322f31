"""Restarts: from pod records to bursts, crash loops and kills for want of memory.

Restarts are differences of `restartCount` (`stream.operators.pods`). Each workload's are judged
against its own usual rate (`models.restarts`): `restart-burst` when a count in five minutes to four
hours is beyond chance. Ordinary life is no burst: a clean exit, the first restarts of a new
release's pods (`stream.operators.restart_state`), a node that boots (`stream.operators.burst`),
what was there before the first look. A burst is over after ten quiet minutes with pods ready; a pod
that waits in CrashLoopBackOff is not quiet. Beside it stand fixed rules (`stream.operators.
restart_rules`) and the share of a namespace's pods (`stream.operators.namespaces`).

Guarantees: verdicts fall on a 15-second grid of event time, so batches and tick rates do not
matter; records known already or older than what is known change nothing; the state of deleted pods
and workloads is given back. About 10 µs a record that says nothing new.

Left to others: what a burst has to do with a release or a node (`alerting`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from models.restarts import RestartBank
from stream.checkpoint import PagedBank, PagedValue
from stream.columns import Columns
from stream.operators import burst, episode
from stream.operators.agenda import Agenda
from stream.operators.base import Output
from stream.operators.burst import LONGEST, Verdict
from stream.operators.conclude import conclude, span
from stream.operators.episode import Episode
from stream.operators.namespaces import NAMESPACE, Namespaces
from stream.operators.nodes import newer
from stream.operators.pods import Pod, Restart, first_sight, observe
from stream.operators.restart_rules import RestartSettings, standing, timers, words
from stream.operators.restart_state import IN_ALERT, Workload
from stream.operators.shelf import Shelf
from stream.records import Finding, Part, PodInput, PodRecord, Point, Severity
from stream.topics import PODS

__all__ = ["RestartSettings", "Restarts"]

GRID: Final = 15.0  # seconds between two times at which restarts are judged
_EVIDENCE: Final = 60.0  # seconds between two pieces of evidence of one workload
_POINTS: Final = 300.0  # seconds that one point of the time-series store sums up
_YOUNG: Final = 24 * 3600.0  # seconds that a release is worth naming
_SHORT_LIVED: Final = frozenset({"Job", "Pod", "CronJob"})


class Restarts:
    """The operator `restarts`."""

    name: Final = "restarts"
    topic: Final = PODS

    def __init__(self, settings: RestartSettings) -> None:
        self._settings = settings
        self._timers = timers(settings)
        self._workloads: Shelf[Workload] = Shelf("workloads", Workload)
        self._rows = Columns("rows")
        self._bank = RestartBank()
        self._rates = PagedBank("rates", self._bank)
        self._namespaces = Namespaces(settings)
        self._agenda = Agenda(GRID)
        self._now = -math.inf
        self._began: dict[str, float] = {}  # cluster → event time of its first record
        self._time = PagedValue(
            "time", tuple[float, dict[str, float]], lambda: (self._now, self._began), self._set_time
        )

    def on_records(self, records: Sequence[PodInput]) -> Sequence[Output]:
        """Learn from pods and ticks."""
        out: list[Output] = []
        for record in records:
            self._began.setdefault(record.cluster, record.at)
            if record.at > self._now:
                self._now = record.at
                while (due := self._agenda.take(record.at)) is not None:
                    at, keys = due
                    self._judge(at, [key for key in keys if not key.startswith(NAMESPACE)], out)
                    spaces = [key for key in keys if key.startswith(NAMESPACE)]
                    self._namespaces.judge(at, self._now, spaces, self._workloads, out)
                    for key in spaces:
                        self._namespaces.schedule(key, at, self._agenda)
            if isinstance(record, PodRecord):
                self._observe(record)
        return out

    # what a record says

    def _observe(self, record: PodRecord) -> None:
        ref = record.workload
        key = f"{record.cluster}/{ref.namespace}/{ref.kind}/{ref.name}"
        workload = self._workloads.get(key)
        if record.log_tail:  # says nothing else that was not said before
            if workload is not None:
                workload.tail = record.log_tail
                workload.events = record.events or workload.events
                self._workloads.put(key, workload)
            return
        if workload is None:
            if record.deleted:
                return
            workload = Workload(record.cluster, ref)
            self._namespaces.admit(key, workload.cluster, ref.namespace, self._now, self._agenda)
        pod = workload.pods.get(record.uid)
        before = None if pod is None else pod.shown
        if pod is None:
            if record.deleted:
                return
            under_watch = record.created_at >= self._began[record.cluster]
            pod = first_sight(record, under_watch=under_watch)
            if not under_watch:
                workload.remember(pod, self._now)
            workload.pods[record.uid] = pod
            workload.bear(record)
        elif pod.deleted_at is not None:
            return
        elif record.deleted:
            pod.deleted_at = self._now
        elif not newer(record.resource_version, record.at, pod.version, pod.at):
            return
        restarts, kills = observe(pod, record)
        if not (restarts or kills or record.reason == "Evicted") and pod.shown == before:
            self._workloads.put(key, workload)  # most records: labels, heartbeats, other fields
            return
        if restarts:
            workload.events = record.events
        settings = self._settings
        if workload.count(record.uid, pod, restarts, settings):
            self._namespaces.touch(workload.cluster, ref.namespace, self._now, self._agenda)
            counted = workload.counted(self._now, settings.count_window)
            self._happened(workload, "restart-count", counted)
        if kills:
            workload.killed(record.uid, kills, self._now)
            recent = workload.recent_ooms(self._now, settings.oom_window)
            self._happened(workload, "oom-kill", recent)
        if record.reason == "Evicted" and not pod.evicted:
            pod.evicted = True
            workload.episodes["pod-evicted"] = Episode(self._now)  # told at the next grid time
        for rule, shown in standing(workload.pods.values()).items():
            if rule in self._timers:
                episode.observe(workload.episodes, rule, shown is not None, self._now)
        alive = any(each.deleted_at is None for each in workload.pods.values())
        workload.idle_since = None if alive else self._now
        self._workloads.put(key, workload)
        if restarts or kills or pod.evicted:
            workload.due = self._agenda.put(key, self._now, now=self._now)
        self._schedule(key, workload, self._now)

    def _happened(self, workload: Workload, rule: str, count: int) -> None:
        threshold = {
            "restart-count": self._settings.count_threshold,
            "oom-kill": self._settings.oom_threshold,
        }[rule]
        if threshold is not None and count >= threshold:
            episode.happened(workload.episodes, rule, self._now)

    # what event time says

    def _judge(self, at: float, keys: Sequence[str], out: list[Output]) -> None:
        """Let everything go on that was due for these workloads at the grid time `at`."""
        due = [(key, w) for key in keys if (w := self._workloads.get(key)) is not None]
        if not due:
            return
        self._learn(at, due)
        verdicts = self._verdicts(at, [w for _, w in due], [key for key, _ in due])
        for (key, workload), found in zip(due, verdicts, strict=True):
            workload.due = None
            workload.settle(at, self._settings)
            self._burst(workload, at, found, out)
            self._fixed(workload, at, out)
            self._tell(workload, at, out)
            if self._forget(key, workload, at, out):
                continue
            self._workloads.put(key, workload)
            self._schedule(key, workload, at)

    def _learn(self, at: float, due: Sequence[tuple[str, Workload]]) -> None:
        """Make history of what has left the longest window."""
        rows = self._rows.rows_of([key for key, _ in due])
        self._rates.reserve(self._rows.size)
        self._rates.touch(rows)
        edge = at - LONGEST
        learned = np.zeros(len(due))
        for i, (_, workload) in enumerate(due):
            if workload.history is not None and at >= workload.history[2]:
                total, oldest, _ = workload.history
                days = np.array([(at - oldest) / 86_400.0])
                self._bank.credit_many(rows[i : i + 1], np.array([total]), days)
                workload.history = None
            learned[i] = sum(hit.weight for hit in workload.hits if hit.at <= edge)
            workload.hits = [hit for hit in workload.hits if hit.at > edge]
        self._bank.learn_many(rows, learned, np.full(len(due), edge))

    def _verdicts(
        self, at: float, workloads: Sequence[Workload], keys: Sequence[str]
    ) -> list[Verdict | None]:
        found: list[Verdict | None] = [None] * len(workloads)
        settings = self._settings
        if settings.alert_score is None:
            return found
        k = [burst.counts(w.hits, at, w.floor) for w in workloads]
        some = [i for i in range(len(workloads)) if max(k[i]) >= 2]
        if not some:
            return found
        k_oom = [burst.counts(workloads[i].hits, at, workloads[i].floor, oom=True) for i in some]
        rows = self._rows.find([keys[i] for i in some])
        scores = self._bank.score_many(rows, np.array([k[i] for i in some]))
        scores_oom = self._bank.score_many(rows, np.array(k_oom))
        usual = self._bank.rate_many(rows)
        for j, i in enumerate(some):
            found[i] = burst.verdict(
                k[i],
                scores[j],
                k_oom[j],
                scores_oom[j],
                float(usual[j]),
                least=settings.min_restarts,
                alert_score=settings.alert_score,
                oom_alert_score=settings.oom_alert_score,
            )
        return found

    def _burst(
        self, workload: Workload, at: float, found: Verdict | None, out: list[Output]
    ) -> None:
        if workload.burst_since is None:
            if found is None:
                return
            within = [h.at for h in workload.hits if h.at > workload.floor]
            workload.burst_since = min(within)
            for hit in workload.hits:
                hit.weight = IN_ALERT
            workload.critical = workload.is_critical(at, self._settings.quiet)
            out.append(self._fire_burst(workload, at, found))
            return
        last = max((hit.at for hit in workload.hits), default=-math.inf)
        if not workload.uneasy() and at - last >= burst.quiet_needed(
            workload.hits, self._settings.quiet
        ):
            out.append(
                self._resolved(workload, "restart-burst", f"no restart for {span(at - last)}")
            )
            workload.burst_since, workload.critical, workload.floor = None, False, at
        elif (
            found is not None
            and not workload.critical
            and workload.is_critical(at, self._settings.quiet)
        ):
            workload.critical = True
            out.append(self._fire_burst(workload, at, found))

    def _fire_burst(self, workload: Workload, at: float, found: Verdict) -> Finding:
        last = workload.last
        assert last is not None  # a burst has restarts
        affected = workload.affected(at, self._settings.quiet)
        alive = sum(pod.alive for pod in workload.pods.values())
        pod = workload.pods.get(workload.last_pod)
        birth = workload.births.get(pod.generation) if pod else None
        release = None
        if pod is not None and birth is not None and at - birth < _YOUNG:
            release = (pod.generation, at - birth)
        because = burst.reasons(found, last, (len(affected), alive), release)
        if workload.at_plateau():
            text = "the back-off is at its plateau: one attempt in five minutes"
            because = (*because, Part("backoff", "plateau", text))
        because = (*because, *workload.last_words())
        what = "OOM kills" if found.oom else "restarts"
        return conclude(
            "restart-burst",
            "firing",
            workload.cluster,
            workload.ref,
            at=self._now,
            since=workload.burst_since or at,
            summary=f"{workload.ref}: burst of {what}, container {last.container}",
            severity=Severity.CRITICAL if workload.critical else Severity.WARNING,
            score=round(found.score, 3),
            because=because,
            labels=workload.labels(affected),
        )

    def _fixed(self, workload: Workload, at: float, out: list[Output]) -> None:
        shown: Mapping[str, Pod | None] = standing(workload.pods.values())
        for rule, (after, keep) in self._timers.items():
            known = workload.episodes.get(rule)
            match episode.step(workload.episodes, rule, at, after, keep):
                case "firing":
                    assert known is not None  # it fires, so it is there
                    count = (
                        workload.recent_ooms(at, self._settings.oom_window)
                        if rule == "oom-kill"
                        else workload.counted(at, self._settings.count_window)
                    )
                    pod = shown.get(rule) or workload.pods.get(workload.last_pod)
                    severity, summary, because, labels = words(
                        rule, str(workload.ref), pod, at - known.since, count
                    )
                    if rule in {"crash-loop", "oom-kill", "restart-count"} and workload.last:
                        exit_ = burst.last_exit(workload.last)
                        because = (*because, *exit_, *workload.last_words())
                        labels = workload.labels() | {k: v for k, v in labels.items() if v}
                    out.append(
                        conclude(
                            rule,
                            "firing",
                            workload.cluster,
                            workload.ref,
                            at=self._now,
                            since=known.since,
                            summary=summary,
                            severity=severity,
                            because=because,
                            labels=labels,
                        )
                    )
                case "resolved":
                    out.append(self._resolved(workload, rule, "no longer"))

    def _resolved(self, workload: Workload, rule: str, why: str) -> Finding:
        return conclude(
            rule,
            "resolved",
            workload.cluster,
            workload.ref,
            at=self._now,
            since=self._now,
            summary=f"{rule} of {workload.ref}: {why}",
        )

    def _tell(self, workload: Workload, at: float, out: list[Output]) -> None:
        """Say evidence, at most once a minute, and the points of five minutes."""
        if at - workload.told_at >= _EVIDENCE:
            told = workload.told_at
            if workload.untold:
                workload.told_at = at
                count, clean = workload.untold, workload.untold_clean
                out.append(self._evidence(workload, "restart", count, clean=clean))
                workload.untold = workload.untold_clean = 0
            if workload.untold_kills:
                workload.told_at = at
                for count, end in workload.tell_kills():
                    out.append(self._evidence(workload, "oom-kill", count, end=end))
            if workload.episodes.pop("pod-evicted", None) is not None:
                workload.told_at = at
                count = sum(pod.evicted and pod.at > told for pod in workload.pods.values())
                out.append(self._evidence(workload, "pod-evicted", max(count, 1)))
        if workload.delta and at % _POINTS == 0:
            tags = (
                ("cluster", workload.cluster),
                ("namespace", workload.ref.namespace),
                ("workload", workload.ref.name),
                ("workload_kind", workload.ref.kind),
            )
            fields = {"restarts_total": float(workload.delta)}
            out.append(Point("restarts", tags, fields, self._now))
            workload.delta = 0

    def _evidence(
        self,
        workload: Workload,
        rule: str,
        count: int,
        *,
        clean: int = 0,
        end: tuple[str, Restart] | None = None,
    ) -> Finding:
        noun = {"restart": "restarted", "oom-kill": "was OOM-killed", "pod-evicted": "was evicted"}
        often = "once" if count == 1 else f"{count} times"
        because: tuple[Part, ...] = (Part("count", float(count), often),)
        if clean:
            because += (Part("clean", float(clean), f"{clean} of them with exit code 0"),)
        uid, last = end or (workload.last_pod, workload.last)
        if last is not None and rule != "pod-evicted":
            words = workload.last_words() if uid == workload.last_pod else ()
            because += burst.last_exit(last) + words
        labels = workload.labels(end=end) if rule != "pod-evicted" else {"reason": "Evicted"}
        return conclude(
            rule,
            "evidence",
            workload.cluster,
            workload.ref,
            at=self._now,
            since=self._now,
            summary=f"{workload.ref} {noun[rule]} {often}",
            because=because,
            labels=labels,
        )

    def _forget(self, key: str, workload: Workload, at: float, out: list[Output]) -> bool:
        """Drop deleted pods after their grace, and a workload that has had none for long."""
        gone = [
            uid
            for uid, pod in workload.pods.items()
            if pod.deleted_at is not None and at >= pod.deleted_at + self._settings.grace
        ]
        for uid in gone:
            del workload.pods[uid]
        if workload.idle_since is None or at < workload.idle_since + self._patience(workload):
            return False
        firing = [rule for rule in sorted(workload.episodes) if workload.episodes[rule].firing]
        out.extend(self._resolved(workload, rule, "forgotten") for rule in firing)
        self._workloads.drop(key)
        self._namespaces.dismiss(key, workload.cluster, workload.ref.namespace)
        rows = self._rows.release([key])
        self._bank.forget(rows)
        self._rates.touch(rows)
        return True

    def _patience(self, workload: Workload) -> float:
        days = 2 * 86_400.0 if workload.ref.kind in _SHORT_LIVED else self._settings.idle
        return min(days, self._settings.idle)

    def _schedule(self, key: str, workload: Workload, now: float) -> None:
        """Put the earliest time at which anything of this workload can change."""
        times = [
            due
            for rule, (after, keep) in self._timers.items()
            if (due := episode.due(workload.episodes, rule, after, keep)) is not None
        ]
        if workload.history is not None:
            times.append(workload.history[2])
        if workload.untold or workload.untold_kills or "pod-evicted" in workload.episodes:
            times.append(workload.told_at + _EVIDENCE)
        if workload.delta:
            times.append(math.ceil(now / _POINTS) * _POINTS)
        if workload.hits:
            times.append(workload.hits[0].at + LONGEST)
        if workload.burst_since is not None:
            last = workload.hits[-1].at if workload.hits else now
            quiet = burst.quiet_needed(workload.hits, self._settings.quiet)
            times.append(max(last + quiet, now + GRID))
        times += [
            pod.deleted_at + self._settings.grace
            for pod in workload.pods.values()
            if pod.deleted_at is not None
        ]
        times += [
            pod.created_at + self._settings.startup
            for pod in workload.pods.values()
            if pod.starting and pod.alive and now < pod.created_at + self._settings.startup
        ]
        if workload.idle_since is not None:
            times.append(workload.idle_since + self._patience(workload))
        if times:
            workload.due = self._agenda.put(key, min(times), now=now)

    def snapshot(self) -> Mapping[str, bytes]:
        """Return the changed pages: time, workloads, rows, rates, namespaces."""
        return {
            **self._time.snapshot(),
            **self._workloads.snapshot(),
            **self._rows.snapshot(),
            **self._rates.snapshot(),
            **self._namespaces.snapshot(),
        }

    def restore(self, pages: Mapping[str, bytes]) -> None:
        """Become what the pages say.

        Raises
        ------
        Corrupt
            A page cannot be read.
        """
        self._agenda.clear()
        self._time.restore(pages)
        self._workloads.restore(pages)
        self._rows.restore(pages)
        self._rates.restore(pages)
        self._namespaces.restore(pages, self._agenda)
        for key, workload in self._workloads:
            self._namespaces.index(key, workload.cluster, workload.ref.namespace)
            if workload.due is not None:
                self._agenda.put(key, workload.due)

    def _set_time(self, value: tuple[float, dict[str, float]] | None) -> None:
        self._now, self._began = (-math.inf, {}) if value is None else value
