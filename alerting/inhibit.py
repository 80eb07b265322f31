"""Inhibition: an alert that another one explains is not told of on its own.

Rules have Alertmanager's form: while an alert that matches `source` fires, alerts that match
`target` and agree with it in the labels of `equal` are inhibited. `BUILT_IN` knows Kubernetes: a
node over the pods on it, a rollout over its restarts, a namespace over its workloads, a prediction
over the fixed threshold of the same thing. No alert inhibits itself, and no two inhibit each other:
in `BUILT_IN` a rule's targets are always narrower than its source.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from alerting.alert import Alert
from alerting.matcher import MatcherText, all_match, parse


class InhibitRule(BaseModel):
    """One rule."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source_matchers: tuple[MatcherText, ...] = Field(min_length=1, description="What explains.")
    target_matchers: tuple[MatcherText, ...] = Field(min_length=1, description="What it explains.")
    equal: tuple[str, ...] = Field(default=(), description="Labels in which both must agree.")


class InhibitConfig(BaseModel):
    """Which alerts keep others quiet."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    built_in: bool = Field(
        default=True, description="Node over its pods, rollout over its restarts, …"
    )
    rules: tuple[InhibitRule, ...] = Field(
        default=(), description="More, in Alertmanager's grammar."
    )

    def all_rules(self) -> tuple[InhibitRule, ...]:
        """Return every rule that applies."""
        return (*BUILT_IN, *self.rules) if self.built_in else self.rules


def _rule(source: str, target: str, *equal: str, but: str = "") -> InhibitRule:
    targets = [f'rule=~"{target}"', *([but] if but else [])]
    return InhibitRule(
        source_matchers=(parse(f'rule=~"{source}"'),),
        target_matchers=tuple(map(parse, targets)),
        equal=equal,
    )


RESTARTS: Final = "restart-burst|crash-loop|restart-count|oom-kill"
NODE_DOWN: Final = "node-not-ready|node-deleted"
_PODS: Final = 'kind!="Node"'

BUILT_IN: Final = (
    _rule(f"{NODE_DOWN}|node-pressure", ".*", "cluster", "node", but=_PODS),
    InhibitRule(  # unusual events of kinds that a node in trouble causes, on whichever node
        source_matchers=(parse(f'rule=~"{NODE_DOWN}|node-pressure"'),),
        target_matchers=(
            parse('rule="event-anomaly"'),
            parse('family=~"(.*,)?(node|eviction)(,.*)?"'),
        ),
        equal=("cluster",),
    ),
    _rule(
        NODE_DOWN,
        "node-(taint|ready-flapping|pressure|.*-exhaustion|cpu-saturation|.*-high)",
        "cluster",
        "node",
    ),
    _rule(
        "rollout-stuck",
        f"{RESTARTS}|image-pull|pod-pending",
        "cluster",
        "namespace",
        "kind",
        "name",
        but='severity!="critical"',
    ),
    _rule(
        "namespace-restart-share",
        RESTARTS,
        "cluster",
        "namespace",
        but='kind!="Namespace"',
    ),
    _rule("restart-burst|crash-loop", "restart-count", "cluster", "namespace", "kind", "name"),
    InhibitRule(  # a critical burst has said all that a crash loop says
        source_matchers=(parse("rule=restart-burst"), parse("severity=critical")),
        target_matchers=(parse("rule=crash-loop"),),
        equal=("cluster", "namespace", "kind", "name"),
    ),
    _rule("node-memory-exhaustion", "node-memory-high", "cluster", "node"),
    _rule("node-(image-)?disk-exhaustion", "node-disk-high", "cluster", "node"),
    _rule("node-cpu-saturation", "node-cpu-high", "cluster", "node"),
    _rule("node-pod-slots-exhaustion", "node-pods-high", "cluster", "node"),
)


class Sources:
    """The firing alerts that may inhibit others, found by the labels that must be equal.

    Cost of a look-up: the rules, not the alerts.
    """

    def __init__(self, rules: Sequence[InhibitRule]) -> None:
        self.rules = tuple(rules)
        self._alerts: dict[tuple[int, tuple[str, ...]], dict[str, Alert]] = {}
        self._keys: dict[str, list[tuple[int, tuple[str, ...]]]] = {}
        self._firing = [0] * len(self.rules)  # sources of each rule

    def add(self, alert: Alert) -> bool:
        """Let a firing alert inhibit; return whether it could inhibit anything."""
        self.remove(alert.fingerprint)
        keys = [
            (number, values)
            for number, rule in enumerate(self.rules)
            if all_match(rule.source_matchers, alert.labels)
            # A label that the source lacks is no agreement: a pod without a node is on no node.
            if all(values := tuple(alert.labels.get(name, "") for name in rule.equal))
        ]
        if not keys:
            return False
        for key in keys:
            self._alerts.setdefault(key, {})[alert.fingerprint] = alert
            self._firing[key[0]] += 1
        self._keys[alert.fingerprint] = keys
        return True

    def remove(self, fingerprint: str) -> bool:
        """Let an alert inhibit no longer; return whether it did."""
        keys = self._keys.pop(fingerprint, [])
        for key in keys:
            del self._alerts[key][fingerprint]
            self._firing[key[0]] -= 1
            if not self._alerts[key]:
                del self._alerts[key]
        return bool(keys)

    def of(self, alert: Alert) -> Alert | None:
        """Return a firing alert that explains `alert`, the earliest of the first rule, or None."""
        for number, rule in enumerate(self.rules):
            if not self._firing[number]:
                continue
            key = (number, tuple(alert.labels.get(name, "") for name in rule.equal))
            found = self._alerts.get(key)
            if found and all_match(rule.target_matchers, alert.labels):
                others = [one for one in found.values() if one.fingerprint != alert.fingerprint]
                if others:
                    return min(others, key=lambda one: (one.starts_at, one.fingerprint))
        return None
