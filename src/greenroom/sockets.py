"""Where the unix sockets of a state folder are: in it, or, where that path is too long for a socket, in a folder of ours.

A unix socket's path may have 107 bytes, and supervisord binds a temporary name that is longer by a process id.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from pathlib import Path

LONGEST = 90
_HARMLESS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+@,=~")


def address(state: Path, name: str) -> str:
    """The path of the socket `name` of this state folder: always the same one, whether it exists or not."""
    near = os.path.join(os.path.abspath(state), name)
    if len(os.fsencode(near)) <= LONGEST and _HARMLESS.issuperset(near):
        return near
    mark = hashlib.sha256(os.fsencode(os.path.abspath(state))).hexdigest()[:16]
    return f"/tmp/greenroom-{os.geteuid()}-{mark}/{os.path.basename(name)}"


def make_folder(path: str) -> None:
    """The socket's folder, private to us. `PermissionError` if a stranger was there first: /tmp belongs to everybody."""
    folder = os.path.dirname(path)
    with contextlib.suppress(FileExistsError):
        os.makedirs(folder, mode=0o700)
    seen = os.lstat(folder)
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.geteuid() or stat.S_IMODE(seen.st_mode) & 0o022:
        raise PermissionError(
            f"{folder} is not a private folder of ours; remove it, or move the project to a shorter path"
        )


def forget(path: str) -> None:
    """Take away the socket, and its folder if that was made for sockets only and holds no other."""
    with contextlib.suppress(OSError):
        os.unlink(path)
    if path.startswith("/tmp/greenroom-"):
        with contextlib.suppress(OSError):
            os.rmdir(os.path.dirname(path))
