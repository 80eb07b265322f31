"""The token of `OAUTHBEARER`: from a file that somebody renews, or from an identity provider.

A provider is asked by OAuth 2.0's client credentials (RFC 6749, 4.4) and its token kept until it is
near its end. Guaranteed: a connection gets a token that is good then, nothing waits for it on the
loop, and neither secret nor token is in a message. Left to others: what the broker makes of it.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import ssl
import urllib.error
import urllib.parse
import urllib.request
from typing import Final

from aiokafka.abc import AbstractTokenProvider

from stream.errors import Rejected, Unavailable
from stream.kafka_settings import KafkaSettings, read_secret

_USED: Final = 0.8  # of its life, a token is used; then another is asked for
_LARGEST: Final = 1 << 20  # bytes of an answer
_LIFE: Final = 60.0  # seconds, where the provider does not say


class Token(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka has no types
    """What aiokafka asks for a token."""

    def __init__(self, settings: KafkaSettings) -> None:
        assert settings.sasl is not None
        self._sasl = settings.sasl
        self._tls = settings.tls
        self._timeout = settings.request_timeout
        self._kept = ""
        self._until = -math.inf  # by the clock of the loop
        self._asking = asyncio.Lock()

    async def token(self) -> str:
        """Return a token that is good now.

        Raises
        ------
        Unavailable
            The file cannot be read, or the provider does not answer.
        Rejected
            The provider refuses us, or answers without a token.
        """
        if self._sasl.token_file is not None:
            return await asyncio.to_thread(read_secret, self._sasl.token_file, "Kafka token")
        async with self._asking:
            loop = asyncio.get_running_loop()
            if loop.time() >= self._until:
                self._kept, life = await asyncio.to_thread(self._asked)
                self._until = loop.time() + _USED * life
            return self._kept

    def _asked(self) -> tuple[str, float]:
        """Ask the provider; return a token and the seconds of its life."""
        url = self._sasl.token_url
        fields = {"grant_type": "client_credentials", "scope": self._sasl.scope}
        # Name and secret are form-encoded before they are joined (RFC 6749, 2.3.1).
        pair = map(urllib.parse.quote_plus, (self._sasl.username, self._sasl.password()))
        request = urllib.request.Request(  # noqa: S310  # the setting allows http and https only
            url,
            urllib.parse.urlencode({k: v for k, v in fields.items() if v}).encode(),
            {
                "Authorization": "Basic " + base64.b64encode(":".join(pair).encode()).decode(),
                "Accept": "application/json",
            },
        )
        what = f"get a Kafka token from {url}"
        try:
            context = ssl.create_default_context(cafile=self._tls.ca_file)
            with urllib.request.urlopen(request, timeout=self._timeout, context=context) as answer:  # noqa: S310
                found = json.loads(answer.read(_LARGEST))
            return str(found["access_token"]), float(found.get("expires_in", _LIFE))
        except urllib.error.HTTPError as error:
            error.close()
            if error.code >= 500 or error.code == 429:  # its trouble, not ours
                raise Unavailable(f"cannot {what}: HTTP {error.code}") from None
            raise Rejected(
                f"cannot {what}: HTTP {error.code}; see username, password and scope of kafka.sasl"
            ) from None
        except OSError as error:
            raise Unavailable(f"cannot {what}: {error}") from None
        except (ValueError, TypeError, KeyError) as error:
            raise Rejected(f"cannot {what}: the answer holds no access_token") from error
