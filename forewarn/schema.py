"""The configuration's JSON Schema and its reference in Markdown, both made from the models.

The schema is what an editor completes from and CI checks a file against; it says of every number of
seconds or bytes that a text such as ``5m`` or ``10Gi`` will do, as `forewarn.config` reads it. The
reference is `docs/configuration.md`; a test holds the file to it, so neither can grow old.

Left to others: checking (`forewarn.config`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from forewarn.config import Config
from forewarn.config_environment import NAMES
from forewarn.quantity import DURATION_FORMS, SIZE_FORMS, spelled

_DURATION: Final = r"^(\d+(\.\d+)?(ms|s|m|h|d|w))+$|^\d+(\.\d+)?$"
_SIZE: Final = r"^\d+(\.\d+)?\s*(Ki|Mi|Gi|Ti|Pi|Ei|k|M|G|T|P|E)?B?$"
_SECONDS: Final = re.compile(r"\bseconds?\b", re.IGNORECASE)
_BYTES: Final = re.compile(r"\bbytes?\b", re.IGNORECASE)

_INTRODUCTION: Final = f"""\
# Configuration

<!-- Made by forewarn.schema.reference(); a test compares. Change the settings' own docstrings. -->

forewarn reads one YAML file, checks it as a whole and names everything that is wrong, each with
file, line, column and path, before anything starts (`forewarn check-config`). Every setting has a
default; an empty file is a whole configuration.

- **Durations** are {DURATION_FORMS}.
- **Sizes** are {SIZE_FORMS}.
- **Unknown keys**, and keys given twice, are errors that name the nearest known key.
- **Receivers without a route** all hear of everything.
- **YAML 1.2**: `on`, `off`, `yes`, `no` and `22:00` are texts; only `true` and `false` are truths.
- **Secrets** come by file (`…_file`, read again at each use) or by the name of an environment
  variable (`…_env`); no message and no log ever holds one.

## Variables

In text values, after the YAML has been read, so a value can never become structure:

| written | becomes |
|---|---|
| `${{VAR}}` | the variable; an error if it is not set |
| `${{VAR:-default}}` | the variable, or the default if it is not set or empty |
| `${{VAR:?message}}` | the variable, or an error with this message |
| `$$` | a plain `$`; a `$` before anything but `{{` stays as it is, so regular expressions do |

These names, known from the programs that forewarn replaces, count where the file leaves the same
thing open:

| variable | stands for |
|---|---|
"""


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the configuration file."""
    schema: dict[str, Any] = _relaxed(Config.model_json_schema())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://forewarn.dev/schema/config.json",
        **schema,
        "title": "forewarn configuration",
    }


