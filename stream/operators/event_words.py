"""How groups of events, and the account of all lines, are said.

Every part of the evidence is a sentence of its own, the strongest first, with the number behind it;
a part that adds nothing is left out. The account says what became of every line.

Left to others: what is said and when (`stream.operators.events`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

from models.evidence import Term
from stream.operators.conclude import conclude, span
from stream.operators.event_groups import Group
from stream.records import Finding, ObjectRef, Part, Severity

# What happened to lines: the first two count all, of the others every line ends in one.
ENTRIES: Final = {
    "lines": "lines",
    "events": "events that the looked-at lines stand for",
    "normal": "lines of normal life",
    "duplicate": "lines known already or outdated",
    "usual": "keys that did what they usually do",
    "candidates": "keys that did something rare",
    "groups": "groups opened",
    "below": "groups that ended without weighing enough",
    "folded": "groups that belong to one said before",
    "sent": "groups said",
}
_LEAST: Final = 0.05  # points of a part that is worth a sentence


def _rate(value: float) -> str:
    """Return a return period in words."""
    return f"once in {span(86_400.0 * 10.0**value)}"


_TEXTS: Final[dict[str, Callable[[float], str]]] = {
    "own": lambda value: f"here {_rate(value)}",
    "namespace": lambda value: f"in this namespace {_rate(value)}",
    "fleet": lambda value: f"in this cluster {_rate(value)}",
    "node": lambda value: f"so many troubles on one node {_rate(value)}",
    "template": lambda value: f"such a message {_rate(value)}",
    "excess": lambda value: f"{value:.1f} deviations above its own mean",
    "gravity": lambda value: f"gravity of the reason {value:.1f} of 1",
    "minutes": lambda value: f"lines in {value:.0f} minutes",
    "subjects": lambda value: f"{value:.0f} workloads or nodes",
    "feedback": lambda value: (
        f"people called {abs(value):.0%} of it {'useful' if value > 0 else 'noise'}"
    ),
}


def say(
    group: Group,
    state: Literal["firing", "resolved"],
    at: float,
    terms: Sequence[Term],
    critical: float,
) -> Finding:
    """Return the finding about a group; `critical` is the score from which it is."""
    reasons = sorted(group.reasons, key=lambda reason: (-group.reasons[reason], reason))
    others = len(group.subjects) - 1
    also = f" and {others} other{'s' if others > 1 else ''}" if others > 0 else ""
    over = "" if state == "firing" else ": silent again"
    grave = group.grown or group.score >= critical
    severity = Severity.CRITICAL if grave else Severity.WARNING
    because = tuple(
        Part(term.name, round(term.value, 2), _TEXTS[term.name](term.value))
        for term in terms
        if term.points > _LEAST or term.name == "feedback"
    )
    return conclude(
        "event-anomaly",
        state,
        group.cluster,
        group.ref,
        at=at,
        since=group.opened_at,
        summary=f"{group.ref}{also}: {', '.join(reasons[:3])}{over}",
        severity=severity if state == "firing" else Severity.INFO,
        score=round(group.score, 3),
        because=(*because, *(Part("message", text, text) for text in group.templates)),
        labels={
            "reason": reasons[0] if reasons else "",
            "family": ",".join(sorted(group.families)[:3]),
            "node": next(iter(group.nodes)) if len(group.nodes) == 1 else "",
            "subjects": str(len(group.subjects)),
        },
    )


def say_account(cluster: str, account: Mapping[str, int], since: float, at: float) -> Finding:
    """Return what became of a cluster's lines since `since`."""
    return conclude(
        "event-noise",
        "evidence",
        cluster,
        ObjectRef("Cluster", "", cluster),
        at=at,
        since=since,
        summary=f"{account['lines']} event lines, {account['sent']} said",
        because=tuple(
            Part(name, float(count), f"{count} {ENTRIES[name]}") for name, count in account.items()
        ),
    )
