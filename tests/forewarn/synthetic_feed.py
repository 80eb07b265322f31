"""A day and a half of a small cluster, seeded, as the records that the console is given.

Serves the console's tests and its development. It is a picture of outputs, not a simulation of
Kubernetes: forecasts are drawn around a known truth, so that "what was said" and "what came" can be
held against each other. Left out: everything before the topics `forecasts`, `incidents` and so on.
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Iterator
from typing import Any

from alerting.alert import Alert, Cause, Incident, Notification, Reason, State, Suppressed
from forewarn.console.feed import Feed, Pulse
from stream.clock import Clock
from stream.records import Finding, Forecast, Gap, ObjectRef, Part, Severity

START = 1_790_000_000.0
HOUR = 3600.0
STEP = 300.0
GIB = 1024.0**3
HORIZONS = tuple(h * HOUR for h in (0.25, 0.5, 1, 2, 3, 4, 6, 8, 10, 12, 18, 24, 36, 48, 72))
CLUSTER = "prod-eu"

NODE_4 = ObjectRef("Node", "", "node-4")
CHECKOUT = ObjectRef("Deployment", "shop", "checkout")
POSTGRES = ObjectRef("PersistentVolumeClaim", "shop", "data-postgres-0")
SEARCH = ObjectRef("Deployment", "search", "indexer")
NODE_7 = ObjectRef("Node", "", "node-7")

Output = tuple[str, Any]


class Track:
    """One series with a known future: start, slope a second, limit, daily swing, noise."""

    def __init__(
        self,
        ref: ObjectRef,
        resource: str,
        unit: str,
        start: float,
        slope: float,
        limit: float,
        *,
        saw: float = 0.0,
        labels: dict[str, str] | None = None,
    ) -> None:
        self.ref, self.resource, self.unit = ref, resource, unit
        self.start, self.slope, self.limit, self.saw = start, slope, limit, saw
        self.labels = labels or {}

    def value(self, at: float, chance: random.Random) -> float:
        """Return the value at time `at`."""
        after = at - START
        tooth = self.saw * ((after % (5 * HOUR)) / (5 * HOUR) - 0.5)
        wave = 0.012 * self.limit * math.sin(after / HOUR * 2 * math.pi / 24)
        clean = self.start + self.slope * after + tooth + wave
        return min(self.limit, max(0.0, clean + chance.gauss(0, 0.003 * self.limit)))

    def forecast(self, at: float, chance: random.Random) -> Forecast:
        """Return what would be said at time `at`: right in the mean, with an honest band."""
        value = self.value(at, chance)
        after = at - START
        trust = 0.16 + 0.5 * math.exp(-after / (4 * HOUR))
        slope = self.slope * (1 + chance.gauss(0, 0.25 * trust))
        mean = tuple(min(1.3 * self.limit, value + slope * h) for h in HORIZONS)
        width = [
            0.01 * self.limit + trust * abs(slope) * h + 0.004 * self.limit * math.sqrt(h / HOUR)
            for h in HORIZONS
        ]
        lower = tuple(max(0.0, m - w - 0.3 * self.saw) for m, w in zip(mean, width, strict=True))
        upper = tuple(m + w + 0.3 * self.saw for m, w in zip(mean, width, strict=True))
        p50 = (self.limit - value) / slope if slope > 0 else None
        if p50 is not None and p50 > 90 * HOUR:
            p50 = None
        near = 0.0 if p50 is None else 1 / (1 + math.exp((p50 / HOUR - 24) / (4 + 10 * trust)))
        return Forecast(
            cluster=CLUSTER,
            object=self.ref,
            resource=self.resource,
            labels=self.labels,
            at=at,
            value=value,
            limit=self.limit,
            unit=self.unit,
            p10=None if p50 is None else p50 * (1 - trust),
            p50=p50,
            p90=None if p50 is None else p50 * (1 + 1.6 * trust),
            p_cross_24h=near,
            p_cross_72h=min(1.0, near * 1.3),
            horizons=HORIZONS,
            mean=mean,
            lower=lower,
            upper=upper,
            state="learning" if after < 600 else "ready",
            model="growth",
            because=(
                Part(
                    name="slope", value=slope, text=f"grows by {slope * HOUR / GIB:.2f} GiB an hour"
                )
                if self.unit == "bytes"
                else Part(name="slope", value=slope, text="grows steadily"),
                Part(
                    name="tries", value=20.0, text="18 of the last 20 forecasts lay in their band"
                ),
            ),
        )


def tracks() -> list[Track]:
    """Return every series of the cluster."""
    known = [
        Track(NODE_4, "disk", "bytes", 38 * GIB, 1.45 * GIB / HOUR, 96 * GIB, saw=5 * GIB),
        Track(
            CHECKOUT,
            "container-memory",
            "bytes",
            0.1 * GIB,
            0.011 * GIB / HOUR,
            0.5 * GIB,
            labels={"container": "app", "pod": "checkout-6d9f-xk2lp"},
        ),
        Track(
            POSTGRES,
            "volume",
            "bytes",
            61 * GIB,
            0.62 * GIB / HOUR,
            100 * GIB,
            labels={"workload": "StatefulSet shop/postgres"},
        ),
        Track(NODE_7, "inodes", "inodes", 2.1e6, 24_000 / HOUR, 3.2e6),
        Track(NODE_7, "memory", "bytes", 21 * GIB, 0.1 * GIB / HOUR, 30 * GIB),
        Track(
            SEARCH,
            "container-memory",
            "bytes",
            1.1 * GIB,
            0.028 * GIB / HOUR,
            3 * GIB,
            labels={"container": "indexer", "pod": "indexer-0"},
        ),
        Track(ObjectRef("Node", "", "node-1"), "pods", "pods", 61, 0.6 / HOUR, 110),
    ]
    for index in range(9):
        ref = ObjectRef("Node", "", f"node-{index}")
        known.append(Track(ref, "cpu", "cores", 3 + index * 0.3, 0.0, 8))
    return known


@functools.cache
def _all(seed: int) -> tuple[Output, ...]:
    return tuple(records(START + 27.5 * HOUR, seed))


def records(until: float, seed: int = 7, since: float = START) -> Iterator[Output]:
    """Yield outputs with their topics in the order of event time."""
    chance = random.Random(seed)
    series = tracks()
    story = sorted(_story(), key=lambda one: one[0])
    at = START
    told = 0
    events = 0
    while at <= until:
        events += chance.randint(60, 220) if at < START + 20 * HOUR else chance.randint(180, 500)
        batch: list[Output] = [("forecasts", track.forecast(at, chance)) for track in series]
        if (at - START) % (6 * STEP) == 0:
            batch.append(("findings", _noise(at, events)))
            events = 0
        if chance.random() < 0.4:
            batch.append(("suppressed", _held(at, chance)))
        while told < len(story) and story[told][0] <= at:
            batch.append(story[told][1:])
            told += 1
        if at >= since:
            yield from batch
        at += STEP


def pulse(at: float, wall: float, *, speed: float = 600.0, hours: float = 36.0) -> Pulse:
    """Return how a replay stands when event time has reached `at`."""
    taken = int((at - START) * 2.4)
    return Pulse(
        mode="replay",
        event_time=at,
        tape_from=START,
        tape_to=START + hours * HOUR,
        speed=speed,
        records=taken,
        events=int(taken * 0.33),
        lag=int(120 + 80 * math.sin(wall)),
        finished=at >= START + hours * HOUR,
    )


def filled(clock: Clock, hours: float = 27.5, *, seed: int = 7) -> Feed:
    """Return a feed that has read `hours` of the day."""
    feed = Feed(clock)
    for topic, record in _all(seed) if hours == 27.5 else records(START + hours * HOUR, seed):
        feed.apply(topic, record)
    feed.pulse(pulse(START + hours * HOUR, 0.0))
    return feed


def _noise(at: float, events: int) -> Finding:
    parts = {"lines": float(events), "candidates": events // 50, "groups": events // 900}
    return Finding(
        id=f"noise-{at}",
        rule="event-noise",
        state="evidence",
        at=at,
        cluster=CLUSTER,
        object=ObjectRef("Cluster", "", CLUSTER),
        severity=Severity.INFO,
        summary="account of the events",
        since=START,
        because=tuple(Part(name=n, value=v, text=f"{v:.0f} {n}") for n, v in parts.items()),
        source="events/0",
    )


_HELD = (
    (Reason.BELOW_PENDING, "restart-count", "web", "frontend", "2 restarts in 10 min"),
    (Reason.INHIBITED, "restart-burst", "shop", "cart", "5 restarts in 8 min"),
    (Reason.ALREADY_NOTIFIED, "disk-exhaustion", "", "node-4", "disk is full in about 9 h"),
    (Reason.FLAPPING, "event-anomaly", "dev-ana", "sandbox", "probe fails and recovers"),
    (Reason.MUTED, "image-pull", "batch", "nightly-report", "image is pulled slowly"),
    (Reason.BUDGET, "pod-pending", "ci", "runner", "no node takes the pod"),
)


def _held(at: float, chance: random.Random) -> Suppressed:
    weights = (9, 7, 12, 5, 2, 1)
    reason, rule, namespace, name, summary = chance.choices(_HELD, weights)[0]
    ref = ObjectRef("Deployment" if namespace else "Node", namespace, name)
    return Suppressed(
        at=at,
        rule=rule,
        cluster=CLUSTER,
        object=ref,
        reason=reason,
        by="node-not-ready on Node node-2" if reason is Reason.INHIBITED else "",
        summary=summary,
        count=chance.randint(1, 9),
    )


def _alert(
    rule: str,
    ref: ObjectRef,
    severity: Severity,
    at: float,
    summary: str,
    *because: Part,
    **more: Any,
) -> Alert:
    return Alert(
        fingerprint=f"{rule}-{ref}",
        rule=rule,
        cluster=CLUSTER,
        object=ref,
        severity=severity,
        labels=more.pop("labels", {}),
        summary=summary,
        starts_at=at,
        updated_at=at,
        because=because,
        **more,
    )


def _incident(name: str, alerts: tuple[Alert, ...], opened: float, **more: Any) -> Incident:
    first = alerts[0]
    return Incident(
        **{
            "id": name,
            "cluster": CLUSTER,
            "rule": first.rule,
            "object": first.object,
            "severity": first.severity,
            "state": State.FIRING,
            "opened_at": opened,
            "updated_at": opened,
            "summary": first.summary,
            "alerts": alerts,
        }
        | more
    )


def _told(incident: Incident, number: int, reason: Reason, kind: str) -> Output:
    return (
        "notifications",
        Notification(
            id=f"{incident.id}-{number}",
            at=incident.updated_at,
            channel="slack-oncall",
            incident=incident.id,
            kind=kind,
            reason=reason,
            severity=incident.severity,
            cluster=CLUSTER,
            title=incident.summary,
            text=incident.summary,
        ),
    )


def _story() -> Iterator[tuple[float, str, Any]]:
    """Yield (when, topic, record) of the incidents: foreseen, sudden, averted, resolved."""
    yield from _burst()
    yield from _disk()
    yield from _leak()
    yield from _node()
    yield (
        START + 14 * HOUR,
        "gaps",
        Gap(CLUSTER, START + 14 * HOUR, "events", START + 14 * HOUR - 42, "expired"),
    )


def _burst() -> Iterator[tuple[float, str, Any]]:
    at = START + 26.6 * HOUR
    siblings = tuple(
        _alert(
            "restart-burst",
            ObjectRef("Deployment", "shop", name),
            Severity.WARNING,
            at + 120,
            f"{name} restarts in a burst",
        )
        for name in ("cart", "payments", "shipping")
    )
    first = _alert(
        "restart-burst",
        CHECKOUT,
        Severity.CRITICAL,
        at,
        "checkout restarts in a burst: 12 in 15 min, usual is 0.1 a day",
        Part(name="score", value=9.4, text="by chance once in 10⁹ such quarters of an hour"),
        Part(name="restarts", value=12.0, text="12 restarts in 15 min in 4 of 4 pods"),
        Part(name="own_rate", value=0.1, text="usual is 0.1 a day over the last 3 weeks"),
        Part(name="last_exit_code", value=1.0, text="exit code 1, Error, after 11 s"),
        labels={"container": "app", "image": "checkout:v42"},
    )
    causes = (
        Cause(
            kind="image", odds=0.11, text="image checkout:v42 cannot reach its database", at=at - 60
        ),
        Cause(kind="node", odds=0.04, text="Node node-2 was not ready for 40 s", at=at - 400),
    )
    incident = _incident(
        "checkout-burst",
        (first, *siblings),
        at,
        cause=Cause(
            kind="release",
            odds=0.81,
            text="release of shop/checkout, image v41 → v42, by argocd, 3 min before",
            at=at - 180,
        ),
        causes=causes,
        timeline=(
            Part(
                name="change",
                value=at - 180,
                text="shop/checkout: image v41 → v42, by argocd-controller",
            ),
            Part(name="alert", value=at, text="restart-burst fires on Deployment shop/checkout"),
            Part(name="notified", value=at + 30, text="slack-oncall: first notification"),
            Part(
                name="alert",
                value=at + 120,
                text="restart-burst fires on three more workloads of shop",
            ),
        ),
        notifications=1,
    )
    yield at, "incidents", incident
    yield (at + 30, *_told(incident, 1, Reason.FIRST_NOTIFICATION, "firing"))
    for alert in incident.alerts:
        yield at, "findings", _finding(alert)


def _disk() -> Iterator[tuple[float, str, Any]]:
    for hours, left in ((20.0, 20.0), (24.0, 15.6), (27.0, 12.4)):
        at = START + hours * HOUR
        alert = _alert(
            "disk-exhaustion",
            NODE_4,
            Severity.WARNING,
            START + 20 * HOUR,
            f"node-4’s disk is full in about {left:.0f} h",
            Part(
                name="time_left",
                value=left,
                text=f"{left:.0f} h left, between {left * 0.8:.0f} and {left * 1.3:.0f} h",
            ),
            Part(
                name="slope",
                value=1.45,
                text="grows by 1.45 GiB an hour; image garbage collection frees less each time",
            ),
            expected_at=at + left * HOUR,
        )
        incident = _incident(
            "node-4-disk",
            (alert,),
            START + 20 * HOUR,
            updated_at=at,
            expected_at=at + left * HOUR,
            first_expected_at=START + 40 * HOUR,
            cause=Cause(
                kind="growth",
                odds=0.64,
                text="logs of search/indexer grow by 1.1 GiB an hour on this node",
                at=at,
            ),
            notifications=1,
            timeline=(
                Part(
                    name="alert", value=START + 20 * HOUR, text="disk-exhaustion fires: 20 h left"
                ),
            ),
        )
        yield at, "incidents", incident
        yield at, "findings", _finding(alert)
    yield (START + 20 * HOUR + 20, *_told(incident, 1, Reason.FIRST_NOTIFICATION, "firing"))


def _leak() -> Iterator[tuple[float, str, Any]]:
    opened, due = START + 9 * HOUR, START + 15.5 * HOUR
    for at, state in (
        (opened, State.FIRING),
        (due + 900, State.FIRING),
        (due + HOUR, State.RESOLVED),
    ):
        alert = _alert(
            "memory-limit",
            SEARCH,
            Severity.WARNING,
            opened,
            "indexer meets its memory limit",
            expected_at=due,
        )
        incident = _incident(
            "indexer-leak",
            (alert,),
            opened,
            updated_at=at,
            state=state,
            expected_at=due if at == opened else due + 700,
            first_expected_at=due,
            came_true_at=None if at == opened else due + 700,
            resolved_at=at if state is State.RESOLVED else None,
            cause=Cause(
                kind="oom",
                odds=0.9,
                text="search/indexer has leaked since its release 5 h before",
                at=opened,
            ),
        )
        yield at, "incidents", incident
        if at == opened:
            yield at, "findings", _finding(alert)
            yield (at, *_told(incident, 1, Reason.FIRST_NOTIFICATION, "firing"))
    yield (due + HOUR, *_told(incident, 2, Reason.ALERTS_RESOLVED, "resolved"))


def _node() -> Iterator[tuple[float, str, Any]]:
    opened = START + 22 * HOUR
    ref = ObjectRef("Node", "", "node-2")
    for at, state in ((opened, State.FIRING), (opened + 1300, State.RESOLVED)):
        alert = _alert(
            "node-not-ready", ref, Severity.CRITICAL, opened, "node-2 is not ready, 23 pods on it"
        )
        yield (
            at,
            "incidents",
            _incident(
                "node-2",
                (alert,),
                opened,
                updated_at=at,
                state=state,
                resolved_at=at if state is State.RESOLVED else None,
            ),
        )
        yield at, "findings", _finding(alert)


def _finding(alert: Alert) -> Finding:
    return Finding(
        id=f"{alert.rule}-{alert.object}-{alert.updated_at}",
        rule=alert.rule,
        state="firing",
        at=alert.updated_at,
        cluster=CLUSTER,
        object=alert.object,
        severity=alert.severity,
        summary=alert.summary,
        since=alert.starts_at,
    )
