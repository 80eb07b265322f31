"""Four requests of Kafka's protocol that aiokafka does not have, all about transactions.

`stream.kafka_transactions` sends them. Fields, orders and types are those of Kafka's own message
definitions (DescribeProducers 61.0, DescribeTransactions 65.0 and ListTransactions 66.0, since
Kafka 3.0; WriteTxnMarkers 27.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol.api import RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

_TEXT: Final = CompactString("utf-8")
_TAGS: Final = ("tags", TaggedFields)
_NUMBERS: Final = CompactArray(Int32)
NO_TAGS: Final[dict[int, bytes]] = {}

# aiokafka has no types, so its classes are Any to mypy.


class _ProducersAnswer(Response):  # type: ignore[misc]
    API_KEY = 61
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("name", _TEXT),
                (
                    "partitions",
                    CompactArray(
                        ("index", Int32),
                        ("error_code", Int16),
                        ("error_message", _TEXT),
                        (
                            "producers",
                            CompactArray(
                                ("producer_id", Int64),
                                ("producer_epoch", Int32),
                                ("last_sequence", Int32),
                                ("last_timestamp", Int64),
                                ("coordinator_epoch", Int32),
                                ("start_offset", Int64),
                                _TAGS,
                            ),
                        ),
                        _TAGS,
                    ),
                ),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class _ProducersAsked(RequestStruct):  # type: ignore[misc]
    API_KEY = 61
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _ProducersAnswer
    SCHEMA = Schema(
        ("topics", CompactArray(("name", _TEXT), ("partitions", _NUMBERS), _TAGS)), _TAGS
    )


class _TransactionsAnswer(Response):  # type: ignore[misc]
    API_KEY = 65
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "states",
            CompactArray(
                ("error_code", Int16),
                ("transactional_id", _TEXT),
                ("state", _TEXT),
                ("timeout_ms", Int32),
                ("start_ms", Int64),
                ("producer_id", Int64),
                ("producer_epoch", Int16),
                ("topics", CompactArray(("name", _TEXT), ("partitions", _NUMBERS), _TAGS)),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class _TransactionsAsked(RequestStruct):  # type: ignore[misc]
    API_KEY = 65
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _TransactionsAnswer
    SCHEMA = Schema(("transactional_ids", CompactArray(_TEXT)), _TAGS)


class _ListAnswer(Response):  # type: ignore[misc]
    API_KEY = 66
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("unknown_filters", CompactArray(_TEXT)),
        (
            "states",
            CompactArray(
                ("transactional_id", _TEXT), ("producer_id", Int64), ("state", _TEXT), _TAGS
            ),
        ),
        _TAGS,
    )


class _ListAsked(RequestStruct):  # type: ignore[misc]
    API_KEY = 66
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _ListAnswer
    SCHEMA = Schema(("states", CompactArray(_TEXT)), ("producer_ids", CompactArray(Int64)), _TAGS)


class _MarkersAnswer(Response):  # type: ignore[misc]
    API_KEY = 27
    API_VERSION = 1
    SCHEMA = Schema(
        (
            "markers",
            CompactArray(
                ("producer_id", Int64),
                (
                    "topics",
                    CompactArray(
                        ("name", _TEXT),
                        (
                            "partitions",
                            CompactArray(("index", Int32), ("error_code", Int16), _TAGS),
                        ),
                        _TAGS,
                    ),
                ),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class _MarkersAsked(RequestStruct):  # type: ignore[misc]
    API_KEY = 27
    API_VERSION = 1
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _MarkersAnswer
    SCHEMA = Schema(
        (
            "markers",
            CompactArray(
                ("producer_id", Int64),
                ("producer_epoch", Int16),
                ("committed", Boolean),
                ("topics", CompactArray(("name", _TEXT), ("partitions", _NUMBERS), _TAGS)),
                ("coordinator_epoch", Int32),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class Asked:
    """A request, given to aiokafka's client as one of its own.

    Parameters
    ----------
    struct
        One of `DESCRIBE_PRODUCERS`, `DESCRIBE_TRANSACTIONS`, `LIST_TRANSACTIONS`, `WRITE_MARKERS`.
    fields
        Its fields, in order.
    """

    def __init__(self, struct: Any, *fields: Any) -> None:
        self._struct = struct
        self._fields = fields

    def prepare(self, versions: Mapping[int, tuple[int, int]]) -> Any:
        """Return it as it is sent; `versions` are those that the broker speaks.

        Raises
        ------
        IncompatibleBrokerVersion
            It does not know this request (Kafka before 3.0).
        """
        first, last = versions.get(self._struct.API_KEY, (0, -1))
        if not first <= self._struct.API_VERSION <= last:
            raise IncompatibleBrokerVersion(f"{self._struct.__name__} needs Kafka 3.0 or newer")
        return self._struct(*self._fields, NO_TAGS)


DESCRIBE_PRODUCERS: Final = _ProducersAsked  # [(topic, [partition, …], {}), …]
DESCRIBE_TRANSACTIONS: Final = _TransactionsAsked  # [transactional id, …]
LIST_TRANSACTIONS: Final = _ListAsked  # [state, …], [producer id, …]; empty: any
WRITE_MARKERS: Final = _MarkersAsked  # [(id, epoch, committed, topics, coordinator epoch, {}), …]
