"""What a notification says: a title and a few plain lines, short sentences, no mark-up.

What, where, since when, the time that is left, the suspected cause with its odds, the evidence; for
a resolved incident how long it lasted, and what was predicted beside what happened. Every time is
UTC. Data is quoted as it came: each channel escapes it for its own mark-up.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Final

from alerting.alert import Alert, Incident
from alerting.duration import words
from stream.records import Part

_EVIDENCE: Final = 8  # lines of evidence; last words and recent events come last
_ALERTS: Final = 5  # lines of further alerts
_TITLES: Final = 10  # incidents that a digest names
_LINE: Final = 300  # characters of one line; a container's last words can be 1 KiB


def clock(at: float) -> str:
    """Return a time of day for a person, with its date and zone."""
    return datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")


def _line(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _LINE else flat[: _LINE - 1] + "…"


def time_left(alert: Alert, now: float) -> str:
    """Return "in about 3 h 10 min [2 h 40 min – 4 h 30 min], 2026-11-21 10:15 UTC".

    The band stands in the finding's reasons as ``p10`` and ``p90``, seconds after the finding.
    """
    assert alert.expected_at is not None
    left = alert.expected_at - now
    if left <= 0:
        return f"now; it was due {clock(alert.expected_at)}"
    band = {
        part.name: alert.updated_at + part.value - now
        for part in alert.because
        if part.name in ("p10", "p90") and not isinstance(part.value, str)
    }
    spread = f" [{words(band['p10'])} – {words(band['p90'])}]" if len(band) == 2 else ""
    return f"in about {words(left)}{spread}, {clock(alert.expected_at)}"


def lead_of(incident: Incident) -> Alert:
    """Return the alert that the incident is named after; it has one at least."""
    return next(
        (a for a in incident.alerts if a.object == incident.object and a.rule == incident.rule),
        incident.alerts[0],
    )


def title(incident: Incident, kind: str, now: float) -> str:
    """Return one line; of what is foreseen, with the time left at `now`."""
    severity = incident.severity.value.capitalize()
    word = {"resolved": "Resolved", "repeat": f"Still {incident.severity.value}"}.get(
        kind, severity
    )
    return _line(f"{word}: {_said(incident)}{_soon(incident, kind, now)}")


def _soon(incident: Incident, kind: str, now: float) -> str:
    """Return the time left, where the incident is named after a prediction that is still open."""
    lead = lead_of(incident)
    if kind == "resolved" or lead.expected_at is None:
        return ""
    left = lead.expected_at - now
    return f" in about {words(left)}" if left > 0 else " any moment"


def _said(of: Alert | Incident) -> str:
    """Return the summary, with the object where it does not name it."""
    return of.summary if of.object.name in of.summary else f"{of.object} – {of.summary}"


def body(incident: Incident, told: Sequence[Alert], kind: str, now: float) -> str:
    """Return the lines for one incident; `told` are the alerts that this receiver hears of."""
    if kind == "resolved":
        return "\n".join(_resolved(incident))
    lead = next(
        (a for a in told if a.object == incident.object and a.rule == incident.rule), told[0]
    )
    lines = [f"What: {_line(lead.summary)} ({lead.rule})", f"Where: {_where(lead)}"]
    begun = min(alert.starts_at for alert in told)
    lines.append(f"Since: {clock(begun)} ({words(now - begun)} ago)")
    predictions = [alert for alert in told if alert.expected_at is not None]
    if predictions:
        soonest = min(predictions, key=lambda alert: alert.expected_at or 0.0)
        lines.append(f"Expected: {time_left(soonest, now)}")
    if incident.came_true_at is not None:
        lines.append(f"Prediction: {_came_true(incident)}")
    lines += _causes(incident)
    if any(alert.flapping for alert in told):
        lines.append("It comes and goes; it is held until it has been quiet.")
    lines += _evidence(lead.because)
    others = [alert for alert in told if alert is not lead]
    if others:
        lines.append("Also:")
        lines += [f"- {_line(_said(alert))}" for alert in others[:_ALERTS]]
        if len(others) > _ALERTS:
            lines.append(f"- … and {len(others) - _ALERTS} more")
    return "\n".join(lines)


def digest(incidents: Sequence[Incident], lost: int) -> tuple[str, str]:
    """Return title and lines of one message for many incidents."""
    total = len(incidents) + lost
    firing = sum(1 for incident in incidents if incident.resolved_at is None)
    heading = f"{total} incidents in one message: {firing} open, {len(incidents) - firing} resolved"
    lines = ["More happened than this channel takes. The rest, in short:"]
    for incident in incidents[:_TITLES]:
        state = "resolved" if incident.resolved_at is not None else incident.severity.value
        lines.append(f"- {state}: {_line(_said(incident))}")
    if total > _TITLES:
        lines.append(f"- … and {total - min(len(incidents), _TITLES)} more")
    return heading, "\n".join(lines)


def _where(alert: Alert) -> str:
    places = [f"cluster {alert.cluster}"] + [
        f"{name} {alert.labels[name]}"
        for name in ("node", "container")
        if alert.labels.get(name) and alert.object.name != alert.labels[name]
    ]
    return f"{alert.object} ({', '.join(places)})"


def _causes(incident: Incident) -> list[str]:
    shown = [cause for cause in incident.causes if cause.kind != "unknown" and cause.odds >= 0.05]
    if incident.cause is None:
        if not shown:
            return ["Suspected cause: not known."]
        return [
            f"Suspected cause: not known; perhaps {_line(shown[0].text)} ({shown[0].odds:.0%})."
        ]
    lines = [f"Suspected cause: {_line(incident.cause.text)} ({incident.cause.odds:.0%})."]
    if shown:
        lines.append("Or: " + "; ".join(f"{_line(c.text)} ({c.odds:.0%})" for c in shown[:2]) + ".")
    return lines


def _evidence(parts: Sequence[Part]) -> list[str]:
    said = [part for part in parts if part.text]
    if not said:
        return []
    lines = ["Evidence:", *(f"- {_line(part.text)}" for part in said[:_EVIDENCE])]
    if len(said) > _EVIDENCE:
        lines.append(f"- … and {len(said) - _EVIDENCE} more")
    return lines


def _resolved(incident: Incident) -> list[str]:
    assert incident.resolved_at is not None
    began = min(alert.starts_at for alert in incident.alerts)
    lead = lead_of(incident)
    lasted = words(incident.resolved_at - began)
    lines = [
        f"What: {_line(incident.summary)} ({incident.rule})",
        f"Where: {_where(lead)}",
        f"Lasted: {lasted}, from {clock(began)} to {clock(incident.resolved_at)}",
    ]
    if incident.came_true_at is not None:
        lines.append(f"Prediction: {_came_true(incident)}")
    elif incident.first_expected_at is not None:
        lines.append(f"Prediction: for {clock(incident.first_expected_at)}; it did not happen.")
    if incident.cause is not None:
        cause = incident.cause
        lines.append(f"Suspected cause: {_line(cause.text)} ({cause.odds:.0%}).")
    return lines


def difference(happened: float, predicted: float) -> str:
    """Return "12 min before P50", "at P50" or "1 h after P50"."""
    if abs(happened - predicted) < 60:
        return "at P50"
    side = "before" if happened < predicted else "after"
    return f"{words(abs(happened - predicted))} {side} P50"


def _came_true(incident: Incident) -> str:
    assert incident.came_true_at is not None
    happened = f"it happened {clock(incident.came_true_at)}"
    if incident.first_expected_at is None:
        return happened + "."
    ahead = incident.came_true_at - incident.opened_at
    return (
        f"for {clock(incident.first_expected_at)}; {happened}, "
        f"{difference(incident.came_true_at, incident.first_expected_at)}, "
        f"{words(ahead)} after the first warning."
    )
