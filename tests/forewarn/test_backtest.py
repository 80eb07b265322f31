"""`forewarn backtest`: formats, causality, and what it does with what people really bring.

Left out: how good the models are (`benchmarks/quality`) and the banks themselves (tests/models).
"""

import json
import math
import struct
import xml.etree.ElementTree as ElementTree
import zlib
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from forewarn.backtest.reading import moment
from forewarn.backtest.run import Options, Outcome, backtest
from stream.errors import Rejected

START = 1_760_000_400.0  # a half hour begins here
DAY = 86_400.0


class Told:
    """A console that remembers."""

    def __init__(self) -> None:
        self.console = Console(record=True, quiet=False, file=None, stderr=True, soft_wrap=True)

    @property
    def text(self) -> str:
        return self.console.export_text(clear=False)


def run(
    model: str, given: Path, limit: float = 100.0, plot: Path | None = None
) -> tuple[list[dict[str, object]], Outcome, str]:
    told, out = Told(), given.parent / "answers.jsonl"
    outcome = backtest(model, given, Options(limit, out, plot), told.console)
    return [json.loads(line) for line in out.read_text().splitlines()], outcome, told.text


def disk(path: Path, days: float = 6.0, *, per_day: float = 10.0, form: str = "{:.0f}") -> Path:
    """A disk that fills by `per_day` percent a day from 40 %, with a daily rhythm."""
    times = START + np.arange(0, days * DAY, 600.0)
    noise = np.random.default_rng(3).normal(0, 0.2, times.size)
    values = 40 + per_day * (times - START) / DAY + np.sin(times / DAY * 2 * math.pi) + noise
    rows = [f"{form.format(t)},{v:.3f}" for t, v in zip(times, values, strict=True)]
    path.write_text("at,value\n" + "\n".join(rows) + "\n")
    return path


def test_growth_says_at_every_half_hour_how_long_is_left(tmp_path: Path) -> None:
    lines, _, _ = run("growth", disk(tmp_path / "disk.csv"), limit=90)
    assert list(lines[0]) == ["origin", "p_cross_24h", "p_cross_72h", "time_left", "warn"]
    origins = [line["origin"] for line in lines]
    assert origins == [START + 1800.0 * i for i in range(1, len(lines) + 1)]
    full = START + 5 * DAY  # 40 % + 10 % a day meets 90 %
    day_before = next(line for line in lines if line["origin"] == full - DAY)
    left = day_before["time_left"]
    assert left["p10"] <= left["p50"] <= (left["p90"] or math.inf)  # type: ignore[index,operator]
    assert left["p50"] == pytest.approx(DAY, rel=0.2)  # type: ignore[index]
    assert day_before["warn"] is True
    assert lines[-1]["time_left"] == {"p10": 0.0, "p50": 0.0, "p90": 0.0}
    assert lines[-1]["p_cross_24h"] == 1.0


def test_growth_foresees_nothing_where_nothing_grows(tmp_path: Path) -> None:
    lines, _, _ = run("growth", disk(tmp_path / "flat.csv", per_day=0.0), limit=90)
    assert not any(line["warn"] for line in lines)
    assert lines[-1]["time_left"] == {"p10": None, "p50": None, "p90": None}


@pytest.mark.parametrize("model", ["growth", "anomaly"])
def test_what_is_said_does_not_change_when_the_future_is_cut_off(
    model: str, tmp_path: Path
) -> None:
    whole = disk(tmp_path / "whole.csv")
    cut = tmp_path / "cut.csv"
    cut.write_text("\n".join(whole.read_text().splitlines()[:500]) + "\n")
    long, _, _ = run(model, whole, limit=90)
    short, _, _ = run(model, cut, limit=90)
    assert short
    assert long[: len(short)] == short


def test_a_unit_does_not_matter_if_the_limit_has_it_too(tmp_path: Path) -> None:
    percent = disk(tmp_path / "percent.csv")
    rows = [row.split(",") for row in percent.read_text().splitlines()[1:]]
    some = tmp_path / "bytes.csv"
    some.write_text("".join(f"{at},{float(v) * 2**30:.0f}\n" for at, v in rows))
    ours, _, _ = run("growth", percent, limit=90)
    theirs, _, _ = run("growth", some, limit=90 * 2**30)
    assert [line["warn"] for line in ours] == [line["warn"] for line in theirs]


