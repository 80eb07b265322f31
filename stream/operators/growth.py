"""Growth: from node metrics to forecasts of what runs full, and to findings before it does.

Each series of a scrape (`stream.operators.growth_series`) has a row in the banks; when a sample
closes a half-hour of its row, the row is forecast and the forecast judged (`models.crossing`,
`models.calibration`). Said are

- a `Forecast` of each row and half-hour; of rows that head nowhere every six hours, of rows with
  less than two hours of history none;
- the findings ``…-exhaustion``: firing when the odds are high and the second opinion agrees,
  critical when the median is within four hours at odds of 0.9 or the limit is reached; said again
  when it becomes worse, and every six hours; resolved when the odds have been low for three hours,
  or for one after something was freed. A container's finding is about its workload: it opens with
  the first container and ends with the last;
- the fixed thresholds ``node-…-high``, which must hold for five minutes;
- `Point`s of nodes, volumes and containers, at most one a minute each.

Guarantees: what is said depends on the records and their order only. Rows learn in rounds, so a
batch's borders do not matter; what rows share (odds, rows given back, series that went silent)
changes only where event time crosses a ten-minute mark. `at` is the largest time seen so far.

About 10 µs a sample, and 70 µs more for a row that closes a half-hour. Left to others: joining an
exhausted node with what its pods then suffer (`alerting`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.base import Bank, Bools, Floats, Rows
from models.calibration import OFF_36, CalibrationBank, Table
from models.forecast import foresee
from models.growth import SLOT, GrowthBank
from stream.checkpoint import PagedBank, PagedValue
from stream.columns import Columns, rounds
from stream.errors import Corrupt
from stream.operators.base import Output
from stream.operators.conclude import conclude, span
from stream.operators.growth_points import Points
from stream.operators.growth_series import GrowthSettings, Sample, samples
from stream.operators.growth_state import Series, Share, Standing
from stream.operators.growth_words import Said, forecast, reasons, summary
from stream.operators.shelf import Shelf
from stream.records import Finding, NodeInput, NodeMetricsRecord, ObjectRef, Part, Severity
from stream.topics import NODE_METRICS

__all__ = ["Growth", "GrowthSettings"]

MARK: Final = 600.0  # seconds of event time between two looks at what rows share
_KEEP_PODS: Final = 86_400.0  # seconds that a container's row outlives its last sample
_KEEP: Final = 7 * 86_400.0  # and any other's
_RINGS: Final = ("half_hours", "two_hours")  # change twice an hour: pages of their own
_RESIZED: Final = 0.01  # share by which a limit must move to count as another one
_UNLIKE: Final = 1000.0  # a limit that moves by more than this factor belongs to another thing
_RESTARTED: Final = 1.0  # second by which a start must move to count as another one
_FAR: Final = 200.0  # hours: a crossing beyond heads nowhere
_RANK: Final = {Severity.INFO: 0, Severity.WARNING: 1, Severity.CRITICAL: 2}
_QUIET_AGE: Final = 2.0  # hours of history before a forecast is said


class _Event(NamedTuple):
    """Something to be said of one sample; events are told in the order of the samples."""

    place: int  # of the sample in the batch
    row: int
    said: Said | None  # None: a fixed threshold was crossed
    high: int = 0


class Growth:
    """The operator `growth`."""

    name: Final = "growth"
    topic: Final = NODE_METRICS

    def __init__(self, settings: GrowthSettings) -> None:
        self._settings = settings
        self._rows = Columns("rows")
        self._bank = GrowthBank(0)
        self._memory = CalibrationBank(0)
        self._series = Series(0)
        self._table = Table()
        fast = tuple(name for name in self._bank.arrays() if name not in _RINGS)
        self._state = PagedBank("state", Share(self._bank, fast))
        self._rings = [PagedBank(name, Share(self._bank, (name,))) for name in _RINGS]
        self._calibration = PagedBank("calibration", self._memory)
        self._own = PagedBank("series", self._series)
        self._standing: Shelf[Standing] = Shelf("standing", Standing)
        self._members: dict[tuple[str, str, ObjectRef], set[str]] = {}
        self._points = Points(settings.point_every)
        self._now = -math.inf
        self._time = PagedValue("time", float, lambda: self._now, self._set_time)
        self._odds = PagedValue("odds", dict[str, bytes], self._get_table, self._set_table)

    def on_records(self, records: Sequence[NodeInput]) -> Sequence[Output]:
        """Learn from scrapes and ticks; other records of the topic only move the time."""
        out: list[Output] = []
        batch: list[tuple[NodeMetricsRecord, float]] = []
        for record in records:
            now = max(self._now, record.at)
            if now // MARK > self._now // MARK and math.isfinite(self._now):
                self._learn(batch, out)
                batch = []
                self._mark(self._now, now, out)
            self._now = now
            if isinstance(record, NodeMetricsRecord):
                batch.append((record, now))
        self._learn(batch, out)
        return out

    # what samples say

    def _learn(self, batch: Sequence[tuple[NodeMetricsRecord, float]], out: list[Output]) -> None:
        found: list[Sample] = []
        clusters: list[str] = []
        times: list[float] = []
        clocks: list[float] = []
        borders: list[tuple[int, NodeMetricsRecord, float]] = []
        for record, clock in batch:
            for sample in samples(record, self._settings):
                found.append(sample)
                clusters.append(record.cluster)
                times.append(record.at)
                clocks.append(clock)
            borders.append((len(found), record, clock))
        events: list[_Event] = []
        if found:
            rows = self._rows.rows_of([sample.key for sample in found])
            self._reserve()
            at = np.array(times)
            self._rows.see(rows, at)
            numbers = np.array([_numbers(sample) for sample in found])
            for turn in rounds(rows):
                self._round(turn, rows[turn], at[turn], numbers[turn], found, events)
            events.sort(key=lambda event: (event.place, event.said is not None))
        told = 0
        for border, record, _ in borders:
            while told < len(events) and events[told].place < border:
                event = events[told]
                i = event.place
                self._tell(event, found[i], clusters[i], clocks[i], out)
                told += 1
            out.extend(self._points.of(record))

    def _round(
        self,
        places: NDArray[np.intp],
        rows: Rows,
        at: Floats,
        numbers: Floats,
        found: Sequence[Sample],
        events: list[_Event],
    ) -> None:
        """Learn one sample of each row, and note what is to be said of it."""
        value, size, limit, declared, started, high, warning, critical = numbers.T
        state, series = self._bank.arrays(), self._series.arrays()
        before = state["time"][rows]
        onward = ~(at <= before)  # new rows included
        late = at < before
        value = np.where(self._generation(rows, at, started, onward), value, np.nan)
        self._resize(rows, size, onward)
        with np.errstate(all="ignore"):  # not a number in, nothing learned
            percent = 100 * value / size
        closed = self._bank.learn_many(rows, at, percent)
        self._state.touch(rows)
        for ring in self._rings:
            ring.touch(rows[closed | late])
        self._own.touch(rows)

        watched = np.flatnonzero(onward & ~np.isnan(high))
        if watched.size:
            changed = self._high(
                rows[watched], at[watched], high[watched], warning[watched], critical[watched]
            )
            for i in watched[changed]:
                level = int(series["high"][rows[i]])
                events.append(_Event(int(places[i]), int(rows[i]), None, level))
        done = np.flatnonzero(closed)
        if not done.size:
            return
        of = rows[done]
        outlook, odds = foresee(
            self._bank, self._memory, self._table, of, limit[done], declared[done]
        )
        self._calibration.touch(of)
        waited = at[done] - state["slot"][of] * SLOT
        for j, i in enumerate(done.tolist()):
            said = Said(outlook, odds, j, float(waited[j]))
            events.append(_Event(int(places[i]), int(rows[i]), said))

    def _generation(self, rows: Rows, at: Floats, started: Floats, onward: Bools) -> Bools:
        """Begin generations that began; return which samples belong to the present one."""
        series = self._series.arrays()
        known = series["started"][rows]
        new = onward & ~np.isnan(started) & ~(np.abs(started - known) <= _RESTARTED)
        older = started < known - _RESTARTED
        again = np.flatnonzero(new & ~older & ~np.isnan(known))
        if again.size:
            of = rows[again]
            killed = self._bank.restart(of)
            slots = np.floor(at[again] / SLOT).astype(np.int64)
            self._memory.restart(of, slots, killed, self._table)
            self._calibration.touch(of)
            for ring in self._rings:
                ring.touch(of)
        begins = new & ~older
        series["started"][rows[begins]] = started[begins]
        belongs: Bools = ~older
        return belongs

    def _resize(self, rows: Rows, size: Floats, onward: Bools) -> None:
        """Express rows in percent of a new size."""
        known = self._series.arrays()["size"]
        old = known[rows]
        told = np.isfinite(size) & (size > 0)
        changed = np.flatnonzero(onward & told & ~(np.abs(size / old - 1) <= _RESIZED))
        if not changed.size:
            return
        resized = changed[~np.isnan(old[changed])]
        if resized.size:
            factors = old[resized] / size[resized]
            like = (factors < _UNLIKE) & (factors > 1 / _UNLIKE)
            self._bank.rescale(rows[resized[like]], factors[like])
            self._bank.forget(rows[resized[~like]])
            for ring in self._rings:
                ring.touch(rows[resized])
        known[rows[changed]] = size[changed]

    def _high(
        self, rows: Rows, at: Floats, percent: Floats, warning: Floats, critical: Floats
    ) -> NDArray[np.intp]:
        """Move the fixed thresholds' levels; return which changed."""
        series, settings = self._series.arrays(), self._settings
        bounds = np.stack([warning, critical], axis=1)
        is_over = percent[:, None] >= bounds
        since = series["over"][rows]
        since = np.where(is_over, np.where(np.isnan(since), at[:, None], since), np.nan)
        series["over"][rows] = since
        level = series["high"][rows]
        held = is_over & (at[:, None] - since >= settings.high_after)
        keeps = (level[:, None] >= np.array([1, 2])) & (
            percent[:, None] >= bounds - settings.high_margin
        )
        there = held | keeps
        now = np.where(there[:, 1], 2, np.where(there[:, 0], 1, 0)).astype(np.int8)
        series["high"][rows] = now
        return np.flatnonzero(now != level)

    # what is said

    def _tell(
        self, event: _Event, sample: Sample, cluster: str, at: float, out: list[Output]
    ) -> None:
        if event.said is None:
            self._tell_high(event.high, sample, cluster, at, out)
            return
        said = event.said
        alarm = bool(said.odds.alarm[said.row])
        left = said.left[1]
        told = self._series.arrays()["told"]
        dull = not alarm and not left < _FAR * 3600
        old = float(said.outlook.age[said.row]) >= _QUIET_AGE
        if alarm or (old and not (dull and at - told[event.row] < self._settings.quiet)):
            told[event.row] = at
            out.append(forecast(cluster, sample, said, at))
        key = f"{sample.kind.rule}|{sample.key}"
        standing = self._standing.get(key)
        if not alarm:
            if standing is not None:
                because = reasons(sample, said)
                self._end(key, standing, at, summary(sample, said), because, out)
            return
        doubted = said.odds.crossing[said.row, 1] < OFF_36
        if standing is not None and (doubted or not math.isfinite(left)):
            return  # the alarm stays for a while, but there is nothing to add
        severity = self._severity(sample, said)
        line = summary(sample, said)
        group = (sample.kind.rule, cluster, sample.object)
        worst, newest = self._said_of(group)
        since = at if standing is None else standing.since
        quiet = _RANK[severity] <= worst and at - newest < self._settings.repeat
        if quiet and standing is not None:
            return
        standing = Standing(
            *(sample.kind.rule, cluster, sample.object, sample.labels),
            *(since, severity.value, newest if quiet else at, line),
        )
        self._stand(key, standing)
        if quiet:  # another container of the same workload: one finding speaks for both
            return
        finding = _finding(standing, "firing", at, line, said.within[0], reasons(sample, said))
        expected = at + left if math.isfinite(left) else None
        out.append(msgspec.structs.replace(finding, expected_at=expected))

    def _said_of(self, group: tuple[str, str, ObjectRef]) -> tuple[int, float]:
        """Return how bad the finding was said to be at worst, and when it was last said."""
        members = [self._standing.get(key) for key in self._members.get(group, ())]
        known = [member for member in members if member is not None]
        worst = max((_RANK[Severity(member.severity)] for member in known), default=-1)
        return worst, max((member.told for member in known), default=-math.inf)

    def _severity(self, sample: Sample, said: Said) -> Severity:
        left, odds = said.left[1], said.within[0]
        soon = left <= self._settings.critical_hours * 3600 and odds >= self._settings.critical_odds
        if sample.kind.minor:
            return Severity.WARNING if soon or left == 0 else Severity.INFO
        return Severity.CRITICAL if soon or left == 0 else Severity.WARNING

    def _tell_high(
        self, level: int, sample: Sample, cluster: str, at: float, out: list[Output]
    ) -> None:
        assert sample.high is not None  # it was compared
        high = sample.high
        key = f"{high.rule}|{sample.key}"
        standing = self._standing.get(key)
        line = f"{sample.object}: {sample.kind.noun} at {high.percent:.0f} %"
        if level == 0:
            if standing is not None:
                margin = high.warning - self._settings.high_margin
                text = f"{high.percent:.1f} % is below {margin:.0f} %"
                because = (Part("percent", round(high.percent, 2), text),)
                self._end(key, standing, at, line, because, out)
            return
        bound = high.critical if level == 2 else high.warning
        severity = Severity.CRITICAL if level == 2 else Severity.WARNING
        since = at if standing is None else standing.since
        standing = Standing(
            *(high.rule, cluster, sample.object, sample.labels),
            *(since, severity.value, at, line),
        )
        self._stand(key, standing)
        held = span(self._settings.high_after)
        text = f"{high.percent:.1f} %: above {bound:.0f} % for {held}"
        because = (Part("percent", round(high.percent, 2), text),)
        out.append(_finding(standing, "firing", at, line, high.percent, because))

    def _stand(self, key: str, standing: Standing) -> None:
        self._standing.put(key, standing)
        group = (standing.rule, standing.cluster, standing.ref)
        self._members.setdefault(group, set()).add(key)

    def _end(
        self,
        key: str,
        standing: Standing,
        at: float,
        line: str,
        because: tuple[Part, ...],
        out: list[Output],
    ) -> None:
        """Let one series be at rest; the finding ends with the last of its object."""
        self._standing.drop(key)
        group = (standing.rule, standing.cluster, standing.ref)
        members = self._members[group]
        members.discard(key)
        if not members:
            del self._members[group]
            out.append(_finding(standing, "resolved", at, line, 0.0, because))

    # what event time says

    def _mark(self, before: float, now: float, out: list[Output]) -> None:
        """Change what rows share; event time has just passed from `before` to `now`."""
        self._table.fold()
        edge = now - self._settings.gone_after
        for key, standing in list(self._standing):
            row = self._rows.find([key.split("|", 1)[1]])
            if row[0] < 0 or self._rows.seen(row)[0] < edge:
                text = f"no sample for {span(self._settings.gone_after)}: the series has ended"
                because = (Part("gone", self._settings.gone_after, text),)
                line = f"{standing.ref}: no longer reported"
                self._silence(key, row)
                self._end(key, standing, now, line, because, out)
        if now // 3600 > before // 3600:
            self._evict(now)
            self._points.evict(now - 3600)

    def _silence(self, key: str, row: Rows) -> None:
        """Take back what a row itself remembers of its finding."""
        if row[0] < 0:
            return
        if key.startswith("node-") and key.split("|", 1)[0].endswith("-high"):
            self._series.arrays()["high"][row] = 0
            self._series.arrays()["over"][row] = np.nan
            self._own.touch(row)
        else:
            self._memory.arrays()["alarm"][row] = False
            self._memory.arrays()["run"][row] = 0
            self._calibration.touch(row)

    def _evict(self, now: float) -> None:
        keys = []
        for row in self._rows.idle(now - _KEEP_PODS).tolist():
            key = self._rows.key_of(row)
            keep = _KEEP_PODS if key.split("/", 2)[1] == "Pod" else _KEEP
            if self._rows.seen(np.array([row]))[0] < now - keep:
                keys.append(key)
        if not keys:
            return
        gone = self._rows.release(keys)
        for bank, pages in self._paged():
            bank.forget(gone)
            pages.touch(gone)

    # state

    def _paged(self) -> Iterable[tuple[Bank, PagedBank]]:
        return (
            (self._bank, self._state),
            *((self._bank, ring) for ring in self._rings),
            (self._memory, self._calibration),
            (self._series, self._own),
        )

    def _reserve(self) -> None:
        for _, pages in self._paged():
            pages.reserve(self._rows.size)

    def snapshot(self) -> Mapping[str, bytes]:
        """Return the pages that changed."""
        out = {**self._rows.snapshot(), **self._standing.snapshot(), **self._points.snapshot()}
        for _, pages in self._paged():
            out |= pages.snapshot()
        return out | self._time.snapshot() | self._odds.snapshot()

    def restore(self, pages: Mapping[str, bytes]) -> None:
        """Become what the pages say."""
        self._rows.restore(pages)
        self._standing.restore(pages)
        self._points.restore(pages)
        for _, paged in self._paged():
            paged.restore(pages)
        self._time.restore(pages)
        self._odds.restore(pages)
        self._members = {}
        for key, standing in self._standing:
            self._stand(key, standing)
        self._standing.snapshot()  # nothing has changed by standing up again

    def _set_time(self, value: float | None) -> None:
        self._now = -math.inf if value is None else value

    def _get_table(self) -> dict[str, bytes]:
        return {name: array.tobytes() for name, array in sorted(self._table.arrays().items())}

    def _set_table(self, value: dict[str, bytes] | None) -> None:
        self._table = Table()
        if value is None:
            return
        arrays = self._table.arrays()
        if value.keys() != arrays.keys() or any(
            len(value[name]) != array.nbytes for name, array in arrays.items()
        ):
            raise Corrupt("page 'odds' is of another version of the growth model")
        for name, array in arrays.items():
            array[...] = np.frombuffer(value[name], array.dtype).reshape(array.shape)
        self._table.refresh()


def _numbers(sample: Sample) -> tuple[float, ...]:
    high = sample.high
    fixed = (math.nan,) * 3 if high is None else (high.percent, high.warning, high.critical)
    return (sample.value, sample.size, sample.limit, sample.declared, sample.started, *fixed)


def _finding(
    standing: Standing,
    state: Literal["firing", "resolved"],
    at: float,
    line: str,
    score: float,
    because: tuple[Part, ...],
) -> Finding:
    return conclude(
        standing.rule,
        state,
        standing.cluster,
        standing.ref,
        at=at,
        since=standing.since,
        summary=line,
        severity=Severity(standing.severity),
        score=round(score, 3),
        because=because,
        labels=standing.labels,
    )
