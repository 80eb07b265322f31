"""Deterministic steps from records to conclusions, one file each; the table is `OPERATORS`.

A row per operator: its name and how to make one from everybody's settings. Whoever adds an operator
adds its row here and its settings to `OperatorSettings`; the runtime runs every row, and the
conformance suite (`tests/conformance/test_operators.py`) tries every row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from stream.operators.base import Operator
from stream.operators.changes import Changes
from stream.operators.events import Events
from stream.operators.growth import Growth
from stream.operators.nodes import Nodes
from stream.operators.oddity import Oddities
from stream.operators.restarts import Restarts
from stream.operators.settings import OperatorSettings

OPERATORS: Final[Mapping[str, Callable[[OperatorSettings], Operator]]] = {
    "restarts": lambda settings: Restarts(settings.restarts),
    "events": lambda settings: Events(settings.events),
    "nodes": lambda settings: Nodes(settings.nodes),
    "changes": lambda settings: Changes(settings.changes),
    "growth": lambda settings: Growth(settings.growth),
    "oddity": lambda settings: Oddities(settings.oddity),
}
