"""From what pydantic says to what a person can act on: one line, one place, one hint.

Two passes over a parsed document. `convert` goes by the JSON Schema: where a number of seconds or
bytes is wanted (its description says the unit) a text such as ``5m`` or ``10Gi`` becomes one, and
an empty section becomes an empty mapping. `explain` takes pydantic's errors to the line of the key
or value, names the nearest known key, and folds the branches of a union into one.

Guaranteed: a message never holds a value of the document, so never a secret; what came from the
environment, or stands under a key that sounds like one, is struck out of foreign messages besides.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from forewarn.config_source import Path, Source
from forewarn.quantity import duration, size

Schema = Mapping[str, Any]

_SECONDS: Final = re.compile(r"\bseconds?\b", re.IGNORECASE)
_BYTES: Final = re.compile(r"\bbytes?\b", re.IGNORECASE)
_SECRET: Final = re.compile(r"secret|token|password|passwd|key|url|credential|auth", re.IGNORECASE)
_UNKNOWN: Final = ("extra_forbidden", "unexpected_keyword_argument")
_MISSING: Final = ("missing", "missing_argument", "missing_keyword_only_argument")

_SAID: Final = {
    "float": "must be a number",
    "int": "must be a whole number",
    "bool": "must be true or false",
    "string": "must be a text",
    "path": "must be a path",
    "dict": "must be a mapping (key: value)",
    "mapping": "must be a mapping (key: value)",
    "model": "must be a mapping (key: value)",
    "dataclass": "must be a mapping (key: value)",
    "list": "must be a list (- item)",
    "tuple": "must be a list (- item)",
    "set": "must be a list (- item)",
}
_TYPE_ERRORS: Final = ("type", "parsing", "from_float", "parsing_size", "attributes_type")
_BOUNDS: Final = {
    "greater_than": ("gt", "must be more than"),
    "greater_than_equal": ("ge", "must be at least"),
    "less_than": ("lt", "must be less than"),
    "less_than_equal": ("le", "must be at most"),
}


class Shape:
    """A JSON Schema that can be asked what stands at a path."""

    def __init__(self, schema: Schema) -> None:
        self._root = schema

    def at(self, path: Path) -> list[Schema]:
        """Return every sub-schema that may apply at `path`; none where nothing is known."""
        here = list(self._open(self._root))
        for part in path:
            here = [found for one in here for found in self._step(one, part)]
        return here

    def keys(self, path: Path, kind: object = None) -> list[str]:
        """Return the keys that a mapping at `path` may have, being of that ``type``."""
        schemas = self.at(path)
        chosen = [one for one in schemas if kind is not None and self._kind(one) == kind]
        return sorted({key for one in chosen or schemas for key in one.get("properties", {})})

    def kinds(self, path: Path) -> list[str]:
        """Return what ``type`` may be in a mapping at `path`."""
        return [str(kind) for one in self.at(path) if (kind := self._kind(one)) is not None]

    @staticmethod
    def _kind(schema: Schema) -> object:
        return schema.get("properties", {}).get("type", {}).get("const")

    def _step(self, schema: Schema, part: str | int) -> Iterator[Schema]:
        if isinstance(part, int):
            inner = schema.get("items")
        else:
            inner = schema.get("properties", {}).get(part, schema.get("additionalProperties"))
        if isinstance(inner, Mapping):
            yield from self._open(inner)

    def _open(self, schema: Schema) -> Iterator[Schema]:
        """Yield `schema` with its references and alternatives resolved; descriptions go along."""
        if "$ref" in schema:
            name = str(schema["$ref"]).rsplit("/", 1)[-1]
            target = self._root["$defs"][name]
            yield from self._open({**target, **{k: v for k, v in schema.items() if k != "$ref"}})
            return
        branches = [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())]
        if not branches:
            yield schema
        for branch in branches:
            about = {"description": schema["description"]} if "description" in schema else {}
            yield from self._open({**about, **branch})


def convert(source: Source, shape: Shape) -> None:
    """Turn durations, sizes and empty sections of `source` into what the models take."""
    source.data = _converted(source, shape, source.data, ())


def _converted(source: Source, shape: Shape, data: Any, path: Path) -> Any:
    if isinstance(data, dict):
        return {key: _converted(source, shape, one, (*path, key)) for key, one in data.items()}
    if isinstance(data, list):
        return [_converted(source, shape, one, (*path, i)) for i, one in enumerate(data)]
    schemas = shape.at(path)
    kinds = {one.get("type") for one in schemas}
    if data is None and "object" in kinds and "null" not in kinds:
        return {}
    if not isinstance(data, str) or path in source.unknown or "number" not in kinds:
        return data
    if "string" in kinds:  # the model reads durations itself, but not the bare number of a variable
        return float(data) if re.fullmatch(r"\d+(\.\d+)?", data) else data
    about = " ".join(str(one.get("description", "")) for one in schemas)
    reader = duration if _SECONDS.search(about) else size if _BYTES.search(about) else None
    if reader is None:
        return data
    try:
        return reader(data)
    except ValueError as error:
        source.unknown.add(path)
        source.report(path, str(error))
        return data


def explain(source: Source, shape: Shape, errors: Iterable[Mapping[str, Any]]) -> None:
    """Add what pydantic has found to the problems of `source`, each path once."""
    told: dict[Path, list[Mapping[str, Any]]] = {}
    for error in errors:
        path = _path(source.data, error)
        if not any(path[: len(bad)] == bad for bad in source.unknown):
            told.setdefault(path, []).append(error)
    secrets = set(_secrets(source))
    for path, group in told.items():
        message, hint = _words(source, shape, path, group)
        exact, is_key = _pinpoint(source.data, path, message)
        for secret in secrets:
            message, hint = message.replace(secret, "<redacted>"), hint.replace(secret, "…")
        source.report(exact, message, hint, key=is_key or group[0]["type"] in _UNKNOWN)


def _path(data: Any, error: Mapping[str, Any]) -> Path:
    """Return pydantic's location without the names of union branches, which no file contains."""
    path: list[str | int] = []
    here = data
    location = list(error["loc"])
    for index, part in enumerate(location):
        last = index == len(location) - 1
        if _holds(here, part):
            here = here[part]
            path.append(part)
        elif last and error["type"] in _MISSING:
            path.append(part)
    if error["type"] == "union_tag_invalid":
        path.append("type")  # the key that all our unions are told apart by
    return tuple(path)


