"""The trigger that keeps an old column and what takes its place equal, while both versions write.

The rule, for each row, by differences of values alone, since a trigger is not told which columns a statement names:

- INSERT: a new column that still has its default (or is NULL where it has none) was not written: the old one counts. Else
  the new one does.
- UPDATE: the new column if it differs from what it was, else the old one.

Values are compared byte by byte (`record_image_ne`): `=` takes 1.0 for 1.00 and, in citext, a for A, whose change would be
lost; json has none; and an operator of an extension may not be in the search_path, which is pinned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from greenroom.adapters.database.writing.names import PREFIX, fitting

_NE = "pg_catalog.record_image_ne"
_EQ = "pg_catalog.record_image_eq"


@dataclass(frozen=True, slots=True)
class Sync:
    """`forth`: what to do so that the new columns follow the old one; `back`: the opposite, "" for none (one way).

    Both are statements of PL/pgSQL. `unwritten`: the condition that an INSERT did not write the new columns. `exact`: the
    new ones can be had from the old one at any time, with nothing lost. All names are quoted.
    """

    when: ClassVar[str] = "BEFORE"
    said: ClassVar[str] = (
        "Until contract this keeps both equal, whoever writes. Its name sorts last, so that it runs last."
    )
    definer: ClassVar[bool] = False

    old: str
    news: Sequence[str]
    forth: str
    back: str
    unwritten: str
    exact: bool

    @property
    def allow(self) -> str:
        fails = "RAISE" in self.back
        return "it fails no write but one of the new version that the old type cannot hold" if fails else ""

    def body(self) -> str:
        changed = f"{_NE}(ROW({_rows('NEW', self.news)}), ROW({_rows('OLD', self.news)}))"
        moved = f"{_NE}(ROW(NEW.{self.old}), ROW(OLD.{self.old}))"
        lines = ["IF TG_OP = 'INSERT' THEN", f"  IF {self.unwritten} THEN", *_within(self.forth, 4)]
        lines += ["  ELSE", *_within(self.back, 4)] if self.back else []
        lines += ["  END IF;"]
        if not self.back:
            lines += [f"ELSIF {moved} AND NOT {changed} THEN", *_within(self.forth, 2)]
        else:
            rest = "ELSE" if self.exact else f"ELSIF {moved} THEN"
            lines += [f"ELSIF {changed} THEN", *_within(self.back, 2), rest, *_within(self.forth, 2)]
        return "\n".join(["  " + line for line in lines] + ["  END IF;", "  RETURN NEW;"])


def unwritten(new: str, default: str, null_counts: bool) -> str:
    """The condition for one new column. `null_counts`: a NULL in it may be a value that somebody wrote."""
    value = f"NEW.{new}"
    if not default:
        return f"{value} IS NOT DISTINCT FROM NULL"
    same = f"{_EQ}(ROW({value}), ROW({default}))"
    return same if null_counts else f"({value} IS NOT DISTINCT FROM NULL OR {same})"


def name(table: str, column: str, taken: frozenset[str]) -> str:
    """Of the trigger and its function."""
    return fitting(f"{PREFIX}_{table}_{column}", taken)


def function(quoted: str, body: str, *, definer: bool = False) -> str:
    """Its search_path is pinned: nobody can put another operator in the way. `definer`: with the rights of who makes it."""
    rights = " SECURITY DEFINER" if definer else ""
    tag = "$greenroom$"
    while tag in body:
        tag = f"{tag[:-1]}_$"
    return (
        f"CREATE FUNCTION {quoted}() RETURNS trigger LANGUAGE plpgsql{rights} SET search_path = pg_catalog, pg_temp AS"
        f" {tag}\n"
        f"BEGIN\n{body}\nEND\n{tag}"
    )


def trigger(quoted: str, table: str, called: str, when: str) -> str:
    return f"CREATE TRIGGER {quoted} {when} INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION {called}()"


def _within(statements: str, deep: int) -> list[str]:
    return [" " * deep + line for line in statements.splitlines()]


def _rows(which: str, names: Sequence[str]) -> str:
    return ", ".join(f"{which}.{each}" for each in names)
