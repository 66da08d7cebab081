"""The notifier `email`: each event is one mail, handed to an SMTP server."""

from __future__ import annotations

import contextlib
import re
import smtplib
import socket
import ssl
from email.headerregistry import Address
from email.utils import parseaddr
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from greenroom.adapters.notifiers.heard import Heard
from greenroom.adapters.notifiers.letter import letter
from greenroom.adapters.notifiers.limit import Limit
from greenroom.adapters.notifiers.settings import Linked
from greenroom.domain.model import Event
from greenroom.errors import Permanent, PortError, Temporary, Uncertain
from greenroom.ports import Place

_PORTS = {"starttls": 587, "tls": 465, "none": 25}
_HERE = ("localhost", "127.0.0.1", "::1")
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?")


def _address(text: str) -> str:
    how = f"{text[:80]!r} is no address of a mailbox; write it like ops@shop.example or Ops <ops@shop.example>"
    name, spec = parseaddr(text)
    try:
        parsed = Address(name, addr_spec=spec)
    except Exception:  # of many kinds, IndexError among them
        raise ValueError(how) from None
    whole = text == spec or text.endswith(f"<{spec}>")  # the parser is generous
    if not whole or not text.isprintable() or not spec.isascii():
        raise ValueError(how)
    if not parsed.username or not _HOST.fullmatch(parsed.domain):
        raise ValueError(how)
    return text


def _host(text: str) -> str:
    bare = text.strip("[]")
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in bare else socket.AF_INET, bare)
        return bare
    except OSError:
        pass
    if not _HOST.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is no name of a server; write it like smtp.shop.example, and `port` apart")
    return text


def _one_or_more(value: object) -> object:
    return [value] if isinstance(value, str) else value


Mailbox = Annotated[str, AfterValidator(_address)]


class EmailSettings(Linked):
    host: Annotated[str, AfterValidator(_host)] = Field(description="The SMTP server that takes the mails.")
    port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="Its port; if absent 587 for `starttls`, 465 for `tls`, 25 for `none`.",
    )
    security: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="`tls` from the first byte, after `starttls`, or `none`: in the clear."
    )
    ca: Path | None = Field(default=None, description="A file of authorities to trust instead of the system's.")
    user: str = Field(default="", description="Who logs in; nobody if absent.")
    password: SecretStr | None = Field(default=None, description="Its password, best as `${NAME}`.")
    sender: Mailbox = Field(alias="from", description="Whom the mails are from: `Releases <releases@shop.example>`.")
    to: Annotated[list[Mailbox], BeforeValidator(_one_or_more), Field(min_length=1, max_length=50)] = Field(
        description="Who gets them: one address, or a list."
    )

    @model_validator(mode="after")
    def _sensible(self) -> EmailSettings:
        if bool(self.user) != (self.password is not None):
            raise ValueError("`user` and `password` belong together; write both or neither")
        if self.password is not None and self.security == "none" and self.host not in _HERE:
            raise ValueError("`security: none` would send the password in the clear; use `starttls` or `tls`")
        if self.ca is not None and self.security == "none":
            raise ValueError("`ca` has no meaning with `security: none`")
        return self

    @property
    def at(self) -> int:
        return self.port or _PORTS[self.security]


