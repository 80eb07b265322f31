"""Every server that the sink may meet, real or fake: what it takes, refuses, and how it says so.

One suite for InfluxDB 1.8, 2.7 and the strict fake, so that the fake cannot drift. Leaves out
faults by script (`tests/stream/test_drain.py`), hostile texts (`tests/stream/test_injection.py`).
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest

from stream.sinks.base import Refused, Trouble, Troubled
from stream.sinks.encode import Encoder, Row
from stream.sinks.influxdb import InfluxDB
from stream.testing import ManualClock
from tests.stream.fake_influx import running
from tests.stream.influx_server import ORG, InfluxServer

AT = 1_760_000_000.0
NANOSECONDS = 1_760_000_000_000_000_000
NODE = (("cluster", "prod"), ("node", "n1"))
Found = dict[tuple[tuple[tuple[str, str], ...], int], dict[str, Any]]
_number = count()


@dataclass
class Place:
    """A server under test."""

    server: InfluxDB
    other: Callable[..., InfluxDB]
    read: Callable[[str], Awaitable[Found]]
    checks_tokens: bool


@pytest.fixture(params=["fake", "influxdb_1", "influxdb_2"])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    if request.param == "fake":
        async with running() as fake:

            def make(bucket: str = "forewarn", token: str = fake.token) -> InfluxDB:
                given = {"org": ORG, "bucket": bucket, "clock": ManualClock(AT)}
                return InfluxDB(fake.url, token=lambda: token, **given)  # type: ignore[arg-type]

            async def of_fake(measurement: str) -> Found:
                points = fake.points.items()
                return {(s[1], at): fields for (s, at), fields in points if s[0] == measurement}

            server = make()
            yield Place(server, make, of_fake, True)
            await server.aclose()
        return
    real: InfluxServer = request.getfixturevalue(request.param)
    database = real.database(f"sinks{next(_number)}")

    def other(bucket: str = database, token: str = real.token) -> InfluxDB:
        return real.client(bucket, token=lambda: token, compress=True)

    async def of_real(measurement: str) -> Found:
        return await read_back(server, database, measurement)

    server = real.client(database)
    yield Place(server, other, of_real, real.major == 2)
    await server.aclose()


async def read_back(server: InfluxDB, database: str, measurement: str) -> Found:
    """Return what a real server has of a measurement."""
    answer = await server.query(f'SELECT * FROM "{measurement}" GROUP BY *', database)
    found: Found = {}
    for series in answer["results"][0].get("series", []):
        tags = tuple(sorted((n, v) for n, v in series.get("tags", {}).items() if v))
        for at, *values in series["values"]:
            pairs = zip(series["columns"][1:], values, strict=True)
            found[tags, at] = {name: value for name, value in pairs if value is not None}
    return found


def line(measurement: str = "node", at: float = AT, salt: str = "", **fields: Any) -> bytes:
    return Encoder().line(Row(measurement, NODE, fields, at, salt))


async def test_numbers_texts_and_truths_come_back_as_they_went(place: Place) -> None:
    tags = (("cluster", "prod"), ("namespace", "shop"), ("resource", "memory"))
    fields = {
        "value": 44_325_928_960.25,
        "limit": 1e300,
        "p_cross_24h": 5e-324,
        "ready": True,
        "unit": 'by"tes\\\nsecond line, = 😀',
    }
    row = Row("forecast", tags, fields, AT)
    await place.server.write([Encoder().line(row)])
    assert await place.read("forecast") == {(tags, NANOSECONDS): fields}


async def test_whole_numbers_are_exact_up_to_63_bits(place: Place) -> None:
    most = 2**63 - 1
    made = [line(at=AT, disk_used_bytes=2**53 + 1), line(at=AT + 1, disk_used_bytes=-most - 1)]
    await place.server.write([b"node,cluster=prod,node=n1 pods=9223372036854775807i 1", *made])
    found = await place.read("node")
    assert found[NODE, 1] == {"pods": most}
    assert found[NODE, NANOSECONDS] == {"disk_used_bytes": 2**53 + 1}
    assert found[NODE, NANOSECONDS + 10**9] == {"disk_used_bytes": -most - 1}


async def test_the_same_line_twice_is_one_point_and_a_new_value_overwrites(place: Place) -> None:
    await place.server.write([line(pods=7), line(pods=7)])
    await place.server.write([line(pods=8)])
    assert await place.read("node") == {(NODE, NANOSECONDS): {"pods": 8}}


async def test_salted_rows_of_one_time_stay_apart(place: Place) -> None:
    rows = [
        Row("change", (("cluster", "prod"),), {"summary": name}, AT, salt=name) for name in "abc"
    ]
    await place.server.write([Encoder().line(row) for row in rows])
    found = await place.read("change")
    assert sorted(fields["summary"] for fields in found.values()) == ["a", "b", "c"]
    assert {at // 10**6 for _, at in found} == {NANOSECONDS // 10**6}, "to the millisecond alike"


async def test_a_compressed_batch_is_the_same_batch(place: Place) -> None:
    server = place.other()
    lines = [line(at=AT + i, pods=i) for i in range(5000)]
    await server.write(lines)
    await server.aclose()
    assert len(await place.read("node")) == 5000


@pytest.mark.parametrize(
    "bad", [b"node,cluster=prod pods=", b"node pods=1.5 1760000001000000000", b"no line at all"]
)
async def test_a_bad_line_is_refused_and_the_server_lives_on(place: Place, bad: bytes) -> None:
    await place.server.write([line(pods=1)])
    with pytest.raises(Refused, match="said 4"):
        await place.server.write([line(at=AT + 1, pods=2), bad])
    await place.server.write([line(at=AT + 2, pods=3)])
    found = await place.read("node")
    assert found[NODE, NANOSECONDS] == {"pods": 1}
    assert found[NODE, NANOSECONDS + 2 * 10**9] == {"pods": 3}


async def test_a_missing_bucket_is_trouble_with_a_hint_and_no_refusal(place: Place) -> None:
    server = place.other(bucket="nowhere")
    with pytest.raises(Troubled, match="forewarn influxdb setup") as caught:
        await server.write([line(pods=1)])
    assert caught.value.reason is Trouble.NO_BUCKET
    await server.aclose()


async def test_a_wrong_token_is_trouble_and_is_not_shown(place: Place) -> None:
    server = place.other(token="wr0ng-secret")
    if not place.checks_tokens:  # a 1.8 without authentication; test_drain.py has one with
        await server.write([line(pods=1)])
        await server.aclose()
        return
    with pytest.raises(Troubled) as caught:
        await server.write([line(pods=1)])
    assert caught.value.reason is Trouble.UNAUTHORISED
    assert "wr0ng" not in str(caught.value) + repr(caught.value.__cause__)
    await server.aclose()


async def test_nobody_there_is_trouble() -> None:
    server = InfluxDB(
        "http://127.0.0.1:9", org=ORG, bucket="b", token=lambda: "s3cret", clock=ManualClock(AT)
    )
    with pytest.raises(Troubled, match="does not answer") as caught:
        await server.write([line(pods=1)])
    assert caught.value.reason is Trouble.UNREACHABLE
    assert "s3cret" not in str(caught.value)
    await server.aclose()
