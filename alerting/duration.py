"""Lengths of time as people write them (``1h30m``) and as they read them (``1 h 30 min``).

Inside, a length of time is seconds as float, everywhere; this file is where words meet numbers.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, WithJsonSchema

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_TERM: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")


def parse(value: object) -> float:
    """Return seconds from ``"1h30m"``, ``"90s"`` or a number of seconds.

    Raises
    ------
    ValueError
        It is none of these, or negative.

    Examples
    --------
    >>> parse("1h30m"), parse(45)
    (5400.0, 45.0)
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("a length of time is written like 90s, 5m, 1h30m or 2d")
    if isinstance(value, str):
        terms = _TERM.findall(value)
        if not terms or "".join(number + unit for number, unit in terms) != value:
            raise ValueError(f"{value!r} is not a length of time; write 90s, 5m, 1h30m or 2d")
        return sum(float(number) * _UNITS[unit] for number, unit in terms)
    if not math.isfinite(value) or value < 0:
        raise ValueError("a length of time is 0 or more seconds")
    return float(value)


Duration = Annotated[
    float,
    BeforeValidator(parse),
    Field(ge=0),
    WithJsonSchema(
        {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}], "examples": ["1h30m"]}
    ),
]


def words(seconds: float) -> str:
    """Return a length of time for a person, two units at most.

    Examples
    --------
    >>> words(42), words(720), words(11_400), words(280_000)
    ('42 s', '12 min', '3 h 10 min', '3 d 6 h')
    """
    if seconds < 60:
        return f"{max(0, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        hours, rest = divmod(minutes, 60)
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    days, rest = divmod(round(seconds / 3600), 24)
    return f"{days} d {rest} h" if rest else f"{days} d"
