"""Who has the file of an SQLite database open: SQLite itself knows no sessions, but this machine knows its processes."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

from greenroom.adapters.database.target import Session

_TELLING = (b"GREENROOM_COLOUR=", b"GREENROOM_VERSION=")


def holders(session: Session) -> list[tuple[int, str, str]] | str:
    """Process id, user, and the colour and version that the process was started with. A text: why that is not known."""
    path = next((str(row[2]) for row in session.rows("PRAGMA database_list") if row[1] == "main"), "")
    try:
        wanted = os.stat(path)
    except OSError:
        return "SQLite knows no sessions, and its file cannot be looked at"
    mine = wanted.st_uid == os.geteuid() and wanted.st_mode & 0o066 == 0
    if os.geteuid() != 0 and not mine:
        return "SQLite knows no sessions, and of other users' processes only root sees which files they have open"
    found = []
    for process in _processes():
        if process.name != str(os.getpid()) and _opens(process, wanted):
            found.append((int(process.name), _user(process), _told(process)))
    return found


def _processes() -> Iterator[Path]:
    return (entry for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _opens(process: Path, wanted: os.stat_result) -> bool:
    try:
        return any(_same(link, wanted) for link in (process / "fd").iterdir())
    except OSError:
        return False  # it has ended, or is another's who could not have opened the file


def _same(link: Path, wanted: os.stat_result) -> bool:
    try:
        found = link.stat()
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino)


def _user(process: Path) -> str:
    try:
        return pwd.getpwuid(process.stat().st_uid).pw_name
    except (OSError, KeyError):
        return ""


def _told(process: Path) -> str:
    try:
        variables = (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return ""
    told = [line.partition(b"=")[2].decode(errors="replace") for line in variables if line.startswith(_TELLING)]
    return " ".join(told)
