"""The one loop: task p reads partition p of every input, steps the operators, commits.

A task's durable state is **a snapshot at input offsets S, and the committed offsets O ≥ S**. Every
commit writes outputs, dead letters and O in one transaction with the fencing check; the pages of
the operators go along only when a snapshot is due. Restoring takes the task (which fences the
owner before), reads the pages, replays the inputs from S to O with the outputs thrown away (they
are committed already, and operators are deterministic), and goes on behind O.

Guaranteed, whenever the process dies and however the records are cut into batches: every record is
applied once, every conclusion is committed once, state and outputs are bit for bit the same.

- Memory is never patched. Any error on the way to a commit, and any in it, drops all of it; the
  next step owns the task anew. `Fenced` means that another has it: the task ends.
- Records below the expected offset are dropped and counted.
- What cannot be decoded, or is refused by an operator, goes to the dead letters in the same
  transaction; too much of it stops the task with `Corrupt` (`stream.dead_letters`).
- The clock paces commits and snapshots. It decides nothing else.

Left to others: which process runs which task, exporting `TaskCounters`, what operators conclude.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from stream.bus import Batch, Bus, Message, Ownership
from stream.checkpoint import pack
from stream.clock import Clock
from stream.codec import digest, outgoing
from stream.dead_letters import letter, sift
from stream.errors import Corrupt, Fenced, ForewarnError, Rejected, Unavailable
from stream.histogram import Histogram
from stream.operators.base import Operator, Output
from stream.past import Past, decoded
from stream.progress import Span, TopicProgress
from stream.records import DeadLetter, Finding
from stream.task_state import (
    MANIFEST,
    Manifest,
    Memory,
    changelog_keys,
    own_pages,
    stale_pages,
    summed,
)

log = logging.getLogger(__name__)

_TURN: Final = 0.02  # seconds of work after which others on the loop have a turn
_BACK_OFF: Final = (0.5, 30.0)  # seconds, first and longest, doubling


@dataclass(frozen=True, slots=True)
class Pace:
    """When a task commits and when it takes a snapshot: whichever comes first of each pair."""

    commit_seconds: float = 0.3
    """Processing time between two commits: the delay that a conclusion may have."""

    commit_records: int = 50_000
    """Records between two commits; bounds the outputs that are held in memory."""

    snapshot_records: int = 200_000
    """Records between two snapshots: what a restore replays at most, a second or two."""

    snapshot_seconds: float = 600.0
    """Processing time between two snapshots. Must stay far below the retention of the inputs."""


@dataclass(slots=True)
class TaskCounters:
    """What a task did since the process started; whoever exports metrics reads it."""

    records: int = 0
    outputs: int = 0
    dead_letters: int = 0
    dropped: int = 0  # below the expected offset
    commits: int = 0
    snapshots: int = 0
    snapshot_bytes: int = 0
    restores: int = 0
    replayed: int = 0  # records between S and O, at restores and after a refusal
    fenced: int = 0
    processing: Histogram = field(default_factory=Histogram)  # seconds of a step with records


class Task:
    """Partition `partition` of an application's inputs, stepped through its operators.

    Parameters
    ----------
    app
        Name under which state and fencing are kept; another name starts afresh.
    partitions
        How many there are. Part of the state: another number is refused.
    operators
        Makes the operators, as new; called again whenever memory was dropped.
    clock
        Paces commits and snapshots.
    skip_gaps
        What to do when inputs are no longer kept that were not processed or whose effect is not in
        a snapshot: go on behind them, with a dead letter that names the gap. Otherwise stop.
    """

    def __init__(
        self,
        bus: Bus,
        app: str,
        partition: int,
        partitions: int,
        operators: Callable[[], Sequence[Operator]],
        *,
        clock: Clock,
        pace: Pace | None = None,
        skip_gaps: bool = False,
    ) -> None:
        self._bus = bus
        self._app = app
        self._partition = partition
        self._partitions = partitions
        self._make = operators
        self._clock = clock
        self._pace = pace or Pace()
        self._skip_gaps = skip_gaps
        self._past = Past(bus, self.name, partition)
        self._memory: Memory | None = None
        self._stopping = False
        self._turn_at = clock.now()
        self.counters = TaskCounters()

    @property
    def name(self) -> str:
        """Application and partition, for logs and metrics."""
        return f"{self._app}/{self._partition}"

    @property
    def event_time(self) -> float:
        """Event time up to which all is processed, Unix seconds; 0 while that is not known."""
        if self._memory is None:
            return 0.0
        ticks = [
            at for each in self._memory.manifest.progress.values() for at in each.ticks.values()
        ]
        return min(ticks, default=0.0)

    @property
    def state_keys(self) -> int:
        """Keys of the durable state, as far as this process has it in memory."""
        return 0 if self._memory is None else len(self._memory.sums)

    # ---- the loop -----------------------------------------------------------------------------

    async def run(self, limit: int = 2_000) -> None:
        """Step until `stop` or cancellation; waits and owns the task anew when the bus fails.

        Raises
        ------
        Fenced
            The task has a newer owner.
        Corrupt
            State or input contradict themselves; the message says what to do.
        """
        pause = _BACK_OFF[0]
        try:
            while not self._stopping:
                try:
                    await self.step(limit, self._pace.commit_seconds)
                    pause = _BACK_OFF[0]
                except Unavailable as error:
                    wait = error.retry_after or pause
                    log.warning("task=%s unavailable retry_in=%.1fs: %s", self.name, wait, error)
                    await self._clock.sleep_until(self._clock.now() + wait)
                    pause = min(2 * pause, _BACK_OFF[1])
            await self.flush(snapshot=True)
        finally:
            await self.aclose()

    def stop(self) -> None:
        """Let `run` commit what it has, snapshot, give the task up and return."""
        self._stopping = True

    async def step(self, limit: int = 2_000, wait: float = 0.0) -> int:
        """Process up to `limit` records, waiting up to `wait` seconds for some; commit when due.

        The loop stands still while operators work on the records between two ticks, `limit` at the
        most: choose it so that this stays under 100 ms. Between ticks others have their turn.

        Raises
        ------
        Unavailable
            The bus cannot be used now; call again later.
        Fenced, Corrupt
            The task must end; see `run`.
        """
        memory = await self._restored()
        rest = memory.committed_at + self._pace.commit_seconds - self._clock.now()
        wait = min(wait, max(rest, 0.0)) if memory.uncommitted else wait
        count = 0
        try:
            batches = await memory.ownership.poll(limit, wait)
            began = self._clock.now()
            for batch in batches:
                count += await self._process(memory, batch)
        except BaseException:
            await self.aclose()
            raise
        if count:
            self.counters.processing.observe(self._clock.now() - began)
        snapshot = self._snapshot_due(memory)
        if snapshot or self._commit_due(memory):
            await self._commit(memory, snapshot=snapshot)
        return count

    async def flush(self, *, snapshot: bool = False) -> None:
        """Commit what was processed, with a snapshot if asked for, so that a restart is quick."""
        memory = self._memory
        if memory is not None and (
            memory.uncommitted or (snapshot and memory.manifest.base != memory.manifest.offsets)
        ):
            await self._commit(memory, snapshot=snapshot)

    async def aclose(self) -> None:
        """Give the task up and drop its memory; what was not committed is done again elsewhere."""
        memory, self._memory = self._memory, None
        if memory is not None:
            with suppress(ForewarnError):
                await memory.ownership.release()

    async def state_hash(self) -> str:
        """Return a digest of all operators' pages and of the offsets: equal histories, equal hash.

        Reads the whole changelog: for tests, `forewarn doctor` and audits, not for every batch.
        """
        memory = await self._restored()
        pages = {key: page for key, page in (await self._durable(memory)).items() if b"/" in key}
        for operator in memory.operators:
            changed = memory.pending.setdefault(operator.name, {})
            changed.update(operator.snapshot())
            pages.update(changelog_keys(operator, changed))
        manifest = memory.manifest
        framed = [part for key in sorted(pages.keys() - memory.stale) for part in (key, pages[key])]
        progress = [
            (topic, sorted(known.ticks.items()), known.held)
            for topic, known in sorted(manifest.progress.items())
        ]  # which topic was read first after a restart decides nothing
        return digest([*framed, pack((sorted(manifest.offsets.items()), progress))])

    # ---- restore ------------------------------------------------------------------------------

    async def _restored(self) -> Memory:
        if self._memory is None:
            self._memory = await self._restore()
        return self._memory

    async def _restore(self) -> Memory:
        """Fence, read the changelog, restore at S, replay to O: in this order, always."""
        operators = self._make()
        topics = list(dict.fromkeys(operator.topic for operator in operators))
        ownership = await self._bus.own(self._app, self._partition, topics)
        try:
            changelog = await ownership.changelog()
            manifest = Manifest.read(self.name, changelog, self._partitions)
            sums = manifest.verify(self.name, changelog)
            for operator in operators:
                operator.restore(own_pages(operator, changelog))
            await self._check_offsets(ownership, manifest)
            lost = await self._past.lost(manifest) if self._skip_gaps else []
            replayed = 0
            for topic in topics:
                readers = [operator for operator in operators if operator.topic == topic]
                replayed += await self._replay(manifest, readers, manifest.offsets.get(topic, 0))
            manifest.operators = [operator.name for operator in operators]
            ownership.seek(manifest.offsets)
        except BaseException:
            await ownership.release()
            raise
        self.counters.restores += 1
        log.info("task=%s restored epoch=%d replayed=%d", self.name, ownership.epoch, replayed)
        now = self._clock.now()
        stale = stale_pages(operators, changelog)
        memory = Memory(ownership, operators, manifest, now, now, stale, since_snapshot=replayed)
        memory.sums = sums
        self._say(memory, lost)
        return memory

    async def _replay(self, manifest: Manifest, readers: Sequence[Operator], end: int) -> int:
        """Bring `readers` from S to `end`, saying nothing; return the records."""
        count = await self._past.relearn(manifest, readers, end)
        self.counters.replayed += count
        return count

    async def _check_offsets(self, ownership: Ownership, manifest: Manifest) -> None:
        """See that the bus' own offsets, which people can change, are those in the state."""
        for topic, at in (await ownership.committed()).items():
            known = manifest.offsets.get(topic)
            if known != at:
                raise Corrupt(
                    f"task {self.name} has state up to offset {known} of {topic}/"
                    f"{self._partition}, but {at} is committed: one of them was reset or lost; "
                    "restore it, or use a new application name and rebuild from the inputs"
                )

    async def _durable(self, memory: Memory) -> Mapping[bytes, bytes]:
        """Return the changelog, which is ours only as long as nobody has fenced us."""
        changelog = await memory.ownership.changelog()
        durable = Manifest.read(self.name, changelog, self._partitions)
        if not memory.manifest.follows(durable):
            raise Fenced(f"task {self.name} has a newer owner, who has written a snapshot")
        return changelog

    # ---- process ------------------------------------------------------------------------------

    async def _process(self, memory: Memory, batch: Batch) -> int:
        topic, manifest = batch.topic, memory.manifest
        messages = self._expected(manifest, batch)
        if not messages:
            return 0
        manifest.base.setdefault(topic, messages[0].offset)
        offered, records, bad = decoded(topic, messages)
        place = f"{topic}/{self._partition}"
        letters = {message.offset: letter(place, message, error) for message, error in bad}
        progress = manifest.progress.setdefault(topic, TopicProgress())
        for span in progress.spans(records):
            letters |= await self._step_span(memory, topic, span, offered, records)
            if span.tick is not None:
                self._say(memory, progress.say(place, span.tick))
            await self._give_turn()
        positions = {message.offset: i for i, message in enumerate(messages)}
        manifest.poison.note(
            topic, self._partition, len(messages), [positions[offset] for offset in letters]
        )
        self._say(memory, [letters[offset] for offset in sorted(letters)])
        manifest.offsets[topic] = messages[-1].offset + 1
        memory.uncommitted += len(messages)
        memory.since_snapshot += len(messages)
        self.counters.records += len(messages)
        self.counters.dead_letters += len(letters)
        return len(messages)

    async def _give_turn(self) -> None:
        """Let heartbeats and requests through when operators have worked for a while."""
        if abs(self._clock.now() - self._turn_at) >= _TURN:
            await asyncio.sleep(0)
            self._turn_at = self._clock.now()

    def _expected(self, manifest: Manifest, batch: Batch) -> Sequence[Message]:
        expected = manifest.offsets.get(batch.topic, 0)
        if batch.messages[0].offset >= expected:
            return batch.messages
        messages = [message for message in batch.messages if message.offset >= expected]
        self.counters.dropped += len(batch.messages) - len(messages)
        return messages

    async def _step_span(
        self,
        memory: Memory,
        topic: str,
        span: Span,
        offered: Sequence[Message],
        records: Sequence[Any],
    ) -> dict[int, DeadLetter]:
        """Give one span to every operator of the topic; return the letters of what they refuse."""
        letters: dict[int, DeadLetter] = {}
        progress = memory.manifest.progress[topic]
        part = slice(span.start, span.stop)
        for operator in memory.operators:
            if operator.topic != topic:
                continue
            said, refused = await self._offer(memory, operator, offered[part], records[part])
            letters |= refused
            findings = [one for one in said if isinstance(one, Finding)]
            progress.hold(operator.name, f"{topic}/{self._partition}", findings)
            self._say(memory, [one for one in said if not isinstance(one, Finding)])
        return letters

    async def _offer(
        self,
        memory: Memory,
        operator: Operator,
        messages: Sequence[Message],
        records: Sequence[Any],
    ) -> tuple[Sequence[Output], dict[int, DeadLetter]]:
        try:
            return operator.on_records(records), {}
        except Rejected as error:
            log.warning("task=%s operator=%s refuses: %s", self.name, operator.name, error)
        # The operator may have learned half of it: back to S, and forward to where we were.
        pages = own_pages(operator, await self._durable(memory))
        operator.restore(pages)
        await self._replay(memory.manifest, [operator], messages[0].offset)
        before = {**pages, **operator.snapshot()}
        outputs, refused = await sift(operator, before, records)
        memory.pending[operator.name] = {
            name: page for name, page in before.items() if pages.get(name) != page
        }
        memory.since_snapshot += self._pace.snapshot_records  # the next refusal replays less
        place = f"{operator.topic}/{self._partition}"
        offsets = memory.manifest.refused.setdefault(operator.name, [])
        offsets.extend(messages[each.position].offset for each in refused)
        return outputs, {
            (message := messages[each.position]).offset: letter(
                place, message, f"operator {operator.name!r} refused it: {each.error}"
            )
            for each in refused
        }

    def _say(self, memory: Memory, records: Sequence[Any]) -> None:
        memory.outputs.extend(outgoing(record, self._partitions) for record in records)

    # ---- commit -------------------------------------------------------------------------------

    def _commit_due(self, memory: Memory) -> bool:
        if not memory.uncommitted:
            return False
        elapsed = self._clock.now() - memory.committed_at
        return (
            memory.uncommitted >= self._pace.commit_records or elapsed >= self._pace.commit_seconds
        )

    def _snapshot_due(self, memory: Memory) -> bool:
        if not memory.since_snapshot:
            return False
        elapsed = self._clock.now() - memory.snapshot_at
        return (
            memory.since_snapshot >= self._pace.snapshot_records
            or elapsed >= self._pace.snapshot_seconds
        )

    async def _commit(self, memory: Memory, *, snapshot: bool) -> None:
        changelog: dict[bytes, bytes | None] = {}
        try:
            if snapshot:
                changelog.update(self._snapshot(memory))
            changelog[MANIFEST] = pack(memory.manifest)
            await memory.ownership.commit(memory.outputs, changelog, memory.manifest.offsets)
        except BaseException as error:
            await self.aclose()
            self.counters.fenced += isinstance(error, Fenced)
            raise
        self.counters.commits += 1
        self.counters.outputs += len(memory.outputs)
        memory.outputs = []
        memory.uncommitted = 0
        memory.committed_at = self._clock.now()

    def _snapshot(self, memory: Memory) -> dict[bytes, bytes | None]:
        """Return the changed pages and move S up to O, both for the same transaction."""
        pages: dict[bytes, bytes | None] = dict.fromkeys(memory.stale)
        for operator in memory.operators:
            changed = memory.pending.pop(operator.name, {})
            pages.update(changelog_keys(operator, {**changed, **operator.snapshot()}))
        manifest = memory.manifest
        manifest.base = dict(manifest.offsets)
        manifest.refused = {}
        memory.stale = set()
        memory.since_snapshot = 0
        memory.snapshot_at = self._clock.now()
        manifest.sum = summed(memory.sums, pages)
        self.counters.snapshots += 1
        self.counters.snapshot_bytes += sum(len(page) for page in pages.values() if page)
        return pages
