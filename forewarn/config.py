"""The configuration: one YAML, checked as a whole before anything starts.

Composed of the components' own settings, each beside the code that it steers: `operators` is
`stream.operators.settings`, `alerting` is `alerting.config`; here stand only the parts that belong
to no component. Guaranteed: what is wrong is said all at once, each with line, column and path
(`forewarn.config_check`); nothing unknown is passed over; secrets come by file or by variable and
never stand in an error.

Left to others: reading YAML (`forewarn.config_source`), the schema and the reference
(`forewarn.schema`).
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from alerting.config import AlertingConfig
from forewarn.config_check import Shape, convert, explain
from forewarn.config_environment import honour
from forewarn.config_source import Path as Where
from forewarn.config_source import Place, Problem, Source, parse
from forewarn.influxdb import InfluxConfig
from ingest.settings import IngestSettings
from stream.errors import Rejected
from stream.kafka_settings import KafkaSettings
from stream.operators.settings import OperatorSettings
from stream.topics import RETENTION

_MODEL: Final = ConfigDict(
    extra="forbid", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True
)


class ConfigRejected(Rejected):
    """The configuration cannot be used; `problems` holds every reason, in the file's order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class RetentionConfig(BaseModel):
    """How long each topic is kept in the store."""

    model_config = _MODEL

    pods: float = Field(default=RETENTION["pods"], ge=3600)
    """Seconds that observations of pods are kept; `explain` reaches as far back."""
    events: float = Field(default=RETENTION["events"], ge=3600)
    """Seconds that Kubernetes Events are kept."""
    node_metrics: float = Field(default=RETENTION["node-metrics"], ge=3600, alias="node-metrics")
    """Seconds that measurements of nodes are kept."""
    deployments: float = Field(default=RETENTION["deployments"], ge=3600)
    """Seconds that changes of workloads are kept."""
    findings: float = Field(default=RETENTION["findings"], ge=3600)
    """Seconds that findings are kept."""
    forecasts: float = Field(default=RETENTION["forecasts"], ge=3600)
    """Seconds that forecasts are kept, to be held against what came."""
    ts: float = Field(default=RETENTION["ts"], ge=3600)
    """Seconds that points of the time-series store are kept."""
    incidents: float = Field(default=RETENTION["incidents"], ge=3600)
    """Seconds that incidents are kept."""
    notifications: float = Field(default=RETENTION["notifications"], ge=3600)
    """Seconds that the outbox is kept."""
    suppressed: float = Field(default=RETENTION["suppressed"], ge=3600)
    """Seconds that what was held back is kept, with its reason."""
    deliveries: float = Field(default=RETENTION["deliveries"], ge=3600)
    """Seconds that the ledger of what was sent is kept."""
    dlq: float = Field(default=RETENTION["dlq"], ge=3600)
    """Seconds that dead letters are kept."""

    def by_topic(self) -> dict[str, float]:
        """Return seconds by the name of the topic."""
        return self.model_dump(by_alias=True)


class StoreConfig(BaseModel):
    """The embedded log and its state: one SQLite file."""

    model_config = _MODEL

    path: Path = Path("forewarn.db")
    """The file; made with its folder if it is not there."""
    synchronous: Literal["full", "normal"] = "full"
    """`full` survives a power cut, `normal` only a crash of the process, at twice the speed."""
    retention: RetentionConfig = RetentionConfig()
    """How long each topic is kept."""


class ConsoleConfig(BaseModel):
    """The page that shows what is about to break."""

    model_config = _MODEL

    host: str = "127.0.0.1"
    """Address to listen on: loopback only, as long as the console knows no authentication."""
    port: int = Field(default=8080, ge=0, le=65_535)
    """Port to listen on; 0 takes a free one."""

    @field_validator("host")
    @classmethod
    def _loopback(cls, host: str) -> str:
        try:
            loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            loopback = False
        if not loopback:
            raise ValueError(
                "refused: the console has no authentication yet and listens on loopback only "
                "(hint: keep 127.0.0.1; reach it with kubectl port-forward or ssh -L)"
            )
        return host


class ProbesConfig(BaseModel):
    """Where `/livez`, `/readyz` and `/metrics` of a live process are served."""

    model_config = _MODEL

    host: str = "127.0.0.1"
    """Address to listen on; a kubelet and a Prometheus need one that they can reach (0.0.0.0). The
    metrics name clusters, namespaces and workloads, nothing else of what was seen."""
    port: int = Field(default=8081, ge=0, le=65_535)
    """Port to listen on; 0 takes a free one."""