def test_a_folder_is_a_series_a_file_and_each_is_as_if_alone(tmp_path: Path) -> None:
    folder = tmp_path / "disks"
    folder.mkdir()
    disk(folder / "a.csv", days=3)
    disk(folder / "b.csv", days=4, per_day=3)
    (folder / "c.csv").write_text("nothing,here\n")
    (folder / "notes.txt").write_text("not a series")
    lines, outcome, told = run("growth", folder, limit=90)
    assert outcome.series == 2
    assert outcome.unusable == 1
    assert "c.csv" in told
    assert list(dict.fromkeys(line["series"] for line in lines)) == ["a", "b"]
    alone, _, _ = run("growth", folder / "b.csv", limit=90)
    assert [{"series": "b", **line} for line in alone] == [
        line for line in lines if line["series"] == "b"
    ]


def test_times_may_be_unix_seconds_or_rfc_3339(tmp_path: Path) -> None:
    assert moment("2025-10-09T10:53:20+02:00") == moment("1760000000") == 1.76e9
    for text in ("yesterday", "nan", "-5", "1760000000000", ""):
        with pytest.raises(ValueError, match=r"time|divide"):
            moment(text)


def test_headers_name_columns_in_any_order(tmp_path: Path) -> None:
    file = tmp_path / "nab.csv"
    file.write_text(
        "\ufeffvalue,timestamp\r\n1.5,2014-04-01 00:00:00\r\n\r\n2.5,2014-04-01 00:05:00\r\n"
    )
    lines, _, _ = run("anomaly", file)
    assert [line["at"] for line in lines] == [1396310400.0, 1396310700.0]


