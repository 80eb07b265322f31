"""YAML with places: what the file says, and the line and column where each part of it stands.

Guaranteed: every problem of the text is found in one pass and named by file, line and column;
a key given twice is a problem, never the last one wins; variables are put into *text values* only,
after parsing, so a value can never become structure; a document of hostile shape (aliases of
aliases, a loop, a megabyte) is refused. Scalars follow YAML 1.2: ``on`` and ``22:00`` stay text.

Left to others: what the keys mean (`forewarn.config`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

Path = tuple[str | int, ...]

_MAX_CHARACTERS: Final = 1_000_000  # a configuration is written by hand
_MAX_NODES: Final = 50_000  # bounds what aliases of aliases may grow to

# An escaped dollar, a variable with its default or its error text, or a "${" that is neither.
_VARIABLE: Final = re.compile(
    r"\$\$|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::(?P<how>[-?])(?P<text>[^}]*))?\}|\$\{"
)
_PLAIN: Final[tuple[tuple[re.Pattern[str], Any], ...]] = (
    (re.compile(r"~|null|Null|NULL|"), lambda _: None),
    (re.compile(r"true|True|TRUE"), lambda _: True),
    (re.compile(r"false|False|FALSE"), lambda _: False),
    (re.compile(r"[-+]?\d+"), int),
    (re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+"), lambda text: int(text, 0)),
    (re.compile(r"[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?"), float),
    (re.compile(r"[-+]?\.inf|\.nan", re.I), lambda text: float(text.replace(".", ""))),
)
_STANDARD_TAGS: Final = ("str", "int", "float", "bool", "null", "map", "seq", "timestamp", "merge")


class Place(NamedTuple):
    """Line and column, both counted from 1."""

    line: int
    column: int


class Problem(NamedTuple):
    """One thing that is wrong, with its place; prints as one line."""

    file: str
    place: Place | None  # None: not in a file, such as a variable of the environment
    path: str  # "alerting.receivers[2].slack"; "" for the text as a whole
    message: str
    hint: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.place.line}:{self.place.column}: " if self.place else ""
        where = where or f"{self.file}: "
        path = f"{self.path}: " if self.path else ""
        return f"{where}{path}{self.message}" + (f" (hint: {self.hint})" if self.hint else "")


@dataclass
class Source:
    """A parsed document: its data, and the place of every key and value in it."""

    file: str
    data: Any = None
    keys: dict[Path, Place] = field(default_factory=dict)
    values: dict[Path, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    unknown: set[Path] = field(default_factory=set)  # values that could not be read: judge no more
    substituted: set[str] = field(default_factory=set)  # from the environment: never to be printed

    def place(self, path: Path, *, key: bool = False) -> Place:
        """Return where `path` stands, or the nearest thing around it that has a place."""
        for end in range(len(path), 0, -1):
            here = path[:end]
            first, second = (
                (self.keys, self.values)
                if key or end < len(path)
                else (
                    self.values,
                    self.keys,
                )
            )
            found = first.get(here) or second.get(here)
            if found:
                return found
        return self.values.get((), Place(1, 1))

    def report(self, path: Path, message: str, hint: str = "", *, key: bool = False) -> None:
        """Note that something is wrong at `path`."""
        place = self.place(path, key=key)
        self.problems.append(Problem(self.file, place, dotted(path), message, hint))


def dotted(path: Path) -> str:
    """Return the path as people write it.

    Examples
    --------
    >>> dotted(("alerting", "receivers", 2, "slack"))
    'alerting.receivers[2].slack'
    """
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def parse(text: str, file: str, environment: Mapping[str, str]) -> Source:
    """Return what `text` says; what is wrong with it stands in ``problems``, nothing is raised."""
    source = Source(file)
    if len(text) > _MAX_CHARACTERS:
        source.report((), "the file is larger than a configuration can be (1 MB)")
        return source
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        source.problems.append(_syntax(error, text, file))
        return source
    if root is not None:
        reader = _Reader(source, environment)
        try:
            source.data = reader.read(root, ())
        except _TooMuch as error:
            source.report((), str(error))
    return source


class _TooMuch(Exception):
    """The document's aliases grow without end."""