class LogConfig(BaseModel):
    """What the process says about itself."""

    model_config = _MODEL

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important line that is still written."""
    format: Literal["auto", "json", "text"] = "auto"
    """`auto` is text on a terminal and JSON lines elsewhere."""


class Config(BaseModel):
    """All of forewarn's settings."""

    model_config = _MODEL

    cluster: str = Field(default="default", min_length=1, max_length=253, pattern=r"^[^\s/]+$")
    """Name of the watched cluster; part of every key, so a change of it starts anew."""
    partitions: int = Field(default=1, ge=1, le=256)
    """Partitions of every topic, one task each; fixed once the store exists. One process needs no
    more than one."""
    tick_seconds: float = Field(default=5.0, ge=0.1, le=600)
    """Seconds of event time between two ticks: how finely whatever waits for time goes on."""
    bus: Literal["embedded", "kafka"] = "embedded"
    """What carries records and state: `embedded` is one file of one process (`store`), `kafka` is
    Apache Kafka, for several processes."""
    store: StoreConfig = StoreConfig()
    """The embedded log and its state, and how long topics are kept on either bus."""
    kafka: KafkaSettings = KafkaSettings()
    """Where Kafka is; counts with `bus: kafka`."""
    ingest: IngestSettings = IngestSettings()
    """Which clusters are watched, and how."""
    console: ConsoleConfig = ConsoleConfig()
    """The page that shows what is about to break."""
    probes: ProbesConfig = ProbesConfig()
    """Where `/livez`, `/readyz` and `/metrics` of a live process are served."""
    log: LogConfig = LogConfig()
    """What the process says about itself."""
    operators: OperatorSettings = OperatorSettings()
    """When what is seen is worth a word: thresholds, windows and waits of each operator."""
    alerting: AlertingConfig = AlertingConfig()
    """What becomes of findings: rules, grouping, routes, receivers, silences."""
    influxdb: InfluxConfig = InfluxConfig()
    """History in InfluxDB, for Grafana; nothing is written without a `url`."""


def load(path: Path | None = None, env: Mapping[str, str] | None = None) -> Config:
    """Return the configuration in `path`, or the defaults where it is None.

    Parameters
    ----------
    path
        The YAML file.
    env
        Variables for ``${VAR}`` and the seeds' names; the process' own where it is None.

    Raises
    ------
    ConfigRejected
        Something is wrong; holds every problem, one line each.
    """
    environment = os.environ if env is None else env
    if path is None:
        return _checked(parse("", "config", environment), environment)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise ConfigRejected([Problem(str(path), None, "", f"cannot be read: {why}")]) from error
    except UnicodeDecodeError as error:
        problem = Problem(str(path), None, "", "is not UTF-8 text", "save it as UTF-8")
        raise ConfigRejected([problem]) from error
    return _checked(parse(text, str(path), environment), environment)


def _checked(source: Source, environment: Mapping[str, str]) -> Config:
    if source.data is None and not source.problems:
        source.data = {}
    if not isinstance(source.data, dict):
        if not source.problems:
            source.report((), "must be a mapping (key: value)")
        raise ConfigRejected(source.problems)
    shape = Shape(Config.model_json_schema())
    convert(source, shape)
    honour(source, environment)
    _route_to_all(source.data)
    for path, name in _files(source.data, ()):
        if path not in source.unknown and not Path(name).expanduser().is_file():
            source.report(path, "file not found", "give a path that this process can read")
    config = None
    try:
        config = Config.model_validate(source.data)
    except ValidationError as error:
        explain(source, shape, error.errors(include_url=False))
    if source.problems or config is None:
        first = Place(0, 0)
        raise ConfigRejected(sorted(source.problems, key=lambda one: one.place or first))
    return config


def _route_to_all(data: dict[str, Any]) -> None:
    """Let whoever names receivers and no route hear of everything, on all of them."""
    alerting = data.get("alerting")
    if not isinstance(alerting, dict) or not isinstance(alerting.get("receivers"), dict):
        return
    route = alerting.setdefault("route", {})
    if isinstance(route, dict) and not {"receiver", "receivers"} & route.keys():
        route["receivers"] = list(alerting["receivers"])


def _files(data: Any, path: Where) -> Iterator[tuple[Where, str]]:
    """Yield every path of a secret's file: a key that ends in ``_file`` names one."""
    items = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in items:
        if isinstance(value, dict | list):
            yield from _files(value, (*path, key))
        elif isinstance(value, str) and str(key).endswith("_file"):
            yield (*path, key), value
