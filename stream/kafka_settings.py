"""The settings of the Kafka bus: where it is, who we are there, how topics are made.

Guaranteed: what is built from these settings is consistent (a mechanism has its credentials, a
certificate its key). Secrets come by file or variable and are read at each connection, so a rotated
one counts from the next; no setting ever holds one.

Left to others: connecting (`stream.kafka_connection`).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stream.errors import Unavailable


class KafkaTls(BaseModel):
    """Certificates; needed with the protocols `SSL` and `SASL_SSL` where the system's won't do."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    ca_file: Path | None = None
    """Certificates of the authorities to trust, PEM; the system's where it is left out."""
    cert_file: Path | None = None
    """Our certificate, PEM, for brokers that ask for one."""
    key_file: Path | None = None
    """Its key, PEM, without a passphrase."""

    @model_validator(mode="after")
    def _pair(self) -> KafkaTls:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together: give both, or neither")
        return self


class KafkaSasl(BaseModel):
    """Who we are; needed with the protocols `SASL_PLAINTEXT` and `SASL_SSL`."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN", "OAUTHBEARER"] = "SCRAM-SHA-512"
    """How we prove it."""
    username: str = ""
    """Our name; not with `token_file`."""
    password_file: Path | None = None
    """File of the password."""
    password_env: str | None = None
    """Variable that holds the password."""
    token_file: Path | None = None
    """File of the token for `OAUTHBEARER`, such as a projected service account token; read again
    whenever the broker asks."""
    token_url: Annotated[str, Field(pattern="^(|https?://.+)$")] = ""
    """Where a provider gives tokens for `OAUTHBEARER` by client credentials; `username` is
    the client's name, the password its secret. Kept for most of its life."""
    scope: str = ""
    """What the token is to be for, if the provider wants to know."""

    @model_validator(mode="after")
    def _complete(self) -> KafkaSasl:
        if self.mechanism == "OAUTHBEARER":
            if (self.token_file is None) == (not self.token_url):
                raise ValueError("OAUTHBEARER needs one of token_file, token_url")
            if self.token_file is not None:
                return self
        if not self.username or (self.password_file is None) == (self.password_env is None):
            raise ValueError(
                f"{self.mechanism} needs username and one of password_file, password_env"
            )
        return self

    def password(self) -> str:
        """Return the password as it is now.

        Raises
        ------
        Unavailable
            The file or the variable is not there, or empty.
        """
        if self.password_file is not None:
            return read_secret(self.password_file, "Kafka password")
        value = os.environ.get(self.password_env or "", "")
        if not value:
            raise Unavailable(f"the variable {self.password_env} of the Kafka password is not set")
        return value


class KafkaSettings(BaseModel):
    """Apache Kafka as the bus: for more than one machine."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    bootstrap: tuple[str, ...] = Field(default=("localhost:9092",), min_length=1)
    """Brokers to begin with, `host:port` each."""
    prefix: str = Field(default="forewarn.", pattern=r"^[a-zA-Z0-9._-]*$", max_length=100)
    """Begins the name of every topic, group and transaction of ours; another one is another
    forewarn."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """As the brokers' listener has it."""
    tls: KafkaTls = KafkaTls()
    """Certificates."""
    sasl: KafkaSasl | None = None
    """Who we are."""
    instance: str = ""
    """Name of this process in its groups, the same after a restart and unlike any other's (a
    StatefulSet's `${HOSTNAME}`): a restart within the session then moves no task. Empty: none."""
    session_timeout: float = Field(default=10.0, ge=1.0, le=300.0)
    """Seconds after which a worker that says nothing counts as gone and its tasks move."""
    transaction_timeout: float = Field(default=20.0, ge=2.0, le=900.0)
    """Seconds after which the broker aborts a transaction whose owner is gone and has no
    successor; readers wait that long at most."""
    request_timeout: float = Field(default=10.0, ge=0.5, le=300.0)
    """Seconds that a request may take."""
    replication_factor: int = Field(default=3, ge=1, le=100)
    """Copies of each topic that we make; 1 for a single broker."""
    min_insync_replicas: int | None = Field(default=None, ge=1, le=100)
    """Copies that must have a message before it counts as written; no more than there are. Left
    out: 2, or 1 where there is one copy."""

    @model_validator(mode="after")
    def _consistent(self) -> KafkaSettings:
        if self.security_protocol.startswith("SASL") and self.sasl is None:
            raise ValueError(f"{self.security_protocol} needs the section sasl")
        if self.sasl is not None and not self.security_protocol.startswith("SASL"):
            raise ValueError("sasl counts only with security_protocol SASL_SSL or SASL_PLAINTEXT")
        if (self.min_insync_replicas or 1) > self.replication_factor:
            raise ValueError("min_insync_replicas is more than replication_factor")
        return self

    @property
    def in_sync(self) -> int:
        """Copies that must have a message before it counts as written."""
        return self.min_insync_replicas or min(2, self.replication_factor)


def read_secret(path: Path, what: str) -> str:
    """Return the text of a secret's file, stripped.

    Raises
    ------
    Unavailable
        It cannot be read, or is empty.
    """
    try:
        value = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable(f"cannot read the {what} from its file: {error}") from error
    if not value:
        raise Unavailable(f"the file of the {what} is empty")
    return value
