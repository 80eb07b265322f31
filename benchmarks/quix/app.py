"""What `benchmarks.bench_kafka` measures, written for Quix Streams as its manual writes it.

Runs in the environment of `benchmarks/quix/requirements.txt`, with the project's root on its path
for the one decoder. State per message key in its RocksDB store with a changelog, exactly once, a
checkpoint every half second. The folder's name makes the group, so another folder begins anew.
Ends after ``records`` and prints one JSON object: CPU seconds of the process without its start-up,
the sum of all counts, the points said.

    python -m benchmarks.quix.app ADDRESS TOPIC RECORDS FOLDER
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
from quixstreams import Application
from quixstreams.models.serializers import Deserializer, SerializationContext

from stream.codec import decoder
from stream.records import Point
from stream.topics import PODS

COMMIT = 0.5  # seconds, as in the other loops
LINE_EVERY = 10  # as there
SCALES = (1.0, 2.0, 3.0, 4.0)


class Records(Deserializer):
    """The project's own decoder, so that decoding costs all loops the same."""

    def __init__(self) -> None:
        self._decode = decoder(PODS)

    def __call__(self, value: bytes, ctx: SerializationContext) -> Any:
        return self._decode(value)


class Model:
    """EW mean and variance of four metrics by key, and a point of every tenth record."""

    def __init__(self) -> None:
        self.seen = 0
        self.counts: dict[str, int] = {}  # last count of each key, to see that none was lost
        self.points = 0
        self.began = 0.0  # CPU time at the first record
        self._pack = msgspec.msgpack.Encoder().encode

    def step(self, record: Any, state: Any) -> list[bytes]:
        if not self.seen:
            self.began = time.process_time()
        self.seen += 1
        known = state.get("ew") or {"count": 0, "mean": [0.0] * 4, "var": [1.0] * 4}
        mean, var = known["mean"], known["var"]
        for i, scale in enumerate(SCALES):
            off = record.created_at * scale - mean[i]
            mean[i] += 0.1 * off
            var[i] = 0.9 * (var[i] + 0.1 * off * off)
        known["count"] += 1
        self.counts[record.pod] = known["count"]
        state.set("ew", known)
        if self.seen % LINE_EVERY:
            return []
        self.points += 1
        return [self._pack(Point("ew", (("pod", record.pod),), {"mean": mean[0]}, record.at))]


def main(address: str, topic: str, records: int, folder: str) -> None:
    """Work through `topic` once and say what it took."""
    app = Application(
        broker_address=address,
        consumer_group=f"{topic}-{Path(folder).name}",
        auto_offset_reset="earliest",
        commit_interval=COMMIT,
        processing_guarantee="exactly-once",
        state_dir=folder,
        loglevel="WARNING",
    )
    model = Model()
    inputs = app.topic(topic, value_deserializer=Records(), key_deserializer="bytes")
    outputs = app.topic(f"{topic}-quix-ts", value_serializer="bytes")
    frame = app.dataframe(inputs)
    frame = frame.apply(model.step, stateful=True, expand=True)
    frame.to_topic(outputs)
    # It counts what comes out of the frame, and would else wait for its time-out.
    app.run(count=records // LINE_EVERY, timeout=120.0, collect=False)
    spent = time.process_time() - model.began
    found = {"cpu": spent, "counts": sum(model.counts.values()), "points": model.points}
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
