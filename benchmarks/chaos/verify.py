"""The verifier, a process of its own that shares no code with what it judges: plain aiokafka and
msgspec on the output topics, read committed.

It reads until FILE says how many records there are and all were seen, or nothing new has come for
PATIENCE seconds, then prints one JSON
document: how many sights were lost, came twice or came out of order, what is in the dead letters,
and when outputs of each input partition arrived (wall clock), for the harness to see the pauses.

    python -m benchmarks.chaos.verify ADDRESS PREFIX SESSION FILE PATIENCE
"""

import asyncio
import json
import sys
import time
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from benchmarks.chaos.plan import PODS, POISON, partition


async def connected(address: str, prefix: str) -> AIOKafkaConsumer:
    while True:
        consumer = AIOKafkaConsumer(
            f"{prefix}ts",
            f"{prefix}dlq",
            bootstrap_servers=address,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            retry_backoff_ms=100,
        )
        try:
            await consumer.start()
        except KafkaError:  # the broker may be away just now
            await consumer.stop()
            await asyncio.sleep(0.5)
        else:
            return consumer


def told(file: Path) -> int:
    """How many records there are; 0 while nobody has said."""
    return int(file.read_text() or 0) if file.exists() else 0


async def main() -> None:
    address, prefix, _, file, patience = sys.argv[1:]
    total, dead_wanted = sys.maxsize, sys.maxsize
    seen: dict[str, list[int]] = defaultdict(list)
    letters: Counter[str] = Counter()
    arrivals: list[tuple[float, int]] = []
    consumer = await connected(address, prefix)
    got, newest = 0, time.monotonic()
    while time.monotonic() - newest < float(patience):
        for part, records in (await consumer.getmany(timeout_ms=200)).items():
            newest = time.monotonic()
            fresh: set[int] = set()
            for record in records:
                if part.topic.endswith("dlq"):
                    letters[json.loads(record.value)["place"]] += 1
                    continue
                _, [[_, name]], fields, *_ = msgspec.msgpack.decode(record.value)
                seen[name].append(int(fields["n"]))
                fresh.add(partition(name))
                got += 1
            arrivals += [(time.time(), each) for each in fresh]
        if total == sys.maxsize and (said := told(Path(file))):
            total, dead_wanted = said, len(range(POISON // 2, said, POISON))
        if got >= total and sum(letters.values()) >= dead_wanted:
            patience = "3"  # seconds more, in which a duplicate may still come
    await consumer.stop()
    if total == sys.maxsize:
        sys.exit("nobody has said how many records there are: the generator did not end in order")
    wanted = {f"pod-{k}": len(range(k, total, PODS)) for k in range(PODS)}
    lost = sum(len(set(range(1, n + 1)) - set(seen[name])) for name, n in wanted.items())
    twice = sum(len(numbers) - len(set(numbers)) for numbers in seen.values())
    beyond = sum(n > wanted[name] for name, numbers in seen.items() for n in numbers)
    disorder = sum(a > b for numbers in seen.values() for a, b in pairwise(numbers))
    print(
        json.dumps(
            {
                "records": got,
                "lost": lost,
                "duplicate_outputs": twice,
                "duplicate_state": beyond,  # counted once more than it was sent
                "out_of_order": disorder,
                "dead_letters_missing": dead_wanted - len(letters),
                "dead_letters_twice": sum(letters.values()) - len(letters),
                "arrivals": arrivals,
            }
        )
    )


if __name__ == "__main__":
    asyncio.run(main())
