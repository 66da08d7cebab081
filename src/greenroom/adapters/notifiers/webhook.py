"""The notifier `webhook`: each event is one POST. The address is a secret: whoever knows it can write there."""

from __future__ import annotations

import json
import logging
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from greenroom.domain.model import Event
from greenroom.errors import Permanent, PortError, Temporary
from greenroom.ports import Place

if TYPE_CHECKING:
    import httpx2

Kind = Literal[
    "started",
    "shifted",
    "succeeded",
    "aborted",
    "rolled_back",
    "failed",
    "stuck",
    "drifted",
    "paused",
    "waiting_approval",
    "recovered",
]

_LATER = {408: 1.0, 425: 1.0, 429: 10.0}  # refusals that are not meant for ever, with a pause
_LONGEST_PAUSE = 3600.0


class WebhookSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str = Field(default="", description="What it is called in output and journal.")
    url: SecretStr = Field(description="Where to post to; best as `${NAME}`, for whoever knows it can post there.")
    on: list[Kind] | None = Field(default=None, description="The kinds of event to post; all of them if absent.")
    headers: dict[str, SecretStr] = Field(default={}, description="Headers to send, an `Authorization` for example.")
    format: Literal["json", "slack"] = Field(
        default="json", description="`json`: the event with all its facts; `slack`: its sentence, as chats want it."
    )

    @field_validator("url")
    @classmethod
    def _address(cls, url: SecretStr) -> SecretStr:
        try:
            parts = urlsplit(url.get_secret_value())
            right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            right = False
        if not right:
            raise ValueError("should be an address that begins with http:// or https://")  # and is not shown
        return url


class WebhookNotifier:
    """`ports.Notifier`. The header `Idempotency-Key` is the event's id: the same at every delivery."""

    Settings: ClassVar[type[WebhookSettings]] = WebhookSettings
    timeout: ClassVar[float] = 5.0
    """Seconds for the connection, and again for the answer."""

    def __init__(self, settings: WebhookSettings, place: Place) -> None:
        self._settings = settings
        self.name = settings.name or "webhook"
        self.on: frozenset[str] | None = None if settings.on is None else frozenset(settings.on)

    def notify(self, event: Event) -> None:
        """`Temporary` unless it was taken (2xx) or refused for good (other answers below 500)."""
        import httpx2  # here, for commands that notify nobody

        logging.getLogger("httpx2").setLevel(logging.WARNING)  # it logs each address that it asks
        given = {name: value.get_secret_value() for name, value in self._settings.headers.items()}
        headers = {"Content-Type": "application/json", **given, "Idempotency-Key": event.id}
        url, content = self._settings.url.get_secret_value(), self._content(event)
        failure: PortError | None = None
        try:
            with (
                httpx2.Client(timeout=self.timeout, follow_redirects=False) as client,
                client.stream("POST", url, content=content, headers=headers) as response,
            ):
                failure = self._refusal(response)  # the body is not read: it may never end
        except (httpx2.LocalProtocolError, httpx2.UnsupportedProtocol, httpx2.InvalidURL, ValueError) as error:
            failure = Permanent(f"{self._who} cannot be asked: its address or its headers are wrong ({_kind(error)}).")
        except httpx2.HTTPError as error:
            failure = Temporary(f"{self._who} {self._trouble(error)}.", retry_after=5.0)
        if failure is not None:
            raise failure  # outside of `except`: what the library says may quote the address

    @property
    def _who(self) -> str:
        return f"The webhook {self.name!r}" if self._settings.name else "The webhook"

    def _content(self, event: Event) -> bytes:
        document: dict[str, Any]
        match self._settings.format:
            case "slack":
                text = f"{event.service}: {event.text}"
                document = {"text": text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}
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

    def _refusal(self, response: httpx2.Response) -> PortError | None:
        status, said = response.status_code, f"{self._who} answered {response.status_code}"
        if 200 <= status < 300:
            return None
        if status >= 500 or status in _LATER:
            return Temporary(f"{said}.", retry_after=_pause(response, _LATER.get(status, 5.0)))
        if 300 <= status < 400:
            return Permanent(f"{said}: it has moved.", hint="Put its new address into the file.")
        return Permanent(f"{said}.", hint="Its address or its headers are wrong, or it does not take this format.")

    def _trouble(self, error: Exception) -> str:
        """What went wrong, from types and numbers only: never from a text that could name the address."""
        import httpx2

        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLError):
                return f"cannot be trusted or speaks no TLS ({_kind(cause)})"
            if isinstance(cause, ConnectionRefusedError):
                return "refuses connections"
            cause = cause.__cause__ or cause.__context__
        match error:
            case httpx2.ConnectTimeout() | httpx2.ReadTimeout() | httpx2.WriteTimeout():
                return f"does not answer within {self.timeout:g} s"
            case httpx2.ConnectError():
                return "cannot be reached"
        return f"broke off ({_kind(error)})"


def _pause(response: httpx2.Response, usual: float) -> float:
    """As the other end asks for it, within reason."""
    asked = response.headers.get("Retry-After", "")
    return min(float(asked), _LONGEST_PAUSE) if asked.isascii() and asked.isdigit() else usual


def _kind(error: BaseException) -> str:
    return type(error).__name__
