"""Gates, steps and checks of a whole service, by the command line: what opens, what stops, and what a person is told."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from greenroom.demo.stage import repair_release
from greenroom.domain.model import Verdict
from greenroom.domain.phases import Phase
from greenroom.domain.records import Judged, Moved, Requested
from greenroom.domain.release import Judgement
from greenroom.testing import traffic
from tests.rigs import moods
from tests.system.house import USUAL, Checked, House, lost

pytestmark = pytest.mark.xdist_group("gates")

STAFF = {"x-staff": "yes"}
TODAY, WEEK = datetime.now(UTC), timedelta(7)
FREEZE = f"{{from: {TODAY - WEEK:%Y-%m-%d}, to: {TODAY + WEEK:%Y-%m-%d}, why: everybody buys}}"
CLOSED = f"{{type: window, name: the sale, freezes: [{FREEZE}]}}"


@pytest.fixture(autouse=True)
def as_usual(home: House) -> Iterator[float]:
    """Whatever the test before has left. Afterwards: no user has noticed anything."""
    began = time.monotonic()
    repair_release(home.shop)
    home.write(**USUAL)
    yield began
    assert not lost(home.faults(began), began)


def live(home: House) -> str:
    active = home.service().active
    assert active is not None
    return active.version


def refused(home: House, *words: str) -> Checked:
    """The deployment ends before any traffic, and what was live is live."""
    before = live(home)
    done = home.run("deploy", *words).expect(4)
    assert live(home) == before
    return done


def phases(home: House, after: int) -> set[Phase]:
    return {e.record.to for e in home.entries(after) if isinstance(e.record, Moved)}


def said(home: House, subject: str) -> tuple[Verdict, str]:
    """The last opinion on this."""
    found = [r for e in home.entries() if isinstance(r := e.record, Judged) and r.subject == subject]
    return found[-1].verdict, found[-1].reason


def asked(home: House, count: int, **headers: str) -> list[str]:
    """The versions that answer, each request over a connection of its own."""
    answers = [traffic.ask(home.url, "/?request=1", headers=headers) for _ in range(count)]
    assert {a.status for a in answers} == {200}
    return [a.text.partition("version=")[2].split()[0] for a in answers]


def test_the_way_back_is_rehearsed(home: House) -> None:
    """Where nothing is warm yet, whose place it would take."""
    before = live(home)
    done = home.run("rehearse").expect(0)
    assert "The way back works: 1 %" in done.out
    home.until_live(before)


def test_a_gate_that_fails_stops_before_anything_is_built(home: House) -> None:
    home.write(more="gates:\n  - {type: command, name: unit tests, run: 'echo 3 of 40 failed; exit 1'}")
    seq = home.service().seq
    done = refused(home, home.version())
    assert "unit tests" in done.out
    assert "3 of 40 failed" in done.out
    assert phases(home, seq) == {Phase.ABORTING, Phase.ABORTED}


def test_what_a_person_may_not_approve(home: House) -> None:
    """Only `daemon` may. Who is told no has changed nothing; the release waits on, and can be aborted."""
    home.write(more="gates:\n  - {type: approval, name: four eyes, approvers: [daemon]}")
    before, version = live(home), home.version()
    command = home.start("deploy", version)
    home.wait(lambda: home.service().release and home.run("status").code == 7, f"{version} waits")
    status = home.status()
    assert status["release"]["status"] == "waiting_approval"
    assert "daemon" in status["release"]["reason"]
    assert status["traffic"][status["release"]["candidate"]["colour"]] == 0
    done = home.run("promote").expect(4)
    assert "daemon" in done.err
    assert not [e for e in home.entries() if isinstance(e.record, Requested) and e.record.command == "promote"]
    home.run("abort").expect(0)
    command.wait().expect(4, 7)
    assert live(home) == before


def test_a_closed_window_a_dead_engine_and_an_approval(home: House) -> None:
    """The window is overridden, with a reason that is kept. The engine dies while a gate runs, whose command runs once."""
    mark = home.folder / "ran"
    home.write(
        more=f"""
gates:
  - {CLOSED}
  - {{type: command, name: scan, run: 'echo once >> {mark}; sleep 1.5; test $(wc -l < {mark}) = 1'}}
  - {{type: approval, name: look at it}}
