"""The parts of the load generator, each by itself: moments, quantiles, answers, the mix, settings, what a report proves."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import greenroom
from greenroom.adapters.checks.load_settings import LoadSettings, rate, show_rate
from greenroom.adapters.checks.load_verdict import Report, judged
from greenroom.adapters.load.answers import NotHttp, Reader
from greenroom.adapters.load.histogram import Histogram
from greenroom.adapters.load.plan import Plan, Shot, mixed
from greenroom.adapters.load.schedule import Schedule, Stretch
from greenroom.domain.model import Verdict

# --- moments


def test_a_constant_rate_is_due_evenly() -> None:
    schedule = Schedule([Stretch(200, 200, 20)])
    moments = list(schedule.moments())
    assert len(moments) == schedule.requests == 4000
    assert moments == pytest.approx([number / 200 for number in range(4000)])


RAMPS = {
    "up": ([Stretch(0, 100, 10)], 500),
    "up and on": ([Stretch(0, 200, 5), Stretch(200, 200, 20)], 4500),
    "down": ([Stretch(100, 0, 10)], 500),
    "steps": ([Stretch(100, 100, 2), Stretch(500, 500, 2)], 1200),
    "levels": ([Stretch(0, 100, 10), Stretch(100, 500, 20), Stretch(500, 500, 10)], 500 + 6000 + 5000),
    "a part of one": ([Stretch(0.5, 0.5, 1)], 1),
    "nothing": ([Stretch(0, 5, 0)], 0),
}


@pytest.mark.parametrize(("stretches", "count"), RAMPS.values(), ids=RAMPS)
def test_ramps_sum_up(stretches: list[Stretch], count: int) -> None:
    schedule = Schedule(stretches)
    moments = list(schedule.moments())
    assert len(moments) == schedule.requests == count
    assert moments == sorted(moments)
    assert all(0 <= moment <= schedule.seconds for moment in moments)


def test_in_each_second_of_a_ramp_as_many_are_due_as_the_rate_says() -> None:
    schedule = Schedule([Stretch(0, 100, 10), Stretch(100, 100, 5)])
    by_second = Counter(int(moment) for moment in schedule.moments())
    for second in range(15):
        assert by_second[second] == pytest.approx((schedule.rate(second) + schedule.rate(second + 0.999)) / 2, abs=1.1)
    assert schedule.rate(16) == 0


# --- quantiles


@pytest.mark.parametrize("share", [0.5, 0.9, 0.95, 0.99])
def test_quantiles_are_right_to_half_a_percent(share: float) -> None:
    chance, histogram = random.Random(4), Histogram()
    values = sorted(chance.lognormvariate(-4, 1.5) for _ in range(20_000))
    for value in values:
        histogram.add(value)
    exact = values[int(share * len(values)) - 1]
    assert histogram.quantile(share) == pytest.approx(exact, rel=0.006)
    assert histogram.most == values[-1]
    assert histogram.total == pytest.approx(sum(values))


def test_what_was_never_measured_counts_as_nothing() -> None:
    histogram = Histogram()
    for _ in range(10):
        histogram.add(1.0)
    assert histogram.quantile(0.5, of=1000) == 0.0
    assert histogram.quantile(0.995, of=1000) == pytest.approx(1.0, rel=0.006)
    assert Histogram().quantile(0.99) == 0.0


# --- answers

CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nwiki\r\nA\r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\n"
)
ANSWERS = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, True),
    "nothing": (b"HTTP/1.1 204 None\r\n\r\n", 204, True),
    "not modified": (b"HTTP/1.1 304 Same\r\nContent-Length: 99\r\n\r\n", 304, True),
    "chunks": (CHUNKED, 200, True),
    "after a hint": (b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n", 500, True),
    "close": (b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 1\r\n\r\n.", 200, False),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n.", 200, False),
    "HTTP/1.0, kept": (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n.", 200, True),
}


@pytest.mark.parametrize(("data", "status", "reusable"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_is_complete_at_its_last_byte_however_it_arrives(data: bytes, status: int, reusable: bool) -> None:
    for size in (1, 2, 3, 7, len(data)):
        reader = Reader()
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        assert [reader.feed(piece) for piece in pieces] == [False] * (len(pieces) - 1) + [True]
        assert (reader.status, reader.reusable) == (status, reusable)
        reader.begin(False)
        assert reader.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")


def test_an_answer_to_head_has_no_body() -> None:
    reader = Reader()
    reader.begin(True)
    assert reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")


def test_an_answer_without_a_length_ends_with_the_connection() -> None:
    reader = Reader()
    assert not reader.feed(b"HTTP/1.1 200 OK\r\n\r\nsome")
    assert not reader.feed(b"thing")
    assert reader.closed()
    assert not reader.reusable
    assert not Reader().closed()


def test_what_comes_unasked_ends_the_use_of_a_connection() -> None:
    reader = Reader()
    assert reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n.HTTP/1.1 200")
    assert not reader.reusable


@pytest.mark.parametrize(
    "data",
    [
        b"220 smtp.example ready\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000,
    ],
)
def test_what_is_no_http_is_said_so(data: bytes) -> None:
    with pytest.raises(NotHttp):
        Reader().feed(data)


# --- the mix


def test_shares_of_the_mix_are_exact_in_each_round_and_lie_evenly() -> None:
    round_ = list(islice(mixed([60, 30, 10]), 10))
    assert Counter(round_) == {0: 6, 1: 3, 2: 1}
    assert Counter(islice(mixed([60, 30, 10]), 1000)) == {0: 600, 1: 300, 2: 100}
    gaps = [b - a for a, b in zip(*[[i for i, n in enumerate(round_ * 3) if n == 1][k:] for k in (0, 1)], strict=False)]
    assert set(gaps) <= {2, 3, 4}


def test_a_request_is_rendered_with_what_it_needs() -> None:
    post = Shot("POST", "/a?b=c", {"host": "idle.example", "X-Ä": "ö"}, "ü").rendered("127.0.0.1:80").decode()
    head, _, body = post.partition("\r\n\r\n")
    assert head.startswith("POST /a?b=c HTTP/1.1\r\nhost: idle.example\r\nX-Ä: ö\r\n")
    assert "Content-Length: 2" in head
    assert "127.0.0.1" not in head
    assert body == "ü"
    assert "Content-Length" not in Shot("GET", "/", {}, None).rendered("h").decode()


def test_a_plan_comes_out_of_its_file_as_it_went_in(tmp_path: Any) -> None:
    plan = Plan("h", 1, "h:1", (Shot("GET", "/", {"a": "b"}, None, 3),), (Stretch(0, 1, 2),), 5.0, 9, ((200, 299),), 0)
    plan.write(tmp_path / "plan.json")
    assert Plan.read(tmp_path / "plan.json") == plan
    assert (tmp_path / "plan.json").stat().st_mode & 0o777 == 0o600


# --- the process


@pytest.mark.real
def test_the_generator_imports_little() -> None:
    """It begins at once, and needs nothing that is installed."""
    code = (
        "import sys; import greenroom.adapters.load.__main__;"
        "print(sorted({'pydantic', 'yaml', 'http', 'asyncio', 'site', 'ctypes', 'logging'} & {*sys.modules}))"
    )
    environment = {"PYTHONPATH": str(Path(greenroom.__file__).parents[1])}
    command = [sys.executable, "-S", "-P", "-c", code]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout
    assert said == "[]\n"


@pytest.mark.real
def test_a_disk_that_stands_still_holds_nobody_up(tmp_path: Path) -> None:
    """The scribe is stopped, as it is while it waits for a disk: whoever tells it something goes on all the same."""
    code = (
        "import os, signal, sys; from pathlib import Path; from greenroom.adapters.load.scribe import Scribe;"
        "scribe = Scribe(Path(sys.argv[1])); scribe.tell({'seconds': 0});"
        "child = int(Path(f'/proc/self/task/{os.getpid()}/children').read_text()); os.kill(child, signal.SIGSTOP);"
        "[scribe.tell({'seconds': n, 'more': 'x' * 200}) for n in range(5000)];"
        "os.kill(child, signal.SIGCONT); scribe.close(); print('closed')"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "progress.json")]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert said == "closed\n"
    assert 0 < json.loads((tmp_path / "progress.json").read_text())["seconds"] < 4999


# --- settings


def settings(**document: Any) -> LoadSettings:
    return LoadSettings.model_validate({"rate": "200/s", **document})


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"rate": 200}, "200 has no unit: write 200/s"),
        ({"rate": "200"}, "'200' is no rate: write it like 200/s or 12000/m"),
        ({"rate": "0/s"}, "out of bounds"),
        ({"rate": "20001/s"}, "at most 20,000/s"),
        ({"rate": None}, "needs `rate:`, like `rate: 200/s`"),
        ({"duration": 20}, "has no unit: write 20s"),
        ({"duration": "31m"}, "lasts 31m with its ramp; 30m is the most"),
        ({"duration": "30m", "ramp": "1s"}, "30m is the most"),
        ({"duration": "0"}, "sends nothing"),
        ({"ramp": 5}, "has no unit: write 5s"),
        ({"ramp": [[100, "10s"]]}, "100 has no unit: write 100/s"),
        ({"ramp": [["100/s"]]}, "a list of rates with times"),
        ({"ramp": []}, "the list is empty"),
        ({"max_p99": 250}, "250 has no unit"),
        ({"max_p99": "0"}, "0 is no limit that anything can keep"),
        ({"max_error_rate": 0.1}, "has no unit: write 0.1%"),
        ({"status": 99}, "is no status"),
        ({"status": "2x"}, "is no status: write 200, or 2xx"),
        ({"status": []}, "no answer would be good"),
        ({"connections": 0}, "greater than or equal to 1"),
        ({"connections": 5001}, "less than or equal to 5000"),
        ({"timeout": "61s"}, "less than or equal to 60"),
        ({"requests": []}, "at least 1 item"),
        ({"requests": [{"path": "x"}]}, "must begin with `/`"),
        ({"requests": [{"weight": 0}]}, "greater than or equal to 1"),
        ({"requests": [{"method": "FETCH"}]}, "'GET', 'HEAD'"),
        ({"requests": [{"headers": {"Content-Length": "5"}}]}, "follows from the body"),
        ({"requests": [{"headers": {"a b": "5"}}]}, "no name of a header"),
        ({"requests": [{"headers": {"a": "b\r\nc: d"}}]}, "a line break"),
        ({"tls": {"days_left": 5}}, "Extra inputs"),
        ({"max_p999": "1s"}, "Extra inputs"),
    ],
)
def test_what_cannot_be_is_refused_when_the_file_is_loaded(document: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError) as caught:
        settings(**document)
    assert problem in str(caught.value)


def test_rates_and_ramps_as_people_write_them() -> None:
    assert settings(rate="12000/m").full == 200
    assert settings(ramp="5s").schedule.requests == 500 + 4000
    assert settings(ramp=[["100/s", "10s"], ["500/s", "20s"]], duration="10s").schedule.requests == 500 + 6000 + 2000
    without = LoadSettings.model_validate({"ramp": [["100/s", "10s"], ["500/s", "20s"]], "duration": "10s"})
    assert without.schedule.requests == 500 + 6000 + 5000
    with pytest.raises(ValidationError, match="needs `rate:`"):
        LoadSettings.model_validate({"duration": "5s"})
    assert settings(status=["2xx", 404]).good == ((200, 299), (404, 404))
    assert settings(duration="30m").schedule.seconds == 1800


def test_connections_are_what_can_be_needed_and_bounded() -> None:
    assert settings(rate="1/s").most_connections == 10
    assert settings(rate="20/s", timeout="5s").most_connections == 100
    assert settings(rate="2000/s").most_connections == 1000
    assert settings(connections=7).most_connections == 7


def test_rates_are_shown_as_people_write_them() -> None:
    assert [show_rate(rate(text)) for text in ("200/s", "12000/m", "6/h", "0.5/s")] == [
        "200/s",
        "200/s",
        "0.1/m",
        "0.5/s",
    ]


# --- what a report proves


def times(value: float) -> dict[str, float]:
    return {"p50": value / 4, "p90": value / 3, "p95": value / 2, "p99": value, "max": value * 2, "mean": value / 3}


GOOD = Report(
    planned=4000, sent=4000, answered=4000, failed=0, statuses={"200": 4000}, errors={}, obstacles={},
    latency=times(0.012), service=times(0.011), delay=times(0.001), lag=times(0.001), seconds=20.0, hopeless=False,
    cpu=0.1, kept_waiting=0.0,
)  # fmt: skip
LIMITS = {"max_p99": "250ms", "max_error_rate": "0.1%"}
LATE = {"delay": times(0.05), "lag": times(0.05)}
PROOFS = {
    "all is well": ({}, Verdict.PASS, "4,000 requests, 200/s, 20s: p50 3.0 ms, p99 12 ms, max 24 ms; none failed"),
    "a few failed": (
        {"failed": 4, "errors": {"answered 500": 4}},
        Verdict.PASS,
        "max 24 ms; 4 failed",
    ),
    "too slow": ({"latency": times(0.31)}, Verdict.FAIL, "p99 was 310 ms, more than `max_p99` 250ms"),
    "too many failed": (
        {"failed": 12, "errors": {"answered 500": 10, "timeout": 2}},
        Verdict.FAIL,
        "12 of 4,000 requests failed (0.30%), more than `max_error_rate` 0.1%: 10 × answered 500, 2 × timeout",
    ),
    "the generator": ({**LATE, "cpu": 0.99}, Verdict.UNKNOWN, "The generator was the limit (99% of a processor"),
    "the machine": ({**LATE, "kept_waiting": 0.4}, Verdict.UNKNOWN, "40% of the time waiting for one): lower `rate`"),
    "no descriptor": (
        {"sent": 3990, "obstacles": {"Too many open files": 10}},
        Verdict.UNKNOWN,
        "10 of 4,000 not at all; so nothing is proven. This machine was the limit (Too many open files)",
    ),
    "the service": (
        {"delay": times(0.05), "service": times(0.2)},
        Verdict.UNKNOWN,
        "The service was the limit (all 1000 connections were busy, answers took 67 ms on average): lower `rate`",
    ),
    "late, slow because of it": ({**LATE, "latency": times(0.3)}, Verdict.UNKNOWN, "nothing is proven"),
    "late, and slow beyond doubt": (
        {**LATE, "latency": times(0.6), "service": times(0.4)},
        Verdict.FAIL,
        "p99 was 400 ms, more than `max_p99` 250ms (counted from the sending, which was late itself)",
    ),
    "late, and wrong beyond doubt": (
        {**LATE, "sent": 3000, "failed": 5, "errors": {"timeout": 5}},
        Verdict.FAIL,
        "5 of 4,000 requests failed (0.12%)",
    ),
    "hopeless": (
        {"hopeless": True, "sent": 100, "failed": 100, "errors": {"nobody answers": 100}, "seconds": 0.5},
        Verdict.FAIL,
        "given up after 0.5 s, because most requests failed: 100 × nobody answers",
    ),
}


@pytest.mark.parametrize(("seen", "verdict", "reason"), PROOFS.values(), ids=PROOFS)
def test_what_a_report_proves(seen: dict[str, Any], verdict: Verdict, reason: str) -> None:
    finding = judged(settings(**LIMITS), replace(GOOD, **seen))
    assert (finding.verdict, reason in finding.reason) == (verdict, True), finding.reason
    assert any("sent late by" in line for line in finding.evidence)
    assert all(line.isprintable() for line in (finding.reason, *finding.evidence))


def test_late_is_what_the_settings_say() -> None:
    report = replace(GOOD, **LATE)
    assert judged(settings(max_send_delay="100ms", **LIMITS), report).verdict is Verdict.PASS
    assert judged(settings(**LIMITS), report).verdict is Verdict.UNKNOWN


def test_a_document_that_is_no_report_is_none() -> None:
    assert Report.of(None) is None
    assert Report.of({"planned": 1}) is None
    assert Report.of([]) is None
