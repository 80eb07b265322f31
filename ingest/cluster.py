"""One cluster's API server: where it is, who we are, and raw answers from it.

The only file that imports ``kubernetes``, and of that only configuration (kubeconfig, in-cluster,
exec plug-ins), TLS and the aiohttp session; its typed models, watches and informers are 20 to 400
times slower than raw JSON and retry without any back-off (docs/adr/0006). The library is imported
when the first cluster is connected, because that alone takes half a second.

Guaranteed: each failure is one of our own words: `Expired` (410), `Denied` (401, 403; says which
verb and resource RBAC lacks), `Refused` (the request itself is wrong, or the API is not there),
`Silent` (no byte for too long), `Unavailable` (the rest: wait, then again). A 401 reads the
credentials anew and tries once more, so a rotated token is no error. Every wait has an end, on the
given clock. No secret is ever part of a message.

Left to others: retrying, and what an answer means.
"""

from __future__ import annotations

import asyncio
import copy
import hashlib
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import aiohttp
from pydantic import Field

from ingest.answers import Reply, Silent, Unanswered, complaint, cut, within
from stream.clock import Clock
from stream.errors import Corrupt, Rejected, Unavailable

KNOWN_BAD: Final = {
    # Found by experiment: every request of a pod is anonymous. 36.0.1 and 35.0.0 are fine.
    "36.0.0": "it sends no Authorization header from within a cluster",
}
SERVICE_ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
_REREAD: Final = 60.0  # seconds; kubelet renews a token file well before the old one ends
_CONNECT: Final = 10.0  # seconds for TCP and TLS
_BUFFER: Final = 64 * 1024  # bytes per connection; the library's 2 MiB are too many for ten watches


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """Where a cluster is found."""

    name: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[^\s/]+$")]
    """The ``cluster`` of every record."""
    kubeconfig: str = ""
    """Path of a kubeconfig; empty: the service account where there is one, else ``$KUBECONFIG`` or
    the home's."""
    context: str = ""
    """Context in the kubeconfig; empty: its current one."""
    service_account: str = SERVICE_ACCOUNT
    """Folder with ``token`` and ``ca.crt``, for a pod in the cluster itself."""
    wait: Annotated[float, Field(gt=0)] = 30.0
    """Seconds until the headers of an answer must have come."""


@dataclass(frozen=True, slots=True)
class Trust:
    """How a kubelet proves itself: its CA, or explicitly not at all."""

    ca_file: str = ""
    """PEM file with the CA of the kubelets' certificates; empty: the cluster's own CA."""
    insecure: bool = False
    """Take any certificate: the token then goes to whoever answers."""


