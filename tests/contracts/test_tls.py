"""The check `tls`, against servers with certificates of every kind."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import ValidationError

from greenroom.adapters.checks.tls import TlsCheck, TlsSettings, covers
from greenroom.domain.model import Colour, Verdict
from greenroom.domain.opinion import Case, Finding
from greenroom.ports import Check, Place
from greenroom.testing.contracts.check import CheckContract

DAY = datetime.timedelta(days=1)
PEM = serialization.Encoding.PEM


class Authority:
    """Signs certificates; `ca.pem` is its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Authority of tests")])
        own = self._builder(self._name, self._key, 3650).add_extension(x509.BasicConstraints(True, None), critical=True)
        (folder / "ca.pem").write_bytes(own.sign(self._key, hashes.SHA256()).public_bytes(PEM))

    def context(self, *names: str, days: int = 90) -> ssl.SSLContext:
        """A server's, with a certificate for these names."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "shop")])
        builder = self._builder(subject, key, days)
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_general(name) for name in names]), critical=False
            )
        (self.folder / "site.pem").write_bytes(
            builder.sign(self._key, hashes.SHA256()).public_bytes(PEM)
            + key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "site.pem")
        return context

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, days: int) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        ends = now + days * DAY + DAY / 2
        serial = x509.random_serial_number()
        return x509.CertificateBuilder(self._name, subject, key.public_key(), serial, min(now, ends) - DAY, ends)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class Server:
    """Speaks TLS and says nothing. `count`: connections."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.count = 0
        self.host = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            self.count += 1
            with client, suppress(OSError):
                client.settimeout(10)
                if self._context is None:
                    client.sendall(b"220 smtp.example ready\r\n")
                else:
                    with self._context.wrap_socket(client, server_side=True) as sock:
                        sock.recv(1)


@contextmanager
def serving(context: ssl.SSLContext | None) -> Iterator[Server]:
    server = Server(context)
    try:
        yield server
    finally:
        server.close()


def place(folder: Path) -> Place:
    return Place("shop", folder / "greenroom.yaml", folder / ".greenroom")


def a_case(public: str = "") -> Case:
    return Case("r-7", "2", Colour.GREEN, "http://127.0.0.1:1", {}, {"version": "2"}, public=public)


def asked(folder: Path, public: str = "", **settings: Any) -> Finding:
    return TlsCheck(TlsSettings.model_validate(settings), place(folder)).ask(a_case(public), None)


class TlsBench:
    """Each `ask` is two handshakes: with what may be spoken, and with what may not."""

    def __init__(self, server: Server, folder: Path) -> None:
        self._server, self._folder = server, folder

    def check(self, opinion: Verdict) -> Check:
        name = "shop.example" if opinion is Verdict.PASS else "other.example"
        settings = TlsSettings(host=self._server.host, names=[name], ca=Path("ca.pem"))
        return TlsCheck(settings, place(self._folder))

    def endless(self) -> None:
        return None

    def case(self) -> Case:
        return a_case()

    def begun(self) -> int:
        return (self._server.count + 1) // 2

    def running(self) -> int:
        return 0


