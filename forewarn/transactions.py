"""`forewarn transactions`: what is open in our topics on Kafka, and the end of what hangs.

A writer that starts settles its own name's hanging transaction (`stream.kafka_transactions`). This
is for the rest: names that nobody will start under again, processes without the right to, and what
no coordinator can decide any more, which only a person may abort.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import NamedTuple

from forewarn.config import Config
from stream.clock import Clock
from stream.errors import Rejected
from stream.kafka_connection import Connection
from stream.kafka_transactions import OFFSETS, Open, Transactions, belonging
from stream.kafka_writer import Writer


class Verdict(StrEnum):
    """What there is to do about an open transaction."""

    RUNS = "runs"
    SETTLE = "hangs, decided: settle"
    ABORT = "hangs, undecided: abort"


class Line(NamedTuple):
    """A transaction that is open in one partition."""

    place: Open
    name: str  # transactional, with our prefix; "" where no coordinator knows it
    verdict: Verdict


@asynccontextmanager
async def _asking(config: Config) -> AsyncIterator[tuple[Connection, Transactions]]:
    if config.bus != "kafka":
        raise Rejected("transactions are for `bus: kafka`; the embedded bus leaves none open")
    connection = Connection(config.kafka)
    async with connection.admin() as admin:
        yield connection, Transactions(connection, admin)


async def _looked(transactions: Transactions, prefix: str) -> list[Line]:
    opened = await transactions.open()
    names = await transactions.names({each.producer for each in opened}) if opened else {}
    lines = []
    for place in opened:
        name = names.get(place.producer, "")
        if place.topic == OFFSETS and not name.startswith(prefix):
            continue  # somebody else's group
        known = await transactions.described(name) if name else None
        if known is None:
            verdict = Verdict.ABORT
        elif known.decided:
            verdict = Verdict.SETTLE if belonging(known, [place]) else Verdict.ABORT
        else:
            verdict = Verdict.ABORT if known.state in ("Empty", "Dead") else Verdict.RUNS
        lines.append(Line(place, name, verdict))
    # What was decided or begun while we looked is not open, or not hanging, any more.
    still = set(await transactions.open())
    return [line for line in lines if line.place in still]


async def ls(config: Config) -> Sequence[Line]:
    """Return every open transaction.

    Raises
    ------
    Rejected
        The bus is not Kafka, or it is older than Kafka 3.0, or does not let us ask.
    Unavailable
        No broker answers.
    """
    async with _asking(config) as (_, transactions):
        return await _looked(transactions, config.kafka.prefix)


async def settle(config: Config, clock: Clock) -> Sequence[Line]:
    """End every decided transaction that hangs, as was decided, and return what was ended.

    Starts once under its name, which fences whoever has it; he starts anew.
    """
    async with _asking(config) as (connection, transactions):
        lines = [
            each
            for each in await _looked(transactions, config.kafka.prefix)
            if each.verdict is Verdict.SETTLE
        ]
        for name in sorted({line.name for line in lines}):
            await _start(connection, transactions, name, clock)
        still = set(await transactions.open())
        return [line for line in lines if line.place not in still]


async def abort(config: Config, clock: Clock, topic: str, partition: int) -> Sequence[Line]:
    """Abort what hangs undecided in this partition, and return what was ended.

    Raises
    ------
    Rejected
        There is nothing of that kind, or we may not.
    """
    async with _asking(config) as (connection, transactions):
        there = [
            each
            for each in await _looked(transactions, config.kafka.prefix)
            if (each.place.topic, each.place.partition) == (topic, partition)
        ]
        lines = [each for each in there if each.verdict is Verdict.ABORT]
        if not lines:
            said = "; ".join(f"{each.name}: {each.verdict}" for each in there) or "nothing is open"
            raise Rejected(f"there is nothing to abort in {topic}/{partition}: {said}")
        for line in lines:
            if line.name:
                await _start(connection, transactions, line.name, clock)
            await transactions.end([line.place], committed=False)
        return lines


async def _start(
    connection: Connection, transactions: Transactions, name: str, clock: Clock
) -> None:
    """Fence whoever has `name`; the start settles what is decided."""
    writer = Writer(connection, connection.unnamed(name), transactions, clock)
    await writer.start()
    await writer.aclose()
