"""OAUTHBEARER for real: a broker that checks signatures against the keys of an identity provider.

The provider is a small real one: HTTP, client credentials, tokens signed with RS256 by openssl.
"""

import base64
import json
import shutil
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from stream.bus import Outgoing, Position, TopicSpec
from stream.errors import ForewarnError, Rejected, Unavailable
from stream.kafka import KafkaBus
from stream.kafka_settings import KafkaSasl, KafkaSettings
from tests.conftest import missing
from tests.kafka_broker import Broker, free_ports

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

SECRET = "client canary/+ü"  # what needs to be encoded, too
HANDLERS = "org.apache.kafka.common.security.oauthbearer"
CHECKED = """
listeners=SASL_PLAINTEXT://127.0.0.1:@BROKER@,INSIDE://127.0.0.1:{inside},\
CONTROLLER://127.0.0.1:@CONTROLLER@
advertised.listeners=SASL_PLAINTEXT://127.0.0.1:@BROKER@,INSIDE://127.0.0.1:{inside}
listener.security.protocol.map=SASL_PLAINTEXT:SASL_PLAINTEXT,INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=INSIDE
sasl.enabled.mechanisms=OAUTHBEARER
listener.name.sasl_plaintext.oauthbearer.sasl.jaas.config=\
{handlers}.OAuthBearerLoginModule required;
listener.name.sasl_plaintext.oauthbearer.sasl.server.callback.handler.class=\
{handlers}.OAuthBearerValidatorCallbackHandler
listener.name.sasl_plaintext.oauthbearer.sasl.oauthbearer.jwks.endpoint.url={url}/jwks
listener.name.sasl_plaintext.oauthbearer.sasl.oauthbearer.expected.audience=kafka
listener.name.sasl_plaintext.oauthbearer.sasl.oauthbearer.expected.issuer=tests
"""


def plain(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Provider(ThreadingHTTPServer):
    """Knows one client and one key."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Asked)
        self.key = folder / "key.pem"
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.asked: list[dict[str, list[str]]] = []
        self.audience = "kafka"
        self.broken = 0
        subprocess.run(
            ["openssl", "genrsa", "-out", self.key, "2048"], check=True, capture_output=True
        )

    def jwks(self) -> dict[str, Any]:
        told = subprocess.run(
            ["openssl", "rsa", "-in", self.key, "-noout", "-modulus"],
            check=True,
            capture_output=True,
            text=True,
        )
        modulus = bytes.fromhex(told.stdout.strip().partition("=")[2])
        key = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "k1"}
        return {"keys": [{**key, "n": plain(modulus), "e": plain(b"\x01\x00\x01")}]}

    def token(self) -> str:
        now = int(time.time())  # noqa: TID251  # the broker's clock is the real one
        claims = {"iss": "tests", "sub": "forewarn", "aud": self.audience, "scope": "kafka"}
        parts = [{"alg": "RS256", "kid": "k1"}, {**claims, "iat": now, "exp": now + 300}]
        text = ".".join(plain(json.dumps(part).encode()) for part in parts)
        signed = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", self.key],
            input=text.encode(),
            check=True,
            capture_output=True,
        )
        return f"{text}.{plain(signed.stdout)}"


class Asked(BaseHTTPRequestHandler):
    server: Provider

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer(200, self.server.jwks())

    def do_POST(self) -> None:
        form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.server.asked.append(form)
        kind, _, given = self.headers["Authorization"].partition(" ")
        name, _, secret = base64.b64decode(given).decode().partition(":")
        pair = (kind, urllib.parse.unquote_plus(name), urllib.parse.unquote_plus(secret))
        if self.server.broken:
            self._answer(self.server.broken, {"error": "server_error"})
        elif pair != ("Basic", "forewarn", SECRET):
            self._answer(401, {"error": "invalid_client"})
        else:
            self._answer(200, {"access_token": self.server.token(), "expires_in": 300})

    def _answer(self, code: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    if shutil.which("openssl") is None:
        missing("openssl", "install it")
    with Provider(tmp_path_factory.mktemp("provider")) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield server
        server.shutdown()
        serving.join()


@pytest.fixture(scope="module")
def checking(
    kafka_home: Path, provider: Provider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Broker]:
    [inside] = free_ports(1)
    extra = CHECKED.format(inside=inside, handlers=HANDLERS, url=provider.url)
    broker = Broker(kafka_home, tmp_path_factory.mktemp("oauth"), extra)
    with pytest.MonkeyPatch.context() as patch:
        allowed = f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={provider.url}/jwks"
        patch.setenv("JAVA_TOOL_OPTIONS", allowed)
        broker.start()
    yield broker
    broker.stop()


def settings(broker: Broker, provider: Provider, folder: Path, secret: str) -> KafkaSettings:
    file = folder / "secret"
    file.write_text(secret)
    return KafkaSettings(
        bootstrap=(broker.address,),
        prefix="oauth.",
        replication_factor=1,
        request_timeout=5.0,
        security_protocol="SASL_PLAINTEXT",
        sasl=KafkaSasl(
            mechanism="OAUTHBEARER",
            username="forewarn",
            password_file=file,
            token_url=f"{provider.url}/token",
            scope="kafka",
        ),
    )


async def test_a_signed_token_opens_the_broker_and_is_asked_for_once(
    checking: Broker, provider: Provider, tmp_path: Path
) -> None:
    provider.asked.clear()
    async with KafkaBus.open(settings(checking, provider, tmp_path, SECRET)) as bus:
        await bus.ensure([TopicSpec("in", 1, None)])
        await bus.publish([Outgoing("in", 0, b"k", b"v")], Position("s", b"1"))
        assert await bus.position("s") == b"1"
        owner = await bus.own("app", 0, ["in"])
        await owner.commit([], {b"k": b"v"}, {})
        assert dict(await owner.changelog()) == {b"k": b"v"}
    assert provider.asked == [{"grant_type": ["client_credentials"], "scope": ["kafka"]}]


async def test_a_token_in_a_file_does_as_well(
    checking: Broker, provider: Provider, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(provider.token())
    given = settings(checking, provider, tmp_path, SECRET)
    sasl = KafkaSasl(mechanism="OAUTHBEARER", token_file=tmp_path / "token")
    async with KafkaBus.open(given.model_copy(update={"sasl": sasl})) as bus:
        await bus.ensure([TopicSpec("in", 1, None)])


async def test_a_token_for_somebody_else_is_refused_by_the_broker(
    checking: Broker, provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider, "audience", "others")
    given = settings(checking, provider, tmp_path, SECRET)
    with pytest.raises(Rejected, match="it refuses the token") as refused:
        async with KafkaBus.open(given.model_copy(update={"request_timeout": 1.0})):
            pass
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    ("broken", "secret", "kind", "said"),
    [
        (0, "a wrong canary", Rejected, "HTTP 401; see username"),
        (503, SECRET, Unavailable, "HTTP 503"),
    ],
)
async def test_a_provider_that_gives_none_is_named_and_the_secret_is_not(
    checking: Broker,
    provider: Provider,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    broken: int,
    secret: str,
    kind: type[ForewarnError],
    said: str,
) -> None:
    monkeypatch.setattr(provider, "broken", broken)
    with pytest.raises(kind, match=said) as refused:
        async with KafkaBus.open(settings(checking, provider, tmp_path, secret)):
            pass
    assert "canary" not in str(refused.value)
