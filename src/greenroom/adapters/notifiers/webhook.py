"""The notifier `webhook`: each event is one POST. The address is a secret: whoever knows it can write there."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

from pydantic import Field, SecretStr, field_validator

from greenroom.adapters.notifiers.posting import Patience, post
from greenroom.adapters.notifiers.settings import NotifierSettings, SecretAddress
from greenroom.adapters.notifiers.wording import escaped
from greenroom.domain.model import Event
from greenroom.ports import Place

SIGNATURE = "X-Greenroom-Signature"


class WebhookSettings(NotifierSettings):
    url: SecretAddress = Field(description="Where to post to; best as `${NAME}`, for whoever knows it can post there.")
    headers: dict[str, SecretStr] = Field(default={}, description="Headers to send, an `Authorization` for example.")
    secret: SecretStr | None = Field(
        default=None,
        description="Signs each request, best as `${NAME}`: the header `X-Greenroom-Signature` is `t=TIME,v1=HMAC`, where "
        "HMAC is the SHA-256 one of `TIME.BODY`, in hexadecimal.",
    )
    format: Literal["json", "slack"] = Field(
        default="json", description="`json`: the event with all its facts; `slack`: its sentence, as chats want it."
    )

    @field_validator("secret")
    @classmethod
    def _some(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and len(secret.get_secret_value()) < 8:
            raise ValueError("is shorter than 8 characters; `openssl rand -hex 32` makes a good one")
        return secret


class WebhookNotifier:
    """`ports.Notifier`. The header `Idempotency-Key` is the event's id: the same at every delivery."""

    Settings: ClassVar[type[WebhookSettings]] = WebhookSettings
    patience: ClassVar[Patience] = Patience()

    def __init__(self, settings: WebhookSettings, place: Place) -> None:
        self._settings = settings
        self.name = settings.name or "webhook"
        self.on: frozenset[str] | None = settings.kinds

    def notify(self, event: Event) -> None:
        """`Temporary` unless it was taken (2xx) or refused for good (other answers below 500)."""
        who = f"The webhook {self.name!r}" if self._settings.name else "The webhook"
        given = {name: value.get_secret_value() for name, value in self._settings.headers.items()}
        content = self._content(event)
        headers = {"Content-Type": "application/json", **given, "Idempotency-Key": event.id}
        if self._settings.secret is not None:
            headers[SIGNATURE] = signature(self._settings.secret.get_secret_value(), int(time.time()), content)
        post(who, self._settings.url.get_secret_value(), content, headers, self.patience)

    def _content(self, event: Event) -> bytes:
        document: dict[str, Any]
        match self._settings.format:
            case "slack":
                document = {"text": escaped(f"{event.service}: {event.text}")}
            case "json":
                document = {
                    "id": event.id,
                    "kind": event.kind,
                    "service": event.service,
                    "release": event.release,
                    "version": event.version,
                    "at": event.at,
                    "time": datetime.fromtimestamp(event.at, UTC).isoformat(timespec="milliseconds"),
                    "text": event.text,
                    "facts": dict(event.facts),
                }
        return json.dumps(document, default=str).encode()


def signature(secret: str, at: int, body: bytes) -> str:
    """`t=…,v1=…`: the time is signed too, so that a request that somebody caught cannot be sent again later."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"
