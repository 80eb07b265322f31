"""Leader election by a Lease: of several replicas one watches, the others stand by.

The rules of client-go's leaderelection: a lease that its holder has not renewed for 15 s, by our
own clock, may be taken; a holder that cannot renew for 10 s stops its work first; tries come every
2 s. On the way out the lease is given back, so that a successor starts at once, not after 15 s.

Guaranteed: this replica works only while its last renewal is younger than `renew_within`, which is
shorter than `duration`, so two work at the same time only if a clock runs wrong by the difference;
even that is harmless, because ids are deterministic and the bus fences. Clocks of different
machines are never compared. Left to others: the work.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
from pydantic import Field

from ingest.answers import Refused
from ingest.cluster import Cluster
from stream.clock import Clock
from stream.errors import ForewarnError, Rejected

log = logging.getLogger(__name__)

_GROUP: Final = "coordination.k8s.io"
_TAKEN: Final = 409  # somebody else was faster


@dataclass(frozen=True, slots=True)
class LeaseSettings:
    """Which of several replicas works: the one that holds a Lease. Times are client-go's."""

    elect: bool = False
    """Whether there is an election at all; with one replica there need not be."""
    namespace: str = "forewarn"
    """Namespace of the Lease; it is kept in the first of the clusters."""
    name: str = "forewarn-ingest"
    """Name of the Lease: one per group of replicas that do the same."""
    duration: Annotated[float, Field(ge=2)] = 15.0
    """Seconds without renewal after which anybody may take it."""
    renew_within: Annotated[float, Field(gt=0)] = 10.0
    """Seconds without renewal after which the holder stops; less than `duration`."""
    retry: Annotated[float, Field(gt=0)] = 2.0
    """Seconds between two tries, with jitter; less than `renew_within`."""

    def __post_init__(self) -> None:
        """Refuse times with which two could work at once."""
        if not self.retry < self.renew_within < self.duration:
            raise ValueError("a lease needs retry < renew_within < duration")


class _Spec(msgspec.Struct, rename="camel", omit_defaults=True):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class _Lease(msgspec.Struct):
    metadata: dict[str, Any]
    spec: _Spec = msgspec.field(default_factory=_Spec)


_decode: Final = msgspec.json.Decoder(_Lease).decode


