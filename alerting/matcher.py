"""Matchers in Alertmanager's grammar: ``severity="critical"``, ``namespace=~"shop|pay"``.

Four operators: ``=``, ``!=``, ``=~`` and ``!~``; a regular expression matches the whole value. A
label that is not there has the value ``""``, as in Alertmanager. Everything wrong with a matcher is
said when the configuration is read, never when an alert arrives.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Annotated, Final, NamedTuple

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

_FORM: Final = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*(=~|!~|!=|=)\s*(.*?)\s*", re.DOTALL)
_LONGEST: Final = 1024  # characters of a regular expression; longer ones are mistakes


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


class Matcher(NamedTuple):
    """One condition on one label."""

    name: str
    operator: str  # "=" | "!=" | "=~" | "!~"
    value: str

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether the labels meet the condition."""
        value = labels.get(self.name, "")
        match self.operator:
            case "=":
                return value == self.value
            case "!=":
                return value != self.value
            case "=~":
                return _compiled(self.value).fullmatch(value) is not None
            case _:
                return _compiled(self.value).fullmatch(value) is None

    def __str__(self) -> str:
        quoted = self.value.replace("\\", "\\\\").replace('"', '\\"')
        return f'{self.name}{self.operator}"{quoted}"'


def parse(text: object) -> Matcher:
    r"""Return the matcher that `text` writes.

    Raises
    ------
    ValueError
        The form is not ``label operator value``, or the regular expression does not compile.

    Examples
    --------
    >>> parse('namespace=~"shop|pay"').matches({"namespace": "pay"})
    True
    >>> str(parse("severity != info"))
    'severity!="info"'
    """
    if isinstance(text, Matcher):
        return text
    if not isinstance(text, str):
        raise ValueError(f'a matcher is a text like severity="critical", not {text!r}')
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError(f'{text!r} is not a matcher; write label="value" with =, !=, =~ or !~')
    name, operator, value = found.groups()
    if value.startswith('"'):
        if len(value) < 2 or not value.endswith('"'):
            raise ValueError(f"the quote in {text!r} does not end")
        value = re.sub(r"\\(.)", r"\1", value[1:-1]) if operator in ("=", "!=") else value[1:-1]
    if operator in ("=~", "!~"):
        if len(value) > _LONGEST:
            raise ValueError(f"the regular expression of {name!r} is over {_LONGEST} characters")
        try:
            _compiled(value)
        except re.error as error:
            raise ValueError(f"{value!r} is not a regular expression: {error}") from error
    return Matcher(name, operator, value)


MatcherText = Annotated[
    Matcher,
    PlainValidator(parse),
    PlainSerializer(str, return_type=str),
    WithJsonSchema(
        {"type": "string", "examples": ['severity="critical"', 'namespace=~"shop|pay"']}
    ),
]


def all_match(matchers: Iterable[Matcher], labels: Mapping[str, str]) -> bool:
    """Return whether every condition is met; no conditions: they are."""
    return all(matcher.matches(labels) for matcher in matchers)
