"""A PostgreSQL database under a journal: how it is reached, made once and whole, and its troubles put into words."""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock, Timer
from typing import Any

from greenroom.adapters.journals.store import SAFE
from greenroom.errors import JournalCorrupt, JournalMissing, JournalNewer, JournalUnusable, UsageError

try:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict
except ImportError as missing:
    raise UsageError(
        f"the journal `postgres` needs psycopg, which cannot be imported: {missing}",
        hint="`pip install 'greenroom[postgres]'`",
    ) from missing

FORMAT = 1

CONNECT_WITHIN, LOCK_WITHIN, STATEMENT_WITHIN, CALL_WITHIN = 3, 2, 3, 4.5
"""Seconds. All of a call together is less than half a lease."""

_SCHEMA = """
CREATE TABLE greenroom.meta (name text PRIMARY KEY, value text NOT NULL);
CREATE TABLE greenroom.entries (
    service text NOT NULL,
    seq bigint NOT NULL,
    time timestamptz NOT NULL,      -- for people; `at` is the same, in seconds since 1970
    at double precision NOT NULL,
    epoch bigint NOT NULL,          -- of the lease under which it was written, 0 for none
    release text NOT NULL,
    kind text NOT NULL,
    body text NOT NULL,             -- the record, as JSON
    PRIMARY KEY (service, seq)
);
CREATE TABLE greenroom.lease (
    service text PRIMARY KEY,
    epoch bigint NOT NULL,
    owner text,                     -- JSON; NULL once it was given back
    why text NOT NULL,
    since double precision NOT NULL,
    renewed double precision NOT NULL,
    expires double precision NOT NULL
);
CREATE FUNCTION greenroom.refuse() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'entries never change and are never deleted'; END $$;
CREATE TRIGGER entries_stay BEFORE UPDATE OR DELETE ON greenroom.entries
    FOR EACH ROW EXECUTE FUNCTION greenroom.refuse();
CREATE TRIGGER entries_last BEFORE TRUNCATE ON greenroom.entries
    FOR EACH STATEMENT EXECUTE FUNCTION greenroom.refuse();
"""

_MAKING = 7_233_910_027
"""The advisory lock of who makes the schema."""

_BEGIN = f"""
BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL statement_timeout = '{STATEMENT_WITHIN}s';
SET LOCAL lock_timeout = '{LOCK_WITHIN}s';
SET LOCAL idle_in_transaction_session_timeout = '{CALL_WITHIN * 2:g}s';
SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') IN ('off', 'local')
"""
"""Set for each transaction, not for the session: behind a pool, the next one may be another session."""

_UNMADE = {"3F000", "42P01"}
_REFUSED = {"28000", "28P01", "42501"}
_HELD = {"55P03", "40001", "40P01"}
_DAMAGED = {"XX001", "XX002", "42703"}


class Address:
    """Where it is. `str()` of it is for people: without the password."""

    def __init__(self, url: str) -> None:
        given = _parsed(url)
        self._secrets = [str(given[name]) for name in ("password", "sslpassword") if given.get(name)]
        host = given.get("host") or given.get("hostaddr") or os.environ.get("PGHOST") or "the local socket"
        port, user = given.get("port") or os.environ.get("PGPORT"), given.get("user") or os.environ.get("PGUSER")
        name = given.get("dbname") or os.environ.get("PGDATABASE") or user
        self._shown = f"database {name} at {host}{f':{port}' if port else ''}{f' as {user}' if user else ''}"
        usual = {"application_name": "greenroom", "target_session_attrs": "read-write"}
        self.parameters: Mapping[str, Any] = {
            **usual,
            **given,
            "connect_timeout": CONNECT_WITHIN,
            "tcp_user_timeout": int(CALL_WITHIN * 1000),
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 2,
        }

    def __str__(self) -> str:
        return self._shown

    def said(self, error: BaseException) -> str:
        """What libpq or the server says, on one line, without secrets."""
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        text = first.rpartition(" failed: ")[2].removeprefix("FATAL:").strip()
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return text.rstrip(".")


def _parsed(url: str) -> Mapping[str, Any]:
    """A password that is not written as it must be would be taken for a part of something else, and shown with it."""
    with contextlib.suppress(psycopg.Error):  # its text may hold parts of a password
        given = conninfo_to_dict(url)
        ports = str(given.get("port") or "0").split(",")
        if (
            all(port.isdecimal() or not port for port in ports)
            and "@" not in f"{given.get('host')}{given.get('dbname')}"
        ):
            return given
    raise UsageError(
        "journal.url is no address of a PostgreSQL database",
        hint="write it like postgresql://user:password@host:5432/database; in the password %40 for @, %2F for /, %25 for %",
    )


class Link:
    """One connection, made when it is needed and made again when it was lost. Safe for threads, one at a time.

    `patience`: seconds that a transaction may take.
    """

    def __init__(self, address: Address, patience: float = CALL_WITHIN) -> None:
        self._address, self._patience, self._lock = address, patience, Lock()
        self._connection: psycopg.Connection[Any] | None = None

    def close(self) -> None:
        with self._lock:
            self._drop()

    @contextmanager
    def transaction(self) -> Iterator[psycopg.Connection[Any]]:
        """Everything in it is written, durably, or nothing. Raises `JournalUnusable` in its several kinds.

        If the connection is lost while it is committed, either may be so: read before you repeat it.
        """
        with self._lock:
            watch = _Watch(self._patience)
            try:
                connection = self._connected()
                with watch.over(connection):
                    connection.execute(_BEGIN)
                    yield connection
                    connection.execute("COMMIT")
            except (psycopg.Error, OSError) as error:
                raise unusable(self._address, error, late=watch.barked) from error
            finally:
                self._settle()

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is not None and _stale(self._connection):
            self._drop()
        if self._connection is None:
            self._connection = psycopg.connect(autocommit=True, prepare_threshold=None, **self._address.parameters)
        return self._connection

    def _settle(self) -> None:
        """A transaction that was not committed is undone; a connection that cannot say so is given up."""
        connection = self._connection
        if connection is None:
            return
        if not connection.closed and connection.info.transaction_status is not psycopg.pq.TransactionStatus.IDLE:
            with contextlib.suppress(psycopg.Error, OSError), _Watch(self._patience).over(connection):
                connection.execute("ROLLBACK")
        if connection.closed or connection.info.transaction_status is not psycopg.pq.TransactionStatus.IDLE:
            self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error, OSError):
                connection.close()


