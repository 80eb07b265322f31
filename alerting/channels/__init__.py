"""The places that messages go to, one file each; the table is `CHANNELS`.

To add one: a file with its configuration and its class, a line in the table and one in
`ReceiverConfig`. The conformance suite (`tests/conformance/test_channels.py`) runs on every row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import Field

from alerting.channels.base import Channel, ChannelConfig, Limit
from alerting.channels.dingtalk import DingTalkConfig
from alerting.channels.jsonl import FileConfig
from alerting.channels.slack import SlackConfig
from alerting.channels.terminal import TerminalConfig
from alerting.channels.webhook import WebhookConfig
from alerting.channels.wecom import WeComConfig

__all__ = ["CHANNELS", "Channel", "ChannelConfig", "Limit", "ReceiverConfig"]

CHANNELS: Final[Mapping[str, type[ChannelConfig]]] = {
    "terminal": TerminalConfig,
    "file": FileConfig,
    "webhook": WebhookConfig,
    "slack": SlackConfig,
    "dingtalk": DingTalkConfig,
    "wecom": WeComConfig,
}

ReceiverConfig = Annotated[
    TerminalConfig | FileConfig | WebhookConfig | SlackConfig | DingTalkConfig | WeComConfig,
    Field(discriminator="type"),
]
