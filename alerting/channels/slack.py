"""Slack, by incoming webhook: a coloured attachment of plain-text blocks.

Data goes into ``plain_text`` only, cleaned and with Slack's three control characters as entities:
nobody can be mentioned and nothing linked from a pod. Slack says ``ok`` in its answer; its own
words for a refusal (``invalid_payload``, ``no_service`` …) come with a status that is final.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, Literal

import msgspec

from alerting import escape
from alerting.alert import Notification
from alerting.channels.base import Channel, Limit, WebChannel, WebConfig
from stream.clock import Clock
from stream.errors import Rejected
from stream.records import Severity

_encode: Final = msgspec.json.Encoder().encode
_TITLE: Final = 150  # characters of a header block
_SECTION: Final = 2900  # characters of a section, of 3000
_COLOURS: Final = {
    Severity.INFO: "#439fe0",
    Severity.WARNING: "#e8a33d",
    Severity.CRITICAL: "#d0021b",
}
_RESOLVED: Final = "#2eb67d"


class SlackConfig(WebConfig):
    """Posts to a Slack incoming webhook."""

    own_limit: ClassVar[Limit] = Limit(50, 60.0)  # 1 a second; of a minute, a tenth less
    hosts: ClassVar[tuple[str, ...]] = ("hooks.slack.com", "hooks.slack-gov.com")

    type: Literal["slack"] = "slack"

    def build(self, name: str, clock: Clock, *, dry: bool = False) -> Channel:
        """Return the channel."""
        return Slack(name, self, clock, dry)


class Slack(WebChannel):
    """Posts notifications to Slack."""

    def render(self, notification: Notification) -> str:
        """Return the body."""
        return _encode(_body(notification)).decode()

    async def notify(self, notification: Notification) -> None:
        """Post it; success is ``ok``."""
        answer = await self._post(
            _encode(_body(notification)), {"Content-Type": "application/json; charset=utf-8"}
        )
        if answer.body.strip() != b"ok":
            raise Rejected("Slack answered 200 but not ok")


def _body(notification: Notification) -> dict[str, Any]:
    title = escape.cut(escape.plain(notification.title), _TITLE, _size)
    lines = escape.cut(escape.plain(notification.text), _SECTION, _size)
    resolved = notification.kind == "resolved"
    colour = _RESOLVED if resolved else _COLOURS[notification.severity]
    blocks = [{"type": "section", "text": _text(lines)}] if lines else []
    return {
        "text": _entities(title),
        "mrkdwn": False,
        "blocks": [{"type": "header", "text": _text(title)}],
        "attachments": [{"color": colour, "fallback": _entities(title), "blocks": blocks}],
    }


def _text(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": _entities(text), "emoji": False}


def _size(text: str) -> int:
    return len(_entities(text))


def _entities(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
