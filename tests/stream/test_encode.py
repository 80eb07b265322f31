"""Lines: exact, the fast way equal to the careful one, and a store that cannot be flooded.

Leaves out what servers make of them (`tests/conformance/test_sinks.py`).
"""

import math
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.records import Finding, Forecast, ObjectRef, Part, Point, Severity
from stream.sinks.encode import OTHER, Encoder, Refusal, Row, Tags, Unwritable
from stream.sinks.points import of_finding, of_forecast
from stream.sinks.reference import reference
from stream.sinks.schema import SCHEMA, TAGS, Kind
from tests.stream.fake_influx import parse

AT = 1_760_000_000.0
NODE = (("cluster", "prod"), ("node", "n1"))
NUMBERS = [
    (name, field)
    for name, measurement in SCHEMA.items()
    for field, about in measurement.fields.items()
    if about.kind in (Kind.FLOAT, Kind.INTEGER)
]


def numbers(
    encoder: Encoder, measurement: str, tags: Tags, fields: dict[str, float], at: float
) -> bytes:
    """One line, the way of many."""
    (line,) = encoder.many([Point(measurement, tags, fields, at)])
    if isinstance(line, Unwritable):
        raise line
    return line


def workload(i: int) -> tuple[tuple[str, str], ...]:
    return (("cluster", "prod"), ("namespace", "shop"), ("workload", f"app-{i}"))


def test_every_tag_of_every_measurement_is_described() -> None:
    for measurement in SCHEMA.values():
        assert set(measurement.tags) <= set(TAGS)
        assert not set(measurement.tags) & set(measurement.fields)
        assert not {"pod", "uid", "message"} & set(measurement.tags)


@given(
    fields=st.dictionaries(
        st.sampled_from(sorted(SCHEMA["node"].fields)), st.floats(width=64), min_size=1
    ),
    at=st.floats(),
    name=st.text(),
)
def test_the_fast_way_and_the_careful_one_make_the_same_line(
    fields: dict[str, float], at: float, name: str
) -> None:
    tags = (("cluster", "prod"), ("node", name))
    results: list[bytes | Refusal] = []
    for fast in (True, False):
        encoder = Encoder()
        try:
            if fast:
                results.append(numbers(encoder, "node", tags, fields, at))
            else:
                results.append(encoder.line(Row("node", tags, fields, at)))
        except Unwritable as error:
            results.append(error.reason)
    assert results[0] == results[1]


@given(st.sampled_from(NUMBERS), st.floats())
def test_what_is_no_number_or_too_large_never_leaves(place: tuple[str, str], value: float) -> None:
    measurement, field = place
    encoder = Encoder()
    if not math.isfinite(value) or (
        SCHEMA[measurement].fields[field].kind is Kind.INTEGER and not -(2.0**63) <= value < 2.0**63
    ):
        with pytest.raises(Unwritable, match="no usable field"):
            numbers(encoder, measurement, (), {field: value}, AT)
        return
    line = numbers(encoder, measurement, (), {field: value}, AT)
    _, fields, _ = parse(line.decode())
    kind = SCHEMA[measurement].fields[field].kind
    if kind is Kind.INTEGER:
        assert fields[field] == round(value)
    else:
        assert fields[field] == value


def test_one_odd_field_does_not_cost_the_others_and_is_counted() -> None:
    encoder = Encoder()
    fields = {"pods": 7.0, "cpu_cores": math.nan, "pids": 1e19, "mood": 1.0}
    assert numbers(encoder, "node", NODE, fields, AT) == (
        b"node,cluster=prod,node=n1 pods=7i 1760000000000000000"
    )
    assert encoder.dropped == {
        Refusal.NOT_FINITE: 1,
        Refusal.OUT_OF_RANGE: 1,
        Refusal.UNKNOWN_FIELD: 1,
    }


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (Row("mood", NODE, {"pods": 1.0}, AT), Refusal.UNKNOWN_MEASUREMENT),
        (Row("node", (("pod", "x"),), {"pods": 1.0}, AT), Refusal.UNKNOWN_TAG),
        (Row("node", NODE, {"pods": math.inf}, AT), Refusal.NO_FIELD),
        (Row("node", NODE, {"pods": "many"}, AT), Refusal.NO_FIELD),
        (Row("node", NODE, {"pods": 1.0}, math.nan), Refusal.BAD_TIME),
        (Row("node", NODE, {"pods": 1.0}, 1e12), Refusal.BAD_TIME),
    ],
)
def test_what_can_never_be_written_says_why(row: Row, reason: Refusal) -> None:
    with pytest.raises(Unwritable) as caught:
        Encoder().line(row)
    assert caught.value.reason is reason


def test_beyond_the_most_series_tags_fold_aloud_and_points_stay_apart(
    caplog: pytest.LogCaptureFixture,
) -> None:
    encoder = Encoder(most_series=3)
    lines = [
        numbers(encoder, "restarts", workload(i), {"restarts_total": 1.0}, AT) for i in range(10)
    ]
    series = {parse(line.decode())[0] for line in lines}
    assert len(series) == 4
    folded = (("cluster", "prod"), ("namespace", OTHER), ("workload", OTHER))
    assert ("restarts", folded) in series
    assert len({parse(line.decode())[0::2] for line in lines}) == 10, "none overwrites another"
    assert encoder.folded == {"restarts": 7}
    assert caplog.text.count("cardinality=restarts") == 1
    again = numbers(encoder, "restarts", workload(9), {"restarts_total": 1.0}, AT)
    assert again == lines[9], "a replay overwrites folded points, too"
    assert b"app-0" in numbers(encoder, "restarts", workload(0), {"restarts_total": 1.0}, AT + 1)


