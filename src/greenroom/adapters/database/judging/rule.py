"""A rule: its stable name, what it says, and the examples by which its page and its test show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from greenroom.domain.schema import Dialect, Ruling, Stage

SHOP = """
CREATE TABLE users (id bigint PRIMARY KEY, email varchar(100) NOT NULL, old_preference text, age integer, nick varchar(40));
CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint NOT NULL, status text NOT NULL DEFAULT 'new', note text);
CREATE INDEX orders_status_idx ON orders (status);
CREATE UNIQUE INDEX users_email_idx ON users (email);
CREATE VIEW mails AS SELECT id, email FROM users;
CREATE FUNCTION greet(text) RETURNS text LANGUAGE sql AS 'SELECT $1';
CREATE TYPE mood AS ENUM ('happy', 'sad');
CREATE SEQUENCE tickets;
CREATE FUNCTION note_it() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.note := trim(NEW.note); RETURN NEW; END';
CREATE TRIGGER note BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION note_it();
"""
"""What was there, in all examples."""


@dataclass(frozen=True, slots=True)
class Example:
    """`before`: SQL that the same release ran earlier. `sql` may be several statements."""

    sql: str
    stage: Stage = Stage.EXPAND
    schema: str = SHOP
    before: str = ""
    dialect: Dialect = Dialect.POSTGRES


@dataclass(frozen=True, slots=True)
class Rule:
    """`why` and `instead` are templates.

    `{running}`: "version 41" or "the running version"; `{uses}`, `{reads}`, `{writes}`, `{calls}`: "version 41 still reads"
    where there is evidence, else "version 41 may still read". Other names are given by whoever finds a case of the rule.
    `{rehearse}`: how to have it rehearsed, "" where it was. `refused` and `allowed`: an example of each that a test judges.
    """

    id: str
    title: str
    why: str
    instead: str
    refused: Example
    allowed: Example
    ruling: Ruling = Ruling.REFUSE

    @property
    def dialect(self) -> Dialect:
        return self.refused.dialect


@dataclass(frozen=True, slots=True)
class Hit:
    """One case of a rule: what to fill its templates with. `instead`: a better one than the rule's own, "" for that.

    `ruling`: None for the rule's own. `tables`: that the statement works on, for their sizes.
    """

    rule: str
    names: Mapping[str, str] = field(default_factory=dict)
    instead: str = ""
    ruling: Ruling | None = None
    tables: tuple[str, ...] = ()
