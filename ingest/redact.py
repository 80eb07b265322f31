"""Secrets out of texts and objects, before anything of them leaves ingest.

Kubernetes objects hold secrets where people put them: in values of environment variables, in
arguments, in URLs of messages, in log lines. Masked are values whose name says what they are
(``DB_PASSWORD``, ``--token``, ``password=``), and texts that look like nothing else: JSON web
tokens, PEM private keys, ``Bearer`` and ``Basic`` credentials, userinfo of URLs, keys of AWS,
Google, GitHub, GitLab, Slack and Stripe, and payment card numbers that pass Luhn's check.

Guaranteed: linear time whatever the text (each expression begins at a literal and is bounded or
cannot backtrack), and an end to it: beyond `LONGEST` characters a text is masked whole. Idempotent,
and blind to marks: what a tape has masked reads as what a live cluster has masked. Not guaranteed:
a secret that looks like a word and stands beside no name of its kind is not found. Left to others:
where texts come from, names that are merely private (`ingest.pseudonyms`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

MASK: Final = "<redacted>"
# Names of environment variables and flags whose values are secrets.
SECRET_NAME: Final = re.compile(
    r"passw|secret|token|credential|private|api_?key|access_?key|auth|dsn|conn(ection)?_?str",
    re.IGNORECASE,
)
LONGEST: Final = 64 * 1024  # characters that are looked at; log tails and messages have 16 Ki
_FLAG: Final = re.compile(r"--?[A-Za-z][\w.-]*")
_MARK: Final = re.compile(r"<redacted:[0-9a-f]{8}>")
_ANY_MARK: Final = re.compile(r"<redacted(?::[0-9a-f]{8})?>")

Mask = Callable[[str], str]  # a secret → what stands in its place


def plain(secret: str) -> str:
    """Return the mask that says nothing of what it hides."""
    return MASK


# What must occur in the lower-cased text → what is then looked for. The needle makes the usual
# text, which holds none, cheap; group 1, where there is one, stays.
_PATTERNS: Final[tuple[tuple[tuple[str, ...], re.Pattern[str]], ...]] = (
    (
        ("passw", "pwd", "secret", "token", "key", "credential"),
        re.compile(
            r"((?i:p(?:assw(?:or)?d|wd|rivate[_-]?key)|secret|token"
            r"|a(?:pi|ccess|ccount)[_-]?key|credentials?)[\w.-]{0,40}+[\"']?+\s{0,3}+"
            r"(?:=\s{0,3}"
            r"|:\s{0,3}(?=[\"']|[^\s\"',;&\d!@#$%^*+/]{0,80}+[\d!@#$%^*+/]))[\"']?)"
            r"(?!<redacted)(?:(?<=\")[^\"\n]+|(?<=')[^'\n]+|[^\s\"',;&]+)"
        ),
    ),
    (
        ("bearer", "basic"),
        re.compile(r"(\b(?:bearer|basic)\s{1,3})[\w.~+/=<>:-]{8,}", re.IGNORECASE),
    ),
    (("eyj",), re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*")),
    (
        ("private key-----",),
        re.compile(
            r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,20}KEY-----|\Z)", re.S
        ),
    ),
    (("://",), re.compile(r"(://)[^\s/@:\"']{0,256}:[^\s/@\"']{1,256}(?=@)")),
    (("akia", "asia"), re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    (("aiza",), re.compile(r"\bAIza[\w-]{35}")),
    (("gh", "github_pat"), re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,})")),
    (("glpat-",), re.compile(r"\bglpat-[\w-]{20,}")),
    (("xox",), re.compile(r"\bxox[abeprs]-[\w-]{10,}")),
    (("hooks.slack.com",), re.compile(r"(hooks\.slack\.com/services/)[\w/]{8,}")),
    (("sk_live", "rk_live", "sk-"), re.compile(r"\b(?:[sr]k_live_\w{10,}|sk-[\w-]{20,})")),
)
_NEEDLES: Final = tuple(needle for needles, _ in _PATTERNS for needle in needles)
_SHORTEST_CARD: Final = 16  # digits
_CARD: Final = re.compile(r"(?<![\d.-])[3-6]\d{3}([ -]?)\d{4}\1\d{4}\1\d{4}(?![\d.-])")


def redact(text: str, mask: Mask = plain) -> str:
    """Return `text` without its secrets; some 2 µs for a message of 200 characters.

    A text of more than `LONGEST` characters, marks not counted, ends in one mask.

    Examples
    --------
    >>> redact("cannot reach postgres://app:hunter2@db:5432/shop")
    'cannot reach postgres://<redacted>@db:5432/shop'
    >>> redact("login failed, password=hunter2, user=app")
    'login failed, password=<redacted>, user=app'
    """
    if len(text) > LONGEST and len(_ANY_MARK.sub("", text)) > LONGEST:
        head = _head(text)
        return f"{redact(head, mask)} {mask(text[len(head) :])}"
    lowered = text.lower()
    if any(map(lowered.__contains__, _NEEDLES)):
        for needles, pattern in _PATTERNS:
            if any(map(lowered.__contains__, needles)):
                text = pattern.sub(lambda match: _masked(match, mask), text)
    if len(text) >= _SHORTEST_CARD and sum(map(text.count, "0123456789")) >= _SHORTEST_CARD:
        text = _CARD.sub(lambda match: mask(match[0]) if _luhn(match[0]) else match[0], text)
    return _MARK.sub(MASK, text) if mask is plain and "<redacted:" in lowered else text


def _head(text: str) -> str:
    """Return what is looked at: whole words, and no part of a number that the end would tear."""
    end = max(text.rfind(blank, 0, LONGEST) for blank in " \t\n")
    return text[: max(end, 0)].rstrip("0123456789- \t\n")


def _masked(match: re.Match[str], mask: Mask) -> str:
    kept = match[1] if match.re.groups else ""
    secret = match[0][len(kept) :]
    return kept + (secret if _MARK.fullmatch(secret) else mask(secret))


def cleaned(value: Any, mask: Mask = plain) -> Any:
    """Return a decoded JSON value without its secrets, however deep."""
    if isinstance(value, str):
        return redact(value, mask)
    if isinstance(value, list):
        return _cleaned_list(value, mask)
    if not isinstance(value, dict):
        return value
    name = value.get("name")
    hide = isinstance(name, str) and isinstance(value.get("value"), str) and secret_name(name)
    return {
        key: mask(item) if hide and key == "value" and item else cleaned(item, mask)
        for key, item in value.items()
    }


def secret_name(name: str) -> bool:
    """Return whether what stands under this name is a secret."""
    return SECRET_NAME.search(name) is not None


def _cleaned_list(items: list[Any], mask: Mask) -> list[Any]:
    """Return the items without secrets; one that follows a flag named like a secret is one."""
    result: list[Any] = []
    told = False  # by the item before
    for item in items:
        if told and isinstance(item, str) and not item.startswith("-"):
            result.append(mask(item))
            told = False
            continue
        told = isinstance(item, str) and bool(_FLAG.fullmatch(item)) and secret_name(item)
        result.append(cleaned(item, mask))
    return result


def _luhn(number: str) -> bool:
    digits = [int(each) for each in reversed(number) if each.isdigit()]
    doubled = [sum(divmod(2 * each, 10)) for each in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0