def test_a_series_that_was_silent_for_two_days_makes_room() -> None:
    encoder = Encoder(most_series=3)
    day = 86_400.0
    for hour in range(24 * 4):
        at = AT + hour * 3600
        numbers(encoder, "restarts", workload(0), {"restarts_total": 1.0}, at)
        if hour == 0:
            numbers(encoder, "restarts", workload(1), {"restarts_total": 1.0}, at)
            numbers(encoder, "restarts", workload(2), {"restarts_total": 1.0}, at)
    line = numbers(encoder, "restarts", workload(3), {"restarts_total": 1.0}, AT + 4 * day)
    assert b"app-3" in line
    assert encoder.series("restarts") == 2


def test_a_pod_that_nobody_owns_leaves_its_name_out_of_the_index() -> None:
    encoder = Encoder()
    lines = []
    for name in ("job-x7f", "job-k2p"):
        tags = (("cluster", "c"), ("workload", name), ("workload_kind", "Pod"))
        lines.append(numbers(encoder, "restarts", tags, {"restarts_total": 1.0}, AT).decode())
    assert lines[0] != lines[1]
    assert {parse(line)[0] for line in lines} == {
        ("restarts", (("cluster", "c"), ("workload_kind", "Pod")))
    }


def test_a_forecast_lies_where_it_speaks_of_and_says_when_it_was_said() -> None:
    forecast = Forecast(
        cluster="prod",
        object=ObjectRef("Node", "", "n1"),
        resource="disk",
        labels={"node": "n1"},
        at=AT,
        value=50.0,
        limit=100.0,
        unit="bytes",
        p50=7200.0,
        horizons=(3600.0, 21600.0),
        mean=(60.0, 90.0),
        lower=(55.0, 70.0),
        upper=(65.0, 110.0),
    )
    now, actual, hour, later = of_forecast(forecast)
    assert now.fields["percent"] == 50.0
    assert now.fields["p50_seconds"] == 7200.0
    assert "p10_seconds" not in now.fields, "no crossing foreseen is no number"
    assert (actual.at, actual.fields) == (AT, {"actual": 50.0})
    assert (hour.at, later.at) == (AT + 3600, AT + 21600)
    assert dict(later.tags) == {
        "cluster": "prod",
        "horizon": "6h",
        "node": "n1",
        "resource": "disk",
    }


def test_a_change_is_no_finding_and_restarts_carry_their_count() -> None:
    def finding(rule: str, *because: Part, **labels: str) -> Finding:
        return Finding(
            id="f1",
            rule=rule,
            state="evidence",
            at=AT,
            cluster="prod",
            object=ObjectRef("Deployment", "shop", "cart"),
            severity=Severity.INFO,
            summary="s",
            since=AT,
            because=because,
            labels=labels,
        )

    (change,) = of_finding(finding("release", manager="argo"))
    assert (change.measurement, change.fields["manager"]) == ("change", "argo")
    (restart,) = of_finding(finding("restart", Part("count", 3.0, "3 times"), reason="Error"))
    assert (restart.measurement, restart.fields["count"]) == ("finding", 3.0)
    assert dict(restart.tags)["reason"] == "Error"


def test_every_kind_of_point_that_operators_make_is_in_the_schema() -> None:
    point = Point("node", NODE, dict.fromkeys(SCHEMA["node"].fields, 1.0), AT)
    encoder = Encoder()
    numbers(encoder, point.measurement, point.tags, point.fields, point.at)
    assert not encoder.dropped


def test_the_reference_is_the_schema(root: Path) -> None:
    assert (root / "docs" / "reference" / "influxdb.md").read_text() == reference()


def batch(chance: random.Random, *, days: bool) -> list[Point]:
    """Points as nobody would send them together: shapes, kinds, numbers and times mixed."""
    odd = (math.nan, math.inf, 1e300, 2.5, -0.0, 1e16, 2.0**63)
    shapes = (
        ("node", ("cpu_cores", "pods")),
        ("node", ("pods", "cpu_cores")),
        ("container", ("memory_bytes", "cpu_cores")),
        ("restarts", ("restarts_total",)),
        ("restarts", ("nonsense",)),
        ("nowhere", ("value",)),
    )
    times = [1_760_000_000.0 + i for i in range(3)] + [-5.0, math.nan, 9.3e9]
    found = []
    for _ in range(chance.randint(1, 40)):
        measurement, names = chance.choice(shapes if chance.random() < 0.2 else shapes[:4])
        label = "node" if measurement == "node" else "workload"
        tags = (("cluster", "prod"), (label, f"n{chance.randint(0, 5)}%s"))
        values = [
            chance.choice(odd) if chance.random() < 0.05 else float(chance.randint(0, 9))
            for _ in names
        ]
        at = chance.choice(times) if chance.random() < 0.1 else times[0]
        at += 200_000.0 * chance.randint(0, 2) if days else 0.0
        found.append(Point(measurement, tags, dict(zip(names, values, strict=True)), at))
    return found


@pytest.mark.parametrize(("most", "days"), [(1_000, False), (1_000, True), (3, False)])
def test_many_at_once_are_what_one_after_the_other_would_be(most: int, days: bool) -> None:
    for seed in range(60):
        chance = random.Random(seed)
        many, single = Encoder(most), Encoder(most)
        for _ in range(4):
            points = batch(chance, days=days)
            at_once = [
                line.reason if isinstance(line, Unwritable) else line for line in many.many(points)
            ]
            alone: list[object] = []
            for point in points:
                try:
                    alone.append(
                        single.line(Row(point.measurement, point.tags, point.fields, point.at))
                    )
                except Unwritable as error:
                    alone.append(error.reason)
            assert at_once == alone
            assert many.dropped == single.dropped
            assert many.folded == single.folded
