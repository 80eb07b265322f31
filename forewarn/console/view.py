"""From what the feed knows to what the page says: one plain dict, ready for JSON and for Jinja.

A pure function of the feed. Rows carry a ``key`` so that a browser can keep a row's element while
its content changes. Texts are finished here; only clock times travel as Unix seconds beside a text
for readers without JavaScript, because the browser alone knows the viewer's zone.

Left to others: geometry (`forewarn.console.chart`), words for numbers (`forewarn.console.words`),
escaping (Jinja's autoescape, the browser's text nodes); strings here are as Kubernetes gave them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from forewarn.console import words
from forewarn.console.funnel import funnel
from forewarn.console.incident import cards
from forewarn.console.odd import odd
from forewarn.console.outlook import WITHIN, plot, risks
from forewarn.console.series import Series

if TYPE_CHECKING:
    from forewarn.console.feed import Feed

_STATES: Final = {
    "waiting": "Waiting",
    "finished": "Recording over",
    "replay": "Replay",
    "stale": "Stale",
    "live": "Live",
}


def view(feed: Feed, series: str = "", ago: float | None = None) -> dict[str, Any]:
    """Return all that the page shows; `series` and `ago` (seconds) choose the large plot."""
    risky = feed.at_risk()
    now = feed.now or 0.0
    soon = [one for one in risky if (one.time_left(now) or 0.0) <= WITHIN]
    chosen = feed.series.get(series) or feed.favourite(soon or risky) or _any(feed)
    return {
        "version": feed.version,
        "head": _head(feed, soon),
        "risks": risks(feed, soon, len(risky) - len(soon), chosen),
        "incidents": cards(feed),
        "plot": plot(feed, chosen, ago),
        "odd": odd(feed),
        "funnel": funnel(feed),
        "foot": _foot(feed),
    }


def _any(feed: Feed) -> Series | None:
    """Return the series with the longest history: a plot is better company than a blank."""
    return min(feed.series.values(), key=lambda one: (one.since, one.id), default=None)


def _head(feed: Feed, soon: list[Series]) -> dict[str, Any]:
    run, now = feed.run, feed.now
    parts = [_open(feed)]
    if now is not None and soon:
        first = soon[0]
        left = first.time_left(now) or 0.0
        owner = words.place(first.latest.object)
        when = words.when(left, first.is_exhausted)
        parts.append(f"{owner}’s {words.ending(first.latest.resource)} {when}")
    elif now is not None and feed.series:
        parts.append("nothing is foreseen to run out within 72 h")
    age = None if feed.heard_at is None else max(0.0, feed.clock.now() - feed.heard_at)
    replay = run.mode == "replay"
    done = 0.0
    if run.tape_from is not None and run.tape_to is not None and now is not None:
        done = (now - run.tape_from) / max(1.0, run.tape_to - run.tape_from)
        done = 1.0 if run.finished else min(1.0, max(0.0, done))
    if now is None:
        state = "waiting"
    elif run.finished:
        state = "finished"
    elif replay:
        state = "replay"
    else:
        state = "stale" if age is not None and age > 60 else "live"
        parts.append(f"data {words.span(age or 0.0)} old")
    speed = feed.rates.get("speed", 0.0)
    return {
        "cluster": feed.cluster or "no cluster named yet",
        "state": state,
        "state_text": _STATES[state],
        "sentence": _capital("; ".join(parts)) + ".",
        "tone": "bad" if feed.open else "warn" if soon else "good",
        "at": now or 0.0,
        "at_iso": words.iso(now) if now else "",
        "at_text": words.utc(now) if now else "no event yet",
        "replay": replay,
        "done": round(done, 4),
        "done_width": f"{100 * done:.2f}%",
        "done_text": f"{100 * done:.0f} %",
        "speed": f"× {speed:,.0f}" if replay and speed >= 1.5 and not run.finished else "",
        "asked": _asked(run.speed) if replay else "",
        "problem": run.problem,
    }


def _asked(speed: float) -> str:
    return "as fast as it goes" if speed <= 0 else f"asked for × {speed:,.0f}"


def _open(feed: Feed) -> str:
    if feed.now is None:
        return "waiting for the first record"
    number = len(feed.open)
    return words.several(number, "open incident") if number else "no open incident"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _foot(feed: Feed) -> dict[str, Any]:
    run = feed.run
    dead = max(run.dead_letters, feed.totals["dead_letters"])
    last = feed.gaps[-1] if feed.gaps else None
    return {
        "records": words.count(run.records),
        "rate": words.rate(feed.rates.get("records")),
        "lag": words.count(run.lag),
        "dead": words.count(dead),
        "dead_tone": "bad" if dead else "good",
        "gaps": words.count(feed.totals["gaps"]),
        "gaps_tone": "warn" if feed.totals["gaps"] else "good",
        "gap_text": (
            f"last: {last.resource}, {words.span(last.at - last.since)}, {last.reason}"
            if last
            else "none"
        ),
        "series": words.count(len(feed.series)),
    }