class _Reader:
    """Walks the nodes of one document."""

    def __init__(self, source: Source, environment: Mapping[str, str]) -> None:
        self._source = source
        self._environment = environment
        self._around: set[int] = set()  # ids of the nodes that we are inside of
        self._left = _MAX_NODES

    def read(self, node: Node, path: Path) -> Any:
        """Return the data of `node`, noting places and problems."""
        self._left -= 1
        if self._left < 0:
            raise _TooMuch("aliases make this document larger than a configuration can be")
        place = Place(node.start_mark.line + 1, node.start_mark.column + 1)
        self._source.values.setdefault(path, place)
        if id(node) in self._around:
            self._source.unknown.add(path)
            self._source.report(path, "an alias refers to what it is part of", key=True)
            return None
        self._around.add(id(node))
        try:
            match node:
                case MappingNode():
                    return self._mapping(node, path)
                case SequenceNode():
                    return [self.read(item, (*path, i)) for i, item in enumerate(node.value)]
                case ScalarNode():
                    return self._scalar(node, path)
        finally:
            self._around.discard(id(node))

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                self._refuse(path, "a key must be a plain text")
                continue
            key = str(key_node.value)
            if key == "<<" and key_node.style is None:
                merged |= self._merged(value_node, path)
                continue
            here = (*path, key)
            place = Place(key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if key in result:
                first = self._source.keys[here].line
                self._source.problems.append(
                    Problem(
                        self._source.file,
                        place,
                        dotted(here),
                        f"key given twice, first on line {first}",
                        "remove one of the two",
                    )
                )
                continue
            self._source.keys[here] = place
            result[key] = self.read(value_node, here)
        return merged | result

    def _merged(self, node: Node, path: Path) -> dict[str, Any]:
        parts = node.value if isinstance(node, SequenceNode) else [node]
        total: dict[str, Any] = {}
        for part in reversed(parts):
            if not isinstance(part, MappingNode):
                self._refuse(path, "'<<' takes a mapping or a list of mappings")
                continue
            total |= self._mapping(part, path)
            for key in total:  # a key of our own may come again: it wins, it is no repetition
                self._source.keys.setdefault((*path, key), self._source.place(path))
        return total

    def _scalar(self, node: ScalarNode, path: Path) -> Any:
        tag = node.tag.removeprefix("tag:yaml.org,2002:")
        if tag not in _STANDARD_TAGS:
            self._refuse(path, f"the tag {node.tag!r} is not supported", "write a plain value")
            return None
        text = str(node.value)
        if node.style is None and "$" not in text:
            for pattern, convert in _PLAIN:
                if pattern.fullmatch(text):
                    return convert(text)
        return self._substitute(text, path)

    def _substitute(self, text: str, path: Path) -> str:
        wrong: list[tuple[str, str]] = []

        def put(match: re.Match[str]) -> str:
            if match[0] == "$$":
                return "$"
            name = match["name"]
            if name is None:
                wrong.append(
                    ("'${' without a variable's name and '}'", "write '$${' for a plain '${'")
                )
                return ""
            value = self._environment.get(name, "")
            if match["how"] == "-":
                value = value or match["text"]
            elif not value and (match["how"] == "?" or name not in self._environment):
                said = f": {match['text']}" if match["text"] else ""
                wrong.append(
                    (
                        f"environment variable {name} is not set{said}",
                        f"set it, or write ${{{name}:-default}}",
                    )
                )
            if name in self._environment and value:
                self._source.substituted.add(value)
            return value

        result = _VARIABLE.sub(put, text)
        for message, hint in wrong:
            self._refuse(path, message, hint)
        return result

    def _refuse(self, path: Path, message: str, hint: str = "") -> None:
        self._source.unknown.add(path)
        self._source.report(path, message, hint)


def _syntax(error: yaml.YAMLError, text: str, file: str) -> Problem:
    """Return PyYAML's complaint in one line, with the place that it names."""
    if isinstance(error, yaml.reader.ReaderError):
        before = text[: error.position]
        place = Place(before.count("\n") + 1, len(before) - before.rfind("\n"))
        return Problem(file, place, "", "not YAML: a control character", "remove it")
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    place = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
    said = str(getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML")
    if "'\\t'" in said:
        return Problem(file, place, "", "a tab where YAML takes only spaces", "indent with spaces")
    context = str(getattr(error, "context", None) or "")
    hint = "quote values that hold ': ' or start with one of *&!%@`" if "mapping" in said else ""
    return Problem(file, place, "", f"not YAML: {said}" + (f", {context}" if context else ""), hint)
