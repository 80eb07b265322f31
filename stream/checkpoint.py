"""State as pages and back: what an operator's `snapshot` and `restore` are made of.

The rows of a bank are cut into pages of `PAGE_ROWS` (fewer where rows are long). A page is written
whole when one of its rows was touched since the last snapshot, and its bytes depend on nothing but
the content: not on the capacity, not on how often the process was restarted. So two tasks that have
seen the same records have the same pages, which proves a replay (`stream.runtime.Task.state_hash`).

Every page carries a digest of the state's schema (names, dtypes, trailing shapes of the arrays). A
program with another model refuses old pages as `Corrupt` instead of reading them as something else.

An operator puts its parts together itself::

    def snapshot(self):
        return {**self._keys.snapshot(), **self._bank_pages.snapshot()}

    def restore(self, pages):
        self._keys.restore(pages)
        self._bank_pages.restore(pages)

Left to others: which rows exist (`stream.columns`), where pages go and with which offsets
(`stream.runtime`).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.base import Bank, Rows
from stream.errors import Corrupt

PAGE_ROWS: Final = 1024  # at 100–300 bytes a row a page is 100–300 kB: a millisecond to write
_PAGE_BYTES: Final = 1 << 19  # half of what a Kafka message may have by default

_T = TypeVar("_T")


class DirtyPages:
    """Which pages of `rows` rows were touched since the last snapshot. Grows by itself."""

    def __init__(self, rows: int = PAGE_ROWS) -> None:
        self._rows = rows
        self._flags = np.zeros(64, np.bool_)

    def touch(self, rows: Rows) -> None:  # (n,)
        """Mark the pages of `rows`."""
        if rows.size == 0:
            return
        last = int(rows.max()) // self._rows
        if last >= self._flags.size:
            self._flags = np.concatenate([self._flags, np.zeros(last + 1, np.bool_)])
        self._flags[rows // self._rows] = True

    def take(self) -> list[int]:
        """Return the marked page numbers, ascending, and unmark them."""
        numbers: list[int] = np.flatnonzero(self._flags).tolist()
        self._flags[:] = False
        return numbers


class PagedBank:
    """The pages of one bank.

    Parameters
    ----------
    name
        Prefix of the pages' names, unique in the operator.
    bank
        The bank; its rows are read and written through `Bank.arrays`.
    """

    def __init__(self, name: str, bank: Bank) -> None:
        self._name = name
        self._bank = bank
        self._rows = _rows_per_page(bank.arrays())
        self._dirty = DirtyPages(self._rows)

    def reserve(self, rows: int) -> None:
        """Let the bank have room for `rows` rows, in whole pages."""
        if rows > self._bank.capacity:
            self._bank.reserve(-(-rows // PAGE_ROWS) * PAGE_ROWS)

    def touch(self, rows: Rows) -> None:  # (n,)
        """Say that `rows` have changed; must be called for every change, `forget` included."""
        self._dirty.touch(rows)

    def snapshot(self) -> dict[str, bytes]:
        """Return the pages that were touched since the last `snapshot` or `restore`."""
        return {f"{self._name}/{number}": self._page(number) for number in self._dirty.take()}

    def restore(self, pages: Mapping[str, bytes]) -> None:
        """Make the bank what `pages` say and all other rows as new; other names are passed over.

        Raises
        ------
        Corrupt
            A page is damaged or was written by another version of the bank.
        """
        self._dirty.take()
        self._bank.forget(np.arange(self._bank.capacity, dtype=np.intp))
        for number, page in pages_of(self._name, pages):
            self._fill(number, page)

    def _page(self, number: int) -> bytes:
        rows = self._slice(number)
        arrays = self._bank.arrays()
        columns = {name: _little(array[rows]).tobytes() for name, array in sorted(arrays.items())}
        return pack((_schema(arrays), columns))

    def _slice(self, number: int) -> slice:
        self.reserve((number + 1) * self._rows)
        return slice(number * self._rows, (number + 1) * self._rows)

    def _fill(self, number: int, page: bytes) -> None:
        rows = self._slice(number)
        arrays = self._bank.arrays()
        where = f"{self._name}/{number}"
        schema, columns = unpack(where, page, tuple[bytes, dict[str, bytes]])
        if schema != _schema(arrays):
            raise Corrupt(
                f"page {where!r} was written by another version of its model: run the version "
                "that wrote it, or start under a new application name and rebuild from the inputs"
            )
        for name, array in arrays.items():
            target = array[rows]
            target[...] = np.frombuffer(columns[name], _little(array[:0]).dtype).reshape(
                target.shape
            )


class PagedValue(Generic[_T]):
    """One page of small Python state: whatever msgspec can pack, a few kilobytes at most.

    Parameters
    ----------
    name
        Name of the page.
    type_
        Its type, checked when it is read.
    get
        Returns the value to be written. Dicts keep their order, so order must not be chance.
    put
        Takes the value over; given None where there is no page: become as new.
    """

    def __init__(
        self, name: str, type_: type[_T], get: Callable[[], _T], put: Callable[[_T | None], None]
    ) -> None:
        self._name = name
        self._type = type_
        self._get = get
        self._put = put
        self._last = b""

    def snapshot(self) -> dict[str, bytes]:
        """Return the page if it differs from the one before."""
        page = pack(self._get())
        if page == self._last:
            return {}
        self._last = page
        return {self._name: page}

    def restore(self, pages: Mapping[str, bytes]) -> None:
        """Hand the page's value on, or None; `Corrupt` if it cannot be read."""
        self._last = pages.get(self._name, b"")
        self._put(unpack(self._name, self._last, self._type) if self._last else None)


def pages_of(name: str, pages: Mapping[str, bytes]) -> list[tuple[int, bytes]]:
    """Return the pages ``name/<number>``, by number."""
    prefix = f"{name}/"
    return sorted(
        (int(key[len(prefix) :]), page) for key, page in pages.items() if key.startswith(prefix)
    )


def pack(value: Any) -> bytes:
    """Return `value` as msgpack."""
    return msgspec.msgpack.encode(value)


def unpack(name: str, page: bytes, type_: Any) -> Any:
    """Return the value in `page`.

    Raises
    ------
    Corrupt
        The bytes are not a value of this type.
    """
    try:
        return msgspec.msgpack.decode(page, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Corrupt(
            f"page {name!r} of the state cannot be read ({error}): run the version that wrote it, "
            "or start under a new application name and rebuild from the inputs"
        ) from error


def _rows_per_page(arrays: Mapping[str, NDArray[Any]]) -> int:
    """Return a power of two, a function of the schema alone, so that the pages are."""
    size = sum(array.itemsize * math.prod(array.shape[1:]) for array in arrays.values())
    rows = PAGE_ROWS
    while rows > 1 and rows * size > _PAGE_BYTES:
        rows //= 2
    return rows


def _little(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def _schema(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    parts = [(name, _little(a[:0]).dtype.str, a.shape[1:]) for name, a in sorted(arrays.items())]
    return hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
