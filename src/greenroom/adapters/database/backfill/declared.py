"""`backfill.yaml`: what each row becomes, declared.

table: users
set: {new_preference: old_preference}
where: old_preference IS NOT NULL         # of the rows that are meant; all without it
key: [id]                                 # the primary key without it
verify: new_preference IS NOT NULL        # of a row that is done; that it has the values of `set` without it
allow: {backfill-not-in-step: REASON}     # by rule, why it may run all the same
"""

from __future__ import annotations

from typing import Annotated, Any

import yaml
from pydantic import BeforeValidator, Field, ValidationError, field_validator

from greenroom.adapters.database.backfill.fill import Fill, Unfit
from greenroom.adapters.database.backfill.pieces import is_name, sound
from greenroom.adapters.settings import Section
from greenroom.domain.schema import Dialect, Script

_EXAMPLE = "write it like `table: users` and `set: {new_preference: old_preference}`"
_VERIFY = "say in `verify:` what is true of a row that is done, as `verify: new_preference IS NOT NULL`"


def _sql(value: Any) -> Any:
    """YAML reads `0` as a number, `true` as a boolean and `null` as nothing: all three are SQL as well."""
    if value is None or isinstance(value, bool):
        return {None: "NULL", True: "TRUE", False: "FALSE"}[value]
    return str(value) if isinstance(value, int | float) else value


def _several(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Sql = Annotated[str, BeforeValidator(_sql)]


class Declared(Section):
    table: str = Field(description="The table, with its schema if it is not on the search path.")
    set: dict[str, Sql] = Field(min_length=1, description="Each column with the SQL expression that it becomes.")
    where: Sql = Field(default="", description="A condition of the rows that are meant; all without it.")
    key: Annotated[list[str], BeforeValidator(_several)] = Field(
        default_factory=list, description="The columns of a unique key, none of them ever NULL; else the primary key."
    )
    verify: Sql = Field(default="", description="A condition that is true of a row that is done.")
    allow: dict[str, str] = Field(
        default_factory=dict, description="By rule, why the judge's objection is none. The ledger keeps the reason."
    )

    @field_validator("allow")
    @classmethod
    def _reasons(cls, allow: dict[str, str]) -> dict[str, str]:
        for rule, why in allow.items():
            if not why.strip():
                raise ValueError(f"{rule} has no reason; say why it may run")
        return allow


def declared(script: Script, dialect: Dialect) -> list[Fill]:
    """One mapping, or a list of them. Raises `Unfit`."""
    try:
        found = yaml.safe_load(script.text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{script.file}:{mark.line + 1}:{mark.column + 1}" if mark else script.file
        raise Unfit(place, f"not YAML: {getattr(error, 'problem', None) or 'it cannot be read'}", _EXAMPLE) from None
    several = isinstance(found, list)
    return [
        _fill(one, script.file, i if several else 0, dialect) for i, one in enumerate(found if several else [found], 1)
    ]


def _fill(found: Any, file: str, number: int, dialect: Dialect) -> Fill:
    place = f"{file}: entry {number}" if number else file
    try:
        given = Declared.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Unfit(place, f"{where}: {first['msg']}" if where else first["msg"], _EXAMPLE) from None
    if not is_name(given.table, dialect, parts=2):
        raise Unfit(place, f"table: {given.table!r} is no name of a table", 'as in SQL: users, shop.users, "Users"')
    for column in [*given.set, *given.key]:
        if not is_name(column, dialect):
            raise Unfit(place, f"{column!r} is no name of a column", 'as in SQL: new_preference, "newPreference"')
    sets, allows = tuple(given.set.items()), tuple(given.allow.items())
    fill = Fill(given.table, sets, given.where, tuple(given.key), given.verify, place=place, allows=allows)
    return sound(fill, dialect, _VERIFY)