def test_a_bad_line_costs_that_line_and_is_told_with_place_and_hint(tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    file.write_bytes(b"at,value\n100,1\nsoon,2\n300,many\n400,4,spare\n\xff\xfe,1\n500,\n600\n")
    lines, _, told = run("anomaly", file)
    assert [line["at"] for line in lines] == [100.0, 400.0, 500.0]
    for place in (
        "bad.csv line 3: 'soon' is not a time: expected RFC 3339",
        "bad.csv line 4: 'many' is not a number",
        "bad.csv line 6: it is not UTF-8 text",
        "bad.csv line 8: expected at,value",
    ):
        assert place in told


def test_gaps_late_repeated_and_missing_samples_are_no_trouble(tmp_path: Path) -> None:
    file = disk(tmp_path / "messy.csv")
    rows = file.read_text().splitlines()[1:]
    del rows[200:260]
    rows[100], rows[101] = rows[101], rows[100]
    rows.insert(50, rows[50])
    rows[300] = rows[300].split(",")[0] + ",NaN"
    file.write_text("\n".join(rows))
    lines, _, _ = run("growth", file, limit=90)
    origins = [line["origin"] for line in lines]
    assert origins == sorted(set(origins))
    assert lines[-1]["warn"] is True
    points, _, _ = run("anomaly", file)
    assert len(points) == len(rows)


@pytest.mark.parametrize("model", ["growth", "anomaly"])
@pytest.mark.parametrize("limit", [1e-300, 90.0, 1e300])
def test_numbers_at_the_edge_of_all_numbers_are_no_trouble(
    model: str, limit: float, tmp_path: Path
) -> None:
    wild = [1e99, -1e99, 5e-324, 0.0, -0.0, 42.0, 1e308]
    rows = [f"{START + 300.0 * i},{wild[3 * i % 7]}" for i in range(400)]
    file = tmp_path / "wild.csv"
    file.write_text("\n".join(rows))
    lines, _, told = run(model, file, limit)  # warnings are errors in tests
    assert lines
    assert "'1e+308' is beyond all measure" in told


@pytest.mark.parametrize(
    ("model", "content", "limit", "words"),
    [
        ("growth", "", 90.0, "it is empty"),
        ("growth", "a,b\nc,d\n", 90.0, "all of its 1 lines are bad"),
        ("growth", "1,2\n", 0.0, "--limit 0: give the value at which it is full"),
        ("oracle", "1,2\n", 90.0, "choose growth, restarts, anomaly, events"),
        ("events", "{}\n", 90.0, "all of its 1 lines are bad"),
    ],
)
def test_what_cannot_be_worked_on_is_refused_with_a_hint(
    model: str, content: str, limit: float, words: str, tmp_path: Path
) -> None:
    file = tmp_path / "input"
    file.write_text(content)
    with pytest.raises(Rejected, match=words):
        run(model, file, limit)
    assert not (tmp_path / "answers.jsonl").exists()


def test_a_missing_file_an_empty_folder_and_a_strange_plot_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="no such file or folder"):
        run("growth", tmp_path / "none.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(Rejected, match=r"no file \*\.csv in this folder"):
        run("growth", tmp_path / "empty")
    with pytest.raises(Rejected, match=r"\.svg or \.png"):
        run("growth", disk(tmp_path / "d.csv"), plot=tmp_path / "plot.pdf")


def test_a_plot_is_a_picture(tmp_path: Path) -> None:
    file = disk(tmp_path / "disk.csv", days=5)
    run("growth", file, 90, tmp_path / "plot.svg")
    root = ElementTree.parse(tmp_path / "plot.svg").getroot()  # our own output
    assert root.tag.endswith("svg")
    assert any(element.text == "growth: disk" for element in root.iter())
    run("growth", file, 90, tmp_path / "plot.png")
    png = (tmp_path / "plot.png").read_bytes()
    width, height = struct.unpack(">II", png[16:24])
    data = zlib.decompress(png[png.index(b"IDAT") + 4 : -16])
    pixels = np.frombuffer(data, np.uint8).reshape(height, 1 + 3 * width)[:, 1:]
    assert (pixels < 128).any()  # something is drawn
    assert (pixels == 255).mean() > 0.5


def restart(at: float, count: int, pod: str = "web-1", generation: str = "g1") -> str:
    line = {"at": at, "workload": "shop/web", "pod": pod, "pod_created_at": START - 30 * DAY}
    return json.dumps({**line, "generation": generation, "restarts": count})


def test_a_crash_loop_is_a_burst_and_recovers_after_ten_quiet_minutes(tmp_path: Path) -> None:
    loop, at = [restart(START, 0)], START + DAY
    for i, pause in enumerate((10, 20, 40, 80, 160), 1):
        at += pause
        loop.append(restart(at, i))
    file = tmp_path / "restarts.jsonl"
    file.write_text("\n".join([*loop, restart(START + 2 * DAY, 5)]))
    lines, _, _ = run("restarts", file)
    assert [line["state"] for line in lines] == ["burst", "recovered"]
    assert list(lines[0]) == ["at", "workload", "score", "state", "because"]
    assert lines[0]["workload"] == "shop/web"
    assert lines[0]["at"] - (START + DAY) <= 120  # type: ignore[operator]
    assert 600 <= lines[1]["at"] - at <= 660  # type: ignore[operator]
    assert "3 restarts in 5 min" in str(lines[0]["because"])


def test_a_count_at_first_sight_is_history_and_no_burst(tmp_path: Path) -> None:
    file = tmp_path / "restarts.jsonl"
    file.write_text("\n".join([restart(START, 40), restart(START + 600, 41)]))
    assert run("restarts", file)[0] == []


def event(at: float, **more: object) -> str:
    line: dict[str, object] = {
        "at": at, "namespace": "shop", "kind": "Pod", "name": "web-1", "workload": "web",
        "node": None, "type": "Warning", "reason": "Unhealthy",
        "message": "Readiness probe failed", "count": 1,
    }  # fmt: skip
    return json.dumps(line | more)


def test_every_event_line_is_answered_once_and_a_new_trouble_notifies(tmp_path: Path) -> None:
    rows = [event(START + 1800 * i, count=i + 1) for i in range(190)]  # what it always does
    rows.insert(10, event(START + 5 * 1800 + 1, type="Normal", reason="Pulled"))
    trouble = START + 4 * DAY
    rows += [
        event(trouble + 20 * i, name="db-1", workload="db", reason="FailedMount", count=i + 1)
        for i in range(30)
    ]
    rows.append("{broken")
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(rows))
    lines, _, told = run("events", file)
    assert sorted(line["index"] for line in lines) == list(range(len(rows)))
    assert list(lines[0]) == ["index", "at", "action", "because", "incident"]
    by_index = {line["index"]: line for line in lines}
    assert by_index[10]["action"] == "suppress"
    assert by_index[0]["action"] == "suppress"
    assert str(by_index[len(rows) - 1]["because"]).startswith("unreadable")
    assert "events.jsonl line 222" in told
    notified = [line for line in lines if line["action"] == "notify"]
    assert len(notified) == 1
    assert 191 <= notified[0]["index"] < 221  # type: ignore[operator]
    assert notified[0]["at"] - trouble <= 300  # type: ignore[operator]
    grouped = [line for line in lines if line["incident"] == notified[0]["incident"]]
    assert len(grouped) == 30


def test_restarts_told_as_facts_notify_once_for_a_loop(tmp_path: Path) -> None:
    fact = {"type": "Fact", "reason": "ContainerRestart", "message": ""}
    rows = [event(START + 3600 * i, type="Normal", reason="Pulled") for i in range(24)]
    at = START + DAY
    for i, pause in enumerate((0, 10, 20, 40, 80, 160, 300), 1):
        at += pause
        rows.append(event(at, count=i, **fact))
    rows.append(event(START + 2 * DAY, name="other-1", workload="other", count=1, **fact))
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(rows))
    lines, _, _ = run("events", file)
    by_index = {line["index"]: line["action"] for line in lines}
    actions = [by_index[i] for i in range(24, 32)]
    assert actions.count("notify") == 1
    assert actions[-1] == "suppress"
    assert actions[4:7] == ["group"] * 3
