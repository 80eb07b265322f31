"""What every operator must do, tried on each row of `OPERATORS` with the stream of its topic.

Leaves out what an operator concludes: that is its own test's business, and the golden tapes'.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from stream.codec import digest, encode_input, outgoing
from stream.operators import OPERATORS
from stream.operators.base import Operator, Output
from stream.operators.settings import OperatorSettings
from stream.records import (
    DeploymentChange,
    EventRecord,
    Finding,
    Input,
    NodeMetricsRecord,
    NodeRecord,
    PodRecord,
    Point,
    Tick,
)
from tests.conformance.workloads import WORKLOADS, shuffled, unmeasured

SEEDS = (1, 2)


@pytest.fixture(params=sorted(OPERATORS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def made(name: str) -> Operator:
    return OPERATORS[name](OperatorSettings())


def workload(name: str, seed: int) -> list[Input]:
    return WORKLOADS[made(name).topic](seed)


def run(
    operator: Operator, records: Sequence[Any], size: int | None = None
) -> tuple[list[Output], dict[str, bytes]]:
    """Feed `records`, `size` at a time, with a snapshot now and then; return outputs and pages."""
    size = size or max(1, len(records))
    outputs: list[Output] = []
    pages: dict[str, bytes] = {}
    for i, start in enumerate(range(0, len(records), size)):
        outputs += operator.on_records(records[start : start + size])
        if i % 5 == 4:
            pages |= operator.snapshot()
    return outputs, pages | operator.snapshot()


def spoken(outputs: Sequence[Output]) -> list[bytes]:
    return [outgoing(one, 4).value for one in outputs]


def same(pages: dict[str, bytes], others: dict[str, bytes]) -> None:
    """All pages alike; names first, so that a failure says which."""
    assert sorted(pages) == sorted(others)
    assert [key for key in pages if pages[key] != others[key]] == []


def test_it_bears_the_name_of_its_row_and_reads_a_topic_with_a_workload(name: str) -> None:
    operator = made(name)
    assert operator.name == name
    assert operator.topic in WORKLOADS
    assert "/" not in operator.name


def test_the_workload_makes_it_speak(name: str) -> None:
    assert any(run(made(name), workload(name, seed))[0] for seed in range(4))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("size", [1, 7, 64])
def test_borders_between_batches_change_nothing(name: str, seed: int, size: int) -> None:
    records = workload(name, seed)
    outputs, pages = run(made(name), records)
    others, other_pages = run(made(name), records, size)
    assert spoken(outputs) == spoken(others)
    same(pages, other_pages)


@pytest.mark.parametrize("cut", [0, 1, 50, 133, 299])
def test_a_restored_one_has_the_same_future(name: str, cut: int) -> None:
    records = workload(name, 3)
    one = made(name)
    _, pages = run(one, records[:cut], 13)
    other = made(name)
    run(other, workload(name, 4)[:200])  # from any state
    other.restore(pages)
    assert not other.snapshot(), "a restored one has changed nothing yet"
    outputs, later = run(one, records[cut:], 31)
    others, other_later = run(other, records[cut:], 31)
    assert spoken(outputs) == spoken(others)
    same(pages | later, pages | other_later)


def test_no_pages_make_it_as_new(name: str) -> None:
    records = workload(name, 3)
    used = made(name)
    run(used, workload(name, 4))
    used.restore({})
    new, pages = run(made(name), records)
    again, other_pages = run(used, records)
    assert spoken(new) == spoken(again)
    same(pages, other_pages)


def test_an_unchanged_one_has_no_pages_to_write(name: str) -> None:
    operator = made(name)
    run(operator, workload(name, 1))
    assert not operator.snapshot()


@pytest.mark.parametrize("seed", SEEDS)
def test_what_it_says_never_goes_back_in_time(name: str, seed: int) -> None:
    operator = made(name)
    now = said = float("-inf")
    for record in shuffled(workload(name, seed), seed):
        now = max(now, record.at)
        for output in operator.on_records([record]):
            if isinstance(output, Point):
                continue  # a point stands at the time that it was measured
            assert said <= output.at, output
            assert output.at == now, output
            said = output.at


def test_it_says_nothing_about_nothing(name: str) -> None:
    operator = made(name)
    assert not operator.on_records([])
    assert not operator.on_records([Tick(cluster="prod", at=1.0)])


def test_records_are_neither_kept_nor_changed(name: str) -> None:
    records = workload(name, 1)
    before = digest(map(encode_input, records))
    run(made(name), records)
    assert digest(map(encode_input, records)) == before


@pytest.mark.parametrize("size", [1, 50])
def test_duplicates_and_late_records_do_no_harm(name: str, size: int) -> None:
    records = shuffled(workload(name, 1), 5)
    outputs, pages = run(made(name), records)
    others, other_pages = run(made(name), records, size)
    assert spoken(outputs) == spoken(others)
    same(pages, other_pages)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_fact_that_arrives_three_times_says_nothing_more(name: str, seed: int) -> None:
    facts = (PodRecord, EventRecord, NodeMetricsRecord, NodeRecord, DeploymentChange)
    records = workload(name, seed)
    thrice = [each for one in records for each in [one] * (3 if isinstance(one, facts) else 1)]

    def concluded(records: Sequence[Input]) -> list[bytes]:
        outputs, _ = run(made(name), records)
        # The account of events counts lines, and says how many of them were duplicates.
        findings = [one for one in outputs if isinstance(one, Finding)]
        return spoken([one for one in findings if one.rule != "event-noise"])

    assert concluded(thrice) == concluded(records)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_was_not_measured_does_no_harm(name: str, seed: int) -> None:
    records = unmeasured(workload(name, seed), seed)
    outputs, _ = run(made(name), records, 50)
    for value in spoken(outputs):
        assert b"NaN" not in value
    msgspec.json.encode([msgspec.to_builtins(one) for one in outputs])
