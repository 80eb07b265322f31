"""What a channel is: it takes one notification to one place, or says which of two failures it met.

Success means that the other side has said so in its own words (DingTalk, WeCom answer HTTP 200 with
an error code in the body). Retry, back-off, budgets and the ledger are `alerting.delivery`'s; the
one HTTP client is `alerting.outbound`'s. A message's data is escaped by the channel for its own
mark-up, so a pod's message can never mention people, link or break the format.

A channel's configuration builds the channel. Built *dry* it can only `render`: it opens nothing,
reads no secret, and refuses to `notify`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

import msgspec
from pydantic import BaseModel, ConfigDict, Field, model_validator

from alerting.alert import Notification
from alerting.budget import Limit
from alerting.duration import Duration
from alerting.outbound import Answer, Outbound
from alerting.secret import Secret, SecretSource
from stream.clock import Clock
from stream.errors import Rejected

__all__ = [
    "Channel",
    "ChannelConfig",
    "Limit",
    "LimitConfig",
    "SignedConfig",
    "WebChannel",
    "WebConfig",
]


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

    @abstractmethod
    def build(self, name: str, clock: Clock, *, dry: bool = False) -> Channel:
        """Return the channel called `name`; dry: one that renders and cannot send."""


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


class SignedConfig(WebConfig):
    """A place on the web that checks a signature."""

    secret: Secret | None = Field(
        default=None,
        description="Signs each message; whsec_… is base64, SEC… is DingTalk's. Better: "
        "secret_file.",
    )
    secret_file: Path | None = Field(default=None, description="A file that holds it.")
    secret_env: str | None = Field(
        default=None, description="An environment variable that holds it."
    )

    @model_validator(mode="after")
    def _at_most_one_secret(self) -> SignedConfig:
        if self.signing("").places() > 1:
            raise ValueError("say at most one of secret, secret_file and secret_env")
        return self

    def signing(self, name: str) -> SecretSource:
        """Return where the signing secret is kept."""
        what = f"secret of receiver {name!r}"
        return SecretSource(what, self.secret, self.secret_file, self.secret_env)


class WebChannel:
    """What posts to one address; each channel adds its body, and what it takes for success."""

    def __init__(self, name: str, config: WebConfig, clock: Clock, dry: bool) -> None:
        self.name = name
        self.limit = config.budget()
        self.send_resolved = config.send_resolved
        self._clock = clock
        self._address = config.address(name)
        self._outbound = config.outbound(clock, dry=dry)

    async def aclose(self) -> None:
        """Release connections."""
        if self._outbound is not None:
            await self._outbound.aclose()

    async def _post(self, body: bytes, headers: Mapping[str, str], query: str = "") -> Answer:
        """Post to the address with `query`; a dry channel never does.

        Raises
        ------
        Unavailable
            Another attempt may succeed.
        Rejected
            The channel is dry, its address is not there, or no attempt will succeed.
        """
        if self._outbound is None:
            raise Rejected(f"receiver {self.name!r} is dry: it renders and does not send")
        url = self._address.read()
        if url is None:
            raise Rejected(f"there is no {self._address.what}")
        address = url.reveal()
        joint = "" if not query else "&" if "?" in address else "?"
        return await self._outbound.post(f"{address}{joint}{query}", body, headers)


def error_code(body: bytes, service: str) -> int | None:
    """Return the ``errcode`` with which a robot's service answers HTTP 200; None: it has no number.

    Raises
    ------
    Rejected
        The answer is not the service's JSON.
    """
    try:
        answer = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        raise Rejected(f"{service} answered 200 with something that is not its JSON") from None
    code = answer.get("errcode")
    return code if isinstance(code, int) and not isinstance(code, bool) else None
