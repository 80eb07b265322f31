"""Facts made fit for a tape: secrets masked, what is never read left out, names replaced on demand.

A mask on a tape tells two secrets of one place apart, by a hash under a key that dies with the
recording, so a replay sees that a secret has changed and never what it was. Left out are the bulk
of managedFields (who wrote is kept, which fields is not) and kubectl's copy of the whole object.

Guaranteed: a replay of the tape gives the records that the live cluster gave (pseudonyms aside),
for the same masks are put on both; an object that cannot be read is not recorded, and counted. Left
to others: the file (`ingest.recording`), where facts come from (`ingest.live`).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from ingest.facts import Fact
from ingest.pseudonyms import Pseudonyms
from ingest.recording import TapeWriter
from ingest.redact import cleaned

_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_SAMPLES: Final = frozenset({"summary", "metrics"})
_NOTHING: Final = msgspec.Raw(b"{}")
_decode: Final = msgspec.json.decode
_encode: Final = msgspec.json.encode


class Recorder:
    """Puts facts on a tape, fit to be kept.

    Parameters
    ----------
    tape
        Open; whoever opened it closes it.
    names
        Replaces names; None keeps them.
    key
        Of the masks' hashes; a random one where None is given.

    Attributes
    ----------
    refused
        Facts that could not be read, and are not on the tape.
    """

    def __init__(
        self, tape: TapeWriter, names: Pseudonyms | None = None, key: bytes | None = None
    ) -> None:
        self.refused = 0
        self._tape = tape
        self._names = names
        self._key = secrets.token_bytes(32) if key is None else key

    def hear(self, fact: Fact) -> None:
        """Write one fact. Some 100 µs a pod.

        Raises
        ------
        Unavailable
            The disk is full, or gone.
        """
        if (fit := self.fit(fact)) is not None:
            self._tape.write(fit)

    def heartbeat(self, at: float, clusters: Iterable[str]) -> None:
        """Write that time has passed in which nothing was heard: a replay ticks by it."""
        for cluster in clusters:
            named = cluster if self._names is None else self._names.name(cluster)
            self._tape.write(Fact(at, named, "nodes", "BOOKMARK", _NOTHING))

    def fit(self, fact: Fact) -> Fact | None:
        """Return the fact as it may be kept; None where it cannot be read."""
        try:
            content = _decode(fact.object)
        except (ValueError, RecursionError):
            self.refused += 1
            return None
        if fact.resource not in _SAMPLES:  # numbers and names only
            content = cleaned(_slim(content), self._mask)
        cluster, node = fact.cluster, fact.node
        if self._names is not None:
            content = self._names.object(content)
            cluster = self._names.name(cluster)
            node = self._names.name(node) if node else ""
        raw = msgspec.Raw(_encode(content))
        return Fact(fact.at, cluster, fact.resource, fact.type, raw, node)

    def _mask(self, secret: str) -> str:
        digest = hashlib.blake2b(secret.encode(), key=self._key, digest_size=4).hexdigest()
        return f"<redacted:{digest}>"


def _slim(content: Any) -> Any:
    """Return an object without what is large and never read."""
    metadata = content.get("metadata") if isinstance(content, dict) else None
    if not isinstance(metadata, dict):
        return content
    kept = dict(metadata)
    if isinstance(fields := kept.get("managedFields"), list):
        kept["managedFields"] = [
            {name: value for name, value in entry.items() if name != "fieldsV1"}
            for entry in fields
            if isinstance(entry, dict)
        ]
    if isinstance(notes := kept.get("annotations"), dict):
        kept["annotations"] = {
            name: value for name, value in notes.items() if name != _LAST_APPLIED
        }
    return {**content, "metadata": kept}
