"""Every row of `CHANNELS`, against a real HTTP server on the loopback that answers by a script.

What a channel must do with each answer, what it must never show, what it must make harmless, how
long it may be. Leaves out retries and the ledger (`tests/alerting/test_delivery.py`).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import io
import json
import logging
import re
import traceback
from collections.abc import AsyncIterator, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import msgspec
import pytest
from aiohttp import web

from alerting.alert import Alert, Cause, Incident, Notification, Reason, State
from alerting.channels import CHANNELS, Channel, ChannelConfig
from alerting.channels.base import WebConfig
from alerting.channels.terminal import TerminalConfig
from alerting.channels.webhook import sign
from alerting.outbound import Outbound
from alerting.testing import CHECKOUT
from stream.errors import Rejected, Unavailable
from stream.records import Part, Severity
from stream.testing import ManualClock

NOW = 1_760_000_000.0
CANARY = "c4n4ry"
WEB = [name for name, config in CHANNELS.items() if issubclass(config, WebConfig)]
SIGNED = ["dingtalk", "webhook"]
GOOD = {"slack": "ok", "dingtalk": '{"errcode":0}', "wecom": '{"errcode":0}', "webhook": ""}


def notification(
    title: str = "Warning: it restarts", text: str = "What: it restarts"
) -> Notification:
    alert = Alert(
        fingerprint="ab",
        rule="restart-burst",
        cluster="prod",
        object=CHECKOUT,
        severity=Severity.WARNING,
        labels={"rule": "restart-burst", "namespace": "shop"},
        summary=title,
        starts_at=NOW - 60,
        updated_at=NOW,
        expected_at=NOW + 3600,
        because=(Part("count", 12.0, text),),
    )
    incident = Incident(
        id="i1",
        cluster="prod",
        rule="restart-burst",
        object=CHECKOUT,
        severity=Severity.WARNING,
        state=State.FIRING,
        opened_at=NOW - 60,
        updated_at=NOW,
        summary=title,
        alerts=(alert,),
        cause=Cause(kind="release", odds=0.8, text=text, at=NOW - 120),
    )
    return Notification(
        id="n1",
        at=NOW,
        channel="ops",
        incident="i1",
        kind="firing",
        reason=Reason.FIRST_NOTIFICATION,
        severity=Severity.WARNING,
        cluster="prod",
        title=title,
        text=text,
        incidents=(incident,),
    )


class Server:
    """Answers by a script and remembers what it was asked."""

    def __init__(self) -> None:
        self.status, self.body, self.headers = 200, b"", {}
        self.hang = False
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.port = 0

    def answers(self, status: int, body: str | bytes = b"", **headers: str) -> Server:
        self.status = status
        self.body = body.encode() if isinstance(body, str) else body
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return self

    async def handle(self, request: web.Request) -> web.Response:
        self.requests.append((request.path_qs, dict(request.headers), await request.read()))
        if self.hang:
            await asyncio.Event().wait()
        return web.Response(status=self.status, body=self.body, headers=self.headers)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    scripted = Server()
    app = web.Application(client_max_size=2**24)
    app.router.add_route("*", "/{path:.*}", scripted.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    scripted.port = runner.addresses[0][1]
    yield scripted
    await runner.cleanup()


def config_of(kind: str, tmp_path: Path, port: int = 9, scheme: str = "http") -> ChannelConfig:
    values: dict[str, Any] = {}
    if kind in WEB:
        url = f"{scheme}://127.0.0.1:{port}/{CANARY}-path?access_token={CANARY}-token"
        values = {"url": url, "allow_host": ["127.0.0.1"], "allow_private": True}
    if kind in SIGNED:
        values["secret"] = f"{CANARY}-secret"
    if kind == "file":
        values["path"] = tmp_path / "out.jsonl"
    return CHANNELS[kind].model_validate({"type": kind, **values})


def build(kind: str, tmp_path: Path, port: int = 9, scheme: str = "http") -> Channel:
    config = config_of(kind, tmp_path, port, scheme)
    if isinstance(config, TerminalConfig):
        return config.build("ops", ManualClock(NOW), file=io.StringIO())
    channel = config.build("ops", ManualClock(NOW))
    if isinstance(config, WebConfig):
        channel._outbound = Outbound(  # type: ignore[attr-defined]
            ManualClock(NOW),
            hosts=("127.0.0.1",),
            allow_private=True,
            connect_timeout=0.3,
            total_timeout=0.5,
        )
    return channel


async def outcome(channel: Channel, note: Notification | None = None) -> Exception | None:
    try:
        await channel.notify(note or notification())
    except (Unavailable, Rejected) as error:
        return error
    finally:
        await channel.aclose()
    return None


# ---- success and failure ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CHANNELS)
async def test_a_message_that_is_taken_is_a_success(
    kind: str, server: Server, tmp_path: Path
) -> None:
    server.answers(200, GOOD.get(kind, ""))
    assert await outcome(build(kind, tmp_path, server.port)) is None
    assert len(server.requests) == (1 if kind in WEB else 0)


@pytest.mark.parametrize("kind", CHANNELS)
async def test_a_channel_has_a_name_a_budget_and_a_wish_for_resolved_notices(
    kind: str, tmp_path: Path
) -> None:
    channel = build(kind, tmp_path)
    assert channel.name == "ops"
    assert channel.limit.messages > 0
    assert channel.limit.window > 0
    assert channel.send_resolved is True
    await channel.aclose()


@pytest.mark.parametrize("kind", WEB)
@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [("7", 7.0), (formatdate(NOW + 90, usegmt=True), 90.0), ("soon", None), ("", None)],
)
async def test_too_many_requests_waits_as_long_as_it_says(
    kind: str, retry_after: str, seconds: float | None, server: Server, tmp_path: Path
) -> None:
    headers = {"Retry_After": retry_after} if retry_after else {}
    server.answers(429, "slow down", **headers)
    error = await outcome(build(kind, tmp_path, server.port))
    assert isinstance(error, Unavailable)
    assert error.retry_after == seconds


@pytest.mark.parametrize("kind", WEB)
@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
async def test_trouble_on_the_other_side_is_tried_again(
    kind: str, status: int, server: Server, tmp_path: Path
) -> None:
    server.answers(status, GOOD[kind])
    assert isinstance(await outcome(build(kind, tmp_path, server.port)), Unavailable)


@pytest.mark.parametrize("kind", WEB)
@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 403, 404, 410])
async def test_a_refusal_is_final_and_a_redirect_is_not_followed(
    kind: str, status: int, server: Server, tmp_path: Path
) -> None:
    server.answers(status, "no_service", Location=f"http://127.0.0.1:{server.port}/elsewhere")
    assert isinstance(await outcome(build(kind, tmp_path, server.port)), Rejected)
    assert len(server.requests) == 1


@pytest.mark.parametrize("kind", WEB)
async def test_no_answer_in_time_is_tried_again(kind: str, server: Server, tmp_path: Path) -> None:
    server.hang = True
    assert isinstance(await outcome(build(kind, tmp_path, server.port)), Unavailable)


@pytest.mark.parametrize("kind", WEB)
async def test_a_refused_connection_is_tried_again(
    kind: str, unused_tcp_port: int, tmp_path: Path
) -> None:
    assert isinstance(await outcome(build(kind, tmp_path, unused_tcp_port)), Unavailable)


@pytest.mark.parametrize("kind", WEB)
async def test_failing_tls_is_tried_again_and_never_without(
    kind: str, server: Server, tmp_path: Path
) -> None:
    error = await outcome(build(kind, tmp_path, server.port, scheme="https"))
    assert isinstance(error, Unavailable)
    assert not server.requests


@pytest.mark.parametrize("kind", WEB)
async def test_an_endless_answer_is_not_read_to_its_end(
    kind: str, server: Server, tmp_path: Path
) -> None:
    server.answers(200, b"x" * 10 * 2**20)
    error = await outcome(build(kind, tmp_path, server.port))
    # A webhook's status says all; who answers in words and says none of them has refused.
    assert error is None if kind == "webhook" else isinstance(error, Rejected)


@pytest.mark.parametrize(
    ("kind", "body", "failure", "retry_after"),
    [
        ("slack", "invalid_payload", Rejected, None),
        ("dingtalk", '{"errcode":310000,"errmsg":"sign not match"}', Rejected, None),
        ("dingtalk", '{"errcode":130101,"errmsg":"send too fast"}', Unavailable, 600.0),
        ("dingtalk", '{"errcode":410100,"errmsg":"send too fast"}', Unavailable, 600.0),
        ("dingtalk", '{"errcode":-1,"errmsg":"busy"}', Unavailable, None),
        ("dingtalk", '{"errcode":400035}', Rejected, None),
        ("dingtalk", "{}", Rejected, None),
        ("dingtalk", "<html>", Rejected, None),
        ("wecom", '{"errcode":93000,"errmsg":"invalid webhook url"}', Rejected, None),
        ("wecom", '{"errcode":45009,"errmsg":"api freq out of limit"}', Unavailable, 600.0),
        ("wecom", '{"errcode":"0"}', Rejected, None),
        ("wecom", "[]", Rejected, None),
    ],
)
async def test_success_is_what_the_service_says_not_the_status(
    kind: str,
    body: str,
    failure: type[Exception],
    retry_after: float | None,
    server: Server,
    tmp_path: Path,
) -> None:
    server.answers(200, body)
    error = await outcome(build(kind, tmp_path, server.port))
    assert type(error) is failure
    assert getattr(error, "retry_after", None) == retry_after


async def test_a_refused_dingtalk_signature_points_at_the_clock(
    server: Server, tmp_path: Path
) -> None:
    server.answers(200, '{"errcode":310000}')
    assert "clock" in str(await outcome(build("dingtalk", tmp_path, server.port)))


# ---- what is sent -------------------------------------------------------------------------------


async def test_dingtalk_signs_with_the_secret_as_key(server: Server, tmp_path: Path) -> None:
    server.answers(200, GOOD["dingtalk"])
    await outcome(build("dingtalk", tmp_path, server.port))
    (path, headers, body) = server.requests[0]
    secret = f"{CANARY}-secret"
    mac = hmac.new(secret.encode(), f"1760000000000\n{secret}".encode(), hashlib.sha256).digest()
    assert f"&timestamp=1760000000000&sign={quote_plus(base64.b64encode(mac))}" in path
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body)["msgtype"] == "markdown"


async def test_a_webhook_is_signed_as_standard_webhooks_says(
    server: Server, tmp_path: Path
) -> None:
    server.answers(204)
    assert await outcome(build("webhook", tmp_path, server.port)) is None
    (_, headers, body) = server.requests[0]
    signed = b"n1.1760000000." + body
    mac = hmac.new(f"{CANARY}-secret".encode(), signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(mac).decode()}"
    assert headers["webhook-id"] == headers["Idempotency-Key"] == "n1"
    document = json.loads(body)
    assert document["version"] == "4"
    assert document["status"] == "firing"
    assert document["alerts"][0]["labels"]["alertname"] == "restart-burst"
    assert document["alerts"][0]["endsAt"] == "0001-01-01T00:00:00Z"
    assert document["forewarn"]["id"] == "n1"


async def test_a_base64_secret_signs_with_its_bytes() -> None:
    key = b"\x01\x02binary"
    mac = hmac.new(key, b"x", hashlib.sha256).digest()
    secret = "whsec_" + base64.b64encode(key).decode()
    assert sign(secret, b"x") == base64.b64encode(mac).decode()


async def test_a_file_is_reopened_after_rotation_and_a_torn_line_is_closed(
    tmp_path: Path,
) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(b'{"torn": ')
    channel = build("file", tmp_path)
    await channel.notify(notification())
    path.rename(tmp_path / "out.1")
    await channel.notify(notification())
    await channel.aclose()
    assert json.loads((tmp_path / "out.1").read_bytes().splitlines()[1])["id"] == "n1"
    assert len(path.read_bytes().splitlines()) == 1


async def test_a_file_that_cannot_be_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").mkdir()
    assert isinstance(await outcome(build("file", tmp_path)), Rejected)


async def test_a_terminal_shows_a_panel_to_a_person_and_one_line_to_a_pipe() -> None:
    pipe = io.StringIO()
    channel = TerminalConfig(width=80).build("t", ManualClock(NOW), file=pipe)
    await channel.notify(notification())
    assert pipe.getvalue() == "firing: Warning: it restarts\n"


# ---- secrets ------------------------------------------------------------------------------------


def everything_about(error: BaseException) -> Iterator[str]:
    seen: list[BaseException] = []
    queue: list[BaseException | None] = [error]
    while queue:
        one = queue.pop()
        if one is None or one in seen:
            continue
        seen.append(one)
        yield repr(one) + str(one) + repr(vars(one)) + "".join(traceback.format_exception(one))
        queue += [one.__cause__, one.__context__]


@pytest.mark.parametrize("kind", WEB)
@pytest.mark.parametrize("trouble", ["404", "429", "500", "refused", "tls", "hang", "loop"])
async def test_no_secret_is_ever_shown(
    kind: str,
    trouble: str,
    server: Server,
    unused_tcp_port: int,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    port = unused_tcp_port if trouble == "refused" else server.port
    if trouble.isdigit():
        server.answers(int(trouble), f"your url {CANARY}-path is wrong")
    server.hang = trouble == "hang"
    if trouble == "loop":
        server.answers(302, "", Location=f"http://127.0.0.1:{port}/{CANARY}")
    config = config_of(kind, tmp_path, port)
    channel = build(kind, tmp_path, port, "https" if trouble == "tls" else "http")
    error = await outcome(channel)
    assert error is not None
    shown = [*everything_about(error), caplog.text, repr(channel), str(vars(channel))]
    shown += [repr(config), str(config), config.model_dump_json(), repr(config.model_dump())]
    shown.append(channel.render(notification()))
    assert not [text for text in shown if CANARY in text]


@pytest.mark.parametrize("kind", WEB)
def test_a_wrong_configuration_does_not_show_its_secret(kind: str) -> None:
    with pytest.raises(ValueError, match="exactly one") as caught:
        CHANNELS[kind].model_validate({"url": CANARY, "url_env": "X"})
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("kind", WEB)
async def test_the_address_may_be_in_a_file_or_the_environment(
    kind: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers(200, GOOD[kind])
    url = f"http://127.0.0.1:{server.port}/x"
    (tmp_path / "url").write_text(url + "\n")
    monkeypatch.setenv("OPS_URL", url)
    for place in ({"url_file": tmp_path / "url"}, {"url_env": "OPS_URL"}):
        config = CHANNELS[kind].model_validate(
            {**place, "allow_host": ["127.0.0.1"], "allow_private": True}
        )
        assert await outcome(config.build("ops", ManualClock(NOW))) is None
    missing = CHANNELS[kind].model_validate({"url_file": tmp_path / "nowhere"})
    assert isinstance(await outcome(missing.build("ops", ManualClock(NOW))), Unavailable)


@pytest.mark.parametrize("kind", CHANNELS)
async def test_a_dry_channel_renders_and_cannot_send(
    kind: str, server: Server, tmp_path: Path
) -> None:
    channel = config_of(kind, tmp_path, server.port).build("ops", ManualClock(NOW), dry=True)
    assert "it restarts" in channel.render(notification())
    assert isinstance(await outcome(channel), Rejected)
    assert not server.requests
    assert not (tmp_path / "out.jsonl").exists()


# ---- hostile data -------------------------------------------------------------------------------

CORPUS = [
    "<@U024BE7LH> <!channel> <!here|x> <#C024BE7LR>",
    "@all @everyone @13800138000",
    '<at user_id="all">x</at> <at id=all></at>',
    '<font color="warning">x</font>',
    "[click](https://evil.example/x)",
    "![i](https://evil.example/i.png)",
    "https://evil.example/ http://evil.example www.evil.example mailto:a@b.c",
    "<https://evil.example|here>",
    "*bold* **bold** _it_ __it__ ~~s~~ ***",
    "`code` ```\nblock\n```",
    "# heading\n## heading\n> quote\n- item\n1. item\n---",
    "a | b\n---|---\nc | d",
    "\x1b[31mred\x1b[0m \x1b]8;;https://evil.example\x07x\x1b]8;;\x07 \x9b2J",
    "abc\u202edef\u202c \u2066x\u2069 \u200f",
    "\x00\x07\x08\x7f\ud800 null and bell",
    "line\u2028separator\r\nand\rreturns",
    '"}]} {{ .Message }} ${x} %s {0} \\',
    "</b><script>alert(1)</script>&lt;&amp;",
    "[bold red]rich[/] :smile: \\[x]",
    "\\[a](https://x) \\*b* \\@all",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467" * 5,
    "中文消息：节点不可用，请检查",
    "x" * 65_536,
    "\U0001f468\u200d\U0001f469\u200d\U0001f467" * 20_000,
    "e\u0301" * 30_000,
    "&" * 65_536,
    '"' * 65_536,
    "\n" * 65_536,
]


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name not in ("type", "msgtype", "color"):
                yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


ACTS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
OBEYED = re.compile(
    r"\]\(|[<>]|`|\*|~~|@\w|://|www\.|mailto:\w|^[^\S\n]*(#|>|[-+] |\d+\. |---)|\|", re.MULTILINE
)


@pytest.mark.parametrize("payload", CORPUS, ids=lambda text: ascii(text[:24]))
@pytest.mark.parametrize("kind", ["slack", "dingtalk", "wecom"])
def test_data_never_mentions_links_or_breaks_the_format(
    kind: str, payload: str, tmp_path: Path
) -> None:
    channel = config_of(kind, tmp_path).build("ops", ManualClock(NOW), dry=True)
    body = json.loads(channel.render(notification(payload, f"What: x\n{payload}")))
    for text in strings(body):
        ours = re.sub(r'^(### |\*\*<font color="\w+">)|</font>\*\*$', "", text, flags=re.MULTILINE)
        seen = ours.replace("&lt;", "").replace("&gt;", "").replace("&amp;", "")
        assert not OBEYED.search(seen), (kind, OBEYED.search(seen))
        assert not ACTS.search(seen)
        assert "\u200d…" not in seen
    if kind == "slack":
        header = body["blocks"][0]["text"]
        assert header["type"] == "plain_text"
        assert len(header["text"]) <= 150
        section = body["attachments"][0]["blocks"][0]["text"]
        assert section["type"] == "plain_text"
        assert len(section["text"]) <= 3000
    elif kind == "dingtalk":
        assert len(channel.render(notification(payload, payload)).encode()) <= 20_000
        assert body["at"] == {"isAtAll": False}
    else:
        assert len(body["markdown"]["content"].encode()) <= 4096


@pytest.mark.parametrize("payload", CORPUS, ids=lambda text: ascii(text[:24]))
def test_the_terminal_obeys_nothing_of_the_data(payload: str) -> None:
    screen = io.StringIO()
    channel = TerminalConfig(width=100).build("t", ManualClock(NOW), file=screen)
    assert not ACTS.search(channel.render(notification(payload, payload)))


@pytest.mark.parametrize("payload", CORPUS, ids=lambda text: ascii(text[:24]))
@pytest.mark.parametrize("kind", ["webhook", "file"])
def test_json_is_built_from_objects_and_bounded(kind: str, payload: str, tmp_path: Path) -> None:
    payload = payload.replace("\ud800", "")  # JSON carries none; decoders upstream replace them
    channel = config_of(kind, tmp_path).build("ops", ManualClock(NOW), dry=True)
    line = channel.render(notification(payload[:8000], payload[:8000]))
    document = json.loads(line)
    assert (document.get("forewarn") or document)["text"] == payload[:8000]
    assert "\n" not in line


def test_a_webhook_body_stays_under_its_size_and_says_what_is_missing(tmp_path: Path) -> None:
    note = notification()
    (incident,) = note.incidents
    many = msgspec.structs.replace(incident, alerts=incident.alerts * 2000)
    channel = config_of("webhook", tmp_path).build("ops", ManualClock(NOW), dry=True)
    body = channel.render(msgspec.structs.replace(note, incidents=(many,)))
    assert len(body.encode()) <= 256 * 1024
    document = json.loads(body)
    assert len(document["alerts"]) + document["truncatedAlerts"] == 2000
