"""The check `dns`, against a small name server on a port of the loopback."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from pydantic import ValidationError

from greenroom.adapters.checks.dns import DnsCheck, DnsSettings
from greenroom.domain.model import Colour, Verdict
from greenroom.domain.opinion import Case, Finding
from greenroom.ports import Check, Place
from greenroom.testing.contracts.check import CheckContract

ZONE: Mapping[tuple[str, str], list[tuple[str, int, str, list[str]]]] = {
    ("shop.example.", "A"): [("shop.example.", 60, "A", ["192.0.2.1", "192.0.2.2"])],
    ("shop.example.", "AAAA"): [("shop.example.", 60, "AAAA", ["2001:db8::1"])],
    ("shop.example.", "TXT"): [("shop.example.", 30, "TXT", ['"v=spf1 -all"', '"live=" "blue"'])],
    ("www.shop.example.", "CNAME"): [("www.shop.example.", 3600, "CNAME", ["Shop.example."])],
    ("www.shop.example.", "A"): [
        ("www.shop.example.", 3600, "CNAME", ["shop.example."]),
        ("shop.example.", 60, "A", ["192.0.2.1", "192.0.2.2"]),
    ],
    ("bare.example.", "MX"): [("bare.example.", 60, "MX", ["10 mail.example."])],
}


class NameServer:
    """`seen`: what it was asked. Names with `broken` get SERVFAIL, with `silent` nothing."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.seen: list[str] = []
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.sendto(b"end", self.socket.getsockname())
        self._thread.join()
        self.socket.close()

    def _serve(self) -> None:
        while True:
            data, client = self.socket.recvfrom(4096)
            if data == b"end":
                return
            answer = self._answer(dns.message.from_wire(data))
            if answer is not None:
                self.socket.sendto(answer.to_wire(), client)

    def _answer(self, question: dns.message.Message) -> dns.message.Message | None:
        [asked] = question.question
        name, kind = asked.name.to_text().lower(), dns.rdatatype.to_text(asked.rdtype)
        self.seen.append(f"{name} {kind}")
        answer = dns.message.make_response(question)
        answer.flags |= dns.flags.AA
        if "silent" in name:
            return None
        if "broken" in name:
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif not any(known == name for known, _ in ZONE):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        for owner, ttl, of, values in ZONE.get((name, kind), ()):
            answer.answer.append(dns.rrset.from_text(owner, ttl, "IN", of, *values))
        return answer


@contextmanager
def serving() -> Iterator[NameServer]:
    server = NameServer()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module")
def server() -> Iterator[NameServer]:
    with serving() as one:
        yield one


def place(folder: Path) -> Place:
    return Place("shop", folder / "greenroom.yaml", folder / ".greenroom")


def a_case() -> Case:
    return Case("r-7", "2", Colour.GREEN, "http://127.0.0.1:1", {}, {"version": "2"})


def asked(server: NameServer, folder: Path, **settings: Any) -> Finding:
    given = {"host": "shop.example", "server": server.address, **settings}
    return DnsCheck(DnsSettings.model_validate(given), place(folder)).ask(a_case(), None)


class DnsBench:
    def __init__(self, server: NameServer, folder: Path) -> None:
        self._server, self._folder, self._before = server, folder, len(server.seen)

    def check(self, opinion: Verdict) -> Check:
        expect = ["192.0.2.1", "192.0.2.2"] if opinion is Verdict.PASS else ["192.0.2.9"]
        settings = DnsSettings(host="shop.example", server=self._server.address, expect=expect)
        return DnsCheck(settings, place(self._folder))

    def endless(self) -> None:
        return None

    def case(self) -> Case:
        return a_case()

    def begun(self) -> int:
        return len(self._server.seen) - self._before

    def running(self) -> int:
        return 0


