"""All operators' settings in one frozen value, so that a runtime hands on one thing.

Each operator's dataclass lives in the operator's file, with units and reasons beside each field;
this file only groups them. The configuration file's ``operators:`` block has the same shape.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from stream.operators.changes import ChangeSettings
from stream.operators.events import EventSettings
from stream.operators.growth import GrowthSettings
from stream.operators.nodes import NodeSettings
from stream.operators.oddity import OdditySettings
from stream.operators.restarts import RestartSettings


@dataclass(frozen=True, slots=True)
class OperatorSettings:
    """The settings of every operator, by the operator's name."""

    restarts: RestartSettings = field(default_factory=RestartSettings)
    events: EventSettings = field(default_factory=EventSettings)
    nodes: NodeSettings = field(default_factory=NodeSettings)
    changes: ChangeSettings = field(default_factory=ChangeSettings)
    growth: GrowthSettings = field(default_factory=GrowthSettings)
    oddity: OdditySettings = field(default_factory=OdditySettings)
