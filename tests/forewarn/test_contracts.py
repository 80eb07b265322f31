"""What is published about the public topics, held to what is written there.

Left out: the configuration's schema (`test_config`).
"""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from forewarn.contracts import ASYNCAPI, TOPICS, breaking, documents, export, published

PUBLISHED = Path(__file__).resolve().parents[2] / "docs" / "schema"


def test_what_is_published_is_what_is_written_and_nothing_has_broken() -> None:
    old, new = published(PUBLISHED), documents()
    for topic in TOPICS:
        assert not list(breaking(old[f"{topic}.json"], new[f"{topic}.json"]))
    assert old == new, "run: forewarn schema export docs/schema"


def test_an_export_can_be_read_again(tmp_path: Path) -> None:
    assert export(tmp_path / "new") == sorted([*(f"{topic}.json" for topic in TOPICS), ASYNCAPI])
    assert published(tmp_path / "new") == documents()


def changed(change: str) -> dict[str, Any]:
    new = deepcopy(documents()["findings.json"])
    finding = new["$defs"]["Finding"]
    match change:
        case "a field goes":
            del finding["properties"]["summary"]
        case "a field gets another type":
            finding["properties"]["at"]["type"] = "string"
        case "a field may be missing":
            finding["required"].remove("cluster")
        case "an enumeration grows":
            new["$defs"]["Severity"]["enum"].append("worst")
        case "a record goes":
            del new["$defs"]["Progress"]
        case "a field is added":
            finding["properties"]["more"] = {"type": "string"}
    return new


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("a field goes", "Finding.summary is gone"),
        ("a field gets another type", "Finding.at was number, is string"),
        ("a field may be missing", "Finding.cluster may be missing now"),
        ("an enumeration grows", "Severity may be worst now"),
        ("a record goes", "Progress is gone"),
        ("a field is added", None),
    ],
)
def test_a_change_breaks_consumers_or_it_does_not(change: str, why: str | None) -> None:
    found = list(breaking(documents()["findings.json"], changed(change)))
    assert found == ([why] if why else [])


def test_asyncapi_names_every_topic_and_its_schema() -> None:
    told = documents()[ASYNCAPI]
    assert set(told["channels"]) == set(TOPICS)
    for topic, channel in told["channels"].items():
        assert channel["messages"][topic]["payload"] == {"$ref": f"./{topic}.json"}
        assert {"ce_id", "ce_type"} <= set(channel["messages"][topic]["headers"]["properties"])
