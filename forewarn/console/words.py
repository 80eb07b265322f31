"""Numbers and names as a person reads them: time left, sizes, shares, what a resource does.

Every text of the page is made here or in `forewarn.console.view`, once, so the page that the server
renders, the page that the browser keeps alive and the JSON say the same words.

Left to others: clock times. They travel as Unix seconds and are shown in the viewer's own zone by
the browser, with UTC beside it (`utc` serves readers without JavaScript).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from stream.records import Forecast, ObjectRef

# What happens when a series meets its limit, behind the object's name: "node-4's disk is full".
_ENDS: Final = {
    "cpu": ("CPU", "CPU is used up"),
    "memory": ("memory", "memory runs out"),
    "disk": ("disk", "disk is full"),
    "image-disk": ("image disk", "image disk is full"),
    "inodes": ("inodes", "inodes run out"),
    "pids": ("PIDs", "PIDs run out"),
    "pods": ("pod slots", "pod slots run out"),
    "volume": ("volume", "volume is full"),
    "volume-inodes": ("volume inodes", "inodes run out"),
    "container-memory": ("memory limit", "memory limit is reached"),
}
_BINARY: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def resource(forecast: Forecast) -> str:
    """Return what is running out, with container and pod as far as the owner does not say them.

    ``memory limit · xk2lp`` is enough beside ``shop/checkout``; a list has no room for more.
    """
    name = _ENDS.get(forecast.resource, (forecast.resource.replace("-", " "), ""))[0]
    container, pod = forecast.labels.get("container", ""), forecast.labels.get("pod", "")
    owner = forecast.object.name
    parts = [name, "" if container == owner else container]
    parts.append(pod.rpartition("-")[2] if pod.startswith(f"{owner}-") else pod)
    return " · ".join(part for part in parts if part)


def ending(name: str) -> str:
    """Return what happens when the limit of this resource is met."""
    return _ENDS.get(name, ("", f"{name.replace('-', ' ')} reaches its limit"))[1]


def place(ref: ObjectRef) -> str:
    """Return ``shop/checkout`` or, for what has no namespace, its name."""
    return f"{ref.namespace}/{ref.name}" if ref.namespace else ref.name


def span(seconds: float) -> str:
    """Return a span as coarse as what one does about it: never more than two units.

    Examples
    --------
    >>> span(4), span(250), span(11_400), span(100_000), span(900_000)
    ('4 s', '4 min', '3 h 10 min', '28 h', '10 d')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 3570:
        return f"{seconds / 60:.0f} min"
    if seconds < 10 * 3600:
        step = 5 if seconds < 3 * 3600 else 10
        hours, minutes = divmod(round(seconds / 60 / step) * step, 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.0f} h"
    days = f"{seconds / 86_400:.{1 if seconds < 9.5 * 86_400 else 0}f}"
    return f"{days.removesuffix('.0')} d"


def left(seconds: float | None) -> str:
    """Return the time left: ``now``, ``3 h 10 min``, or a dash where nothing is foreseen."""
    if seconds is None:
        return "–"
    return "now" if seconds <= 0 else span(seconds)


def when(seconds: float, here: bool) -> str:
    """Return when a limit is met, behind a verb.

    What was due by now and has not been measured is due "any moment", not "now".

    Examples
    --------
    >>> when(11_400, False), when(0, False), when(0, True)
    ('in about 3 h 10 min', 'any moment', 'now')
    """
    if seconds > 0:
        return f"in about {span(seconds)}"
    return "now" if here else "any moment"


def between(low: float | None, high: float | None) -> str:
    """Return a band of times left; an end that is not foreseen is open."""
    if low is None and high is None:
        return ""
    return f"{left(low)} – {'later' if high is None else left(high)}"


def amount(value: float, unit: str) -> str:
    """Return a value with its unit.

    Examples
    --------
    >>> amount(103_079_215_104, "bytes"), amount(1.5, "cores"), amount(65_000, "inodes")
    ('96 GiB', '1.5 cores', '65,000 inodes')
    """
    if unit == "bytes":
        step = 0
        while abs(value) >= 1024 and step < len(_BINARY) - 1:
            value, step = value / 1024, step + 1
        return f"{_short(value)} {_BINARY[step]}"
    return f"{_short(value)} {unit}".strip()


def _short(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def share(value: float) -> str:
    """Return a share as a percentage that never pretends to be certain.

    Examples
    --------
    >>> share(0.783), share(0.999), share(0.0001)
    ('78 %', '> 99 %', '< 1 %')
    """
    if 0.99 < value <= 1.0:
        return "> 99 %"
    return "< 1 %" if 0.0 <= value < 0.01 else f"{value * 100:.0f} %"


def reduction(kept: float, total: float) -> str:
    """Return how much of `total` is gone, with as many nines as there are.

    Examples
    --------
    >>> reduction(12, 48_112), reduction(3, 10), reduction(0, 0)
    ('99.98 %', '70 %', '–')
    """
    if total <= 0 or kept > total:
        return "–"
    gone = 100.0 * (1.0 - kept / total)
    digits = 0 if gone < 99 else 1 if gone < 99.9 else 2 if gone < 99.99 else 3
    return f"{gone:.{digits}f} %"


def count(value: float) -> str:
    """Return a count with thin groups."""
    return f"{value:,.0f}"


def rate(value: float | None) -> str:
    """Return a rate per second with three digits."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def several(number: int, one: str, many: str = "") -> str:
    """Return ``1 incident`` or ``3 incidents``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def utc(at: float) -> str:
    """Return a time for readers without JavaScript; the browser shows their own zone instead."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%b %d, %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return "–"


def tick(at: float, days: bool) -> str:
    """Return the text under the time axis, in UTC; the browser puts its own zone's there."""
    return datetime.fromtimestamp(at, UTC).strftime("%b %d" if days else "%H:%M")


def iso(at: float) -> str:
    """Return a time for the ``datetime`` attribute."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return ""
