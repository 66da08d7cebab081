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

BUSY, FENCED, FAILED, DAMAGED = 75, 76, 77, 78
_LOCK_WITHIN = 3
_ENDED = "greenroom: exit status "
_NEVER = ("Permission denied", "Read-only file system", "Not a directory", "File exists", "Is a directory")


class Failed(Temporary):
    """A `Command` failed. `ran`: its own exit status, and what all of them wrote."""

    def __init__(self, message: str, ran: Ran) -> None:
        super().__init__(message)
        self.ran = ran


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
    is at it, the disk is full, or a command failed (`Failed`): then what stood before it is done, and nothing after it.
    """
    ran = host.run(["sh", "-s"], stdin=_script(folder, epoch, changes).encode(), timeout=timeout)
    if ran.code == 0:
        return ran
    where = f"{host.name}: {folder}" if host.name else folder
    lines = ran.err.decode("utf-8", "replace").strip().splitlines() or [f"exit status {ran.code}"]
    said = lines[-1]
    match ran.code:
        case code if code == BUSY:
            raise Temporary(f"somebody else is changing {where}", retry_after=0.2)
        case code if code == FENCED:
            raise Permanent(
                f"{where} was changed under a newer lease ({said}) than ours ({epoch})",
                hint="another Greenroom is in charge now; this one has to stop",
            )
        case code if code == DAMAGED:
            raise Permanent(f"{where}/epoch is damaged: it holds {said!r}", hint="remove it if no release is running")
        case code if code == FAILED:
            own = ran.err[: ran.err.rindex(_ENDED.encode())]
            text = own.decode("utf-8", "replace").strip().splitlines() or [said]
            raise Failed(f"{where}: {text[-1]}", Ran(int(said.removeprefix(_ENDED)), ran.out, own))
    if any(trouble in line for line in lines for trouble in _NEVER):
        raise Permanent(f"{where} cannot be written: {said}", hint=_right_to(host, folder))
    full = any("No space left" in line for line in lines)
    raise Temporary(f"{where}: {said}", hint="free some space there" if full else "")


def _right_to(host: Host, folder: str) -> str:
    on = f" on {host.name}" if host.name else ""
    return f"give the user that Greenroom works as the right to it{on}: `sudo install -d -o USER {shlex.quote(folder)}`"


def _script(folder: str, epoch: int, changes: Sequence[Change]) -> str:
    body = "\n".join(_text(change) for change in changes)
    return f"""\
LC_ALL=C
export LC_ALL
{SETTLE}
whole() {{
{{ base64 -d >"$1.new" && chmod "$2" "$1.new" && settle "$1.new" && mv -fT "$1.new" "$1"; }} && return
case $(df -Pk "$1.new" 2>/dev/null | tail -n 1 | tr -s ' ' | cut -d ' ' -f 4) in 0) echo 'No space left on device' >&2; esac
rm -f "$1.new"
return 1
}}
all() {{
set -eu
umask 077
mkdir -p {shlex.quote(folder)}
cd {shlex.quote(folder)}
exec 9>>lock
flock -w {_LOCK_WITHIN} 9 || exit {BUSY}
newest=$(cat epoch 2>/dev/null || echo 0)
case $newest in ''|*[!0-9]*) printf '%s\\n' "$newest" >&2; exit {DAMAGED};; esac
if [ "$newest" -gt {epoch} ]; then echo "$newest" >&2; exit {FENCED}; fi
if [ "$newest" -lt {epoch} ]; then echo {epoch} >epoch.new; settle epoch.new; mv -f epoch.new epoch; fi
{body}
settle .
}}
all </dev/null
"""


SETTLE = """\
settle() {
said=$(sync -d "$@" 2>&1) && return
case $said in *option*|*gnoring*) sync;; *) printf '%s\\n' "$said" >&2; return 1;; esac
}"""
"""Shell: these are on the disk when it returns. An old `sync` knows no files, so it writes out everything."""


def _text(change: Change) -> str:
    match change:
        case Write(path, content, mode):
            data = base64.encodebytes(content).decode().rstrip("\n")
            return f"whole {shlex.quote(path)} {mode:o} <<'END'\n{data}\nEND"
        case Link(path, target):
            new, old = shlex.quote(f"{path}.new"), shlex.quote(path)
            return f"rm -f {new}\nln -s {shlex.quote(target)} {new}\nmv -fT {new} {old}"
        case Folder(path, mode):
            return f"mkdir -p {shlex.quote(path)}\nchmod {mode:o} {shlex.quote(path)}"
        case Gone(path):
            return f"rm -rf {shlex.quote(path)}"
        case Command(words, otherwise):
            instead = "\n".join(_text(other) for other in otherwise)
            # Without the lock's handle: what it starts in the background would hold the lock for ever.
            return (
                f"if {shlex.join(words)} 9>&-; then :; else code=$?\n{instead}\n"
                f"printf '\\n{_ENDED}%s\\n' $code >&2; exit {FAILED}; fi"
            )
