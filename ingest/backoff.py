"""How long to wait before trying again: client-go's ladder, with jitter.

Waits double from 0.8 s to 30 s and get up to as much again at random, so that a fleet of watchers
does not return in step; two healthy minutes put the ladder back to its foot. A wait that the server
names (``Retry-After``) is honoured: never less than it, and the ladder still climbs.

Guaranteed: no wait is shorter than the ladder's rung or than what the server asked for, so a server
that fails at once sees at most five tries in the first 25 s and then one to two a minute. Left to
others: the waiting itself, on a `stream.clock.Clock`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import Field

LONGEST_ASKED: Final = 300.0  # seconds; a Retry-After beyond this is a mistake, or an attack


@dataclass(frozen=True, slots=True)
class BackoffSettings:
    """The ladder. The defaults are client-go's for its reflectors (tools/cache/reflector.go)."""

    first: Annotated[float, Field(gt=0)] = 0.8
    """Seconds of the lowest rung."""
    longest: Annotated[float, Field(gt=0)] = 30.0
    """Seconds of the highest rung, before jitter."""
    factor: Annotated[float, Field(ge=1)] = 2.0
    """By how much a rung is longer than the one before."""
    jitter: Annotated[float, Field(ge=0)] = 1.0
    """Up to this share of a rung is added to it at random."""
    healthy: Annotated[float, Field(gt=0)] = 120.0
    """Seconds without a failure after which the next one starts at the foot again."""


class Backoff:
    """The waits of one source, one after the other.

    Parameters
    ----------
    settings
        The ladder.
    chance
        Source of the jitter; a test gives a seeded one.

    Examples
    --------
    >>> ladder = Backoff(BackoffSettings(jitter=0.0))
    >>> [ladder.next_wait(now) for now in (0.0, 1.0, 3.0, 500.0)]
    [0.8, 1.6, 3.2, 0.8]
    """

    def __init__(
        self,
        settings: BackoffSettings = BackoffSettings(),
        chance: random.Random | None = None,
    ) -> None:
        self._settings = settings
        self._chance = chance or random.Random()
        self._rung = settings.first
        self._ended: float | None = None  # when the last wait was to end

    def next_wait(self, now: float, retry_after: float | None = None) -> float:
        """Return the seconds to wait after a failure at `now`, and climb.

        Parameters
        ----------
        now
            Unix seconds.
        retry_after
            Seconds that the server asked for, or None.
        """
        settings = self._settings
        if self._ended is not None and now - self._ended >= settings.healthy:
            self._rung = settings.first
        wait = self._rung * (1.0 + settings.jitter * self._chance.random())
        self._rung = min(self._rung * settings.factor, settings.longest)
        if retry_after is not None:
            wait = max(wait, min(retry_after, LONGEST_ASKED))
        self._ended = now + wait
        return wait
