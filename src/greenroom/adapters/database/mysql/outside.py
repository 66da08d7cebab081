"""Changes of the schema on MySQL and MariaDB: each commits by itself, so that the ledger cannot be written with it.

What the database has of the names in a statement is kept before it runs. Who finds the statement begun and its end unknown
compares: since MariaDB 10.6 and MySQL 8.0 one change is whole or absent, even after a crash of the server, so a difference
means that it happened.
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import sha256
from typing import cast

from greenroom.adapters.database.grammar import GRAMMARS
from greenroom.adapters.database.mysql import catalogue
from greenroom.adapters.database.mysql.errors import NOT_ONLINE, OVERTIME
from greenroom.adapters.database.mysql.online import DATA, WAYS_OUT, Form, Way, forms, head, names, words
from greenroom.adapters.database.mysql.target import MysqlSession
from greenroom.adapters.database.reading import Statement, changes
from greenroom.adapters.database.running.tell import Tell
from greenroom.adapters.database.target import LOCK_TIMEOUT, Blocked, Broken, Session
from greenroom.domain.schema import Dialect

_GRAMMAR = GRAMMARS[Dialect.MYSQL]
_TABLE = _GRAMMAR.table("intent")
_TRANSACTIONAL = {"innodb", "rocksdb", "tokudb"}
_QUICK = {"CREATE TRIGGER", "DROP TRIGGER", "RENAME TABLE", "CREATE VIEW", "DROP VIEW"}
"""Done in a moment once the lock is there."""


def of(statement: Statement) -> Change | None:
    """None: a transaction can hold it."""
    return None if head(words(statement.sql)) in DATA else Change(statement)


@dataclass(frozen=True, slots=True)
class Change:
    """`running.outside.Outside`."""

    statement: Statement

    def done(self, session: Session) -> bool:
        """`False` where nothing has changed: then it did not happen, or happening again changes nothing."""
        kept = self._kept(session)
        return kept is not None and bool(catalogue.changed(kept, self._now(session)))

    def clear(self, session: Session, tell: Tell) -> None:
        """Nothing is ever half done; only the place is made where `run` keeps what it finds."""
        session.run(
            f"CREATE TABLE IF NOT EXISTS {_TABLE} (checksum {_GRAMMAR.key} NOT NULL PRIMARY KEY, at double NOT NULL,"
            f" found longtext NOT NULL){_GRAMMAR.options}"
        )
        session.run(f"DELETE FROM {_TABLE} WHERE at < {_GRAMMAR.epoch} - 30 * 86400")

    def run(self, session: Session, statement_timeout: float) -> None:
        """In the gentlest way that the server can; `Broken` where it could only while it keeps writers out.

        What is there now is kept until this statement is begun anew; not where the server said no, for then nothing
        happened.
        """
        sql = f"REPLACE INTO {_TABLE} (checksum, at, found) VALUES (%s, {_GRAMMAR.epoch}, %s)"
        session.run(sql, [self._key(), json.dumps(self._now(session))])
        try:
            self._gently(cast(MysqlSession, session), statement_timeout)
        except (Broken, Blocked):
            session.run(f"DELETE FROM {_TABLE} WHERE checksum = %s", [self._key()])
            raise

    def _gently(self, session: MysqlSession, statement_timeout: float) -> None:
        ways = forms(self.statement.sql)
        for form in ways:
            try:
                self._attempt(session, form, statement_timeout)
                return
            except Broken as error:
                if not error.code.isdecimal() or int(error.code) not in NOT_ONLINE or form.way is Way.ASKED:
                    raise
                refused = error
        if self._nothing_in_it(session):
            self._attempt(session, Form(Way.PLAIN, self.statement.sql), statement_timeout)
            return
        asked = " and ".join(form.way for form in ways)
        raise Broken(f"{refused.message} (asked for {asked})", code=refused.code, hint=WAYS_OUT)

    def _nothing_in_it(self, session: Session) -> bool:
        """To copy an empty table keeps nobody out."""
        tables = {str(getattr(one, "table", "")) for one in changes(self.statement, Dialect.MYSQL)} - {""}
        quoted = [_GRAMMAR.quote(table) for table in tables]
        return bool(quoted) and not any(session.rows(f"SELECT 1 FROM {table} LIMIT 1") for table in quoted)

    def _attempt(self, session: MysqlSession, form: Form, statement_timeout: float) -> None:
        """MariaDB can be told to give up after a part of a second; whole seconds are the least that both wait."""
        quick = form.way is Way.INSTANT or head(words(form.sql)) in _QUICK
        at_most = LOCK_TIMEOUT if quick and session.mariadb else statement_timeout
        try:
            with self._limits(session, at_most):
                session.run(form.sql)
        except Broken as error:
            if quick and session.mariadb and error.code.isdecimal() and int(error.code) in OVERTIME:
                raise Blocked(
                    f"another session holds a lock that is needed: {error.message}", code=error.code
                ) from None
            raise

    @staticmethod
    def _limits(session: MysqlSession, statement_timeout: float) -> AbstractContextManager[None]:
        return session.limits(lock_timeout=LOCK_TIMEOUT, statement_timeout=statement_timeout)

    def _now(self, session: Session) -> catalogue.Catalogue:
        return catalogue.read(session, names(self.statement.sql))

    def _kept(self, session: Session) -> catalogue.Catalogue | None:
        query = "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = %s"
        if not session.rows(query, [_TABLE]):
            return None
        found = session.rows(f"SELECT found FROM {_TABLE} WHERE checksum = %s", [self._key()])
        return cast(catalogue.Catalogue, json.loads(found[0][0])) if found else None

    def _key(self) -> str:
        text = f"{self.statement.file}\n{self.statement.number}\n{self.statement.sql}"
        return sha256(text.encode()).hexdigest()


def undoable(session: Session, sql: str) -> None:
    """`Broken` for a statement on rows that no transaction can undo: it could then be done twice, or by half."""
    found = catalogue.engines(session, names(sql))
    for table, engine in found.items():
        if engine.lower() not in _TRANSACTIONAL:
            raise Broken(
                f"{table} is stored by {engine}, in which a change of rows cannot be undone",
                hint=f"ALTER TABLE {table} ENGINE=InnoDB first, outside of the release: it copies the table.",
            )
