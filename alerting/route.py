"""The routing tree: which receivers hear of an alert, how soon and how often.

Alertmanager's semantics: an alert enters at the root; of a node's children the first that matches
takes it, and the following ones too where it says ``continue``; a node none of whose children match
takes it itself. What a child does not say it inherits. The tree is resolved once, when the
configuration is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, NamedTuple

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

from alerting.duration import Duration
from alerting.matcher import MatcherText, all_match


def _several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


class RouteConfig(BaseModel):
    """One node of the tree."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    receivers: Annotated[tuple[str, ...], BeforeValidator(_several)] = Field(
        default=(),
        validation_alias=AliasChoices("receivers", "receiver"),
        description="Names of receivers; inherited where there are none.",
    )
    matchers: tuple[MatcherText, ...] = Field(
        default=(), description="All must match; none: always."
    )
    go_on: bool = Field(
        default=False, alias="continue", description="Offer it to the next sibling too."
    )
    group_wait: Duration | None = Field(
        default=None, description="Wait before the first message: 30s."
    )
    group_interval: Duration | None = Field(default=None, description="Wait before news of it: 5m.")
    repeat_interval: Duration | None = Field(
        default=None, description="Say it again after; as in grouping where there is none."
    )
    mute_times: tuple[str, ...] = Field(
        default=(), description="Time intervals in which it is silent."
    )
    active_times: tuple[str, ...] = Field(
        default=(), description="Time intervals outside which it is."
    )
    routes: tuple[RouteConfig, ...] = Field(default=(), description="Children, tried in order.")


class Leaf(NamedTuple):
    """What a route says, with all that it inherits."""

    receivers: tuple[str, ...]
    group_wait: float
    group_interval: float
    repeat_interval: float | None  # None: by severity
    mute_times: tuple[str, ...]
    active_times: tuple[str, ...]


class Node(NamedTuple):
    """A resolved node of the tree."""

    config: RouteConfig
    leaf: Leaf
    children: tuple[Node, ...]


def resolve(config: RouteConfig, above: Leaf) -> Node:
    """Return the tree below `config`; `above` holds the defaults."""

    def first(own: float | None, inherited: float) -> float:
        return inherited if own is None else own

    leaf = Leaf(
        config.receivers or above.receivers,
        first(config.group_wait, above.group_wait),
        first(config.group_interval, above.group_interval),
        above.repeat_interval if config.repeat_interval is None else config.repeat_interval,
        config.mute_times or above.mute_times,
        config.active_times or above.active_times,
    )
    return Node(config, leaf, tuple(resolve(child, leaf) for child in config.routes))


def leaves(node: Node, labels: Mapping[str, str]) -> tuple[Leaf, ...]:
    """Return the leaves that an alert with these labels comes to."""
    found: list[Leaf] = []
    for child in node.children:
        if all_match(child.config.matchers, labels):
            found += leaves(child, labels)
            if not child.config.go_on:
                break
    return tuple(found) or (node.leaf,)


def every(config: RouteConfig) -> list[RouteConfig]:
    """Return the node and all below it, for checks of a whole configuration."""
    return [config, *(node for child in config.routes for node in every(child))]
