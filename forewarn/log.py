"""The process' log: one line per decision, key=value, quiet in normal operation.

Text for a terminal, one JSON object per line elsewhere. Foreign libraries are capped at WARNING: an
HTTP client at INFO would write whole addresses, and an address may hold a token. Lines go to
standard error, so that a command's own output stays clean. Left to others: what is worth a line.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Final

from forewarn.config import LogConfig

_OURS: Final = ("alerting", "forewarn", "ingest", "models", "stream")


class _Json(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class _Text(logging.Formatter):
    """Time, level, logger, message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname).1s %(name)s %(message)s", "%H:%M:%S")


def set_up(config: LogConfig) -> None:
    """Write our own lines as `config` asks, everybody else's from WARNING on."""
    as_json = config.format == "json" or (config.format == "auto" and not sys.stderr.isatty())
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(_Json() if as_json else _Text())
    root = logging.getLogger()
    root.handlers[:] = [lines]
    root.setLevel(logging.WARNING)
    # What Kafka's client meets and cannot get over, the bus says itself, once.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    for name in _OURS:
        logging.getLogger(name).setLevel(config.level.upper())
