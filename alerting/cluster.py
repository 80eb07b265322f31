"""What alerting remembers of one cluster, and the ways to look it up.

`Memory` is all state: it is snapshotted whole, and two engines with equal memories decide alike.
`Index` is derived from it and never stored.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from typing import Final

import msgspec

from alerting.alert import Alert
from alerting.budget import Window
from alerting.causes import place, places
from alerting.group import NODE_TROUBLE, Story, is_open, of_nodes
from alerting.inhibit import InhibitRule, Sources
from alerting.rules import Phase, Track
from alerting.suppression import Hush
from stream.records import Finding, ObjectRef

ALERT: Final = 0  # kinds of the agenda's entries, in the order of one grid point
STORY: Final = 1
DIGEST: Final = 2
PRUNE: Final = 3
_ANY_NODE: Final = "Node//*"


class Memory(msgspec.Struct):
    """The state of one cluster's alerting.

    Attributes
    ----------
    agenda
        A heap of (event time on the grid of whole seconds, kind, name): what to look at, and when.
    """

    cluster: str
    reached: float = -math.inf
    tracks: dict[str, Track] = {}  # by fingerprint
    stories: dict[str, Story] = {}  # by incident
    evidence: dict[str, list[Finding]] = {}  # by object
    windows: dict[str, Window] = {}  # by receiver
    hushes: dict[str, Hush] = {}
    agenda: list[tuple[float, int, str]] = []
    prune_at: float = math.inf

    def plan(self, at: float, kind: int, name: str) -> float:
        """Put something on the agenda, on the grid; return the grid point."""
        point = float(math.ceil(at))
        heapq.heappush(self.agenda, (point, kind, name))
        return point


class Index:
    """Finds tracks and open incidents by what they are about."""

    def __init__(self, memory: Memory, rules: Iterable[InhibitRule]) -> None:
        self._memory = memory
        self._rules = tuple(rules)
        self.rebuild()

    def rebuild(self) -> None:
        """Derive it all anew; drops what labels of long ago have left."""
        memory = self._memory
        self._tracks: dict[str, dict[str, None]] = {}
        self._about: dict[str, dict[str, None]] = {}
        self._inside: dict[str, dict[str, None]] = {}
        self.sources = Sources(self._rules)
        for name, track in memory.tracks.items():
            self.add_track(name, track)
            if track.phase is Phase.FIRING:
                self.sources.add(track.alert)
        for story in memory.stories.values():
            if is_open(story):
                for name in story.fingerprints:
                    if name in memory.tracks:
                        self.add_alert(story, memory.tracks[name].alert)

    def add_track(self, name: str, track: Track) -> None:
        """Let a track be found by its object."""
        self._tracks.setdefault(place(track.alert.object), {})[name] = None

    def tracks_of(self, ref: ObjectRef) -> list[Track]:
        """Return the tracks of an object, in the order in which they came."""
        return [self._memory.tracks[name] for name in self._tracks.get(place(ref), ())]

    def firing_on(self, nodes: Iterable[str]) -> list[Alert]:
        """Return the firing alerts about these nodes, the earliest first."""
        found = [
            track.alert
            for node in nodes
            for track in self.tracks_of(ObjectRef("Node", "", node))
            if track.phase is Phase.FIRING
        ]
        return sorted(found, key=lambda alert: (alert.starts_at, alert.fingerprint))

    def add_alert(self, story: Story, alert: Alert) -> None:
        """Let an open incident be found by an alert's object, node and namespace."""
        name = story.incident.id
        self._about.setdefault(place(alert.object), {})[name] = None
        if alert.rule in NODE_TROUBLE:
            self._about.setdefault(_ANY_NODE, {})[name] = None
        for inside in _around(alert):
            self._inside.setdefault(inside, {})[name] = None

    def drop_story(self, story: Story, alerts: Iterable[Alert]) -> None:
        """Forget an incident that is over."""
        name = story.incident.id
        for alert in alerts:
            for index, keys in (
                (self._about, (place(alert.object),)),
                (self._inside, _around(alert)),
            ):
                for key in keys:
                    known = index.get(key)
                    if known is not None and known.pop(name, 0) is None and not known:
                        del index[key]

    def about(self, keys: Iterable[str]) -> list[Story]:
        """Return the open incidents about any of these objects, in order, each once."""
        names = dict.fromkeys(name for key in keys for name in self._about.get(key, ()))
        return self._open(names)

    def inside(self, ref: ObjectRef) -> list[Story]:
        """Return the open incidents with an alert on this node or in this namespace."""
        return self._open(self._inside.get(place(ref), {}))

    def near(self, alert: Alert) -> list[Story]:
        """Return the open incidents that `alert` could join by its object, node or namespace."""
        return self.about([place(alert.object), *_around(alert)])

    def _open(self, names: Iterable[str]) -> list[Story]:
        stories = self._memory.stories
        return [stories[name] for name in list(names) if name in stories and is_open(stories[name])]


def _around(alert: Alert) -> list[str]:
    around = [key for key in places([alert]) if key != place(alert.object)]
    if namespace := alert.labels.get("namespace"):
        around.append(f"Namespace//{namespace}")
    if of_nodes(alert):
        around.append(_ANY_NODE)
    return around
