"""The SQL of the embedded bus: one file, one connection, no asyncio. Only this file knows sqlite3.

A `Store` is one connection to the file; `stream.embedded` holds two, one that writes in a thread of
its own and one that reads on WAL snapshots. Every writing method is one SQL transaction: it happens
whole or not at all, also when the process is killed in the middle.

Messages are kept a batch per row (up to 1000 messages or 1 MiB, msgpack): both ways four times as
fast as a row per message. Rows and state are zstd frames, level 1: a third of the size, half of the
time of a commit, and a checksum, since SQLite does not keep one of its pages. Offsets are dense:
the next row begins where the last one ended, and a hole is `Corrupt`.

How durable is "committed"? ``synchronous="FULL"`` syncs the log at each commit and survives loss of
power. ``"NORMAL"`` survives any crash of the process, but loss of power may take the last commits
(all of the same moment: log, state and offsets stay consistent). ``"OFF"`` is for files that
nobody will open again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import msgspec
import zstandard

from stream.bus import Batch, Message, Outgoing, Position, TopicSpec, note_key
from stream.errors import Corrupt, Fenced, ForewarnError, Rejected, Unavailable

Synchronous = Literal["FULL", "NORMAL", "OFF"]

_APPLICATION: Final = 0x4657_524E  # "FWRN": `file` and we tell our files from others by it
_VERSION: Final = 1
_BUSY_MS: Final = 5_000  # another process' commit takes milliseconds; 5 s means that it hangs
_ROW_MESSAGES: Final = 1_000
_ROW_BYTES: Final = 1 << 20
_READ_BYTES: Final = 8 << 20  # of one `read`: some 20 ms of decoding
_CACHED_ROWS: Final = 64  # decoded rows kept, one for each topic-partition that is being read

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS topic (
    name TEXT PRIMARY KEY, partitions INTEGER NOT NULL, retention REAL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS stream (
    id INTEGER PRIMARY KEY, topic TEXT NOT NULL, part INTEGER NOT NULL,
    oldest INTEGER NOT NULL, next INTEGER NOT NULL, UNIQUE (topic, part));
CREATE TABLE IF NOT EXISTS log (
    stream INTEGER NOT NULL, base INTEGER NOT NULL, n INTEGER NOT NULL,
    newest REAL NOT NULL, data BLOB NOT NULL, UNIQUE (stream, base));
CREATE TABLE IF NOT EXISTS offset (
    owner TEXT NOT NULL, topic TEXT NOT NULL, part INTEGER NOT NULL, next INTEGER NOT NULL,
    PRIMARY KEY (owner, topic, part)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS state (
    task TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, UNIQUE (task, key));
CREATE TABLE IF NOT EXISTS epoch (task TEXT PRIMARY KEY, epoch INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS position (source TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
"""

_Fields = tuple[bytes, bytes, float, tuple[tuple[str, bytes], ...]]  # a Message without its offset
_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.Decoder(list[_Fields]).decode


class _Row(NamedTuple):
    base: int
    messages: list[Message]


