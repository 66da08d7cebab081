"""`Shadow`: statements in, facts out. The shadow of each call is a copy of a template, and dropped when it ends."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from functools import partial

import psycopg

from greenroom.adapters.database.reading import Statement
from greenroom.adapters.database.shadow.facts import Facts, Failure
from greenroom.adapters.database.shadow.observing import Observer
from greenroom.adapters.database.shadow.schema import Source, load
from greenroom.adapters.database.shadow.server import Connection, Server, Vanished
from greenroom.errors import Permanent, PortError, Temporary, UsageError

_ROLE = re.compile(r'role "(?P<role>[^"]*)" does not exist')
_TRIES = 3


class Shadow:
    """A server where shadows may be made, by a role that may make databases. Close it; of one thread.

    `patience`: seconds that a statement may take there. `templates`: so many schemas are kept there. Raises `Temporary` or
    `Permanent`, with the way out: it is down, it lacks a right, it has another major version.
    """

    def __init__(self, url: str, *, patience: float = 5.0, templates: int = 8) -> None:
        self._server, self._patience = Server(url, templates), patience

    @property
    def version(self) -> int:
        """The major one."""
        return self._server.version

    @property
    def place(self) -> str:
        return self._server.place

    def __enter__(self) -> Shadow:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._server.close()

    def rehearse(
        self, statements: Sequence[Statement], schema: Source | None = None, applied: Sequence[Statement] = ()
    ) -> list[Facts]:
        """What each does to a database with this schema in which `applied` ran before; in the same order.

        After one that fails the others are not run. `UsageError` if one of `applied` does not run.
        """
        schema = schema or Source()
        if schema.version and schema.version != self.version:
            raise Permanent(
                f"The {self.place} is PostgreSQL {self.version}, and {schema.name} comes from {schema.version}:"
                " what one does, the other may not.",
                hint=f"Name a server of version {schema.version} for the shadow.",
            )
        name = self._copy(schema)
        try:
            with self._server.session(name, self._patience) as db:
                return self._rehearsed(db, statements, schema, applied)
        except psycopg.Error as error:
            raise Temporary(
                f"The {self.place} went away during the rehearsal: {type(error).__name__}.",
                hint="See that the server runs; try again.",
            ) from None
        finally:
            with contextlib.suppress(PortError):  # the next run sweeps it
                self._server.drop(name)

    def _copy(self, schema: Source) -> str:
        fingerprint = schema.fingerprint(self.version)
        for _ in range(_TRIES):
            template = self._server.template(fingerprint, partial(load, source=schema, role=self._server.role))
            with contextlib.suppress(Vanished):
                return self._server.create(template)
        raise Temporary(f"The {self.place} lost the shadow's template {_TRIES} times.", hint="Try again.")

    def _rehearsed(
        self, db: Connection, statements: Sequence[Statement], schema: Source, applied: Sequence[Statement]
    ) -> list[Facts]:
        db.execute("SELECT set_config('search_path', %s, false)", [schema.path.setting])
        observer = Observer(db, self._server.end, 2 * self._patience, schema.path.home)
        for statement in applied:
            failure = observer.apply(statement)
            if failure is not None and not _ROLE.search(failure.message):
                raise UsageError(
                    f"{statement.file}:{failure.line}:{failure.column}: this is said to have run before, and does not"
                    f" run on the shadow: {failure.message}",
                    hint="see that schema and earlier files belong together, in their order",
                )
        found: list[Facts] = []
        why = ""
        for statement in statements:
            facts = Facts(statement.number, skipped=why) if why else self._one(observer, statement, schema, applied)
            if facts.error is not None:
                why = f"statement {statement.number}, in line {statement.line}, fails before it"
            found.append(facts)
        return found

    def _one(self, observer: Observer, statement: Statement, schema: Source, applied: Sequence[Statement]) -> Facts:
        facts = observer.rehearse(statement)
        if facts.error is not None and (missing := _ROLE.search(facts.error.message)):
            return Facts(statement.number, skipped=f"the shadow server has no role {missing['role']}")
        if facts.error is not None and facts.error.sqlstate == "42P01" and not (schema.text or applied):
            return Facts(statement.number, error=_unknown(facts.error))
        return facts


def _unknown(failure: Failure) -> Failure:
    hint = "the shadow is empty, since no schema was given: --schema SCHEMA.sql"
    return Failure(failure.message, failure.sqlstate, failure.line, failure.column, hint)