class Lease:
    """One replica's part in the election.

    Parameters
    ----------
    cluster
        Where the Lease is kept.
    identity
        Who we are, unique among the replicas: host name and a random part.

    Attributes
    ----------
    held
        Whether this replica is the one that works.
    holder
        Who holds it, as far as is known; "" for nobody.
    """

    def __init__(
        self,
        cluster: Cluster,
        clock: Clock,
        identity: str,
        settings: LeaseSettings = LeaseSettings(),
        chance: random.Random | None = None,
    ) -> None:
        self.held = False
        self.holder = ""
        self._cluster = cluster
        self._clock = clock
        self._identity = identity
        self._settings = settings
        self._chance = chance or random.Random()
        self._seen: _Lease | None = None
        self._seen_at = 0.0  # our clock, when the lease last changed
        self._renewed_at = 0.0

    async def lead(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work` whenever this replica holds the lease, until cancelled or `work` returns.

        `work` is cancelled when the lease is lost, and begun anew when it is held again. What it
        raises ends the election, the lease given back.
        """
        task: asyncio.Future[None] | None = None
        try:
            while True:
                await self._try()
                if self.held and task is None:
                    log.info("holding lease %s as %s", self._settings.name, self._identity)
                    task = asyncio.ensure_future(work())
                elif not self.held and task is not None:
                    log.warning("lost lease %s to %s", self._settings.name, self.holder or "time")
                    await _stop(task)
                    task = None
                if await self._pause(task):
                    return
        finally:
            try:
                if task is not None and not task.done():
                    await _stop(task)
            finally:
                await asyncio.shield(self.release())

    async def release(self) -> None:
        """Give the lease back if it is held; what goes wrong then only costs the others time."""
        if not self.held or self._seen is None:
            return
        self.held = False
        spec = self._spec(self._seen.spec)
        spec.holder_identity, spec.lease_duration_seconds = "", 1
        with suppress(ForewarnError):
            await self._write("PUT", self._seen.metadata, spec)

    @property
    def standby(self) -> bool:
        """Whether another replica works; for `ingest.health`."""
        return not self.held and self.holder != ""

    # ---- one try ----------------------------------------------------------------------------

    async def _pause(self, task: asyncio.Future[None] | None) -> bool:
        """Wait for the next try; return whether the work has ended by itself."""
        pause = self._settings.retry * (1.0 + 0.2 * self._chance.random())
        timer = asyncio.ensure_future(self._clock.sleep_until(self._clock.now() + pause))
        try:
            await asyncio.wait(
                {timer} if task is None else {timer, task}, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            timer.cancel()
        if task is not None and task.done():
            task.result()
            return True
        return False

    async def _try(self) -> None:
        try:
            await self._acquire_or_renew()
        except Refused as error:
            if error.status != _TAKEN:
                self._complain(error)
        except ForewarnError as error:
            self._complain(error)
        if self.held and self._clock.now() - self._renewed_at >= self._settings.renew_within:
            self.held = False

    def _complain(self, error: ForewarnError) -> None:
        log.warning("lease %s: %s", self._settings.name, error)

    async def _acquire_or_renew(self) -> None:
        now = self._clock.now()
        lease = await self._read()
        if lease is None:
            created = await self._write("POST", self._names(), self._spec(None))
            self._note(created, now)
            self._hold(now)
            return
        if self._seen is None or lease.spec != self._seen.spec:
            self._note(lease, now)
        holder = lease.spec.holder_identity or ""
        ours = holder == self._identity
        duration = lease.spec.lease_duration_seconds or self._settings.duration
        if holder and not ours and now < self._seen_at + duration:
            self.held = False
            return
        written = await self._write("PUT", lease.metadata, self._spec(lease.spec))
        self._note(written, now)
        self._hold(now)

    def _note(self, lease: _Lease, now: float) -> None:
        self._seen, self._seen_at = lease, now
        self.holder = lease.spec.holder_identity or ""

    def _hold(self, began: float) -> None:
        self._renewed_at = began  # before the request, so never later than the server's view
        self.held = True

    def _names(self) -> dict[str, Any]:
        return {"name": self._settings.name, "namespace": self._settings.namespace}

    def _spec(self, before: _Spec | None) -> _Spec:
        now = datetime.fromtimestamp(self._clock.now(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = _Spec(self._identity, int(self._settings.duration), now, now, lease_transitions=0)
        if before is not None:
            same = before.holder_identity == self._identity
            spec.acquire_time = before.acquire_time if same else now
            spec.lease_transitions = (before.lease_transitions or 0) + (0 if same else 1)
        return spec

    # ---- the API ----------------------------------------------------------------------------

    async def _read(self) -> _Lease | None:
        try:
            return await self._send("GET", "get", f"/{self._settings.name}", None)
        except Refused as error:
            if error.status == 404:
                return None
            raise

    async def _write(self, method: str, metadata: dict[str, Any], spec: _Spec) -> _Lease:
        body = {
            "apiVersion": f"{_GROUP}/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": msgspec.to_builtins(spec),
        }
        if method == "POST":
            return await self._send(method, "create", "", body)
        return await self._send(method, "update", f"/{self._settings.name}", body)

    async def _send(self, method: str, verb: str, path: str, body: dict[str, Any] | None) -> _Lease:
        settings = self._settings
        async with self._cluster.request(
            method,
            f"/apis/{_GROUP}/v1/namespaces/{settings.namespace}/leases{path}",
            verb=verb,
            resource=f"leases.{_GROUP}",
            body=body,
            wait=settings.renew_within - settings.retry,
        ) as reply:
            text = await reply.body(64 * 1024, settings.retry)
        try:
            return _decode(text)
        except (ValueError, RecursionError) as error:
            raise Rejected(f"lease {settings.name} is no Lease: {error}") from error


async def _stop(task: asyncio.Future[None]) -> None:
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.result()
