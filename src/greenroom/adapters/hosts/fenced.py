"""Changing a folder on a machine: all of it under one lock, and only by who holds the newest lease.

    put(host, "/var/lib/greenroom/shop/router", key.epoch, Write("told.json", …), Link("live", "states/7"))

One short script does it there, in the given order: nobody who slept through a takeover comes in between the look at the
epoch and the change. Each file is all or nothing, and survives a power cut. A script that arrived in part does nothing.
"""

from __future__ import annotations

import base64
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from greenroom.errors import Permanent, Temporary
from greenroom.ports import Host, Ran

BUSY, FENCED = 75, 76
_LOCK_WITHIN = 3


@dataclass(frozen=True, slots=True)
class Write:
    """A file, by its path in the folder (or a whole path): replaced by rename."""

    path: str
    content: bytes
    mode: int = 0o600


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link, replaced by rename."""

    path: str
    target: str


@dataclass(frozen=True, slots=True)
class Folder:
    path: str
    mode: int = 0o700


@dataclass(frozen=True, slots=True)
class Gone:
    """A file, or a folder with all that is in it, is there no more."""

    path: str


@dataclass(frozen=True, slots=True)
class Command:
    """Run in the folder, as a list of words. If it fails, what comes after it is not done (`otherwise` is, then)."""

    words: tuple[str, ...]
    otherwise: tuple[Change, ...] = ()


Change: TypeAlias = Write | Link | Folder | Gone | Command


def put(host: Host, folder: str, epoch: int, *changes: Change, timeout: float = 15.0) -> Ran:
    """Make these changes in `folder`, which is made where it is missing (0700).

    `Permanent` where the folder was changed under a newer lease, or may not be written; `Temporary` where somebody else
    is at it, the disk is full, or a command failed: then what stood before it is done, and nothing after it.
    """
    ran = host.run(["sh", "-s"], stdin=_script(folder, epoch, changes).encode(), timeout=timeout)
    where = f"{host.name}: {folder}" if host.name else folder
    said = ran.err.decode("utf-8", "replace").strip()
    match ran.code:
        case 0:
            return ran
        case code if code == BUSY:
            raise Temporary(f"somebody else is changing {where}", retry_after=0.2)
        case code if code == FENCED:
            raise Permanent(
                f"{where} was changed under a newer lease ({said.splitlines()[-1]}) than ours ({epoch})",
                hint="another Greenroom is in charge now; this one has to stop",
            )
    if "Permission denied" in said or "Read-only file system" in said:
        raise Permanent(f"{where} cannot be written: {said.splitlines()[-1]}", hint=_right_to(host, folder))
    raise Temporary(f"{where}: {said.splitlines()[-1] if said else f'exit status {ran.code}'}")


def _right_to(host: Host, folder: str) -> str:
    on = f" on {host.name}" if host.name else ""
    return f"give the user that Greenroom works as the right to it{on}: `sudo install -d -o USER {shlex.quote(folder)}`"


def _script(folder: str, epoch: int, changes: Sequence[Change]) -> str:
    body = "\n".join(_text(change) for change in changes)
    return f"""\
settle() {{ sync -d "$1" 2>/dev/null || sync "$1" 2>/dev/null || sync; }}
all() {{
set -eu
umask 077
mkdir -p {shlex.quote(folder)}
cd {shlex.quote(folder)}
exec 9>>lock
flock -w {_LOCK_WITHIN} 9 || exit {BUSY}
newest=$(cat epoch 2>/dev/null || echo 0)
if [ "$newest" -gt {epoch} ]; then echo "$newest" >&2; exit {FENCED}; fi
if [ "$newest" -lt {epoch} ]; then echo {epoch} >epoch.new; settle epoch.new; mv -f epoch.new epoch; fi
{body}
settle .
}}
all </dev/null
"""


def _text(change: Change) -> str:
    match change:
        case Write(path, content, mode):
            new, old = shlex.quote(f"{path}.new"), shlex.quote(path)
            data = base64.encodebytes(content).decode().rstrip("\n")
            return f"base64 -d >{new} <<'END'\n{data}\nEND\nchmod {mode:o} {new}\nsettle {new}\nmv -f {new} {old}"
        case Link(path, target):
            new, old = shlex.quote(f"{path}.new"), shlex.quote(path)
            return f"rm -f {new}\nln -s {shlex.quote(target)} {new}\nmv -T {new} {old}"
        case Folder(path, mode):
            return f"mkdir -p {shlex.quote(path)}\nchmod {mode:o} {shlex.quote(path)}"
        case Gone(path):
            return f"rm -rf {shlex.quote(path)}"
        case Command(words, otherwise):
            instead = "\n".join(_text(other) for other in otherwise)
            return f"if {shlex.join(words)}; then :; else code=$?\n{instead}\nexit $code; fi"
