"""Whom the HTTP client talks to, and text made harmless: tables of what attackers write.

Leaves out answers (`tests/conformance/test_channels.py`).
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting import escape
from alerting.outbound import Outbound, is_public
from alerting.secret import Secret
from stream.errors import Rejected
from stream.testing import ManualClock


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.slack.com/x",
        "ftp://hooks.slack.com/x",
        "file:///etc/passwd",
        "//hooks.slack.com/x",
        "https:///x",
        "https://",
        "",
        "x",
        "https://127.0.0.1/x",
        "https://127.1/x",
        "https://0x7f.1/x",
        "https://2130706433/x",
        "https://0177.0.0.1/x",
        "https://localhost/x",
        "https://localhost./x",
        "https://[::1]/x",
        "https://[::ffff:127.0.0.1]/x",
        "https://[::ffff:7f00:1]/x",
        "https://[64:ff9b::7f00:1]/x",
        "https://[2002:7f00:1::]/x",
        "https://[fe80::1]/x",
        "https://[fe80::1%25eth0]/x",
        "https://[fd00::1]/x",
        "https://[::]/x",
        "https://0.0.0.0/x",
        "https://10.0.0.1/x",
        "https://172.16.0.1/x",
        "https://192.168.1.1/x",
        "https://169.254.169.254/latest/meta-data",
        "https://100.64.0.1/x",
        "https://224.0.0.1/x",
        "https://255.255.255.255/x",
        "https://user:pw@hooks.slack.com/x",
        "https://hooks.slack.com@127.0.0.1/x",
        "https://hooks.slack.com:0/x",
        "https://hooks.slack.com:99999/x",
        "https://127.0.0.1\\@hooks.slack.com/x",
        "https://exa mple.org/x",
    ],
)
async def test_an_address_that_is_not_public_is_never_connected_to(url: str) -> None:
    outbound = Outbound(ManualClock())
    try:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the type is asserted below
            await outbound.post(url, b"", {})
        # A name that does not resolve here is Unavailable: no connection either.
        assert type(caught.value).__name__ in ("Rejected", "Unavailable")
        assert "/x" not in str(caught.value)
    finally:
        await outbound.aclose()


def test_known_services_have_their_own_hosts_only() -> None:
    outbound = Outbound(ManualClock(), hosts=("hooks.slack.com",))
    assert outbound.vet("https://HOOKS.slack.com./x") == "hooks.slack.com"
    for host in ("hooks.slack.com.evil.example", "evil.example", "slack.com"):
        with pytest.raises(Rejected, match="allow_host"):
            outbound.vet(f"https://{host}/x")


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2001:4860:4860::8888", True),
        ("::ffff:8.8.8.8", True),
        ("::ffff:10.0.0.1", False),
        ("10.1.2.3", False),
        ("fe80::1%eth0", False),
    ],
)
def test_disguises_of_addresses_are_seen_through(address: str, public: bool) -> None:
    assert is_public(address) is public


@given(
    st.text(max_size=400), st.integers(24, 200), st.sampled_from(["utf8", "utf16", "characters"])
)
def test_cut_keeps_to_its_unit_and_to_graphemes(text: str, limit: int, unit: str) -> None:
    measure = getattr(escape, unit)
    short = escape.cut(text, limit, measure)
    assert measure(short) <= limit
    if short != text:
        kept = short.rpartition("… (+")[0]
        assert text.startswith(kept)
        borders = {0}
        position = 0
        for piece in escape.graphemes(text):
            position += len(piece)
            borders.add(position)
        assert any(
            len(kept) <= border and not text[len(kept) : border].strip() for border in borders
        )


@given(st.text())
def test_graphemes_lose_nothing(text: str) -> None:
    assert "".join(escape.graphemes(text)) == text


@pytest.mark.parametrize(
    ("text", "count"),
    [("👨‍👩‍👧👍🏽", 2), ("🇩🇪🇫🇷", 2), ("é", 1), ("한", 1), ("a\r\nb", 3), ("❤️x", 2), ("", 0)],
)
def test_a_grapheme_is_what_a_person_sees(text: str, count: int) -> None:
    assert len(list(escape.graphemes(text))) == count


@given(st.text())
def test_harmless_text_stays_harmless(text: str) -> None:
    once = escape.plain(text)
    assert escape.clean(once) == once


def test_a_secret_shows_itself_only_when_asked() -> None:
    secret = Secret("hunter2")
    assert secret.reveal() == "hunter2"
    for shown in (repr(secret), str(secret), f"{secret:>30}", f"{secret!r}", str([secret])):
        assert "hunter2" not in shown
    assert secret == Secret("hunter2")
    assert secret != "hunter2"
