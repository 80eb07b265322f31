"""What stands for a ConfigMap: its name, its version, who wrote it, and a hash of its data.

A ConfigMap may hold what nobody should read, so its data end here, before the buffer, a tape or a
dead letter. The hash is under a key that dies with the process: it shows a change, and a value that
is easily guessed cannot be guessed from it. Left to others: what a change means
(`ingest.dependencies`).
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Any, Final

import msgspec

from ingest.objects import READ_ERRORS, ManagedFields, Raw, Text

_EMPTY: Final = msgspec.Raw(b"{}")


class _ConfigMapMetadata(Raw):
    name: str = ""
    uid: str = ""
    namespace: str = ""
    resource_version: str = ""
    creation_timestamp: Text = None
    managed_fields: list[ManagedFields] | None = None


class _ConfigMap(Raw):
    metadata: _ConfigMapMetadata
    data: msgspec.Raw = _EMPTY
    binary_data: msgspec.Raw = _EMPTY


class Digests:
    """Puts a hash in the place of a ConfigMap's data, before anybody else sees it.

    Examples
    --------
    >>> raw = msgspec.Raw(b'{"metadata": {"name": "web", "uid": "1"}, "data": {"a": "secret"}}')
    >>> b"secret" in bytes(Digests()(raw))
    False
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def __call__(self, raw: msgspec.Raw) -> msgspec.Raw:
        """Return the object without data and annotations; of an unreadable one nothing is left."""
        try:
            found = _read_configmap(raw)
        except READ_ERRORS:
            return _EMPTY
        data = b"%b\0%b" % (bytes(found.data), bytes(found.binary_data))
        content: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": found.metadata,
            "digest": hashlib.blake2b(data, key=self._key, digest_size=8).hexdigest(),
        }
        return msgspec.Raw(msgspec.json.encode(content))


_read_configmap: Final = msgspec.json.Decoder(_ConfigMap).decode
