"""Sixty broken configurations: each is refused at its exact line, column and path, in one line.

The text between a case's lines is YAML; `expected` is what stands behind the file's name. What is
left out: whole files with several errors at once (`tests/config`, `test_config`).
"""

from pathlib import Path

import pytest

from forewarn.config import ConfigRejected, load

R = "alerting:\n  receivers:\n    a:\n"  # the start of a receiver
T = "alerting:\n  route:\n"

CASES = [
    # unknown and repeated keys
    ("clutser: x", "1:1: clutser: unknown key (hint: did you mean 'cluster'?)"),
    ("cluster: x\nwhatever: 1", "2:1: whatever: unknown key (hint: known here: alerting"),
    ("bus: rabbit", "1:6: bus: must be one of: embedded, kafka"),
    ("kafka:\n  bootstrap: []", "2:14: kafka.bootstrap: must not be empty"),
    (
        "kafka:\n  sasl: {mechanism: PLAIN, username: me}",
        "2:9: kafka.sasl: PLAIN needs username and one of password_file, password_env",
    ),
    ("kafka:\n  tls: {ca_file: /nowhere/ca.pem}", "2:18: kafka.tls.ca_file: file not found"),
    ("kafka: {min_insync_replicas: 4}", "1:8: kafka: min_insync_replicas is more than"),
    ("console:\n  prot: 1", "2:3: console.prot: unknown key (hint: did you mean 'port'?)"),
    ("log: {levle: info}", "1:7: log.levle: unknown key (hint: did you mean 'level'?)"),
    ("store:\n  retention:\n    pod: 1d", "3:5: store.retention.pod: unknown key (hint: did you"),
    ("operators:\n  restart: {}", "2:3: operators.restart: unknown key (hint: did you mean 'res"),
    ("operators:\n  nodes:\n    taint: 5m", "3:5: operators.nodes.taint: unknown key (hint: did"),
    ("alerting:\n  recievers: {}", "2:3: alerting.recievers: unknown key (hint: did you mean 'r"),
    (
        R + "      type: slack\n      ulr: x\n      url_env: A",
        "5:7: alerting.receivers.a.ulr: unkn",
    ),
    (
        R + "      type: terminal\n      url_env: A",
        "5:7: alerting.receivers.a.url_env: unknown key",
    ),
    (T + "    routes:\n      - matcher: []", "4:9: alerting.route.routes[0].matcher: unknown key"),
    ("cluster: a\ncluster: b", "2:1: cluster: key given twice, first on line 1"),
    ("log:\n  level: info\n  level: debug", "3:3: log.level: key given twice, first on line 2"),
    ("log: {}\nstore: {}\nlog: {}", "3:1: log: key given twice, first on line 1"),
    # out of bounds
    (
        "operators:\n  growth:\n    disk_warning: 7000",
        "3:19: operators.growth.disk_warning: must b",
    ),
    (
        "operators:\n  restarts: {count_window: -3}",
        "2:28: operators.restarts.count_window: must be",
    ),
    (
        "operators:\n  nodes: {not_ready_after: .nan}",
        "2:28: operators.nodes.not_ready_after: must b",
    ),
    (
        "operators:\n  growth: {disk_warning: 80, disk_critical: 50}",
        "2:11: operators.growth: disk_critical (50) is below disk_warning",
    ),
    # wrong types
    ("partitions: many", "1:13: partitions: must be a whole number"),
    ("partitions: 1.5", "1:13: partitions: must be a whole number"),
    ("partitions: [1]", "1:13: partitions: must be a whole number"),
    ("partitions:", "1:12: partitions: must be a whole number"),
    ("cluster: [a, b]", "1:10: cluster: must be a text"),
    ("cluster: 12", "1:10: cluster: must be a text"),
    ("console: 8080", "1:10: console: must be a mapping"),
    ("console:\n  - port", "2:3: console: must be a mapping"),
    ("console:\n  port: http", "2:9: console.port: must be a whole number"),
    ("operators: on", "1:12: operators: must be a mapping"),
    ("operators:\n  restarts: high", "2:13: operators.restarts: must be a mapping"),
    (
        "operators:\n  restarts:\n    ignore_exit_code_zero: maybe",
        "3:28: operators.restarts.ignore_exit_code_zero: must be true or false",
    ),
    (
        "operators:\n  restarts:\n    min_restarts: three",
        "3:19: operators.restarts.min_restarts: must be a whole number",
    ),
    (
        "operators:\n  restarts:\n    alert_score: high",
        "3:18: operators.restarts.alert_score: must be a number",
    ),
    ("alerting:\n  receivers: []", "2:14: alerting.receivers: must be a mapping"),
    ("alerting:\n  silences: none", "2:13: alerting.silences: must be a list"),
    ("- cluster", "1:1: must be a mapping"),
    ("just a text", "1:1: must be a mapping"),
    # out of range, not one of
    ("cluster: ''", "1:10: cluster: must not be empty"),
    ("cluster: a b", "1:10: cluster: must have the form"),
    ("partitions: 0", "1:13: partitions: must be at least 1"),
    ("console:\n  port: 70000", "2:9: console.port: must be at most 65535"),
    ("console:\n  host: 0.0.0.0", "2:9: console.host: refused: the console has no authentication"),
    ("console:\n  host: forewarn.example", "2:9: console.host: refused: the console has no auth"),
    ("log:\n  level: loud", "2:10: log.level: must be one of: debug, info, warning, error"),
    ("log:\n  format: jsn", "2:11: log.format: must be one of: auto, json, text (hint: did you m"),
    ("store:\n  synchronous: ful", "2:16: store.synchronous: must be one of: full, normal (hint"),
    (R + "      type: slak", "4:13: alerting.receivers.a.type: must be one of: terminal, file"),
    (R + "      url_env: A", "4:7: alerting.receivers.a: needs a 'type' (hint: one of: terminal"),
    (R + "      type: slack", "4:7: alerting.receivers.a: say exactly one of url, url_file and"),
    # durations and sizes
    ("tick_seconds: soon", "1:15: tick_seconds: not a duration; give seconds as a number, or a"),
    ("tick_seconds: 5 m", "1:15: tick_seconds: not a duration; give seconds as a number, or a"),
    ("tick_seconds: 10Gi", "1:15: tick_seconds: not a duration; give seconds as a number, or a"),
    ("tick_seconds: -1", "1:15: tick_seconds: must be at least 0.1"),
    ("tick_seconds: 1h", "1:15: tick_seconds: must be at most 600"),
    ("store:\n  retention:\n    pods: 1m", "3:11: store.retention.pods: must be at least 3600"),
    ("operators:\n  events:\n    hold: 2 hours", "3:11: operators.events.hold: not a duration"),
    (T + "    group_wait: soon", "3:17: alerting.route.group_wait: 'soon' is not a length of time"),
    # names that must be known, files that must be there
    (T + "    receivers: [pager]", "3:17: alerting.route.receivers[0]: there is no receiver 'page"),
    (
        R + "      type: slack\n      url_file: /no/such",
        "5:17: alerting.receivers.a.url_file: file",
    ),
    ("alerting:\n  rules:\n    restart-brust: {}", "3:5: alerting.rules.restart-brust: "),
    # variables
    ("cluster: ${NOT_SET}", "1:10: cluster: environment variable NOT_SET is not set (hint: set it"),
    ("cluster: ${NOT_SET:?name it}", "1:10: cluster: environment variable NOT_SET is not set: na"),
    ("cluster: a${", "1:10: cluster: '${' without a variable's name and '}'"),
    # the text itself
    ("console:\n\tport: 1", "2:1: a tab where YAML takes only spaces (hint: indent with spaces)"),
    ("cluster: [a", "1:12: not YAML: "),
    ("cluster: a: b", "1:11: not YAML: mapping values are not allowed here"),
    ("cluster: 'a", "1:12: not YAML: "),
    ("cluster: *nobody", "1:10: not YAML: found undefined alias 'nobody'"),
    ("cluster: !!python/name:os.system", "1:10: cluster: the tag "),
    ("a: 1\n---\nb: 2", "2:1: not YAML: "),
    ("console: &c\n  host: *c", "2:3: console.host: an alias refers to what it is part of"),
    ("cluster: \x07", "1:10: not YAML: a control character"),
]


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[repr(text)[:50] for text, _ in CASES])
def test_a_broken_configuration_is_refused_at_its_place(tmp_path: Path, text, expected):
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(ConfigRejected) as refused:
        load(file, {})
    lines = str(refused.value).replace(str(file), "config.yaml").splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"config.yaml:{expected}")


def test_there_are_sixty_of_them():
    assert len(CASES) >= 60
