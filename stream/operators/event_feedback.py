"""What people said of findings about Events: useful, or noise; kept by key until it expires.

A verdict is about a workload or node and a reason, the newest counts. It is evidence beside all
other (`models.evidence`), not a mute: a group is judged by the share of its subjects that the
verdict names, so one noisy workload does not hide an outage around it.

Guaranteed: a function of the records alone, so a replay judges alike. Every verdict, and every
group that is silent for no other reason, is said as `event-feedback`.

Left to others: taking verdicts from people (`forewarn.feedback`), weighing.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from models.evidence import FEEDBACK
from stream.operators.conclude import conclude, span
from stream.operators.event_groups import Group
from stream.operators.shelf import Shelf
from stream.records import Feedback, Finding, ObjectRef, Part


class _Verdict(msgspec.Struct, gc=False, array_like=True):
    value: float  # 1: useful, -1: noise
    until: float  # event time


def subject_of(cluster: str, ref: ObjectRef) -> str:
    """Return the name of a workload or node among those of all clusters."""
    return f"{cluster}/{ref.kind}/{ref.namespace}/{ref.name}"


class Verdicts:
    """People's verdicts by ``subject|reason``."""

    def __init__(self) -> None:
        self._shelf: Shelf[_Verdict] = Shelf("verdicts", _Verdict, pages=1)

    def take(self, said: Feedback, at: float) -> Finding:
        """Keep a verdict from event time `at` on; return the finding that says so."""
        key = f"{subject_of(said.cluster, said.object)}|{said.reason}"
        self._shelf.put(key, _Verdict(1.0 if said.verdict == "useful" else -1.0, at + said.lasts))
        return _say(
            said.cluster,
            said.object,
            said.reason,
            at,
            f"{said.reason} of {said.object} was called {said.verdict}, "
            f"which counts for {span(said.lasts)}",
            (Part("verdict", said.verdict, f"a person called it {said.verdict}"),),
        )

    def of(self, group: Group, at: float) -> float:
        """Return what people think of a group, -1 (noise) to 1: a mean over its subjects."""
        if not len(self._shelf):
            return 0.0
        total = 0.0
        for subject in group.subjects:
            found = [self._shelf.get(f"{subject}|{reason}") for reason in group.reasons]
            values = [each.value for each in found if each is not None and each.until > at]
            total += sum(values) / max(len(values), 1)
        return total / max(len(group.subjects), 1)

    def forget(self, at: float) -> None:
        """Drop what has expired."""
        for key, verdict in list(self._shelf):
            if verdict.until <= at:
                self._shelf.drop(key)

    def snapshot(self) -> Mapping[str, bytes]:
        """Return the changed page."""
        return self._shelf.snapshot()

    def restore(self, pages: Mapping[str, bytes]) -> None:
        """Become what the pages say.

        Raises
        ------
        Corrupt
            The page cannot be read.
        """
        self._shelf.restore(pages)


def say_held(group: Group, at: float) -> Finding:
    """Return the finding that people's verdict alone keeps a group from being said."""
    reason = max(group.reasons, key=lambda name: (group.reasons[name], name))
    return _say(
        group.cluster,
        group.ref,
        reason,
        at,
        f"{reason} of {group.ref} is not said: people called it noise",
        (Part("score", round(group.score, 3), f"evidence {group.score:.1f}, up to {FEEDBACK:g} "
              "points taken by people's verdict"),),
    )  # fmt: skip


def _say(
    cluster: str, ref: ObjectRef, reason: str, at: float, summary: str, because: tuple[Part, ...]
) -> Finding:
    return conclude(
        "event-feedback",
        "evidence",
        cluster,
        ref,
        at=at,
        since=at,
        summary=summary,
        because=because,
        labels={"reason": reason},
    )
