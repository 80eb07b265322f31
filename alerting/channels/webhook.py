"""A generic webhook: one versioned JSON document, signed as Standard Webhooks says.

The document has Alertmanager's fields (version "4": status, receiver, groupKey, alerts …), so its
consumers feel at home, and the notification itself beside them under ``forewarn``. Headers
``webhook-id``, ``webhook-timestamp`` and ``webhook-signature: v1,<base64 HMAC-SHA256 of
id.timestamp.body>``; ``Idempotency-Key`` repeats the id, which is the same at every attempt.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import hashlib
import hmac
from typing import Any, ClassVar, Final, Literal

import msgspec

from alerting.alert import Alert, Incident, Notification
from alerting.channels.base import Channel, Limit, SignedConfig, WebChannel
from stream.clock import Clock

_encode: Final = msgspec.json.Encoder(order="deterministic").encode
_MOST: Final = 256 * 1024  # bytes of a body
SCHEMA: Final = "forewarn.notification.v1"


class WebhookConfig(SignedConfig):
    """Posts JSON."""

    own_limit: ClassVar[Limit] = Limit(540, 60.0)

    type: Literal["webhook"] = "webhook"

    def build(self, name: str, clock: Clock, *, dry: bool = False) -> Channel:
        """Return the channel."""
        return Webhook(name, self, clock, dry)


class Webhook(WebChannel):
    """Posts notifications as JSON."""

    def __init__(self, name: str, config: WebhookConfig, clock: Clock, dry: bool) -> None:
        super().__init__(name, config, clock, dry)
        self._signing = config.signing(name)

    def render(self, notification: Notification) -> str:
        """Return the body."""
        return self._body(notification).decode()

    async def notify(self, notification: Notification) -> None:
        """Post it; any 2xx is success."""
        body = self._body(notification)
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": notification.id,
            "webhook-id": notification.id,
            "webhook-timestamp": str(int(self._clock.now())),
        }
        secret = self._signing.read()
        if secret is not None:
            signed = f"{notification.id}.{headers['webhook-timestamp']}.".encode() + body
            headers["webhook-signature"] = f"v1,{sign(secret.reveal(), signed)}"
        await self._post(body, headers)

    def _body(self, notification: Notification) -> bytes:
        incidents = list(notification.incidents)
        truncated = 0
        while True:
            shown = msgspec.structs.replace(notification, incidents=tuple(incidents))
            body = _encode(document(shown, self.name, truncated))
            if len(body) <= _MOST or not incidents:
                return body
            last = incidents[-1]
            if len(last.alerts) > 1:
                keep = len(last.alerts) // 2
                truncated += len(last.alerts) - keep
                incidents[-1] = msgspec.structs.replace(
                    last, alerts=last.alerts[:keep], timeline=()
                )
            else:
                truncated += len(incidents.pop().alerts)


def sign(secret: str, signed: bytes) -> str:
    """Return the base64 signature; a secret ``whsec_…`` is base64 itself."""
    key = secret.encode()
    if secret.startswith("whsec_"):
        try:
            key = base64.b64decode(secret[6:], validate=True)
        except binascii.Error:
            key = secret.encode()
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def document(notification: Notification, receiver: str, truncated: int = 0) -> dict[str, Any]:
    """Return the body as objects."""
    alerts = [
        _alert(alert, incident) for incident in notification.incidents for alert in incident.alerts
    ]
    status = "resolved" if notification.kind == "resolved" else "firing"
    labels = [alert["labels"] for alert in alerts]
    common = {
        name: value
        for name, value in (labels[0].items() if labels else ())
        if all(other.get(name) == value for other in labels)
    }
    return {
        "version": "4",
        "schema": SCHEMA,
        "status": status,
        "receiver": receiver,
        "groupKey": notification.incident or notification.id,
        "groupLabels": {"cluster": notification.cluster},
        "commonLabels": common,
        "commonAnnotations": {"summary": notification.title, "description": notification.text},
        "externalURL": "",
        "alerts": alerts,
        "truncatedAlerts": truncated,
        "forewarn": notification,
    }


def _alert(alert: Alert, incident: Incident) -> dict[str, Any]:
    annotations = {"summary": alert.summary}
    if alert.because:
        annotations["description"] = "; ".join(part.text for part in alert.because if part.text)
    if alert.expected_at is not None:
        annotations["expectedAt"] = _iso(alert.expected_at)
    if incident.cause is not None:
        annotations["suspectedCause"] = incident.cause.text
    return {
        "status": "firing" if alert.ends_at is None else "resolved",
        "labels": {"alertname": alert.rule, **alert.labels},
        "annotations": annotations,
        "startsAt": _iso(alert.starts_at),
        "endsAt": "0001-01-01T00:00:00Z" if alert.ends_at is None else _iso(alert.ends_at),
        "generatorURL": "",
        "fingerprint": alert.fingerprint,
    }


def _iso(at: float) -> str:
    moment = datetime.datetime.fromtimestamp(at, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
