"""Small Python state by key, kept in pages so that a snapshot writes only what changed.

A page is a fixed share of the keys (by CRC-32, the same on every machine). Looking up a value marks
nothing; whoever changes one says so with `put`. Values are msgspec Structs. Iteration is in the
order of the keys, so that what is said does not depend on which came first, nor on a restore.

Left to others: when something is old enough to drop; numpy state (`stream.columns`).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Any, Final, Generic, TypeVar

from stream.checkpoint import pack, unpack
from stream.errors import Corrupt

_V = TypeVar("_V")
_PAGES: Final = 64  # of 100,000 keys a page then holds 1,600: about 300 kB, 1 ms to write
_VERSION: Final = 1


class Shelf(Generic[_V]):
    """Values by key.

    Parameters
    ----------
    name
        Prefix of its pages, unique in its operator.
    type_
        The values' class, a msgspec Struct.
    """

    def __init__(self, name: str, type_: type[_V], *, pages: int = _PAGES) -> None:
        self._name = name
        self._count = pages
        self._pages: list[dict[str, _V]] = [{} for _ in range(pages)]
        self._dirty: set[int] = set()
        self._type: Any = tuple[int, dict[str, type_]]  # type: ignore[valid-type]

    def __len__(self) -> int:
        return sum(map(len, self._pages))

    def __iter__(self) -> Iterator[tuple[str, _V]]:
        for key in sorted(key for page in self._pages for key in page):
            yield key, self._pages[self._page_of(key)][key]

    def _page_of(self, key: str) -> int:
        return zlib.crc32(key.encode()) % self._count

    def get(self, key: str) -> _V | None:
        """Return the value, or None."""
        return self._pages[self._page_of(key)].get(key)

    def put(self, key: str, value: _V) -> None:
        """Keep `value`; also to be called after a value was changed in place."""
        number = self._page_of(key)
        self._pages[number][key] = value
        self._dirty.add(number)

    def drop(self, key: str) -> None:
        """Forget `key`, known or not."""
        number = self._page_of(key)
        if self._pages[number].pop(key, None) is not None:
            self._dirty.add(number)

    def snapshot(self) -> dict[str, bytes]:
        """Return the pages that changed since the last `snapshot` or `restore`."""
        out = {
            f"{self._name}/{number}": pack((_VERSION, dict(sorted(self._pages[number].items()))))
            for number in sorted(self._dirty)
        }
        self._dirty.clear()
        return out

    def restore(self, pages: Mapping[str, bytes]) -> None:
        """Become what the pages say; pages of others are passed over.

        Raises
        ------
        Corrupt
            A page is of another version or cannot be read.
        """
        self._dirty.clear()
        for number in range(self._count):
            name = f"{self._name}/{number}"
            self._pages[number] = {}
            if (page := pages.get(name)) is None:
                continue
            version, values = unpack(name, page, self._type)
            if version != _VERSION:
                raise Corrupt(f"page {name!r} is of version {version}, this is {_VERSION}")
            self._pages[number] = values
