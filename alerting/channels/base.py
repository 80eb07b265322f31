"""What a channel is: it takes one notification to one place, or says which of two failures it met.

Success means that the other side has said so in its own words (DingTalk, WeCom answer HTTP 200 with
an error code in the body). Retry, back-off, budgets and the ledger are `alerting.delivery`'s; the
one HTTP client is `alerting.outbound`'s. A message's data is escaped by the channel for its own
mark-up, so a pod's message can never mention people, link or break the format.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from alerting.alert import Notification


class Limit(NamedTuple):
    """A channel's budget: messages in a window of seconds."""

    messages: int
    window: float


class Channel(Protocol):
    """One place that notifications go to."""

    @property
    def name(self) -> str:
        """The receiver's name in the configuration."""
        ...

    @property
    def limit(self) -> Limit:
        """What the place takes before it refuses, about a tenth below the documented figure."""
        ...

    @property
    def send_resolved(self) -> bool:
        """Whether the receiver wants to hear that an incident is over."""
        ...

    def render(self, notification: Notification) -> str:
        """Return what `notify` would send, secrets left out: for dry runs, reports and tests."""
        ...

    async def notify(self, notification: Notification) -> None:
        """Send.

        Raises
        ------
        Unavailable
            Try again later; `retry_after` where the place said when.
        Rejected
            It will never take this one.
        """
        ...

    async def aclose(self) -> None:
        """Release connections."""
        ...
