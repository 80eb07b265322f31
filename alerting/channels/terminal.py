"""The terminal: a coloured panel for a person, one plain line for a pipe.

For trying out and for logs. A message's data is cleaned of everything that a terminal would obey,
and rich's own mark-up is never read from it.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar, Final, Literal, TextIO

from pydantic import Field
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from alerting import escape
from alerting.alert import Notification
from alerting.channels.base import Channel, ChannelConfig, Limit
from stream.clock import Clock
from stream.errors import Rejected, Unavailable
from stream.records import Severity

_COLOURS: Final = {Severity.INFO: "cyan", Severity.WARNING: "yellow", Severity.CRITICAL: "red"}
_LONGEST: Final = 16_384  # characters


class TerminalConfig(ChannelConfig):
    """Writes to standard output."""

    own_limit: ClassVar[Limit] = Limit(600, 60.0)

    type: Literal["terminal"] = "terminal"
    width: int | None = Field(default=None, ge=40, description="Columns; default: the terminal's.")

    def build(
        self, name: str, clock: Clock, *, dry: bool = False, file: TextIO | None = None
    ) -> Channel:
        """Return the channel; `file` instead of standard output."""
        return Terminal(name, self, Console(file=file, width=self.width), dry)


class Terminal:
    """Prints notifications."""

    def __init__(self, name: str, config: TerminalConfig, console: Console, dry: bool) -> None:
        self.name = name
        self.limit = config.budget()
        self.send_resolved = config.send_resolved
        self._console = console
        self._dry = dry

    def render(self, notification: Notification) -> str:
        """Return title and lines, cleaned."""
        return escape.cut(escape.clean(f"{notification.title}\n{notification.text}"), _LONGEST)

    async def notify(self, notification: Notification) -> None:
        """Print it."""
        if self._dry:
            raise Rejected(f"receiver {self.name!r} is dry: it renders and does not print")
        try:
            await asyncio.to_thread(self._print, notification)
        except (OSError, ValueError) as error:  # a closed pipe, a closed file
            raise Unavailable(f"the terminal takes nothing: {error}") from error

    async def aclose(self) -> None:
        """Nothing to release: standard output belongs to the process."""

    def _print(self, notification: Notification) -> None:
        title, _, lines = self.render(notification).partition("\n")
        if not self._console.is_terminal:
            self._console.file.write(f"{notification.kind}: {title}\n")
            self._console.file.flush()
            return
        colour = "green" if notification.kind == "resolved" else _COLOURS[notification.severity]
        self._console.print(
            Panel(Text(lines), title=Text(title, style=f"bold {colour}"), border_style=colour)
        )
