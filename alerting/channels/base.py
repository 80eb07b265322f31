"""What a channel is: it takes one notification to one place, or says which of two failures it met.

Success means that the other side has said so in its own words (DingTalk, WeCom answer HTTP 200 with
an error code in the body). Retry, back-off, budgets and the ledger are `alerting.delivery`'s; the
one HTTP client is `alerting.outbound`'s. A message's data is escaped by the channel for its own
mark-up, so a pod's message can never mention people, link or break the format.

A channel's configuration builds the channel. Built *dry* it can only `render`: it opens nothing,
reads no secret, and refuses to `notify`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict, Field, model_validator

from alerting.alert import Notification
from alerting.budget import Limit
from alerting.duration import Duration
from alerting.outbound import Outbound
from alerting.secret import Secret, SecretSource
from stream.clock import Clock
from stream.errors import Rejected

__all__ = ["Channel", "ChannelConfig", "Limit", "LimitConfig", "WebConfig"]


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


class LimitConfig(BaseModel):
    """A budget instead of the channel's own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    messages: int = Field(ge=1, description="Messages within the window.")
    window: Duration = Field(default=60.0, gt=0, description="Default 1m.")


class ChannelConfig(BaseModel):
    """What every receiver may say; each channel adds its own."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    own_limit: ClassVar[Limit]

    send_resolved: bool = Field(
        default=True, description="Tell when an incident is over. Default true."
    )
    limit: LimitConfig | None = Field(
        default=None,
        description="Instead of the channel's budget; what is over goes into one digest.",
    )

    def budget(self) -> Limit:
        """Return how many messages the receiver takes."""
        if self.limit is None:
            return self.own_limit
        return Limit(self.limit.messages, self.limit.window)

    def build(self, name: str, clock: Clock, *, dry: bool = False) -> Channel:
        """Return the channel called `name`; dry: one that renders and cannot send."""
        raise NotImplementedError


class WebConfig(ChannelConfig):
    """A place on the web, whose address is a secret."""

    hosts: ClassVar[tuple[str, ...]] = ()

    url: Secret | None = Field(default=None, description="The address itself. Better: url_file.")
    url_file: Path | None = Field(
        default=None, description="A file that holds it; read at each message."
    )
    url_env: str | None = Field(default=None, description="An environment variable that holds it.")
    allow_host: tuple[str, ...] = Field(
        default=(), description="More hosts than the service's own, such as a relay's."
    )
    allow_private: bool = Field(
        default=False,
        description="Also private addresses and plain http: a service of one's own network.",
    )

    @model_validator(mode="after")
    def _one_address(self) -> WebConfig:
        if self.address("").places() != 1:
            raise ValueError("say exactly one of url, url_file and url_env")
        return self

    def address(self, name: str) -> SecretSource:
        """Return where the address is kept."""
        return SecretSource(f"url of receiver {name!r}", self.url, self.url_file, self.url_env)

    def outbound(self, clock: Clock, *, dry: bool) -> Outbound | None:
        """Return the client for this place, None when dry."""
        if dry:
            return None
        hosts = (*self.hosts, *self.allow_host) if self.hosts else self.allow_host
        return Outbound(clock, hosts=hosts, allow_private=self.allow_private)


def sender(outbound: Outbound | None, name: str) -> Outbound:
    """Return the client, or refuse: a dry channel never sends.

    Raises
    ------
    Rejected
        There is none.
    """
    if outbound is None:
        raise Rejected(f"receiver {name!r} is dry: it renders and does not send")
    return outbound


def revealed(source: SecretSource) -> str:
    """Return a secret that must be there, for the request being built."""
    secret = source.read()
    if secret is None:
        raise Rejected(f"there is no {source.what}")
    return secret.reveal()


def error_code(answer: dict[str, Any], name: str) -> int | None:
    """Return the number called `name` in `answer`; None where there is no such number."""
    code = answer.get(name)
    return code if isinstance(code, int) and not isinstance(code, bool) else None
