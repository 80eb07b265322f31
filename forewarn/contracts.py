"""What other people's consumers may rely on: the public topics as JSON Schema and AsyncAPI.

Made from the records themselves (msgspec), so they cannot say anything else than what is written.
`breaking` compares what was published with what would be: a consumer of yesterday must read what is
written today. `docs/schema` holds what was published; a test compares, and CI fails on a break.

Left to others: the wire (`stream.codec`, `alerting.wire`), inputs and points, which are ours and
change by appending.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from alerting.alert import Incident, Notification, Suppressed
from alerting.ledger import DELIVERIES, Delivery
from stream.errors import Rejected
from stream.records import Conclusion, DeadLetter, Forecast
from stream.topics import (
    DEAD_LETTERS,
    FINDINGS,
    FORECASTS,
    INCIDENTS,
    NOTIFICATIONS,
    SUPPRESSED,
)


class Public(NamedTuple):
    """A topic that others read."""

    record: Any
    about: str
    key: str


TOPICS: Final[Mapping[str, Public]] = {
    FINDINGS: Public(Conclusion, "What was concluded, and how far event time has come.", "cluster"),
    FORECASTS: Public(
        Forecast, "When which limit is met, with odds.", "cluster/namespace/kind/name"
    ),
    INCIDENTS: Public(Incident, "Incidents, each time that one changes.", "cluster"),
    NOTIFICATIONS: Public(Notification, "Messages to be sent.", "cluster"),
    SUPPRESSED: Public(Suppressed, "What was not sent, with its reason.", "cluster"),
    DELIVERIES: Public(Delivery, "What became of each message.", "notification"),
    DEAD_LETTERS: Public(DeadLetter, "What could not be used, whole.", "key of the original"),
}
ASYNCAPI: Final = "asyncapi.json"
_REF: Final = "#/$defs/{name}"
_HEADERS: Final[dict[str, Any]] = {
    "type": "object",
    "description": "CloudEvents 1.0, Kafka binding, binary mode.",
    "required": ["ce_id", "ce_source", "ce_specversion", "ce_type", "content-type"],
    "properties": {
        "ce_specversion": {"const": "1.0"},
        "ce_id": {"type": "string", "description": "A digest: a replay repeats it."},
        "ce_source": {"const": "forewarn"},
        "ce_type": {"type": "string", "description": "dev.forewarn.<kind>.v1"},
        "content-type": {"const": "application/json"},
        "schema": {"type": "string", "description": "<kind>.v1"},
    },
}


def documents() -> dict[str, dict[str, Any]]:
    """Return every document by the name of its file."""
    schemas = {f"{topic}.json": _schema(topic) for topic in TOPICS}
    found: dict[str, dict[str, Any]] = json.loads(json.dumps({**schemas, ASYNCAPI: _asyncapi()}))
    return found


def _schema(topic: str) -> dict[str, Any]:
    (root,), components = msgspec.json.schema_components([TOPICS[topic].record], ref_template=_REF)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"https://forewarn.dev/schema/{topic}.v1.json",
        "title": topic,
        "description": TOPICS[topic].about,
        **root,
        "$defs": components,
    }


def _asyncapi() -> dict[str, Any]:
    channels, operations = {}, {}
    for topic, public in TOPICS.items():
        message = {
            "name": topic,
            "summary": public.about,
            "contentType": "application/json",
            "headers": _HEADERS,
            "payload": {"$ref": f"./{topic}.json"},
            "bindings": {"kafka": {"key": {"type": "string", "description": public.key}}},
        }
        channels[topic] = {
            "address": f"{{prefix}}{topic}",
            "description": public.about,
            "parameters": {"prefix": {"default": "forewarn."}},
            "messages": {topic: message},
        }
        operations[f"read-{topic}"] = {
            "action": "send",
            "channel": {"$ref": f"#/channels/{topic}"},
        }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "forewarn",
            "version": "1",
            "description": "Read with isolation.level=read_committed: what was aborted is in the "
            "log, too. Fields may be added; none goes or changes its type within a version.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
    }


def export(folder: Path) -> list[str]:
    """Write every document into `folder`; return the names."""
    folder.mkdir(parents=True, exist_ok=True)
    found = documents()
    for name, document in found.items():
        text = json.dumps(document, indent=2, ensure_ascii=False, sort_keys=True)
        (folder / name).write_text(text + "\n", encoding="utf-8")
    return sorted(found)


def published(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the documents in `folder`.

    Raises
    ------
    Rejected
        One cannot be read.
    """
    try:
        return {each.name: json.loads(each.read_text()) for each in sorted(folder.glob("*.json"))}
    except (OSError, ValueError) as error:
        raise Rejected(f"cannot read the schemas in {folder}: {error}") from error


def breaking(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield why a consumer of `old` could not read what `new` allows; nothing if it can.

    Fields may be added. A field that goes, becomes optional, or may be something that it could not
    be before is a break; so is a new value of an enumeration, for who has a case for each.
    """
    for name, was in old.get("$defs", {}).items():
        now = new.get("$defs", {}).get(name)
        if now is None:
            yield f"{path}{name} is gone"
        else:
            yield from breaking(was, now, f"{path}{name}.")
    for name, was in old.get("properties", {}).items():
        now = new.get("properties", {}).get(name)
        if now is None:
            yield f"{path}{name} is gone"
        else:
            yield from breaking(was, now, f"{path}{name}.")
    for name in set(old.get("required", ())) - set(new.get("required", ())):
        yield f"{path}{name} may be missing now"
    where = path.rstrip(".") or "it"
    for word in ("type", "$ref", "const"):
        if old.get(word) != new.get(word):
            yield f"{where} was {old.get(word)}, is {new.get(word)}"
    if "enum" in old and set(new.get("enum", ())) - set(old["enum"]):
        more = sorted(set(new["enum"]) - set(old["enum"]))
        yield f"{where} may be {', '.join(map(str, more))} now"
    for word in ("anyOf", "items", "prefixItems", "additionalProperties"):
        was, now = old.get(word), new.get(word)
        if isinstance(was, dict) and isinstance(now, dict):
            yield from breaking(was, now, f"{path}{word}.")
        elif was != now:
            yield f"{where} has another {word}"
