"""Loads the recipe's scripts, which are no package, and reads the finished tape once."""

from __future__ import annotations

import importlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard

TAPES = Path(__file__).parents[2] / "examples" / "tapes"


def load(name: str) -> Any:
    sys.path.insert(0, str(TAPES))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(TAPES))


@pytest.fixture(scope="session")
def stretch() -> Any:
    return load("stretch")


@pytest.fixture(scope="session")
def recorder() -> Any:
    return load("recorder")


@pytest.fixture(scope="session")
def pods_module() -> Any:
    return load("pods")


@pytest.fixture(scope="session")
def census() -> Any:
    return load("census")


@pytest.fixture(scope="session")
def usage() -> Any:
    return load("usage")


class Fact(msgspec.Struct):
    at: float
    cluster: str
    resource: str
    type: str
    object: msgspec.Raw
    node: str = ""


@pytest.fixture(scope="session")
def tape() -> list[Fact]:
    """Every line of the demo tape, objects still in bytes."""
    decoder = msgspec.json.Decoder(Fact)
    with zstandard.open(TAPES / "demo.tape.zst", "rb") as file:
        return [decoder.decode(line) for line in io.BufferedReader(file, 1 << 20)]


@pytest.fixture(scope="session")
def truth() -> dict[str, dict[str, Any]]:
    labels = json.loads((TAPES / "demo.truth.json").read_text())
    return {label["id"]: label for label in labels}
