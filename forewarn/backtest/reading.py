"""Reads what a person brings to a backtest: CSV of samples, or JSON Lines, one file a series.

A file may be any length; a folder stands for its files, sorted by name. Times are Unix seconds or
RFC 3339 (without an offset: UTC). Guaranteed: one bad line costs that line only and is told with
file, line number and a hint; a value that is empty, ``NaN`` or ``null`` is a gap, not a mistake;
a file without one good line is `Rejected`, or, in a folder, told and passed over.

Left to others: order of time (the models know what to do with late samples).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
import numpy as np

from ingest.times import seconds
from models.base import Floats
from stream.errors import Rejected

_SHOWN: Final = 10  # bad lines of one file that are told one by one
_LATEST: Final = 1e11  # seconds; a greater number is milliseconds
_GREATEST: Final = 1e100  # its square can still be computed with
_GAPS: Final = frozenset({"", "nan", "null", "none", "na", "n/a", "-"})
_TIME_NAMES: Final = ("at", "time", "timestamp", "date", "ts")
_VALUE_NAMES: Final = ("value", "val")
_T = TypeVar("_T")

Tell = Callable[[str], None]


class Samples(NamedTuple):
    """One series in the order of its file: (n,) Unix seconds and values, NaN for none."""

    times: Floats
    values: Floats


class BadLines:
    """Counts the bad lines of one file and tells the first of them."""

    def __init__(self, path: Path, tell: Tell) -> None:
        self._path, self._tell, self.count = path, tell, 0

    def add(self, number: int, error: str) -> None:
        """Note what is wrong with a line, counted from 1."""
        self.count += 1
        if self.count <= _SHOWN:
            self._tell(f"{self._path.name} line {number}: {error}; line skipped")

    def close(self, good: int) -> None:
        """Say how many there were beyond those told.

        Raises
        ------
        Rejected
            There was no good line.
        """
        if self.count > _SHOWN:
            self._tell(f"{self._path.name}: {self.count - _SHOWN} more bad lines were skipped")
        if not good:
            what = f"all of its {self.count} lines are bad" if self.count else "it is empty"
            raise Rejected(f"{self._path}: nothing to work on: {what}")


def files_of(path: Path, suffixes: Sequence[str]) -> list[Path]:
    """Return the file itself, or the files of a folder that have one of `suffixes`, by name.

    Raises
    ------
    Rejected
        There is no such file, or none in the folder.
    """
    if path.is_dir():
        found = [
            p for p in path.iterdir() if p.suffix.lower() in suffixes and p.is_file()
            and not p.name.startswith(".")
        ]  # fmt: skip
        if not found:
            raise Rejected(f"{path}: there is no file *{' or *'.join(suffixes)} in this folder")
        return sorted(found, key=lambda p: p.name)
    if not path.exists():
        raise Rejected(f"{path}: there is no such file or folder")
    return [path]


def lines_of(path: Path) -> Iterator[tuple[int, str | None]]:
    """Yield line numbers from 1 and lines that are not blank; None where it is not UTF-8.

    Raises
    ------
    Rejected
        The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                try:
                    line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                except UnicodeDecodeError:
                    yield number, None
                    continue
                if line:
                    yield number, line
    except OSError as error:
        raise Rejected(f"{path}: cannot be read: {error.strerror}") from error


def moment(given: float | str) -> float:
    """Return Unix seconds of a number or of text.

    Raises
    ------
    ValueError
        It is no time, with a hint.

    Examples
    --------
    >>> moment("1760000000"), moment("2025-10-09T08:53:20Z"), moment("2025-10-09 08:53:20")
    (1760000000.0, 1760000000.0, 1760000000.0)
    """
    try:
        at = float(given)
    except ValueError:
        try:
            known = seconds(str(given).strip())
        except Rejected as error:
            raise ValueError(f"{error} or Unix seconds") from None
        if known is None:
            raise ValueError(
                f"{given!r} is not a time: expected Unix seconds or RFC 3339"
            ) from None
        at = known
    if not math.isfinite(at) or at < 0:
        raise ValueError(f"{given!r} is not a time: expected Unix seconds or RFC 3339")
    if at > _LATEST:
        raise ValueError(f"{given!r} is too large for Unix seconds: divide milliseconds by 1000")
    return at


