"""Stretching a recording moves every instant alike and touches nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest

BEGAN = 1_795_000_000.0
FACTOR = 90.0
HOURS = 48.0


@pytest.fixture
def two_days(stretch: Any) -> Any:
    ended = BEGAN + HOURS * 3600 / FACTOR
    return stretch.Stretch(FACTOR, ended, stretch.ENDS.timestamp())


def line(at: float, document: str) -> bytes:
    head = f'{{"at":{at:.6f},"cluster":"demo","resource":"pods","type":"MODIFIED",'
    return f'{head}"object":{document}}}\n'.encode()


def test_the_story_begins_48_hours_before_its_end(stretch: Any, two_days: Any) -> None:
    assert two_days.instant(BEGAN) == stretch.ENDS.timestamp() - HOURS * 3600


def test_whole_seconds_stay_whole_and_move_by_the_factor(two_days: Any) -> None:
    before = line(BEGAN, '{"a":"2026-11-18T11:06:40Z","b":"2026-11-18T11:06:41Z"}')
    after = json.loads(two_days.line(before))["object"]
    assert after == {"a": "2026-11-18T00:00:00Z", "b": "2026-11-18T00:01:30Z"}


def test_micro_time_keeps_its_six_digits(two_days: Any) -> None:
    before = line(BEGAN, '{"a":"2026-11-18T11:06:40.500000Z"}')
    after = json.loads(two_days.line(before))["object"]
    assert after == {"a": "2026-11-18T00:00:45.000000Z"}


def test_an_instant_inside_a_message_or_annotation_moves_too(two_days: Any) -> None:
    before = line(BEGAN, '{"note":"{\\"since\\":\\"2026-11-18T11:06:41Z\\"}"}')
    assert b'{\\"since\\":\\"2026-11-18T00:01:30Z\\"}' in two_days.line(before)


def test_an_object_is_never_dated_after_the_line_that_first_shows_it(two_days: Any) -> None:
    for fraction in (0.0, 0.25, 0.999):
        at = BEGAN + 7 + fraction
        after = json.loads(two_days.line(line(at, '{"startedAt":"2026-11-18T11:06:47Z"}')))
        assert after["object"]["startedAt"] == "2026-11-18T00:10:30Z"
        started = two_days.instant(BEGAN + 7)
        assert started <= after["at"] < started + FACTOR


def test_durations_that_controllers_acted_on_grow_by_the_factor(two_days: Any) -> None:
    before = line(BEGAN, '{"tolerationSeconds":5,"periodSeconds":5,"f:tolerationSeconds":{}}')
    after = json.loads(two_days.line(before))["object"]
    assert after == {"tolerationSeconds": 450, "periodSeconds": 5, "f:tolerationSeconds": {}}


def test_all_other_bytes_are_left_as_they_are(two_days: Any) -> None:
    document = '{"uid":"0c9f", "resourceVersion":"1963","x":1.0,"name":"a.18a3f2b1c"}'
    assert two_days.line(line(BEGAN, document)).endswith(f'"object":{document}}}\n'.encode())


def test_order_in_time_is_kept(two_days: Any) -> None:
    ats = [BEGAN + step * 0.013 for step in range(1000)]
    stretched = [json.loads(two_days.line(line(at, "{}")))["at"] for at in ats]
    assert stretched == sorted(stretched)


def test_truth_moves_with_the_tape(stretch: Any, two_days: Any) -> None:
    label = {"id": "x", "start": BEGAN, "end": BEGAN + 40.0, "moments": [BEGAN + 20.0]}
    [moved] = stretch.stretch_truth([label], two_days)
    start = stretch.ENDS.timestamp() - HOURS * 3600
    assert (moved["start"], moved["end"]) == (start, start + 3600)
    assert moved["moments"] == [start + 1800]


def test_a_line_that_is_not_of_a_tape_is_refused(two_days: Any) -> None:
    with pytest.raises(ValueError, match="not a line of a tape"):
        two_days.line(b'{"cluster":"demo"}\n')
