"""The rehearsal on MySQL or MariaDB: would this server take the statement, and do it while users write?

Each run has a database of its own on the server, empty but for the schema, and dropped at the end. What a server can do
online it says of an empty table as of a full one. What it does beside that is not looked at: what nobody could read stays
refused.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Sequence

from greenroom.adapters.database.grammar import GRAMMARS
from greenroom.adapters.database.mysql.online import Way, forms
from greenroom.adapters.database.mysql.target import MysqlSession, MysqlTarget
from greenroom.adapters.database.reading import Statement, change, changes, split
from greenroom.adapters.database.shadow.facts import Facts, Failure
from greenroom.adapters.database.target import Broken
from greenroom.domain.schema import Dialect
from greenroom.errors import Permanent, PortError, UsageError

SEEN = "the server takes it; what it does is judged by reading"
_PREFIX = "greenroom_shadow_"
_OURS = "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE %s"
_STAYS = (change.Opaque, change.Session, change.Server, change.Privilege, change.Maintenance, change.Query)
"""What is never run here: it would be about more than the shadow, or nobody knows what it is about."""


class Shadow:
    """A server where databases may be made, by whoever the address names. Close it; of one thread."""

    def __init__(self, url: str, *, patience: float = 5.0) -> None:
        self._target = MysqlTarget(url)
        self.place = self._target.place.replace("database", "shadow server of the database", 1)
        self._session: MysqlSession = self._target.open("rehearsal", patience=4 * patience)
        self._patience, self._name = patience, ""

    def __enter__(self) -> Shadow:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with contextlib.suppress(PortError):
            self._drop(self._name)
        self._session.close()

    def rehearse(self, statements: Sequence[Statement], schema: str, applied: Sequence[Statement]) -> list[Facts]:
        """One for each statement, in order. After one that fails the others are not run. `UsageError` if a table of the
        schema, or one of `applied`, does not run.
        """
        self._make()
        for statement in filter(_about_the_shadow, split(schema, Dialect.MYSQL, "the schema")):
            failure = self._run(statement, online=False)
            if failure and statement.sql[:30].upper().split()[:2] == [
                "CREATE",
                "TABLE",
            ]:  # a view may need what is not told
                raise _unfounded(statement, failure)
        for statement in filter(_about_the_shadow, applied):
            if failure := self._run(statement, online=False):
                raise _unfounded(statement, failure)
        self._session.run("SET SESSION foreign_key_checks = 1")
        made = {
            one.table for each in applied for one in changes(each, Dialect.MYSQL) if isinstance(one, change.CreateTable)
        }
        found: list[Facts] = []
        why = ""
        for statement in statements:
            failure = None
            about = changes(statement, Dialect.MYSQL)
            made |= {one.table for one in about if isinstance(one, change.CreateTable)}
            if not why and _about_the_shadow(statement):
                # Nobody uses what the release itself makes: the server may copy it.
                failure = self._run(statement, online=not {getattr(one, "table", "") for one in about} <= made)
            found.append(Facts(statement.number, error=failure, skipped="" if failure else why or SEEN))
            if failure is not None:
                why = f"statement {statement.number}, in line {statement.line}, fails before it"
        return found

    def _run(self, statement: Statement, *, online: bool) -> Failure | None:
        ways = forms(statement.sql)
        plain = not online or ways[0].way is Way.PLAIN
        for sql in [statement.sql] if plain else [form.sql for form in ways]:
            try:
                with self._session.limits(lock_timeout=self._patience, statement_timeout=self._patience):
                    self._session.run(sql)
                return None
            except Broken as error:
                refused = error
        asked = "" if plain or ways[0].way is Way.ASKED else f" (asked for {' and '.join(form.way for form in ways)})"
        message = f"{refused.message}{asked}"
        return Failure(message, refused.code or "1", statement.line, statement.column, refused.hint)

    def _make(self) -> None:
        """Ours is known by the lock that its session holds; those that nobody holds are left over."""
        quote = GRAMMARS[Dialect.MYSQL].quote
        try:
            for (name,) in self._session.rows(_OURS, [f"{_PREFIX}%"]):
                if self._session.rows("SELECT IS_FREE_LOCK(%s)", [name]) == [(1,)]:
                    self._drop(str(name))
            self._drop(self._name)
            self._name = f"{_PREFIX}{secrets.token_hex(8)}"
            self._session.rows("SELECT GET_LOCK(%s, 0)", [self._name])
            self._session.run(f"CREATE DATABASE {quote(self._name)}")
            self._session.run(f"USE {quote(self._name)}")
            self._session.run("SET SESSION foreign_key_checks = 0")
        except Broken as error:
            raise Permanent(
                f"The {self.place} does not let us make databases: {error.message}.",
                hint=f"On that server: GRANT ALL ON `{_PREFIX}%`.* TO the user of the shadow's address.",
            ) from error

    def _drop(self, name: str) -> None:
        if name.startswith(_PREFIX):
            self._session.run(f"DROP DATABASE IF EXISTS {GRAMMARS[Dialect.MYSQL].quote(name)}")


def _about_the_shadow(statement: Statement) -> bool:
    found = changes(statement, Dialect.MYSQL)
    elsewhere = any("." in str(getattr(one, "table", "")) or "." in str(getattr(one, "to", "")) for one in found)
    return not elsewhere and not any(isinstance(one, _STAYS) for one in found)


def _unfounded(statement: Statement, failure: Failure) -> UsageError:
    return UsageError(
        f"{statement.place()}: this is said to have run before, and does not run on the shadow: {failure.message}",
        hint="see that schema and earlier files belong together, in their order, and come from such a server",
    )
