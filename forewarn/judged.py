"""How forecasts fare against what came: coverage of the band, and mean error, by resource.

Each forecast's shortest horizon is held against the next value of its series within a quarter of an
hour of the time it spoke of. A score is of what went by here since the start, not of all time. A
container whose memory fell by a third since the last forecast has been restarted; what was said of
the life before is not judged, as it spoke of that life.
Memory is bounded: `_SERIES` series with `_EACH` waiting predictions. Left to others: calibration
(`models.calibration`), which goes by more and remembers.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Final, NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from stream.records import Forecast

_SERIES: Final = 20_000
_EACH: Final = 8  # forecasts come every half-hour at most: four hours of the shortest horizon
_NEAR: Final = 900.0  # seconds
_ANEW: Final = 2 / 3  # of the last value: less, and it is another life


class _Prediction(NamedTuple):
    due: float
    mean: float
    low: float
    high: float


class _Waiting:
    """A series' predictions that are not due yet, the earliest first."""

    __slots__ = ("predictions", "value")

    def __init__(self) -> None:
        self.predictions: deque[_Prediction] = deque(maxlen=_EACH)
        self.value = 0.0  # at the last forecast


class _Score:
    """What is known of one resource."""

    __slots__ = ("error", "inside", "judged")

    def __init__(self) -> None:
        self.judged = 0
        self.inside = 0
        self.error = 0.0  # sum of absolute errors, as shares of the limit


class Judged:
    """Predictions that wait for what comes, and how those fared that did."""

    def __init__(self) -> None:
        self._series: OrderedDict[tuple[str, ...], _Waiting] = OrderedDict()
        self._scores: dict[str, _Score] = {}

    def take(self, forecast: Forecast) -> None:
        """Judge what was said of this series for about now; remember what is said for later."""
        ref = forecast.object
        container = forecast.labels.get("container", "")
        key = (
            *(forecast.cluster, ref.kind, ref.namespace, ref.name),
            *(forecast.resource, container),
        )
        series = self._series.pop(key, None) or _Waiting()
        self._series[key] = series
        if len(self._series) > _SERIES:
            self._series.popitem(last=False)
        waiting = series.predictions
        if forecast.resource == "container-memory" and forecast.value < _ANEW * series.value:
            waiting.clear()
        series.value = forecast.value
        while waiting and waiting[0].due <= forecast.at + _NEAR:
            said = waiting.popleft()
            if abs(said.due - forecast.at) <= _NEAR and forecast.limit > 0:
                score = self._scores.setdefault(forecast.resource, _Score())
                score.judged += 1
                score.inside += said.low <= forecast.value <= said.high
                score.error += abs(forecast.value - said.mean) / forecast.limit
        if forecast.horizons:
            due = forecast.at + forecast.horizons[0]
            waiting.append(_Prediction(due, forecast.mean[0], forecast.lower[0], forecast.upper[0]))

    def collect(self) -> Iterator[Metric]:
        """Yield the scores as metrics."""
        judged = CounterMetricFamily(
            "forewarn_forecasts_judged", "Forecasts held against what came.", labels=["resource"]
        )
        coverage = GaugeMetricFamily(
            "forewarn_forecast_coverage_ratio",
            "Share of values that came inside their P10 to P90 band; 0.8 is promised.",
            labels=["resource"],
        )
        error = GaugeMetricFamily(
            "forewarn_forecast_mae_ratio",
            "Mean absolute error of the shortest horizon, as a share of the limit.",
            labels=["resource"],
        )
        for resource, score in sorted(self._scores.items()):
            judged.add_metric([resource], score.judged)
            coverage.add_metric([resource], score.inside / score.judged)
            error.add_metric([resource], score.error / score.judged)
        yield from (judged, coverage, error)
