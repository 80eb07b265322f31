r"""DingTalk group robots (钉钉), signed where the robot has a secret.

The answer is always HTTP 200: success is ``errcode`` 0. A robot that speaks too fast is blocked for
ten minutes, so its budget is 18 a minute, and a refusal for speed waits 600 s.
sign = urlencode(base64(HMAC-SHA256(key=secret, message=timestamp_ms + "\n" + secret))).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any, ClassVar, Final, Literal
from urllib.parse import quote_plus

import msgspec
from pydantic import Field

from alerting import escape
from alerting.alert import Notification
from alerting.channels.base import Channel, Limit, SignedConfig, WebChannel, error_code
from stream.clock import Clock
from stream.errors import Rejected, Unavailable

_encode: Final = msgspec.json.Encoder().encode
_MOST: Final = 18_000  # bytes of the text in JSON, of 20,000 for the body
_TITLE: Final = 120  # characters
_TOO_FAST: Final = frozenset({130101, 410100, 90018})
_BUSY: Final = frozenset({-1, 1001})
_BLOCKED: Final = 600.0  # seconds that a robot is blocked for after speaking too fast


class DingTalkConfig(SignedConfig):
    """Posts to a DingTalk group robot."""

    own_limit: ClassVar[Limit] = Limit(18, 60.0)  # of 20; over it the robot is blocked
    hosts: ClassVar[tuple[str, ...]] = ("oapi.dingtalk.com",)

    type: Literal["dingtalk"] = "dingtalk"
    keyword: str = Field(default="", description="The robot's keyword, if it asks for one.")

    def build(self, name: str, clock: Clock, *, dry: bool = False) -> Channel:
        """Return the channel."""
        return DingTalk(name, self, clock, dry)


class DingTalk(WebChannel):
    """Posts notifications to DingTalk."""

    def __init__(self, name: str, config: DingTalkConfig, clock: Clock, dry: bool) -> None:
        super().__init__(name, config, clock, dry)
        self._keyword = config.keyword
        self._signing = config.signing(name)

    def render(self, notification: Notification) -> str:
        """Return the body."""
        return _encode(self._body(notification)).decode()

    async def notify(self, notification: Notification) -> None:
        """Post it; success is errcode 0."""
        query = ""
        if (secret := self._signing.read()) is not None:
            timestamp = int(self._clock.now() * 1000)
            query = f"timestamp={timestamp}&sign={sign(secret.reveal(), timestamp)}"
        answer = await self._post(
            _encode(self._body(notification)), {"Content-Type": "application/json"}, query
        )
        judge(answer.body)

    def _body(self, notification: Notification) -> dict[str, Any]:
        title = escape.cut(escape.plain(notification.title), _TITLE)
        lines = escape.plain(notification.text).replace("\n", "\n\n")  # a break needs two
        keyword = f"\n\n{self._keyword}" if self._keyword else ""
        text = escape.cut(f"### {title}\n\n{lines}", _MOST, _size) + keyword
        return {
            "msgtype": "markdown",
            "markdown": {"title": title, "text": text},
            "at": {"isAtAll": False},
        }


def _size(text: str) -> int:
    return len(_encode(text)) - 2  # bytes in JSON, without the quotes


def sign(secret: str, timestamp_ms: int) -> str:
    """Return the signature as it stands in the URL."""
    message = f"{timestamp_ms}\n{secret}".encode()
    digest = hmac.new(secret.encode(), message, hashlib.sha256).digest()
    return quote_plus(base64.b64encode(digest))


def judge(body: bytes) -> None:
    """Return if DingTalk took the message.

    Raises
    ------
    Unavailable
        Too fast: the robot is blocked for ten minutes. Or DingTalk's system is busy.
    Rejected
        It will never take it.
    """
    code = error_code(body, "DingTalk")
    if code == 0:
        return
    if code in _TOO_FAST:
        raise Unavailable(f"DingTalk errcode {code}: too fast", retry_after=_BLOCKED)
    if code == 310000:
        raise Rejected(
            "DingTalk errcode 310000: signature, keyword or address refused; check the secret, the "
            "keyword, and this machine's clock (it may be wrong by an hour at most)"
        )
    if code in _BUSY:
        raise Unavailable(f"DingTalk errcode {code}: busy")
    raise Rejected(f"DingTalk errcode {code}")
