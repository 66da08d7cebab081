"""What a change does to those who use a MariaDB or a SQLite database meanwhile, observed on the real thing.

MariaDB says itself whether it can change a table while others write: it is asked for that, and what it refuses is counted
as blocking. SQLite has one writer at a time: what takes longer on more rows keeps all others out for so long.
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pymysql

from greenroom.domain.schema import Dialect, Stage
from tests.database.corpus.cases import Case, application, base
from tests.database.in_step import InStep
from tests.rigs.mariadb import Server

Hazards = dict[str, set[str]]
Ask = Callable[[str], Any]
_ONLINE = (1845, 1846)
"""The server's numbers for: not by this algorithm, not under this lock."""
_CHANGES = re.compile(r"(ALTER TABLE|CREATE (UNIQUE )?INDEX \w+ ON|DROP INDEX \w+ ON) `?(\w+)", re.IGNORECASE)


class Use:
    """A version at work on one connection. Each statement is taken back."""

    def __init__(self, case: Case, ask: Ask, back: Callable[[], None]) -> None:
        self.statements = {**application(case.dialect).serving(case.stage), **case.old}
        self.guards = application(case.dialect).guards if case.stage is not Stage.CONTRACT else {}
        self.ask, self.back = ask, back

    def round(self) -> dict[str, Any]:
        """By statement: what it answered, or its error."""
        found = {}
        for name, sql in self.statements.items():
            try:
                found[name] = sorted(self.ask(sql), key=repr)
            except (pymysql.Error, sqlite3.Error) as error:
                found[name] = error
            self.back()
        return found

    def unguarded(self) -> set[str]:
        passed = set()
        for name, sql in self.guards.items():
            try:
                self.ask(sql)
                passed.add(name)
            except (pymysql.IntegrityError, sqlite3.IntegrityError):
                pass
            except (pymysql.Error, sqlite3.Error):
                pass  # `breaks` has it
            self.back()
        return passed


def compare(before: Mapping[str, Any], after: Mapping[str, Any], hazards: Hazards) -> None:
    for name, was in before.items():
        assert not isinstance(was, Exception), f"{name} fails before the change: {was}"
        if isinstance(after[name], Exception):
            hazards["breaks"].add(name)
        elif after[name] != was:
            hazards["answers"].add(name)


def losses(before: Mapping[str, Counter[str]], after: Mapping[str, Counter[str]], case: Case) -> set[str]:
    """Columns (`table.column`) whose values are gone; a contract takes the ones that it names."""
    new = [values for name, values in after.items() if name not in before]
    lost = {
        name
        for name, values in before.items()
        if not (values <= after[name] if name in after else any(values <= found for found in new))
    }
    text = " ".join(case.sql).replace("`", "").replace("IF EXISTS ", "")
    named = {
        name
        for name in lost
        if f"DROP COLUMN {name.partition('.')[2]}" in text or f"DROP TABLE {name.partition('.')[0]}" in text
    }
    return lost - named if case.stage is Stage.CONTRACT else lost


def on_mariadb(server: Server, case: Case) -> dict[str, tuple[str, ...]]:
    name = server.database()
    hazards: Hazards = defaultdict(set)
    with server.connect(name) as mover, server.connect(name) as user, server.connect(name) as fresh:
        for statement in [*base(Dialect.MYSQL).split(";\n"), *case.schema, *case.applied]:
            if statement.strip():
                _ask(mover, statement)
        for connection in (user, fresh):
            connection.autocommit(False)
        _ask(mover, "SET SESSION lock_wait_timeout = 7, max_statement_time = 60")
        was, values, tables = _settings(mover), _values(mover), _tables(mover)
        used = Use(case, lambda sql: _ask(user, sql), user.rollback)
        before = used.round()
        added = _added(case, [f"{table}.{column}" for table in tables for column in _columns(mover, table)])
        step = InStep(case, used.statements, added, lambda sql: _ask(mover, sql), pymysql.Error)
        try:
            for number, sql in enumerate(case.sql):
                if number:
                    compare(before, used.round(), hazards)
                _carry(mover, sql, tables, case.stage, hazards)
                if _settings(mover) != was:
                    hazards["session"].add("changes settings")
        except pymysql.Error as error:
            hazards["fails"].add(str(error.args[0]))
        _ask(mover, "ROLLBACK")
        _ask(mover, f"USE {name}")
        hazards["loses"] |= losses(values, _values(mover), case)
        hazards.pop("answers", None)
        for one in (used, Use(case, lambda sql: _ask(fresh, sql), fresh.rollback)):
            compare(before, one.round(), hazards)
        hazards["unguards"] |= used.unguarded()
        hazards["stale"] |= step.stale()
    server.drop(name)
    return {kind: tuple(sorted(found)) for kind, found in sorted(hazards.items()) if found}