"""
    )
    version = home.version()
    assert "everybody buys" in refused(home, version).out
    home.run("deploy", version, "--override", "the sale").expect(2)
    home.run("deploy", version, "--override", "scan", "--why", "no time").expect(4)
    assert not mark.exists()
    home.start("deploy", version, "--override", "the sale", "--why", "checkout is broken", "--detach").wait().expect(0)
    home.wait(mark.exists, "the gate runs")
    home.kill(home.engine())
    home.wait(lambda: home.run("status").code == 7, f"{version} waits for approval")
    assert "checkout is broken" in said(home, "gate:the sale")[1]
    assert said(home, "gate:scan")[0] is Verdict.PASS
    assert mark.read_text() == "once\n"
    home.run("promote").expect(0)
    home.until_live(version)


def test_ft_56_steps_for_users_and_staff_first(home: House) -> None:
    """Of 20 % of the users each one stays where he is, request for request; the others never get there."""
    home.write(shift="[0% until approved, 20% until approved, 100%]", more="first: {header: x-staff, value: 'yes'}")
    home.file.write_text(home.file.read_text().replace("  drain: 5s", "  drain: 5s\n  sticky: true"))
    before, version = live(home), home.version()
    command = home.start("deploy", version, "--detach")
    command.wait().expect(0)
    home.wait(lambda: home.run("status").code == 7, "staff has it")
    assert set(asked(home, 20, **STAFF)) == {version}
    assert set(asked(home, 100)) == {before}
    home.run("promote", "--detach").expect(0)
    home.wait(lambda: _step(home) == 1, "a fifth of the users have it")
    users = [_versions_of_one_user(home, 6) for _ in range(300)]
    moved = [seen for seen in users if version in seen]
    assert all(len(seen) == 1 for seen in users), "somebody was moved to and fro"
    assert 30 <= len(moved) <= 90, "20 % of 300, and chance within four standard deviations"
    assert set(asked(home, 20, **STAFF)) == {version}
    home.run("promote").expect(0)
    assert set(asked(home, 20)) == {version}
    held = [e.record.why for e in home.entries() if isinstance(e.record, Moved) and "20 % was good" in e.record.why]
    assert "requests were its" in held[-1]


def _step(home: House) -> int:
    release = home.service().running
    return release.step if release is not None and release.live_since is not None else -1


def _versions_of_one_user(home: House, count: int) -> set[str]:
    """By a browser that keeps its cookie."""
    seen, cookie = set(), ""
    with contextlib.closing(traffic.connect(home.url)) as connection:
        for _ in range(count):
            answer = traffic.exchange(connection, "/?request=1", headers={"cookie": cookie} if cookie else {})
            assert answer.status == 200
            cookie = answer.headers.get("set-cookie", cookie).partition(";")[0]
            seen.add(answer.text.partition("version=")[2].split()[0])
    return seen


def test_a_mirror_shows_what_no_user_sees(home: House) -> None:
    """It passes its check, and fails whatever users ask: copies of their requests say so before any of them is moved."""
    moods.install(home.shop, "fails")
    home.write(more="  - {type: mirror, share: 100%, duration: 2s, min_requests: 20}")
    seq = home.service().seq
    done = refused(home, home.version())
    assert "mirror" in done.out
    assert "100 %" in done.out
    assert Phase.SHIFT not in phases(home, seq)


def test_checks_under_load(home: House) -> None:
    """A load that the machine may be too busy for: then it says so, and the release ends."""
    more = """
  - {type: mirror, share: 50%, duration: 2s, min_requests: 10}
  - {type: load, rate: 20/s, duration: 2s, max_error_rate: 0.1%}
"""
    home.write(more=more)
    version = home.version()
    done = home.run("deploy", version).expect(0, 4)
    verdict, reason = said(home, "check:mirror")
    assert verdict is Verdict.PASS, reason
    verdict, reason = said(home, "check:load")
    if done.code == 0:
        assert verdict is Verdict.PASS, reason
        home.until_live(version)
    else:
        assert verdict is Verdict.UNKNOWN, reason
        assert "busy" in reason or "generator" in reason or "on time" in reason, reason


def test_ft_48_a_candidate_that_loses_its_health_in_a_step_has_not_passed_it(home: House) -> None:
    """No user is on it, and no request fails: it goes back all the same."""
    home.write(shift="[0% for 1h, 100%]", more="first: {header: x-staff}")
    before, version = live(home), home.version()
    command = home.start("deploy", version)
    home.wait(lambda: _step(home) == 0, "staff has it")
    sick = home.replicas(version)
    assert sick
    for pid in sick:
        os.kill(pid, signal.SIGSTOP)
    try:
        home.until_phase(version, Phase.ROLLING_BACK, Phase.ROLLED_BACK)
    finally:
        for pid in sick:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    command.wait().expect(3)
    home.until_live(before)


def test_ft_49_what_cannot_be_measured_does_not_succeed(home: House) -> None:
    """Every measurement is in error: nobody knows, so it neither succeeds nor goes back until somebody says so."""
    home.write(more=_source("echo the monitoring is down; exit 1"), bake="1s")
    before, version = live(home), home.version()
    home.start("deploy", version, "--detach").wait().expect(0)
    judgement = home.wait(lambda: _of(home, version, "analysis"), "it is said")
    assert judgement.verdict is Verdict.UNKNOWN
    assert home.service().running is not None
    assert "promote" in home.status()["release"]["reason"]
    home.run("rollback").expect(0)
    home.until_live(before)


def test_ft_50_no_data_is_what_the_file_says(home: House) -> None:
    home.write(more=_source("echo NaN", "fail"), bake="2s")
    before = live(home)
    done = home.run("deploy", home.version()).expect(3)
    assert "business" in done.out
    assert live(home) == before


def _of(home: House, version: str, subject: str) -> Judgement | None:
    release = home.service().release
    return release.judgement(subject) if release is not None and release.version == version else None


def _source(run: str, policy: str = "ignore") -> str:
    source = json.dumps({"type": "command", "run": run})
    return f"analysis:\n  - {{name: business, query: orders, source: {source}, max: 5, every: 1s, no_data: {policy}}}"
