"""Online learners of many objects at once, pure numpy; the table of banks is `BANKS`.

A row per kind of bank: its name and how to make one with room for so many rows. Whoever adds a bank
adds its row here; the conformance suite (`tests/conformance/test_models.py`) then runs on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from models.anomaly import AnomalyBank
from models.base import Bank
from models.events import EventBank
from models.growth import GrowthBank
from models.restarts import RestartBank
from models.share import ShareBank

BANKS: Final[Mapping[str, Callable[[int], Bank]]] = {
    "anomaly": AnomalyBank,
    "growth": GrowthBank,
    "events": EventBank,
    "restarts": RestartBank,
    "share": ShareBank,
}
