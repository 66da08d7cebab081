"""One command in the background, in a process group of its own, that can be found again after our own death.

A job is a folder: `job.json` (who it is: pid, start time, boot), `code` (its exit code, once it has ended). The command
writes its exit code itself, so nobody needs to be its parent to learn it. A pid alone is never trusted.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

_WRAPPER = (
    'read -r go || exit; : >"$2.begun"; /bin/sh -c "$1" </dev/null; code=$?; '
    'echo "$code" >"$2.new" && mv -f "$2.new" "$2"'
)
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Identity:
    """One process among all that ever had this pid. `started`: ticks since `boot`."""

    pid: int
    started: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """None: there is no such process, or it has ended and nobody has asked for its result yet."""
        fields = _stat(pid)
        return None if fields is None or fields[0] in "ZX" else cls(pid, int(fields[19]), boot())

    @property
    def alive(self) -> bool:
        return Identity.of(self.pid) == self

    @property
    def age(self) -> float:
        """Seconds since it started, whatever the wall clock does."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) - self.started / _TICKS

    def end_group(self, how: int) -> None:
        """Signal everything in the group that it leads, even after its own end; nothing if the pid is another's now."""
        fields = _stat(self.pid)
        if self.boot != boot() or (fields is not None and int(fields[19]) != self.started):
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, how)

    @property
    def group_alive(self) -> bool:
        return self.boot == boot() and any(_alive_in(entry, self.pid) for entry in Path("/proc").iterdir())


def boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on (the name before it may hold anything)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None


def _alive_in(entry: Path, group: int) -> bool:
    if not entry.name.isdigit():
        return False
    fields = _stat(int(entry.name))
    return fields is not None and fields[0] not in "ZX" and int(fields[2]) == group


@dataclass(frozen=True, slots=True)
class Found:
    """A job that was begun before. `code`: None if it has none, and then, unless it is `running`, it never will.

    `worked`: its command began since the machine did; else nothing came of it, and it may be begun again.
    """

    who: Identity
    code: int | None
    running: bool
    worked: bool


class Job:
    """A command in the background, kept in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self, command: str, *, directory: Path, environment: Mapping[str, str], output: Path) -> Identity:
        """Run this shell command; what it prints is appended to `output`. An earlier job of the folder is forgotten."""
        self.forget()
        self.folder.mkdir(parents=True, mode=0o700)
        output.parent.mkdir(parents=True, exist_ok=True)
        with open(output, "ab") as log:
            process = subprocess.Popen(
                ["/bin/sh", "-c", _WRAPPER, "greenroom-job", command, str(self.folder / "code")],
                cwd=directory,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        _CHILDREN.append(process)
        fields = _stat(process.pid)  # it is our child and not yet waited for, so this is certainly the one
        who = Identity(process.pid, int(fields[19]) if fields else 0, boot())
        assert process.stdin is not None
        with process.stdin as go:  # closed without a word, it ends: nothing ever runs that is not written down
            new = self.folder / "job.new"
            new.write_text(json.dumps(asdict(who)), encoding="utf-8")
            os.replace(new, self.folder / "job.json")
            go.write(b"go\n")
        return who

    def look(self, memo: Mapping[str, Any] | None = None) -> Found | None:
        """What became of it; None: there is no job here.

        One that `memo` still knows (`{"job": …}`), and whose folder is gone, is ended: its result can never be known.
        """
        reap()
        who = self.found()
        if who is None:
            left = identity((memo or {}).get("job"))
            if left is not None and left.alive:
                left.end_group(signal.SIGKILL)
            return None
        alive = who.alive
        code = self.code()  # after `alive`: what has ended before has written its code by now
        return Found(who, code, alive and code is None, who.boot == boot() and self.begun)

    def found(self) -> Identity | None:
        """Who it is; None: there is no job here."""
        return identity(_read(self.folder / "job.json"))

    def code(self) -> int | None:
        """Its exit code; None while there is none."""
        text = _read(self.folder / "code")
        return text if isinstance(text, int) else None

    @property
    def begun(self) -> bool:
        """The command itself was started; else its wrapper died with us, before."""
        return (self.folder / "code.begun").exists()

    def end(self, grace: float) -> None:
        """End the whole group: SIGTERM, and SIGKILL for what is left after `grace` seconds."""
        who = self.found()
        if who is None:
            return
        who.end_group(signal.SIGTERM)
        deadline = time.monotonic() + grace
        while who.group_alive and time.monotonic() < deadline:
            time.sleep(0.02)
        who.end_group(signal.SIGKILL)
        reap()

    def forget(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def identity(document: Any) -> Identity | None:
    """The inverse of `asdict`, for what was read from outside."""
    match document:
        case {"pid": int(pid), "started": int(started), "boot": str(text)} if pid > 1:
            return Identity(pid, started, text)
    return None


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


_CHILDREN: list[subprocess.Popen[bytes]] = []


def reap() -> None:
    """Let our own ended children go, so that none stays behind as a zombie."""
    for child in list(_CHILDREN):
        if child.poll() is not None:
            with contextlib.suppress(ValueError):
                _CHILDREN.remove(child)


def bound(path: Path, limit: int) -> None:
    """Begin a log anew that has grown beyond `limit` bytes; who writes it appends."""
    with contextlib.suppress(OSError):
        if path.stat().st_size > limit:
            os.truncate(path, 0)


def last_lines(path: Path, count: int = 20, limit: int = 8192) -> tuple[str, ...]:
    """The end of a log, for a person: printable, at most `limit` bytes of it."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - limit))
            lines = file.read(limit).decode("utf-8", "replace").splitlines()
    except OSError:
        return ()
    clean = (
        "".join(c if c.isprintable() or c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in line) for line in lines
    )
    return tuple(line.rstrip()[:400] for line in clean if line.strip())[-count:]


def shell_safe(values: Sequence[str]) -> bool:
    """None of them holds anything that a shell would read as more than text."""
    return all(c.isalnum() or c in "@%+=:,./_-" for value in values for c in value)


def slug(name: str) -> str:
    """A name for a file or folder; different names stay different."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:60]
    return plain if plain == name else f"{plain}-{sha256(name.encode()).hexdigest()[:8]}"
