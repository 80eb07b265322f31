"""Budgets: no more messages to a channel than it takes; what is over goes into one digest.

Counted in event time, over a sliding window, when a message is put on the outbox, so a replay
decides the same. Pacing in real time is `alerting.delivery`'s.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

HELD = 500  # incidents that one digest names; older ones fall out and are counted


class Limit(NamedTuple):
    """A channel's budget: messages in a window of seconds."""

    messages: int
    window: float


class Window(msgspec.Struct):
    """What one receiver got lately, and what waits for its digest."""

    sent: list[float] = []  # event times within the window
    held: list[str] = []  # ids of incidents, in order, each once
    lost: int = 0  # held ones beyond `HELD`


def has_room(window: Window, limit: Limit, now: float) -> bool:
    """Return whether another message is in the budget at `now`."""
    window.sent = [at for at in window.sent if at + limit.window > now]
    return len(window.sent) < limit.messages


def admit(window: Window, limit: Limit, now: float) -> bool:
    """Take one message out of the budget; False where there is none, or others wait already."""
    if window.held or not has_room(window, limit, now):
        return False
    window.sent.append(now)
    return True


def hold(window: Window, incident: str) -> None:
    """Keep an incident for the digest."""
    if incident in window.held:
        return
    window.held.append(incident)
    if len(window.held) > HELD:
        del window.held[0]
        window.lost += 1


def due(window: Window, limit: Limit) -> float:
    """Return the event time at which the digest fits; `window.held` is not empty."""
    if len(window.sent) < limit.messages:
        return window.sent[-1] if window.sent else 0.0
    return window.sent[-limit.messages] + limit.window


def release(window: Window, limit: Limit, now: float) -> tuple[tuple[str, ...], int] | None:
    """Return the incidents for one digest and how many fell out, or None while there is no room."""
    if not window.held or not has_room(window, limit, now):
        return None
    held, lost = tuple(window.held), window.lost
    window.held, window.lost = [], 0
    window.sent.append(now)
    return held, lost
