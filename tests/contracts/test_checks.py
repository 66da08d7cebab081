"""The checks keep the contract of their port, and say exactly what they found."""

from __future__ import annotations

import datetime
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from greenroom.adapters.checks.command import CommandCheck, CommandSettings
from greenroom.adapters.checks.http import HttpCheck
from greenroom.domain.model import Colour, Verdict
from greenroom.domain.opinion import Case, Finding
from greenroom.ports import Check, Place
from greenroom.testing.contracts.check import CheckContract
from greenroom.testing.fakes import FakeCheck

PATIENCE = 60.0


class App(BaseHTTPRequestHandler):
    """An application under test. `server.seen` is the witness."""

    def do_GET(self) -> None:
        self.server.seen.append((self.path, dict(self.headers)))  # type: ignore[attr-defined]
        self.rfile.read(int(self.headers.get("content-length", 0)))
        match self.path.partition("?")[0]:
            case "/":
                self.say(200, b"Welcome to version 2", {"content-type": "text/html"})
            case "/api":
                self.say(200, b'{"items": [{"price": 5.5}], "a.b": {"ok": true}, "version": "2"}')
            case "/moved":
                self.say(302, b"", {"location": "/"})
            case "/away":
                self.say(302, b"", {"location": "http://elsewhere.example/"})
            case "/named":
                self.say(302, b"", {"location": f"http://{self.headers['host']}/"})
            case "/circle":
                self.say(302, b"", {"location": "/circle"})
            case "/huge":
                self.say(200, b"x" * 1_500_000)
            case "/drip":
                self.drip()
            case "/short":
                self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello")
            case "/nonsense":
                self.wfile.write(b"220 smtp.example ready\r\n")
            case "/silent":
                pass
            case _:
                self.say(404, b"no such page\n<html>")

    do_POST = do_GET

    def say(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def drip(self) -> None:
        """A byte now and then, each sooner than any timeout between two bytes."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not self.server.ended.wait(0.05):  # type: ignore[attr-defined]
            self.wfile.write(b"x")
            self.wfile.flush()

    def log_message(self, *args: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), App)
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.ended = threading.Event()
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *args: Any) -> None:
        """The clients of these tests break off on purpose."""


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(context)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def app() -> Iterator[Server]:
    with serving() as server:
        yield server


class Pinned:
    """A vault."""

    def __init__(self, **values: str) -> None:
        self._values = values

    def values(self, release: str) -> Mapping[str, str]:
        return self._values

    def pin(self, release: str, values: Mapping[str, str]) -> None: ...

    def forget(self, release: str) -> None: ...


def place(folder: Path, **secrets: str) -> Place:
    return Place("shop", folder / "greenroom.yaml", folder / ".greenroom", vault=Pinned(**secrets))


def a_case(url: str = "http://127.0.0.1:1", **headers: str) -> Case:
    return Case("r-7", "2", Colour.GREEN, url, headers, {"version": "2"})


# --- the contract


class FakeBench:
    def __init__(self) -> None:
        self._asked = 0

    def check(self, opinion: Verdict) -> Check:
        def answer(case: Case, memo: Any) -> Finding:
            if memo and memo.get("begun"):
                return Finding(opinion, "so it is")
            self._asked += 1
            return Finding(Verdict.WAIT, "begun", 0.01, {"begun": True})

        return FakeCheck("fake", answer)

    def endless(self) -> None:
        return None

    def case(self) -> Case:
        return a_case()

    def begun(self) -> int:
        return self._asked

    def running(self) -> int:
        return 0


class HttpBench:
    def __init__(self, app: Server, folder: Path) -> None:
        self._app, self._folder, self._before = app, folder, len(app.seen)

    def check(self, opinion: Verdict) -> Check:
        settings = HttpCheck.Settings(path="/", contains="Welcome" if opinion is Verdict.PASS else "Goodbye")
        return HttpCheck(settings, place(self._folder))

    def endless(self) -> None:
        return None

    def case(self) -> Case:
        return a_case(self._app.url)

    def begun(self) -> int:
        return len(self._app.seen) - self._before

    def running(self) -> int:
        return 0


class CommandBench:
    """The command writes its pid into a file: the witness."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def check(self, opinion: Verdict) -> Check:
        code = 0 if opinion is Verdict.PASS else 3
        return command(self._folder, f"echo $$ >>pids; echo went; exit {code}", name="tests")

    def endless(self) -> Check:
        return command(self._folder, "echo $$ >>pids; sleep 600 & sleep 600", name="tests")

    def case(self) -> Case:
        return a_case()

    def begun(self) -> int:
        return len(pids(self._folder))

    def running(self) -> int:
        return sum(alive(group) for group in pids(self._folder))


def pids(folder: Path) -> list[int]:
    path = folder / "pids"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


class TestFake(CheckContract):
    @pytest.fixture
    def bench(self) -> FakeBench:
        return FakeBench()


class TestHttp(CheckContract):
    @pytest.fixture
    def bench(self, app: Server, tmp_path: Path) -> HttpBench:
        return HttpBench(app, tmp_path)


class TestCommand(CheckContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> CommandBench:
        return CommandBench(tmp_path)


# --- http


def asked(url: str, settings: Mapping[str, Any], folder: Path, **secrets: str) -> Finding:
    check = HttpCheck(HttpCheck.Settings.model_validate(settings), place(folder, **secrets))
    return check.ask(a_case(url, **{"x-greenroom-test": "1"}), None)


GOOD = [
    {"path": "/", "contains": "version {version}", "expect_headers": {"Content-Type": "html"}},
    {"path": "/nothing", "status": [200, 404]},
    {"path": "/api", "json": {"items[0].price": 5.5, '["a.b"].ok': True, "version": "{version}"}},
    {"path": "/api", "json": {"items[0].price": "5.50"}},
    {"path": "/moved", "follow_redirects": True, "matches": "W.lcome"},
    {"path": "/named", "follow_redirects": True, "contains": "Welcome", "headers": {"Host": "idle.shop.example"}},
    {"path": "/moved", "status": 302},
    {"url": "{idle_url}/ü?q=a b", "status": 404, "method": "POST", "body": "{version}"},
    {"path": "/", "method": "HEAD", "status": 501},
]

BAD = [
    ({"path": "/nothing"}, "answered 404, expected 200"),
    ({"path": "/", "contains": "Goodbye"}, "the body does not contain 'Goodbye'"),
    ({"path": "/", "matches": "^x+$"}, "nothing in the body matches '^x+$'"),
    ({"path": "/", "expect_headers": {"content-type": "json"}}, "the header content-type is 'text/html' and does not"),
    ({"path": "/", "expect_headers": {"x-version": "2"}}, "the answer has no header x-version"),
    ({"path": "/api", "json": {"items[0].price": 7}}, "items[0].price is 5.5, expected 7"),
    ({"path": "/api", "json": {'["a.b"].ok': 1}}, '["a.b"].ok is true, expected 1'),
    ({"path": "/api", "json": {"items[1].price": 7}}, "the JSON has no items[1].price"),
    ({"path": "/", "json": {"a": 7}}, "the body is not JSON"),
    ({"path": "/huge", "json": {"a": 7}}, "more than 1 MB"),
    ({"path": "/huge", "contains": "y"}, "in its first 1 MB"),
    ({"path": "/moved"}, "answered 302, expected 200: it leads to / (ask there, or set `follow_redirects: true`)"),
    ({"path": "/away", "follow_redirects": True}, "leads away from the candidate, to http://elsewhere.example/"),
    ({"path": "/circle", "follow_redirects": True}, "redirected more than 5 times"),
    ({"path": "/drip", "timeout": "500ms"}, "no complete answer from 127.0.0.1:"),
    ({"path": "/short"}, "broke off after 5 bytes"),
    ({"path": "/nonsense"}, "does not answer in HTTP"),
    ({"path": "/silent"}, "closed the connection without an answer"),
    ({"path": "/", "max_time": "0"}, "more than 0s"),
]


@pytest.mark.parametrize("settings", GOOD, ids=str)
def test_a_good_answer(app: Server, tmp_path: Path, settings: Mapping[str, Any]) -> None:
    finding = asked(app.url, settings, tmp_path)
    assert finding.verdict is Verdict.PASS, finding.reason
    assert app.seen[-1][1].get("x-greenroom-test") == "1" or settings.get("method") == "HEAD"


@pytest.mark.parametrize(("settings", "reason"), BAD, ids=[reason for _, reason in BAD])
def test_a_bad_answer_is_told_exactly(app: Server, tmp_path: Path, settings: dict[str, Any], reason: str) -> None:
    finding = asked(app.url, settings, tmp_path)
    assert finding.verdict is Verdict.FAIL
    assert reason in finding.reason
    assert len(finding.reason) < 400


def test_nobody_there_is_a_failure_and_no_such_name_is_unknown(tmp_path: Path) -> None:
    with socket.socket() as reserved:  # bound and not listening: nobody else gets it meanwhile
        reserved.bind(("127.0.0.1", 0))
        finding = asked(f"http://127.0.0.1:{reserved.getsockname()[1]}", {"path": "/"}, tmp_path)
    assert (finding.verdict, "nobody answers at" in finding.reason) == (Verdict.FAIL, True)
    assert asked("http://x..y", {"path": "/"}, tmp_path).verdict is Verdict.UNKNOWN
    assert asked("http://127.0.0.1:99999", {"path": "/"}, tmp_path).verdict is Verdict.UNKNOWN


def test_retries_are_waits_and_the_last_try_counts(app: Server, tmp_path: Path) -> None:
    settings = HttpCheck.Settings.model_validate({"path": "/nothing", "retries": 2, "retry_delay": "3s"})
    memo = None
    verdicts = []
    for _ in range(3):
        finding = HttpCheck(settings, place(tmp_path)).ask(a_case(app.url), memo)
        verdicts.append((finding.verdict, finding.again_after))
        memo = finding.memo
    assert verdicts == [(Verdict.WAIT, 3.0), (Verdict.WAIT, 3.0), (Verdict.FAIL, 0.0)]


def test_a_watch_asks_as_users_do_and_says_when_to_ask_next(app: Server, tmp_path: Path) -> None:
    settings = HttpCheck.WatchSettings.model_validate({"url": f"{app.url}/", "every": "2s"})
    finding = HttpCheck(settings, place(tmp_path)).ask(a_case(app.url, **{"x-greenroom-test": "1"}), None)
    assert (finding.verdict, finding.again_after) == (Verdict.PASS, 2.0)
    assert "x-greenroom-test" not in app.seen[-1][1]


def test_no_secret_in_what_a_check_says(app: Server, tmp_path: Path) -> None:
    finding = asked(app.url, {"path": "/", "contains": "hunter22"}, tmp_path, PASSWORD="hunter22")
    assert "${PASSWORD}" in finding.reason
    assert "hunter22" not in repr(finding)


def test_certificates(tmp_path: Path) -> None:
    authority = certificate(tmp_path, days=10)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, tmp_path / "key.pem")
    with serving(context) as server:
        for tls, verdict, reason in (
            ({"ca": "cert.pem", "days_left": 5}, Verdict.PASS, "200"),
            ({"ca": "cert.pem", "days_left": 30}, Verdict.FAIL, "valid for 9 more days"),
            ({}, Verdict.FAIL, "is not good: self-signed certificate"),
            ({"verify": False}, Verdict.PASS, "200"),
            ({"ca": "cert.pem", "name": "other.example"}, Verdict.FAIL, "other.example"),
            ({"ca": "none.pem"}, Verdict.UNKNOWN, "No such file"),
        ):
            finding = asked(server.url, {"path": "/", "tls": tls}, tmp_path)
            assert (finding.verdict, reason in finding.reason) == (verdict, True), finding.reason


def certificate(folder: Path, days: int) -> Path:
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "shop.example")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    (folder / "cert.pem").write_bytes(made.public_bytes(pem))
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return folder / "cert.pem"


