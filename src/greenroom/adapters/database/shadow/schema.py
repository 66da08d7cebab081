"""The schema that a shadow gets: from a file, or from the target database by `pg_dump`; and how it gets into one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from greenroom.adapters.database.postgres_errors import said
from greenroom.adapters.database.reading import Statement, split
from greenroom.adapters.database.schemas import USUAL, SearchPath, of_session, of_statements
from greenroom.adapters.database.target import Session
from greenroom.domain.schema import Dialect
from greenroom.errors import Permanent, Temporary, UsageError

Connection = psycopg.Connection[Any]

GIVE_ONE = "give the schema as a file: pg_dump --schema-only --no-owner DATABASE > schema.sql, then --schema schema.sql"
DUMP_WITHIN = 60.0
_FORMAT = "2"
"""Another one where a template of an older Greenroom would not do."""

_DUMPED_FROM = re.compile(r"^-- Dumped from database version (\d+)", re.MULTILINE)
_META = re.compile(r"^\\(?:restrict|unrestrict|connect|encoding|set|echo|pset|timing|c)\b[^\n]*$", re.MULTILINE)
_DATA = re.compile(r"^COPY [^\n;]+ FROM stdin;", re.MULTILINE | re.IGNORECASE)
_SETS = re.compile(r"\bSET\s+(?:SESSION\s+)?search_path\b|'search_path'\s*,\s*'[^']", re.IGNORECASE)
_NOT_OURS = re.compile(
    r"(?:ALTER\b.*\bOWNER\s+TO\s+\S+|(?:CREATE|ALTER|DROP)\s+(?:DATABASE|ROLE|USER(?!\s+MAPPING)|TABLESPACE|SUBSCRIPTION)\b.*"
    r"|SET\s+(?:SESSION\s+AUTHORIZATION|ROLE)\b.*|COMMENT\s+ON\s+(?:DATABASE|EXTENSION|ROLE)\b.*)",
    re.IGNORECASE | re.DOTALL,
)
"""What belongs to the server or to its roles; the shadow has its own owner."""

_MAY_FAIL = re.compile(
    r"(?:SET|GRANT|REVOKE|ALTER\s+DEFAULT\s+PRIVILEGES|COMMENT|SECURITY\s+LABEL|CREATE\s+SCHEMA\s+public"
    r"|CREATE\s+EXTENSION\s+IF\s+NOT\s+EXISTS\s+\"?plpgsql)\b",
    re.IGNORECASE,
)
_SUPERUSER = re.compile(
    r"CREATE\s+(?:EXTENSION|EVENT\s+TRIGGER|(?:OR\s+REPLACE\s+)?(?:TRUSTED\s+)?(?:PROCEDURAL\s+)?LANGUAGE|CAST"
    r"|FOREIGN\s+DATA\s+WRAPPER|PUBLICATION|OPERATOR\s+(?:CLASS|FAMILY))\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Source:
    """`text`: SQL that makes the schema. `version`: the major one that it comes from, 0 if not known.

    `path`: of the sessions that migrate. `name`: for people.
    """

    text: str = ""
    version: int = 0
    path: SearchPath = USUAL
    name: str = "the schema"

    def fingerprint(self, server: int) -> str:
        parts = "\0".join((_FORMAT, str(server), self.text))
        return sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()


def of_text(text: str, name: str) -> Source:
    """A file that `pg_dump --schema-only` wrote, or one written by hand."""
    if found := _DATA.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise UsageError(
            f"{name}:{line}: the file holds data, and a shadow has none", hint="write it by pg_dump --schema-only"
        )
    told = _DUMPED_FROM.search(text)
    text = _META.sub("", text)
    path = of_statements(split(text, Dialect.POSTGRES, name)) if _SETS.search(text) else USUAL
    return Source(text, int(told[1]) if told else 0, path, name)


def of_target(url: str, session: Session, place: str, programs: Iterable[Path] | None = None) -> Source:
    """Of the database itself, by `pg_dump` on this machine. `session`: one of it. Locks nothing that users need.

    `programs`: where a pg_dump may be; None: wherever this machine has one.
    """
    [(version,)] = session.rows("SELECT current_setting('server_version_num')::int / 10000")
    found = program(version, place, _programs() if programs is None else programs)
    given = {name: str(value) for name, value in conninfo_to_dict(url).items() if value is not None}
    password = given.pop("password", None)
    if "sslpassword" in given:
        raise UsageError("migrations.url: pg_dump takes no sslpassword from us", hint=GIVE_ONE)
    given["application_name"] = "greenroom schema"
    command = [found, "--schema-only", "--no-owner", "--exclude-schema=greenroom", "--lock-wait-timeout=2000"]
    environment = {**os.environ, "PGCONNECT_TIMEOUT": "3", "LC_MESSAGES": "C"}
    if password is not None:
        environment["PGPASSWORD"] = password
    text = _dumped([*command, f"--dbname={make_conninfo(**given)}"], environment, place, password)
    return Source(_META.sub("", text), version, of_session(session), f"the schema of the {place}")


def _dumped(command: Sequence[str], environment: Mapping[str, str], place: str, password: str | None) -> str:
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, stdin=subprocess.DEVNULL, timeout=DUMP_WITHIN, check=False
        )
    except subprocess.TimeoutExpired:
        raise Temporary(
            f"pg_dump did not end within {DUMP_WITHIN:.0f} s for the {place}.", hint=f"Or {GIVE_ONE}."
        ) from None
    except OSError as error:
        raise Permanent(f"pg_dump cannot be run: {error.strerror}.", hint=f"Or {GIVE_ONE}.") from None
    if done.returncode:
        lines = [line for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
        text = (lines[0] if lines else f"exit code {done.returncode}").removeprefix("pg_dump: ").removeprefix("error: ")
        text = text.replace(password, "…") if password else text
        hint = f"The role in migrations.url must be able to read every table (pg_read_all_data); or {GIVE_ONE}."
        raise Permanent(f"pg_dump cannot read the schema of the {place}: {text.rstrip('.')}.", hint=hint)
    return done.stdout.decode("utf-8", "surrogateescape")


def _programs() -> list[Path]:
    """Every pg_dump of this machine."""
    found = [Path(path) for path in (shutil.which("pg_dump"),) if path]
    return [*Path("/usr/lib/postgresql").glob("*/bin/pg_dump"), *found]


def program(version: int, place: str, known: Iterable[Path]) -> str:
    """The one of the server's own version, else the next newer one: an older one refuses."""
    versions: dict[int, str] = {}
    for path in known:
        told = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
        if number := re.search(r"(\d+)(?:\.\d+)*", told):
            versions.setdefault(int(number[1]), str(path))
    fitting = sorted(number for number in versions if number >= version)
    if fitting:
        return versions[fitting[0]]
    there = f"only pg_dump {max(versions)}" if versions else "no pg_dump"
    raise Permanent(
        f"The {place} is PostgreSQL {version}, and this machine has {there}: its schema cannot be read.",
        hint=f"Install postgresql-client-{version}, or {GIVE_ONE}.",
    )


