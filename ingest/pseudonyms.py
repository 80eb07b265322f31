"""Names that may be shown to strangers: each name becomes another one, always the same.

For tapes that leave the house. Names of namespaces, workloads, pods, nodes, containers, images,
labels, users and clusters, addresses and uids are replaced by words made from a keyed hash; parts
between hyphens, dots and slashes are replaced one by one, so ``checkout-7d9f-x2x4v`` still shows
whose pod it is, and ordinals of StatefulSets stay. Messages keep their wording: within them every
name that an object has carried, every address and every uid is replaced.

Guaranteed: with the same key the same name gives the same pseudonym, in every resource and in every
recording; without the key nobody can compute one. Not guaranteed: that a message holds no word that
says who you are; a name that no object carried before the message came is left in it. Left to
others: secrets (`ingest.redact`), which are masked before.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final

# Parts that say nothing about anybody and that readers and rules look for.
_PLAIN: Final = frozenset(
    {"kube", "system", "default", "public", "node", "lease", "kubelet", "scheduler", "controller"}
    | {"manager", "proxy", "coredns", "dns", "kubernetes", "cluster", "local", "svc", "io"}
    | {"localhost", "latest", "stable"}
)
_NAMES: Final = frozenset(
    {
        "name",
        "namespace",
        "generateName",
        "nodeName",
        "hostname",
        "host",
        "serviceAccountName",
        "serviceAccount",
        "serviceName",
        "claimName",
        "volumeName",
        "storageClassName",
        "reportingInstance",
        "schedulerName",
        "nodeRef",
        "subdomain",
        "username",
        "pod",
        "user",
        "container",
        "value",
        "values",
        "args",
        "command",
    }
)
_IMAGES: Final = frozenset({"image", "imageID", "containerID"})
_WORDED: Final = frozenset({"labels", "matchLabels", "nodeSelector"})
_KEPT_ANNOTATIONS: Final = frozenset({"deployment.kubernetes.io/revision"})
_PUBLIC: Final = ("kubernetes.io", "k8s.io", "helm.sh", "argoproj.io")
_PART: Final = re.compile(r"[A-Za-z0-9]+")
_TOKEN: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_UID: Final = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_ADDRESS: Final = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")
_CONSONANTS: Final = "bdfgklmnprstvz"
_VOWELS: Final = "aeiou"


class Pseudonyms:
    """The pseudonyms under one key.

    Examples
    --------
    >>> names = Pseudonyms(b"a key of ours")
    >>> names.name("checkout-7d9f-x2x4v").split("-")[0] == names.name("checkout")
    True
    >>> names.name("kube-system")
    'kube-system'
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._parts: dict[str, str] = {}
        self._known: set[str] = set()

    def name(self, name: str) -> str:
        """Return the pseudonym of a name, and know the name in messages from now on."""
        self._known.add(name)
        self._known.update(part for part in re.split(r"[/:@]", name) if len(part) > 2)
        return _PART.sub(lambda match: self._part(match[0]), name)

    def text(self, text: str) -> str:
        """Return a text with the names that are known, addresses and uids replaced."""
        text = _UID.sub(lambda match: self._uid(match[0]), text)
        text = _ADDRESS.sub(lambda match: self._address(match[0]), text)
        return _TOKEN.sub(
            lambda match: self.name(match[0]) if self._is_known(match[0]) else match[0], text
        )

    def _is_known(self, token: str) -> bool:
        """Return whether this is a name, or one with something behind a hyphen, as of its pods."""
        while token not in self._known:
            token, hyphen, _ = token.rpartition("-")
            if not hyphen:
                return False
        return True

    def object(self, value: Any, key: str = "") -> Any:
        """Return a decoded object; `key` is what it stands under."""
        if isinstance(value, dict):
            if key == "annotations":
                return {self._key_of(at): self._annotation(at, it) for at, it in value.items()}
            if key in _WORDED:
                return {
                    self._key_of(at): self.name(it) if isinstance(it, str) else self.object(it, at)
                    for at, it in value.items()
                }
            return {at: self.object(it, at) for at, it in value.items()}
        if isinstance(value, list):
            return [self.object(item, key) for item in value]
        if not isinstance(value, str):
            return value
        if key == "uid":
            return self._uid(value)
        if key == "key":
            return self._key_of(value)
        if key in _NAMES or key in _IMAGES:
            return self._image(value) if key in _IMAGES else self.name(value)
        return self.text(value)

    def _key_of(self, key: str) -> str:
        """Return the key of a label or annotation, its domain replaced unless it is Kubernetes'."""
        domain, slash, rest = key.partition("/")
        if not slash or domain.endswith(_PUBLIC):
            return key
        return f"{self.name(domain)}/{rest}"

    def _annotation(self, name: str, text: Any) -> Any:
        if name in _KEPT_ANNOTATIONS or not isinstance(text, str):
            return text
        return self._word(f"annotation {text}")

    def _image(self, image: str) -> str:
        """Return an image whose tag or digest stays: releases are told by it."""
        if "@" in image:
            name, mark, rest = image.partition("@")
        else:
            name, mark, rest = image.rpartition(":")
            if not mark or "/" in rest:  # a port, no tag
                name, mark, rest = image, "", ""
        scheme, slashes, path = name.rpartition("://")
        return f"{scheme}{slashes}{self.name(path)}{mark}{rest}"

    def _part(self, part: str) -> str:
        if part.isdigit() or part.lower() in _PLAIN:
            return part
        found = self._parts.get(part)
        if found is None:
            found = self._parts[part] = self._word(part)
        return found

    def _hash(self, text: str) -> bytes:
        return hashlib.blake2b(text.encode(), key=self._key[:64], digest_size=16).digest()

    def _word(self, text: str) -> str:
        """Return a word of six letters, of which there are half a million."""
        number = int.from_bytes(self._hash(text)[:4], "big")
        letters = ""
        for _ in range(3):
            number, which = divmod(number, len(_CONSONANTS))
            letters += _CONSONANTS[which]
            number, which = divmod(number, len(_VOWELS))
            letters += _VOWELS[which]
        return letters

    def _uid(self, uid: str) -> str:
        digits = self._hash(uid).hex()
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32]))

    def _address(self, address: str) -> str:
        if address.startswith(("127.", "0.")):
            return address
        return "10." + ".".join(str(each) for each in self._hash(address)[:3])
