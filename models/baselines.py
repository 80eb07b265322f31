"""What a monitoring rule can do today: `predict_linear`, as oracle and as the figure to beat.

Prometheus' `predict_linear(x[w], t)` is least squares over the samples of a window, centred at the
evaluation time. `hours_left` inverts it: when does that line meet the limit? Needs all samples of
the window in memory, so it serves benchmarks and tests, not the stream.

References
----------
[1] Prometheus, promql/functions.go: `linearRegression` and `funcPredictLinear`.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from models.base import Floats

WINDOWS: Final = (1.0, 6.0, 24.0)  # hours, as the common rules have them


def predict_linear(times: Floats, values: Floats, ahead: float) -> float:
    """Return the value that the line through all samples has `ahead` hours after the last one.

    Parameters
    ----------
    times : (t,)
        Hours, rising.
    values : (t,)
        Any unit; NaN is left out.

    Examples
    --------
    >>> predict_linear(np.array([0.0, 1.0, 2.0]), np.array([1.0, 3.0, 5.0]), 2.0)
    9.0
    """
    level, slope = _line(times, values)
    return level + slope * ahead


def hours_left(times: Floats, values: Floats, limit: float, window: float) -> float:
    """Return the hours until the line over the last `window` hours meets `limit`.

    0 where the last value is there, inf where the line does not rise.

    Examples
    --------
    >>> hours_left(np.arange(10.0), np.arange(10.0), 20.0, 6.0)
    11.0
    """
    if values[-1] >= limit:
        return 0.0
    inside = times >= times[-1] - window
    level, slope = _line(times[inside], values[inside])
    return max(0.0, (limit - level) / slope) if slope > 1e-12 else float("inf")


def _line(times: Floats, values: Floats) -> tuple[float, float]:
    """Return value and slope of least squares at the last time; NaN below two samples."""
    known = ~np.isnan(values)
    x, y = times[known] - times[-1], values[known]
    if len(x) < 2:
        return float("nan"), float("nan")
    mean_x, mean_y = x.mean(), y.mean()
    slope = float(((x - mean_x) * (y - mean_y)).sum() / ((x - mean_x) ** 2).sum())
    return float(mean_y - slope * mean_x), slope
