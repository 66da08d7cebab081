"""The SQLite file under a journal: made once and whole, opened, and its troubles put into words."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from greenroom.errors import JournalCorrupt, JournalMissing, JournalNewer, JournalUnusable

FORMAT = 1

SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE entries (
    seq INTEGER PRIMARY KEY,
    time TEXT NOT NULL,         -- for people; `at` is the same, in seconds since 1970
    at REAL NOT NULL,
    epoch INTEGER NOT NULL,     -- of the lease under which it was written, 0 for none
    release TEXT NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL          -- the record, as JSON
);
CREATE TRIGGER entries_stay BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'entries never change'); END;
CREATE TRIGGER entries_last BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'entries are never deleted'); END;
CREATE TABLE lease (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    epoch INTEGER NOT NULL,
    owner TEXT,                 -- JSON; NULL once it was given back
    why TEXT NOT NULL,
    since REAL NOT NULL,
    renewed REAL NOT NULL,
    expires REAL NOT NULL
);
CREATE TABLE clock (boot TEXT PRIMARY KEY, anchor REAL NOT NULL);  -- seconds since 1970 when that boot began
-- Epochs begin at the second in which the journal was made: one that replaces a lost journal is not taken for the past.
INSERT INTO lease VALUES (1, CAST(strftime('%s', 'now') AS INTEGER), NULL, '', 0, 0, 0);
"""

_FULL = {sqlite3.SQLITE_FULL}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_FORMAT}
_DENIED = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}
_NO_SHARED_MEMORY = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_FULL}
_WRITE_LOCK = 120  # the byte of the -shm file that a writer locks, by SQLite's file format

SAFE = "The traffic is not affected."
_BUSY_HINT = f"{SAFE} If that process is stopped or hangs, end it (kill -9 does no harm to a journal), then try again."


