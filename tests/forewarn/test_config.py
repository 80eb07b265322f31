"""The configuration as a whole: files that are good, files that are bad, what the variables do.

Left out: single mistakes and their places (`test_config_errors`).
"""

import json
from pathlib import Path

import pytest

from forewarn.config import Config, ConfigRejected, load
from forewarn.schema import json_schema, reference
from stream.errors import Rejected

FILES = Path(__file__).resolve().parent.parent / "config"
SEEDS = {
    "CLUSTER_NAME": "prod",
    "WEBHOOK_URL": "https://qyapi.weixin.qq.com/canary",
    "DINGTALK_WEBHOOK_URL": "https://oapi.dingtalk.com/canary",
    "DINGTALK_SECRET": "SECcanary",
    "MUTE_SECONDS": "30",
    "IGNORE_RESTART_COUNT": "1",
    "IGNORE_EXIT_CODE_ZERO": "false",
}


def text(tmp_path: Path, written: str) -> Path:
    file = tmp_path / "config.yaml"
    file.write_text(written)
    return file


@pytest.mark.parametrize("file", sorted(FILES.glob("good-*.yaml")), ids=lambda file: file.stem)
def test_a_good_file_is_read(file):
    assert isinstance(load(file, {}), Config)


@pytest.mark.parametrize("file", sorted(FILES.glob("bad-*.yaml")), ids=lambda file: file.stem)
def test_a_bad_file_is_refused_with_all_its_mistakes_at_once(file):
    with pytest.raises(Rejected) as refused:
        load(file, {})
    said = str(refused.value).replace(str(file), file.name)
    assert said + "\n" == file.with_suffix(".txt").read_text()


def test_no_file_and_an_empty_file_are_the_defaults(tmp_path):
    assert load(None, {}) == load(text(tmp_path, ""), {}) == Config()


def test_a_missing_file_and_one_that_is_no_text_are_said(tmp_path):
    with pytest.raises(ConfigRejected, match=r"nowhere.yaml: cannot be read: No such file"):
        load(tmp_path / "nowhere.yaml", {})
    (tmp_path / "image.yaml").write_bytes(b"\xff\xfe\xfd")
    with pytest.raises(ConfigRejected, match="is not UTF-8 text"):
        load(tmp_path / "image.yaml", {})


def test_everything_stands_where_it_should():
    config = load(FILES / "good-everything.yaml", {"CLUSTER": "blue", "PARTITIONS": "8"})
    assert config.cluster == "blue"
    assert config.partitions == 8
    assert config.operators.restarts.quiet == 450.0
    assert config.operators.restarts.alert_score is None
    assert config.store.retention.by_topic()["node-metrics"] == 129_600.0
    assert config.alerting.route.routes[0].repeat_interval == 86_400.0
    assert config.alerting.receivers["night"].url_env == "DINGTALK_WEBHOOK_URL"


def test_a_variable_never_becomes_structure(tmp_path):
    file = text(tmp_path, "cluster: ${NAME}\n")
    assert load(file, {"NAME": "a:{b}"}).cluster == "a:{b}"
    with pytest.raises(ConfigRejected, match="cluster: must have the form"):
        load(file, {"NAME": "a\nconsole: {host: 0.0.0.0}"})


def test_dollars_of_regular_expressions_survive(tmp_path):
    written = (
        "alerting: {receivers: {a: {type: terminal}}, route: {receivers: [a], routes: "
        "[{matchers: ['namespace=~\"^dev-.*$\"'], receivers: [a]}]}}"
    )
    route = load(text(tmp_path, written), {}).alerting.route.routes[0]
    assert route.matchers[0].value == "^dev-.*$"


def test_the_names_of_the_seeds_are_honoured():
    config = load(None, SEEDS)
    assert config.cluster == "prod"
    assert sorted(config.alerting.receivers) == ["dingtalk", "wecom"]
    assert config.alerting.receivers["dingtalk"].secret_env == "DINGTALK_SECRET"
    assert config.alerting.route.receivers == ("wecom", "dingtalk")
    assert config.alerting.grouping.group_interval == 30.0
    assert config.operators.restarts.count_threshold == 2
    assert config.operators.restarts.ignore_exit_code_zero is False
    assert "canary" not in repr(config)


def test_the_file_wins_over_the_names_of_the_seeds(tmp_path):
    config = load(FILES / "good-small.yaml", SEEDS)
    assert config.cluster == "prod-eu"
    assert sorted(config.alerting.receivers) == ["oncall", "terminal"]


def test_a_variable_of_the_seeds_that_is_wrong_is_named():
    with pytest.raises(ConfigRejected, match="environment: MUTE_SECONDS: must be a whole number"):
        load(None, {"MUTE_SECONDS": "half a minute"})


def test_receivers_without_a_route_hear_of_everything(tmp_path):
    file = text(tmp_path, "alerting: {receivers: {a: {type: terminal}}}")
    assert load(file, {}).alerting.route.receivers == ("a",)


@pytest.mark.parametrize(
    "receiver",
    [
        "{type: slack, url: 'canary-1234', url_file: /canary-1234}",
        "{type: slack, url: [canary-1234]}",
        "{type: canary-1234, url: 'canary-1234'}",
        "{type: dingtalk, url_env: A, secret: 'canary-1234', secret_env: B}",
        "{type: slack, url: '${HOOK}', limit: {messages: '${HOOK}'}}",
    ],
)
def test_no_error_holds_a_secret(tmp_path, receiver):
    file = text(tmp_path, f"alerting: {{receivers: {{a: {receiver}}}}}")
    with pytest.raises(ConfigRejected) as refused:
        load(file, {"HOOK": "canary-1234"})
    assert "canary-1234" not in str(refused.value)


def test_aliases_of_aliases_are_refused_quickly(tmp_path):
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(ConfigRejected, match="aliases make this document larger"):
        load(text(tmp_path, "\n".join(rows)), {})


def test_the_schema_is_json_and_takes_durations_as_text():
    schema = json.loads(json.dumps(json_schema()))
    assert {"type": "string"}.items() <= schema["properties"]["tick_seconds"]["anyOf"][1].items()
    assert schema["additionalProperties"] is False


def test_the_reference_is_current(root):
    how = (
        "python -c 'from forewarn.schema import reference; print(reference(), end=\"\")' "
        "> docs/configuration.md"
    )
    assert (root / "docs" / "configuration.md").read_text() == reference(), f"run: {how}"
