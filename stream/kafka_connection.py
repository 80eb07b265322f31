"""How to reach Kafka: arguments of every client, topics, and Kafka's errors in our three words.

The files `stream.kafka_*` are the only ones that know aiokafka. Guaranteed: no other exception than
ours leaves a `translated` block (bugs apart), and none carries a secret.

aiokafka is used with care for what was measured of it: its C extension must be there (without it
everything is 6 to 26 times slower), it is told the isolation level each time (its default reads
what is not committed), and a producer that has met any error is thrown away.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    AuthenticationFailedError,
    CorruptRecordException,
    GroupAuthorizationFailedError,
    InvalidProducerEpoch,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFenced,
    RecordTooLargeError,
    SaslAuthenticationFailed,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.structs import TopicPartition

from stream.bus import TopicSpec
from stream.errors import Corrupt, Fenced, ForewarnError, Rejected, Unavailable
from stream.kafka_settings import KafkaSettings
from stream.kafka_token import Token

LARGEST: Final = 8 << 20  # bytes of a batch: a page of state is half a megabyte, a record far less
RETRY: Final = 0.1  # seconds between two tries
_CREATE: Final = 30.0  # seconds for topics to be made and to have leaders
_TRANSACTION: Final = 1  # the kind of coordinator; 0 is that of a group
_YEARS: Final = 3_153_600_000_000  # ms, a century: event time may be ahead of the broker's clock

_REFUSED: Final = (
    TopicAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    AuthenticationFailedError,
    SaslAuthenticationFailed,
)
_UNFIT: Final = (MessageSizeTooLargeError, RecordTooLargeError, UnknownTopicOrPartitionError)


def check_extension() -> None:
    """See that aiokafka runs on its C extension.

    Raises
    ------
    Rejected
        It does not.
    """
    from aiokafka.record.default_records import DefaultRecordBatch

    if "_crecords" not in DefaultRecordBatch.__module__:
        raise Rejected(
            "aiokafka is installed without its C extension and would be 6 to 26 times slower: "
            "install a wheel for this platform, and leave AIOKAFKA_NO_EXTENSIONS unset"
        )


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn Kafka's errors into ours: `doing` says what was tried."""
    try:
        yield
    except ForewarnError:
        raise
    except (KafkaError, OSError, TimeoutError) as error:
        raise ours(error, doing) from error


def ours(error: BaseException, doing: str) -> ForewarnError:
    """Return our word for an error of aiokafka, the network, or a deadline."""
    name, text = type(error).__name__, str(error)
    what = f"cannot {doing}: {text if name in text else f'{name}: {text}'.rstrip(': ')}"
    match error:
        case ProducerFenced() | InvalidProducerEpoch():
            return Fenced(f"cannot {doing}: another owner has it, or the broker gave us up as gone")
        case CorruptRecordException():
            return Corrupt(f"{what}; the log on the broker is damaged, restore it from a replica")
        case _ if isinstance(error, _REFUSED):
            return Rejected(f"{what}; see docs/kafka.md for the rights that are needed")
        case _ if isinstance(error, _UNFIT):
            return Rejected(what)
        case _:
            return Unavailable(what)


class TopicState(NamedTuple):
    """A topic as the brokers have it."""

    name: str  # without our prefix
    partitions: int
    replicas: int
    configs: Mapping[str, str]


class Connection:
    """Settings, and what every client is made from."""

    def __init__(self, settings: KafkaSettings) -> None:
        self.settings = settings
        oauth = settings.sasl is not None and settings.sasl.mechanism == "OAUTHBEARER"
        self._token = Token(settings) if oauth else None

    def named(self, name: str) -> str:
        """Return `name` with our prefix: of a topic, a group or a transaction."""
        return self.settings.prefix + name

    def part(self, topic: str, partition: int) -> TopicPartition:
        """Return aiokafka's word for a partition of one of our topics."""
        return TopicPartition(self.named(topic), partition)

    def unnamed(self, name: str) -> str:
        """Return a topic's name without our prefix."""
        return name.removeprefix(self.settings.prefix)

    def arguments(self) -> dict[str, Any]:
        """Return what every client of aiokafka is given."""
        settings = self.settings
        found: dict[str, Any] = {
            "bootstrap_servers": list(settings.bootstrap),
            "client_id": settings.instance or "forewarn",
            "request_timeout_ms": int(settings.request_timeout * 1000),
            "retry_backoff_ms": int(RETRY * 1000),
            "security_protocol": settings.security_protocol,
        }
        if settings.security_protocol.endswith("SSL"):
            found["ssl_context"] = self._tls()
        if (sasl := settings.sasl) is not None:
            found["sasl_mechanism"] = sasl.mechanism
            if self._token is not None:
                found["sasl_oauth_token_provider"] = self._token
            else:
                found["sasl_plain_username"] = sasl.username
                found["sasl_plain_password"] = sasl.password()
        return found

    def _tls(self) -> ssl.SSLContext:
        tls = self.settings.tls
        try:
            context = ssl.create_default_context(cafile=tls.ca_file)
            if tls.cert_file is not None:
                context.load_cert_chain(tls.cert_file, tls.key_file)
        except (OSError, ssl.SSLError) as error:
            raise Unavailable(f"cannot load the certificates for Kafka: {error}") from error
        return context

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[Admin]:
        """Open an administrative client for the time of a ``with`` block."""
        with translated(f"reach Kafka at {', '.join(self.settings.bootstrap)}"):
            client = AIOKafkaAdminClient(**self.arguments())
            try:
                await client.start()
                if self._token is not None and not client._client.cluster.brokers():  # noqa: SLF001
                    # aiokafka 0.14 takes a refusal of the token for a welcome.
                    raise Rejected(
                        "no broker shows itself: it refuses the token; its log says why, look at "
                        "audience, issuer and scope"
                    )
            except BaseException:
                await client.close()
                raise
        try:
            yield Admin(self, client)
        finally:
            await client.close()


