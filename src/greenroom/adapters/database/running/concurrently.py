"""PostgreSQL's CREATE INDEX CONCURRENTLY and DROP INDEX CONCURRENTLY.

A build that is killed, cancelled or meets a deadlock leaves an index that is invalid: it slows every write down, serves no
read, and lets `IF NOT EXISTS` succeed. So its validity is looked up, and an invalid one is dropped and built again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from greenroom.adapters.database.reading import Statement
from greenroom.adapters.database.reading.tokens import Kind, Token, Tokens
from greenroom.adapters.database.running.outside import Outside
from greenroom.adapters.database.running.tell import Tell
from greenroom.adapters.database.target import Blocked, Broken, Session
from greenroom.domain.schema import Dialect
from greenroom.errors import Permanent, PortError

_LONGEST_NAME = 63
_QUICKLY = 0.2


def of(statement: Statement) -> Outside | None:
    """None: a transaction can hold it. `Permanent` for what can be done neither inside a transaction nor safely outside."""
    tokens = [t for t in Tokens(statement.sql, Dialect.POSTGRES, statement.file) if t.kind is not Kind.COMMENT]
    words = [token.word for token in tokens]
    if "CONCURRENTLY" not in words[:8]:
        return None
    match words:
        case ["CREATE", "INDEX", "CONCURRENTLY", *_] | ["CREATE", "UNIQUE", "INDEX", "CONCURRENTLY", *_]:
            return _created(statement, tokens[words.index("CONCURRENTLY") + 1 :])
        case ["DROP", "INDEX", "CONCURRENTLY", "IF", "EXISTS", *_]:
            return Dropped(statement, _qualified(tokens[5:]))
        case ["DROP", "INDEX", "CONCURRENTLY", *_]:
            return Dropped(statement, _qualified(tokens[3:]))
        case ["REFRESH", *_]:
            return None
        case ["REINDEX", *_] | ["ALTER", "TABLE", *_]:
            raise Permanent(
                f"{statement.place()}: whether this was done cannot be told after a crash, and no transaction can hold it.",
                hint="Run it by hand, beside the release.",
            )
    return None


def _created(statement: Statement, rest: list[Token]) -> Created:
    if [token.word for token in rest[:3]] == ["IF", "NOT", "EXISTS"]:
        rest = rest[3:]
    if not rest or rest[0].word == "ON" or rest[0].kind not in (Kind.WORD, Kind.NAME) or len(rest) < 3:
        raise Permanent(
            f"{statement.place()}: the index has no name, so it cannot be found again after a crash.",
            hint="Give it one: CREATE INDEX CONCURRENTLY name ON …",
        )
    table = rest[3:] if rest[2].word == "ONLY" else rest[2:]
    return Created(statement, _name(rest[0]), _qualified(table))


def _name(token: Token) -> str:
    """As the catalogue has it."""
    plain = token.text.lower() if token.kind is Kind.WORD else token.text[1:-1].replace('""', '"')
    return plain.encode()[:_LONGEST_NAME].decode(errors="ignore")


def _qualified(tokens: list[Token]) -> str:
    """`schema.name` as it is written, from the beginning of these."""
    text = ""
    for token in tokens:
        if (
            token.kind not in (Kind.WORD, Kind.NAME)
            and token.text != "."
            or text
            and (text[-1] == ".") is (token.text == ".")
        ):
            break
        text += token.text
    return text


@dataclass(frozen=True, slots=True)
class Created:
    """`outside.Outside` of CREATE INDEX CONCURRENTLY. `table`: as it is written."""

    statement: Statement
    name: str
    table: str

    def done(self, session: Session) -> bool:
        return self._valid(session) is True

    def clear(self, session: Session, tell: Tell) -> None:
        """An invalid one of this name on this table, whoever left it, unless it is being built at this moment."""
        if self._valid(session) is not False:
            return
        found = session.rows(
            "SELECT format('%%I.%%I', n.nspname, c.relname), (SELECT l.pid FROM pg_catalog.pg_locks l"
            " WHERE l.locktype = 'relation' AND l.relation = i.indrelid AND l.mode = 'ShareUpdateExclusiveLock'"
            " AND l.granted AND l.pid <> pg_catalog.pg_backend_pid() LIMIT 1) FROM pg_catalog.pg_class c"
            " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid"
            " WHERE c.relname = %s AND i.indrelid = pg_catalog.to_regclass(%s)",
            [self.name, self.table],
        )
        for index, builder in found:
            if builder is not None:  # it may be building it, and would have ended when we drop it
                raise Blocked(f"session {builder} works on {self.table}, perhaps on this index")
            tell(f"drops the invalid index {self.name}, which an interrupted build has left")
            with _patient(session, 0.0):
                session.run(f"DROP INDEX CONCURRENTLY IF EXISTS {index}")

    def run(self, session: Session, statement_timeout: float) -> None:
        try:
            with _patient(session, statement_timeout):
                session.run(self.statement.sql)
        except KeyboardInterrupt:
            self._drop_quickly(session)
            raise
        if self._valid(session) is not True:
            raise Broken(
                f"the index {self.name} on {self.table} is not valid after it was built",
                hint="See whether another session drops it, or whether the name means an index of another table.",
            )

    def _valid(self, session: Session) -> bool | None:
        """None: there is none of this name on this table."""
        rows = session.rows(
            "SELECT i.indisvalid AND i.indisready AND i.indislive FROM pg_catalog.pg_index i"
            " JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid"
            " WHERE c.relname = %s AND i.indrelid = pg_catalog.to_regclass(%s)",
            [self.name, self.table],
        )
        return bool(rows[0][0]) if rows else None

    def _drop_quickly(self, session: Session) -> None:
        """We are told to end: no time to wait for others, so it is tried once. What is left is invalid, and no more."""
        try:
            if self._valid(session) is False:
                [(index,)] = session.rows(
                    "SELECT i.indexrelid::pg_catalog.regclass::text FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c"
                    " ON c.oid = i.indexrelid WHERE c.relname = %s AND i.indrelid = pg_catalog.to_regclass(%s)",
                    [self.name, self.table],
                )
                with session.transaction(lock_timeout=_QUICKLY):
                    session.run(f"DROP INDEX IF EXISTS {index}")
        except PortError:
            pass


@dataclass(frozen=True, slots=True)
class Dropped:
    """`outside.Outside` of DROP INDEX CONCURRENTLY. `index`: as it is written. One that was killed is simply repeated."""

    statement: Statement
    index: str

    def done(self, session: Session) -> bool:
        return session.rows("SELECT pg_catalog.to_regclass(%s)::text", [self.index]) == [(None,)]

    def clear(self, session: Session, tell: Tell) -> None:
        """Nothing is in the way of a second attempt."""

    def run(self, session: Session, statement_timeout: float) -> None:
        with _patient(session, statement_timeout):
            session.run(self.statement.sql)


@contextmanager
def _patient(session: Session, statement_timeout: float) -> Iterator[None]:
    """No lock timeout: what waits here lets everybody else pass, and a timeout would leave an invalid index."""
    session.run("SET lock_timeout = 0")
    session.run(f"SET statement_timeout = {round(statement_timeout * 1000)}")
    yield
