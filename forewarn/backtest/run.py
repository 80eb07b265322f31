"""Runs one model over a file, or over every file of a folder, and writes what it says.

One JSON object a line; a folder's lines also carry ``series``, the file's stem. Guaranteed: a
series' lines do not depend on which other files are there; FILE appears whole or not at all; a bad
line costs that line, an unusable file of a folder that file, each told on standard error.

Left to others: reading (`forewarn.backtest.reading`), what is said (a file per model), plots
(`forewarn.backtest.drawing`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Final, NamedTuple

import msgspec
from rich.console import Console

from forewarn.backtest import anomaly, drawing, events, growth, png, restarts, svg
from forewarn.backtest.picture import Panel
from forewarn.backtest.progress import Advance, progress
from forewarn.backtest.reading import Row, Samples, files_of, read_json, read_samples
from stream.errors import Rejected, Unavailable

_TOGETHER: Final = 64  # series that go through the banks side by side: ten times faster than alone
RENDERERS: Final = MappingProxyType({".svg": svg.render, ".png": png.render})

Line = dict[str, Any]
Batch = Callable[[Sequence[Samples], float, Advance], list[list[Line]]]
Flow = Callable[[Iterator[Row], Callable[[Line], None]], None]


class Model(NamedTuple):
    """What a model needs: either `batch`, for samples, or `line` and `flow`, for JSON Lines."""

    suffixes: tuple[str, ...]
    draw: Callable[..., Panel]
    batch: Batch | None = None
    line: type | None = None
    flow: Flow | None = None


_CSV: Final = (".csv",)
_JSON: Final = (".jsonl", ".ndjson", ".json")
MODELS: Final[Mapping[str, Model]] = MappingProxyType(
    {
        "growth": Model(_CSV, drawing.growth, batch=growth.run),
        "restarts": Model(_JSON, drawing.restarts, line=restarts.RestartLine, flow=restarts.run),
        "anomaly": Model(_CSV, drawing.anomaly, batch=anomaly.run),
        "events": Model(_JSON, drawing.events, line=events.EventLine, flow=events.run),
    }
)


class Options(NamedTuple):
    """What the person asked for."""

    limit: float = 100.0  # of growth, in the unit of the values
    out: Path | None = None  # None: standard output
    plot: Path | None = None


class Outcome(NamedTuple):
    """What came of it."""

    series: int
    lines: int
    unusable: int  # files of a folder in which there was nothing to work on


def backtest(name: str, given: Path, options: Options, console: Console) -> Outcome:
    """Run model `name` over `given`; what is told goes to `console`.

    Raises
    ------
    Rejected
        The input, the limit or a path is wrong; the message says what to give instead.
    Unavailable
        The output cannot be written.
    """
    model = _model(name)
    _check(options)
    files = files_of(given, model.suffixes)
    run = _Run(name, model, options, console, named=given.is_dir())
    with _output(options.out) as out, progress(console, name) as advance:
        run.over(files, out, advance)
    if not run.series:
        raise Rejected(f"{given}: no file in it has anything to work on")
    run.plot()
    return Outcome(run.series, run.lines, run.unusable)


def _model(name: str) -> Model:
    if name not in MODELS:
        raise Rejected(f"there is no model {name!r} to backtest: choose {', '.join(MODELS)}")
    return MODELS[name]


def _check(options: Options) -> None:
    if not 0 < options.limit < float("inf"):
        raise Rejected(f"--limit {options.limit:g}: give the value at which it is full, above 0")
    for flag, path in (("--out", options.out), ("--plot", options.plot)):
        if path is not None and not path.parent.is_dir():
            raise Rejected(f"{flag} {path}: there is no folder {path.parent}; make it first")
        if path is not None and path.is_dir():
            raise Rejected(f"{flag} {path}: this is a folder; name a file in it")
    if options.plot is not None and options.plot.suffix.lower() not in RENDERERS:
        raise Rejected(f"--plot {options.plot}: name a file that ends in .svg or .png")


class _Run:
    """One run: files in, lines out, panels kept for the plot."""

    def __init__(
        self, name: str, model: Model, options: Options, console: Console, *, named: bool
    ) -> None:
        self._name, self._model, self._options, self._console = name, model, options, console
        self._named = named  # lines carry the series' name, and one bad file does not stop it
        self._encode = msgspec.json.Encoder().encode
        self._panels: list[Panel] = []
        self.series = self.lines = self.unusable = 0

    def over(self, files: Sequence[Path], out: IO[bytes], advance: Advance) -> None:
        """Work through all files; progress is by their bytes."""
        sizes = [max(path.stat().st_size, 1) for path in files]
        total, done = sum(sizes), 0
        together = 1 if self._model.batch is None else _TOGETHER
        for i in range(0, len(files), together):
            part = files[i : i + together]
            size = sum(sizes[i : i + together])

            def share(of: float, done: int = done, size: int = size) -> None:
                advance((done + of * size) / total)

            if self._model.batch is not None:
                self._batch(part, out, share)
            else:
                self._flow(part[0], out, share)
            done += size
            advance(done / total)

    def _batch(self, files: Sequence[Path], out: IO[bytes], advance: Advance) -> None:
        read = [(path, samples) for path in files if (samples := self._samples(path)) is not None]
        if not read:
            return
        assert self._model.batch is not None
        limit = self._options.limit
        answers = self._model.batch([samples for _, samples in read], limit, advance)
        for (path, samples), lines in zip(read, answers, strict=True):
            for line in lines:
                self._write(path, line, out)
            self._done(path, samples, lines)

    def _samples(self, path: Path) -> Samples | None:
        try:
            samples = read_samples(path, self._tell)
        except Rejected as error:
            self._pass_over(error)
            return None
        full = (samples.values >= self._options.limit).mean()
        if self._name == "growth" and full > 0.5:
            limit = self._options.limit
            self._tell(f"{path.name}: {full:.0%} of its values are at or above --limit {limit:g}")
        return samples

    def _flow(self, path: Path, out: IO[bytes], advance: Advance) -> None:
        assert self._model.line is not None
        assert self._model.flow is not None
        drawn: list[Line] = []

        def emit(line: Line) -> None:
            self._write(path, line, out)
            if self._options.plot is not None:
                drawn.append(line)

        try:
            self._model.flow(read_json(path, self._model.line, self._tell, advance), emit)
        except Rejected as error:
            self._pass_over(error)
            return
        self._done(path, None, drawn)

    def _pass_over(self, error: Rejected) -> None:
        if not self._named:
            raise error
        self.unusable += 1
        self._tell(f"{error}; file passed over")

    def _write(self, path: Path, line: Line, out: IO[bytes]) -> None:
        self.lines += 1
        if self._named:
            line = {"series": path.stem, **line}
        out.write(self._encode(line) + b"\n")

    def _done(self, path: Path, samples: Samples | None, lines: Sequence[Line]) -> None:
        self.series += 1
        if self._options.plot is not None and len(self._panels) < drawing.PANELS and lines:
            place = len(self._panels)
            title = f"{self._name}: {path.stem}"
            self._panels.append(self._model.draw(place, title, samples, lines, self._options.limit))

    def _tell(self, text: str) -> None:
        self._console.print(text, style="yellow", markup=False)

    def plot(self) -> None:
        """Write the plot, if one was asked for."""
        path = self._options.plot
        if path is None:
            return
        picture = drawing.picture(self._panels, self.series - len(self._panels))
        with _output(path) as out:
            out.write(RENDERERS[path.suffix.lower()](picture))


@contextmanager
def _output(path: Path | None) -> Iterator[IO[bytes]]:
    """Yield where to write; a file gets its name when it is whole."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.flush()
        return
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            yield file
        os.replace(part, path)
    except OSError as error:
        raise Unavailable(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