class Store:
    """One connection to read and, once something is written, one to write; each for one thread at a time."""

    def __init__(self, path: Path, busy: float) -> None:
        self.path, self._busy = path, busy
        self._identity = self._present()
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None

    def close(self) -> None:
        for connection in (self._reader, self._writer):
            if connection is not None:
                connection.close()
        self._reader = self._writer = None

    def query(self, sql: str, *values: Any) -> list[Any]:
        """Read; also while another process writes, and while the disk is full. For one thread at a time."""
        with self.troubles():
            self._same()
            try:
                self._reader = self._reader or self._open("ro")
                return self._reader.execute(sql, values).fetchall()
            except sqlite3.OperationalError as error:
                if _code(error) not in _NO_SHARED_MEMORY or not self._at_rest():
                    raise
            # The disk is full or read-only, so there can be no shared memory; but then nobody else is writing either.
            with closing(self._open("ro&immutable=1")) as still:
                return still.execute(sql, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything in it is written, durably, or nothing. For one thread at a time."""
        with self.troubles():
            self._same()
            if self._writer is None:
                self._writer = self._open("rw")
                self._writer.execute("PRAGMA synchronous = FULL")
            writer = self._writer
            writer.execute("BEGIN IMMEDIATE")
            try:
                yield writer
                writer.execute("COMMIT")
            except BaseException:
                if writer.in_transaction:
                    writer.execute("ROLLBACK")
                raise

    @contextmanager
    def troubles(self) -> Iterator[None]:
        """Put SQLite's and the system's errors into words, with the way out."""
        try:
            yield
        except sqlite3.ProgrammingError:
            raise
        except (sqlite3.Error, OSError) as error:
            raise unusable(self.path, error) from error

    def _open(self, mode: str) -> sqlite3.Connection:
        uri = f"file:{quote(str(self.path.absolute()))}?mode={mode}"
        return sqlite3.connect(uri, uri=True, timeout=self._busy, isolation_level=None, check_same_thread=False)

    def _present(self) -> tuple[int, int]:
        try:
            found = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            raise JournalMissing(f"There is no journal at {self.path}: nothing was ever recorded here.") from None
        except OSError as error:
            raise unusable(self.path, error) from error
        if not stat.S_ISREG(found.st_mode):
            raise JournalUnusable(
                f"{self.path} is not a file.", hint=f"{SAFE} Something else took the journal's place."
            )
        return found.st_dev, found.st_ino

    def _same(self) -> None:
        if self._present() != self._identity:
            raise JournalUnusable(
                f"The journal {self.path} was replaced while it was in use.",
                hint=f"{SAFE} This process must end; the next one uses what stands there now.",
            )

    def _at_rest(self) -> bool:
        """Everything is in the one file: no writes wait beside it."""
        try:
            return self.path.with_name(f"{self.path.name}-wal").stat().st_size == 0
        except FileNotFoundError:
            return True


def unusable(path: Path, error: Exception) -> JournalUnusable:
    """What SQLite's or the system's error means for this journal, and the way out."""
    code = _code(error)
    if code in _FULL or (code in (sqlite3.SQLITE_IOERR, None) and _no_space(path)):
        return JournalUnusable(
            f"The journal {path} cannot be written: the disk is full.",
            hint=f"{SAFE} Free some space; nothing else is needed.",
        )
    if code in _BUSY:
        return JournalUnusable(f"The journal {path} is locked by {_writing_process(path)}.", hint=_BUSY_HINT)
    if code in _DAMAGED:
        return damaged(path, str(error))
    if code in _DENIED or isinstance(error, PermissionError):
        return JournalUnusable(
            f"The journal {path} cannot be opened: {error}.",
            hint=f"{SAFE} Who runs Greenroom must own {path.parent} and what is in it.",
        )
    return JournalUnusable(f"The journal {path} cannot be used: {error}.", hint=f"{SAFE} Look at the disk.")


def damaged(path: Path, detail: str) -> JournalCorrupt:
    aside = path.with_name("broken")
    return JournalCorrupt(
        f"The journal {path} is damaged, or not a journal: {detail.rstrip('.')}.",
        hint=f"{SAFE} Put it aside to begin a new one: mkdir {aside} && mv {path}* {aside}/",
    )


def newer(path: Path, found: str) -> JournalNewer:
    return JournalNewer(
        f"The journal {path} has format {found}, of a newer Greenroom; this one knows {FORMAT}.",
        hint=f"{SAFE} Use the Greenroom that wrote it, or a newer one.",
    )


def make(path: Path, service: str, busy: float, fill: Callable[[sqlite3.Connection], None]) -> None:
    """Make the file, whole or not at all; nothing if it is there. `fill` adds to the new store."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    with _alone(path.parent, busy):
        if path.exists():
            return
        # Remains of a half-made one, or of one that somebody removed: SQLite would take an old -wal for a part of it.
        for remains in (fresh, *(p.with_name(p.name + s) for p in (fresh, path) for s in ("-wal", "-shm", "-journal"))):
            remains.unlink(missing_ok=True)
        with closing(sqlite3.connect(fresh, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            connection.executescript(f"BEGIN; {SCHEMA}")
            connection.executemany("INSERT INTO meta VALUES (?, ?)", [("format", str(FORMAT)), ("service", service)])
            fill(connection)
            connection.execute("COMMIT")
            [(mode,)] = connection.execute("PRAGMA journal_mode = WAL").fetchall()
            if mode != "wal":
                raise JournalUnusable(f"{path.parent} cannot hold a journal: it is not on a local disk.")
        fresh.rename(path)
        _sync(path.parent)


@contextmanager
def _alone(folder: Path, seconds: float) -> Iterator[None]:
    """Only one process at a time; the kernel lets go when it dies."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        until = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise JournalUnusable(f"Another process holds the lock of {folder}.", hint=_BUSY_HINT) from None
                time.sleep(0.005)
        yield
    finally:
        os.close(handle)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _writing_process(path: Path) -> str:
    """Who holds the write lock, as far as the kernel tells."""
    try:
        inode = path.with_name(f"{path.name}-shm").stat().st_ino
        locks = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return "another process"
    for line in locks:
        match line.split():
            case [_, _, _, "WRITE", pid, file, first, last] if file.endswith(f":{inode}"):
                if last == "EOF" or int(first) <= _WRITE_LOCK <= int(last):
                    return f"process {pid}"
    return "another process"


def _code(error: Exception) -> int | None:
    """SQLite's primary code, of which the others are shades."""
    code = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else None


def _no_space(path: Path) -> bool:
    try:
        found = os.statvfs(path if path.exists() else path.parent)
    except OSError:
        return False
    return found.f_bavail == 0 or (found.f_files > 0 and found.f_favail == 0)
