"""WeCom group robots (企业微信): Markdown of at most 4096 bytes.

The answer is always HTTP 200: success is ``errcode`` 0. ``<@user>`` works inside of WeCom's
Markdown, so angle brackets in data are replaced.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, Literal

import msgspec

from alerting import escape
from alerting.alert import Notification
from alerting.channels.base import Channel, Limit, WebChannel, WebConfig, error_code
from stream.clock import Clock
from stream.errors import Rejected, Unavailable
from stream.records import Severity

_encode: Final = msgspec.json.Encoder().encode
_MOST: Final = 4096  # bytes of UTF-8
_TITLE: Final = 600  # bytes of it for the title
_COLOURS: Final = {
    Severity.INFO: "comment",
    Severity.WARNING: "warning",
    Severity.CRITICAL: "warning",
}
_TOO_FAST: Final = frozenset({45009, 45033})
_BLOCKED: Final = 600.0  # seconds; WeCom counts by the minute, a blocked robot waits longer
_BUSY: Final = frozenset({-1})


class WeComConfig(WebConfig):
    """Posts to a WeCom group robot."""

    own_limit: ClassVar[Limit] = Limit(18, 60.0)  # of 20
    hosts: ClassVar[tuple[str, ...]] = ("qyapi.weixin.qq.com",)

    type: Literal["wecom"] = "wecom"

    def build(self, name: str, clock: Clock, *, dry: bool = False) -> Channel:
        """Return the channel."""
        return WeCom(name, self, clock, dry)


class WeCom(WebChannel):
    """Posts notifications to WeCom."""

    def render(self, notification: Notification) -> str:
        """Return the body."""
        return _encode(_body(notification)).decode()

    async def notify(self, notification: Notification) -> None:
        """Post it; success is errcode 0."""
        answer = await self._post(
            _encode(_body(notification)), {"Content-Type": "application/json"}
        )
        judge(answer.body)


def _body(notification: Notification) -> dict[str, Any]:
    title = escape.cut(escape.plain(notification.title), _TITLE, escape.utf8)
    colour = "info" if notification.kind == "resolved" else _COLOURS[notification.severity]
    heading = f'**<font color="{colour}">{title}</font>**\n'
    room = _MOST - escape.utf8(heading)
    lines = escape.cut(escape.plain(notification.text), room, escape.utf8)
    return {"msgtype": "markdown", "markdown": {"content": heading + lines}}


def judge(body: bytes) -> None:
    """Return if WeCom took the message.

    Raises
    ------
    Unavailable
        Too fast, or WeCom's system is busy.
    Rejected
        It will never take it.
    """
    code = error_code(body, "WeCom")
    if code == 0:
        return
    if code in _TOO_FAST:
        raise Unavailable(f"WeCom errcode {code}: too fast", retry_after=_BLOCKED)
    if code in _BUSY:
        raise Unavailable(f"WeCom errcode {code}: busy")
    hint = ": the key in the URL is not valid" if code == 93000 else ""
    raise Rejected(f"WeCom errcode {code}{hint}")