class TestDns(CheckContract):
    @pytest.fixture
    def bench(self, server: NameServer, tmp_path: Path) -> DnsBench:
        return DnsBench(server, tmp_path)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, "192.0.2.1, 192.0.2.2, for 1m"),
        ({"expect": ["192.0.2.2", "192.0.2.1"], "max_ttl": "60s"}, "192.0.2.1"),
        ({"expect": ["192.0.2.2"], "only": False}, "192.0.2.1"),
        ({"record": "AAAA", "expect": ["2001:DB8:0:0::1"]}, "2001:db8::1"),
        ({"host": "www.shop.example", "record": "CNAME", "expect": ["shop.example."]}, "shop.example, for 1h"),
        ({"record": "TXT", "expect": ["live=blue"]}, "live=blue"),
        ({"host": "www.shop.example", "expect": ["192.0.2.1", "192.0.2.2"]}, "for 1h"),
    ],
    ids=str,
)
def test_good(server: NameServer, tmp_path: Path, settings: dict[str, Any], reason: str) -> None:
    finding = asked(server, tmp_path, **settings)
    assert (finding.verdict, reason in finding.reason) == (Verdict.PASS, True), finding.reason


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"expect": ["192.0.2.9"]}, "192.0.2.9 is not there; there is 192.0.2.1, 192.0.2.2"),
        ({"expect": ["192.0.2.1"]}, "192.0.2.2 is there, too"),
        ({"max_ttl": "30s"}, "may be remembered for 1m, at most 30s are asked for"),
        ({"host": "www.shop.example", "max_ttl": "60s"}, "may be remembered for 1h"),
        ({"record": "TXT", "expect": ["live=green"]}, "live=green is not there"),
        ({"record": "TXT", "expect": ["live=blue"], "only": True}, "v=spf1 -all is there, too"),
        ({"host": "gone.example"}, "there is no name gone.example"),
        ({"host": "bare.example"}, "bare.example has no record A"),
    ],
    ids=str,
)
def test_bad(server: NameServer, tmp_path: Path, settings: dict[str, Any], reason: str) -> None:
    finding = asked(server, tmp_path, **settings)
    assert (finding.verdict, reason in finding.reason) == (Verdict.FAIL, True), finding.reason


def test_who_does_not_answer_is_unknown(server: NameServer, tmp_path: Path) -> None:
    for host, reason in (("broken.example", "did not give an answer"), ("silent.example", "within 0.5s")):
        finding = asked(server, tmp_path, host=host, timeout="500ms")
        assert (finding.verdict, reason in finding.reason) == (Verdict.UNKNOWN, True), finding.reason
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as reserved:
        reserved.bind(("127.0.0.1", 0))
        free = f"127.0.0.1:{reserved.getsockname()[1]}"
    settings = DnsSettings.model_validate({"host": "shop.example", "server": free, "timeout": "500ms"})
    assert DnsCheck(settings, place(tmp_path)).ask(a_case(), None).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"host": ""}, "is no name"),
        ({"host": "a..b"}, "is no name"),
        ({"host": "shop.example", "server": "ns.example"}, "is no address of a server"),
        ({"host": "shop.example", "server": "127.0.0.1:99999"}, "is no address of a server"),
        ({"host": "shop.example", "expect": ["shop.example"]}, "cannot be in a record A"),
        ({"host": "shop.example", "expect": ["2001:db8::1"]}, "cannot be in a record A"),
        ({"host": "shop.example", "record": "CNAME", "expect": ["a.example", "b.example"]}, "one CNAME at most"),
        ({"host": "shop.example", "record": "MX"}, "'A', 'AAAA', 'CNAME' or 'TXT'"),
        ({"host": "shop.example", "max_ttl": 60}, "has no unit"),
    ],
)
def test_settings_that_cannot_work(settings: Mapping[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        DnsSettings.model_validate(settings)


def test_without_the_library_the_way_out_is_told(tmp_path: Path) -> None:
    """In a process in which there is no dnspython, as in an installation without the extra."""
    file = tmp_path / "greenroom.yaml"
    file.write_text(
        """\
service: shop
environment: {type: process, processes: {web: {command: python3 app.py}}}
router: {type: envoy, listen: 127.0.0.1:8080}
checks:
  - {type: dns, host: shop.example}
"""
    )
    program = f"""\
import sys, pathlib
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "dns":
            raise ModuleNotFoundError("No module named 'dns'", name="dns")
sys.meta_path.insert(0, Missing())
from greenroom.config.loader import load
from greenroom.errors import UsageError
try:
    load(pathlib.Path({str(file)!r}), {{}})
except UsageError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert "pip install 'greenroom[dns]'" in done.stdout
    assert ":5: checks[0].type:" in done.stdout
    assert len(done.stdout.splitlines()) == 1
