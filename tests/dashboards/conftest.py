"""The demo's history, once for all tests of dashboards."""

import asyncio

import pytest

from tests.dashboards.demo_history import History, write
from tests.stream.influx_server import InfluxServer


@pytest.fixture(scope="session")
def history(influxdb_1: InfluxServer, influxdb_2: InfluxServer) -> History:
    """The demo's recording in InfluxDB 1.8 and 2.7."""
    return asyncio.run(write([influxdb_1, influxdb_2]))
