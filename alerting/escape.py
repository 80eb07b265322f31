"""Makes text from a cluster harmless: for terminals, for mark-up of any dialect, and in length.

Event messages, termination messages and log lines are written by whoever runs a pod. `clean` takes
out what acts instead of being read: ANSI sequences, control characters, overrides of the writing
direction. `plain` replaces characters that some dialect of Markdown would obey by their
look-alikes, which is safe in every dialect, as a backslash is not. `cut` shortens on the border of
a grapheme, so no emoji and no accent is torn.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Final

_ANSI: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b\][^\x07\x1b]{0,2048}(?:\x07|\x1b\\)"  # OSC: titles, hyperlinks
    r"|\x1b[PX^_][^\x1b]{0,2048}\x1b\\"  # DCS, SOS, PM, APC
    r"|\x1b[ -/]*[0-~]|\x9b[0-?]*[ -/]*[@-~]"
)
_BREAKS: Final = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
# Controls but newline and tab; marks and overrides of direction; lone surrogates; byte-order mark.
_ACTING: Final = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb"
    "\ud800-\udfff]"
)
_JOINER: Final = "\u2060"  # word joiner: seen by parsers, not by people
_LOOK_ALIKES: Final = str.maketrans(
    {
        "*": "∗",
        "`": "ˋ",
        "[": "［",
        "]": "］",
        "<": "‹",
        ">": "›",
        "~": "∼",
        "|": "∣",
        "\\": "＼",
        "_": "ˍ",
        "@": "@" + _JOINER,
    }
)
_SCHEME: Final = re.compile(r"(?i)\b([a-z][a-z0-9+.-]{1,15}:/)(?=/)|\b(www)(?=\.)|\b(mailto:)")
_LINE_MARK: Final = re.compile(r"(?m)^([^\S\n]*)(?=#|[-+=]|\d+[.)])")
_REGIONAL: Final = range(0x1F1E6, 0x1F200)
_SKIN: Final = range(0x1F3FB, 0x1F400)


def clean(text: str) -> str:
    r"""Return `text` with only what is read; newlines stay, tabs become spaces.

    Examples
    --------
    >>> clean("\x1b[31mred\x1b[0m\x07\tand\u202e tfel")
    'red and tfel'
    """
    text = _BREAKS.sub("\n", _ANSI.sub("", text))
    return _ACTING.sub("", text).replace("\t", " ")


def plain(text: str) -> str:
    """Return `text` cleaned and without anything that a Markdown dialect obeys.

    Examples
    --------
    >>> plain("[a](https://x) <@U1> **b**")
    '［a］(https:/\u2060/x) ‹@\u2060U1› ∗∗b∗∗'
    """
    text = clean(text).translate(_LOOK_ALIKES)
    text = _SCHEME.sub(lambda found: found.group() + _JOINER, text)
    return _LINE_MARK.sub(lambda found: found.group(1) + _JOINER, text)


def graphemes(text: str) -> Iterator[str]:
    """Yield what a person sees as one character each, near enough to Unicode for cutting."""
    start = 0
    for index in range(1, len(text)):
        if not _joined(text, start, index):
            yield text[start:index]
            start = index
    if text:
        yield text[start:]


def _joined(text: str, start: int, index: int) -> bool:
    before, here = text[index - 1], text[index]
    code = ord(here)
    if before == "\u200d" or here == "\u200d":
        return True
    if code < 0x300:
        return before == "\r" and here == "\n"
    if unicodedata.category(here) in ("Mn", "Me", "Mc") or code in _SKIN:
        return True
    if 0xE0020 <= code <= 0xE007F or 0xFE00 <= code <= 0xFE0F:
        return True
    if code in _REGIONAL and ord(before) in _REGIONAL:
        return (index - start) % 2 == 1
    return 0x1160 <= code <= 0x11FF  # Hangul vowels and finals join their initial


def characters(text: str) -> int:
    """Measure in characters (code points)."""
    return len(text)


def utf8(text: str) -> int:
    """Measure in bytes of UTF-8."""
    return len(text.encode("utf-8", "replace"))


def utf16(text: str) -> int:
    """Measure in units of UTF-16, as JavaScript counts."""
    return len(text.encode("utf-16-le", "replace")) // 2


def cut(text: str, limit: int, measure: Callable[[str], int] = characters) -> str:
    """Return `text`, shortened to `limit` in its unit, with how many characters are left out.

    Examples
    --------
    >>> cut("a rather long message", 16)
    'a ra… (+17 more)'
    >>> cut("short", 12)
    'short'
    """
    if measure(text) <= limit:
        return text
    room = limit - measure(f"… (+{len(text)} more)")
    kept: list[str] = []
    used = 0
    for piece in graphemes(text[: max(0, limit)]):
        size = measure(piece)
        if used + size > room:
            break
        kept.append(piece)
        used += size
    head = "".join(kept).rstrip()
    return f"{head}… (+{len(text) - len(''.join(kept))} more)"