class Cluster:
    """A connected cluster; make it with `connect`.

    Attributes
    ----------
    name
        As in the settings.
    requests
        How many were sent, retries of a 401 included.
    """

    def __init__(self, settings: ClusterSettings, clock: Clock) -> None:
        self.name = settings.name
        self.requests = 0
        self._settings = settings
        self._clock = clock
        self._lock = asyncio.Lock()
        self._host = ""
        self._authorization = ""
        self._read_at = 0.0
        self._print = b""
        self._in_cluster = False
        self._configuration: Any = None
        self._transport: Any = None  # kubernetes' RESTClientObject: TLS and session
        self._kubelets: dict[Trust, Any] = {}
        self._retired: list[Any] = []  # may still carry watches

    @classmethod
    async def connect(cls, settings: ClusterSettings, clock: Clock) -> Cluster:
        """Read configuration and credentials; no request is sent yet.

        Raises
        ------
        Rejected
            There is no such kubeconfig or context, or a file in it is missing.
        Corrupt
            The installed client library is known to be broken.
        """
        cluster = cls(settings, clock)
        await cluster._read_configuration()
        return cluster

    @asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        *,
        verb: str,
        resource: str,
        params: Sequence[tuple[str, str]] = (),
        body: Mapping[str, object] | None = None,
        host: str = "",
        trust: Trust | None = None,
        wait: float | None = None,
    ) -> AsyncIterator[Reply]:
        """Send a request and give the answer while its body is still coming.

        Parameters
        ----------
        path
            From the root: "/api/v1/pods".
        verb, resource
            In RBAC's words ("watch", "replicasets.apps"), for messages.
        body
            Sent as JSON.
        host, trust
            Where else than to the API server ("https://10.0.0.7:10250"), and whom to believe there.
        wait
            Seconds until the headers must be here; None: as in the settings.

        Raises
        ------
        Expired, Denied, Refused, Unavailable
            As the module says.
        """
        what = f"cluster {self.name}: {verb} {resource}"
        url = f"{host or self._host}{path}{'?' + urlencode(params) if params else ''}"
        limit = self._settings.wait if wait is None else wait
        if self._in_cluster and self._clock.now() - self._read_at >= _REREAD:
            await self._renew(self._authorization)
        used = self._authorization
        response = await self._send(method, url, body, trust, limit, what)
        if response.status == 401 and await self._renew(used):
            cut(response)
            response = await self._send(method, url, body, trust, limit, what)
        reply = Reply(response, self._clock, what)
        try:
            if response.status >= 400:
                text = await reply.body(limit=_BUFFER, idle=limit)
                raise complaint(response.status, response.headers, text, what, verb, resource)
            yield reply
        finally:
            reply.close()

    async def json(self, path: str, *, verb: str, resource: str, **options: Any) -> bytes:
        """Return the body of a GET, up to 16 MiB."""
        async with self.request("GET", path, verb=verb, resource=resource, **options) as reply:
            return await reply.body(limit=16 * 1024 * 1024, idle=self._settings.wait)

    async def aclose(self) -> None:
        """Close all connections."""
        for transport in (self._transport, *self._kubelets.values(), *self._retired):
            await transport.close()

    async def _send(
        self,
        method: str,
        url: str,
        body: Mapping[str, object] | None,
        trust: Trust | None,
        wait: float,
        what: str,
    ) -> aiohttp.ClientResponse:
        transport = self._transport if trust is None else self._kubelet_transport(trust)
        headers = {
            "Accept": "application/json",
            "Content-Type": "application/json",
            # Compressing a list costs the API server more than the network saves.
            "Accept-Encoding": "identity",
            "User-Agent": "forewarn",
        }
        if self._authorization:
            headers["Authorization"] = self._authorization
        if trust is not None:
            # Each TLS connection holds 256 KiB, and a kubelet is asked twice a minute.
            headers["Connection"] = "close"
        self.requests += 1
        forever = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT)  # the rest is `within`
        came: list[aiohttp.ClientResponse] = []

        async def ask() -> None:
            answer = await transport.request(
                method, url, headers=headers, body=body, _request_timeout=forever
            )
            came.append(answer.response)

        try:
            await within(self._clock, wait, ask())
        except Unanswered as error:
            raise Silent(f"{what}: no answer within {wait:.0f} s") from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unavailable(f"{what}: {type(error).__name__}: {error}") from error
        except asyncio.CancelledError:
            for response in came:  # it came together with the cancellation
                cut(response)
            raise
        return came[0]

    def _kubelet_transport(self, trust: Trust) -> Any:
        """Return the transport for kubelets that are believed by `trust`; its session is shared."""
        transport = self._kubelets.get(trust)
        if transport is None:
            changes: dict[str, object] = {"verify_ssl": not trust.insecure, "tls_server_name": None}
            if trust.ca_file:
                changes["ssl_ca_cert"] = trust.ca_file
            transport = self._kubelets[trust] = self._make_transport(changes)
        return transport

    def _make_transport(self, changes: Mapping[str, object]) -> Any:
        from kubernetes.aio.client.rest import RESTClientObject

        configuration = copy.copy(self._configuration)
        for name, value in changes.items():
            setattr(configuration, name, value)
        try:
            return RESTClientObject(configuration)
        except OSError as error:  # ssl.SSLError is one
            raise Rejected(
                f"cluster {self.name}: cannot use its certificates: {error.strerror or error}"
            ) from error

    async def _renew(self, used: str) -> bool:
        """Read the credentials anew; return whether that makes a second try worth while."""
        async with self._lock:
            if self._authorization != used:
                return True  # another request has just done it
            transport = self._transport
            try:
                await self._read_configuration()
            except Rejected as error:  # a file may be missing for the moment of its rotation
                raise Unavailable(str(error)) from error
            return self._authorization != used or self._transport is not transport

    async def _read_configuration(self) -> None:
        self._configuration = configuration = await _configuration(self._settings)
        self._in_cluster = _is_in_cluster(self._settings)
        self._host = str(configuration.host)
        # A newline behind the token would be a second header.
        self._authorization = str(configuration.api_key.get("BearerToken", "")).strip()
        self._read_at = self._clock.now()
        try:
            seen = _fingerprint(configuration)
        except OSError as error:
            raise Rejected(f"cluster {self.name}: cannot read {error.filename}") from error
        if seen != self._print:
            fresh = self._make_transport({})
            if self._transport is not None:
                self._retired += [self._transport, *self._kubelets.values()]
                self._kubelets = {}
            self._transport, self._print = fresh, seen


