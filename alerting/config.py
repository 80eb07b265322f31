"""The configuration of alerting: composed here, decided in each part's own file.

Everything that can be wrong is said when it is read: unknown receivers, intervals and rules, bad
expressions, two places for one secret. The defaults are a whole: findings become incidents and go
to the terminal.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from pydantic import BaseModel, ConfigDict, Field, model_validator

from alerting.channels import Channel, ReceiverConfig
from alerting.channels.terminal import TerminalConfig
from alerting.duration import Duration
from alerting.group import GroupConfig
from alerting.inhibit import InhibitConfig
from alerting.mute import TimeInterval
from alerting.pipeline import Policy, Receiver
from alerting.route import Leaf, RouteConfig, every, resolve
from alerting.rules import FlappingConfig, RuleConfig, check_names
from alerting.silence import Silence
from stream.clock import Clock


class DeliveryConfig(BaseModel):
    """How messages are sent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    timeout: Duration = Field(default=10.0, gt=0, description="For one attempt. Default 10s.")
    give_up_after: Duration = Field(default=1800.0, description="Of attempts at one message: 30m.")
    backoff_first: Duration = Field(
        default=1.0, gt=0, description="Longest first pause. Default 1s."
    )
    backoff_most: Duration = Field(default=60.0, gt=0, description="Longest pause. Default 1m.")
    on_uncertain: str = Field(
        default="resend",
        pattern="^(resend|suppress)$",
        description="A message that a crash left in doubt: resend (marked as a possible repeat) "
        "or suppress.",
    )


def _terminal() -> dict[str, ReceiverConfig]:
    return {"terminal": TerminalConfig()}


class AlertingConfig(BaseModel):
    """What becomes of findings, and who hears of it."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    rules: dict[str, RuleConfig] = Field(default_factory=dict, description="By name of the rule.")
    flapping: FlappingConfig = Field(
        default=FlappingConfig(), description="Alerts that come and go."
    )
    grouping: GroupConfig = Field(
        default=GroupConfig(), description="What is one incident, and when."
    )
    route: RouteConfig = Field(
        default=RouteConfig(receivers=("terminal",)), description="The root of the routing tree."
    )
    receivers: dict[str, ReceiverConfig] = Field(
        default_factory=_terminal,
        description="The places that messages go to, by name.",
    )
    inhibit: InhibitConfig = Field(
        default=InhibitConfig(), description="Which alerts explain others."
    )
    silences: tuple[Silence, ...] = Field(
        default=(), description="What is not to be told of for a while."
    )
    time_intervals: dict[str, tuple[TimeInterval, ...]] = Field(
        default_factory=dict, description="Times of the week, by name, for mute and active times."
    )
    delivery: DeliveryConfig = Field(
        default=DeliveryConfig(), description="Attempts, pauses, doubts."
    )

    @model_validator(mode="after")
    def _names_are_known(self) -> AlertingConfig:
        check_names(self.rules)
        if not self.route.receivers:
            raise ValueError("the root of the routing tree needs a receiver")
        for node in every(self.route):
            for name in node.receivers:
                _known("receiver", name, self.receivers)
            for name in (*node.mute_times, *node.active_times):
                _known("time interval", name, self.time_intervals)
        return self

    def policy(self) -> Policy:
        """Return what decisions depend on."""
        grouping = self.grouping
        above = Leaf(
            (), grouping.group_wait, grouping.group_interval, grouping.repeat_interval, (), ()
        )
        return Policy(
            rules=self.rules,
            flapping=self.flapping,
            grouping=grouping,
            routes=resolve(self.route, above),
            inhibit=self.inhibit.all_rules(),
            silences=self.silences,
            intervals=self.time_intervals,
            receivers={
                name: Receiver(config.budget(), config.send_resolved)
                for name, config in self.receivers.items()
            },
        )

    def channels(self, clock: Clock, *, dry: bool = False) -> Mapping[str, Channel]:
        """Return the channels; dry: such that render and cannot send."""
        return {name: config.build(name, clock, dry=dry) for name, config in self.receivers.items()}


def _known(what: str, name: str, names: Iterable[str]) -> None:
    names = list(names)
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"there is no {what} {name!r}{hint}")
