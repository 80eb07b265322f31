"""Silences: what somebody has asked not to hear of, from one time to another, with a reason.

A silence holds in event time, so a replay keeps it. An incident that has been told of before its
silence began still says that it is over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from alerting.matcher import MatcherText, all_match


class Silence(BaseModel):
    """One silence."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    matchers: tuple[MatcherText, ...] = Field(
        min_length=1, description='All must match, such as namespace="shop".'
    )
    since: AwareDatetime = Field(alias="from", description="With zone: 2026-11-21T08:00:00+08:00.")
    until: AwareDatetime = Field(description="With zone; it must lie after from.")
    comment: str = Field(min_length=1, description="Why, and for whom to ask.")
    by: str = Field(default="", description="Who asked for it.")

    @model_validator(mode="after")
    def _ordered(self) -> Silence:
        if self.until <= self.since:
            raise ValueError("a silence must end after it begins")
        return self

    def holds(self, labels: Mapping[str, str], now: float) -> bool:
        """Return whether an alert with these labels is silent at `now`."""
        return self.since.timestamp() <= now < self.until.timestamp() and all_match(
            self.matchers, labels
        )


def silenced_by(
    silences: Sequence[Silence], labels: Mapping[str, str], now: float
) -> Silence | None:
    """Return the silence that holds longest, or None."""
    holding = [silence for silence in silences if silence.holds(labels, now)]
    return max(holding, key=lambda silence: silence.until, default=None)
