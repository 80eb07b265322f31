"""A gap as a fact: the ERROR event that says what may have been missed, since when, and why."""

from __future__ import annotations

from typing import Any, Final

import msgspec

REASONS: Final = ("expired", "stalled", "restart", "overflow", "broken-line")


def gap_object(since: float, reason: str) -> msgspec.Raw:
    """Return the Status that a gap travels as; the fact's `at` is its end.

    Parameters
    ----------
    since
        Its beginning, Unix seconds.
    reason
        One of `REASONS`.
    """
    status: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": "Expired" if reason == "expired" else reason,
        "message": f"something may have been missed: {reason}",
        "details": {"since": since},
    }
    if reason == "expired":
        status["code"] = 410
    return msgspec.Raw(msgspec.json.encode(status))
