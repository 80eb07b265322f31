"""When restarts of one workload are a burst: what is counted, and how it is said.

What is counted in a window is not the sum of restarts but

    k = max(most restarts of one container, restarts − containers that restarted + 1)

so a node that boots and restarts each of its containers once counts 1 however many they are, while
one looping container, or a whole Deployment that loops, counts what it should.

Left to others: the usual rate (`models.restarts`), state and timers (`stream.operators.restarts`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.restarts import WINDOWS
from stream.operators.conclude import span
from stream.operators.pods import LADDER, Restart
from stream.records import Part

LONGEST: Final = WINDOWS[-1]  # seconds
_RUN: Final = 6  # restarts in a row after which the back-off has reached its plateau
_RESET: Final = 600.0  # seconds of running after which the kubelet forgets the back-off
_GAPS: Final = 5  # newest distances between restarts that say how fast a loop turns


class Hit(msgspec.Struct, gc=False, array_like=True):
    """One restart that counts."""

    at: float
    pod: str  # uid
    container: str
    oom: bool
    weight: float = 1.0  # with which it will be learned


def count(hits: Sequence[Hit], since: float, *, oom: bool = False) -> float:
    """Return k of the hits after `since`; of OOM kills alone if `oom`."""
    each: dict[tuple[str, str], int] = {}
    for hit in hits:
        if hit.at > since and (hit.oom or not oom):
            unit = (hit.pod, hit.container)
            each[unit] = each.get(unit, 0) + 1
    return float(max(max(each.values()), sum(each.values()) - len(each) + 1) if each else 0)


def counts(hits: Sequence[Hit], at: float, floor: float, *, oom: bool = False) -> list[float]:
    """Return k in each of `models.restarts.WINDOWS` before `at`, of hits after `floor`."""
    return [count(hits, max(at - window, floor), oom=oom) for window in WINDOWS]


class Verdict(msgspec.Struct, frozen=True):
    """How surprising a workload's restarts are now."""

    score: float = 0.0  # −log10 of the chance under the usual rate
    window: int = 0  # index of the window that says so
    k: tuple[float, ...] = (0.0,) * len(WINDOWS)
    oom: bool = False  # OOM kills alone say so
    usual: float = 0.0  # restarts a day


def verdict(
    k: Sequence[float],
    scores: NDArray[np.float64],
    k_oom: Sequence[float],
    scores_oom: NDArray[np.float64],
    usual: float,
    *,
    least: int,
    alert_score: float,
    oom_alert_score: float,
) -> Verdict | None:
    """Return why this is a burst, or None; of several windows the most surprising."""
    best: Verdict | None = None
    for i in range(len(WINDOWS)):
        if k[i] >= least and scores[i] > alert_score and (best is None or scores[i] > best.score):
            best = Verdict(float(scores[i]), i, tuple(k), False, usual)
    for i in range(len(WINDOWS)):
        if k_oom[i] >= 2 and scores_oom[i] > oom_alert_score and best is None:
            best = Verdict(float(scores_oom[i]), i, tuple(k_oom), True, usual)
    return best


def quiet_needed(hits: Sequence[Hit], quiet: float) -> float:
    """Return the seconds without a restart after which a loop that turned like this has ended.

    Ten minutes for a crash loop; longer for one that turns slowly: a leak that is killed every 80
    minutes is not over after ten.
    """
    times = sorted(hit.at for hit in hits)[-_GAPS - 1 :]
    gaps = sorted(b - a for a, b in pairwise(times))
    slow = 1.5 * gaps[len(gaps) // 2] if gaps else 0.0
    return min(max(quiet, slow), LONGEST)


def at_plateau(hits: Sequence[Hit], pod: str, container: str) -> bool:
    """Say whether one container has failed so often in a row that the back-off is at its longest.

    10, 20, 40, 80, 160, then 300 s between attempts; ten minutes of running begin it anew.
    """
    times = [hit.at for hit in hits if (hit.pod, hit.container) == (pod, container)]
    run = 1
    for a, b in pairwise(times):
        run = run + 1 if b - a < LADDER + _RESET else 1
    return run > _RUN


def reasons(
    found: Verdict, last: Restart, pods: tuple[int, int], release: tuple[str, float] | None
) -> tuple[Part, ...]:
    """Return why a burst is one, the strongest reason first.

    Parameters
    ----------
    pods
        Pods affected, pods alive.
    release
        The affected pods' release and its age in seconds, where it is young.
    """
    window = WINDOWS[found.window]
    what = "OOM kills" if found.oom else "restarts"
    k = found.k[found.window]
    parts = [
        Part("count", k, f"{k:.0f} {what} in {span(window)}; usual is {found.usual:.2g} a day"),
        Part("score", round(found.score, 2), f"by chance once in 10^{found.score:.0f} such spans"),
        Part("pods", float(pods[0]), f"{pods[0]} of {pods[1]} pods affected"),
        *last_exit(last),
    ]
    if release is not None:
        generation, age = release
        text = f"the pods are of release {generation}, {span(age)} old"
        parts.append(Part("release", generation, text))
    return tuple(parts)


def last_exit(last: Restart) -> tuple[Part, ...]:
    """Return how the container ended last."""
    words = last.reason or "ended"
    if last.exit_code is not None:
        words += f" with exit code {last.exit_code}"
    if last.signal:
        words += f", signal {last.signal}"
    parts = [Part("last_exit", words, f"container {last.container}: {words}")]
    if last.message:
        parts.append(Part("message", last.message, last.message))
    return tuple(parts)
