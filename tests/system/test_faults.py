"""What happened to others (FAILURES.md), where it needs the whole system to happen, and commands at the same instant."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from greenroom.demo.stage import break_release, repair_release
from greenroom.domain.model import Colour, Split
from greenroom.domain.phases import Phase
from greenroom.domain.routes import RoutingSpec
from greenroom.ports import ActionKey
from greenroom.wiring import reopen
from tests.system.house import House, lost

HOUSE = {"bake": "1s"}


def live(home: House) -> str:
    active = home.service().active
    assert active is not None
    return active.version


def test_two_deploys_at_the_same_instant(home: House) -> None:
    """One wins, the other one is told who holds the lock."""
    versions = [home.version(), home.version()]
    commands = [home.start("deploy", version) for version in versions]
    ends = [command.wait() for command in commands]
    assert sorted(end.code for end in ends) == [0, 5], "\n".join(map(str, ends))
    loser = next(end for end in ends if end.code == 5)
    assert "is not finished" in loser.err
    assert live(home) == versions[1 - ends.index(loser)]


def test_the_same_version_twice_at_the_same_instant(home: House) -> None:
    """Both follow the one release to its end."""
    version, before = home.version(), home.service().count
    commands = [home.start("deploy", version) for _ in range(2)]
    for command in commands:
        command.wait().expect(0)
    assert home.service().count == before + 1
    assert live(home) == version


def test_ft_1_a_switch_that_the_router_does_not_follow_does_not_count(home: House) -> None:
    """The proxy stands still in the middle of it: nothing is recorded, nothing stopped; then it follows, and it counts."""
    began, before, version = time.monotonic(), live(home), home.version()
    command = home.start("deploy", version)
    home.until_phase(version, Phase.CHECKS, Phase.SHIFT)
    router = home.pid("router")
    os.kill(router, signal.SIGSTOP)
    try:
        seen = home.service().seq
        moment = time.monotonic()
        while time.monotonic() < moment + 3.0:
            assert live(home) == before or home.service().seq == seen
            assert home.replicas(before)
            time.sleep(0.1)
    finally:
        os.kill(router, signal.SIGCONT)
    command.wait().expect(0)
    home.until_live(version)
    assert not lost(home.faults(began), began)


def test_ft_2_a_route_that_somebody_else_moved_is_said_and_nothing_is_stopped(home: House) -> None:
    """Record and route name different colours: every verb that would change or stop something says so."""
    began, version = time.monotonic(), live(home)
    home.deployed()
    before, after = version, live(home)
    service, installed = home.service(), reopen("shop", home.file, home.state)
    router = installed.adapters_for(service).router
    told = router.observe()
    assert told.told is not None
    assert service.active is not None
    other = service.active.colour.other
    spec = RoutingSpec(Split.all_to(other), told.told.blue, told.told.green)
    router.apply(spec, ActionKey("somebody", "else", 0, "route", str(other), 0, told.epoch))
    home.serves(before)
    home.wait(lambda: home.service().drift, "the drift is written down")
    document = home.status()
    assert (document["route"], document["traffic"]) == ("drifted", {str(c): 100 * (c is other) for c in Colour})
    home.run("status").expect(6)
    home.run("deploy", home.version()).expect(6)
    home.run("retire").expect(6)
    assert home.replicas(before)
    assert home.replicas(after)
    home.run("reconcile").expect(0)
    home.serves(after)
    home.until_live(after)
    assert not lost(home.faults(began), began)


def test_ft_8_and_ft_9_only_the_new_version_answers_and_the_old_one_finishes(home: House) -> None:
    """After the switch nothing old answers; retired at once, the old version ends what it had begun."""
    began, before, version = time.monotonic(), live(home), home.version()
    command = home.start("deploy", version)
    first = home.serves(version, after=0.0)
    command.wait().expect(0)
    home.run("retire").expect(0)
    assert not home.replicas(before)
    assert not lost([r for r in home.asked() if r.version == before and r.at > first.answered + 0.5], first.at)
    assert not lost(home.faults(began), began)


def test_ft_11_what_was_warm_goes_away_by_itself(home: House) -> None:
    """No command runs that could do it: the one that began it was killed."""
    before, version = live(home), home.version()
    home.write(keep_warm="1s")
    try:
        command = home.start("deploy", version)
        home.until_phase(version, Phase.SHIFT, Phase.BAKE)
        command.kill()
        home.until_phase(version, Phase.SUCCEEDED)
        home.wait(lambda: not home.replicas(before), f"{before} is gone: {home.replicas(before)}")
    finally:
        home.write(keep_warm="10m")
    home.until_live(version)


def test_ft_16_a_port_of_a_stranger_and_a_command_that_is_none(home: House) -> None:
    """Said before anything is touched, with the way out."""
    before, good = live(home), home.file.read_text()
    try:
        home.file.write_text(good.replace(f"{sys.executable} -u shop.py", "./no-such-program"))
        done = home.run("deploy", home.version()).expect(2, 4)
        assert "no-such-program" in done.err + done.out
        with socket.create_server(("127.0.0.1", 0)) as stranger:
            port = stranger.getsockname()[1]
            home.file.write_text(good.replace(f":{home.port}", f":{port}"))
            done = home.run("deploy", home.version()).expect(2)
            assert str(port) in done.err
            assert str(os.getpid()) in done.err
    finally:
        home.file.write_text(good)
    assert live(home) == before
    home.run("status").expect(0)


def test_ft_52_a_candidate_in_a_crash_loop_fills_no_log(home: House) -> None:
    """It never comes up: aborted in its time, in few words everywhere."""
    before, version, log = live(home), home.version(), home.state / "logs" / "engine.log"
    good, seq, size = home.file.read_text(), home.service().seq, len(log.read_text().splitlines())
    try:
        home.file.write_text(good.replace("shop.py", "crash.py").replace("timeout: 20s", "timeout: 3s"))
        (home.shop / "crash.py").write_text("raise SystemExit('this never works')")
        done = home.run("deploy", version).expect(4)
        assert "this never works" in done.out
    finally:
        home.file.write_text(good)
    assert live(home) == before
    assert len(home.entries(seq)) < 40
    assert len(log.read_text().splitlines()) - size < 10
    assert sum(len(path.read_text().splitlines()) for path in home.state.glob("logs/*/web-1.log")) < 200


def test_ft_54_the_warm_version_restarts_with_what_it_was_released_with(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Configuration and secret were changed in place; after the rollback the old version's own come back."""
    good = home.file.read_text()
    try:
        home.file.write_text(good.replace("SHOP_DATA:", 'SHOP_SECRET: "${SHOP_SECRET}", SHOP_DATA:'))
        monkeypatch.setenv("SHOP_SECRET", "the first")
        first = home.deployed()
        monkeypatch.setenv("SHOP_SECRET", "the second")
        second = home.deployed()
        monkeypatch.delenv("SHOP_SECRET")
        home.file.write_text("nonsense: [")
        home.run("rollback").expect(0)
        assert _secrets(home, first) == {"the first"}
        victim = home.replicas(first)
        home.kill(*victim)
        home.wait(lambda: home.replicas(first), "it was started again")
        home.until_live(first)
        assert _secrets(home, first) == {"the first"}
        assert "the second" not in _journal(home)
        assert second
    finally:
        home.file.write_text(good)