def read_samples(path: Path, tell: Tell) -> Samples:
    """Read CSV ``at,value``; a header line may name the columns in any order.

    Raises
    ------
    Rejected
        The file cannot be read, or has no good line.
    """
    bad = BadLines(path, tell)
    times: list[float] = []
    values: list[float] = []
    columns: tuple[int, int] | None = None
    for number, line in lines_of(path):
        if line is None:
            bad.add(number, "it is not UTF-8 text")
            continue
        cells = [cell.strip().strip('"') for cell in line.split(",")]
        if columns is None:
            columns = _header(cells)
            if columns is not None:
                continue
            columns = (0, 1)
        try:
            times.append(_sample(cells, columns, values))
        except ValueError as error:
            bad.add(number, str(error))
    bad.close(len(times))
    at = np.array(times)
    late = int((np.diff(at) < 0).sum())
    if late > len(at) // 2:
        tell(f"{path.name}: time runs backwards in {late} of {len(at)} lines: sort it by time")
    return Samples(at, np.array(values))


def _header(cells: Sequence[str]) -> tuple[int, int] | None:
    """Return the columns of time and value, if this line is a header; None if it is data."""
    try:
        moment(cells[0])
    except ValueError:
        pass
    else:
        return None
    try:
        float(cells[-1])
    except ValueError:
        names = [cell.lower() for cell in cells]
        at = next((names.index(name) for name in _TIME_NAMES if name in names), 0)
        value = next((names.index(name) for name in _VALUE_NAMES if name in names), None)
        return at, (1 if at == 0 else 0) if value is None else value
    return None


def _sample(cells: Sequence[str], columns: tuple[int, int], values: list[float]) -> float:
    """Append the value of one line to `values`; return its time."""
    if len(cells) <= max(columns):
        raise ValueError(f"expected at,value, got {','.join(cells)[:40]!r}")
    at = moment(cells[columns[0]])
    text = cells[columns[1]]
    if text.lower() in _GAPS:
        value = math.nan
    else:
        try:
            value = float(text)
        except ValueError:
            raise ValueError(f"{text[:40]!r} is not a number") from None
    if math.isfinite(value) and abs(value) > _GREATEST:
        raise ValueError(f"{text[:40]!r} is beyond all measure")
    values.append(value if math.isfinite(value) else math.nan)
    return at


@dataclass(frozen=True, slots=True)
class Row:
    """One line of JSON Lines: its index from 0 among lines that are not blank, and what it says."""

    index: int
    given: Any  # of the type asked for; None where the line is bad
    error: str = ""


def read_json(
    path: Path, kind: type[_T], tell: Tell, advance: Callable[[float], None]
) -> Iterator[Row]:
    """Yield the lines of JSON Lines as `kind`, in bounded memory; bad ones are told, and kept.

    Parameters
    ----------
    advance
        Takes the share of the file that is read, now and then.

    Raises
    ------
    Rejected
        The file cannot be read, or, at its end, had no good line.
    """
    bad = BadLines(path, tell)
    decoder = msgspec.json.Decoder(kind)
    size, read = max(path.stat().st_size, 1), 0
    index = -1
    for index, (number, line) in enumerate(lines_of(path)):
        error = "it is not UTF-8 text"
        given: _T | None = None
        if line is not None:
            read += len(line)
            try:
                given, error = decoder.decode(line), ""
            except (msgspec.DecodeError, ValueError) as problem:
                error = str(problem)
        if given is None:
            bad.add(number, error)
        yield Row(index, given, error)
        if index % 512 == 0:
            advance(min(read / size, 1.0))
    bad.close(index + 1 - bad.count)
