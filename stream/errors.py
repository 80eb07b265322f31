"""The three ways in which forewarn fails, and nothing else.

    ForewarnError
    ├── Unavailable     wait and offer the same thing again
    ├── Rejected        it will never be accepted: dead-letter it and go on
    │   └── Fenced      this task has a new owner: drop it and its memory, do not retry
    └── Corrupt         stop: a person must look

A foreign client's exception is translated in the file that imports the client and chained with
``from``. A message says what was tried, on what, and what to do next; it never holds a secret.
Whatever is not one of these is a bug and is left to crash.
"""

from __future__ import annotations


class ForewarnError(Exception):
    """Root of the tree; raised only through one of its three branches."""


class Unavailable(ForewarnError):
    """The other side may recover: wait, then offer the same thing again.

    Attributes
    ----------
    retry_after
        Seconds that the other side asked us to wait, or None where it named none.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Rejected(ForewarnError):
    """The other side will never accept this: dead-letter it, count it, go on."""


class Fenced(Rejected):
    """Another owner has taken this task; its memory is worthless now."""


class Corrupt(ForewarnError):
    """What is stored contradicts itself: stop, a person must look."""
