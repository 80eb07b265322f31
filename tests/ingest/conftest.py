"""Raw objects as Kubernetes gives them, and the facts that carry them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingest.facts import Fact, fact_of

_GOLDEN = Path(__file__).parent / "golden"
AT = 1_760_000_000.0  # 2025-10-09T08:53:20Z, when everything in `golden` is heard


@pytest.fixture
def golden() -> Callable[[str], Any]:
    """Return a fresh copy of a raw object by its file's name."""
    return lambda name: json.loads((_GOLDEN / f"{name}.json").read_text())


@pytest.fixture
def fact() -> Callable[..., Fact]:
    """Make a fact of a raw object, heard at AT where nothing else is said."""

    def make(
        resource: Any, content: Any, word: Any = "MODIFIED", at: float = AT, **more: Any
    ) -> Fact:
        return fact_of(at, more.pop("cluster", "prod"), resource, word, content, **more)

    return make
