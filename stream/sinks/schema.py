"""The schema of the time-series store, in one place: measurements, tags, and fields with units.

What is not here is not written; dashboards, `docs/reference/influxdb.md` and the down-sampling are
made from here, and tests hold them together. Tags name what stays: never a pod, a UID or a
message, so the store's index does not grow with every release.

A field that was written once keeps its kind for ever (InfluxDB refuses another one in a shard), so
a kind never changes here: a new field gets a new name.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple


class Kind(StrEnum):
    """What InfluxDB calls the type of a field."""

    FLOAT = "float"
    INTEGER = "integer"  # 64 bits, exact
    TEXT = "string"
    TRUTH = "boolean"


class Field(NamedTuple):
    """One field of a measurement."""

    kind: Kind
    unit: str  # "" for texts and truths
    about: str


class Tag(NamedTuple):
    """One tag, wherever it stands."""

    about: str
    bounded: bool  # few values by our own making: survives the cardinality guard


class Measurement(NamedTuple):
    """One measurement; `rolled` ones are down-sampled by the mean of their numbers."""

    about: str
    source: str  # the topic that it comes from
    tags: tuple[str, ...]
    fields: Mapping[str, Field]
    rolled: bool = False


TAGS: Final[Mapping[str, Tag]] = MappingProxyType(
    {
        "channel": Tag("receiver of the configuration", True),
        "claim": Tag("PersistentVolumeClaim", False),
        "cluster": Tag("name of the watched cluster", True),
        "container": Tag("container", False),
        "horizon": Tag("how far ahead it was said: 1h, 6h, 24h …", True),
        "kind": Tag("what a notification is: firing, update, repeat, resolved, digest", True),
        "label": Tag("a metric's labels, `name=value`, comma between", False),
        "metric": Tag("name of one of forewarn's own metrics, as on `/metrics`", True),
        "namespace": Tag("namespace", False),
        "node": Tag("node", False),
        "outcome": Tag("what became of a message: delivered, failed, rendered", True),
        "reason": Tag("Kubernetes' or alerting's word for why", False),
        "resource": Tag("what grows: memory, disk, inodes, volume, container-memory …", True),
        "rule": Tag("the rule that concluded", True),
        "severity": Tag("info, warning, critical", True),
        "state": Tag("firing, resolved, evidence, pending", True),
        "workload": Tag("name of the root owner", False),
        "workload_kind": Tag("kind of the root owner", False),
    }
)


def _bytes(about: str) -> Field:
    return Field(Kind.INTEGER, "bytes", about)


def _count(unit: str, about: str) -> Field:
    return Field(Kind.INTEGER, unit, about)


def _percent(about: str) -> Field:
    return Field(Kind.FLOAT, "%", about)


def _float(unit: str, about: str) -> Field:
    return Field(Kind.FLOAT, unit, about)


def _text(about: str) -> Field:
    return Field(Kind.TEXT, "", about)


_WORKLOAD: Final = ("cluster", "namespace", "workload", "workload_kind")
_PLACE: Final = ("claim", "cluster", "namespace", "node", "workload", "workload_kind")
_SERIES: Final = (
    *("claim", "cluster", "container", "namespace", "node", "resource"),
    *("workload", "workload_kind"),
)
_SAID: Final[Mapping[str, Field]] = {
    "id": _text("deterministic id"),
    "object": _text("what it is about, such as `Deployment shop/checkout`"),
    "summary": _text("one line for a person"),
}

SCHEMA: Final[Mapping[str, Measurement]] = MappingProxyType(
    {
        "node": Measurement(
            "One scrape of a node, at most one a minute.",
            "ts",
            ("cluster", "node"),
            {
                "cpu_cores": _float("cores", "cores in use"),
                "memory_working_set_bytes": _bytes("working set"),
                "memory_available_bytes": _bytes("what the kubelet calls available"),
                "disk_used_bytes": _bytes("of the file system of the node"),
                "disk_available_bytes": _bytes("left to unprivileged processes"),
                "image_disk_used_bytes": _bytes("of the file system of images"),
                "inodes_used": _count("inodes", "of the file system of the node"),
                "pids": _count("pids", "processes and threads"),
                "pods": _count("pods", "pods that the source names"),
                "cpu_percent": _percent("of allocatable"),
                "memory_percent": _percent("of allocatable"),
                "disk_percent": _percent("of what can be used"),
                "image_disk_percent": _percent("of what can be used"),
                "inodes_percent": _percent("of all inodes"),
                "pids_percent": _percent("of the limit"),
                "pods_percent": _percent("of allocatable"),
            },
            rolled=True,
        ),
        "volume": Measurement(
            "One PersistentVolumeClaim, at most one a minute.",
            "ts",
            ("claim", "cluster", "namespace"),
            {
                "used_bytes": _bytes("in use"),
                "capacity_bytes": _bytes("size of the file system"),
                "used_percent": _percent("of what can be used"),
                "inodes_used": _count("inodes", "in use"),
                "inodes_percent": _percent("of all inodes"),
            },
            rolled=True,
        ),
        "container": Measurement(
            "One container of a workload on one node, its highest pod, at most one a minute.",
            "ts",
            ("cluster", "container", "namespace", "workload", "workload_kind"),
            {
                "memory_bytes": _bytes("working set"),
                "memory_percent": _percent("of its limit"),
                "cpu_cores": _float("cores", "cores in use"),
                "cpu_percent": _percent("of its limit"),
            },
            rolled=True,
        ),
        "restarts": Measurement(
            "Restarts of a workload within five minutes; none, no point.",
            "ts",
            _WORKLOAD,
            {"restarts_total": _count("restarts", "since the point before")},
        ),
        "deployment_replicas": Measurement(
            "Replicas of a workload, whenever they change.",
            "ts",
            _WORKLOAD,
            {
                "desired": _count("pods", "spec.replicas"),
                "actual": _count("pods", "status.replicas"),
                "ready": _count("pods", "ready"),
                "updated": _count("pods", "of the newest revision"),
                "max": _count("pods", "its autoscaler's maximum, else desired and surge"),
            },
        ),
        "forecast": Measurement(
            "What is said of one series: its limit and the time that is left.",
            "forecasts",
            _SERIES,
            {
                "value": _float("unit", "now, in the unit of `unit`"),
                "limit": _float("unit", "the limit that binds"),
                "percent": _percent("value of limit"),
                "p10_seconds": _float("seconds", "left at worst; absent: no crossing foreseen"),
                "p50_seconds": _float("seconds", "left; 0: exhausted"),
                "p90_seconds": _float("seconds", "left at best"),
                "p_cross_24h": _float("ratio", "odds of meeting the limit within a day"),
                "p_cross_72h": _float("ratio", "odds of meeting the limit within three days"),
                "ready": Field(Kind.TRUTH, "", "false while it is still learning"),
                "unit": _text("bytes, cores, inodes, pids, pods"),
            },
        ),
        "forecast_path": Measurement(
            "The path of a forecast: the point lies at the time that is spoken of, and `horizon` "
            "says how long before it was said. So the line of horizon 6h beside the measured one "
            "is what was said six hours ago beside what happened.",
            "forecasts",
            ("horizon", *_SERIES),
            {
                "mean": _float("unit", "expected"),
                "p10": _float("unit", "one in ten is below"),
                "p90": _float("unit", "one in ten is above"),
                "limit": _float("unit", "the limit that bound when it was said"),
                "actual": _float("unit", "measured at this time; in a series without `horizon`"),
            },
        ),
        "finding": Measurement(
            "What an operator concluded; evidence explains others and alerts nobody.",
            "findings",
            ("reason", "rule", "severity", "state", *_PLACE),
            {
                **_SAID,
                "count": _count("events", "how many, such as restarts since the point before"),
                "score": _float("", "how unusual, on the rule's own scale"),
                "expected_in_seconds": _float("seconds", "until what is predicted is due"),
            },
        ),
        "change": Measurement(
            "Somebody or something changed the cluster: a release, a drain, a reboot.",
            "findings",
            ("rule", *_PLACE),
            {**_SAID, "manager": _text("who: the field manager")},
        ),
        "restart_share": Measurement(
            "Share of a namespace's pods that restarted within half an hour.",
            "findings",
            ("cluster", "namespace"),
            {
                "restarted": _count("pods", "restarted"),
                "alive": _count("pods", "alive"),
                "share": _float("ratio", "restarted of alive"),
                "score": _float("", "decimal exponent of the odds against chance"),
            },
        ),
        "noise": Measurement(
            "What became of the event lines of half an hour.",
            "findings",
            ("cluster",),
            {
                "lines": _count("lines", "event lines read"),
                "events": _count("events", "events that the looked-at lines stand for"),
                "normal": _count("lines", "of normal life"),
                "duplicate": _count("lines", "known already or outdated"),
                "usual": _count("keys", "did what they usually do"),
                "candidates": _count("keys", "did something rare"),
                "groups": _count("groups", "opened"),
                "below": _count("groups", "ended without weighing enough"),
                "folded": _count("groups", "belong to one said before"),
                "sent": _count("groups", "said"),
            },
        ),
        "incident": Measurement(
            "One point per incident, at its beginning; later states overwrite it.",
            "incidents",
            ("cluster",),
            {
                **_SAID,
                "rule": _text("of the leading alert"),
                "severity": _text("the highest so far"),
                "state": _text("pending, firing, resolved"),
                "open": _count("incidents", "1 while pending or firing, else 0"),
                "alerts": _count("alerts", "in it"),
                "notifications": _count("messages", "put on the outbox"),
                "cause": _text("the likeliest suspect"),
                "cause_kind": _text("release, node, oom …"),
                "cause_odds": _float("ratio", "its share among the suspects"),
                "ended_ms": _count("ms", "when it was over, Unix time; absent while open"),
                "lasted_seconds": _float("seconds", "from beginning to end; absent while open"),
                "lead_seconds": _float("seconds", "from the first word to what was predicted"),
            },
        ),
        "incident_state": Measurement(
            "One point per change of an incident's state or severity.",
            "incidents",
            ("cluster", "rule", "severity", "state"),
            {**_SAID, "alerts": _count("alerts", "in it")},
        ),
        "notification": Measurement(
            "One message for one receiver, as decided.",
            "notifications",
            ("channel", "cluster", "kind", "reason", "severity"),
            {
                "id": _text("idempotency key"),
                "title": _text("first line"),
                "incidents": _count("incidents", "it speaks of"),
                "after_seconds": _float("seconds", "from the incident's beginning to the message"),
            },
        ),
        "suppressed": Measurement(
            "What was not sent, and why.",
            "suppressed",
            ("reason", "rule", *_PLACE),
            {
                "count": _count("alerts", "alike since the point before"),
                "summary": _text("what it would have said"),
                "by": _text("the alert, silence or incident that explains it"),
            },
        ),
        "delivery": Measurement(
            "What became of one message.",
            "deliveries",
            ("channel", "outcome"),
            {
                "id": _text("of the notification"),
                "attempts": _count("attempts", "made"),
                "error": _text("of the last attempt, without secrets"),
            },
        ),
        "forewarn_metric": Measurement(
            "forewarn's own figures, as on `/metrics`; `…_timestamp_seconds` is an age here, "
            "`…_age_seconds`.",
            "",
            ("label", "metric"),
            {"value": _float("the metric's", "at this time; counters count from the start")},
        ),
    }
)
