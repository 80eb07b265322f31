"""The live page's stream (server-sent events): all of it at first, then what changed.

A change is a section of the view whose JSON differs from what this reader was sent last, at most
four times a second, so a tape at full speed costs a browser no more than a quiet cluster. Readers
of the same plot share one rendering. A reader that comes back with the id of the present version
(``Last-Event-ID``) gets nothing twice; any other starts from the whole, because what it missed is
not kept. A *beat* every few seconds lets the page tell a quiet cluster from a lost connection.

Left to others: the content (`forewarn.console.view`), when a browser reconnects (the browser).
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from typing import Final, NamedTuple

import msgspec

from forewarn.console.feed import Feed
from forewarn.console.view import view as page_view
from stream.clock import Clock

INTERVAL: Final = 0.25  # seconds between two changes: faster than anyone reads
BEAT: Final = 5.0
_RETRY: Final = 2000  # milliseconds, as the protocol counts, until a browser tries again
_CHOICES: Final = 32  # renderings kept, one per plot that someone looks at

_encode: Final = msgspec.json.Encoder().encode
Sections = dict[str, bytes]


class Choice(NamedTuple):
    """Which plot a reader looks at."""

    series: str = ""
    ago: float | None = None


class Broadcast:
    """Renderings of one feed for many readers.

    Parameters
    ----------
    feed
        What is told.
    clock
        Paces the stream.
    """

    def __init__(self, feed: Feed, clock: Clock) -> None:
        self._feed = feed
        self._clock = clock
        self._run = secrets.token_hex(4)  # ids of another process must not look like ours
        self._kept: dict[Choice, tuple[float, int, Sections]] = {}
        self.readers = 0

    def sections(self, choice: Choice) -> tuple[str, Sections]:
        """Return an id and the view's sections as JSON, not older than half an `INTERVAL`."""
        now = self._clock.now()
        kept = self._kept.get(choice)
        if kept is None or not 0.0 <= now - kept[0] < INTERVAL / 2:
            view = page_view(self._feed, choice.series, choice.ago)
            sections = {name: _encode(part) for name, part in view.items() if name != "version"}
            if choice not in self._kept and len(self._kept) >= _CHOICES:
                self._kept.pop(next(iter(self._kept)))
            kept = self._kept[choice] = (now, self._feed.version, sections)
        return f"{self._run}-{kept[1]}", kept[2]

    async def stream(self, choice: Choice, last_id: str) -> AsyncIterator[bytes]:
        """Yield events for one reader until it goes away."""
        self.readers += 1
        try:
            identity, sent = self.sections(choice)
            yield f"retry: {_RETRY}\n\n".encode()
            if last_id != identity:
                yield _event("view", identity, _joined(sent))
            beat = self._clock.now() + BEAT
            while True:
                await self._clock.sleep_until(self._clock.now() + INTERVAL)
                identity, sections = self.sections(choice)
                changed = {name: part for name, part in sections.items() if sent.get(name) != part}
                if changed:
                    sent = sections
                    yield _event("change", identity, _joined(changed))
                if self._clock.now() >= beat:
                    beat = self._clock.now() + BEAT
                    yield _event("beat", "", b"{}")
        finally:
            self.readers -= 1


def _joined(sections: Sections) -> bytes:
    return b"{" + b",".join(b'"%s":%s' % (k.encode(), v) for k, v in sections.items()) + b"}"


def _event(name: str, identity: str, data: bytes) -> bytes:
    """Return one event; JSON of msgspec holds no line break, so it is one ``data`` line."""
    head = f"event: {name}\n" + (f"id: {identity}\n" if identity else "")
    return head.encode() + b"data: " + data + b"\n\n"
