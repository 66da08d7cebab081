"""The check `load` against real servers: what it finds is what is so."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from greenroom.adapters.checks.load import LoadCheck
from greenroom.adapters.checks.load_verdict import Report, judged
from greenroom.adapters.load.plan import Plan, Shot
from greenroom.adapters.load.schedule import Stretch
from greenroom.domain.model import Colour, Verdict
from greenroom.domain.opinion import Case, Finding
from greenroom.ports import Place
from tests.rigs.answering import Received, Reply, answering, own_certificate

pytestmark = pytest.mark.real
PATIENCE = 60.0
PATIENT = {"max_send_delay": "30s", "timeout": "30s"}
"""For a busy machine, where it is not the question whether the requests are sent on time."""


class Pinned:
    """A vault."""

    def __init__(self, **values: str) -> None:
        self._values = values

    def values(self, release: str) -> Mapping[str, str]:
        return self._values

    def pin(self, release: str, values: Mapping[str, str]) -> None: ...

    def forget(self, release: str) -> None: ...


class Loading:
    """One check with its case."""

    def __init__(self, folder: Path, url: str, secrets: Mapping[str, str] | None = None, **settings: Any) -> None:
        document = {"name": "load", "rate": "200/s", "duration": "1s", **settings}
        place = Place("shop", folder / "greenroom.yaml", folder / ".greenroom", vault=Pinned(**(secrets or {})))
        self.check = LoadCheck(LoadCheck.Settings.model_validate(document), place)
        self.case = Case("r-7", "2", Colour.GREEN, url, {"x-greenroom-test": "1"}, {"version": "2"})
        self.folder = folder / ".greenroom/checks/r-7/load"
        self.waits: list[Finding] = []

    def until(self, enough: Callable[[Finding], bool]) -> Finding:
        memo = self.waits[-1].memo if self.waits else None
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            finding = self.check.ask(self.case, memo)
            if enough(finding):
                return finding
            assert finding.verdict is Verdict.WAIT, finding.reason
            memo = finding.memo
            self.waits.append(finding)
            time.sleep(0.05)
        raise AssertionError(f"never, at last: {self.waits[-1].reason}")

    def finding(self) -> Finding:
        return self.until(lambda finding: finding.verdict is not Verdict.WAIT)

    def pid(self) -> int:
        """Of the generator, once it is at work: the child of the job."""
        finding = self.until(lambda finding: (self.folder / "progress.json").exists())
        assert finding.memo is not None
        group = int(finding.memo["job"]["pid"])
        return int(Path(f"/proc/{group}/task/{group}/children").read_text().split()[0])


def load(folder: Path, url: str, **settings: Any) -> Finding:
    return Loading(folder, url, **settings).finding()


# --- the truth


def test_all_that_was_planned_arrives_by_the_test_route(tmp_path: Path) -> None:
    with answering() as server:
        finding = load(tmp_path, server.url, max_p99="30s", **PATIENT)
        assert finding.verdict is Verdict.PASS, finding.reason
        assert finding.reason.startswith("200 requests, 200/s, 1s: p50 ")
        assert len(server.received) == 200
        assert {request.headers["x-greenroom-test"] for request in server.received} == {"1"}
    assert "200 planned, 200 sent, 200 answered" in finding.evidence
    assert "answers: 200 × 200" in finding.evidence


def stalling(request: Received) -> Reply:
    if request.number == 50:
        time.sleep(1.0)
    return Reply()


def test_a_stall_is_seen_by_all_who_would_have_come_meanwhile(tmp_path: Path) -> None:
    """1 s of 2 s: half of the requests were due meanwhile; a tenth of all waited longer than 0.8 s."""
    with answering(stalling) as server:
        finding = load(tmp_path, server.url, rate="100/s", duration="2s", max_p90="500ms", **PATIENT)
        assert len(server.received) == 200
    assert finding.verdict is Verdict.FAIL
    assert re.match(r"p90 was (\d+ ms|[\d.]+ s), more than `max_p90` 500ms$", finding.reason)


def test_waiting_for_a_connection_counts_as_a_user_counts_it(tmp_path: Path) -> None:
    """One connection sends nothing while it waits for the stalled answer; counted from the sending, one was slow of 200."""
    with answering(stalling) as server:
        finding = load(tmp_path, server.url, rate="100/s", duration="2s", max_p90="500ms", connections=1, **PATIENT)
    assert finding.verdict is Verdict.FAIL
    assert re.match(r"p90 was (\d+ ms|[\d.]+ s), more than `max_p90` 500ms$", finding.reason)


def test_what_could_not_be_sent_on_time_is_no_pass(tmp_path: Path) -> None:
    late = {"connections": 1, "max_send_delay": "400ms"}
    with answering(stalling) as server:
        finding = load(tmp_path, server.url, rate="100/s", duration="2s", max_p90="500ms", **late)
    assert finding.verdict is Verdict.UNKNOWN, finding.reason
    assert "could not be sent on time" in finding.reason


def test_five_percent_are_five_percent(tmp_path: Path) -> None:
    with answering(lambda request: Reply(503 if request.number % 20 == 7 else 200)) as server:
        good = load(tmp_path, server.url, max_error_rate="5%", **PATIENT)
        bad = load(tmp_path, server.url, max_error_rate="4.9%", **PATIENT)
    assert good.verdict is Verdict.PASS, good.reason
    assert "10 failed" in good.reason
    assert bad.verdict is Verdict.FAIL
    assert bad.reason == "10 of 200 requests failed (5.00%), more than `max_error_rate` 4.9%: 10 × answered 503"


def test_a_service_that_is_slower_than_the_rate_is_the_limit(tmp_path: Path) -> None:
    def behave(request: Received) -> Reply:
        time.sleep(0.04)  # one after the other: 25 a second
        return Reply()

    with answering(behave) as server:
        limits = {"max_error_rate": "100%", "timeout": "20s", "connections": 5, "max_send_delay": "200ms"}
        unlimited = load(tmp_path, server.url, rate="50/s", **limits)
        slow = load(tmp_path, server.url, rate="50/s", max_p50="20ms", **limits)
    assert unlimited.verdict is Verdict.UNKNOWN
    assert "The service was the limit (all 5 connections were busy" in unlimited.reason
    assert slow.verdict is Verdict.FAIL
    assert "more than `max_p50` 20ms (counted from the sending, which was late itself)" in slow.reason


def test_what_waits_longer_than_the_timeout_is_not_sent_and_said_so(tmp_path: Path) -> None:
    with answering(lambda request: Reply(after=0.2)) as server:
        finding = load(tmp_path, server.url, rate="100/s", connections=1, timeout="1s", max_error_rate="100%")
        assert len(server.received) < 100
    assert finding.verdict is Verdict.UNKNOWN
    assert re.search(r", \d+ of 100 not at all; so nothing is proven. The service was the limit", finding.reason)


def test_a_generator_that_was_held_up_proves_nothing_even_against_the_service(tmp_path: Path) -> None:
    with answering() as server:
        loading = Loading(tmp_path, server.url, rate="50/s", duration="3s", max_p90="300ms", max_send_delay="300ms")
        pid = loading.pid()
        os.kill(pid, signal.SIGSTOP)
        time.sleep(1.5)  # this is the fault
        os.kill(pid, signal.SIGCONT)
        finding = loading.finding()
    assert finding.verdict is Verdict.UNKNOWN, finding.reason
    assert "The generator was the limit" in finding.reason


def test_requests_that_are_never_answered_are_failures_as_long_as_the_timeout(tmp_path: Path) -> None:
    with answering(lambda request: Reply(after=30.0 if request.number % 10 == 0 else 0.0)) as server:
        settings = {"timeout": "1s", "max_error_rate": "20%", "max_send_delay": "30s"}
        finding = load(tmp_path, server.url, rate="50/s", max_p95="900ms", **settings)
    assert finding.verdict is Verdict.FAIL
    assert finding.reason.startswith("p95 was ")
    assert any("5 × timeout" in line for line in finding.evidence)


def test_nobody_there_is_a_failure_and_not_awaited_to_the_end(tmp_path: Path) -> None:
    with answering() as server:
        gone = server.url
    finding = load(tmp_path, gone, duration="10m")
    assert finding.verdict is Verdict.FAIL
    assert re.fullmatch(r"given up after [\d.]+ s, because most requests failed: \d+ × nobody answers", finding.reason)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(raw=b"220 smtp.example ready\r\n"), "no answer in HTTP/1.1"),
        (Reply(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello", hang_up=True), "answer cut short"),
        (Reply(raw=b"", hang_up=True), "closed without an answer"),
        (Reply(404), "answered 404"),
    ],
)
def test_failures_are_told_apart(tmp_path: Path, reply: Reply, kind: str) -> None:
    with answering(lambda request: reply) as server:
        finding = load(tmp_path, server.url, rate="50/s", duration="400ms", **PATIENT)
    assert finding.reason == f"20 of 20 requests failed (100.00%), more than `max_error_rate` 0%: 20 × {kind}"


def test_a_machine_without_room_for_connections_is_the_limit(tmp_path: Path) -> None:
    with answering(lambda request: Reply(after=0.5)) as server:
        stretch, port = Stretch(100, 100, 1), int(server.url.rpartition(":")[2])
        shots = (Shot("GET", "/", {}, None),)
        plan = Plan("127.0.0.1", port, "shop.example", shots, (stretch,), 5.0, 1000, ((200, 299),), 1000)
        plan.write(tmp_path / "plan.json")
        command = 'ulimit -n 20 && exec "$0" -P -m greenroom.adapters.load "$1"'
        subprocess.run(["/bin/sh", "-c", command, sys.executable, tmp_path], check=True, timeout=PATIENCE)
    report = Report.of(json.loads((tmp_path / "report.json").read_text()))
    assert report is not None
    assert report.sent < 100
    assert report.obstacles == {"Too many open files": 100 - report.sent}
    finding = judged(LoadCheck.Settings.model_validate({"rate": "100/s", "duration": "1s"}), report)
    assert finding.verdict is Verdict.UNKNOWN
    assert "This machine was the limit (Too many open files)" in finding.reason


# --- the requests


def test_the_mix_has_its_shares_and_its_requests_all_that_they_need(tmp_path: Path) -> None:
    requests = [
        {"path": "/shelf?page={version}", "weight": 6},
        {"path": "/ü", "method": "HEAD", "weight": 3},
        {"path": "/orders", "method": "POST", "body": '{"version": "{version}"}', "headers": {"X-Greenroom-Test": "0"}},
    ]
    with answering() as server:
        finding = load(tmp_path, server.url, requests=requests, **PATIENT)
        assert finding.verdict is Verdict.PASS, finding.reason
        seen = Counter((request.method, request.path, request.body) for request in server.received)
        assert {request.headers["x-greenroom-test"] for request in server.received} == {"1"}
    assert seen == {
        ("GET", "/shelf?page=2", b""): 120,
        ("HEAD", "/%C3%BC", b""): 60,
        ("POST", "/orders", b'{"version": "2"}'): 20,
    }


def test_a_large_body_arrives_whole(tmp_path: Path) -> None:
    requests = [{"method": "PUT", "body": "x" * 900_000}]
    with answering() as server:
        finding = load(tmp_path, server.url, rate="20/s", duration="250ms", requests=requests, **PATIENT)
        assert finding.verdict is Verdict.PASS, finding.reason
        assert {len(request.body) for request in server.received} == {900_000}


def test_other_statuses_may_be_good(tmp_path: Path) -> None:
    with answering(lambda request: Reply(404 if request.number % 2 else 302)) as server:
        assert (
            load(tmp_path, server.url, rate="50/s", duration="400ms", status=["3xx", 404], **PATIENT).verdict
            is Verdict.PASS
        )


def test_connections_that_the_service_closes_while_they_rest_are_no_failures(tmp_path: Path) -> None:
    """It hangs up after each third answer without a word, so that the next request meets a closed connection."""
    with answering(lambda request: Reply(hang_up=request.turn == 2)) as server:
        finding = load(tmp_path, server.url, connections=2, **PATIENT)
        assert finding.verdict is Verdict.PASS, finding.reason
        assert server.connections >= 200 / 3


def test_a_service_that_closes_each_connection_is_asked_as_well(tmp_path: Path) -> None:
    with answering(lambda request: Reply(hang_up=True, headers={"Connection": "close"})) as server:
        finding = load(tmp_path, server.url, **PATIENT)
        assert finding.verdict is Verdict.PASS, finding.reason
        assert server.connections == 200


def test_tls(tmp_path: Path) -> None:
    with answering(tls=own_certificate(tmp_path)) as server:
        for tls, verdict, reason in (
            ({"ca": "cert.pem"}, Verdict.PASS, "100 requests"),
            ({"verify": False}, Verdict.PASS, "100 requests"),
            ({"ca": "cert.pem", "name": "shop.example"}, Verdict.PASS, "100 requests"),
            ({"ca": "cert.pem", "name": "other.example"}, Verdict.FAIL, "other.example"),
            ({}, Verdict.FAIL, "× certificate not good: self-signed certificate"),
            ({"ca": "none.pem"}, Verdict.UNKNOWN, "none.pem cannot be used: No such file"),
        ):
            finding = load(tmp_path, server.url, rate="300/s", duration="333ms", tls=tls, **PATIENT)
            assert (finding.verdict, reason in finding.reason) == (verdict, True), finding.reason
        assert len(server.received) == 300


# --- the process


def test_progress_is_shown_and_ramps_are_followed(tmp_path: Path) -> None:
    with answering() as server:
        loading = Loading(tmp_path, server.url, rate="100/s", ramp="1500ms", duration="250ms", **PATIENT)
        finding = loading.finding()
        assert finding.reason.startswith("100 requests, up to 100/s, 2s: p50 ")
        assert len(server.received) == 100
    said = [wait.reason for wait in loading.waits if "·" in wait.reason]
    assert said
    pattern = r"(\d+/s of (\d+)/s|the last answers) · p99 \d+ ms · 0 errors · \d s of 2 s"
    matches = [re.fullmatch(pattern, text) for text in said]
    assert all(matches), said
    wanted = [float(match[2]) for match in matches if match and match[2]]
    assert min(wanted) < 100
    assert len({str(wait.memo) for wait in loading.waits}) > 1


def test_it_is_ended_at_once_with_all_that_it_left(tmp_path: Path) -> None:
    with answering() as server:
        loading = Loading(tmp_path, server.url, duration="10m")
        pid = loading.pid()
        loading.check.withdraw(loading.case, None)
        assert not alive(pid)
        assert not loading.folder.exists()


def test_a_generator_that_somebody_killed_proves_nothing(tmp_path: Path) -> None:
    with answering() as server:
        loading = Loading(tmp_path, server.url, duration="10m")
        pid = loading.pid()
        os.killpg(os.getpgid(pid), signal.SIGKILL)
        finding = loading.finding()
    assert (finding.verdict, finding.reason) == (
        Verdict.UNKNOWN,
        "somebody ended the load generator: there is no report",
    )


def test_secrets_are_in_no_list_of_processes_and_no_file_while_it_runs(tmp_path: Path) -> None:
    requests = [{"headers": {"Authorization": "s3cret-value"}}]
    with answering() as server:
        loading = Loading(tmp_path, server.url, {"TOKEN": "s3cret-value"}, duration="10m", requests=requests)
        pid = loading.pid()
        words = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
        kept = b"".join(path.read_bytes() for path in (tmp_path / ".greenroom").rglob("*") if path.is_file())
        loading.check.withdraw(loading.case, None)
        assert server.received[0].headers["authorization"] == "s3cret-value"
    assert b"s3cret" not in words + kept


def test_an_address_that_is_none_is_unknown(tmp_path: Path) -> None:
    finding = load(tmp_path, "ftp://127.0.0.1")
    assert finding.verdict is Verdict.UNKNOWN
    assert "begins with neither http:// nor https://" in finding.reason


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
