"""Times of the week, in a time zone, at which a route is silent or speaks: Alertmanager's grammar.

A `TimeInterval` names weekdays, times of the day, days of the month and months; what is not named
does not restrict. The zone's own calendar decides, daylight saving included. Pure functions of a
configuration and an event time.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from typing import Annotated, Final, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
    field_validator,
)

_DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTHS: Final = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_CLOCK: Final = re.compile(r"([01]\d|2[0-4]):([0-5]\d)\s*-\s*([01]\d|2[0-4]):([0-5]\d)")


class Span(NamedTuple):
    """A range of whole numbers with its text; both ends belong to it."""

    first: int
    last: int
    text: str

    def __str__(self) -> str:
        return self.text


def _number(word: str, names: tuple[str, ...], base: int) -> int:
    lowered = word.strip().lower()
    if lowered in names:
        return names.index(lowered) + base
    try:
        return int(lowered)
    except ValueError:
        raise ValueError(f"{word!r} is not one of {', '.join(names) or 'the numbers'}") from None


def _span(text: object, names: tuple[str, ...], base: int, low: int, high: int) -> Span:
    if isinstance(text, Span):
        return text
    if not isinstance(text, str | int) or isinstance(text, bool):
        raise ValueError(f"{text!r} is not a range like {names[0] if names else '1'}:…")
    head, colon, tail = str(text).partition(":")
    first = _number(head, names, base)
    last = _number(tail, names, base) if colon else first
    for end in (first, last):
        if not low <= end <= high or (low < 0 and end == 0):
            raise ValueError(f"{end} in {text!r} is outside of {low} to {high}")
    if first > last and (first < 0) == (last < 0):
        raise ValueError(f"{text!r} ends before it begins")
    return Span(first, last, str(text))


def _time(text: object) -> Span:
    if isinstance(text, Span):
        return text
    found = _CLOCK.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f"{text!r} is not a time of day like 09:00-17:30")
    one, two, three, four = map(int, found.groups())
    first, last = one * 60 + two, three * 60 + four
    if not first < last <= 24 * 60:
        raise ValueError(f"{text!r} must end later on the same day, at 24:00 at the latest")
    return Span(first, last, found.group())


_TEXT: Final = PlainSerializer(str, return_type=str)
_SCHEMA: Final = WithJsonSchema({"type": "string"})
Weekday = Annotated[Span, PlainValidator(lambda text: _span(text, _DAYS, 0, 0, 6)), _TEXT, _SCHEMA]
Month = Annotated[Span, PlainValidator(lambda text: _span(text, _MONTHS, 1, 1, 12)), _TEXT, _SCHEMA]
MonthDay = Annotated[Span, PlainValidator(lambda text: _span(text, (), 0, -31, 31)), _TEXT, _SCHEMA]
TimeOfDay = Annotated[Span, PlainValidator(_time), _TEXT, _SCHEMA]


class TimeInterval(BaseModel):
    """Times that recur; whatever is left out does not restrict."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weekdays: tuple[Weekday, ...] = Field(
        default=(), description="Such as monday:friday or sunday."
    )
    times: tuple[TimeOfDay, ...] = Field(
        default=(), description="Such as 09:00-17:30; the end is outside."
    )
    days_of_month: tuple[MonthDay, ...] = Field(
        default=(), description="Such as 1:5, or -3:-1 (the last)."
    )
    months: tuple[Month, ...] = Field(default=(), description="Such as january:march or 12.")
    location: str = Field(default="UTC", description="Time zone, such as Asia/Shanghai.")

    @field_validator("location")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            raise ValueError(
                f"there is no time zone {name!r}; write one like Asia/Shanghai"
            ) from None
        return name

    def covers(self, now: float) -> bool:
        """Return whether event time `now` lies in it."""
        local = datetime.datetime.fromtimestamp(now, ZoneInfo(self.location))
        minute = local.hour * 60 + local.minute
        return (
            _within(self.weekdays, local.weekday())
            and _within(self.months, local.month)
            and (not self.times or any(t.first <= minute < t.last for t in self.times))
            and (not self.days_of_month or _month_day(self.days_of_month, local))
        )


def _within(spans: tuple[Span, ...], value: int) -> bool:
    return not spans or any(span.first <= value <= span.last for span in spans)


def _month_day(spans: tuple[Span, ...], local: datetime.datetime) -> bool:
    following = (local.replace(day=28, hour=12) + datetime.timedelta(days=4)).replace(day=1)
    length = (following - datetime.timedelta(days=1)).day

    def day(number: int) -> int:
        return number if number > 0 else length + 1 + number

    return any(day(span.first) <= local.day <= day(span.last) for span in spans)


def covering(
    names: Iterable[str], intervals: dict[str, tuple[TimeInterval, ...]], now: float
) -> str | None:
    """Return the first name whose intervals cover `now`, or None."""
    for name in names:
        if any(interval.covers(now) for interval in intervals[name]):
            return name
    return None
