"""Hostile texts through real servers: what went in comes out, and nothing besides it.

Texts come from hypothesis and from a corpus of what has broken other writers. Leaves out numbers
(`tests/stream/test_encode.py`).
"""

import asyncio
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream.sinks.encode import Encoder, Row, field_text, tag_text
from tests.conformance.test_sinks import Found, read_back
from tests.stream.influx_server import InfluxServer

pytestmark = pytest.mark.influxdb
AT = 1_760_000_000.0
_number = count()

CORPUS = [
    "a b,c=d e=1i 1",
    "x\nnode,cluster=evil pods=1i 1760000000000000000",
    "x\r\nnode pods=1i",
    'x" ,y=1i\nnode pods=1i 1',
    'quote"',
    '\\"',
    "\\",
    "\\\\",
    "trailing\\",
    "back\\,comma",
    "back\\ space",
    "back\\=equals",
    "\\\nnode pods=1i",
    "=",
    ",",
    " ",
    "   ",
    "#comment",
    "\t",
    "\x00",
    "a\x00b",
    "\x1b[31m",
    "\x7f",
    "\u0085",
    "\u2028node pods=1i",
    "%s %d %n %% %b",
    "{}",
    "$1",
    "'; DROP MEASUREMENT node; --",
    "time",
    "_field",
    "😀👩‍👩‍👧‍👦",
    "é",
    "é",
    "‮rtl",
    "\ufeffbom",
    "\ud800",
    "a\udfffb",
    "i",
    "1i",
    "true",
    "NaN",
    "a" * 65_536,
    "," * 65_536,
    "\n" * 65_536,
    "\\" * 65_535,
    '"' * 65_536,
    "😀" * 16_384,
]


def rows_of(texts: list[str]) -> list[Row]:
    """One row per text: it stands in a tag and in two fields, the time tells them apart."""
    return [
        Row(
            "incident_state",
            (("cluster", "c"), ("rule", text)),
            {"summary": text, "object": f'"{text}"', "alerts": i},
            AT + i,
        )
        for i, text in enumerate(texts)
    ]


def expected(rows: list[Row]) -> Found:
    found: Found = {}
    for row in rows:
        tags = tuple((name, tag_text(value)) for name, value in row.tags if value)
        fields = {n: field_text(v) if isinstance(v, str) else v for n, v in row.fields.items()}
        found[tags, round(row.at) * 10**9] = {n: v for n, v in fields.items() if v != ""}
    return found


def round_trip(influxdb: InfluxServer, texts: list[str]) -> None:
    database = influxdb.database(f"hostile{next(_number)}")
    rows = rows_of(texts)
    encoder = Encoder()

    async def go() -> None:
        server = influxdb.client(database)
        await server.write([encoder.line(row) for row in rows])
        answer = await server.query("SHOW MEASUREMENTS", database)
        names = [name for (name,) in answer["results"][0]["series"][0]["values"]]
        assert names == ["incident_state"], "no point that nobody wrote"
        assert await read_back(server, database, "incident_state") == expected(rows)
        await server.aclose()

    asyncio.run(go())


def test_the_corpus_goes_in_and_out_and_makes_no_further_point(influxdb: InfluxServer) -> None:
    round_trip(influxdb, CORPUS)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(texts=st.lists(st.text(min_size=1), min_size=1, max_size=200))
def test_any_text_goes_in_and_out(influxdb: InfluxServer, texts: list[str]) -> None:
    round_trip(influxdb, texts)


@given(st.text(), st.text())
def test_texts_that_differ_mostly_stay_different_and_stay_on_one_line(a: str, b: str) -> None:
    assert "\n" not in tag_text(a)
    assert "\\" not in tag_text(a)
    assert tag_text(tag_text(a)) == tag_text(a)
    safe = not any(0xD800 <= ord(char) <= 0xDFFF for char in a + b)
    pictured = set("␀␁␂␃␄␅␆␇␈␉␊␋␌␍␎␏␐␑␒␓␔␕␖␗␘␙␚␛␜␝␞␟␡⧵") & set(a + b)
    if safe and not pictured and a != b:
        assert tag_text(a) != tag_text(b)
