"""`forewarn influxdb setup`: buckets, retention and down-sampling, made or brought up to date.

On 2.x two buckets and one task; on 1.8 a database, two retention policies and one continuous query
per measurement. Whatever the version, InfluxQL finds the points as ``"forewarn".."node"`` and their
ten-minute means as ``"forewarn"."long"."node"``, so dashboards need not know. 3.x makes databases
at the first write and has neither tasks nor retention policies: it is told, nothing is done.

Guaranteed: it may run again and again; what it did not make it leaves alone; nothing is deleted,
but a shorter retention lets the server drop what is older.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Final

from forewarn.influxdb import InfluxConfig
from stream.errors import Rejected
from stream.sinks.base import Trouble, Troubled
from stream.sinks.influxdb import InfluxDB
from stream.sinks.schema import SCHEMA, Kind

_NUMBERS: Final = (Kind.FLOAT, Kind.INTEGER)
ROLLED: Final = tuple(name for name, measurement in SCHEMA.items() if measurement.rolled)


async def set_up(server: InfluxDB, config: InfluxConfig) -> list[str]:
    """Make what is missing; return a line for each thing that is now as it should be.

    Raises
    ------
    Troubled
        The server cannot be reached, or the token may not do it.
    Rejected
        The organisation is not there.
    """
    version = (await server.ping()).removeprefix("v")
    match version.partition(".")[0]:
        case "1":
            return [f"InfluxDB {version}", *[line async for line in _first(server, config)]]
        case "2":
            return [f"InfluxDB {version}", *[line async for line in _second(server, config)]]
        case _:
            return [
                f"InfluxDB {version or 'of unknown version'}: databases are made at the first "
                "write; set retention there, and there is no down-sampling"
            ]


def mean_query(database: str, measurement: str, where: str = "") -> str:
    """Return the InfluxQL that rolls a measurement up into its ten-minute means."""
    fields = ", ".join(
        f'mean("{name}") AS "{name}"'
        for name, field in SCHEMA[measurement].fields.items()
        if field.kind in _NUMBERS
    )
    return (  # names are ours, the database's is checked by the configuration
        f'SELECT {fields} INTO "{database}"."long"."{measurement}" '  # noqa: S608
        f'FROM "{database}"."autogen"."{measurement}"{where} GROUP BY time(10m), *'
    )


def task_name(config: InfluxConfig) -> str:
    """Return the name of the task of 2.x, one per bucket."""
    return f"forewarn-means-of-{config.bucket}"


def task(config: InfluxConfig) -> str:
    """Return the Flux of the task that does the same on 2.x.

    It takes the last three whole windows each time, so points that come late still count.
    """
    wanted = " or ".join(f'r._measurement == "{name}"' for name in ROLLED)
    return f"""import "date"
option task = {{name: "{task_name(config)}", every: 10m, offset: 1m}}
from(bucket: "{config.bucket}")
  |> range(start: date.truncate(t: -30m, unit: 10m), stop: date.truncate(t: now(), unit: 10m))
  |> filter(fn: (r) => {wanted})
  |> aggregateWindow(every: 10m, fn: mean, createEmpty: false, timeSrc: "_start")
  |> to(bucket: "{config.long_bucket}", org: "{config.org}")
"""


async def _first(server: InfluxDB, config: InfluxConfig) -> AsyncIterator[str]:
    name = config.bucket
    await server.query(f'CREATE DATABASE "{name}"', change=True)
    yield f"database {name}"
    answer = await server.query(f'SHOW RETENTION POLICIES ON "{name}"')
    known = {row[0] for row in _rows(answer)}
    wanted = (("autogen", config.retention, " DEFAULT"), ("long", config.long_retention, ""))
    for policy, seconds, default in wanted:
        verb = "ALTER" if policy in known else "CREATE"
        replication = "" if verb == "ALTER" else " REPLICATION 1"
        lasts = f"{seconds:.0f}s" if seconds else "INF"
        await server.query(
            f'{verb} RETENTION POLICY "{policy}" ON "{name}" '
            f"DURATION {lasts}{replication}{default}",
            change=True,
        )
        yield f"retention policy {policy}: {lasts}"
    for measurement in ROLLED:
        query = f"forewarn_long_{measurement}"
        await server.query(f'DROP CONTINUOUS QUERY "{query}" ON "{name}"', change=True)
        await server.query(
            f'CREATE CONTINUOUS QUERY "{query}" ON "{name}" RESAMPLE EVERY 10m FOR 30m '
            f"BEGIN {mean_query(name, measurement)} END",
            change=True,
        )
        yield f"continuous query {query}: means of ten minutes"


def _rows(answer: Any) -> Iterator[Sequence[Any]]:
    for series in answer["results"][0].get("series", ()):
        yield from series["values"]


async def _second(server: InfluxDB, config: InfluxConfig) -> AsyncIterator[str]:
    found = (await server.ask("GET", "/api/v2/orgs", [("org", config.org)])).get("orgs", [])
    if not found:
        raise Rejected(f"there is no organisation {config.org!r} that the token may see")
    org = found[0]["id"]
    wanted = ((config.bucket, config.retention), (config.long_bucket, config.long_retention))
    for name, seconds in wanted:
        rules = [{"type": "expire", "everySeconds": round(seconds)}] if seconds else []
        known = await _bucket(server, org, name)
        if known:
            await server.ask("PATCH", f"/api/v2/buckets/{known}", (), {"retentionRules": rules})
        else:
            await server.ask(
                "POST",
                "/api/v2/buckets",
                (),
                {"orgID": org, "name": name, "retentionRules": rules},
            )
        yield f"bucket {name}: {f'{seconds:.0f}s' if seconds else 'for ever'}"
    flux = {"flux": task(config), "status": "active"}
    answer = await server.ask("GET", "/api/v2/tasks", [("orgID", org), ("name", task_name(config))])
    if answer["tasks"]:
        await server.ask("PATCH", f"/api/v2/tasks/{answer['tasks'][0]['id']}", (), flux)
    else:
        await server.ask("POST", "/api/v2/tasks", (), {"orgID": org, **flux})
    yield f"task {task_name(config)}: means of ten minutes"


async def _bucket(server: InfluxDB, org: str, name: str) -> str | None:
    try:
        answer = await server.ask("GET", "/api/v2/buckets", [("orgID", org), ("name", name)])
    except Troubled as error:
        if error.reason is Trouble.NO_BUCKET:
            return None
        raise
    return next((str(bucket["id"]) for bucket in answer["buckets"]), None)
