"""Message templates: what stays when names, numbers and addresses in a message are masked.

Two Events of one cause differ in what varies (a pod's suffix, a container's name, a duration, an
address); their template is equal. These become ``<*>``: every word that holds a digit, a quoted
text, a list or a word in brackets, a word with the random suffix of a pod, and the word that a
message names a container or process with. The client's prefix "(combined from similar events): " is
dropped. A function of the message alone, so every process and every replay agrees; about 4 µs a
message, with a bounded cache in front for the many that repeat.

Left to others: deciding how rare a template is (`models.events`).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_COMBINED: Final = "(combined from similar events): "
_ENCLOSED: Final = re.compile(
    r'"[^"]*"'  # a name or an address
    r"|\[[^\[\]]*\]"  # a list of volumes, a command
    r"|\([^\s()]*\)"  # one word: a process, a unit
)
_NAMED: Final = re.compile(
    r"(?<=[Cc]ontainer )\S+|(?<=[Cc]ontainer: )\S+|(?<=process: )[^\s,]+"
    # Words are looked at from their beginning only, so that long ones cost no more than short ones.
    # Kubernetes' random suffixes have no vowels, so that they are no words.
    r"|(?<!\S)(?=\S*\d|\S*-[bcdfghjklmnpqrstvwxz]{5}(?![a-z]))\S+"
)
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
    >>> template_of("Back-off restarting failed container app in pod cart-xkzvw_shop")
    'Back-off restarting failed container <*> in pod <*>'
    """
    text = message.removeprefix(_COMBINED)[:_LONGEST]
    text = _NAMED.sub("<*>", _ENCLOSED.sub("<*>", text))
    return _REPEATED.sub("<*>", text).strip()
