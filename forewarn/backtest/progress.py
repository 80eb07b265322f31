"""How far a backtest is: a bar on a terminal, a line now and then where there is none.

All of it goes to standard error, because the answers may go to standard output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

_LINE_EVERY: Final = 0.1  # share of the work between two lines

Advance = Callable[[float], None]


@contextmanager
def progress(console: Console, name: str) -> Iterator[Advance]:
    """Yield what takes the share that is done, 0 to 1."""
    if not console.is_terminal:
        told = 0.0

        def tell(share: float) -> None:
            nonlocal told
            if share - told >= _LINE_EVERY and share < 1.0:
                told = share
                console.print(f"backtest {name}: {share:.0%}", style="dim")

        yield tell
        return
    bar = Progress(
        TextColumn(f"backtest {name}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    with bar:
        task = bar.add_task(name, total=1.0)
        yield lambda share: bar.update(task, completed=share)
