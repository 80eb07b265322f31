"""Secrets that cannot be shown by accident, and where they are read from.

A `Secret` prints as ``<redacted>`` whatever is done to it: repr, str, format, JSON, a traceback's
variables. Its value leaves only through `reveal`, which is called where the request is built. Files
are read at each use, so a rotated secret counts from the next message on.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from stream.errors import Unavailable

_SHOWN: Final = "<redacted>"
_LONGEST: Final = 65_536  # characters of a secret's file


class Secret:
    """A text that does not show itself.

    Examples
    --------
    >>> f"{Secret('hunter2')}", repr([Secret("hunter2")])
    ('<redacted>', '[<redacted>]')
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the text itself; never log what this returns."""
        return self._value

    def __repr__(self) -> str:
        return _SHOWN

    def __format__(self, spec: str) -> str:
        return _SHOWN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Accept a text; show none."""

        def accept(value: object) -> Secret:
            if isinstance(value, Secret):
                return value
            if isinstance(value, str) and value:
                return cls(value)
            raise ValueError("a secret is a text that is not empty")

        return core_schema.no_info_plain_validator_function(
            accept,
            serialization=core_schema.plain_serializer_function_ser_schema(lambda _: _SHOWN),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Describe it as a text that is written and not read."""
        return {"type": "string", "writeOnly": True, "minLength": 1}


class SecretSource(NamedTuple):
    """Where a secret is: in the configuration, in a file or in the environment."""

    what: str  # its name in messages: "url of receiver 'ops'"
    literal: Secret | None = None
    file: Path | None = None
    env: str | None = None

    def read(self) -> Secret | None:
        """Return the secret as it is now, or None where none is configured.

        Raises
        ------
        Unavailable
            The file or the variable is not there, or empty.
        """
        if self.literal is not None:
            return self.literal
        if self.file is not None:
            try:
                value = self.file.read_text(encoding="utf-8")[:_LONGEST].strip()
            except (OSError, UnicodeDecodeError) as error:
                raise Unavailable(f"cannot read the {self.what} from its file: {error}") from error
        elif self.env is not None:
            value = os.environ.get(self.env, "").strip()
        else:
            return None
        if not value:
            raise Unavailable(f"the {self.what} is empty where it is configured to be")
        return Secret(value)

    def places(self) -> int:
        """Return in how many places it is configured."""
        return sum(place is not None for place in (self.literal, self.file, self.env))
