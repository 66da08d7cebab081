"""Two machines with Docker and nginx, released to from a third by SSH: the command line, real servers, pulled cables."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import pytest

from tests.rigs.machines import Machines, machines

pytestmark = [pytest.mark.xdist_group("hosts"), pytest.mark.timeout(300)]

PATIENCE = 90.0
FILE = """\
service: shop
hosts:
{hosts}
environment:
  type: docker
  image: shop:{{version}}
  socket: {here}/docker.sock
  processes:
    web: {{port: 8000, health: {{path: /health, timeout: {patience}}}}}
  env: {{PASSWORD: "${{PASSWORD}}"}}
router:
  type: nginx
  url: http://127.0.0.1
  command: nginx -c {here}/nginx.conf
  folder: {here}/greenroom
  drain: 2s
checks:
  - {{type: command, name: look, run: "sh {gate}"}}
bake: {bake}
"""


class Runner:
    """A folder with the file, as a throw-away job of a CI system has it: nothing else is kept there between commands."""

    def __init__(self, folder: Path, made: Machines, *, bake: str = "1s", patience: str = "60s") -> None:
        self.folder = folder
        folder.mkdir()
        self.gate = folder / "gate.sh"
        self.gate.write_text("exit 0\n")
        hosts = "".join(f"  {name}: {json.dumps(made.document(name))}\n" for name in made.made)
        text = FILE.format(hosts=hosts, here=made.here, gate=self.gate, bake=bake, patience=patience)
        (folder / "greenroom.yaml").write_text(text)
        self.environment = {**os.environ, "HOME": str(folder), "PASSWORD": "hunter2", "NO_COLOR": "1"}
        self.program = Path(sys.executable).parent / "greenroom"

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(self.program), *words],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *words: str, expect: int = 0) -> str:
        process = self.start(*words)
        said, _ = process.communicate(timeout=PATIENCE * 2)
        assert process.returncode == expect, f"greenroom {' '.join(words)}: {process.returncode}\n{said}"
        return said

    def status(self) -> dict[str, Any]:
        process = subprocess.run(
            [str(self.program), "status", "--json"],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        found: dict[str, Any] = json.loads(process.stdout)
        return found


class Users:
    """Clients of every machine that never stop, on kept and on fresh connections."""

    def __init__(self, made: Machines) -> None:
        self.over, self.failed, self.versions = threading.Event(), list[str](), dict[str, str]()
        self.count = 0
        self.threads = [
            threading.Thread(target=self._run, args=(name, machine.address, kept), daemon=True)
            for name, machine in made.made.items()
            for kept in (True, False)
        ]

    def _run(self, name: str, address: str, kept: bool) -> None:
        link = HTTPConnection(address, 80, timeout=20)
        while not self.over.wait(0.01):
            try:
                link.request("GET", "/")
                answer = link.getresponse()
                text = answer.read().decode()
                if answer.status != 200 or text.split()[0] not in ("blue", "green"):
                    self.failed.append(f"{name}: {answer.status} {text[:60]}")
                self.versions[name] = text.split()[-1]
                self.count += 1
            except (OSError, HTTPException) as error:
                self.failed.append(f"{name}: {type(error).__name__}: {error}")
                link.close()
            if not kept:
                link.close()
        link.close()

    def __enter__(self) -> Users:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join(30)


def until(true: Callable[[], Any], what: str, every: float = 0.1) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := true()):
        assert time.monotonic() < deadline, what
        time.sleep(every)
    return found


@pytest.fixture(scope="module")
def made() -> Iterator[Machines]:
    with machines() as two:
        for name in ("app1", "app2"):
            machine = two.add(name)
            machine.docker("1", "2", "3", "4", "5")
            machine.nginx()
        yield two


@pytest.fixture(scope="module")
def released(made: Machines, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """Two versions were released, so that the proxies know both colours; prepared as the guide says."""
    runner = Runner(tmp_path_factory.mktemp("runner") / "first", made)
    assert "greenroom init --router nginx" in runner.run("doctor", expect=6)
    said = runner.run("init", "--router", "nginx")
    assert "On app1:" in said
    assert "On app2:" in said
    for machine in made.made.values():
        machine.nginx(f"include {made.here}/greenroom/route.conf;")
    until(lambda: runner.start("doctor").wait() == 0, "doctor finds nothing wrong")
    runner.run("deploy", "1")
    runner.run("deploy", "2")
    return runner


def test_a_release_moves_all_machines_and_another_runner_takes_it_back(
    released: Runner, made: Machines, tmp_path: Path
) -> None:
    with Users(made) as users:
        runner = Runner(tmp_path / "second", made)  # knows nothing but the file
        assert "parity: " in runner.run("deploy", "3")
        until(lambda: set(users.versions.values()) == {"3"}, "all are served by 3")
        status = runner.status()
        assert (status["active"]["version"], status["route"]) == ("3", "in_sync")
        assert {m["machine"] for m in status["environments"][status["active"]["colour"]]["members"]} == {"app1", "app2"}
        Runner(tmp_path / "third", made).run("rollback")
        until(lambda: set(users.versions.values()) == {"2"}, "all are served by 2 again")
    assert users.failed == []
    assert users.count > 50
    assert "hunter2" not in runner.run("show")
    assert "web-1" in runner.run("logs")


def test_ft_13_a_runner_that_is_killed_takes_neither_lock_nor_release_with_it(
    released: Runner, made: Machines, tmp_path: Path
) -> None:
    with Users(made) as users:
        runner = Runner(tmp_path / "killed", made)
        runner.gate.write_text("sleep 120\n")
        process = runner.start("deploy", "4")
        until(lambda: (s := released.status()["release"]) and s["stage"] == "checks", "its checks are asked", 1.0)
        process.send_signal(signal.SIGKILL)
        process.wait()
        other = Runner(tmp_path / "other", made)
        assert "nobody" in str(until(lambda: _unwatched(other), "its lock has ended", 2.0))
        refused = other.run("deploy", "5", expect=5)
        assert "greenroom deploy 4" in refused
        assert "4 was aborted" in other.run("abort")
        assert "2 is live" not in other.run("deploy", "4")
        until(lambda: set(users.versions.values()) == {"4"}, "all are served by 4")
        other.run("rollback")
    assert users.failed == []


def _unwatched(runner: Runner) -> list[str]:
    status = runner.status()
    return [] if status["lock"] is None or status["lock"]["holder"] else status["problems"]


def test_a_machine_that_is_cut_off_before_the_switch_stops_the_release(
    released: Runner, made: Machines, tmp_path: Path
) -> None:
    runner = Runner(tmp_path / "cut", made, patience="15s")
    other = Runner(tmp_path / "other", made)
    before = other.status()["active"]["version"]
    runner.gate.write_text(f"touch {runner.folder}/asked; while [ ! -e {runner.folder}/go ]; do sleep 0.1; done\n")
    process = runner.start("deploy", "5")
    until((runner.folder / "asked").exists, "its check is asked")
    made.made["app2"].cut()
    try:
        (runner.folder / "go").touch()
        until(lambda: other.status()["release"]["stage"] == "aborting", "it gives up", 2.0)
        assert any("app2" in problem for problem in other.status()["problems"])
    finally:
        made.made["app2"].mend()
    said, _ = process.communicate(timeout=PATIENCE * 2)
    assert process.returncode == 4, said
    assert "app2" in said
    until(lambda: other.status()["route"] == "in_sync", "all is seen again", 1.0)
    assert other.status()["active"]["version"] == before
