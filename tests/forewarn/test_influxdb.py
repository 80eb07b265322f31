"""The history as a person sets it up: `forewarn influxdb setup`, `forewarn sink influxdb`.

Against both real servers. Leaves out faults (`tests/stream/test_drain.py`) and what dashboards ask
(`tests/dashboards`).
"""

import asyncio
import json
import signal
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from forewarn.cli import app
from forewarn.config import Config, ConfigRejected, load
from forewarn.influxdb_setup import ROLLED, mean_query, set_up, task, task_name
from stream.clock import SystemClock
from stream.codec import outgoing
from stream.embedded import EmbeddedBus
from stream.errors import Rejected
from stream.records import Point
from stream.sinks.encode import Encoder, Row
from stream.topics import specs
from tests.stream.influx_server import InfluxServer

TAGS = (("cluster", "prod"), ("node", "n1"))


def settings(influxdb: InfluxServer, folder: Path, bucket: str, more: str = "") -> Path:
    (folder / "token").write_text(influxdb.token)
    path = folder / "forewarn.yaml"
    path.write_text(
        f"""
store: {{path: "{folder / "bus.db"}"}}
influxdb:
  url: {influxdb.url}
  bucket: {bucket}
  token_file: "{folder / "token"}"
  compress: false
{more}"""
    )
    return path


def values(answer: Any) -> list[list[Any]]:
    return [row for one in answer["results"][0].get("series", []) for row in one["values"]]


def run(*words: str) -> str:
    outcome = CliRunner().invoke(app, list(words))
    if outcome.exception is not None and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    return outcome.output


def test_setup_makes_what_is_missing_twice_over_and_the_sink_fills_it(
    influxdb: InfluxServer, tmp_path: Path
) -> None:
    path = settings(influxdb, tmp_path, f"hist{influxdb.major}", "  retention: 30d\n")
    first = run("influxdb", "setup", "--config", str(path))
    again = run("influxdb", "setup", "--config", str(path))
    assert first == again
    assert "2592000s" in first.replace("\n", "")

    async def publish() -> None:
        async with EmbeddedBus.open(tmp_path / "bus.db") as bus:
            await bus.ensure(specs(1))
            now = SystemClock().now() // 1  # the server's retention goes by its own clock
            points = [Point("node", TAGS, {"pods": float(i)}, now - i) for i in range(100)]
            await bus.publish([outgoing(point, 1) for point in points])

    asyncio.run(publish())
    assert "100 points written" in run("sink", "influxdb", "--drain", "--config", str(path))
    assert "0 points written" in run("sink", "influxdb", "--drain", "--config", str(path))

    async def count() -> Any:
        server = influxdb.client()
        answer = await server.query('SELECT count("pods") FROM "node"', f"hist{influxdb.major}")
        await server.aclose()
        return answer

    assert values(asyncio.run(count()))[0][1] == 100


def test_the_sink_as_a_process_fills_shows_its_figures_and_ends_in_order(
    influxdb: InfluxServer, tmp_path: Path
) -> None:
    bucket = influxdb.database(f"process{influxdb.major}")
    path = settings(influxdb, tmp_path, bucket, "probes: {port: 0}\n")

    async def go() -> None:
        now = SystemClock().now() // 1
        async with EmbeddedBus.open(tmp_path / "bus.db") as bus:
            await bus.ensure(specs(1))
            await bus.publish([outgoing(Point("node", TAGS, {"pods": 1.0}, now), 1)])
        command = [sys.executable, "-m", "forewarn", "sink", "influxdb", "--config", str(path)]
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        async with asyncio.timeout(30):
            line = (await process.stdout.readline()).decode()
            address = line.split()[-1]
            while True:
                text = await asyncio.to_thread(fetch, f"{address}/metrics")
                if (
                    "forewarn_influx_points_written_total" in text
                    and "written_total 0.0" not in text
                ):
                    break
            assert "[+] influxdb:" in await asyncio.to_thread(fetch, f"{address}/readyz")
            process.send_signal(signal.SIGTERM)
            out, errors = await process.communicate()
        assert process.returncode == 0, errors
        assert b"points written" in out
        assert influxdb.token.encode() not in out + errors

    asyncio.run(go())


