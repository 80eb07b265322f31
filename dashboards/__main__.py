"""Write the dashboards' JSON: ``python -m dashboards``."""

from __future__ import annotations

from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards import BOARDS

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Write every dashboard."""
    for name in BOARDS:
        (HERE / "json" / f"{name}.json").write_text(text_of(name), encoding="utf-8")


def text_of(name: str) -> str:
    """Return a dashboard's JSON, stable from run to run."""
    encoder = JSONEncoder(indent=2, sort_keys=True, ensure_ascii=False)
    return encoder.encode(BOARDS[name]().build()) + "\n"


if __name__ == "__main__":
    main()
