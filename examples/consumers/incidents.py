"""Reads incidents off Kafka with aiokafka alone: no forewarn is needed to read what it writes.

    python examples/consumers/incidents.py --bootstrap localhost:9092
    2026-11-21 10:00:00  firing    critical  prod  Deployment shop/checkout restarts in a burst

Two things matter: read what is committed only (the log also holds what was aborted), and know a
message again by its ``ce_id`` (at least once is what you get, unless your own offsets are in a
transaction, too). The fields are in docs/schema/incidents.json.
"""

import argparse
import asyncio
import json
import sys
from datetime import UTC, datetime

from aiokafka import AIOKafkaConsumer


async def read(bootstrap: str, prefix: str, group: str | None, count: int) -> None:
    """Show each incident once, `count` of them, or for ever where it is negative."""
    consumer = AIOKafkaConsumer(
        f"{prefix}incidents",
        bootstrap_servers=bootstrap,
        group_id=group,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    seen: set[bytes] = set()  # of this run; a real consumer keeps them beside what it has done
    async with consumer:
        while count < 0 or len(seen) < count:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                for record in records:
                    headers = dict(record.headers)
                    if headers["ce_id"] in seen:
                        continue
                    seen.add(headers["ce_id"])
                    show(json.loads(record.value))
            if group is not None:
                await consumer.commit()


def show(incident: dict[str, object]) -> None:
    """Print one line."""
    at = datetime.fromtimestamp(float(str(incident["updated_at"])), UTC)
    columns = [incident["state"], incident["severity"], incident["cluster"], incident["summary"]]
    sys.stdout.write(f"{at:%Y-%m-%d %H:%M:%S}  " + "  ".join(map(str, columns)) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--bootstrap", default="localhost:9092")
    words.add_argument("--prefix", default="forewarn.")
    words.add_argument("--group", default=None, help="to go on where the last run was")
    words.add_argument("--count", type=int, default=-1, help="end after so many")
    given = words.parse_args()
    asyncio.run(read(given.bootstrap, given.prefix, given.group, given.count))
