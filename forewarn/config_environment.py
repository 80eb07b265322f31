"""The seeds' environment variables: who comes from podwatchers or the node monitor keeps theirs.

A variable counts only where the file says nothing about the same thing. Addresses and secrets are
taken by name (``url_env``), so their values never enter the configuration. `NAMES` is the whole
list; the reference prints it.

Left to others: ``${VAR}`` in the file (`forewarn.config_source`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from forewarn.config_source import Path, Problem, Source

NAMES: Final[Mapping[str, str]] = {
    "CLUSTER_NAME": "`cluster`",
    "WEBHOOK_URL": "a WeCom receiver `wecom`, as in podwatchers",
    "SLACK_WEBHOOK_URL": "a Slack receiver `slack`, as the node monitor's manifest promises",
    "DINGTALK_WEBHOOK_URL": "a DingTalk receiver `dingtalk`",
    "DINGTALK_SECRET": "the signing secret of that receiver",
    "MUTE_SECONDS": "`alerting.grouping.group_interval`: silence between two messages about one "
    "incident, in seconds",
    "IGNORE_RESTART_COUNT": "`operators.restarts.count_threshold`, one more than this: as many "
    "restarts are let pass",
    "IGNORE_EXIT_CODE_ZERO": "`operators.restarts.ignore_exit_code_zero`, true or false",
}

_RECEIVERS: Final = {
    "wecom": "WEBHOOK_URL",
    "slack": "SLACK_WEBHOOK_URL",
    "dingtalk": "DINGTALK_WEBHOOK_URL",
}
_TRUTHS: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def honour(source: Source, environment: Mapping[str, str]) -> None:
    """Put what the seeds' variables say into `source`, where the file leaves it open."""
    if not isinstance(source.data, dict):
        return
    given = {name: environment[name] for name in NAMES if environment.get(name)}
    if "CLUSTER_NAME" in given:
        _default(source.data, ("cluster",), given["CLUSTER_NAME"])
    _number(source, given, "MUTE_SECONDS", ("alerting", "grouping", "group_interval"), 0)
    restarts: Path = ("operators", "restarts")
    _number(source, given, "IGNORE_RESTART_COUNT", (*restarts, "count_threshold"), 1)
    if "IGNORE_EXIT_CODE_ZERO" in given:
        truth = _TRUTHS.get(given["IGNORE_EXIT_CODE_ZERO"].lower())
        if truth is None:
            _complain(source, "IGNORE_EXIT_CODE_ZERO", "must be true or false")
        else:
            _default(source.data, (*restarts, "ignore_exit_code_zero"), truth)
    _receivers(source.data, given)


def _receivers(data: dict[str, Any], given: Mapping[str, str]) -> None:
    """Add a receiver per address, and route to all of them, if the file names no receiver."""
    alerting = data.get("alerting", {})
    if not isinstance(alerting, dict) or "receivers" in alerting:
        return
    found: dict[str, dict[str, Any]] = {
        name: {"type": name, "url_env": variable}
        for name, variable in _RECEIVERS.items()
        if variable in given
    }
    if not found:
        return
    if "dingtalk" in found and "DINGTALK_SECRET" in given:
        found["dingtalk"] |= {"secret_env": "DINGTALK_SECRET"}
    _default(data, ("alerting", "route", "receivers"), list(found))
    data["alerting"]["receivers"] = found


def _number(source: Source, given: Mapping[str, str], name: str, path: Path, more: int) -> None:
    if name not in given:
        return
    if not re.fullmatch(r"\d{1,9}", given[name]):
        _complain(source, name, "must be a whole number")
    else:
        _default(source.data, path, int(given[name]) + more)


def _default(data: dict[str, Any], path: Path, value: object) -> None:
    """Set `value` at `path` unless something stands there, or something else is in the way."""
    here: Any = data
    for part in path[:-1]:
        inner = here.get(part)
        if inner is None:
            inner = here[part] = {}
        if not isinstance(inner, dict):
            return
        here = inner
    here.setdefault(path[-1], value)


def _complain(source: Source, name: str, message: str) -> None:
    source.problems.append(Problem("environment", None, name, message))
