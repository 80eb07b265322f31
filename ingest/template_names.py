"""Which ConfigMaps and volume claims a workload's pod template names.

By volumes, projected volumes, ``env`` and ``envFrom`` of all containers, and the claims that a
StatefulSet makes for each pod: ``<template>-<set>-<ordinal>``. A spec that cannot be read names
nothing. Left to others: whose spec it is (`ingest.workloads`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from ingest.objects import READ_ERRORS, Raw
from stream.records import ObjectRef


class _Named(Raw):
    name: str = ""


class _ClaimSource(Raw):
    claim_name: str = ""


class _Projection(Raw):
    config_map: _Named | None = None


class _Projected(Raw):
    sources: list[_Projection] | None = None


class _Volume(Raw):
    config_map: _Named | None = None
    projected: _Projected | None = None
    persistent_volume_claim: _ClaimSource | None = None


class _ValueFrom(Raw):
    config_map_key_ref: _Named | None = None


class _Env(Raw):
    value_from: _ValueFrom | None = None


class _EnvFrom(Raw):
    config_map_ref: _Named | None = None


class _Container(Raw):
    env: list[_Env] | None = None
    env_from: list[_EnvFrom] | None = None


class _PodSpec(Raw):
    volumes: list[_Volume] | None = None
    containers: list[_Container] | None = None
    init_containers: list[_Container] | None = None


class _Template(Raw):
    spec: _PodSpec | None = None


class _ClaimTemplate(Raw):
    metadata: _Named | None = None


class _Spec(Raw):
    template: _Template | None = None
    volume_claim_templates: list[_ClaimTemplate] | None = None

    @property
    def pod(self) -> _PodSpec:
        return (self.template.spec if self.template is not None else None) or _PodSpec()


def configmaps_in(spec: bytes) -> set[str]:
    """Return the ConfigMaps that a workload's raw spec names."""
    pod = _spec(spec).pod
    found: list[_Named | None] = []
    for volume in pod.volumes or ():
        found.append(volume.config_map)
        if volume.projected is not None:
            found += [each.config_map for each in volume.projected.sources or ()]
    for container in (*(pod.containers or ()), *(pod.init_containers or ())):
        found += [each.config_map_ref for each in container.env_from or ()]
        found += [
            each.value_from.config_map_key_ref
            for each in container.env or ()
            if each.value_from is not None
        ]
    return {each.name for each in found if each is not None}


def claims_in(ref: ObjectRef, spec: bytes) -> Iterator[re.Pattern[str]]:
    """Yield patterns, each to match a whole name, of the claims that a workload's pods mount."""
    read = _spec(spec)
    for volume in read.pod.volumes or ():
        if volume.persistent_volume_claim is not None:
            yield re.compile(re.escape(volume.persistent_volume_claim.claim_name))
    for template in read.volume_claim_templates or ():
        if template.metadata is not None:
            yield re.compile(rf"{re.escape(template.metadata.name)}-{re.escape(ref.name)}-\d+")


def _spec(spec: bytes) -> _Spec:
    try:
        return _read_spec(spec)
    except READ_ERRORS:
        return _Spec()  # whatever it is, it names nothing that can be read


_read_spec: Final = msgspec.json.Decoder(_Spec).decode