def _secrets(home: House, version: str) -> set[str]:
    found = set()
    for pid in home.replicas(version):
        with contextlib.suppress(OSError):
            for variable in Path(f"/proc/{pid}/environ").read_text().split("\0"):
                if variable.startswith("SHOP_SECRET="):
                    found.add(variable.partition("=")[2])
    return found


def _journal(home: House) -> str:
    return "\n".join(str(entry.record) for entry in home.entries())


def test_ft_57_a_deploy_that_was_interrupted_is_no_success_and_goes_on(home: House) -> None:
    """Ctrl-C, a cancelled CI job, a hang-up: the command ends, not with 0; the release goes on to its end."""
    version = home.version()
    home.write(bake="3s")
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            command = home.start("deploy", version)
            home.wait(lambda: "start" in command.output(), "it follows the release")  # noqa: B023
            command.signal(number)
            done = command.wait()
            assert done.code in (128 + number, -number), str(done)
    finally:
        home.write(bake="1s")
    home.until_phase(version, Phase.SUCCEEDED)
    home.serves(version)


def test_ft_57_a_deploy_that_somebody_else_aborts_is_no_success(home: House) -> None:
    before, version = live(home), home.version()
    home.write(check="sleep 30")
    try:
        command = home.start("deploy", version)
        home.until_phase(version, Phase.CHECKS)
        home.run("abort").expect(0)
        command.wait().expect(4)
    finally:
        home.write(check="true")
    assert live(home) == before
    home.wait(lambda: not home.replicas(version), "the candidate is gone")


def test_a_closed_terminal_leaves_the_bake_watched(home: House) -> None:
    """Whoever deployed has gone home. The candidate begins to fail, and is rolled back."""
    before, version, began = live(home), home.version(), time.monotonic()
    home.write(bake="60s")
    break_release(home.shop, visitors=150)
    try:
        pid, terminal = pty.fork()
        if pid == 0:
            words = [sys.executable, "-m", "greenroom", "deploy", version, "--file", str(home.file)]
            os.execv(words[0], words)
        home.until_phase(version, Phase.SHIFT, Phase.BAKE)
        os.close(terminal)
        assert os.waitpid(pid, 0)[1] != 0
        home.until_phase(version, Phase.ROLLED_BACK)
        home.serves(before)
        home.until_live(before)
    finally:
        repair_release(home.shop)
        home.write(bake="1s")
    faults = home.faults(began)
    assert not lost(r for r in faults if r.lost or r.version != version)
