"""The server on which shadows are made: databases of ours there come, are found again, and go.

Every name that we make carries a digest of itself, so that a database that only looks like ours is never dropped. A run
holds an advisory lock as long as its session lives: the server itself says whose shadows are left over. Templates are
kept for the next run, some of them.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

from greenroom.adapters.database.postgres_errors import said, unreachable
from greenroom.errors import Permanent, PortError, Temporary, Uncertain, UsageError

try:
    import psycopg
    from psycopg import sql
    from psycopg.conninfo import conninfo_to_dict
except ImportError as missing:
    raise UsageError(
        f"the rehearsal of migrations needs psycopg, which cannot be imported: {missing}",
        hint="`pip install 'greenroom[database]'`",
    ) from missing

Connection = psycopg.Connection[Any]

ROLE = "greenroom_shadow"
"""Rehearses where the address is a superuser's: it owns its shadows and may do nothing else."""

_PREFIX = "greenroom_shadow_"
_RUN, _TEMPLATE = f"{_PREFIX}run_", f"{_PREFIX}of_"
_OPTIONS = {
    # Far from UTC, where a change from timestamp to timestamptz needs no rewrite that it needs everywhere else.
    "timezone": "Pacific/Chatham",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "60s",
    "client_min_messages": "error",
    "synchronous_commit": "off",
    "jit": "off",
    "default_transaction_read_only": "off",
}


_LOADED_WITHIN = 60.0
"""Seconds for each statement of a schema: nothing is big in it, but a materialized view may think long."""


class Vanished(Exception):
    """A template was dropped by another run, to make room."""


