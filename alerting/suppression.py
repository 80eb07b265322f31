"""What was not sent is kept, but not a line for every repetition.

The first of its kind (rule, object, reason) is said at once; those that follow are counted and said
once an hour with their number. Memory: one entry per kind seen within the last six hours.
"""

from __future__ import annotations

from typing import Final

import msgspec

from alerting.alert import Reason, Suppressed
from stream.records import ObjectRef

EVERY: Final = 3600.0  # seconds between two lines of one kind
_FORGET: Final = 6 * 3600.0


class Hush(msgspec.Struct):
    """How often something alike was suppressed since its last line."""

    said_at: float
    seen_at: float
    count: int = 0


def suppress(
    hushes: dict[str, Hush],
    *,
    at: float,
    rule: str,
    cluster: str,
    object: ObjectRef,  # noqa: A002 - the field's name on the wire
    reason: Reason,
    by: str = "",
    summary: str = "",
) -> Suppressed | None:
    """Return the line to keep, or None when it is only counted."""
    key = f"{rule}|{object.kind}|{object.namespace}|{object.name}|{reason.value}"
    hush = hushes.get(key)
    if hush is None:
        hushes[key] = Hush(at, at)
        count = 1
    else:
        hush.seen_at = at
        hush.count += 1
        if at < hush.said_at + EVERY:
            return None
        count, hush.count, hush.said_at = hush.count, 0, at
    return Suppressed(
        at=at,
        rule=rule,
        cluster=cluster,
        object=object,
        reason=reason,
        by=by,
        summary=summary,
        count=count,
    )


def forget(hushes: dict[str, Hush], now: float) -> None:
    """Drop kinds that have not been seen for hours."""
    for key in [key for key, hush in hushes.items() if hush.seen_at <= now - _FORGET]:
        del hushes[key]