class Admin:
    """Making and describing topics; asking one broker or another."""

    def __init__(self, connection: Connection, client: Any) -> None:
        self._connection = connection
        self._client = client

    async def partitions(self, topics: Sequence[str]) -> dict[str, int]:
        """Return how many partitions each of `topics` has; those that are missing are left out."""
        with translated("describe topics"):
            found = await self._client.describe_topics([self._connection.named(t) for t in topics])
        return {
            self._connection.unnamed(each["topic"]): len(each["partitions"])
            for each in found
            if not each["error_code"] and all(p["leader"] >= 0 for p in each["partitions"])
        }

    async def create(self, topics: Sequence[TopicSpec], compacted: bool = False) -> None:
        """Make `topics`, which need not be missing, and wait until each has its leaders."""
        wanted = {spec.name: spec for spec in topics}
        with translated(f"create topics {', '.join(wanted)}"):
            answer = await self._client.create_topics(
                [self._new(spec, compacted) for spec in topics], int(_CREATE * 1000)
            )
            for name, code, *about in answer.topic_errors:
                error = for_code(code)
                if code and error is not TopicAlreadyExistsError:
                    said = about[0] if about and about[0] else error.__name__
                    raise Rejected(
                        f"Kafka does not make the topic {name}: {said}; make it by hand, or with "
                        "`forewarn topics ensure` as somebody who may"
                    )
            async with asyncio.timeout(_CREATE):
                # No broker tells us.
                while (await self.partitions(list(wanted))).keys() < wanted.keys():  # noqa: ASYNC110
                    await asyncio.sleep(RETRY)

    def _new(self, spec: TopicSpec, compacted: bool) -> NewTopic:
        return NewTopic(
            name=self._connection.named(spec.name),
            num_partitions=spec.partitions,
            replication_factor=self._connection.settings.replication_factor,
            topic_configs=self.configs(spec, compacted),
        )

    def configs(self, spec: TopicSpec, compacted: bool) -> dict[str, str]:
        """Return how `spec` is to be configured."""
        configs = {
            "min.insync.replicas": str(self._connection.settings.in_sync),
            "max.message.bytes": str(LARGEST),
            # Message time is event time: a cluster's clock may be ahead, a tape may be old.
            "message.timestamp.type": "CreateTime",
            "message.timestamp.after.max.ms": str(_YEARS),
            "retention.ms": "-1" if spec.retention is None else str(int(spec.retention * 1000)),
        }
        if compacted:
            # A snapshot rewrites most of it, so half of the log is dead soon; small segments let
            # compaction come near the end. A restore reads what is left.
            configs |= {
                "cleanup.policy": "compact",
                "segment.bytes": str(64 << 20),
                "min.cleanable.dirty.ratio": "0.3",
                "delete.retention.ms": "3600000",
            }
        return configs

    async def describe(self, topics: Sequence[str]) -> list[TopicState]:
        """Return those of `topics` that are there, with the configuration set on them."""
        names = [self._connection.named(topic) for topic in topics]
        with translated("describe topics"):
            found = await self._client.describe_topics(names)
            there = {each["topic"]: each for each in found if not each["error_code"]}
            if not there:
                return []
            resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in there]
            configs: dict[str, dict[str, str]] = {}
            for answer in await self._client.describe_configs(resources):
                for _, _, _, name, entries in answer.resources:
                    configs[name] = {entry[0]: entry[1] for entry in entries}
        return [
            TopicState(
                self._connection.unnamed(name),
                len(each["partitions"]),
                len(each["partitions"][0]["replicas"]) if each["partitions"] else 0,
                configs.get(name, {}),
            )
            for name, each in there.items()
        ]

    async def committed(self, group: str, parts: Sequence[TopicPartition]) -> dict[str, int]:
        """Return what `group` has committed, by topic; of one partition of each."""
        name = self._connection.named(group)
        with translated("ask for the committed offsets"):
            async with asyncio.timeout(self._connection.settings.request_timeout):
                while True:
                    try:
                        found = await self._client.list_consumer_group_offsets(
                            name, partitions=list(parts)
                        )
                        break
                    except KafkaError as error:  # a coordinator that has just moved, or begins
                        if not error.retriable:
                            raise
                    await asyncio.sleep(RETRY)
        return {
            self._connection.unnamed(part.topic): at.offset
            for part, at in found.items()
            if at.offset >= 0
        }

    async def leaders(self) -> dict[TopicPartition, int]:
        """Return which broker leads each partition that we may see; -1: none does now."""
        with translated("describe topics"):
            return {
                TopicPartition(topic["topic"], each["partition"]): each["leader"]
                for topic in await self._client.describe_topics()
                for each in topic["partitions"]
            }

    async def brokers(self) -> list[int]:
        """Return every broker's number."""
        with translated("describe the cluster"):
            return [each["node_id"] for each in (await self._client.describe_cluster())["brokers"]]

    async def coordinator(self, transaction: str) -> int:
        """Return the broker that coordinates the transaction, named in full."""
        with translated(f"find the coordinator of {transaction}"):
            found: int = await self._client.find_coordinator(transaction, _TRANSACTION)
            return found

    async def ask(self, broker: int, request: Any) -> Any:
        """Send `request` to this broker and return its answer; aiokafka's errors go through."""
        return await self._client._send_request_to_node(broker, request)  # noqa: SLF001

    async def delete_before(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Delete what stands before these offsets."""
        if offsets:
            with translated("delete old records"):
                await self._client.delete_records(
                    {part: RecordsToDelete(at) for part, at in offsets.items()}
                )
