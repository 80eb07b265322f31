"""How an operator words a finding: one place for ids, so that equal facts get equal ids."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Literal

from stream.codec import finding_id
from stream.records import Finding, ObjectRef, Part, Severity


def conclude(
    rule: str,
    state: Literal["firing", "resolved", "evidence"],
    cluster: str,
    ref: ObjectRef,
    *,
    at: float,
    since: float,
    summary: str,
    severity: Severity = Severity.INFO,
    score: float = 0.0,
    because: tuple[Part, ...] = (),
    labels: Mapping[str, str] | None = None,
) -> Finding:
    """Return the finding; labels without a value are left out.

    Two findings of one rule, object and time differ in state or words, and so in their ids.
    """
    words = zlib.crc32(f"{state}|{summary}".encode())
    return Finding(
        id=finding_id(rule, cluster, ref, at, words),
        rule=rule,
        state=state,
        at=at,
        cluster=cluster,
        object=ref,
        severity=severity,
        summary=summary,
        since=min(since, at),
        score=score,
        because=because,
        labels={name: value for name, value in (labels or {}).items() if value},
    )


def span(seconds: float) -> str:
    """Return a duration as people say it.

    Examples
    --------
    >>> [span(s) for s in (8.0, 75.0, 5400.0, 200_000.0)]
    ['8 s', '75 s', '90 min', '56 h']
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    if seconds < 72 * 3600:
        return f"{seconds / 3600:.0f} h"
    return f"{seconds / 86_400:.0f} d"
