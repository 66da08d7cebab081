"""Changes of what is no table, of rows, and of what is not the schema at all."""

from __future__ import annotations

from dataclasses import dataclass

from greenroom.adapters.database.reading.common import Change, OnTable


@dataclass(frozen=True, slots=True)
class Create(Change):
    """Of anything else: `kind` is trigger, function, procedure, view, materialized view, type, domain, sequence …

    `table`: of a trigger, policy or rule. `body`: the text of a routine or a query. `function`: that a trigger calls.
    """

    kind: str
    name: str
    table: str = ""
    replace: bool = False
    if_not_exists: bool = False
    body: str = ""
    function: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Drop(Change):
    kind: str
    name: str
    table: str = ""
    cascade: bool = False
    if_exists: bool = False


@dataclass(frozen=True, slots=True)
class Alter(Change):
    """Of anything that is no table: `what` by its first words in capitals, as `ADD VALUE`, `RENAME`, `OWNER TO`."""

    kind: str
    name: str
    what: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Privilege(Change):
    """`what`: GRANT, REVOKE, OWNER; `detail`: all of it as written."""

    what: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Insert(OnTable):
    """`query`: the rows come from one, not from VALUES. `conflict`: "", "nothing", "update", "replace" or "ignore"."""

    columns: tuple[str, ...] = ()
    query: bool = False
    conflict: str = ""
    reads: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Update(OnTable):
    """`sets`: column and expression. `others`: further tables that it joins. `where`: "" for every row."""

    sets: tuple[tuple[str, str], ...] = ()
    where: str = ""
    others: tuple[str, ...] = ()
    limited: bool = False
    alias: str = ""


@dataclass(frozen=True, slots=True)
class Delete(OnTable):
    where: str = ""
    others: tuple[str, ...] = ()
    limited: bool = False


@dataclass(frozen=True, slots=True)
class Truncate(OnTable):
    cascade: bool = False


@dataclass(frozen=True, slots=True)
class Query(Change):
    """Reads only. `functions`: all that it calls, by name."""

    functions: tuple[str, ...] = ()
    locks: bool = False


@dataclass(frozen=True, slots=True)
class Session(Change):
    """Of the session or the transaction, whose owner is whoever runs the migration: SET, BEGIN, COMMIT, LISTEN …"""

    what: str


@dataclass(frozen=True, slots=True)
class Maintenance(Change):
    """VACUUM, CLUSTER, REINDEX, ANALYZE, REFRESH, LOCK TABLE, OPTIMIZE … `mild`: nobody is kept out for long."""

    what: str
    tables: tuple[str, ...] = ()
    mild: bool = False


@dataclass(frozen=True, slots=True)
class Server(Change):
    """More than this database, or files and programs of the server: ALTER SYSTEM, CREATE ROLE, COPY … PROGRAM …"""

    what: str


@dataclass(frozen=True, slots=True)
class Opaque(Change):
    """Nobody can say by reading it; `at`: the character of the statement where reading ended."""

    why: str
    at: int = 0