def _carry(mover: pymysql.Connection[Any], sql: str, tables: Mapping[str, int], stage: Stage, hazards: Hazards) -> None:
    found = _CHANGES.match(sql)
    if found and tables.get(found.group(3)):
        comma = "," if sql.upper().startswith("ALTER") else ""
        try:
            _ask(mover, f"{sql}{comma} ALGORITHM=INPLACE{comma} LOCK=NONE")
            return
        except pymysql.Error as error:
            if error.args[0] not in _ONLINE:
                raise
            hazards["blocks_writers"].add(found.group(3))
    with mover.cursor() as cursor:
        changed = cursor.execute(sql)
    table = re.match(r"(?:UPDATE|DELETE FROM|INSERT INTO \w+ SELECT .* FROM) `?(\w+)", sql, re.IGNORECASE)
    if table and stage is not Stage.BACKFILL and changed * 2 >= tables.get(table.group(1), 0) > 0:
        hazards["blocks_writers"].add(table.group(1))


def _ask(connection: pymysql.Connection[Any], sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def _settings(mover: pymysql.Connection[Any]) -> Any:
    return _ask(
        mover,
        "SELECT @@lock_wait_timeout, @@max_statement_time, @@sql_mode, @@foreign_key_checks, @@autocommit, @@in_transaction,"
        " database()",
    )


def _tables(mover: pymysql.Connection[Any]) -> dict[str, int]:
    names = [row[0] for row in _ask(mover, "SHOW FULL TABLES WHERE Table_type = 'BASE TABLE'")]
    return {name: _ask(mover, f"SELECT count(*) FROM `{name}`")[0][0] for name in names}


def _values(mover: pymysql.Connection[Any]) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for table in _tables(mover):
        columns = _columns(mover, table)
        rows = _ask(mover, f"SELECT * FROM `{table}`")
        for place, column in enumerate(columns):
            found[f"{table}.{column}"] = Counter(str(row[place]) for row in rows if row[place] is not None)
    return found


def _columns(mover: pymysql.Connection[Any], table: str) -> list[str]:
    return [row[0] for row in _ask(mover, f"SHOW COLUMNS FROM `{table}`")]


def _added(case: Case, columns: Sequence[str]) -> dict[str, list[str]]:
    """Of these `table.column`, those that the base does not name."""
    known = set(re.findall(r"\w+", base(case.dialect)))
    found: dict[str, list[str]] = defaultdict(list)
    for table, _, column in (name.partition(".") for name in columns):
        if column not in known:
            found[table].append(column)
    return found


def on_sqlite(folder: Path, case: Case) -> dict[str, tuple[str, ...]]:
    """Twice, on few rows and on ten times as many: what a statement does shows in the steps of SQLite's machine."""
    hazards: Hazards = defaultdict(set)
    few = _on_sqlite(folder / f"{case.name}-few.db", case, 200, hazards)
    many = _on_sqlite(folder / f"{case.name}-many.db", case, 2000, hazards)
    if any(more > 4 * max(less, 5) for less, more in zip(few, many, strict=True)) and case.stage is not Stage.BACKFILL:
        hazards["blocks_writers"].add("all")
    return {kind: tuple(sorted(found)) for kind, found in sorted(hazards.items()) if found}


def _on_sqlite(file: Path, case: Case, rows: int, hazards: Hazards) -> list[int]:
    mover = sqlite3.connect(file, isolation_level=None)
    for statement in [*base(Dialect.SQLITE).replace(":rows", str(rows)).split(";\n"), *case.schema, *case.applied]:
        mover.execute(statement)
    user, fresh = sqlite3.connect(file), sqlite3.connect(file)
    values, was = _contents(mover), _pragmas(mover)
    used = Use(case, lambda sql: user.execute(sql).fetchall(), user.rollback)
    before = used.round()
    step = InStep(
        case, used.statements, _added(case, [*values]), lambda sql: mover.execute(sql).fetchall(), sqlite3.Error
    )
    steps = [0]
    mover.set_progress_handler(lambda: steps.__setitem__(0, steps[0] + 1) or 0, 10)
    taken = []
    try:
        for number, sql in enumerate(case.sql):
            if number:
                compare(before, used.round(), hazards)
            steps[0] = 0
            mover.execute(sql)
            taken.append(steps[0])
            if mover.in_transaction or _pragmas(mover) != was:
                hazards["session"].add("changes settings")
                mover.rollback()
    except sqlite3.Error as error:
        hazards["fails"].add(type(error).__name__)
    mover.set_progress_handler(None, 0)
    hazards["loses"] |= losses(values, _contents(mover), case)
    hazards.pop("answers", None)
    for one in (used, Use(case, lambda sql: fresh.execute(sql).fetchall(), fresh.rollback)):
        compare(before, one.round(), hazards)
    hazards["unguards"] |= used.unguarded()
    hazards["stale"] |= step.stale()
    for connection in (mover, user, fresh):
        connection.close()
    return taken + [0] * (len(case.sql) - len(taken))


def _pragmas(mover: sqlite3.Connection) -> list[Any]:
    names = ("foreign_keys", "legacy_alter_table", "writable_schema", "journal_mode", "synchronous")
    return [mover.execute(f"PRAGMA {name}").fetchall() for name in names]


def _contents(mover: sqlite3.Connection) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    tables = mover.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    ).fetchall()
    for (table,) in tables:
        done = mover.execute(f'SELECT * FROM "{table}"')
        names = [column[0] for column in done.description]
        rows = done.fetchall()
        for place, column in enumerate(names):
            found[f"{table}.{column}"] = Counter(str(row[place]) for row in rows if row[place] is not None)
    return found