def _relaxed(schema: Any) -> Any:
    """Return `schema` with texts allowed where a number has a unit."""
    if isinstance(schema, list):
        return [_relaxed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    relaxed = {key: _relaxed(value) for key, value in schema.items()}
    about = str(schema.get("description", ""))
    pattern = _pattern(about)
    branches = schema.get("anyOf", [])
    if pattern is None:
        return relaxed
    text = {"type": "string", "pattern": pattern}
    if schema.get("type") == "number":
        bounds = ("type", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
        number = {key: relaxed.pop(key) for key in bounds if key in relaxed}
        relaxed["anyOf"] = [number, text]
    elif any(one.get("type") == "number" for one in branches) and not any(
        one.get("type") == "string" for one in branches
    ):
        relaxed["anyOf"] = [*relaxed["anyOf"], text]
    return relaxed


def _pattern(about: str) -> str | None:
    if _SECONDS.search(about):
        return _DURATION
    return _SIZE if _BYTES.search(about) else None


def reference() -> str:
    """Return the reference in Markdown."""
    schema = Config.model_json_schema()
    variables = "".join(f"| `{name}` | {NAMES[name]} |\n" for name in NAMES)
    return _INTRODUCTION + variables + "\n" + "".join(_sections(schema)).rstrip() + "\n"


def _sections(schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield one section per mapping, the root first, each once, in the order of the file."""
    waiting: list[tuple[str, Mapping[str, Any]]] = [("", schema)]
    told: dict[int, str] = {}
    while waiting:
        path, here = waiting.pop(0)
        if id(here) in told:
            continue
        told[id(here)] = path
        yield f"## {f'`{path}`' if path else 'The file'}\n\n"
        yield f"{_flat(here.get('description', ''))}\n\n"
        yield "| key | what | type | default |\n|---|---|---|---|\n"
        inner: list[tuple[str, Mapping[str, Any]]] = []
        for key, field in here.get("properties", {}).items():
            place = f"{path}.{key}" if path else key
            for suffix, target in _targets(schema, field):
                inner.append((f"{place}{suffix}", target))
            yield _row(schema, here, key, field)
        yield "\n"
        waiting = inner + waiting


def _targets(
    schema: Mapping[str, Any], field: Mapping[str, Any]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the mappings that a field leads to, with what stands between in the path."""
    if "$ref" in field:
        target = schema["$defs"][str(field["$ref"]).rsplit("/", 1)[-1]]
        if "properties" in target:
            kind = target["properties"].get("type", {}).get("const")
            yield (f" (type: {kind})" if kind else ""), target
        return
    for branch in (*field.get("anyOf", ()), *field.get("oneOf", ())):
        yield from _targets(schema, branch)
    for key, between in (("items", "[]"), ("additionalProperties", ".*name*")):
        if isinstance(field.get(key), dict):
            for suffix, target in _targets(schema, field[key]):
                yield between + suffix, target


def _row(
    schema: Mapping[str, Any], section: Mapping[str, Any], key: str, field: Mapping[str, Any]
) -> str:
    about = _flat(field.get("description", ""))
    if not about and "$ref" in field:  # said by the section itself
        about = _flat(schema["$defs"][str(field["$ref"]).rsplit("/", 1)[-1]].get("description", ""))
    required = key in section.get("required", ())
    kind = _type(schema, field)
    default = "required" if required else _default(field, kind)
    return f"| `{key}` | {about} | {kind} | {default} |\n"


def _type(schema: Mapping[str, Any], field: Mapping[str, Any]) -> str:
    if "$ref" in field:
        target = schema["$defs"][str(field["$ref"]).rsplit("/", 1)[-1]]
        return "mapping" if "properties" in target else _type(schema, target)
    about = str(field.get("description", ""))
    branches = [*field.get("anyOf", ()), *field.get("oneOf", ())]
    if branches:
        names = [_type(schema, {**b, "description": about}) for b in branches]
        if {"number", "text"} <= set(names):
            names = ["duration" if name == "number" else name for name in names if name != "text"]
        return " or ".join(dict.fromkeys(names))
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return ", ".join(f"`{one}`" for one in field["enum"])
    match field.get("type"):
        case "array":
            return f"list of {_type(schema, field['items'])}" if "items" in field else "list"
        case "object":
            inner = field.get("additionalProperties")
            return f"{_type(schema, inner)} by name" if isinstance(inner, dict) else "mapping"
        case "number" if _SECONDS.search(about):
            return "duration"
        case "number" if _BYTES.search(about):
            return "size"
        case "string":
            return "text"
        case "integer":
            return "whole number"
        case "boolean":
            return "true, false"
        case "null":
            return "null"
        case other:
            return str(other or "any")


def _default(field: Mapping[str, Any], kind: str) -> str:
    if "default" not in field:
        return ""
    value = field["default"]
    if isinstance(value, dict):
        return ""
    if isinstance(value, float) and "duration" in kind:
        return f"`{spelled(value)}`"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"`{json.dumps(value)}`".replace('`"', "`").replace('"`', "`") if value != "" else ""


def _flat(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")