def refuse_known_bad() -> None:
    """Refuse client libraries that lose data or credentials silently.

    Raises
    ------
    Corrupt
        With the reason, and what to install instead.
    """
    version = metadata.version("kubernetes")
    if version in KNOWN_BAD:
        raise Corrupt(
            f"the Python package kubernetes {version} cannot be used: {KNOWN_BAD[version]}; "
            "install 37.0.2"
        )


def _is_in_cluster(settings: ClusterSettings) -> bool:
    token = Path(settings.service_account, "token")
    return not settings.kubeconfig and "KUBERNETES_SERVICE_HOST" in os.environ and token.is_file()


async def _configuration(settings: ClusterSettings) -> Any:
    """Return the library's Configuration, filled from the cluster or from a kubeconfig."""
    refuse_known_bad()
    import yaml
    from kubernetes.aio.client.configuration import Configuration
    from kubernetes.aio.config.config_exception import ConfigException
    from kubernetes.aio.config.incluster_config import InClusterConfigLoader
    from kubernetes.aio.config.kube_config import KUBE_CONFIG_DEFAULT_LOCATION, load_kube_config

    configuration = Configuration()
    configuration.connection_pool_maxsize = 0  # a namespaced scope holds many watches open
    configuration.client_session_kwargs = {
        "read_bufsize": _BUFFER,
        "cookie_jar": aiohttp.DummyCookieJar(),
    }
    folder = Path(settings.service_account)
    where = settings.kubeconfig or KUBE_CONFIG_DEFAULT_LOCATION
    in_cluster: Any = InClusterConfigLoader  # the library has no types here
    from_file: Any = load_kube_config
    try:
        if _is_in_cluster(settings):
            in_cluster(
                str(folder / "token"), str(folder / "ca.crt"), try_refresh_token=False
            ).load_and_set(configuration)
        elif _is_there(where):
            await from_file(
                config_file=where,
                context=settings.context or None,
                client_configuration=configuration,
                persist_config=False,
            )
        else:
            raise Rejected(f"cluster {settings.name}: no kubeconfig at {where}")
    except (ConfigException, OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        # The library's text may quote a whole user entry, token included: cut before that.
        told = str(error).split(" in ")[0][:200] if isinstance(error, ConfigException) else ""
        raise Rejected(
            f"cluster {settings.name}: its configuration cannot be used: "
            f"{told or type(error).__name__}"
        ) from None
    return configuration


def _is_there(where: str) -> bool:
    return any(Path(each).expanduser().is_file() for each in where.split(os.pathsep) if each)


def _fingerprint(configuration: Any) -> bytes:
    """Return a digest of all that a TLS session is made from."""
    total = hashlib.sha256(repr((configuration.host, configuration.verify_ssl)).encode())
    for name in (configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file):
        total.update(Path(name).read_bytes() if name else b"-")
    return total.digest()
