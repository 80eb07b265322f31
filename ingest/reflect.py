"""The reflector: everything that an API server tells about one resource, as facts, and no less.

List, then watch from the list's version, for ever. The list comes as a stream of the watch itself
(WatchList) or, where a server refuses that, in pages; both are read as raw JSON, of which only the
envelope and `metadata` are looked at. Kept in memory: uid, resourceVersion, name and owner of each
object, nothing else.

Guaranteed:

- After whatever happened, the facts given so far lead to the server's state. A version that is no
  longer kept (410 in any form) leads to a new list, at the last version first, which is compared
  with what is known: what changed is MODIFIED, what is gone is DELETED (with its last known
  metadata), and only what was never seen is ADDED.
- What may have been lost is said: an ERROR fact (a `Gap`, behind `ingest.normalise`) with its
  beginning and reason, before the facts of the comparison.
- No loop is hot: every early end of a watch and every failure waits on `ingest.backoff`'s ladder.
- Every watch ends: by the server's own timeout (5 to 10 minutes, at random), or after `idle`
  seconds without a byte, for a half-open connection never reports anything. No setting turns that
  off.
- A fact counts as given once `emit` has returned; a watch resumes behind the last one.

Left to others: what a fact means (`ingest.normalise`), how many facts may wait (`ingest.live`).
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Annotated, Final, cast

import msgspec
from pydantic import Field

from ingest.answers import DENIED_WAIT, Denied, Expired, Refused, Reply, Silent, error_event
from ingest.backoff import Backoff, BackoffSettings
from ingest.buffer import Overflow
from ingest.cluster import Cluster
from ingest.facts import Fact, Kind, Type
from ingest.gaps import gap_object
from ingest.health import Status
from ingest.known import Known, Metadata
from ingest.lines import Lines
from ingest.resources import Resource
from ingest.scope import Scope
from stream.clock import Clock
from stream.errors import Rejected, Unavailable

log = logging.getLogger(__name__)

Emit = Callable[[Fact], Awaitable[None]]

_LIST_ENDS: Final = "k8s.io/initial-events-end"  # annotation of the bookmark behind a list
_SHORT: Final = 60.0  # seconds; a watch that ends before has failed, for servers promise minutes


class _BrokenLine(Exception):  # noqa: N818, RUF100
    """A watch line that is no event."""


@dataclass(frozen=True, slots=True)
class ReflectSettings:
    """How lists and watches are made."""

    page: Annotated[int, Field(ge=1)] = 500
    """Objects per page of a list."""
    streaming: bool = True
    """Whether lists are asked for as a stream first (WatchList, Kubernetes 1.27 and later)."""
    idle: Annotated[float, Field(gt=0)] = 150.0
    """Seconds without a byte after which a connection is dead; bookmarks come once a minute."""
    shortest: Annotated[float, Field(ge=60)] = 300.0
    """Seconds after which the server is asked to end a watch, at the least: the true time lies at
    random between this and `longest`."""
    longest: Annotated[float, Field(ge=60)] = 600.0
    """Seconds after which the server is asked to end a watch, at the most."""
    line_limit: Annotated[int, Field(ge=65_536)] = 8 * 1024 * 1024
    """Longest watch line in bytes; etcd takes objects of 1.5 MiB."""
    page_limit: Annotated[int, Field(ge=65_536)] = 64 * 1024 * 1024
    """Longest page of a list in bytes; a longer one is asked for again with half the objects."""
    backoff: BackoffSettings = field(default_factory=BackoffSettings)
    """How long to wait before trying again."""

    def __post_init__(self) -> None:
        """Refuse an empty range of times."""
        if self.shortest > self.longest:
            raise ValueError("a watch needs shortest <= longest")


class _Head(msgspec.Struct, gc=False):
    metadata: Metadata


class _Envelope(msgspec.Struct, gc=False):
    type: str
    object: msgspec.Raw


class _PageMetadata(msgspec.Struct, gc=False):
    resource_version: str = msgspec.field(default="", name="resourceVersion")
    continue_: str = msgspec.field(default="", name="continue")


class _Page(msgspec.Struct, gc=False):
    metadata: _PageMetadata
    items: list[msgspec.Raw] | None = None


_head: Final = msgspec.json.Decoder(_Head).decode
_envelope: Final = msgspec.json.Decoder(_Envelope).decode
_page: Final = msgspec.json.Decoder(_Page).decode


class Reflector:
    """Keeps one resource of one cluster in sight.

    Parameters
    ----------
    cluster
        Connected.
    resource
        What to watch.
    emit
        Takes each fact, in order; may wait, and may raise `Overflow`.
    room
        Waits until `emit` may be tried again after an `Overflow`.
    scope
        Which objects are looked at; None: all of them.
    namespace
        Watch this namespace alone; "" for all at once.
    since
        Until when an earlier run had seen this cluster, Unix seconds: what lies between is a gap.
    known
        What was there then, without versions: what the first list does not have of it is DELETED.

    Attributes
    ----------
    resource
        What it watches.
    status
        What it is doing; `ingest.health` reads it.
    listed
        Set when the first list is complete.
    """

    def __init__(
        self,
        cluster: Cluster,
        resource: Resource,
        clock: Clock,
        emit: Emit,
        room: Callable[[], Awaitable[None]],
        *,
        settings: ReflectSettings = ReflectSettings(),
        scope: Scope | None = None,
        namespace: str = "",
        since: float | None = None,
        known: Iterable[Metadata] = (),
        chance: random.Random | None = None,
    ) -> None:
        name = f"{resource.name}/{namespace}" if namespace else resource.name
        self.status = Status(cluster.name, name, settings.idle)
        self._cluster = cluster
        self.resource = resource
        self._clock = clock
        self._emit = emit
        self._room = room
        self._settings = settings
        self._scope = scope
        self._path = resource.path(namespace)
        self._selector = scope.labels if scope is not None and resource.selected else ""
        self._chance = chance or random.Random()
        self._backoff = Backoff(settings.backoff, self._chance)
        self._known = Known()
        for each in known:
            self._known.note(each)
        self._streaming = settings.streaming
        self._page = settings.page
        self._version = ""  # the watch goes on behind it
        self._listed = False  # at least once
        self._must_list = True
        self._list_from = ""  # "": the newest there is
        self._sound_at = clock.now()  # until then nothing was missed
        self._gap: tuple[float, str] | None = None if since is None else (since, "restart")
        self._cause = ""  # of the present trouble, where it is a better word than "expired"
        self._broken_at: str | None = None  # version behind which a line was broken
        self._reply: Reply | None = None
        self._rescoping = False
        self.listed = asyncio.Event()

    async def run(self) -> None:
        """List and watch until cancelled."""
        try:
            while True:
                reason, retry_after = await self._turn()
                self.status.counts[f"restart:{reason}"] += 1
                if reason in ("timeout", "rescope"):
                    continue
                now = self._clock.now()
                self.status.retry_at = now + self._backoff.next_wait(now, retry_after)
                self.status.phase = "waiting"
                self.status.counts["waits"] += 1
                await self._clock.sleep_until(self.status.retry_at)
                self.status.retry_at = None
                self.status.phase = "connecting"
        finally:
            self.status.phase = "stopped"

    def rescope(self) -> None:
        """List anew, because the scope has changed: what left it is DELETED, what entered ADDED."""
        self._rescoping = self._must_list = True
        self._list_from = ""
        if self._reply is not None:
            self._reply.close()

    # ---- one turn: until something ends it ----------------------------------------------------

    async def _turn(self) -> tuple[str, float | None]:
        """List where needed, watch until it ends; return why, and what wait the server asked."""
        try:
            await self._list_and_watch()
        except Overflow:
            self._trouble("overflow", "the buffer is full: the bus takes nothing")
            await self._room()
            return "overflow", None
        except Expired as error:
            self._on_expired()
            return self._told("expired", error)
        except _BrokenLine as error:
            return self._told("broken-line", error)
        except Unavailable as error:
            if self._rescoping:
                return "rescope", None
            if isinstance(error, Silent):
                self._trouble("stalled", str(error))
            named = {Denied: "denied", Silent: "stalled"}.get(type(error), "unavailable")
            return self._told(named, error)
        except Rejected as error:  # the API is not there, or not as we know it
            return self._told("refused", error, DENIED_WAIT)
        return "timeout", None

    def _told(
        self, reason: str, error: Exception, retry_after: float | None = None
    ) -> tuple[str, float | None]:
        text = str(error)
        if text != self.status.reason:  # once per trouble, not once per try
            self.status.reason = text
            log.warning("%s", text)
        asked = error.retry_after if isinstance(error, Unavailable) else retry_after
        return reason, asked

    def _trouble(self, cause: str, text: str) -> None:
        self._cause = self._cause or cause
        self.status.reason = text

    def _on_expired(self) -> None:
        if not self._must_list:  # the watch's version is gone
            self._must_list = True
            self._list_from = self._version
            if self._gap is None:
                self._gap = (self._sound_at, self._cause or "expired")
        elif self._list_from:
            self._list_from = ""
        else:  # a continue token ran out: fewer, larger pages next time
            self._page = min(self._page * 2, 20 * self._settings.page)

    async def _list_and_watch(self) -> None:
        self._rescoping = False
        if self._must_list and self._streaming:
            try:
                await self._watch(listing=True)
            except Refused as error:
                if self._listing_refused(error):
                    await self._list()
                else:
                    raise
            else:
                return
        elif self._must_list:
            await self._list()
        await self._watch(listing=False)

    def _listing_refused(self, error: Refused) -> bool:
        log.info("%s: lists come in pages (%s)", self._path, error)
        self._streaming = False
        return self._must_list

    # ---- list -------------------------------------------------------------------------------

    async def _list(self) -> None:
        """Read the whole list in pages and compare it with what is known."""
        self.status.phase = "listing"
        self._begin_list()
        token = ""
        while True:
            page = await self._get_page(token)
            if page is None:
                continue
            await self._say_gap()
            for item in page.items or ():
                try:
                    metadata = _head(item).metadata
                except (ValueError, RecursionError):
                    self.status.counts["broken_lines"] += 1
                    await self._give("LIST", item)  # whoever reads it makes it a dead letter
                else:
                    await self._compare(item, metadata)
            token = page.metadata.continue_
            if not token:
                await self._list_done(page.metadata.resource_version)
                return

    def _begin_list(self) -> None:
        self._known.begin()
        self.status.listing_since = self._clock.now()

    async def _get_page(self, token: str) -> _Page | None:
        """Return a page; None where it was too long and is to be asked for in smaller pieces."""
        params = [("limit", str(self._page))]
        if token:
            params.append(("continue", token))
        elif self._list_from:
            params += [
                ("resourceVersion", self._list_from),
                ("resourceVersionMatch", "NotOlderThan"),
            ]
        if self._selector:
            params.append(("labelSelector", self._selector))
        self.status.counts["lists"] += 1
        rbac = self.resource.rbac
        async with self._cluster.request(
            "GET", self._path, verb="list", resource=rbac, params=params
        ) as reply:
            try:
                body = await reply.body(self._settings.page_limit, self._settings.idle)
            except Refused:
                if self._page == 1:
                    raise
                self._page = max(1, self._page // 2)
                return None
        self._heard(len(body))
        try:
            return _page(body)
        except (ValueError, RecursionError) as error:
            raise Unavailable(f"{self._what}: the list is cut or is no list: {error}") from error

    async def _compare(self, item: msgspec.Raw, metadata: Metadata) -> None:
        if not self._admits(metadata):
            return  # where it is known, it is missing from the list as far as we are concerned
        before = self._known.version(metadata.uid)
        if before == metadata.resource_version:
            self._known.confirm(metadata.uid)
            return
        known: Type = "ADDED" if before is None else "MODIFIED"
        await self._give(known if self._listed else "LIST", item)
        self._known.note(metadata)

    async def _list_done(self, version: str) -> None:
        for uid in self._known.missing():
            await self._give("DELETED", self._known.tombstone(uid, self.resource))
            self._known.forget(uid)
        self._version = version
        self._must_list, self._list_from, self._listed = self._rescoping, "", True
        self._sound_at = self.status.listed_at = self._clock.now()
        self.status.lists.observe(self._sound_at - self.status.listing_since)
        self._cause = self.status.reason = ""
        self.status.known = len(self._known)
        self.listed.set()
        if self._rescoping:
            raise Unavailable(f"{self._what}: the scope has changed while it was listed")

    # ---- watch ------------------------------------------------------------------------------

    async def _watch(self, *, listing: bool) -> None:
        """Watch until the server ends it in good order; with `listing`, the list comes first."""
        settings = self._settings
        seconds = int(self._chance.uniform(settings.shortest, settings.longest))
        params = [
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", str(seconds)),
            ("resourceVersion", self._list_from if listing else self._version),
        ]
        if listing:
            params += [("sendInitialEvents", "true"), ("resourceVersionMatch", "NotOlderThan")]
            self._begin_list()
        if self._selector:
            params.append(("labelSelector", self._selector))
        self.status.counts["watches"] += 1
        rbac = self.resource.rbac
        async with self._cluster.request(
            "GET", self._path, verb="watch", resource=rbac, params=params
        ) as reply:
            self._reply = reply
            try:
                await self._read(reply, listing=listing)
            finally:
                self._reply = None

    async def _read(self, reply: Reply, *, listing: bool) -> None:
        opened = self._clock.now()
        self.status.phase = "listing" if listing else "watching"
        self._heard(0)
        if listing:
            await self._say_gap()
        lines = Lines(self._settings.line_limit)
        async with aclosing(reply.chunks(self._settings.idle)) as chunks:
            async for chunk in chunks:
                self._heard(len(chunk))
                for line in lines.feed(chunk):
                    await self._line(line)
        lasted = self._clock.now() - opened
        if lines.pending:
            self.status.counts["broken_lines"] += 1
            raise _BrokenLine(f"{self._what}: the connection ended within a line")
        if self._must_list or lasted < _SHORT:
            raise Unavailable(f"{self._what}: the server closed the watch after {lasted:.0f} s")

    async def _line(self, line: bytes | None) -> None:
        try:
            if line is None:
                raise ValueError(f"it is longer than {self._settings.line_limit} bytes")
            if not line.isascii():
                line.decode()
            envelope = _envelope(line)
            if envelope.type == "ERROR":
                raise error_event(envelope.object, self._what)
            metadata = _head(envelope.object).metadata
        except (ValueError, RecursionError) as error:  # UnicodeDecodeError, msgspec.DecodeError
            await self._broken(str(error))
            return
        if envelope.type == "BOOKMARK":
            self.status.counts["bookmarks"] += 1
            if self._must_list and _LIST_ENDS not in (metadata.annotations or {}):
                return
            if self._must_list:
                await self._list_done(metadata.resource_version)
                self.status.phase = "watching"
        elif self._must_list and envelope.type == "ADDED":
            await self._compare(envelope.object, metadata)
            return
        else:
            await self._event(envelope.type, envelope.object, metadata)
        if not self._must_list:
            self._version = metadata.resource_version
            self._sound_at = self._clock.now()
            self._cause = self.status.reason = ""

    async def _event(self, kind: str, item: msgspec.Raw, metadata: Metadata) -> None:
        uid = metadata.uid
        before = self._known.version(uid)
        if kind == "DELETED":
            if before is not None or self._admits(metadata):
                await self._give("DELETED", item)
            self._known.forget(uid)
        elif not self._admits(metadata):
            if before is not None:
                await self._give("DELETED", self._known.tombstone(uid, self.resource))
                self._known.forget(uid)
        elif before != metadata.resource_version:
            await self._give("ADDED" if before is None else "MODIFIED", item)
            self._known.note(metadata)
        self.status.known = len(self._known)

    async def _broken(self, what: str) -> None:
        """Resume before a broken line once; where it is still broken, leave it out and say so."""
        self.status.counts["broken_lines"] += 1
        if self._broken_at != self._version:
            self._broken_at = self._version
            raise _BrokenLine(f"{self._what}: a line is no event: {what}")
        self._gap = (self._sound_at, "broken-line")
        await self._say_gap()

    # ---- giving -----------------------------------------------------------------------------

    @property
    def _what(self) -> str:
        return f"cluster {self._cluster.name}: watch {self.resource.rbac}"

    def _admits(self, metadata: Metadata) -> bool:
        scope = self._scope
        return scope is None or scope.admits(metadata.namespace, metadata.annotations)

    def _heard(self, size: int) -> None:
        self.status.heard_at = self._clock.now()
        self.status.counts["bytes"] += size

    async def _give(self, kind: Type, item: msgspec.Raw) -> None:
        resource = cast(Kind, self.resource.name)  # namespaces stay within `ingest.live`
        await self._emit(Fact(self._clock.now(), self._cluster.name, resource, kind, item))
        self.status.counts["facts"] += 1

    async def _say_gap(self) -> None:
        if self._gap is not None:
            since, reason = self._gap
            await self._give("ERROR", gap_object(since, reason))
            self._gap = None
            self.status.counts["gaps"] += 1