class EmailNotifier:
    """`ports.Notifier`. The `Message-ID` is made from the event: the same at every delivery."""

    Settings: ClassVar[type[EmailSettings]] = EmailSettings
    timeout: ClassVar[float] = 5.0
    """Seconds for each answer of the server."""
    whole: ClassVar[float] = 20.0
    """Seconds for everything."""

    def __init__(self, settings: EmailSettings, place: Place) -> None:
        self._settings, self._place = settings, place
        self._heard = Heard()
        self.name = settings.name or "email"
        self.on: frozenset[str] | None = settings.kinds

    def notify(self, event: Event) -> None:
        """`Permanent` where the server refuses for good (5xx), and where it does not speak as the file says."""
        failure: PortError | None = None
        with Limit(self.whole) as limit:
            try:
                failure = self._send(event, limit)
            except (smtplib.SMTPException, ssl.SSLError, OSError, ValueError) as error:
                failure = self._trouble(error, limit)
        if failure is not None:
            raise failure  # outside of `except`: what a library says may hold what was sent

    @property
    def _who(self) -> str:
        return f"The mail server {self._settings.host}:{self._settings.at}"

    def _send(self, event: Event, limit: Limit) -> PortError | None:
        settings = self._settings
        boxes = {parseaddr(box)[1]: box for box in self._heard.missing(event.id, settings.to)}
        message = letter(event, settings.sender, settings.to, settings.link_for(event))
        server = self._connected(limit)
        try:
            if settings.password is not None:
                server.login(settings.user, settings.password.get_secret_value())
            refused = server.send_message(message, parseaddr(settings.sender)[1], list(boxes))
        except smtplib.SMTPRecipientsRefused as error:
            refused = error.recipients
        finally:
            with contextlib.suppress(smtplib.SMTPException, OSError):
                server.quit()
            server.close()
        self._heard.told(box for spec, box in boxes.items() if spec not in refused)
        if not refused:
            self._heard.all_told()
        return self._refusals(refused, len(boxes))

    def _connected(self, limit: Limit) -> smtplib.SMTP:
        settings = self._settings
        name = parseaddr(settings.sender)[1].rpartition("@")[2]  # ours, without asking the network for it
        if settings.security == "tls":
            return _Secured(limit, settings.host, settings.at, name, timeout=self.timeout, context=self._context())
        server = _Plain(limit, settings.host, settings.at, name, timeout=self.timeout)
        if settings.security == "starttls":
            try:
                server.starttls(context=self._context())
                limit.guard(server.sock)
            except BaseException:
                server.close()
                raise
        return server

    def _context(self) -> ssl.SSLContext:
        ca = self._settings.ca
        if ca is None:
            return ssl.create_default_context()
        path = self._place.file.parent / ca
        try:
            return ssl.create_default_context(cafile=str(path))
        except OSError as error:  # an SSLError is one too
            why = error.strerror if isinstance(error, FileNotFoundError) else "it holds no certificate"
            raise _BadAuthorities(f"{path}: {why}") from None

    def _refusals(self, refused: dict[str, tuple[int, bytes]], asked: int) -> PortError | None:
        """Some were refused for good: nothing helps. Some only for now: they are asked again, without the others."""
        if not refused:
            return None
        told = f"; {asked - len(refused)} others were told" if asked > len(refused) else ""
        said = "; ".join(f"{box}: {_answer(code, text)}" for box, (code, text) in sorted(refused.items()))
        text = f"{self._who} does not take mail for {said}{told}."
        if any(code < 500 for code, _ in refused.values()):
            return Temporary(text, retry_after=60.0)
        return Permanent(text, hint="Take out of `to` who is not there, or use a server that knows them.")

    def _trouble(self, error: Exception, limit: Limit) -> PortError:
        if limit.over:
            return Temporary(f"{self._who} does not answer within {self.whole:g} s.", retry_after=5.0)
        match error:
            case smtplib.SMTPAuthenticationError(smtp_code=code) if code >= 500:
                said = f"{self._who} does not let {self._settings.user!r} in: {_answer(code, error.smtp_error)}."
                return Permanent(said, hint="Correct `user` and `password`; some want a password for programs.")
            case smtplib.SMTPResponseException(smtp_code=code):
                said = f"{self._who} refuses: {_answer(code, error.smtp_error)}."
                return Permanent(said, hint=_hint(error)) if code >= 500 else Temporary(said, retry_after=60.0)
            case smtplib.SMTPServerDisconnected() if "timed out" in str(error):
                return Temporary(f"{self._who} does not answer within {self.timeout:g} s.", retry_after=5.0)
            case smtplib.SMTPServerDisconnected():
                return Temporary(f"{self._who} closed the connection.", retry_after=5.0)
            case _BadAuthorities():
                return Permanent(f"The file of authorities cannot be used: {error}.", hint="Correct `ca`.")
            case smtplib.SMTPException() | UnicodeError():
                return self._unable(error)
        return _unreachable(self._who, error, self.timeout)

    def _unable(self, error: Exception) -> PortError:
        if "STARTTLS" in str(error):
            hint = "Use `security: tls`, mostly at port 465; `none` sends everything in the clear."
            return Permanent(f"{self._who} offers no STARTTLS.", hint=hint)
        if "AUTH" in str(error) or "authentication" in str(error):
            hint = "Take `user` and `password` out of the file."
            return Permanent(f"{self._who} lets nobody log in here.", hint=hint)
        return Permanent(f"{self._who} cannot be given this mail ({type(error).__name__}).")


class _Plain(smtplib.SMTP):
    """Connects when it is made, guarded from the first byte on."""

    def __init__(self, limit: Limit, *args: Any, **settings: Any) -> None:
        self._limit = limit
        super().__init__(*args, **settings)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        sock: socket.socket = super()._get_socket(host, port, timeout)  # type: ignore[misc]
        self._limit.guard(sock)
        return sock


class _Secured(_Plain, smtplib.SMTP_SSL):
    """The same with TLS from the first byte on."""


class _BadAuthorities(ValueError):
    """The file that `ca` names."""


def _unreachable(who: str, error: Exception, timeout: float) -> PortError:
    match error:
        case ssl.SSLCertVerificationError():
            hint = "`host` must be the name in its certificate; `ca` names authorities of your own."
            return Temporary(f"{who} cannot be trusted: {error.verify_message}.", retry_after=60.0, hint=hint)
        case ssl.SSLError():
            hint = "`tls` and `starttls` are not the same: mostly 465 is `tls`, 587 and 25 are `starttls`."
            return Temporary(f"{who} does not speak TLS there.", retry_after=60.0, hint=hint)
        case ConnectionRefusedError():
            return Temporary(f"{who} refuses connections.", retry_after=5.0)
        case TimeoutError():
            return Temporary(f"{who} does not answer within {timeout:g} s.", retry_after=5.0)
        case socket.gaierror():
            return Temporary(f"{who} cannot be found: its name is not known.", retry_after=60.0)
        case OSError():
            return Temporary(f"{who} cannot be reached: {error.strerror or type(error).__name__}.", retry_after=5.0)
    return Uncertain(f"{who} may have taken it or not ({type(error).__name__}).")


def _hint(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPSenderRefused):
        return "It does not take mails from `from`, or wants somebody to log in: `user` and `password`."
    return "What it says is all that is known; its administrator knows more."


def _answer(code: int, text: bytes | str) -> str:
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return f"{code} {' '.join(''.join(c if c.isprintable() else ' ' for c in words).split())[:200]}"