def _holds(data: Any, part: str | int) -> bool:
    if isinstance(data, list):
        return isinstance(part, int) and part < len(data)
    return isinstance(data, dict) and part in data


def _pinpoint(data: Any, path: Path, message: str) -> tuple[Path, bool]:
    """Return where the name stands that a check over a whole section complains of; if as a key.

    Such a check knows only its section; the name that it quotes stands once or twice in it.
    """
    match = re.search(r"'([^']+)'", message)
    for part in path:
        data = data[part] if _holds(data, part) else None
    if match is None or not isinstance(data, dict | list):
        return path, False
    return next(_standing(data, match[1], path), (path, False))


def _standing(data: Any, name: str, path: Path) -> Iterator[tuple[Path, bool]]:
    items = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in items:
        if key == name or value == name:
            yield (*path, key), key == name
        elif isinstance(value, dict | list):
            yield from _standing(value, name, (*path, key))


def _words(
    source: Source, shape: Shape, path: Path, group: list[Mapping[str, Any]]
) -> tuple[str, str]:
    """Return message and hint for the errors of one path: several when branches all refused it."""
    first = group[0]
    kind = str(first["type"])
    context = first.get("ctx", {})
    if kind in _UNKNOWN:
        around: Any = source.data
        for part in path[:-1]:
            around = around[part]
        known = shape.keys(path[:-1], around.get("type"))
        return "unknown key", nearest(str(path[-1]), known, "did you mean", "known here")
    if kind in _MISSING:
        return "is required", "add it"
    if kind in ("literal_error", "enum"):
        given = str(first.get("input", ""))
        expected = re.findall(r"'([^']*)'", str(context.get("expected", "")))
        return "must be one of: " + ", ".join(expected), nearest(given, expected, "did you mean")
    if kind == "union_tag_invalid":
        expected = re.findall(r"'([^']*)'", str(context.get("expected_tags", "")))
        hint = nearest(str(context.get("tag", "")), expected, "did you mean")
        return "must be one of: " + ", ".join(expected), hint
    if kind == "union_tag_not_found":
        return "needs a 'type'", f"one of: {', '.join(shape.kinds(path))}"
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"{words} {context[name]:g}" if name in context else words, ""
    for error in group:  # a model's own words are better than a branch's refusal of the type
        if error["type"] in ("value_error", "assertion_error"):
            return _without_hint(str(error["msg"]).split(", ", 1)[-1])
    if kind == "string_pattern_mismatch":
        return f"must have the form {context['pattern']}", ""
    if kind in ("string_too_short", "too_short"):
        return "must not be empty", ""
    said = list(dict.fromkeys(_kind_of(str(error["type"])) for error in group))
    if all(said):
        return " or ".join(said).replace(" or must be", " or"), ""
    return re.sub(r"^(Input|Value) should", "must", str(first["msg"])), ""


def _kind_of(error: str) -> str:
    """Return what a refused type should have been; "" where the error is not about the type."""
    stem, _, rest = error.partition("_")
    return _SAID.get(stem, "") if rest in _TYPE_ERRORS else ""


def _without_hint(text: str) -> tuple[str, str]:
    """Return a message and the hint that it brings along behind it, if it does."""
    match = re.fullmatch(r"(.*?)(?: \(hint: (.*)\)|; (did you mean .*))", text, re.DOTALL)
    return (match[1], match[2] or match[3]) if match else (text, "")


def nearest(word: str, known: list[str], ask: str, else_list: str = "") -> str:
    """Return a hint that names the nearest of `known`, or all of them where none is near."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.55)
    if close:
        return f"{ask} '{close[0]}'?"
    if else_list and known:
        return f"{else_list}: {', '.join(known[:14])}{' …' if len(known) > 14 else ''}"
    return ""


def _secrets(source: Source) -> Iterator[str]:
    """Yield texts of the document that no message may hold."""
    yield from (value for value in source.substituted if len(value) >= 4)

    def walk(data: Any, secret: bool) -> Iterator[str]:
        if isinstance(data, dict):
            for key, value in data.items():
                yield from walk(value, secret or bool(_SECRET.search(key)))
        elif isinstance(data, list):
            for value in data:
                yield from walk(value, secret)
        elif secret and isinstance(data, str) and len(data) >= 4:
            yield data

    yield from walk(source.data, False)
