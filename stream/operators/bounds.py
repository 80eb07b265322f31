"""The bounds of settings, as types: the configuration refuses what lies outside, with its place.

The annotations bind nobody who builds settings in code; pydantic reads them when a file is read.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from annotated_types import Ge, Interval

Seconds: TypeAlias = Annotated[float, Ge(0)]
Percent: TypeAlias = Annotated[float, Interval(ge=0, le=100)]
Odds: TypeAlias = Annotated[float, Interval(ge=0, le=1)]
Score: TypeAlias = Annotated[float, Ge(0)]  # −log10 of a chance, or a sum of such
Count: TypeAlias = Annotated[int, Ge(1)]
Quantity: TypeAlias = Annotated[float, Ge(0)]
