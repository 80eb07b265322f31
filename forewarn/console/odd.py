"""What was odd of late: the strongest evidence about nodes that alerts nobody by itself.

A pure function of the feed. Left to others: what is odd (`stream.operators.oddity`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from forewarn.console import words

if TYPE_CHECKING:
    from forewarn.console.feed import Feed

WINDOW: Final = 24 * 3600.0  # seconds
_ROWS: Final = 6


def odd(feed: Feed) -> dict[str, Any]:
    """Return the oddest of the last day, the strongest first, of equal ones the newest."""
    now = feed.now or 0.0
    late = [one for one in feed.odd if one.since > now - WINDOW]
    late.sort(key=lambda one: (-one.score, -one.since, one.id))
    hidden = len(late) - _ROWS
    return {
        "some": bool(late),
        "more": f"{hidden} weaker ones in the same time" if hidden > 0 else "",
        "rows": [
            {
                "key": one.id,
                "object": words.place(one.object),
                "resource": one.labels.get("resource", ""),
                "text": one.because[0].text if one.because else one.summary,
                "summary": one.summary,
                "width": f"{100 * min(one.score, 1.0):.1f}%",
                "score": f"{one.score:.2f}",
                "at": one.since,
                "at_iso": words.iso(one.since),
                "at_text": words.utc(one.since),
            }
            for one in late[:_ROWS]
        ],
    }
