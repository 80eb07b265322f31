"""`forewarn doctor`: what would keep forewarn from seeing a cluster, before it is run.

Asks what a run would need: each right by an access review of ourselves, the server's version and
clock, whether lists may be streamed, where samples would come from, whether the store can be
written, or Kafka has the topics. Guaranteed: it changes nothing in a cluster (an access review is
not kept), and each finding that is not well says what to do. Left to others: printing
(`forewarn.commands.doctor`).
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from enum import StrEnum
from importlib.metadata import version
from typing import Any, Final, NamedTuple

import msgspec

from forewarn.config import Config
from forewarn.topics import topics
from ingest.answers import Reply
from ingest.cluster import Cluster, ClusterSettings, refuse_known_bad
from ingest.facts import Fact
from ingest.kubelet import Sampler
from ingest.rights import Right, rights
from ingest.settings import IngestSettings
from stream.clock import Clock
from stream.errors import Corrupt, ForewarnError, Unavailable

_SKEW: Final = 60.0  # seconds; a Date header has whole seconds, tokens and leases bear no minute
_OLDEST: Final = (1, 27)  # the first that streams lists; older ones are listed in pages


class _Items(msgspec.Struct):
    items: list[msgspec.Raw] | None = None


_items: Final = msgspec.json.Decoder(_Items).decode


class Verdict(StrEnum):
    """How a finding is to be taken."""

    WELL = "well"
    POOR = "poor"  # it runs, and sees less
    WRONG = "wrong"  # it does not run, or not truly


class Symptom(NamedTuple):
    """One thing that was looked at."""

    where: str  # cluster, "store", "libraries"
    what: str
    verdict: Verdict
    text: str


async def examine(config: Config, clock: Clock) -> AsyncIterator[Symptom]:
    """Yield everything that was looked at, as it is found."""
    yield _libraries()
    yield await _kafka(config) if config.bus == "kafka" else _store(config)
    settings = config.ingest.named(config.cluster)
    for cluster in settings.clusters:
        async for each in _cluster(cluster, settings, clock):
            yield each


def _libraries() -> Symptom:
    installed = f"kubernetes {version('kubernetes')}"
    try:
        refuse_known_bad()
    except Corrupt as error:
        return Symptom("libraries", "client", Verdict.WRONG, str(error))
    return Symptom("libraries", "client", Verdict.WELL, f"{installed} is not known to be broken")


async def _kafka(config: Config) -> Symptom:
    where = ", ".join(config.kafka.bootstrap)
    try:
        lines = await topics(config, ensure=False)
    except ForewarnError as error:
        return Symptom("kafka", "brokers", Verdict.WRONG, str(error))
    missing = sum(line.state == "missing" for line in lines)
    odd = [f"{line.topic}: {line.state}" for line in lines if line.state not in ("good", "missing")]
    if odd:
        return Symptom("kafka", "topics", Verdict.WRONG, "; ".join(odd))
    if missing:
        text = f"{missing} of {len(lines)} are missing; run `forewarn topics ensure`"
        return Symptom("kafka", "topics", Verdict.POOR, text)
    return Symptom("kafka", "topics", Verdict.WELL, f"all {len(lines)} are there, on {where}")


def _store(config: Config) -> Symptom:
    path = config.store.path.expanduser()
    folder = next(each for each in (path.parent, *path.parent.parents) if each.exists())
    target = path if path.exists() else folder
    if not (folder.is_dir() and os.access(target, os.W_OK)):
        hint = "mount a volume there, or change store.path"
        return Symptom("store", "file", Verdict.WRONG, f"{target} cannot be written; {hint}")
    return Symptom("store", "file", Verdict.WELL, f"{path} can be written")


async def _cluster(
    where: ClusterSettings, settings: IngestSettings, clock: Clock
) -> AsyncIterator[Symptom]:
    try:
        cluster = await Cluster.connect(where, clock)
    except ForewarnError as error:
        yield Symptom(where.name, "connection", Verdict.WRONG, str(error))
        return
    try:
        async for each in _server(cluster, clock):
            yield each
        for right in rights(settings, leads=where == settings.clusters[0]):
            yield await _right(cluster, right)
        if settings.kubelet.source != "off" and not settings.scope.namespaced:
            yield await _samples(cluster, settings, clock)
    except ForewarnError as error:
        yield Symptom(where.name, "connection", Verdict.WRONG, str(error))
    finally:
        await cluster.aclose()


async def _server(cluster: Cluster, clock: Clock) -> AsyncIterator[Symptom]:
    async with cluster.request("GET", "/version", verb="get", resource="/version") as reply:
        server_time = reply.server_time
        told = await _document(reply)
    number = tuple(int(str(told.get(part, "0")).rstrip("+")) for part in ("major", "minor"))
    said = str(told.get("gitVersion", "unknown"))
    if number >= _OLDEST:
        yield Symptom(cluster.name, "version", Verdict.WELL, said)
    else:
        text = f"{said} does not stream lists: they come in pages, which costs it more"
        yield Symptom(cluster.name, "version", Verdict.POOR, text)
    if server_time is None:
        yield Symptom(cluster.name, "clock", Verdict.POOR, "the server does not say its time")
        return
    skew = clock.now() - server_time
    text = f"ours is {abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}"
    if abs(skew) <= _SKEW:
        yield Symptom(cluster.name, "clock", Verdict.WELL, text)
    else:
        yield Symptom(cluster.name, "clock", Verdict.WRONG, f"{text}; set up NTP on this machine")


async def _right(cluster: Cluster, right: Right) -> Symptom:
    resource, _, sub = right.resource.partition("/")
    attributes = {"verb": right.verb, "group": right.group, "resource": resource}
    attributes |= {"subresource": sub} if sub else {}
    attributes |= {"namespace": right.namespace} if right.namespace else {}
    async with cluster.request(
        "POST",
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        verb="create",
        resource="selfsubjectaccessreviews.authorization.k8s.io",
        body={
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        },
    ) as reply:
        answer = await _document(reply)
    if answer.get("status", {}).get("allowed"):
        return Symptom(cluster.name, str(right), Verdict.WELL, "allowed")
    verdict = Verdict.WRONG if right.needed else Verdict.POOR
    hint = f"not allowed, and needed {right.why}: see deploy/kubernetes for the Role"
    return Symptom(cluster.name, str(right), verdict, hint)


async def _document(reply: Reply) -> dict[str, Any]:
    try:
        document = json.loads(await reply.body(64 * 1024, 10.0))
    except ValueError as error:
        raise Unavailable(f"{reply.what}: the answer is no JSON; is this an API server?") from error
    return document if isinstance(document, dict) else {}


async def _samples(cluster: Cluster, settings: IngestSettings, clock: Clock) -> Symptom:
    """Sample the first nodes as a run would, and say what came."""
    body = await cluster.json(
        "/api/v1/nodes", verb="list", resource="nodes", params=[("limit", "3")]
    )
    nodes = _items(body).items or []
    kinds: list[str] = []

    def take(fact: Fact) -> bool:
        kinds.append(fact.resource)
        return True

    sampler = Sampler(cluster, clock, take, settings.kubelet)
    for node in nodes:
        sampler.note(Fact(clock.now(), cluster.name, "nodes", "LIST", node))
    await sampler.cycle()
    await sampler.settle()
    if "summary" in kinds:
        text = f"{kinds.count('summary')} of {len(nodes)} kubelets asked gave a summary"
        return Symptom(cluster.name, "samples", Verdict.WELL, text)
    await sampler.cycle()  # now that kubelets have failed, what stands in for them
    why = sampler.status.reason or "no node gave a sample"
    if "metrics" not in kinds:
        why += "; nothing that grows can be forecast without samples"
    return Symptom(cluster.name, "samples", Verdict.POOR, why)
