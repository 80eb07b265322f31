"""Seven Grafana dashboards as code; `python -m dashboards` writes their JSON beside it.

Changed here, never in Grafana: a test holds `dashboards/json` to what this makes. To add one: a
file with `build()`, a line in `BOARDS`. Left to others: what is in the store
(`stream.sinks.schema`), proof that every query answers (`tests/dashboards`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard

from dashboards import fleet, forecast, node, noise, pipeline, restarts, workload

BOARDS: Final[Mapping[str, Callable[[], Dashboard]]] = {
    "fleet": fleet.build,
    "forecast": forecast.build,
    "restarts": restarts.build,
    "noise": noise.build,
    "pipeline": pipeline.build,
    "node": node.build,
    "workload": workload.build,
}