def fetch(address: str) -> str:
    with urllib.request.urlopen(address, timeout=5) as answer:
        text: str = answer.read().decode()
        return text


async def test_a_shorter_retention_reaches_a_server_that_has_a_longer_one(
    influxdb: InfluxServer, tmp_path: Path
) -> None:
    bucket = f"short{influxdb.major}"
    for span in ("30d", "7d"):
        config = load(settings(influxdb, tmp_path, bucket, f"  retention: {span}\n")).influxdb
        server = influxdb.client()
        await set_up(server, config)
    if influxdb.major == 1:
        answer = await server.query(f'SHOW RETENTION POLICIES ON "{bucket}"')
        kept = {row[0]: row[1] for row in values(answer)}
        assert kept["autogen"] == "168h0m0s"
        assert kept["long"] == "43800h0m0s"
    else:
        answer = await server.ask("GET", "/api/v2/buckets", [("limit", "100")])
        rules = {one["name"]: one["retentionRules"] for one in answer["buckets"]}
        assert rules[bucket][0]["everySeconds"] == 7 * 86_400
        assert rules[f"{bucket}/long"][0]["everySeconds"] == 5 * 365 * 86_400
    await server.aclose()


async def test_ten_minute_means_arrive_in_the_long_bucket(
    influxdb: InfluxServer, tmp_path: Path
) -> None:
    bucket = f"means{influxdb.major}"
    config = load(settings(influxdb, tmp_path, bucket)).influxdb
    server = influxdb.client()
    await set_up(server, config)
    window = (SystemClock().now() // 600 - 1) * 600  # a task takes the server's own now
    writer = influxdb.client(bucket)
    encoder = Encoder()
    await writer.write(
        [
            encoder.line(Row("node", TAGS, {"pods": 10.0 + i, "cpu_cores": 0.5}, window + 60 * i))
            for i in range(10)
        ]
    )
    if influxdb.major == 1:
        where = f" WHERE time >= {int(window)}s AND time < {int(window) + 600}s"
        await server.query(mean_query(bucket, "node", where), change=True)
    else:
        tasks = await server.ask("GET", "/api/v2/tasks", [("name", task_name(config))])
        (own,) = tasks["tasks"]
        await server.ask("POST", f"/api/v2/tasks/{own['id']}/runs", (), {})
    clock = SystemClock()
    query = 'SELECT "pods", "cpu_cores" FROM "long"."node"'
    async with asyncio.timeout(20):  # a run of 2.7 is over when its points are there
        while not (found := values(await server.query(query, bucket))):
            await clock.sleep_until(clock.now() + 0.05)
    assert found == [[int(window) * 10**9, 14.5, 0.5]]
    await writer.aclose()
    await server.aclose()


def test_every_rolled_measurement_has_its_mean_on_both_versions() -> None:
    assert set(ROLLED) == {"node", "volume", "container"}
    flux = task(Config().influxdb)
    for name in ROLLED:
        assert f'"{name}"' in flux
        assert "mean(" in mean_query("forewarn", name)
        assert '"unit"' not in mean_query("forewarn", name)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("url: ftp://x", "an address such as http"),
        ("url: http://me:s3cret@host:8086", "no password"),
        ('bucket: "a b; DROP"', "bucket"),
        ("{token_env: A, token_file: /b}", "at most one"),
        ("retention: -1", "retention"),
        ("buckte: x", "bucket"),
    ],
)
def test_a_wrong_setting_is_named_with_its_place(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "forewarn.yaml"
    path.write_text(f"influxdb:\n  {text}\n")
    with pytest.raises(ConfigRejected) as caught:
        load(path)
    assert says in str(caught.value)
    assert "forewarn.yaml:" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_without_an_address_the_sink_says_what_to_set() -> None:
    with pytest.raises(Rejected, match=r"influxdb\.url is not set"):
        run("sink", "influxdb", "--drain")


def test_the_default_settings_serialise_without_a_secret() -> None:
    shown = json.dumps(
        Config.model_validate({"influxdb": {"token": "h0t"}}).model_dump(mode="json")
    )
    assert "h0t" not in shown
