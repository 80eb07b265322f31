"""A condition that must last before it is said, and must be gone before it is taken back.

The one timer of all fixed rules: *pending* while it has lasted less than `after`, then *firing*,
and *resolved* once it has been absent for `keep`. A condition that returns within `keep` goes on
as the same episode (CrashLoopBackOff disappears for seconds at each attempt). What happens rather
than lasts is observed as there and gone at once: it fires, and is resolved after `keep` without
another.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec


class Episode(msgspec.Struct, gc=False, array_like=True):
    """How far one condition of one object has come."""

    since: float  # event time at which it began
    firing: bool = False
    gone: float | None = None  # event time at which it was last seen to end; None: it is there


Step = Literal["firing", "resolved", "ended"]


def observe(episodes: dict[str, Episode], name: str, active: bool, at: float) -> None:
    """Note that the condition `name` is or is not there at `at`."""
    episode = episodes.get(name)
    if active:
        if episode is None:
            episodes[name] = Episode(at)
        else:
            episode.gone = None
    elif episode is not None and episode.gone is None:
        episode.gone = at


def happened(episodes: dict[str, Episode], name: str, at: float) -> None:
    """Note that something happened at `at` that does not last by itself."""
    observe(episodes, name, True, at)
    observe(episodes, name, False, at)


def step(
    episodes: dict[str, Episode], name: str, at: float, after: float, keep: float
) -> Step | None:
    """Return what `name` has become by `at`; an episode that ends is forgotten."""
    episode = episodes.get(name)
    if episode is None:
        return None
    if not episode.firing and _lasted(episode, at) >= after:
        episode.firing = True
        return "firing"
    if episode.gone is not None and at - episode.gone >= keep:
        del episodes[name]
        return "resolved" if episode.firing else "ended"
    return None


def due(episodes: dict[str, Episode], name: str, after: float, keep: float) -> float | None:
    """Return when `step` can next say something; None: not before something is observed."""
    episode = episodes.get(name)
    if episode is None:
        return None
    if not episode.firing and _lasted(episode, math.inf) >= after:
        return episode.since + after
    return None if episode.gone is None else episode.gone + keep


def _lasted(episode: Episode, at: float) -> float:
    return (at if episode.gone is None else episode.gone) - episode.since
