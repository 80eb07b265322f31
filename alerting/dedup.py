"""The notification log: what each receiver knows of an incident, and whether to speak again.

The answer is always an enumerated reason, never a bare yes or no, so that the log, the metric and
`explain` say it in the same words.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from alerting.alert import Alert, Reason
from alerting.route import Leaf
from stream.records import Severity

# Seconds after which what goes on unchanged is said again: what is critical once in a shift,
# a warning once a day; what is only for information is said once.
REPEAT: Final = {Severity.INFO: math.inf, Severity.WARNING: 86_400.0, Severity.CRITICAL: 28_800.0}
RANK: Final = {Severity.INFO: 0, Severity.WARNING: 1, Severity.CRITICAL: 2}


class Told(msgspec.Struct, frozen=True):
    """What one receiver knows of one incident."""

    fingerprints: tuple[str, ...]  # the alerts that it has been told of, sorted
    severity: Severity
    at: float


class Decision(NamedTuple):
    """Whether to speak, why, and when to ask again if nothing happens."""

    speak: bool
    reason: Reason
    again_at: float = math.inf


def highest(alerts: Sequence[Alert]) -> Severity:
    """Return the highest severity; `alerts` is not empty."""
    return max((alert.severity for alert in alerts), key=RANK.__getitem__)


def repeat_after(leaf: Leaf, severity: Severity) -> float:
    """Return the seconds after which the same is said again: the route's, or the severity's."""
    return REPEAT[severity] if leaf.repeat_interval is None else leaf.repeat_interval


def decide(told: Told | None, firing: Sequence[Alert], leaf: Leaf, now: float) -> Decision:
    """Decide whether a receiver hears of alerts that fire.

    A higher severity is said at once; more alerts once `group_interval` has passed; the same again
    after `repeat_after`.
    """
    if told is None:
        return Decision(True, Reason.FIRST_NOTIFICATION)
    if RANK[highest(firing)] > RANK[told.severity]:
        return Decision(True, Reason.SEVERITY_RAISED)
    repeat_at = told.at + repeat_after(leaf, highest(firing))
    if any(alert.fingerprint not in told.fingerprints for alert in firing):
        news_at = told.at + leaf.group_interval
        if now >= news_at:
            return Decision(True, Reason.NEW_ALERTS_IN_GROUP)
        return Decision(False, Reason.ALREADY_NOTIFIED, min(news_at, repeat_at))
    if now >= repeat_at:
        return Decision(True, Reason.REPEAT_INTERVAL)
    return Decision(False, Reason.ALREADY_NOTIFIED, repeat_at)


def tell(told: Told | None, known: Sequence[Alert], now: float, firing: Sequence[Alert]) -> Told:
    """Return what the receiver knows after it has been told of `firing`.

    `known` are these and those that they explain on the same object: not news any more, unless
    they are more severe.
    """
    before = () if told is None else told.fingerprints
    names = sorted({*before, *(alert.fingerprint for alert in known)})
    severities = [alert.severity for alert in firing] + ([told.severity] if told else [])
    return Told(tuple(names), max(severities, key=RANK.__getitem__), now)
