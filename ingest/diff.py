"""What changed between two versions of an object's desired state, field by field.

Operations are JSON Patch's, each with its old value. A path is a JSON Pointer with one liberty:
members of lists that Kubernetes merges by a key are named by that key rather than by an index, so
``/spec/template/spec/containers/checkout/image`` stays the same when a sidecar is put before it.

Guaranteed: deterministic order (document order of the old object, then what is new); equal inputs
give (); secrets (`ingest.redact`) never appear, nor do values beyond `LONGEST` whole. Left to
others: what is compared at all (`ingest.workloads`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from ingest.redact import MASK, cleaned, secret_name
from stream.records import Operation

LONGEST: Final = 4096  # characters of one value; a ConfigMap in an argument is no news beyond it
_REDACTED: Final = f'"{MASK}"'
# Keys by which the API server itself merges these lists (x-kubernetes-patch-merge-key).
_MERGE_KEYS: Final[dict[str, str]] = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "ports": "containerPort",
    "imagePullSecrets": "name",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
    "resourceClaims": "name",
}
_encode: Final = msgspec.json.Encoder(order="sorted").encode


def difference(old: Any, new: Any, ignore: frozenset[str] = frozenset()) -> tuple[Operation, ...]:
    """Return what leads from `old` to `new`, two decoded JSON values.

    Parameters
    ----------
    ignore
        Paths that are left out, together with what is below them.

    Examples
    --------
    >>> difference({"spec": {"replicas": 2}}, {"spec": {"replicas": 3}})
    (Operation(op='replace', path='/spec/replicas', old='2', new='3'),)
    """
    return tuple(_between(old, new, "", "", ignore))


def _between(old: Any, new: Any, path: str, field: str, ignore: frozenset[str]) -> _Operations:
    if old == new or path in ignore:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _between_members(old, new, path, ignore)
        return
    if isinstance(old, list) and isinstance(new, list):
        key = _MERGE_KEYS.get(field, "")
        by_key = _keyed(old, key), _keyed(new, key)
        if by_key[0] is not None and by_key[1] is not None:
            if list(by_key[0]) != list(by_key[1]) and by_key[0] == by_key[1]:
                yield Operation("replace", path, _text(list(by_key[0])), _text(list(by_key[1])))
                return
            yield from _between_members(by_key[0], by_key[1], path, ignore)
            return
        if len(old) == len(new) and all(isinstance(item, dict) for item in (*old, *new)):
            for index, (before, after) in enumerate(zip(old, new, strict=True)):
                yield from _between(before, after, f"{path}/{index}", "", ignore)
            return
    yield Operation("replace", path, _shown(old, path), _shown(new, path))


_Operations = Iterator[Operation]


def _between_members(
    old: Mapping[str, Any], new: Mapping[str, Any], path: str, ignore: frozenset[str]
) -> _Operations:
    for name, before in old.items():
        below = f"{path}/{_escaped(name)}"
        if name in new:
            yield from _between(before, new[name], below, name, ignore)
        elif below not in ignore:
            yield Operation("remove", below, old=_shown(before, below))
    for name, after in new.items():
        below = f"{path}/{_escaped(name)}"
        if name not in old and below not in ignore:
            yield Operation("add", below, new=_shown(after, below))


def _keyed(items: list[Any], key: str) -> dict[str, Any] | None:
    """Return a list's members by their merge key, or None where they have none, or not one each."""
    if not key:
        return None
    members: dict[str, Any] = {}
    for item in items:
        if not isinstance(item, dict) or key not in item:
            return None
        name = str(item[key])
        if key == "containerPort" and item.get("protocol", "TCP") != "TCP":
            name = f"{name}-{item['protocol']}"  # 53 and 53-UDP are two ports
        if name in members:
            return None
        members[name] = item
    return members


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")  # RFC 6901


def _shown(value: Any, path: str) -> str:
    names = path.split("/")
    if "env" in names[:-1] and secret_name(names[names.index("env") + 1]):
        if names[-1] == "value":
            return _REDACTED
        if isinstance(value, dict) and isinstance(value.get("value"), str):
            value = {**value, "value": MASK}
    return _text(cleaned(value))


def _text(value: Any) -> str:
    text = _encode(value).decode()
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
