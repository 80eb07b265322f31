"""Finding the records that cannot be used, and noticing when there are too many of them.

An operator that raises `Rejected` has been given at least one record that it cannot use. `sift`
restores it and offers ever smaller parts until the offenders are alone; all others are applied, in
order, exactly once. That costs a restore per step, some log2(n) of them per offender: poison is
rare, so slow is fine. When it is not rare, something else is wrong (a new version of the producer,
a bug of ours), and going on would drain a topic into the dead letters: `Poison` then stops the
task.

Left to others: getting the operator's state from before the batch, and writing the letters
(`stream.runtime`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from stream.bus import Message
from stream.errors import Corrupt, Rejected
from stream.operators.base import Operator, Output
from stream.records import DeadLetter

SHARE: Final = 0.01
IN_A_ROW: Final = 100
_ENOUGH: Final = 100  # records to have seen before a share means anything
_REMEMBERED: Final = 20_000  # records that the share is taken over, older ones fade


class Poison(msgspec.Struct):
    """How much of what was read lately could not be used; part of the task's state."""

    seen: float = 0.0
    dead: float = 0.0
    in_a_row: int = 0

    def note(self, topic: str, partition: int, count: int, bad: Collection[int]) -> None:
        """Take note of `count` records, those at the positions `bad` unusable.

        Raises
        ------
        Corrupt
            More than 1 % of them were (of at least 100), or more than 100 in a row.
        """
        before = 0
        for position in sorted(bad):
            self._good(position - before)
            self.seen += 1
            self.dead += 1
            self.in_a_row += 1
            before = position + 1
            self._check(f"{topic}/{partition}")
        self._good(count - before)

    def _good(self, count: int) -> None:
        if count:
            self.seen += count
            self.in_a_row = 0
        if self.seen > _REMEMBERED:
            self.dead *= _REMEMBERED / self.seen
            self.seen = _REMEMBERED

    def _check(self, where: str) -> None:
        if self.in_a_row > IN_A_ROW:
            raise Corrupt(f"more than {IN_A_ROW} records in a row of {where} are unusable: {_HINT}")
        if self.seen >= _ENOUGH and self.dead > SHARE * self.seen:
            raise Corrupt(
                f"{self.dead:.0f} of the last {self.seen:.0f} records of {where} are unusable: "
                f"{_HINT}"
            )


_HINT: Final = (
    "look at them with `forewarn dlq` and in the log, then run a version that reads them, or "
    "repair the producer and start under a new application name behind them"
)


class Refused(NamedTuple):
    """A record that an operator cannot use."""

    position: int  # among the records offered
    error: Rejected


async def sift(
    operator: Operator, pages: dict[str, bytes], records: Sequence[Any]
) -> tuple[list[Output], list[Refused]]:
    """Apply all `records` that the operator accepts; return its outputs and what it refused.

    Parameters
    ----------
    pages
        The operator's whole state before `records`; brought up to date on the way.

    Raises
    ------
    Corrupt
        It refuses more than 100 in a row: not worth the search.
    """
    outputs: list[Output] = []
    refused: list[Refused] = []
    operator.restore(pages)
    waiting = [(0, len(records))]
    while waiting:
        await asyncio.sleep(0)  # restoring takes its time; others want the loop
        start, stop = waiting.pop()
        try:
            outputs.extend(operator.on_records(records[start:stop]))
        except Rejected as error:
            operator.restore(pages)
            if stop - start == 1:
                refused.append(Refused(start, error))
                _check_run(operator, refused)
            else:
                middle = (start + stop) // 2
                waiting += [(middle, stop), (start, middle)]
        else:
            pages.update(operator.snapshot())
    return outputs, refused


def _check_run(operator: Operator, refused: Sequence[Refused]) -> None:
    run = refused[-IN_A_ROW - 1 :]
    if len(run) > IN_A_ROW and run[-1].position - run[0].position == IN_A_ROW:
        raise Corrupt(
            f"operator {operator.name!r} refuses more than {IN_A_ROW} records of topic "
            f"{operator.topic!r} in a row ({refused[-1].error}): {_HINT}"
        )


def letter(place: str, message: Message, error: str) -> DeadLetter:
    """Return the dead letter of `message`, whole, with its place ``topic/partition@offset``."""
    return DeadLetter(
        at=message.at,
        place=f"{place}@{message.offset}",
        error=error,
        key=message.key,
        value=message.value,
    )
