"""Rows to lines of InfluxDB's line protocol: exact, safe against any text, a microsecond each.

A series' measurement, tags and field names are put into a bytes template once; the numbers of a
whole batch become text in one call of the JSON encoder, which is four times as fast as ``%``; a
point then costs one lookup and one ``%`` of bytes. Guaranteed:

- numbers are exact: integers as such, floats as the shortest text that reads back the same;
- NaN, infinity and what 64 bits cannot hold never leave: such a field is left out and counted;
- no text can end a line, open a tag or a field, or become another point: what line protocol cannot
  say in a tag (control characters, a backslash) is replaced by its picture (``␊``, ``⧵``);
- one row makes at most one line, the same row always the same line.

The cardinality guard: each measurement holds at most `most_series` series at a time; beyond, tags
that we do not bound ourselves become ``__other__``, the time gets a shift of some microseconds out
of the original tags so that folded points do not overwrite each other, and `folded` counts. A
series that was silent for a day makes room. Left to others: which rows there are
(`stream.sinks.points`), what the server then says (`stream.sinks.drain`).
"""

from __future__ import annotations

import logging
import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from math import isfinite
from operator import itemgetter, mod
from typing import Final, NamedTuple

import msgspec

from stream.errors import Rejected
from stream.records import Point
from stream.sinks.schema import SCHEMA, TAGS, Field, Kind

_log = logging.getLogger(__name__)
OTHER: Final = "__other__"
MOST_SERIES: Final = 100_000  # of one measurement; InfluxDB 1.8 warns from about a million in all
_FORGET: Final = 86_400.0  # seconds of event time without a point after which a series makes room
_TAG_LONGEST: Final = 256  # characters; Kubernetes' own names end at 253
_TEXT_LONGEST: Final = 8192  # characters of a text field; lines for people are far shorter
_SPREAD: Final = 1_000_000  # nanoseconds: what a shift is taken from; times are milliseconds
_INTEGER: Final = 2.0**63
_LATEST: Final = 9.2e9  # seconds; nanoseconds since 1970 end here

Value = float | int | str | bool
Tags = tuple[tuple[str, str], ...]


class Row(NamedTuple):
    """One point to be: fields may be of any kind, absent ones are left out before."""

    measurement: str
    tags: Tags  # sorted by name; an empty value means that there is none
    fields: Mapping[str, Value]
    at: float
    salt: str = ""  # tells points of one series and time apart, such as an id; "" : they overwrite


class Refusal(StrEnum):
    """Why a row or a field was not written."""

    UNKNOWN_MEASUREMENT = "unknown-measurement"
    UNKNOWN_TAG = "unknown-tag"
    UNKNOWN_FIELD = "unknown-field"
    WRONG_KIND = "wrong-kind"
    NOT_FINITE = "not-finite"
    OUT_OF_RANGE = "out-of-range"
    BAD_TIME = "bad-time"
    NO_FIELD = "no-field"
    BEYOND_RETENTION = "beyond-retention"
    UNREADABLE = "unreadable"  # the message is no record of its topic
    SERVER = "server"  # the server will not have it