def load(db: Connection, source: Source, role: str) -> None:
    """Into an empty database, whole or not at all. `role`: who owns it, where the session is a superuser's; else ""."""
    statements = split(source.text, Dialect.POSTGRES, source.name)
    with db.transaction():
        db.execute("SELECT set_config('search_path', 'public', true)")
        for statement in statements:
            if not _NOT_OURS.fullmatch(statement.sql):
                _load(db, statement, role)


def _load(db: Connection, statement: Statement, role: str) -> None:
    """One whose failure changes nothing is tried; what a lesser role may not do is done by the superuser, if any."""
    text = statement.sql.encode("utf-8", "surrogateescape")
    if not _MAY_FAIL.match(statement.sql) and not _SUPERUSER.match(statement.sql):
        _run(db, statement, text)
        return
    try:
        with db.transaction():
            db.execute(text, binary=True)
    except psycopg.Error as error:
        if _MAY_FAIL.match(statement.sql):
            return
        if not role or not isinstance(error, psycopg.errors.InsufficientPrivilege):
            raise _failed(statement, error) from None
        db.execute("RESET SESSION AUTHORIZATION")
        _run(db, statement, text)
        db.execute(sql.SQL("SET SESSION AUTHORIZATION {}").format(sql.Identifier(role)))


def _run(db: Connection, statement: Statement, text: bytes) -> None:
    try:
        db.execute(text, binary=True)
    except psycopg.Error as error:
        raise _failed(statement, error) from None


def _failed(statement: Statement, error: psycopg.Error) -> Permanent:
    position = int(error.diag.statement_position or 1)
    text = said(error)
    hint = "The file must make the whole schema in an empty database, as pg_dump --schema-only writes it."
    if "extension" in text and "not available" in text:
        hint = (
            "Install that extension's package on the shadow server; nothing of it is used but its types and functions."
        )
    elif "role" in text and "does not exist" in text:
        hint = "On the shadow server: CREATE ROLE … NOLOGIN."
    elif error.sqlstate == "42501":
        hint = (
            "Name a superuser for the shadow server: this schema needs one; migrations are rehearsed by a lesser role."
        )
    return Permanent(f"The shadow cannot be made, {statement.place(position - 1)}: {text}.", hint=hint)
