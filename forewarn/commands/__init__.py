"""The commands: one file each, one line in `COMMANDS`.

Each is a plain function that typer reads: its parameters are the options, its docstring the help.
Heavy imports stand inside the functions, so that ``--help`` answers at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from forewarn.commands.alert import alert
from forewarn.commands.backtest import backtest
from forewarn.commands.check_config import check_config
from forewarn.commands.demo import demo
from forewarn.commands.dlq import dlq
from forewarn.commands.doctor import doctor
from forewarn.commands.feedback import feedback
from forewarn.commands.influxdb import influxdb
from forewarn.commands.ingest import ingest
from forewarn.commands.record import record
from forewarn.commands.replay import replay
from forewarn.commands.run import run
from forewarn.commands.schema import schema
from forewarn.commands.sink import sink
from forewarn.commands.topics import topics
from forewarn.commands.transactions import transactions
from forewarn.commands.version import version
from forewarn.commands.work import work

# By the name that is typed, in the order of the help.
COMMANDS: Final[Mapping[str, Callable[..., Any]]] = MappingProxyType(
    {
        "run": run,
        "ingest": ingest,
        "work": work,
        "alert": alert,
        "record": record,
        "doctor": doctor,
        "replay": replay,
        "demo": demo,
        "backtest": backtest,
        "check-config": check_config,
        "sink": sink,
        "influxdb": influxdb,
        "topics": topics,
        "transactions": transactions,
        "dlq": dlq,
        "feedback": feedback,
        "schema": schema,
        "version": version,
    }
)