class Unwritable(Rejected):
    """A row that can never be written; `reason` says why."""

    def __init__(self, reason: Refusal, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class _Series(NamedTuple):
    """One series: how its lines begin, and what its times are shifted by."""

    head: bytes
    shift: int  # nanoseconds
    folded: bool


class _Shape:
    """What the lines of many series have in common; told apart by identity, for speed."""

    __slots__ = ("integers", "width")

    def __init__(self, kinds: Sequence[Kind]) -> None:
        self.width = len(kinds)  # number of fields
        self.integers = [i for i, kind in enumerate(kinds) if kind is Kind.INTEGER]  # the whole

    def is_odd(self, row: Sequence[bytes | None]) -> bool:
        """Whether some number of a point cannot be written as JSON has it."""
        return any(part and (b"n" in part or b"e" in part) for part in row) or any(
            b"." in (row[i] or b"") for i in self.integers
        )


class _Template(NamedTuple):
    """The line of one series with one set of fields, a ``%b`` for each number and the time."""

    text: bytes
    shape: _Shape


_TEXT: Final = itemgetter(0)  # of a template; a third of the time of the name
_SHAPE: Final = itemgetter(1)


class _Times(dict[float, bytes | None]):
    """Times as lines have them, in milliseconds; None where a time needs care.

    Most points share theirs with others, so each is made once.
    """

    def __init__(self, latest: float) -> None:
        super().__init__()
        self._latest = latest

    def __missing__(self, at: float) -> bytes | None:
        made = self[at] = b"%d" % round(at * 1000) if 0.0 <= at <= self._latest else None
        return made


class Encoder:
    """Makes lines, and remembers which series there are.

    Parameters
    ----------
    most_series
        Series of one measurement at a time.

    Attributes
    ----------
    folded
        Points of each measurement whose tags became ``__other__``.
    dropped
        Fields that were left out, by reason; their rows were written without them.
    """

    def __init__(self, most_series: int = MOST_SERIES) -> None:
        self._most = most_series
        self._young: dict[tuple[str, Tags], _Series] = {}
        self._old: dict[tuple[str, Tags], _Series] = {}
        self._count: Counter[str] = Counter()
        self._turn_at = -_LATEST
        # By measurement, tags, and the names of the fields: so the long hash is of the tags alone.
        self._templates: dict[str, dict[Tags, dict[tuple[str, ...], _Template]]] = {
            name: {} for name in SCHEMA
        }
        self._shapes: dict[tuple[Kind, ...], _Shape] = {}
        self._told: set[str] = set()  # measurements whose folding is in the log
        self.folded: Counter[str] = Counter()
        self.dropped: Counter[Refusal] = Counter()

    def series(self, measurement: str) -> int:
        """Return how many series of a measurement are known."""
        return self._count[measurement]

    def line(self, row: Row) -> bytes:
        """Return the line of any row, without its line break; some 10 µs.

        Raises
        ------
        Unwritable
            It can never be written.
        """
        series = self._series_of(row.measurement, row.tags, row.at)
        if series.folded:
            self.folded[row.measurement] += 1
        shift = series.shift
        if row.salt:
            shift = (shift + zlib.crc32(_utf8(row.salt))) % _SPREAD
        return self._careful(series, row, shift)

    def many(self, points: Sequence[Point]) -> list[bytes | Unwritable]:
        """Return the line of each point, or why it has none: `line`, made for millions.

        Under a microsecond each; a series' first point and odd numbers cost ten times that.
        """
        known, times = self._templates, _Times(self._turn_at)
        try:
            templates = [known[p.measurement][p.tags][tuple(p.fields)] for p in points]
        except KeyError:
            return self._many_and_new(points)
        stamps = [times[p.at] for p in points]
        if not all(stamps):
            return self._many_and_new(points)
        if len(set(map(_SHAPE, templates))) == 1:
            return self._filled(templates, stamps, points)
        lines: list[bytes | Unwritable] = [b""] * len(points)
        groups: dict[_Shape, list[int]] = {}
        for place, (_, shape) in enumerate(templates):
            groups.setdefault(shape, []).append(place)
        for places in groups.values():
            made = self._filled(
                [templates[i] for i in places],
                [stamps[i] for i in places],
                [points[i] for i in places],
            )
            for place, line in zip(places, made, strict=True):
                lines[place] = line
        return lines

    def _many_and_new(self, points: Sequence[Point]) -> list[bytes | Unwritable]:
        """Return the lines where not every series is known, or some points never will have one."""
        lines: list[bytes | Unwritable] = [b""] * len(points)
        good: list[int] = []
        for place, point in enumerate(points):
            series = self._templates.get(point.measurement, {}).get(point.tags, {})
            known = tuple(point.fields) in series and 0.0 <= point.at <= self._turn_at
            if not known and self._template(point) is None:
                lines[place] = self._alone(point)
            else:
                good.append(place)
        if good:
            made = self.many([points[i] for i in good])
            for place, line in zip(good, made, strict=True):
                lines[place] = line
        return lines

    def _filled(
        self,
        templates: Sequence[_Template],
        stamps: Sequence[bytes | None],
        points: Sequence[Point],
    ) -> list[bytes | Unwritable]:
        """Return the lines of points that have one shape."""
        shape = templates[0].shape
        numbers: list[float] = []
        for point in points:
            numbers += point.fields.values()
        text = _json(numbers)[1:-1] + b","
        parts = text.replace(b".0,", b",").split(b",")
        del parts[-1]  # behind the last comma
        values = [iter(parts)] * shape.width
        rows = zip(*values, stamps, strict=True)
        wholes = b"".join([part for i in shape.integers for part in parts[i :: shape.width]])
        texts = list(map(_TEXT, templates))
        # NaN and infinity became null; what needs an exponent may not fit an integer.
        if b"n" in text or b"e" in text or b"." in wholes:
            return [
                self._alone(point) if shape.is_odd(row) else template % row
                for point, template, row in zip(points, texts, rows, strict=True)
            ]
        return list(map(mod, texts, rows))

    def _alone(self, point: Point) -> bytes | Unwritable:
        try:
            return self.line(Row(point.measurement, point.tags, point.fields, point.at))
        except Unwritable as error:
            return error

    def _template(self, point: Point) -> _Template | None:
        """Return a series' template for these fields; None where it needs care."""
        measurement, tags, fields, at = point.measurement, point.tags, point.fields, point.at
        if not 0.0 <= at < _LATEST or not fields:
            return None
        try:
            series = self._series_of(measurement, tags, at)
        except Unwritable:
            return None
        known = SCHEMA[measurement].fields
        kinds = tuple(known[name].kind for name in fields if name in known)
        odd = len(kinds) < len(fields) or not set(kinds) <= {Kind.FLOAT, Kind.INTEGER}
        if series.folded or odd:
            return None
        names = b",".join(
            b"%b=%%b%b" % (name.encode(), b"i" if kind is Kind.INTEGER else b"")
            for name, kind in zip(fields, kinds, strict=True)
        )
        text = b"%b %b %%b%06d" % (series.head.replace(b"%", b"%%"), names, series.shift)
        shape = self._shapes.setdefault(kinds, _Shape(kinds))
        made = _Template(text, shape)
        self._templates[measurement].setdefault(tags, {})[tuple(fields)] = made
        return made

    def _series_of(self, measurement: str, tags: Tags, at: float) -> _Series:
        if not -_LATEST < at < _LATEST:
            raise Unwritable(Refusal.BAD_TIME, f"time {at!r} is none that InfluxDB can hold")
        if at > self._turn_at:
            self._turn(at)
        key = (measurement, tags)
        series = self._young.get(key) or self._old.pop(key, None) or self._admit(measurement, tags)
        if not series.folded:  # those take no room: that is the point
            self._young[key] = series
        return series

    def _turn(self, at: float) -> None:
        """Forget what was silent for a whole day."""
        for measurement, _ in self._old:
            self._count[measurement] -= 1
        self._old, self._young = self._young, {}
        for known in self._templates.values():
            known.clear()  # whoever speaks is looked up once more, and so counts as young
        self._turn_at = at + _FORGET

    def _admit(self, measurement: str, tags: Tags) -> _Series:
        known = SCHEMA.get(measurement)
        if known is None:
            raise Unwritable(
                Refusal.UNKNOWN_MEASUREMENT, f"measurement {measurement!r} is not in the schema"
            )
        for name, _ in tags:
            if name not in known.tags:
                raise Unwritable(
                    Refusal.UNKNOWN_TAG, f"tag {name!r} of {measurement!r} is not in the schema"
                )
        folded = self._count[measurement] >= self._most
        if folded:
            if measurement not in self._told:
                self._told.add(measurement)
                _log.warning("cardinality=%s series=%d action=fold", measurement, self._most)
            shown = tuple((n, v if TAGS[n].bounded else OTHER) for n, v in tags)
        else:
            self._count[measurement] += 1
            shown = _without_pods(tags)
        shift = 0 if shown == tags else zlib.crc32(_utf8(repr(tags))) % _SPREAD
        return _Series(_head(measurement, shown), shift, folded)

    def _careful(self, series: _Series, row: Row, shift: int) -> bytes:
        known = SCHEMA[row.measurement].fields
        parts = []
        for name, value in row.fields.items():
            field = known.get(name)
            written = _written(field, value) if field else Refusal.UNKNOWN_FIELD
            if isinstance(written, Refusal):
                self.dropped[written] += 1
            elif written:
                parts.append(b"%b=%b" % (name.encode(), written))
        if not parts:
            raise Unwritable(Refusal.NO_FIELD, f"a row of {row.measurement!r} has no usable field")
        return b"%b %b %d%06d" % (series.head, b",".join(parts), round(row.at * 1000), shift)


def tag_text(value: str) -> str:
    r"""Return `value` as a tag can hold it: on one line, without backslashes, of bounded length.

    Examples
    --------
    >>> tag_text("a\nb"), tag_text("C:\\x")
    ('a␊b', 'C:⧵x')
    """
    shown = value.translate(_PICTURES) if _ODD.search(value) else value
    if len(shown) > _TAG_LONGEST:
        mark = f"…{zlib.crc32(_utf8(value)):08x}"  # two long ones stay two
        shown = shown[: _TAG_LONGEST - len(mark)] + mark
    return _utf8(shown).decode()


def field_text(value: str) -> str:
    """Return `value` as a field will hold it: anything but what UTF-8 cannot say, cut when long."""
    shown = value if len(value) <= _TEXT_LONGEST else value[: _TEXT_LONGEST - 1] + "…"
    return _utf8(shown).decode()


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _without_pods(tags: Tags) -> Tags:
    """Leave out the name where it is a pod's own: a pod that nobody owns is its own workload."""
    if ("workload_kind", "Pod") not in tags:
        return tags
    return tuple((name, value) for name, value in tags if name != "workload")


def _head(measurement: str, tags: Tags) -> bytes:
    parts = [measurement]
    for name, value in tags:
        if value:
            escaped = _SPECIAL.sub(r"\\\1", tag_text(value))
            parts.append(f"{name}={escaped}")
    return ",".join(parts).encode()


def _written(field: Field, value: Value) -> bytes | Refusal:
    """Return one field's value on the wire; empty for an empty text."""
    if field.kind is Kind.TEXT:
        if isinstance(value, str):
            quoted = field_text(value).replace("\\", "\\\\").replace('"', '\\"')
            return f'"{quoted}"'.encode() if value else b""
    elif field.kind is Kind.TRUTH:
        if isinstance(value, bool):
            return b"true" if value else b"false"
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if not isfinite(value):
            return Refusal.NOT_FINITE
        if field.kind is Kind.INTEGER:
            fits = -_INTEGER <= value < _INTEGER
            return _whole(value) + b"i" if fits else Refusal.OUT_OF_RANGE
        return _json(float(value)).removesuffix(b".0")
    return Refusal.WRONG_KIND


def _whole(value: float) -> bytes:
    if isinstance(value, int):
        return b"%d" % value
    text = _json(value).removesuffix(b".0")
    return b"%d" % round(value) if b"." in text or b"e" in text else text


_json: Final = msgspec.json.Encoder().encode
_SPECIAL: Final = re.compile(r"([,= ])")
_ODD: Final = re.compile(r"[\x00-\x1f\x7f\\]")
_PICTURES: Final = {code: 0x2400 + code for code in range(32)} | {0x7F: 0x2421, 0x5C: 0x29F5}