class TestTls(CheckContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Iterator[TlsBench]:
        with serving(Authority(tmp_path).context("shop.example", "127.0.0.1")) as server:
            yield TlsBench(server, tmp_path)


def old(context: ssl.SSLContext) -> ssl.SSLContext:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context.minimum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def only_old(context: ssl.SSLContext) -> ssl.SSLContext:
    context = old(context)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


CASES: list[tuple[Callable[[Authority], ssl.SSLContext | None], dict[str, Any], Verdict, str]] = [
    (lambda a: a.context("shop.example", "127.0.0.1"), {}, Verdict.PASS, "for shop.example, 127.0.0.1, valid for 90"),
    (lambda a: a.context("*.shop.example"), {"server_name": "www.shop.example"}, Verdict.PASS, "for *.shop.example"),
    (lambda a: a.context("a.example", "b.example"), {"names": ["a.example", "B.example"]}, Verdict.PASS, "TLS 1.3"),
    (lambda a: a.context("shop.example"), {}, Verdict.FAIL, "is not for 127.0.0.1, but for shop.example"),
    (lambda a: a.context("a.example"), {"names": ["a.example", "c.example"]}, Verdict.FAIL, "is not for c.example"),
    (lambda a: a.context(), {}, Verdict.FAIL, "but for no name"),
    (lambda a: a.context("127.0.0.1", days=10), {}, Verdict.FAIL, "valid for 10 more days"),
    (lambda a: a.context("127.0.0.1", days=10), {"days_left": 7}, Verdict.PASS, "valid for 10 more days"),
    (lambda a: a.context("127.0.0.1", days=-3), {}, Verdict.FAIL, "certificate has expired"),
    (lambda a: a.context("127.0.0.1"), {"ca": None}, Verdict.FAIL, "name its authority in `ca`"),
    (
        lambda a: a.context("127.0.0.1"),
        {"protocol": "1.3"},
        Verdict.FAIL,
        "TLS 1.2 is spoken still; TLS 1.3 is the oldest",
    ),
    (lambda a: old(a.context("127.0.0.1")), {}, Verdict.FAIL, "TLS 1.1 is spoken still; TLS 1.2 is the oldest"),
    (lambda a: only_old(a.context("127.0.0.1")), {}, Verdict.FAIL, "no TLS 1.2 or newer is spoken"),
    (lambda _: None, {}, Verdict.FAIL, "no TLS 1.2 or newer is spoken"),
    (lambda a: a.context("127.0.0.1"), {"ca": "none.pem"}, Verdict.UNKNOWN, "none.pem cannot be used: No such file"),
]


@pytest.mark.parametrize(("made", "settings", "verdict", "reason"), CASES, ids=[row[3] for row in CASES])
def test_certificates_and_protocols(
    made: Callable[[Authority], ssl.SSLContext | None],
    settings: dict[str, Any],
    verdict: Verdict,
    reason: str,
    tmp_path: Path,
) -> None:
    with serving(made(Authority(tmp_path))) as server:
        given = {"host": server.host, "ca": "ca.pem", **settings}
        finding = asked(tmp_path, **given)
        assert (finding.verdict, reason in finding.reason) == (verdict, True), finding.reason


def test_the_public_address_is_examined_where_no_host_is_given(tmp_path: Path) -> None:
    with serving(Authority(tmp_path).context("shop.example")) as server:
        good = asked(tmp_path, f"https://{server.host}", ca="ca.pem", server_name="shop.example")
        assert good.verdict is Verdict.PASS, good.reason
    assert asked(tmp_path, "").verdict is Verdict.PASS
    plain = asked(tmp_path, "http://127.0.0.1:8080")
    assert (plain.verdict, plain.reason) == (
        Verdict.FAIL,
        "the public address http://127.0.0.1:8080 is not https; give `host: name:port`",
    )


def test_nobody_there_and_no_such_name(tmp_path: Path) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        finding = asked(tmp_path, host=f"127.0.0.1:{reserved.getsockname()[1]}")
    assert (finding.verdict, "nobody speaks TLS at" in finding.reason) == (Verdict.FAIL, True)
    assert asked(tmp_path, host="x..y:443").verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("pattern", "name", "good"),
    [
        ("shop.example", "SHOP.example.", True),
        ("*.shop.example", "a.shop.example", True),
        ("*.shop.example", "shop.example", False),
        ("*.shop.example", "a.b.shop.example", False),
        ("shop.example", "www.shop.example", False),
        ("0:0:0:0:0:0:0:1", "::1", True),
    ],
)
def test_what_a_name_covers(pattern: str, name: str, good: bool) -> None:
    assert covers(pattern, name) is good


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"host": "https://shop.example"}, "is no host and port"),
        ({"host": "shop.example:https"}, "is no host and port"),
        ({"protocol": 1.1}, "'1.2' or '1.3'"),
        ({"days_left": -1}, "greater than or equal to 0"),
    ],
)
def test_settings_that_cannot_work(settings: Mapping[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        TlsSettings.model_validate(settings)


def test_a_protocol_may_be_written_as_a_number() -> None:
    assert TlsSettings.model_validate({"protocol": 1.2}).protocol == "1.2"


def test_a_file_of_authorities_that_is_none_is_told_before_anything_is_touched(tmp_path: Path) -> None:
    settings = TlsSettings(ca=Path("none.pem"))
    [problem] = TlsCheck.problems(settings, place(tmp_path))
    assert problem == "ca: the file of authorities none.pem cannot be used: No such file or directory"
