"""The stage: a folder with the example shop, and Greenroom's real command line. For the story and the benchmarks."""

from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SHOP = Path(__file__).parent / "shop"
GOOD = "self.place = (self.place + 1) % len(self.times)"
BAD = "self.place = self.place + 1  # the ring is full: begin again at its front?"


@dataclass(frozen=True, slots=True)
class Done:
    """What a command did. `began`, `ended`: on the steady clock."""

    words: tuple[str, ...]
    code: int
    began: float
    ended: float
    out: str
    err: str

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    @property
    def verdict(self) -> str:
        """The sentence after the last line of progress, which begins with a time of day or ends with an ellipsis."""
        lines = self.out.strip().splitlines()
        after = max((i for i, line in enumerate(lines) if re.match(r"\d\d:\d\d:\d\d |.*…$", line)), default=-1)
        return lines[after + 1] if after + 1 < len(lines) else ""

    def __str__(self) -> str:
        text = "\n".join(part for part in (self.out.strip(), self.err.strip()) if part)
        return f"greenroom {' '.join(self.words)}: exit {self.code}\n{text}"


class Stage:
    """`source`: the application's folder with its greenroom.yaml, copied to `shop/`. `port` 0: a free one.

    `settings` replace lines of the file: {"bake": "6s"}.
    """

    def __init__(
        self, folder: Path, *, port: int = 0, settings: dict[str, str] | None = None, source: Path = SHOP
    ) -> None:
        self._settled(folder, port or free_port())
        shutil.copytree(source, self.shop, ignore=shutil.ignore_patterns("__pycache__", ".greenroom"))
        self.file.write_text(self._settle(self.file.read_text(), settings or {}))
        (folder / "commands").mkdir()

    def _settled(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.shop = folder / "shop"
        self.file = self.shop / "greenroom.yaml"
        self.data = folder / "data"
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.commands = 0

    @classmethod
    def found(cls, folder: Path) -> Stage:
        """One that an earlier demo left behind, in order to end it."""
        stage = cls.__new__(cls)
        stage._settled(folder, 0)
        stage.commands = 100
        return stage

    def set(self, **settings: str) -> None:
        """Replace lines of greenroom.yaml."""
        self.file.write_text(self._settle(self.file.read_text(), settings))

    def _settle(self, text: str, settings: dict[str, str]) -> str:
        text = text.replace("127.0.0.1:8080", f"127.0.0.1:{self.port}").replace(
            "command: python3 ", f"command: {shlex.quote(sys.executable)} "
        )
        text = text.replace('SHOP_DATA: ""', f"SHOP_DATA: {json.dumps(str(self.data))}")
        lines = text.splitlines()
        for key, value in settings.items():
            at = next(i for i, line in enumerate(lines) if line.startswith(f"{key}:"))
            lines[at] = f"{key}: {value}"
        return "\n".join(lines) + "\n"

    def start(self, *words: str) -> Command:
        """Begin a command; its output goes to a file of its own under `commands/`."""
        self.commands += 1
        name = "-".join([f"{self.commands:02}", *(w.strip("-") for w in words)])
        return Command(words, [*words, "--file", str(self.file)], self.folder / "commands" / name)

    def run(self, *words: str, within: float = 120.0) -> Done:
        return self.start(*words).wait(within)

    def status(self) -> dict[str, Any]:
        """`greenroom status --json`, {} if it does not answer."""
        done = self.run("status", "--json", within=30.0)
        try:
            answer = json.loads(done.out)
        except ValueError:
            return {}
        return answer if isinstance(answer, dict) else {}

    def end(self) -> Done:
        """`down`, whatever is going on: a release that is not finished is ended first, in one of the ways it allows."""
        done = self.run("down", "--yes")
        for way in ("abort", "rollback", "promote"):
            if done.code != 4:
                break
            self.run(way)
            done = self.run("down", "--yes")
        return done

    def residents(self) -> list[int]:
        """The process ids of this stage's resident engine."""
        return [pid for pid, line in _processes() if "greenroom.resident" in line and str(self.folder) in line]

    def routers(self) -> list[int]:
        """The process ids of this stage's Envoy."""
        return [
            pid for pid, line in _processes() if Path(line.split("\0")[0]).name == "envoy" and str(self.shop) in line
        ]

    def remains(self) -> list[tuple[int, str]]:
        """Processes of the service that still run: Greenroom's own, the router, the shop."""
        own, shop = str(self.shop / ".greenroom"), f"SHOP_DATA={self.data}\0"
        found = []
        for pid, line in _processes():
            if pid != os.getpid() and (own in line or str(self.file) in line or shop in _read(pid, "environ")):
                found.append((pid, line.replace("\0", " ").strip()))
        return found


class Command:
    """A command of Greenroom that runs, as a process of its own."""

    def __init__(self, words: tuple[str, ...], arguments: Sequence[str], output: Path) -> None:
        self.words = words
        self._out, self._err = output.with_suffix(".out"), output.with_suffix(".err")
        with self._out.open("w") as out, self._err.open("w") as err:
            self.began = time.monotonic()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "greenroom", *arguments], stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                start_new_session=True,
            )  # fmt: skip
        self.pid = self._process.pid

    def wait(self, within: float = 120.0) -> Done:
        """Its end; a command that takes longer is killed, and its code is then negative."""
        try:
            self._process.wait(within)
        except subprocess.TimeoutExpired:
            self.kill()
        ended = time.monotonic()
        code = self._process.wait()
        return Done(self.words, code, self.began, ended, _text(self._out), _text(self._err))

    def running(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """kill -9."""
        if self.running():
            os.kill(self.pid, signal.SIGKILL)
        self._process.wait()


def break_release(shop: Path, visitors: int | None = None) -> None:
    """Write the mistake of the third release into the shop: it shows after so many visitors (60)."""
    file = shop / "shop.py"
    text = file.read_text()
    assert GOOD in text
    text = text.replace(GOOD, BAD)
    if visitors is not None:
        text = text.replace("places: int = 60", f"places: int = {visitors}")
    file.write_text(text)


def repair_release(shop: Path) -> None:
    shutil.copyfile(SHOP / "shop.py", shop / "shop.py")


def get(url: str) -> tuple[int, str]:
    """Status and body, asked directly: no proxy of the environment is in the way. `OSError` if there is no answer."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        connection.request("GET", f"{parts.path or '/'}?{parts.query}")
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")
    except http.client.HTTPException as error:
        raise OSError(f"no answer: {error!r}") from error
    finally:
        connection.close()


def free_port(wanted: int = 0) -> int:
    """The wanted port if nobody has it, else a free one."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no free port")


def _processes() -> list[tuple[int, str]]:
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [(pid, line) for pid in pids if (line := _read(pid, "cmdline"))]


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
