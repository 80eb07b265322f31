"""Incidents as cards and as a page: what, since when, why, what was foreseen, who was told.

A pure function of the feed, like `forewarn.console.view`, with the same rules for keys and times.
A prediction is held against what came: a card says when it was foreseen and whether it came true;
what was found only when it was there is never dressed up as foreseen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from alerting.alert import Cause, Incident, Notification, State
from forewarn.console import words
from forewarn.console.known import Known, affected, worst
from forewarn.feedback import judged
from stream.records import Severity

if TYPE_CHECKING:
    from forewarn.console.feed import Feed

_OPEN: Final = 24  # cards; the rest is a sentence
_RESOLVED: Final = 8
_SAID_ABOVE: Final = frozenset({"cluster", "kind", "namespace", "name", "rule", "severity"})
_MARKS: Final = {Severity.CRITICAL: "■", Severity.WARNING: "▲", Severity.INFO: "●"}


def cards(feed: Feed) -> dict[str, Any]:
    """Return the open incidents, the worst first, and those resolved of late."""
    now = feed.now or 0.0
    ordered = worst(feed.open.values())
    # A merged incident lives on in the one that explains it.
    past = [known for known in reversed(feed.resolved.values()) if not known.incident.merged_into]
    hidden = len(ordered) - _OPEN
    return {
        "open": [_card(known, now) for known in ordered[:_OPEN]],
        "resolved": [_card(known, now) for known in past[:_RESOLVED]],
        "none": not ordered,
        "empty": (
            "Nothing is open. What opens here comes with its suspected cause, the odds for it and "
            "what it touches."
        ),
        "more": f"{hidden} more are open" if hidden > 0 else "",
        "past": bool(past),
        "count": words.count(len(ordered)),
    }


def _card(known: Known, now: float) -> dict[str, Any]:
    incident = known.incident
    objects = affected(incident)
    over = incident.state is State.RESOLVED
    ended = incident.resolved_at or incident.updated_at
    age = (ended if over else max(now, incident.updated_at)) - incident.opened_at
    foreseen, outcome = _foreseen(incident, now)
    others = sum(1 for one in incident.causes if one.kind != "unknown" and one != incident.cause)
    cause = incident.cause
    return {
        "key": incident.id,
        "href": f"/incidents/{incident.id}",
        "severity": incident.severity.value,
        "mark": "✓" if over else _MARKS[incident.severity],
        "title": incident.summary,
        "object": words.place(incident.object),
        "kind": incident.object.kind,
        "rule": incident.rule,
        "age": f"lasted {words.span(age)}" if over else f"open {words.span(age)}",
        "opened": incident.opened_at,
        "opened_iso": words.iso(incident.opened_at),
        "opened_text": words.utc(incident.opened_at),
        "ended": ended,
        "ended_iso": words.iso(ended),
        "ended_text": words.utc(ended),
        "caused": cause is not None,
        "uncaused": cause is None,
        "cause": cause.text if cause else "no cause is suspected yet",
        "odds": words.share(cause.odds) if cause else "",
        "odds_width": f"{100 * cause.odds:.1f}%" if cause else "0%",
        "others": words.several(others, "other suspect") if others else "",
        "affected": words.several(len(objects), "object") + " affected",
        "foreseen": foreseen,
        "outcome": outcome,
        "told": words.several(known.incident.notifications, "message") + " sent",
    }


def _foreseen(incident: Incident, now: float) -> tuple[str, str]:
    """Return the promise in words, and its outcome: open, true, averted, late; "" without one.

    What was there when the incident opened was not foreseen, whatever its fields say.
    """
    first = incident.first_expected_at
    if first is None or first <= incident.opened_at:
        return "", ""
    ahead = words.span(first - incident.opened_at)
    came = incident.came_true_at
    if came is not None:
        before = words.span(came - incident.opened_at)
        moved = came - first
        if abs(moved) < 300:
            return f"foreseen {before} ahead, came true when it was said", "true"
        way = "later" if moved > 0 else "earlier"
        return f"foreseen {before} ahead, came true {words.span(abs(moved))} {way}", "true"
    due = incident.expected_at if incident.expected_at is not None else first
    if incident.state is State.RESOLVED:
        spare = due - (incident.resolved_at or incident.updated_at)
        if spare > 0:
            return f"did not come: over {words.span(spare)} before it was due", "averted"
        return "did not come in the time that was said", "late"
    if due >= now:
        return f"expected in {words.span(due - now)}, first said {ahead} ahead", "open"
    return f"was due {words.span(now - due)} ago, not seen yet", "late"


def detail(feed: Feed, known: Known) -> dict[str, Any]:
    """Return all that the incident's own page shows."""
    incident = known.incident
    now = max(feed.now or 0.0, incident.updated_at)
    return {
        **_card(known, now),
        "id": incident.id,
        "cluster": incident.cluster,
        "state": incident.state.value,
        "merged": f"/incidents/{incident.merged_into}" if incident.merged_into else "",
        "flapping": any(alert.flapping for alert in incident.alerts),
        "causes": [_cause(one, i) for i, one in enumerate(_all_causes(incident))],
        "alerts": [
            {
                "key": alert.fingerprint,
                "severity": alert.severity.value,
                "mark": _MARKS[alert.severity],
                "rule": alert.rule,
                "object": words.place(alert.object),
                "kind": alert.object.kind,
                "summary": alert.summary,
                "ended": alert.ends_at is not None,
                "since": words.utc(alert.starts_at),
                "since_iso": words.iso(alert.starts_at),
                "labels": [
                    f"{name}={alert.labels[name]}"
                    for name in sorted(alert.labels)
                    if name not in _SAID_ABOVE
                ],
                "because": [{"name": part.name, "text": part.text} for part in alert.because],
            }
            for alert in incident.alerts
        ],
        "timeline": [
            {
                "name": part.name,
                "text": part.text,
                "at_iso": words.iso(part.value) if isinstance(part.value, float) else "",
                "at_text": words.utc(part.value) if isinstance(part.value, float) else "",
                "after": (
                    _after(part.value - incident.opened_at) if isinstance(part.value, float) else ""
                ),
            }
            for part in incident.timeline
        ],
        "called": known.called,
        "judges": ", ".join(f"{reason} of {ref}" for ref, reason in judged(incident)),
        "objects": [str(ref) for ref in affected(incident)],
        "notifications": [_notification(one) for one in known.notifications],
        "suppressed": [
            {
                "rule": one.rule,
                "reason": one.reason.value.replace("-", " "),
                "by": one.by,
                "summary": one.summary,
                "at_iso": words.iso(one.at),
                "at_text": words.utc(one.at),
            }
            for one in feed.suppressed
            if one.object in affected(incident) or one.by == incident.id
        ][-20:],
    }


def _all_causes(incident: Incident) -> list[Cause]:
    found = [incident.cause] if incident.cause else []
    return [*found, *(one for one in incident.causes if one != incident.cause)]


def _cause(cause: Cause, index: int) -> dict[str, Any]:
    return {
        "key": f"{index}",
        "kind": cause.kind,
        "text": cause.text,
        "odds": words.share(cause.odds),
        "width": f"{100 * cause.odds:.1f}%",
        "at_iso": words.iso(cause.at),
        "at_text": words.utc(cause.at),
    }


def _after(seconds: float) -> str:
    sign = "+" if seconds >= 0 else "−"
    return f"{sign}{words.span(abs(seconds))}"


def _notification(one: Notification) -> dict[str, Any]:
    return {
        "key": one.id,
        "channel": one.channel,
        "kind": one.kind,
        "reason": one.reason.value.replace("-", " "),
        "title": one.title,
        "text": one.text,
        "at_iso": words.iso(one.at),
        "at_text": words.utc(one.at),
    }
