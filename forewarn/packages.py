"""Guard of the generic package names: stops when another distribution has overwritten one of ours.

`stream`, `models`, `ingest` and `alerting` are names that others use too, and an installer
overwrites without a word. Called at start; costs one look through the environment's metadata
(about 20 ms). Left to others: everything but the names.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from typing import Final

from stream.errors import Corrupt

OURS: Final = ("alerting", "forewarn", "ingest", "models", "stream")


def clashes(owners: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return our package names that another distribution claims as well, with its name.

    Parameters
    ----------
    owners
        Distributions by top-level package, as `importlib.metadata.packages_distributions` says.
    """
    return {
        name: foreign
        for name in OURS
        if (foreign := [owner for owner in owners.get(name, ()) if owner != "forewarn"])
    }


def guard() -> None:
    """Stop if a package of ours is not ours.

    Raises
    ------
    Corrupt
        Another distribution ships a package of the same name into this environment.
    """
    found = clashes(importlib.metadata.packages_distributions())
    if found:
        listed = ", ".join(f"{name} (also of {', '.join(who)})" for name, who in found.items())
        raise Corrupt(
            f"packages of forewarn are claimed by other distributions: {listed}. "
            "Install forewarn into an environment of its own (make setup)."
        )
