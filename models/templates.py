"""Message templates: what stays when names, numbers and addresses in a message are masked.

Two Events of one cause differ in what varies (a pod's suffix, a duration, an address); their
template is equal. Every word that holds a digit and every quoted text becomes ``<*>``; the client's
prefix "(combined from similar events): " is dropped. Pure and cheap: about 2 µs a message, with a
bounded cache in front for the many that repeat.

Left to others: deciding how rare a template is (`models.events`).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_COMBINED: Final = "(combined from similar events): "
_QUOTED: Final = re.compile(r'"[^"]*"')
_WORD_WITH_DIGIT: Final = re.compile(r"\S*\d\S*")
_REPEATED: Final = re.compile(r"<\*>(?:\s<\*>)+")
# A message beyond this length says nothing new to a template, and regexes stay fast.
_LONGEST: Final = 512  # characters


@lru_cache(maxsize=16_384)  # about 10 MB at worst; a cluster has some thousand distinct messages
def template_of(message: str) -> str:
    """Return the template of an Event's message.

    Examples
    --------
    >>> template_of('Back-off pulling image "registry/app:v42"')
    'Back-off pulling image <*>'
    >>> template_of("Readiness probe failed: HTTP probe failed with statuscode: 503")
    'Readiness probe failed: HTTP probe failed with statuscode: <*>'
    """
    text = message.removeprefix(_COMBINED)[:_LONGEST]
    text = _QUOTED.sub("<*>", text)
    text = _WORD_WITH_DIGIT.sub("<*>", text)
    return _REPEATED.sub("<*>", text).strip()
