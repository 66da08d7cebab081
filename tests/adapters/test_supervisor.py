"""supervisord keeps the supervisor's contract; and what is its own: sockets, secrets, ports, users, boots."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from greenroom.adapters.supervisor import runfiles
from greenroom.adapters.supervisor.client import Supervisord
from greenroom.ports import Life, Program
from greenroom.testing.contracts.supervisor import SupervisorBench, SupervisorContract, gone, running, text
from tests.process_kit import Kit

pytestmark = pytest.mark.real

SCRIPT = """
import os, signal, sys, time
name, text, stubborn = sys.argv[1:4]
print(text, os.environ.get("SECRET", ""), "port", os.environ.get("PORT"), "user", os.geteuid(), flush=True)
def bye(*a):
    print("bye", flush=True)
    os._exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN if stubborn == "yes" else bye)
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)", "child-of", name])
while True:
    time.sleep(60)
"""


class Bench(Kit):
    def open(self) -> Supervisord:  # type: ignore[override]
        return Supervisord(self.state, "shop")

    def program(self, name: str, text: str = "", *, keep: bool = False, stubborn: bool = False) -> Program:
        script = self.folder / "program.py"
        script.write_text(SCRIPT)
        return Program(
            name=name,
            command=(sys.executable, "-I", "-S", str(script), name, text, "yes" if stubborn else "no"),
            directory=self.folder,
            environment={"KIT": str(self.folder)},
            output=self.folder / "logs" / f"{name}.log",
            stop_timeout=0.3,
            keep=keep,
        )

    def stubborn(self, name: str) -> Program:
        return self.program(name, stubborn=True)

    def missing(self, name: str) -> tuple[Program, Callable[[], None]]:
        program = self.program(name)
        link = self.folder / "not-there"
        return replace(program, command=("./not-there", *program.command[1:])), lambda: link.symlink_to(sys.executable)

    def _found(self, *words: str) -> frozenset[int]:
        return frozenset(int(found.split(":")[0]) for found in self.processes(words[0]) if words[1] in _argv(found))

    def alive(self, name: str) -> frozenset[int]:
        return self._found(str(self.folder / "program.py"), name)

    def children(self, name: str) -> frozenset[int]:
        return self._found("child-of", name)

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)


def _argv(found: str) -> list[str]:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{found.split(':')[0]}/cmdline").read_text().split("\0")
    return []


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    try:
        yield made
    finally:
        made.end()


class TestSupervisord(SupervisorContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Iterator[SupervisorBench]:  # type: ignore[override]
        made = Bench(tmp_path)
        try:
            yield made
        finally:
            made.end()


def test_long_paths_and_odd_characters(tmp_path: Path) -> None:
    folder = tmp_path / ("a b%c;d[e]" + "x" * 100) / "it's ü"
    folder.mkdir(parents=True)
    bench = Bench(folder)
    try:
        supervisor = bench.open()
        supervisor.apply(bench.program("web"))
        running(bench, supervisor, "web")
        near = os.lstat(os.path.dirname(supervisor.folder.socket))
        assert (near.st_uid, stat.S_IMODE(near.st_mode)) == (os.geteuid(), 0o700)
        supervisor.remove("web")
        gone(bench, supervisor, "web")
    finally:
        bench.end()


def test_secrets_are_in_no_process_list_and_in_no_file_that_others_can_read(bench: Bench) -> None:
    supervisor = bench.open()
    program = replace(bench.program("web"), output=None, secrets={"SECRET": "swordfish"})
    supervisor.apply(program)
    pid = running(bench, supervisor, "web").pid
    assert b"SECRET=swordfish" in Path(f"/proc/{pid}/environ").read_bytes()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            assert b"swordfish" not in path.read_bytes()
    for path in bench.state.rglob("*"):
        if path.is_file() and b"swordfish" in path.read_bytes():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert "swordfish" not in repr(supervisor.observe())


def test_ft_16_a_port_that_a_stranger_took_is_replaced(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        taken = stranger.getsockname()[1]
        program = replace(bench.program("web"), port=taken, environment={"KIT": str(bench.folder), "PORT": "{port}"})
        supervisor = bench.open()
        supervisor.apply(program)
        status = running(bench, supervisor, "web")
        port = status.program.port
        assert port not in (0, taken)
        bench.wait(lambda: f"port {port} " in text(program.output), "the program got the other port")
        supervisor.apply(program)
        assert supervisor.observe()["web"].pid == status.pid


def test_ft_6_a_run_file_of_another_boot_means_nobody(bench: Bench) -> None:
    supervisor = bench.open()
    supervisor.apply(bench.program("web"))
    status = running(bench, supervisor, "web")
    bench.kill_supervisor()
    path = bench.state / "supervisor" / "run" / "web.json"
    record = json.loads(path.read_text())
    assert runfiles.alive(record)
    for changed in ({"boot": "another"}, {"start": record["start"] + 1}):
        path.write_text(json.dumps({**record, **changed}))
        if "boot" in changed:
            assert supervisor.observe() == {}
        assert not runfiles.alive({**record, **changed})
    path.write_text(json.dumps({**record, "boot": "another"}))
    supervisor.apply(bench.program("other"))
    assert bench.alive("web") == {status.pid}, "a stranger's process is left alone"
    assert not path.exists(), "stale files are cleaned"


def test_a_program_that_keeps_ending_is_tried_for_ever_but_slowly(bench: Bench) -> None:
    program = replace(bench.program("web"), command=("sh", "-c", "echo x; exit 3"))
    supervisor = bench.open()
    supervisor.apply(program)
    bench.wait(lambda: supervisor.observe()["web"].restarts >= 2, "it was restarted")
    bench.wait(lambda: "exit status was 3" in supervisor.observe()["web"].detail, "it is said how it ended")
    first = os.stat(program.output or "").st_mtime_ns
    bench.wait(lambda: os.stat(program.output or "").st_mtime_ns > first, "it is tried again")
    started = text(bench.state / "supervisor" / "supervisord.log").count("spawned: 'web'")
    assert started <= supervisor.observe()["web"].restarts + 2, "one start each, no more"


def test_a_program_runs_as_its_user_and_an_unknown_user_is_said(bench: Bench) -> None:
    name = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    supervisor = bench.open()
    script = replace(
        bench.program("web"), user=name, command=("/bin/sh", "-c", "id -u; exec sleep 600"), directory=Path("/")
    )
    supervisor.apply(script)
    bench.wait(lambda: text(script.output).strip() == str(pwd.getpwnam(name).pw_uid), "it runs as its user")
    supervisor.apply(replace(script, user="no-such-user"))
    bench.wait(lambda: "no-such-user" in supervisor.observe()["web"].detail, "the unknown user is said")
    assert supervisor.observe()["web"].life is Life.FAILED


def test_ft_11_what_was_asked_to_end_ends_though_the_command_was_killed(bench: Bench) -> None:
    supervisor = bench.open()
    supervisor.apply(replace(bench.stubborn("web"), stop_timeout=1.0))
    running(bench, supervisor, "web")
    remove = (
        "import os, signal, sys; from pathlib import Path\n"
        "from greenroom.adapters.supervisor.client import Supervisord\n"
        "Supervisord(Path(sys.argv[1]), 'shop').remove('web'); os.killpg(0, signal.SIGKILL)"
    )
    command = subprocess.run([sys.executable, "-c", remove, str(bench.state)], start_new_session=True, check=False)
    assert command.returncode == -signal.SIGKILL
    gone(bench, supervisor, "web")


def test_a_fresh_supervisor_starts_only_what_is_kept(bench: Bench) -> None:
    supervisor = bench.open()
    for name in ("router", "web"):
        supervisor.apply(bench.program(name, keep=name == "router"))
        running(bench, supervisor, name)
    bench.reboot()
    assert {name: status.life for name, status in supervisor.observe().items()} == {"router": Life.STOPPED}
    supervisor.start()
    running(bench, supervisor, "router")
    assert set(supervisor.observe()) == {"router"}
    assert not bench.alive("web")


def test_shutdown_ends_everything_and_the_supervisor(bench: Bench) -> None:
    supervisor = bench.open()
    for name in ("router", "web"):
        supervisor.apply(bench.program(name, keep=name == "router"))
        running(bench, supervisor, name)
    supervisor.shutdown()
    bench.wait(lambda: not supervisor.running(), "the supervisor has ended")
    assert supervisor.observe() == {}
    assert not bench.alive("web") | bench.alive("router") | bench.children("web") | bench.children("router")
    supervisor.apply(bench.program("web"))
    running(bench, supervisor, "web")
