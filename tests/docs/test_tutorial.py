"""The tutorial, done from its first line to its last as a reader would, on a free port."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Block, blocks

BIN = Path(sys.executable).parent
CURL = """#!{python}
import sys, urllib.request
print(urllib.request.urlopen(sys.argv[-1], timeout=30).read().decode(), end="")
"""


class Reader:
    """Somebody who follows the page. What stands after a block's language says what it means to do."""

    def __init__(self, folder: Path, environment: dict[str, str], port: int) -> None:
        self.folder, self.environment, self.port = folder, environment, port
        self.said: list[str] = []

    def follow(self, block: Block) -> None:
        words = dict(re.findall(r'(\w+)=("[^"]*"|\S+)', block.info))
        text = block.text.replace("8080", str(self.port))
        if "file" in words:
            (self.folder / words["file"]).write_text(text)
            return
        if "edit" in words:
            self.edit(self.folder / words["edit"], block.info, words.get("before", "").strip('"'), text)
        if block.language == "sh":
            lines = text.splitlines()
            for line in lines:
                self.run(line, int(words.get("exit", 0)) if line is lines[-1] else 0, block.id)

    def edit(self, file: Path, info: str, before: str, text: str) -> None:
        content = file.read_text()
        if before:
            place = content.rindex("\n", 0, content.index(before)) + 1
            content = content[:place] + text + content[place:]
        else:
            old, new = re.findall(r'("[^"]*") to ("[^"]*")', info)[0]
            assert old in content
            content = content.replace(old, new, 1)
        file.write_text(content)

    def run(self, line: str, expected: int, where: str) -> None:
        done = subprocess.run(
            shlex.split(line, comments=True),
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == expected, f"{where}: {line}\n{done.stdout}\n{done.stderr}"
        self.said.append(done.stdout)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    tools, folder = tmp_path / "bin", tmp_path / "shop"
    tools.mkdir()
    folder.mkdir()
    (tools / "curl").write_text(CURL.format(python=sys.executable))
    (tools / "curl").chmod(0o755)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = f"{tools}:{BIN}:{os.environ['PATH']}"
    reader = Reader(folder, {**os.environ, "PATH": path, "HOME": str(tmp_path)}, port)
    try:
        yield reader
    finally:
        if alive(folder):  # it ended before its last line
            for verb in ("abort", "down"):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    command = [str(BIN / "greenroom"), verb]
                    subprocess.run(command, cwd=folder, env=reader.environment, capture_output=True, timeout=30)
        end_all(folder)


def end_all(folder: Path) -> None:
    """What was started in this folder and is still there, the supervisor first."""
    for _ in range(5):
        for pid in sorted(alive(folder)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def alive(folder: Path) -> list[int]:
    return [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and belongs(p, str(folder))]


def belongs(process: Path, folder: str) -> bool:
    try:
        if process.name == str(os.getpid()):
            return False
        return folder in os.readlink(process / "cwd") or folder in (process / "cmdline").read_text(errors="replace")
    except OSError:
        return False


@pytest.mark.real
@pytest.mark.timeout(300)
def test_the_tutorial_works_from_its_first_line_to_its_last(reader: Reader) -> None:
    for block in blocks(ROOT / "docs" / "tutorial.md"):
        reader.follow(block)
    answers = [text.strip() for text in reader.said if text.startswith("Welcome")]
    assert answers == ["Welcome from version 1", "Welcome back from version 2", "Welcome from version 1"]
    status = json.loads(next(text for text in reader.said if text.startswith("{")))
    assert status["active"]["version"] == "1"
    assert status["route"] == "in_sync"
