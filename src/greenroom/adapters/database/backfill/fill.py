"""What a backfill does to each row of one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from greenroom.errors import UsageError


class Unfit(UsageError):
    """It cannot be carried out by ranges of keys. `place` is FILE:LINE, or FILE:LINE:COLUMN."""

    def __init__(self, place: str, problem: str, hint: str) -> None:
        super().__init__(f"{place}: {problem}" if place else problem, hint=hint)
        self.place = place


@dataclass(frozen=True, slots=True)
class Fill:
    """All texts are SQL of the target's dialect, without comments.

    `table`: as its author writes it, with its schema or without. `sets`: each column with what it becomes. `where`: of
    the rows that are meant, "" for all. `key`: the columns of a key, in order; none: the primary key. `verify`: what is
    true of a row that is done; "": its columns are equal to what they become. `alias`: by what the texts call the table.
    `allows`: by rule of the judge, why it may run all the same.
    """

    table: str
    sets: tuple[tuple[str, str], ...]
    where: str = ""
    key: tuple[str, ...] = ()
    verify: str = ""
    alias: str = ""
    place: str = ""
    allows: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """By which expressions call the table."""
        return self.alias or self.table.rpartition(".")[2].strip()

    def assignments(self) -> str:
        return ", ".join(f"{column} = ({value})" for column, value in self.sets)

    def pending(self, differs: Callable[[str, str, str], str]) -> str:
        """The condition of a row that is meant and not done. `differs(column, name, value)`: SQL that is never NULL."""
        if self.verify:
            left = f"({self.verify}) IS NOT TRUE"
        else:
            left = " OR ".join(differs(column, f"{self.name}.{column}", f"({value})") for column, value in self.sets)
        return f"({self.where}) AND ({left})" if self.where else f"({left})"
