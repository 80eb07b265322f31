"""Least squares of first and second order over the last slots of many rows at once.

The weights of end value, slope and curvature are fixed for a width, so a fit is one product with
the window. A window that misses a value gives NaN. Pure; the sums run along a row, so a row's
answer does not depend on which others are asked in the same call.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from models.base import Floats


def _line_weights(width: int) -> tuple[Floats, Floats]:
    """Return the weights that give least squares' end value and slope per slot."""
    x = np.arange(width) - (width - 1)
    centred = x - x.mean()
    slope = centred / (centred @ centred)
    return np.full(width, 1 / width) - x.mean() * slope, slope


def _parabola_weights(width: int) -> Floats:
    """Return (3, width): weights of the end value, slope and curvature at the end."""
    x = (np.arange(width) - (width - 1)) / width
    inverse = np.linalg.pinv(np.vander(x, 3, increasing=True))
    weights: Floats = inverse / np.array([[1.0], [width], [width**2]])
    return weights


_LINES: Final = {width: np.array(_line_weights(width)) for width in (6, 24)}
_PARABOLAS: Final = {width: _parabola_weights(width) for width in (48, 144)}


def line(y: Floats, origin: int, width: int) -> tuple[Floats, Floats]:
    """Return end value and slope per slot, (n,) each, over `width` columns to `origin`."""
    window = y[:, origin - width + 1 : origin + 1]
    # Not BLAS: its sums depend on how many rows there are.
    end, slope = np.einsum("nw,kw->kn", window, _LINES[width], optimize=False)
    return end, slope


def parabola(y: Floats, origin: int, width: int) -> tuple[Floats, Floats, Floats]:
    """Return end value, slope and curvature there, (n,) each."""
    window = y[:, origin - width + 1 : origin + 1]
    end, slope, bend = np.einsum("nw,kw->kn", window, _PARABOLAS[width], optimize=False)
    return end, slope, bend


def parabola_hours(room: Floats, slope: Floats, bend: Floats) -> Floats:
    """Return the hours until a rising parabola has grown by `room`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        root = np.sqrt(slope * slope + 4 * bend * np.maximum(room, 0.0))
        left: Floats = (root - slope) / (2 * bend) * 0.5 - 0.25
    return left
