"""What is about to break: the list by time left, and the large picture of one series.

The list holds what is foreseen to meet its limit within `WITHIN`; how much lies further away is a
number beside it. The picture shows what was, what is said now, and what was said some hours ago
with its record, so that a reader can see how far to trust the first.

Left to others: geometry (`forewarn.console.chart`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from forewarn.console import chart, words
from forewarn.console.series import Said, Series, shifted

if TYPE_CHECKING:
    from forewarn.console.feed import Feed

_ROWS: Final = 8  # the rest is a sentence
WITHIN: Final = 72 * 3600.0  # what is further away is not "about to"
_AGO: Final = (3600.0, 3 * 3600.0, 6 * 3600.0, 12 * 3600.0, 24 * 3600.0)


def risks(feed: Feed, soon: list[Series], later: int, chosen: Series | None) -> dict[str, Any]:
    """Return the list; `soon` is what it holds, `later` how many are further away."""
    now = feed.now or 0.0
    hidden = max(0, len(soon) - _ROWS)
    more = []
    if hidden:
        more.append(f"{hidden} more within 72 h")
    if later:
        more.append(f"{later} later than 72 h")
    watched = words.several(len(feed.series), "series", "series")
    if not feed.series:
        empty = "No forecast yet. A series speaks once it has seen enough of its own past."
    else:
        learning = sum(1 for one in feed.series.values() if one.latest.state == "learning")
        empty = f"Nothing is foreseen to run out. {watched} watched, {learning} still learning."
    return {
        "rows": [_risk(one, now, chosen) for one in soon[:_ROWS]],
        "some": bool(soon),
        "none": not soon,
        "empty": empty,
        "more": ", ".join(more),
        "watched": watched,
    }


def _risk(series: Series, now: float, chosen: Series | None) -> dict[str, Any]:
    latest = series.latest
    left = series.time_left(now)
    low, high = shifted(latest.p10, latest.at, now), shifted(latest.p90, latest.at, now)
    urgency = "now" if not left else "soon" if left < 6 * 3600 else "later"
    return {
        "key": series.id,
        "href": f"/?series={series.id}#forecast",
        "object": words.place(latest.object),
        "full": " ".join((str(latest.object), latest.labels.get("pod", ""))).strip(),
        "resource": words.resource(latest),
        "left": _left(series, left),
        "band": words.between(low, high),
        "at": latest.at + (latest.p50 or 0.0),
        "at_iso": words.iso(latest.at + (latest.p50 or 0.0)),
        "at_text": words.utc(latest.at + (latest.p50 or 0.0)),
        "urgency": urgency,
        "mark": {"now": "■", "soon": "▲", "later": "●"}[urgency],
        "likely": words.share(latest.p_cross_24h),
        "likely_width": f"{100 * min(1.0, max(0.0, latest.p_cross_24h)):.1f}%",
        "used": words.share(latest.value / latest.limit) if latest.limit > 0 else "",
        "value": words.amount(latest.value, latest.unit),
        "limit": words.amount(latest.limit, latest.unit),
        "current": "true" if chosen is series else "false",
        "spark": chart.spark(series, now),
    }


def plot(feed: Feed, series: Series | None, ago: float | None) -> dict[str, Any]:
    """Return the large picture of `series`, with what was said `ago` seconds before now."""
    if series is None:
        return {
            "none": True,
            "some": False,
            "empty": "No series yet. The first forecast appears here with its band, and later "
            "beside it what was said before and what came of it.",
        }
    now, latest = max(feed.now or 0.0, series.latest.at), series.latest
    choices = [back for back in _AGO if series.said(back) is not None]
    wanted = ago if ago is not None else next((b for b in reversed(_AGO[:3]) if b in choices), None)
    said = series.said(wanted) if wanted else None
    left = series.time_left(now)
    low, high = shifted(latest.p10, latest.at, now), shifted(latest.p90, latest.at, now)
    if left is None:
        title = "is not foreseen to meet its limit"
    else:
        title = f"{words.ending(latest.resource)} {words.when(left, series.is_exhausted)}"
    return {
        "none": False,
        "some": True,
        "key": series.id,
        "object": words.place(latest.object),
        "kind": latest.object.kind,
        "resource": words.resource(latest),
        "title": title,
        "pod": latest.labels.get("pod", ""),
        "learning": latest.state == "learning",
        "left": _left(series, left),
        "band": words.between(low, high),
        "value": words.amount(latest.value, latest.unit),
        "limit": words.amount(latest.limit, latest.unit),
        "used": words.share(latest.value / latest.limit) if latest.limit > 0 else "",
        "likely": words.share(latest.p_cross_24h),
        "unit": latest.unit,
        "model": latest.model,
        "because": [
            {"key": f"{i}", "text": part.text} for i, part in enumerate(latest.because[:4])
        ],
        "ago": wanted or 0.0,
        "choices": [
            {
                "key": f"{back:.0f}",
                "text": words.span(back),
                "href": f"/?series={series.id}&ago={back:.0f}#forecast",
                "current": "true" if back == wanted and said else "false",
            }
            for back in choices
        ],
        "said": said is not None,
        "said_text": _said_text(series, said, now) if said else "",
        "table": _table(series, now),
        "draw": chart.plot(series, said, now),
    }


def _left(series: Series, left: float | None) -> str:
    """Return the time left; what is due and not yet measured is not called "now"."""
    return "any moment" if left == 0 and not series.is_exhausted else words.left(left)


def _said_text(series: Series, said: Said, now: float) -> str:
    """Return what was said then, how it differs from what is said now, and how it fared."""
    then, latest = said.forecast, series.latest
    before = words.span(now - then.at)
    if then.p50 is None:
        parts = [f"{before} ago no crossing was foreseen."]
    elif then.p50 <= 0:
        parts = [f"{before} ago the limit was already met."]
    else:
        band = words.between(then.p10, then.p90)
        parts = [f"{before} ago it was to last {words.span(then.p50)} [{band}]."]
        if latest.p50 is not None:
            moved = latest.at + latest.p50 - (then.at + then.p50)
            way = f"{words.span(abs(moved))} {'later' if moved > 0 else 'earlier'}"
            parts.append(f"The present answer is {way if abs(moved) > 300 else 'the same'}.")
    if said.inside is not None:
        part = "All" if said.inside == 1.0 else words.share(said.inside)
        parts.append(f"{part} of what came since lies in its band.")
    return " ".join(parts)


def _table(series: Series, now: float) -> list[dict[str, str]]:
    """Return the plot's table: the alternative for who cannot see it."""
    latest = series.latest
    rows: list[dict[str, str]] = []
    for i, after in enumerate(latest.horizons):
        if after > 48 * 3600 or len(rows) >= 12 or i >= len(latest.upper):
            break
        rows.append(
            {
                "key": f"{after:.0f}",
                "after": f"in {words.span(after)}",
                "mean": words.amount(latest.mean[i], latest.unit),
                "lower": words.amount(latest.lower[i], latest.unit),
                "upper": words.amount(latest.upper[i], latest.unit),
            }
        )
    return rows
