"""The configuration: whole by default, everything wrong with it said when it is read."""

from __future__ import annotations

from typing import Any

import pytest

from alerting.channels import CHANNELS
from alerting.config import AlertingConfig
from alerting.rules import RULES
from stream.testing import ManualClock


def test_the_default_is_whole_and_goes_to_the_terminal() -> None:
    config = AlertingConfig()
    assert list(config.channels(ManualClock())) == ["terminal"]
    assert config.policy().routes.leaf.receivers == ("terminal",)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"route": {"receiver": "opps"}, "receivers": {"ops": {"type": "terminal"}}}, "mean 'ops'"),
        ({"rules": {"restart-brust": {}}}, "mean 'restart-burst'"),
        ({"rules": {"restart-burst": {"for": "5 minutes"}}}, "5m"),
        ({"route": {"receiver": "terminal", "mute_times": ["nights"]}}, "time interval 'nights'"),
        ({"route": {}}, "needs a receiver"),
        ({"receivers": {"terminal": {"type": "pigeon"}}}, "'terminal', 'file'"),
        ({"receivers": {"terminal": {"type": "slack"}}}, "exactly one of url"),
        ({"colour": "red"}, "Extra inputs"),
        (
            {
                "silences": [
                    {"matchers": ["a=b"], "from": "2025-01-01T00:00:00", "until": 1, "comment": "x"}
                ]
            },
            "timezone",
        ),
        (
            {
                "receivers": {
                    "terminal": {"type": "webhook", "url": "u", "secret": "a", "secret_env": "b"}
                }
            },
            "at most one of secret",
        ),
        (
            {"inhibit": {"rules": [{"source_matchers": ["(=x"], "target_matchers": ["a=b"]}]}},
            "matcher",
        ),
    ],
)
def test_what_is_wrong_is_said_with_what_would_be_right(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("(", r"\(")):
        AlertingConfig.model_validate(values)


def test_every_setting_describes_itself_for_the_reference() -> None:
    schema = AlertingConfig.model_json_schema()
    silent = [
        f"{name}.{field}"
        for name, model in {"": schema, **schema["$defs"]}.items()
        for field, value in model.get("properties", {}).items()
        if "description" not in value and field != "type"
    ]
    assert not silent


def test_every_channel_of_the_table_can_be_configured() -> None:
    schema = AlertingConfig.model_json_schema()
    assert set(
        schema["properties"]["receivers"]["additionalProperties"]["discriminator"]["mapping"]
    ) == set(CHANNELS)


def test_alertmanagers_example_is_read() -> None:
    config = AlertingConfig.model_validate(
        {
            "route": {
                "receiver": "terminal",
                "group_wait": "30s",
                "repeat_interval": "3h",
                "routes": [
                    {
                        "matchers": ['severity=~"critical|warning"'],
                        "receiver": "ops",
                        "continue": False,
                    }
                ],
            },
            "receivers": {
                "terminal": {"type": "terminal"},
                "ops": {"type": "webhook", "url_file": "/etc/forewarn/url", "send_resolved": True},
            },
            "inhibit": {
                "rules": [
                    {
                        "source_matchers": ['severity="critical"'],
                        "target_matchers": ['severity="warning"'],
                        "equal": ["rule", "namespace"],
                    }
                ]
            },
        }
    )
    assert len(config.policy().inhibit) > 1


def test_the_rules_are_those_that_operators_send() -> None:
    assert "restart-burst" in RULES
    assert all(text[0].islower() or text.startswith("Kubernetes") for text in RULES.values())