# --- command


def command(folder: Path, run: str, name: str = "", **settings: Any) -> CommandCheck:
    values = {"run": run, "name": name or "tests", **settings}
    return CommandCheck(CommandSettings.model_validate(values), place(folder, TOKEN="s3cret-value"))


def until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def answer(check: CommandCheck, case: Case | None = None) -> Finding:
    memo = None
    deadline = time.monotonic() + PATIENCE
    while True:
        finding = check.ask(case or a_case("http://127.0.0.1:8081"), memo)
        if finding.verdict is not Verdict.WAIT:
            return finding
        assert time.monotonic() < deadline, "no verdict"
        memo = finding.memo
        time.sleep(0.02)


def test_the_command_knows_what_it_is_about(tmp_path: Path) -> None:
    run = 'test {idle_url}={version} = "$GREENROOM_IDLE_URL=2" && test "$MORE $GREENROOM_COLOUR" = "2 true green"'
    finding = answer(command(tmp_path, run, env={"MORE": "{version} true"}))
    assert finding.verdict is Verdict.PASS, finding.evidence


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        ("no-such-command-at-all", "command not found (exit code 127)"),
        ("./data", "the command is not executable (exit code 126)"),
        ("echo one; echo two >&2; exit 3", "exit code 3: two"),
        ("kill -9 $$", "ended by signal 9"),
    ],
)
def test_a_failed_command_says_how(tmp_path: Path, run: str, reason: str) -> None:
    (tmp_path / "data").write_text("not a program")
    finding = answer(command(tmp_path, run))
    assert finding.verdict is Verdict.FAIL
    assert finding.reason.startswith(reason)
    assert (tmp_path / ".greenroom/logs/checks/r-7/tests.log").exists()


