"""Machines: their settings, what they lack, and what of this one is not in the contract."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import ValidationError

from greenroom.adapters.hosts.complaints import translate
from greenroom.adapters.hosts.examine import problems
from greenroom.adapters.hosts.link import words
from greenroom.adapters.hosts.local import LocalHost
from greenroom.adapters.hosts.settings import HostSettings, Target, target
from greenroom.errors import Permanent, Temporary, Uncertain
from greenroom.ports import Ran


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("app1", Target("app1")),
        ("deploy@app1.example", Target("app1.example", "deploy")),
        ("deploy@10.0.0.5:2222", Target("10.0.0.5", "deploy", 2222)),
        ("my_user.x-1@[fe80::1%eth0]:22", Target("fe80::1%eth0", "my_user.x-1", 22)),
        ("[::1]", Target("::1")),
    ],
)
def test_a_target_is_read_and_written(text: str, seen: Target) -> None:
    assert target(text) == seen
    assert str(seen) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "a b",
        "-oProxyCommand=x",
        "a@-x",
        "a@b:0",
        "a@b:65536",
        "a@b:x",
        "a@b@c",
        "ssh://a@b",
        "::1",
        "a;b",
        "é",
    ],
)
def test_what_is_no_target_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValidationError, match="deploy@app1"):
        HostSettings(ssh=text)
    with pytest.raises(ValidationError, match="deploy@app1"):
        HostSettings(ssh="app1", jump=text)


@pytest.mark.parametrize("text", ["10.0.0.5", "fe80::1", "app1.internal", ""])
def test_an_address_is_one(text: str) -> None:
    assert HostSettings(ssh="app1", address=text).address == text


@pytest.mark.parametrize(
    "more", [{"address": "10.0.0.5:80"}, {"address": "http://a"}, {"state": "relative"}, {"port": 22}]
)
def test_other_settings_that_make_no_sense_are_refused(more: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        HostSettings.model_validate({"ssh": "app1", **more})


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    settings = HostSettings(ssh="app1", key=Path("~/.ssh/deploy"), known_hosts=Path("deploy/known_hosts")).within(
        tmp_path
    )
    assert settings.key == Path.home() / ".ssh" / "deploy"
    assert settings.known_hosts == tmp_path / "deploy" / "known_hosts"
    assert HostSettings(ssh="app1").within(tmp_path) == HostSettings(ssh="app1")


def test_the_commands_of_ssh_leave_nothing_to_chance() -> None:
    """What ssh itself understands of them, the jump host's included."""
    settings = HostSettings(
        ssh="deploy@10.0.0.5:2222", jump="j@10.0.0.9", key=Path("/k/100% of' it"), known_hosts=Path("/k/a b")
    )
    outer = words(settings, "/tmp/x%y/m", ["ssh", "-F", "none"])
    seen = _understood([*outer[:1], "-G", *outer[1:]])
    assert seen["connecttimeout"] == "9"
    assert seen["controlpath"] == "/tmp/x%y/m"
    assert seen["hostname"] == "10.0.0.5"
    assert seen["port"] == "2222"
    assert seen["user"] == "deploy"
    inner = seen["proxycommand"].replace("%%", "%").replace("[%h]:%p", "10.0.0.5:2222")
    through = _understood(["sh", "-c", inner.replace("ssh -F none -T", "ssh -F none -T -G", 1)])
    assert (through["hostname"], through["user"]) == ("10.0.0.9", "j")
    for asked in (seen, through):
        assert asked["stricthostkeychecking"] == "true"
        assert asked["batchmode"] == "yes"
        assert asked["forwardagent"] == "no"
        assert asked["identitiesonly"] == "yes"
        assert asked["identityfile"] == "/k/100%% of' it"
        assert asked["userknownhostsfile"] == "/k/a b"
        assert asked["updatehostkeys"] == "false"


def _understood(command: Sequence[str]) -> dict[str, str]:
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(line.split(" ", 1) for line in ran.stdout.splitlines() if " " in line)


@pytest.mark.parametrize(
    ("said", "kind", "shown"),
    [
        (["ssh: Could not resolve hostname app1: Name or service not known"], Temporary, "app1 has no address"),
        (["ssh: connect to host app1 port 22: No route to host"], Temporary, "No route to host"),
        (["kex_exchange_identification: read: Connection reset by peer"], Temporary, "reset by peer"),
        (["/k/.ssh/config: line 3: Bad configuration option: foo"], Permanent, "line 3"),
        (["Bad owner or permissions on /k/.ssh/config"], Permanent, "Bad owner"),
        (["Received disconnect from 10.0.0.5: 2: Too many authentication failures"], Permanent, "no key to offer"),
        ([], Temporary, "no reason"),
    ],
)
def test_what_ssh_says_is_told_apart(said: list[str], kind: type[Exception], shown: str) -> None:
    error = translate(["debug1: Connecting", *said], "app1 (deploy@app1)", "~/.ssh/known_hosts")
    assert type(error) is kind
    assert shown in error.message
    assert error.hint


def test_a_host_that_has_all_is_without_problems(tmp_path: Path) -> None:
    assert problems(LocalHost(), str(tmp_path / "state")) == []
    assert os.listdir(tmp_path / "state") == []


def test_what_a_host_lacks_is_said_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = problems(LocalHost(), str(tmp_path / "file"), ["no-such-tool"])
    assert len(found) == 2
    assert "there is no `no-such-tool` here: install it" in found
    assert any("install -d" in problem for problem in found)


class Down(LocalHost):
    name = "app1"

    def run(self, command: Sequence[str], *, stdin: bytes = b"", timeout: float = 10.0) -> Ran:
        raise Temporary("app1 cannot be reached", hint="is it up?")


def test_a_host_that_is_down_is_one_problem(tmp_path: Path) -> None:
    assert problems(Down(), str(tmp_path)) == ["app1 cannot be reached: is it up?"]


def test_what_is_left_behind_by_a_command_that_took_too_long_holds_nobody_up(tmp_path: Path) -> None:
    """It put a process into a session of its own, with our end of the pipe."""
    mark = tmp_path / "pid"
    with pytest.raises(Uncertain, match="did not end"):
        LocalHost().run(["sh", "-c", f"setsid sh -c 'echo $$ >{mark}; exec sleep 600' & sleep 600"], timeout=0.5)
    os.kill(int(mark.read_text()), 9)


def test_a_program_that_cannot_be_executed_is_an_answer(tmp_path: Path) -> None:
    (tmp_path / "note").write_text("not a program")
    assert LocalHost().run([str(tmp_path / "note")]).code == 126
    assert LocalHost().nearby(("127.0.0.1", 80)) == ("127.0.0.1", 80)
