"""The schema in Markdown: `docs/reference/influxdb.md`, which a test holds to this."""

from __future__ import annotations

from typing import Final

from stream.sinks.schema import SCHEMA, TAGS, Measurement

_INTRODUCTION: Final = """\
# What is in InfluxDB

<!-- Made by stream.sinks.reference.reference(); a test compares. Change stream/sinks/schema.py. -->

One database (2.x and 3.x: bucket) of points, and `long`, a retention policy (2.x: the bucket
`<name>/long`) of ten-minute means of the measurements that are marked *rolled*. Times are event
times, to the millisecond; where several rows of a series can share one (findings, changes,
incidents, messages), the microseconds are made of the row's id. The same record always makes the
same point, so a replay overwrites.

A tag that has no value is left out. A pod that nobody owns has no `workload`. Numbers are exact. A
field that is not known is left out; none is ever NaN. Control characters in a tag become their
pictures (`␊`), a backslash `⧵`, and what is over 256 characters is cut and marked; texts are cut at
8,192 characters.

## Tags

| tag | what | values |
|---|---|---|
"""


def reference() -> str:
    """Return the reference in Markdown."""
    tags = "".join(
        f"| `{name}` | {tag.about} | {'few, bounded' if tag.bounded else 'as the cluster has'} |\n"
        for name, tag in TAGS.items()
    )
    return _INTRODUCTION + tags + "".join(_section(*each) for each in SCHEMA.items())


def _section(name: str, measurement: Measurement) -> str:
    tags = ", ".join(f"`{tag}`" for tag in measurement.tags)
    source = f"From topic `{measurement.source}`. " if measurement.source else ""
    rolled = " Rolled." if measurement.rolled else ""
    rows = "".join(
        f"| `{field}` | {about.kind.value} | {about.unit} | {about.about} |\n"
        for field, about in measurement.fields.items()
    )
    return (
        f"\n## `{name}`\n\n{measurement.about} {source}Tags: {tags}.{rolled}\n\n"
        f"| field | kind | unit | what |\n|---|---|---|---|\n{rows}"
    )
