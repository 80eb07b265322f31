"""``forewarn schema``: what other people's consumers may rely on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from forewarn.commands.base import terminal
from stream.errors import Rejected


def schema(
    what: Annotated[
        Literal["export", "check"],
        typer.Argument(help="export: write them. check: compare with what was published."),
    ],
    folder: Annotated[Path, typer.Argument(help="Where the documents are.")] = Path("docs/schema"),
) -> None:
    """Export the public topics as JSON Schema and AsyncAPI, or check them for breaking changes.

    Example: forewarn schema export docs/schema
    """
    from forewarn.contracts import breaking, documents, export, published

    out = terminal()
    if what == "export":
        out.print(f"{folder}: {', '.join(export(folder))}")
        return
    new = documents()
    broken = []
    for name, old in published(folder).items():
        if name not in new:
            broken.append(f"{name}: is gone")
        elif "$defs" in old:
            broken += [f"{name}: {why}" for why in breaking(old, new[name])]
    if broken:
        raise Rejected("consumers would break:\n" + "\n".join(broken))
    out.print(f"{folder}: no consumer breaks")