class _Watch:
    """Cuts a connection whose server says nothing any more: libpq waits for an answer without end."""

    def __init__(self, patience: float) -> None:
        self._patience, self.barked = patience, False

    @contextmanager
    def over(self, connection: psycopg.Connection[Any]) -> Iterator[None]:
        with socket.socket(fileno=os.dup(connection.fileno())) as line:
            timer = Timer(self._patience, self._bark, (line,))
            timer.daemon = True
            timer.start()
            try:
                yield
            finally:
                timer.cancel()

    def _bark(self, line: socket.socket) -> None:
        self.barked = True
        with contextlib.suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)


def _stale(connection: psycopg.Connection[Any]) -> bool:
    """Lost, or told something while nothing was asked: the server is shutting down, or gone."""
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def make(link: Link, address: Address, service: str, clock: str) -> None:
    """The schema, and this service's place in it: whole or not at all; nothing where they are there."""
    with link.transaction() as db:
        db.execute("SELECT pg_advisory_xact_lock(%s)", [_MAKING])
        if db.execute("SELECT to_regclass('greenroom.meta')").fetchall() == [(None,)]:
            [(encoding,)] = db.execute("SELECT current_setting('server_encoding')").fetchall()
            if encoding != "UTF8":
                raise JournalUnusable(
                    f"The {address} cannot hold a journal: its encoding is {encoding}.",
                    hint="Make one with UTF8: createdb --encoding UTF8 --template template0",
                )
            if not db.execute("SELECT 1 FROM pg_namespace WHERE nspname = 'greenroom'").fetchall():
                db.execute("CREATE SCHEMA greenroom")
            db.execute(_SCHEMA)
            db.execute("INSERT INTO greenroom.meta VALUES ('format', %s)", [str(FORMAT)])
        check(db, address)
        # Epochs begin at the second in which the journal was made: one that replaces a lost one is not taken for the past.
        db.execute(
            f"INSERT INTO greenroom.lease SELECT %s, extract(epoch FROM {clock})::bigint, NULL, '', 0, 0, 0"
            " ON CONFLICT DO NOTHING",
            [service],
        )


def check(db: psycopg.Connection[Any], address: Address) -> None:
    found = dict(db.execute("SELECT name, value FROM greenroom.meta").fetchall()).get("format", "")
    if not found.isdecimal():
        raise damaged(address, "the schema greenroom names no format")
    if int(found) > FORMAT:
        raise JournalNewer(
            f"The journal in the {address} has format {found}, of a newer Greenroom; this one knows {FORMAT}.",
            hint=f"{SAFE} Use the Greenroom that wrote it, or a newer one.",
        )


def unusable(address: Address, error: Exception, *, late: bool = False) -> JournalUnusable:
    """What PostgreSQL's or the system's error means for this journal, and the way out."""
    state, said = getattr(error, "sqlstate", None) or "", address.said(error)
    if state in _UNMADE:
        return missing_in(address)
    if state in _DAMAGED:
        return damaged(address, said)
    if late or state == "57014":
        problem, way = (
            "did not answer in time",
            "See whether the server hangs or is overloaded; the next try asks anew.",
        )
    elif state in _HELD:
        problem = f"is held by another session: {said}"
        way = "One that hangs loses it after some seconds; `SELECT * FROM pg_stat_activity` shows who it is."
    elif state in _REFUSED:
        problem, way = (
            f"does not let us in: {said}",
            "See user, password and rights: the user needs a schema greenroom.",
        )
    elif state == "53100":
        problem, way = "cannot be written: its disk is full", "Free some space there; nothing else is needed."
    elif state == "25006":
        problem, way = f"cannot be written: {said}", "It is a copy, or set read-only: name the primary in journal.url."
    elif not state and "FATAL:" in str(error):
        problem, way = f"refuses us: {said}", "User, password, database and the server's pg_hba.conf decide that."
    elif not state or state.startswith(("08", "57P")):
        problem, way = f"cannot be reached: {said}", "See that the server runs there; the next try connects anew."
    else:
        problem, way = f"cannot be used: {said}", "See what the server's log says."
    return JournalUnusable(f"The journal in the {address} {problem}.", hint=f"{SAFE} {way}")


def missing_in(address: Address, service: str = "") -> JournalMissing:
    whose = f" of {service}" if service else ""
    return JournalMissing(f"There is no journal{whose} in the {address}: nothing was ever recorded here.")


def damaged(address: Address, detail: str) -> JournalCorrupt:
    return JournalCorrupt(
        f"The journal in the {address} is damaged, or not a journal: {detail.rstrip('.')}.",
        hint=f"{SAFE} Put it aside to begin a new one: ALTER SCHEMA greenroom RENAME TO greenroom_broken",
    )
