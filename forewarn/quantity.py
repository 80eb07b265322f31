"""Durations and sizes as the configuration writes them: ``5m``, ``2h30m``, ``10Gi``.

Settings are seconds and bytes inside, always float. Outside, a number stays what it is (seconds,
bytes) and a text carries its unit; `alerting.duration` reads lengths of time, this file adds sizes
and writes both back for the reference.

Left to others: which key is which (the models), where in the file a bad one stands
(`forewarn.config`).
"""

from __future__ import annotations

import re
from typing import Final

from alerting.duration import parse

DURATION_FORMS: Final = "seconds as a number, or a text such as '30s', '5m', '2h30m', '1d'"
SIZE_FORMS: Final = "bytes as a number, or a text such as '500Ki', '64Mi', '10Gi', '2G'"

_PLAIN: Final = re.compile(r"\d+(\.\d+)?")
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(Ki|Mi|Gi|Ti|Pi|Ei|k|M|G|T|P|E)?B?")
_BYTES: Final = {
    "": 1.0,
    **{unit: 1000.0**power for power, unit in enumerate(("k", "M", "G", "T", "P", "E"), 1)},
    **{unit: 1024.0**power for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)},
}
_MILLISECONDS: Final = (
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
)


def duration(text: str) -> float:
    """Return the seconds that `text` means; a bare number, as a variable may hold, is seconds.

    Raises
    ------
    ValueError
        It is not a duration; names the accepted forms.

    Examples
    --------
    >>> duration("2h30m"), duration("90")
    (9000.0, 90.0)
    """
    try:
        return float(text) if _PLAIN.fullmatch(text) else parse(text)
    except ValueError as error:
        raise ValueError(f"not a duration; give {DURATION_FORMS}") from error


def size(text: str) -> float:
    """Return the bytes that `text` means, in Kubernetes' own suffixes.

    Raises
    ------
    ValueError
        It is not a quantity; names the accepted forms.

    Examples
    --------
    >>> size("64Mi"), size("2G"), size("10")
    (67108864.0, 2000000000.0, 10.0)
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"not a size; give {SIZE_FORMS}")
    return float(match[1]) * _BYTES[match[2] or ""]


def spelled(seconds: float) -> str:
    """Return seconds the way that the reference writes them.

    Examples
    --------
    >>> spelled(9000.0), spelled(0.0), spelled(0.25)
    ('2h30m', '0s', '250ms')
    """
    rest = round(seconds * 1000)
    text = ""
    for unit, each in _MILLISECONDS:
        count, rest = divmod(rest, each)
        text += f"{count}{unit}" if count else ""
    return text or "0s"