class Store:
    """One connection to the file of an embedded bus.

    Parameters
    ----------
    path
        The file; made where it is missing, its folder is not.
    synchronous
        What a commit waits for; see the module's text.

    Raises
    ------
    Corrupt
        The file is damaged, is no bus of ours, or is of another version.
    Unavailable
        It cannot be opened, or another process keeps it locked.
    """

    def __init__(self, path: Path, synchronous: Synchronous = "FULL") -> None:
        self._path = path
        self._streams: dict[tuple[str, int], int] = {}
        self._cache: dict[int, _Row] = {}
        self._compress = zstandard.ZstdCompressor(level=1, write_checksum=True).compress
        self._decompress = zstandard.ZstdDecompressor().decompress
        with self._translated("open"):
            self._db = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, timeout=_BUSY_MS / 1000
            )
        try:
            self._prepare(synchronous)
        except BaseException:
            self._db.close()
            raise

    def _prepare(self, synchronous: Synchronous) -> None:
        with self._translated("open"):
            # 16 KiB pages: a row of a full batch is some 60 KiB, fewer links to follow.
            self._db.execute("PRAGMA page_size = 16384")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute(f"PRAGMA synchronous = {synchronous}")
            self._db.execute("PRAGMA journal_size_limit = 67108864")
        with self._transaction("open"):
            self._check_version()
            for statement in _SCHEMA.split(";"):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA application_id = {_APPLICATION}")
            self._db.execute(f"PRAGMA user_version = {_VERSION}")

    def _check_version(self) -> None:
        if self._one("SELECT count(*) FROM sqlite_master") == 0:
            return
        if self._one("PRAGMA application_id") != _APPLICATION:
            raise Corrupt(f"{self._path} is a database, but not ours: name another file")
        found = self._one("PRAGMA user_version")
        if found != _VERSION:
            raise Corrupt(
                f"{self._path} has schema version {found}, this program reads {_VERSION}: "
                "run the version that wrote it, or start with a new file"
            )

    def close(self) -> None:
        """Close the connection; what was committed is on disk."""
        self._db.close()

    # ---- writing ------------------------------------------------------------------------------

    def ensure(self, topics: Sequence[TopicSpec]) -> None:
        """Create missing topics; take over a changed retention."""
        with self._transaction("create topics"):
            for name, partitions, retention in topics:
                found = self._one("SELECT partitions FROM topic WHERE name = ?", name)
                if found not in (None, partitions):
                    raise Corrupt(
                        f"topic {name!r} has {found} partitions, {partitions} are asked for: "
                        "keep the old number, or start with a new file"
                    )
                self._db.execute(
                    "INSERT INTO topic VALUES (?1, ?2, ?3) "
                    "ON CONFLICT DO UPDATE SET retention = ?3",
                    (name, partitions, retention),
                )
                self._db.executemany(
                    "INSERT OR IGNORE INTO stream (topic, part, oldest, next) VALUES (?, ?, 0, 0)",
                    [(name, part) for part in range(partitions)],
                )

    def publish(self, messages: Sequence[Outgoing], position: Position | None) -> None:
        """Append `messages` and remember `position`."""
        with self._transaction("publish"):
            self._append(messages)
            if position is not None:
                source, value, notes = position
                kept = [(note_key(source, name), it) for name, it in notes.items()]
                self._db.executemany(
                    "INSERT OR REPLACE INTO position VALUES (?, ?)",
                    [(source, value), *((key, it) for key, it in kept if it is not None)],
                )
                self._db.executemany(
                    "DELETE FROM position WHERE source = ?",
                    [(key,) for key, it in kept if it is None],
                )

    def own(self, task: str) -> int:
        """Raise the fencing epoch of `task` and return it."""
        with self._transaction("take a task"):
            self._db.execute(
                "INSERT INTO epoch VALUES (?, 1) ON CONFLICT DO UPDATE SET epoch = epoch + 1",
                (task,),
            )
            return int(self._one("SELECT epoch FROM epoch WHERE task = ?", task))

    def commit(
        self,
        task: str,
        partition: int,
        epoch: int,
        outputs: Sequence[Outgoing],
        changelog: Mapping[bytes, bytes | None],
        offsets: Mapping[str, int],
    ) -> None:
        """Write all of it if `epoch` is still the newest of `task`.

        Raises
        ------
        Fenced
            The task has a newer owner; nothing was written.
        """
        with self._transaction("commit"):
            newest = self._one("SELECT epoch FROM epoch WHERE task = ?", task)
            if newest != epoch:
                raise Fenced(f"task {task} has a newer owner (epoch {newest}, ours is {epoch})")
            self._append(outputs)
            self._db.executemany(
                "INSERT OR REPLACE INTO state VALUES (?, ?, ?)",
                [
                    (task, key, self._compress(value))
                    for key, value in changelog.items()
                    if value is not None
                ],
            )
            self._db.executemany(
                "DELETE FROM state WHERE task = ? AND key = ?",
                [(task, key) for key, value in changelog.items() if value is None],
            )
            self._remember(task, {(topic, partition): at for topic, at in offsets.items()})

    def remember(self, group: str, offsets: Mapping[tuple[str, int], int]) -> None:
        """Keep the reading position of `group`: (topic, partition) → next offset."""
        with self._transaction("commit a position"):
            self._remember(group, offsets)

    def trim(self, now: float) -> int:
        """Delete rows whose every message, and every row before, is older than the retention."""
        with self._translated("trim"):
            kept = self._all(
                "SELECT id, retention FROM stream JOIN topic ON name = topic "
                "WHERE retention IS NOT NULL"
            )
        # A transaction each, so that no commit waits long.
        return sum(self._trim(stream, now - retention) for stream, retention in kept)

    def _trim(self, stream: int, before: float) -> int:
        with self._transaction("trim"):
            oldest, end = self._all("SELECT oldest, next FROM stream WHERE id = ?", stream)[0]
            first = self._one(
                "SELECT min(base) FROM log WHERE stream = ? AND newest >= ?", stream, before
            )
            first = end if first is None else first
            self._db.execute("DELETE FROM log WHERE stream = ? AND base < ?", (stream, first))
            self._db.execute("UPDATE stream SET oldest = ? WHERE id = ?", (first, stream))
        return int(first - oldest)

    def _append(self, messages: Sequence[Outgoing]) -> None:
        parts: dict[tuple[str, int], list[Outgoing]] = {}
        for message in messages:
            parts.setdefault((message.topic, message.partition), []).append(message)
        for (topic, part), batch in parts.items():
            stream = self._stream(topic, part)
            base = int(self._one("SELECT next FROM stream WHERE id = ?", stream))
            for chunk in _chunks(batch):
                # (key, value, at, headers): the fields of a Message behind its offset.
                data = self._compress(_pack([message[2:] for message in chunk]))
                newest = max(message.at for message in chunk)
                row = (stream, base, len(chunk), newest, data)
                self._db.execute("INSERT INTO log VALUES (?, ?, ?, ?, ?)", row)
                base += len(chunk)
            self._db.execute("UPDATE stream SET next = ? WHERE id = ?", (base, stream))

    def _remember(self, owner: str, offsets: Mapping[tuple[str, int], int]) -> None:
        self._db.executemany(
            "INSERT OR REPLACE INTO offset VALUES (?, ?, ?, ?)",
            [(owner, topic, part, at) for (topic, part), at in offsets.items()],
        )

    # ---- reading ------------------------------------------------------------------------------

    def version(self) -> int:
        """Return a number that changes when another connection commits. A microsecond."""
        with self._translated("look for news"):
            return int(self._one("PRAGMA data_version"))

    def partitions(self, topic: str) -> int:
        """Return how many partitions `topic` has."""
        with self._translated("read"):
            found = self._one("SELECT partitions FROM topic WHERE name = ?", topic)
        if found is None:
            raise Rejected(f"topic {topic!r} does not exist: create it with `ensure`")
        return int(found)

    def position(self, source: str) -> bytes | None:
        """Return the last position of `source`."""
        with self._translated("read"):
            found: bytes | None = self._one("SELECT value FROM position WHERE source = ?", source)
            return found

    def notes(self, source: str) -> dict[str, bytes]:
        """Return what is kept beside the position of `source`."""
        begin = note_key(source, "")
        with self._translated("read"):
            rows = self._all(
                "SELECT source, value FROM position WHERE source >= ? AND source < ?",
                begin,
                begin + "\U0010ffff",
            )
        return {key[len(begin) :]: value for key, value in rows}

    def state(self, task: str) -> dict[bytes, bytes]:
        """Return the committed state of `task`."""
        with self._translated("read state"):
            rows = self._all("SELECT key, value FROM state WHERE task = ?", task)
        return {key: self._whole(value, f"in the state of task {task}") for key, value in rows}

    def remembered(self, group: str) -> dict[tuple[str, int], int]:
        """Return the reading position of `group`."""
        with self._translated("read"):
            rows = self._all("SELECT topic, part, next FROM offset WHERE owner = ?", group)
        return {(topic, part): at for topic, part, at in rows}

    def bounds(self, topic: str) -> list[tuple[int, int]]:
        """Return, per partition, the oldest kept offset and the one that comes next."""
        self.partitions(topic)
        with self._translated("read"):
            rows = self._all("SELECT oldest, next FROM stream WHERE topic = ? ORDER BY part", topic)
        return [(oldest, end) for oldest, end in rows]

    def read(self, topic: str, partition: int, offset: int | None, limit: int) -> Batch | None:
        """Return up to `limit` messages (and about 8 MiB) from `offset`, or from the oldest.

        Raises
        ------
        Corrupt
            The offset was never written or is no longer kept, or the row is damaged.
        """
        with self._translated("read"):
            stream = self._stream(topic, partition)
            bounds = self._all("SELECT oldest, next FROM stream WHERE id = ?", stream)[0]
            start = bounds[0] if offset is None else offset
            self._check_kept(topic, partition, start, *bounds)
            messages = list(islice(self._messages(stream, start, bounds[1]), limit))
        if not messages:
            return None
        return Batch(topic, partition, messages, messages[-1].offset + 1)

    def _check_kept(self, topic: str, part: int, offset: int, oldest: int, end: int) -> None:
        if oldest <= offset <= end:
            return
        lost = (
            f"retention has dropped it (oldest is {oldest}): raise the retention of {topic!r}, "
            "and begin again under a new group or application name"
            if offset < oldest
            else f"the log ends at {end}: it was replaced by an older copy, restore the newer one"
        )
        raise Corrupt(f"offset {offset} of {topic}/{part} is not in {self._path}: {lost}")

    def _messages(self, stream: int, offset: int, end: int) -> Iterator[Message]:
        size = 0
        while offset < end and size < _READ_BYTES:
            row = self._row(stream, offset)
            for message in islice(row.messages, offset - row.base, None):
                yield message
                size += len(message.value) + len(message.key)
                if size >= _READ_BYTES:
                    return
            offset = row.base + len(row.messages)

    def _row(self, stream: int, offset: int) -> _Row:
        cached = self._cache.get(stream)
        if cached is not None and 0 <= offset - cached.base < len(cached.messages):
            return cached
        if len(self._cache) >= _CACHED_ROWS:
            self._cache.clear()
        row = self._cache[stream] = self._load(stream, offset)
        return row

    def _load(self, stream: int, offset: int) -> _Row:
        found = self._all(
            "SELECT base, n, data FROM log WHERE stream = ? AND base <= ? "
            "ORDER BY base DESC LIMIT 1",
            stream,
            offset,
        )
        base, n, data = found[0] if found else (0, 0, b"")
        where = f"at offset {offset} of stream {stream}"
        fields = _unpack(self._whole(data, where)) if base <= offset < base + n else []
        if len(fields) != n or not fields:
            raise self._damaged(where)
        return _Row(base, [Message(base + i, *each) for i, each in enumerate(fields)])

    def _whole(self, data: bytes, where: str) -> bytes:
        """Return the content of a frame whose checksum is right."""
        try:
            return bytes(self._decompress(data))
        except zstandard.ZstdError as error:
            raise self._damaged(where) from error

    def _damaged(self, where: str) -> Corrupt:
        return Corrupt(
            f"{self._path} is damaged {where}: restore the file from a backup, or move it away "
            "and record anew"
        )

    def _stream(self, topic: str, partition: int) -> int:
        known = self._streams.get((topic, partition))
        if known is not None:
            return known
        found = self._one("SELECT id FROM stream WHERE topic = ? AND part = ?", topic, partition)
        if found is None:
            partitions = self.partitions(topic)
            raise Rejected(
                f"topic {topic!r} has {partitions} partitions, none numbered {partition}"
            )
        self._streams[topic, partition] = int(found)
        return int(found)

    # ---- sqlite3 ------------------------------------------------------------------------------

    def _one(self, sql: str, *values: object) -> Any:
        row = self._db.execute(sql, values).fetchone()
        return None if row is None else row[0]

    def _all(self, sql: str, *values: object) -> list[Any]:
        return self._db.execute(sql, values).fetchall()

    @contextmanager
    def _transaction(self, doing: str) -> Iterator[None]:
        with self._translated(doing):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # SQLite has rolled back by itself on a full disk
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.ProgrammingError:
            raise  # a bug of ours, such as using a closed bus
        except sqlite3.Error as error:
            raise _ours(error, f"cannot {doing} in {self._path}: {error}") from error


def _ours(error: sqlite3.Error, tried: str) -> ForewarnError:
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:  # the primary code of an extended one
        # 0 is Python's own complaint: text that is none in a column of bytes.
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB | 0:
            return Corrupt(
                f"{tried}; the file is damaged or no database of ours: restore it from a backup, "
                "or move it away and start with a new one"
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return Unavailable(
                f"{tried}; another process has held the file for {_BUSY_MS / 1000:g} s: "
                "look for a second forewarn or a backup that does not end"
            )
        case sqlite3.SQLITE_FULL:
            return Unavailable(f"{tried}; the disk is full: make room, nothing written is lost")
        case _:
            return Unavailable(f"{tried}; see that the folder exists and may be written to")


def _chunks(messages: Iterable[Outgoing]) -> Iterator[list[Outgoing]]:
    chunk: list[Outgoing] = []
    size = 0
    for message in messages:
        chunk.append(message)
        size += len(message.key) + len(message.value)
        if len(chunk) >= _ROW_MESSAGES or size >= _ROW_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
