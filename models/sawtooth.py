"""What a series' drops say: whether something frees space, where, and how dependably.

Image garbage collection, log rotation and a restart's cache leave teeth. The last drops, with their
ceilings and floors, are kept by `models.growth`; here they are judged. Pure; a few µs a row.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from models.base import Arrays, Bools, Floats, Rows
from models.experts import History
from models.growth import DROPS
from models.growth_step import HOUR


class Reclaim(IntEnum):
    """What the sawtooth says."""

    NONE = 0
    SEEN = 1  # something was freed lately, but not dependably
    WORKS = 2  # similar drops, nothing above their ceilings
    DECLARED = 3  # below a ceiling that the configuration promises


class Saw(NamedTuple):
    """What the drops of n rows say.

    Attributes
    ----------
    reclaim : (n,)
        `Reclaim` by number.
    regular : (n,)
        Whether drop follows drop in a rhythm: three or more, and the next is not overdue.
    ceiling : (n,)
        Where reclaim sets in, percent; NaN where nothing is known.
    """

    reclaim: Floats
    regular: Bools
    ceiling: Floats


def judge(
    state: Arrays,
    rows: Rows,
    raw: History,
    limits: Floats,
    declared: Floats,
    level: Floats,
    noise: Floats,
) -> Saw:
    """Judge the drops of the last seven days of rows.

    Parameters
    ----------
    state
        Of a `GrowthBank`.
    raw
        The rows' history.
    limits, declared, level, noise : (n,)
        Percent, and %² for the noise; `declared` is where something is promised to free space, NaN
        without a promise.
    """
    when = state["drop_time"][rows]
    ceilings = state["drop_ceiling"][rows].astype(np.float64)
    floors = state["drop_floor"][rows].astype(np.float64)
    hours_ago = (state["time"][rows][:, None] - when) / HOUR
    with np.errstate(invalid="ignore"):
        recent = hours_ago <= 168
        seen_lately = (hours_ago <= 96).any(axis=1)
    count = recent.sum(axis=1)
    some = count > 0
    deep = np.where(recent, ceilings - floors, 0.0).sum(axis=1) / np.maximum(count, 1)
    highest = np.where(recent, ceilings, -np.inf).max(axis=1)
    lowest = np.where(recent, ceilings, np.inf).min(axis=1)
    newest = np.maximum(state["drops"][rows] - 1, 0) % DROPS
    last_ceiling = np.take_along_axis(ceilings, newest[:, None], axis=1)[:, 0]
    deviation = np.sqrt(noise)
    with np.errstate(invalid="ignore"):
        similar = highest - lowest <= np.maximum(1.5, 0.5 * deep)
        below = level <= highest + np.maximum(1.0, 3 * deviation) + 0.1 * deep
        envelope = raw.half_hours[:, -48:].max(axis=1) - raw.half_hours[:, -96:-48].max(axis=1)
        climbs = (
            (envelope > np.maximum(0.7, 2 * deviation))
            & (last_ceiling - lowest > np.maximum(1.0, 0.3 * deep))
            & (count >= 3)
        )
        works = (count >= 2) & similar & below & ~climbs & (highest < limits - 1.0)
        seen = (((count >= 2) & ~similar) | (some & seen_lately)) & below
        promised = level <= declared + np.maximum(1.0, 2 * deviation)
        youngest = np.where(recent, hours_ago, np.inf).min(axis=1)
        oldest = np.where(recent, hours_ago, -np.inf).max(axis=1)
        interval = (oldest - youngest) / np.maximum(count - 1, 1)
        regular = (count >= 3) & (interval < 30) & (youngest <= 1.6 * interval + 2)
    reclaim = np.select(
        [promised & ~np.isnan(declared), works, seen],
        [Reclaim.DECLARED, Reclaim.WORKS, Reclaim.SEEN],
        Reclaim.NONE,
    )
    ceiling = np.where(reclaim == Reclaim.DECLARED, declared, np.where(some, highest, np.nan))
    return Saw(reclaim.astype(np.int8), regular, ceiling)
