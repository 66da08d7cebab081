"""An SMTP server on loopback (aiosmtpd): in the clear, with STARTTLS or TLS, with and without a login; it can refuse."""

from __future__ import annotations

import datetime
import email
import email.message
import email.policy
import ipaddress
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from greenroom.testing.processes import free_ports

USER, PASSWORD = "robot", "sw0rdf1sh-for-mail"


@dataclass
class Mailbox:
    """What arrived. `refuse`: answers by recipient, and for the body of a mail by the name `data`."""

    refuse: Mapping[str, str] = field(default_factory=dict)
    got: list[tuple[tuple[str, ...], email.message.EmailMessage]] = field(default_factory=list)
    """(recipients, mail)"""
    logins: list[str] = field(default_factory=list)
    secured: list[bool] = field(default_factory=list)

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, _: Any) -> str:
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if "data" in self.refuse:
            return self.refuse["data"]
        content = envelope.content
        assert isinstance(content, bytes)
        message = email.message_from_bytes(content, policy=email.policy.default)
        assert isinstance(message, email.message.EmailMessage)
        self.got.append((tuple(envelope.rcpt_tos), message))
        self.secured.append(session.ssl is not None)
        return "250 taken"

    def login(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: Any) -> AuthResult:
        assert isinstance(given, LoginPassword)
        right = given == LoginPassword(USER.encode(), PASSWORD.encode())
        self.logins.append(f"{given.login.decode()}: {'right' if right else 'wrong'}")
        return AuthResult(success=right, handled=False)


class MailServer:
    """A context manager. `security`: as in the file. `ca`: whom to trust for it. `login`: None where nobody can."""

    def __init__(self, folder: Path, security: str = "none", *, login: bool | None = False) -> None:
        self.mailbox = Mailbox()
        self.ca = folder / "mail.pem"
        [self.port] = free_ports(1)
        settings: dict[str, Any] = {"auth_require_tls": False}
        if login is None:
            settings |= {"auth_exclude_mechanism": ["LOGIN", "PLAIN"]}
        if login:
            settings |= {"auth_required": True, "authenticator": self.mailbox.login}
        if security != "none":
            certificate(folder)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(folder / "mail.pem", folder / "mail.key")
            settings |= {"tls": {"ssl_context": context}, "starttls": {"tls_context": context}}[security]
            settings |= {"require_starttls": True} if security == "starttls" else {}
        self._controller = Controller(self.mailbox, hostname="127.0.0.1", port=self.port, **settings)

    def __enter__(self) -> MailServer:
        self._controller.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._controller.stop(no_assert=True)


def certificate(folder: Path) -> None:
    """`mail.pem` and `mail.key`, for this machine's loopback."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.example")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))])
    builder = x509.CertificateBuilder(name, name, private.public_key(), 7, now, now + datetime.timedelta(days=2))
    made = builder.add_extension(names, critical=False).sign(private, hashes.SHA256())
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    (folder / "mail.key").write_bytes(private.private_bytes(pem, form, plain))
    (folder / "mail.pem").write_bytes(made.public_bytes(pem))
