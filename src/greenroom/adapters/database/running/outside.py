"""Statements that no transaction can hold, so that the ledger cannot be written with them: what is left of one is looked up.

The ledger says `running` before and `done` after; who finds `running` asks here what has become of it.
"""

from __future__ import annotations

from typing import Protocol

from greenroom.adapters.database.reading import Statement
from greenroom.adapters.database.running.tell import Tell
from greenroom.adapters.database.target import Session
from greenroom.domain.schema import Dialect


class Outside(Protocol):
    """One such statement."""

    def done(self, session: Session) -> bool:
        """It is done, and whole. Asked only if it was begun by somebody whose end is not known."""

    def clear(self, session: Session, tell: Tell) -> None:
        """Take away what is half done, if anything is; also asked before the first attempt."""

    def run(self, session: Session, statement_timeout: float) -> None:
        """Do it, and make sure that it is done; raises as `Session.run` does."""


def of(statement: Statement, dialect: Dialect) -> Outside | None:
    """None: a transaction can hold it."""
    match dialect:
        case Dialect.POSTGRES:
            from greenroom.adapters.database.running import concurrently

            return concurrently.of(statement)
        case Dialect.MYSQL:
            from greenroom.adapters.database.mysql import outside

            found: Outside | None = outside.of(statement)
            return found
        case _:
            return None
