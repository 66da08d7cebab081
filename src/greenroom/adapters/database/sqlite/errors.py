"""What SQLite's refusals mean, and the way out of each."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from greenroom.adapters.database.target import Blocked, Broken, Full
from greenroom.errors import Permanent, PortError, Temporary

_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_READ_ONLY = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}


def unreachable(place: str, path: Path, error: sqlite3.Error) -> PortError:
    """Why it cannot be worked with at all."""
    code = _code(error)
    if code in _BUSY:
        return Temporary(
            f"The {place} is held by a writer that does not come to an end: {error}.",
            hint="Look for a transaction that was begun and never committed (`fuser` names the processes).",
        )
    if not path.exists():
        return Permanent(
            f"The {place} is not there.", hint="See the path in migrations.url; whoever owns the data makes the file."
        )
    if not path.is_file():
        return Permanent(f"The {place} is no file.", hint="Name the file itself in migrations.url.")
    if code in _READ_ONLY or code == sqlite3.SQLITE_CANTOPEN:
        return Permanent(
            f"The {place} cannot be written: {error}.",
            hint="Whoever runs Greenroom must be able to write the file and its folder (where -wal and -shm are made).",
        )
    if code in _DAMAGED:
        return Permanent(f"The {place} is no database, or damaged: {error}.", hint="PRAGMA integrity_check tells more.")
    return refused(place, error)


def refused(place: str, error: sqlite3.Error | sqlite3.Warning) -> PortError:
    """Why a statement did nothing."""
    code, name = _code(error), str(getattr(error, "sqlite_errorname", "") or "")
    if code in _BUSY:
        return Blocked(f"another process is writing: {error}", code=name)
    if code == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR and "space" in str(error):
        return Full(
            f"The {place} could not do it, its disk is full: {error}.",
            retry_after=30.0,
            hint="Free some space; what was done stays done, and the next try goes on from there.",
        )
    if code == sqlite3.SQLITE_INTERRUPT:
        return Broken(
            "it took too long", code=name, hint="Raise migrations.statement_timeout, or make the statement smaller."
        )
    if code in _READ_ONLY:
        hint = "Whoever runs Greenroom must be able to write the file and its folder."
        return Broken(str(error), code=name, hint=hint)
    if code in _DAMAGED:
        return Permanent(f"The {place} is damaged: {error}.", hint="PRAGMA integrity_check tells more.")
    if "one statement at a time" in str(error):
        hint = "SQLite sees several statements where Greenroom saw one; write them apart."
        return Broken(str(error), code=name, hint=hint)
    return Broken(str(error), code=name)


def _code(error: Exception) -> int:
    """The primary one: the higher bits say more than is needed."""
    return int(getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF
