"""The supervisor's folder in the state folder: files, locks, the configuration that is generated from them.

lock                 held by whoever starts the supervisor or changes what it runs
programs/NAME.json   what shall run, secrets included (0600 in a 0700 folder)
run/NAME.json        what runs (see `runfiles`); .note, .exit, .lock, .end beside it
supervisord.conf     generated, supervisord.log
down                 the supervisor itself shall end as soon as nothing is left
"""

from __future__ import annotations

import contextlib
import math
import os
import shlex
import stat
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from greenroom import sockets
from greenroom.adapters.supervisor import launcher, runfiles
from greenroom.adapters.supervisor.runfiles import Record
from greenroom.errors import Permanent, Temporary

CLOSED_IN_CHILDREN = 256
"""supervisord's `minfds`: it closes the handles below in its children."""

_CONF = """\
; Written by greenroom at every change.
[supervisord]
nodaemon=true
silent=true
logfile=supervisord.log
logfile_maxbytes=1MB
logfile_backups=2
pidfile=supervisord.pid
nocleanup=true
minfds={handles}
minprocs=1
{user}
[unix_http_server]
file={socket}
chmod=0600

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[rpcinterface:greenroom]
supervisor.rpcinterface_factory=greenroom.adapters.supervisor.nudge:make
"""

_PROGRAM = """
[program:{name}]
command={command}
autostart=true
autorestart=true
startsecs=0
startretries=1000000000
stopsignal={signal}
stopwaitsecs={wait}
stopasgroup={group}
killasgroup=true
umask=022
stdout_logfile=NONE
stderr_logfile=NONE
"""


class Folder:
    def __init__(self, state: Path) -> None:
        self.path = Path(os.path.abspath(state)) / "supervisor"
        self.conf = self.path / "supervisord.conf"
        self.log = self.path / "supervisord.log"
        self.down = self.path / "down"
        self.alive = str(self.path / "alive")

    def make(self) -> None:
        for folder in (self.path, self.path / "programs", self.path / "run"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if stat.S_IMODE(folder.stat().st_mode) & 0o077:
                folder.chmod(0o700)

    @property
    def socket(self) -> str:
        return sockets.address(self.path.parent, "supervisor/socket")

    def make_socket_folder(self) -> None:
        try:
            sockets.make_folder(self.socket)
        except PermissionError as error:
            raise Permanent(f"the supervisor cannot have its socket: {error}") from error

    # --- files

    def program(self, name: str) -> str:
        return str(self.path / "programs" / f"{name}.json")

    def run(self, name: str) -> str:
        return str(self.path / "run" / name)

    def wanted(self, name: str) -> Record | None:
        return runfiles.read_json(self.program(name))

    def record(self, name: str) -> Record | None:
        return runfiles.read_json(self.run(name) + ".json")

    def names(self) -> list[str]:
        found = set()
        for folder in ("programs", "run"):
            with contextlib.suppress(OSError):
                found |= {path.stem for path in (self.path / folder).glob("*.json")}
        return sorted(found)

    def note(self, name: str) -> tuple[int, str, str]:
        """What its launcher has to say: pid, life, detail."""
        with contextlib.suppress(OSError, ValueError), open(self.run(name) + ".note", encoding="utf-8") as file:
            pid, life, detail = [*file.read().splitlines(), "", "", ""][:3]
            return int(pid), life, detail
        return 0, "", ""

    def forget(self, name: str) -> None:
        """The last thing that happens to a program."""
        for path in (
            self.program(name),
            *(self.run(name) + end for end in (".json", ".note", ".exit", ".lock", ".end")),
        ):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    # --- locks

    @contextlib.contextmanager
    def locked(self, timeout: float = 20.0) -> Iterator[None]:
        self.make()
        end = time.monotonic() + timeout
        while (handle := runfiles.try_lock(str(self.path / "lock"))) is None:
            if time.monotonic() > end:
                raise Temporary("another command is changing what the supervisor runs")
            time.sleep(0.01)
        try:
            for torn in (self.path / "programs").glob("*.tmp"):  # of somebody who was killed while writing
                torn.unlink(missing_ok=True)
            yield
        except OSError as error:
            raise Temporary(f"the supervisor's files cannot be written: {error}") from None
        finally:
            os.close(handle)

    def ending(self, name: str) -> bool:
        """An ender is at work on this program."""
        return runfiles.is_locked(self.run(name) + ".end")

    # --- the configuration

    def write_conf(self, specs: Mapping[str, Record]) -> None:
        """supervisord runs with this folder as its directory, so that most paths in the file need no escaping."""
        user = f"user={os.geteuid()}\n" if os.geteuid() == 0 else ""
        text = _CONF.format(socket=self.socket, user=user, handles=CLOSED_IN_CHILDREN)
        start = (sys.executable, "-I", "-S", os.path.abspath(launcher.__file__))
        for name, spec in specs.items():
            command = shlex.join((*start, f"programs/{name}.json")).replace("%", "%%")
            text += _PROGRAM.format(
                name=name,
                command=command,
                signal=spec["stop_signal"],
                wait=math.ceil(spec["stop_timeout"]) + 1,
                group="true" if spec["stop_group"] else "false",
            )
        temporary = self.conf.with_suffix(".new")
        temporary.write_text(text)
        temporary.replace(self.conf)
