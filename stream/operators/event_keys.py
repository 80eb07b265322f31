"""Which event lines are looked at, and for which wider places a line counts.

A Normal line is normal life unless its reason says that something failed, or that something goes
on; one lookup per line. A line that is looked at counts for its namespace, its cluster, its node
and its message, too: what is usual for a workload may be new to its surroundings.

Left to others: counting (`models.events`), judging (`stream.operators.events`).
"""

from __future__ import annotations

import re
import zlib
from typing import Final

from models.reasons import PROGRESS
from stream.operators.event_groups import Line

# What a Normal event must contain to be looked at; Warnings always are.
_NEGATIVE: Final = re.compile(
    r"Not|Fail|BackOff|Evict|OOM|Pressure|Unhealthy|Restart|Preempt|Error|Reject|Denied|Exceeded"
)

_REASONS: Final = 4096  # reasons are few; custom operators may invent many


class Classes(dict[str, "frozenset[str] | None"]):
    """Reason of a Normal event → the families that it clears; None: it is looked at."""

    def __missing__(self, reason: str) -> frozenset[str] | None:
        negative = _NEGATIVE.search(reason) is not None and reason not in PROGRESS
        found = None if negative else PROGRESS.get(reason, frozenset())
        if len(self) < _REASONS:
            self[reason] = found
        return found


def places(line: Line) -> tuple[str, str, str, str]:
    """Return the wider keys of a line; "" where it names no such place."""
    kind = f"{line.cluster}|{line.reason}"
    template = zlib.crc32(line.template.encode())
    return (
        f"n|{kind}|{line.namespace}" if line.namespace else "",
        f"f|{kind}",
        f"d|{line.cluster}|{line.node}" if line.node else "",
        f"t|{kind}|{template:08x}",
    )