class Server:
    """One connection to it, of one thread, and the shadows of this run. `place`: for people, without a password.

    `templates`: so many are kept, the last used ones. Raises `Temporary` or `Permanent`, with the way out.
    """

    def __init__(self, url: str, templates: int = 8) -> None:
        given, self._kept = _parsed(url), templates
        self._secrets = tuple(str(given[name]) for name in ("password", "sslpassword") if given.get(name))
        host = given.get("host") or given.get("hostaddr") or os.environ.get("PGHOST") or "the local socket"
        port, user = given.get("port") or os.environ.get("PGPORT"), given.get("user") or os.environ.get("PGUSER")
        self.place = f"shadow server at {host}{f':{port}' if port else ''}{f' as {user}' if user else ''}"
        self._parameters: Mapping[str, Any] = {
            "dbname": "postgres",
            **given,
            "client_encoding": "UTF8",
            "connect_timeout": 3,
        }
        self.version, self.role, self._me = 0, "", ""
        self._token, self._count = secrets.token_hex(8), 0
        self._db = self._connect({}, "greenroom shadows")
        try:
            with self.said():
                self._begin()
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        with contextlib.suppress(psycopg.Error, OSError):
            self._db.close()

    def _begin(self) -> None:
        [(self.version, superuser, may, me)] = self._db.execute(
            "SELECT current_setting('server_version_num')::int / 10000, rolsuper, rolcreatedb, rolname::text"
            " FROM pg_roles WHERE rolname = current_user"
        ).fetchall()
        [(number,)] = self._db.execute("SELECT pg_backend_pid()").fetchall()
        if number != self._db.info.backend_pid:
            raise Permanent(
                f"The {self.place} is reached through a pool of connections, which hides whose session is whose.",
                hint="Name the server itself, with its own port.",
            )
        if not superuser and not may:
            raise Permanent(
                f"The {self.place} does not let {me} make databases.",
                hint=f"On that server, as an administrator: ALTER ROLE {me} CREATEDB.",
            )
        self.role, self._me = ROLE if superuser else "", me
        if superuser:
            self._make_role()
        self._db.execute("SELECT pg_advisory_lock(%s)", [_key(self._token)])
        self._sweep()

    def _make_role(self) -> None:
        if not self._db.execute("SELECT FROM pg_roles WHERE rolname = %s", [ROLE]).fetchall():
            with contextlib.suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
                self._db.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(ROLE)))

    # --- databases --------------------------------------------------------------------------------------------

    def create(self, template: str) -> str:
        """A database of this run, as the template is; its name. Raises `Vanished` if there is no such template."""
        self._count += 1
        name = _sealed(f"{_RUN}{self._token}_{self._count}")
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}").format(
            sql.Identifier(name), sql.Identifier(template), sql.Identifier(self.role or self._me)
        )
        with self.said():
            try:
                self._db.execute(statement)
            except psycopg.errors.InvalidCatalogName:
                raise Vanished(template) from None
        return name

    def drop(self, name: str) -> None:
        force = " WITH (FORCE)" if self.version >= 13 else ""
        with self.said():
            self._db.execute(sql.SQL("DROP DATABASE IF EXISTS {}" + force).format(sql.Identifier(name)))

    def template(self, fingerprint: str, load: Callable[[Connection], None]) -> str:
        """The database of this fingerprint, of an owner who lets us copy it; made by `load` where it is missing."""
        name = _sealed(f"{_TEMPLATE}{sha256(f'{fingerprint} {self.role or self._me}'.encode()).hexdigest()[:16]}")
        with self.said():
            if self._touched(name):
                return name
        made = self.create("template0")
        try:
            with self.session(made, _LOADED_WITHIN) as db, self.said():
                load(db)
            with self.said():
                self._keep(made, name)
        except BaseException:
            with contextlib.suppress(PortError):
                self.drop(made)
            raise
        return name

    def _keep(self, made: str, name: str) -> None:
        """Another run may have been faster: then its template is as good."""
        self._db.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(made)))
        try:
            self._db.execute(
                sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(made), sql.Identifier(name))
            )
        except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
            self.drop(made)
        self._touched(name)
        for old in self._templates()[self._kept :]:
            with contextlib.suppress(psycopg.Error, PortError):
                self.drop(old)

    def _touched(self, name: str) -> bool:
        """Whether it is there; when it was used last stands in its comment, to the hour."""
        rows = self._db.execute(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s", [name]
        ).fetchall()
        used = (
            f"Greenroom: the schema of a database, to rehearse migrations; used {int(time.time()) // 3600} h since 1970"
        )
        if rows and rows[0][0] != used:
            with contextlib.suppress(psycopg.Error):
                self._db.execute(
                    sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), sql.Literal(used))
                )
        return bool(rows)

    def _templates(self) -> list[str]:
        """The last used first."""
        rows = self._db.execute(
            "SELECT datname::text FROM pg_database WHERE starts_with(datname, %s) AND pg_get_userbyid(datdba) = %s"
            " ORDER BY shobj_description(oid, 'pg_database') DESC NULLS LAST, oid DESC",
            [_TEMPLATE, self.role or self._me],
        ).fetchall()
        return [name for (name,) in rows if _is_ours(name)]

    def _sweep(self) -> None:
        """Shadows of runs whose session is gone. Whoever has just taken one of them from under us is welcome."""
        rows = self._db.execute(
            "SELECT datname::text FROM pg_database WHERE starts_with(datname, %s) AND pg_has_role(datdba, 'USAGE')",
            [_RUN],
        ).fetchall()
        alive = {
            key
            for (key,) in self._db.execute(
                "SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1"
            ).fetchall()
        }
        for (name,) in rows:
            token = name.removeprefix(_RUN).partition("_")[0]
            if _is_ours(name) and _key(token) not in alive:
                with contextlib.suppress(psycopg.Error, PortError):
                    self.drop(name)

    # --- sessions ---------------------------------------------------------------------------------------------

    @contextmanager
    def session(self, name: str, patience: float = 0.0) -> Iterator[Connection]:
        """Of whoever rehearses, in a shadow. `patience`: seconds that a statement may take, 0: as long as it likes."""
        options = {**_OPTIONS, "statement_timeout": str(round(patience * 1000))}
        db = self._connect({"dbname": name}, "greenroom rehearsal", options)
        try:
            if self.role:
                db.execute(sql.SQL("SET SESSION AUTHORIZATION {}").format(sql.Identifier(self.role)))
            yield db
        finally:
            db.close()

    def end(self, pid: int) -> None:
        """Of a session of ours that hangs."""
        with contextlib.suppress(psycopg.Error):
            self._db.execute("SELECT pg_terminate_backend(%s)", [pid])

    def _connect(self, more: Mapping[str, Any], name: str, options: Mapping[str, str] | None = None) -> Connection:
        given = {**self._parameters, **more, "application_name": name}
        settings = " ".join(f"-c {key}={value}" for key, value in (options or {}).items())
        given["options"] = f"{given.get('options') or ''} {settings}".strip()
        try:
            return psycopg.connect(autocommit=True, prepare_threshold=None, **given)
        except (psycopg.Error, OSError) as error:
            raise _of_the_shadow(unreachable(self.place, error, self._secrets)) from None

    @contextmanager
    def said(self) -> Iterator[None]:
        """The server's errors in our words."""
        try:
            yield
        except psycopg.errors.InsufficientPrivilege as error:
            raise Permanent(
                f"The {self.place} refuses: {said(error, self._secrets)}.",
                hint="The role must be allowed to make databases there (CREATEDB).",
            ) from None
        except psycopg.errors.ReadOnlySqlTransaction as error:
            raise Permanent(
                f"The {self.place} is a standby or read-only: {said(error, self._secrets)}.",
                hint="Name a server for the shadow that can be written; a small one of its own is best.",
            ) from None
        except psycopg.errors.DiskFull as error:
            raise Temporary(
                f"The {self.place} has no room: {said(error, self._secrets)}.", hint="Free some space on its disk."
            ) from None
        except (psycopg.Error, OSError) as error:
            raise Temporary(
                f"The {self.place} failed: {said(error, self._secrets)}.", hint="See that the server runs; try again."
            ) from None


def _of_the_shadow(error: PortError) -> PortError:
    """The address that is wrong is the shadow's, not the one of the database that is migrated."""
    hint = error.hint.replace("migrations.url", "the address of the shadow server")
    match error:
        case Temporary():
            return Temporary(error.message, retry_after=error.retry_after, hint=hint)
        case Uncertain():
            return Uncertain(error.message, hint=hint)
    return Permanent(error.message, hint=hint)


def _sealed(name: str) -> str:
    return f"{name}_{sha256(f'greenroom {name}'.encode()).hexdigest()[:8]}"


def _is_ours(name: str) -> bool:
    return name == _sealed(name.rpartition("_")[0])


def _key(token: str) -> int:
    """Of the advisory lock: 8 bytes with a sign."""
    return int.from_bytes(bytes.fromhex(token), signed=True)


def _parsed(url: str) -> Mapping[str, Any]:
    """A password that is not written as it must be would be taken for a part of something else, and shown with it."""
    with contextlib.suppress(psycopg.Error):  # its text may hold parts of a password
        given = conninfo_to_dict(url)
        if "@" not in f"{given.get('host')}{given.get('dbname')}":
            return given
    raise UsageError(
        "the address of the shadow server is none of a PostgreSQL server",
        hint="write it like postgresql://user:password@host:5432/postgres; in a password %40 stands for @, %2F for /",
    )