def test_secrets_reach_the_command_and_nobody_else(tmp_path: Path) -> None:
    check = command(tmp_path, "cat /proc/$PPID/cmdline | tr '\\0' ' ' >line; echo ${TOKEN}; test ${TOKEN} = x")
    finding = answer(check)
    assert finding.evidence == ("${TOKEN}",)
    assert "s3cret" not in repr(finding) + (tmp_path / "line").read_text()


def test_a_value_that_a_shell_would_act_upon_is_refused(tmp_path: Path) -> None:
    finding = answer(command(tmp_path, "echo {version}"), replace(a_case(), version="$(x)", variables={}))
    assert finding.verdict is Verdict.FAIL
    assert 'use "$GREENROOM_VERSION"' in finding.reason


def test_a_command_that_lasts_too_long_is_ended_with_all_that_it_began(tmp_path: Path) -> None:
    check = command(tmp_path, "(trap '' TERM; sleep 600) & echo $! >>pids; echo begun; sleep 600", timeout="1s")
    finding = answer(check)
    assert finding.verdict is Verdict.FAIL
    assert finding.reason.startswith("not finished within 1s, so it was ended")
    until(lambda: not any(alive(pid) for pid in pids(tmp_path)), "the background process lives on")


def test_a_job_that_somebody_killed_is_a_failure_and_the_next_ask_begins_anew(tmp_path: Path) -> None:
    check = command(tmp_path, "echo $$ >>pids; sleep 600")
    finding = check.ask(a_case(), None)
    assert finding.memo is not None
    until(lambda: len(pids(tmp_path)) == 1, "it never began")
    os.killpg(int(finding.memo["job"]["pid"]), signal.SIGKILL)
    until(lambda: check.ask(a_case(), finding.memo).verdict is Verdict.FAIL, "nobody saw it")
    assert check.ask(a_case(), None).verdict is Verdict.WAIT
    until(lambda: len(pids(tmp_path)) == 2, "it was not begun again")
    check.withdraw(a_case(), None)
