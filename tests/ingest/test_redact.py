"""No secret leaves ingest, and what is no secret stays readable."""

import random
import string
import time

import pytest

from ingest.redact import MASK, cleaned, redact

WORD = string.ascii_letters + string.digits
SHAPES = [
    "login failed: password={s}",
    'config {{"client_secret": "{s}"}} is wrong',
    "PGPASSWORD={s} psql -h db",
    "curl -H 'Authorization: Bearer {s}'",
    "Authorization: Basic {s}==",
    "dial postgres://app:{s}@db:5432/shop: refused",
    "amqp://guest:{s}@mq",
    "api_key={s}&x=1",
    "token: {s}",
    "AWS_SECRET_ACCESS_KEY={s}",
    "key AKIA{u} was used",
    "ghp_{s}{s} is not allowed",
    "xoxb-{d}-{s}",
    "jwt eyJ{s}.eyJ{s}.{s}",
    "https://hooks.slack.com/services/T{u}/B{u}/{s}",
]
HARMLESS = [
    "Back-off restarting failed container {w} in pod {w}-7d9f8b6c5-x2x4v_shop({i})",
    'MountVolume.SetUp failed for volume "kube-api-access-{w}" : secret "{w}" not found',
    'Readiness probe failed: Get "http://10.1.2.3:8080/{w}": dial tcp: connection refused',
    "Successfully assigned shop/{w} to node-{n}",
    'Pulling image "registry.example.com:5000/{w}:v1.{n}"',
    "0/5 nodes are available: 3 Insufficient memory, 2 node(s) had untolerated taint {w}",
    "token expired: renewing for {w}",
    "The node was low on resource: ephemeral-storage. Usage 17592186044416, limit {n}",
    "secrets is forbidden: User cannot list resource",
    "authentication handler {w} started at 2026-11-21T09:05:55.606Z pid {n}",
]


def filled(shape: str, chance: random.Random) -> tuple[str, str]:
    secret = "".join(chance.choices(WORD, k=15)) + "7Q"
    upper = "".join(chance.choices(string.ascii_uppercase + string.digits, k=16))
    text = shape.format(s=secret, u=upper, d=chance.randrange(10**10, 10**11))
    return text, upper if "{s}" not in shape else secret


def test_two_hundred_secrets_are_masked_and_their_surroundings_stay() -> None:
    chance = random.Random(4)
    for number in range(200):
        text, secret = filled(SHAPES[number % len(SHAPES)], chance)
        masked = redact(text)
        assert secret not in masked, text
        assert MASK in masked
        assert redact(masked) == masked
    assert redact("login failed, password=hunter2, user=app") == (
        "login failed, password=<redacted>, user=app"
    )


def test_of_two_thousand_harmless_lines_none_is_touched() -> None:
    chance = random.Random(5)
    for number in range(2_000):
        word = "".join(chance.choices(string.ascii_lowercase, k=8))
        uid = f"{chance.getrandbits(128):032x}"
        text = HARMLESS[number % len(HARMLESS)].format(w=word, n=chance.randrange(10**6), i=uid)
        assert redact(text) == text


def test_a_private_key_goes_whole_even_if_its_end_is_cut() -> None:
    text = "read -----BEGIN RSA PRIVATE KEY-----\nMIIEow\nabc"
    assert redact(text) == f"read {MASK}"
    assert redact(text + "\n-----END RSA PRIVATE KEY----- ok") == f"read {MASK} ok"


def test_card_numbers_are_told_from_other_numbers_by_their_check_digit() -> None:
    assert redact("card 4111 1111 1111 1111 declined") == f"card {MASK} declined"
    assert redact("offset 4111111111111112") == "offset 4111111111111112"


def test_values_are_masked_by_the_names_beside_them() -> None:
    spec = {
        "env": [{"name": "DB_PASSWORD", "value": "x"}, {"name": "MODE", "value": "fast"}],
        "args": ["--token", "abc", "--port", "80", "--password=y1"],
        "ref": {"name": "API_TOKEN", "valueFrom": {"secretKeyRef": {"name": "s"}}},
    }
    assert cleaned(spec) == {
        "env": [{"name": "DB_PASSWORD", "value": MASK}, {"name": "MODE", "value": "fast"}],
        "args": ["--token", MASK, "--port", "80", f"--password={MASK}"],
        "ref": {"name": "API_TOKEN", "valueFrom": {"secretKeyRef": {"name": "s"}}},
    }


ATTACKS = ["password", "password:a", "password=", 'password="', "bearer ", "://", "://a:b"]
ATTACKS += ["eyJ" + "a" * 9 + ".", "4111-", "sk-", "ghp_", "-----BEGIN PRIVATE KEY-----"]


@pytest.mark.parametrize("attack", ATTACKS)
def test_time_grows_with_the_length_and_no_faster(attack: str) -> None:
    def cost(size: int) -> float:
        text = attack * (size // len(attack))
        began = time.process_time()
        redact(text)
        return time.process_time() - began

    small, large = cost(50_000), cost(400_000)
    assert large < 40 * small + 0.05  # eight times as long; a quadratic one would take 64
