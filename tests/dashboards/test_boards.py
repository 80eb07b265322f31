"""The dashboards' JSON: as the code makes it, and by rules that Grafana's SDK does not check.

Leaves out whether queries answer (`test_panels.py`).
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards import BOARDS
from dashboards.__main__ import text_of
from stream.sinks.schema import SCHEMA
from tests.dashboards.demo_history import History, ask, board, boards, expand, panels

KNOWN_TYPES = {"timeseries", "stat", "table", "bargauge", "heatmap", "state-timeline"}
KNOWN_UNITS = {"short", "bytes", "percent", "percentunit", "s", "cps", "dateTimeFromNow"}


def test_there_are_seven_with_ids_of_their_own() -> None:
    assert boards() == sorted(BOARDS)
    assert len(boards()) == 7
    assert len({board(name)["uid"] for name in boards()}) == 7
    assert len({board(name)["title"] for name in boards()}) == 7
    assert all(len(board(name)["uid"]) <= 40 for name in boards())


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_the_committed_json_is_what_the_code_makes(name: str, root: Path) -> None:
    committed = (root / "dashboards" / "json" / f"{name}.json").read_text()
    assert committed == text_of(name), "run: python -m dashboards"


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_panels_are_whole_and_lie_beside_each_other(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels(name):
        assert panel["type"] in KNOWN_TYPES
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["datasource"] == {"type": "influxdb", "uid": "${datasource}"}
        unit = panel.get("fieldConfig", {}).get("defaults", {}).get("unit", "short")
        assert unit in KNOWN_UNITS
        place = panel["gridPos"]
        assert 0 < place["w"] <= 24
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs) > 0
        for override in panel.get("fieldConfig", {}).get("overrides", ()):
            for each in override["properties"]:
                if each["id"] == "unit":
                    assert each["value"] in KNOWN_UNITS
    titles = [panel["title"] for panel in panels(name)]
    assert len(set(titles)) == len(titles)


def every_query() -> list[tuple[str, str]]:
    found = []
    for name in boards():
        found += [(name, t["query"]) for panel in panels(name) for t in panel["targets"]]
        found += [(name, one["target"]["query"]) for one in board(name)["annotations"]["list"]]
        found += [
            (name, one["query"])
            for one in board(name)["templating"]["list"]
            if one["type"] == "query"
        ]
    return found


def test_queries_name_only_what_the_schema_has() -> None:
    for _, query in every_query():
        sources = re.findall(r'FROM ("\w+"(?:, "\w+")*)', query)
        named = [name for source in sources for name in re.findall(r'"(\w+)"', source)]
        assert named, query
        assert set(named) <= set(SCHEMA), query
        known: set[str] = set()
        for measurement in named:
            known |= {*SCHEMA[measurement].tags, *SCHEMA[measurement].fields}
        aliases = set(re.findall(r'AS "([^"]+)"', query))
        quoted = set(re.findall(r'"([^"]+)"', query)) - set(named) - aliases
        assert quoted <= known, query


def test_every_query_is_filtered_by_cluster_and_by_time() -> None:
    for name, query in every_query():
        if query.startswith("SHOW") or "forewarn_metric" in query or '"delivery"' in query:
            continue
        assert '"cluster" =~ /^$cluster$/' in query, (name, query)
        assert "$timeFilter" in query or "time >= ${__from}ms" in query, (name, query)


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_the_data_source_is_a_variable_and_the_others_hang_together(name: str) -> None:
    variables = board(name)["templating"]["list"]
    names = [one["name"] for one in variables]
    assert names[:2] == ["datasource", "cluster"]
    assert names[-1] == "console"
    text = json.dumps(board(name))
    used = set(re.findall(r"\$\{?(\w+)", text)) - {"timeFilter", "__interval", "__value", "__from"}
    assert {one for one in used if not one.startswith("tag_")} <= set(names)
    for place, one in enumerate(variables):
        if one["type"] == "query":
            needed = set(re.findall(r"\$(\w+)", one["query"]))
            assert needed <= set(names[:place]), "a variable needs one that stands after it"


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_every_dashboard_leads_to_the_others_and_to_the_console(name: str) -> None:
    links = {link["title"]: link for link in board(name)["links"]}
    assert links["dashboards"]["type"] == "dashboards"
    assert links["console"]["url"] == "${console}"


def test_incidents_and_changes_stand_on_every_time_axis_and_are_there(history: History) -> None:
    for name in boards():
        for one in board(name)["annotations"]["list"]:
            query = expand(name, one["target"]["query"], history.begin, history.end)
            for server in history.servers:
                (series,) = ask(server, query)
                assert {"summary", "tag"} <= set(series["columns"])
                assert series["values"]


def test_every_variable_offers_what_the_recording_has(history: History) -> None:
    offered: dict[str, set[str]] = {}
    for name in boards():
        for one in board(name)["templating"]["list"]:
            if one["type"] != "query":
                continue
            query = expand(name, one["query"], history.begin, history.end)
            for server in history.servers:
                for series in ask(server, query):
                    offered.setdefault(one["name"], set()).update(v for _, v in series["values"])
    assert offered["cluster"] == {"demo"}
    assert {f"node-{i}" for i in range(1, 7)} <= offered["node"]
    assert {"shop", "payments", "platform"} <= offered["namespace"]
    assert "ledger" in offered["workload"]


def test_provisioning_names_the_same_kind_of_source(root: Path) -> None:
    folder = root / "dashboards" / "provisioning"
    sources: Any = yaml.safe_load((folder / "datasources" / "forewarn.yaml").read_text())
    (source,) = sources["datasources"]
    assert source["type"] == "influxdb"
    assert source["jsonData"]["version"] == "InfluxQL"
    providers: Any = yaml.safe_load((folder / "dashboards" / "forewarn.yaml").read_text())
    assert providers["providers"][0]["type"] == "file"
