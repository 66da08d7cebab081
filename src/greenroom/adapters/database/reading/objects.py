"""CREATE, ALTER and DROP of what is no table."""

from __future__ import annotations

from greenroom.adapters.database.reading import change
from greenroom.adapters.database.reading.change import Change
from greenroom.adapters.database.reading.columns import plain
from greenroom.adapters.database.reading.cursor import Cursor
from greenroom.adapters.database.reading.mysql_tables import KINDS, algorithm, index_options
from greenroom.adapters.database.reading.tables import alter_table, create_table

SERVER_WIDE = {
    *(
        "DATABASE",
        "ROLE",
        "USER",
        "GROUP",
        "TABLESPACE",
        "SERVER",
        "SYSTEM",
        "SUBSCRIPTION",
        "PUBLICATION",
        "EXTENSION",
    ),
    *("FOREIGN", "LANGUAGE", "ACCESS", "INSTANCE", "LOGFILE", "RESOURCE", "EVENT", "TRANSFORM", "TRUSTED", "LARGE"),
}
ROUTINES = ("FUNCTION", "PROCEDURE", "AGGREGATE", "ROUTINE")
NAMED = ("TYPE", "DOMAIN", "SEQUENCE", "SCHEMA", "STATISTICS", "COLLATION")
ON_A_TABLE = ("TRIGGER", "POLICY", "RULE")


def create(cursor: Cursor) -> list[Change]:
    cursor.need("CREATE")
    replace = cursor.take("OR", "REPLACE")
    if cursor.mysql:
        _definer(cursor)
    temporary = _temporary(cursor)
    if cursor.take("TABLE"):
        made = create_table(cursor, temporary=temporary)
        cursor.end()
        return made if not replace else [change.Opaque("CREATE OR REPLACE TABLE drops the table that is there")]
    if cursor.word() in ("UNIQUE", "INDEX", *KINDS):
        return _create_index(cursor, replace=replace)
    if cursor.take("EXTENSION", "IF", "NOT", "EXISTS", "PLPGSQL"):
        return [change.Setting("", "a language that is always there")]
    if cursor.word() in SERVER_WIDE:
        return [change.Server(f"CREATE {cursor.text()}")]
    if temporary and not cursor.sees("VIEW"):
        raise cursor.surprise("TABLE")
    if cursor.sees("TRIGGER") or cursor.take("CONSTRAINT"):
        return _create_trigger(cursor, replace=replace)
    if cursor.word() in ROUTINES:
        return _create_routine(cursor, replace=replace)
    return _create_other(cursor, replace=replace)


def _temporary(cursor: Cursor) -> bool:
    cursor.one_of("GLOBAL", "LOCAL")
    found = bool(cursor.one_of("TEMP", "TEMPORARY"))
    cursor.take("UNLOGGED")
    return found


def _definer(cursor: Cursor) -> None:
    if cursor.take("ALGORITHM"):
        cursor.need("=")
        cursor.part()
    if cursor.take("DEFINER"):
        cursor.need("=")
        cursor.next()
        if cursor.sees("("):
            cursor.group()
        if cursor.take("@"):
            cursor.next()
    if cursor.take("SQL", "SECURITY"):
        cursor.part()


def _create_index(cursor: Cursor, *, replace: bool) -> list[Change]:
    if replace:
        return [change.Opaque("CREATE OR REPLACE INDEX drops the index that is there")]
    unique, kind = cursor.take("UNIQUE"), cursor.one_of(*KINDS)
    cursor.need("INDEX")
    concurrently = cursor.postgres and cursor.take("CONCURRENTLY")
    if_not_exists = cursor.take("IF", "NOT", "EXISTS")
    name = "" if cursor.sees("ON") else cursor.name()
    method = cursor.part() if cursor.mysql and cursor.take("USING") else ""
    cursor.need("ON")
    only = cursor.take("ONLY")
    table = cursor.name()
    method = cursor.part().lower() if cursor.take("USING") else method
    parts = tuple(plain(part, cursor) for part in cursor.groups())
    if cursor.take("INCLUDE"):
        cursor.group()
    same = cursor.take("NULLS", "NOT", "DISTINCT")
    cursor.take("NULLS", "DISTINCT")
    if cursor.postgres and cursor.take("WITH"):
        cursor.group()
    if cursor.take("TABLESPACE"):
        cursor.part()
    where = cursor.rest() if not cursor.mysql and cursor.take("WHERE") else ""
    found: list[Change] = [
        change.CreateIndex(
            table, name, parts, unique, concurrently, if_not_exists, same, where, method, kind.lower(), only
        )
    ]
    while cursor.mysql and not cursor.ended:
        index_options(cursor)
        if how := algorithm(cursor, table):
            found.append(how)
        elif not cursor.ended:
            raise cursor.surprise()
    cursor.end()
    return found


def _create_trigger(cursor: Cursor, *, replace: bool) -> list[Change]:
    cursor.need("TRIGGER")
    if_not_exists = cursor.take("IF", "NOT", "EXISTS")
    name = cursor.name()
    when = cursor.until(("ON",))
    cursor.need("ON")
    table = cursor.name()
    function = ""
    words = [token.word for token in cursor.tokens]
    if cursor.postgres and "EXECUTE" in words:
        inner = Cursor(cursor.sql, cursor.dialect)
        inner.at = len(words) - 1 - words[::-1].index("EXECUTE") + 1
        if inner.one_of("FUNCTION", "PROCEDURE"):
            function = inner.name()
    body = cursor.rest()
    return [change.Create("trigger", name, table, replace, if_not_exists, body, function, when)]


def _create_routine(cursor: Cursor, *, replace: bool) -> list[Change]:
    kind = cursor.next().text.lower()
    if_not_exists = cursor.take("IF", "NOT", "EXISTS")
    return [change.Create(kind, cursor.name(), "", replace, if_not_exists, cursor.rest())]


def _create_other(cursor: Cursor, *, replace: bool) -> list[Change]:
    cursor.take("RECURSIVE")
    if cursor.take("MATERIALIZED", "VIEW") or cursor.take("VIEW"):
        kind = "materialized view" if cursor.word(-2) == "MATERIALIZED" else "view"
        if_not_exists = cursor.take("IF", "NOT", "EXISTS")
        return [change.Create(kind, cursor.name(), "", replace, if_not_exists, cursor.rest())]
    kind = cursor.one_of(*NAMED)
    if kind and not replace:
        if_not_exists = cursor.take("IF", "NOT", "EXISTS")
        if kind == "SCHEMA" and cursor.mysql:
            return [change.Server("CREATE SCHEMA")]
        name = "" if cursor.sees("AUTHORIZATION") else cursor.name()
        rest = cursor.rest()
        if kind == "SCHEMA" and rest:
            return [change.Opaque("CREATE SCHEMA with more than a name")]
        return [change.Create(kind.lower(), name, "", replace, if_not_exists, rest)]
    if kind := cursor.one_of("POLICY", "RULE"):
        name = cursor.name()
        link = "ON" if kind == "POLICY" else "TO"
        before = cursor.until((link,), at_least=0)
        cursor.need(link)
        return [change.Create(kind.lower(), name, cursor.name(), replace, body=cursor.rest(), detail=before)]
    raise cursor.surprise("something that can be created")


def drop(cursor: Cursor) -> list[Change]:
    cursor.need("DROP")
    if cursor.word() in SERVER_WIDE or (cursor.mysql and cursor.sees("SCHEMA")):
        return [change.Server(f"DROP {cursor.text()}")]
    cursor.mysql and cursor.take("TEMPORARY")
    kind = cursor.one_of(
        "TABLE", "INDEX", "VIEW", "MATERIALIZED", *ON_A_TABLE, *ROUTINES, *NAMED, "OPERATOR", "CAST", "OWNED"
    )
    if kind in ("", "OPERATOR", "CAST", "OWNED"):
        raise cursor.surprise("something that can be dropped")
    if kind == "MATERIALIZED":
        cursor.need("VIEW")
        kind = "MATERIALIZED VIEW"
    concurrently = kind == "INDEX" and cursor.take("CONCURRENTLY")
    if_exists = cursor.take("IF", "EXISTS")
    if kind == "INDEX" and cursor.mysql:
        return _drop_mysql_index(cursor, if_exists=if_exists)
    names, table = _dropped(cursor, kind)
    cascade = cursor.take("CASCADE")
    cursor.take("RESTRICT")
    cursor.end()
    if kind == "TABLE":
        return [change.DropTable(name, cascade, if_exists) for name in names]
    if kind == "INDEX":
        return [change.DropIndex(name, concurrently, if_exists, cascade) for name in names]
    return [change.Drop(kind.lower(), name, table, cascade, if_exists) for name in names]


def _dropped(cursor: Cursor, kind: str) -> tuple[list[str], str]:
    names = []
    while True:
        names.append(cursor.name())
        if kind in ROUTINES and cursor.sees("("):
            cursor.group()
        if not cursor.take(","):
            break
    return names, cursor.name() if kind in ON_A_TABLE and cursor.take("ON") else ""


def _drop_mysql_index(cursor: Cursor, *, if_exists: bool) -> list[Change]:
    name = cursor.part()
    cursor.need("ON")
    table = cursor.name()
    found: list[Change] = [change.DropIndex(name, if_exists=if_exists, table=table)]
    while how := algorithm(cursor, table):
        found.append(how)
    cursor.end()
    return found


def alter(cursor: Cursor) -> list[Change]:
    cursor.need("ALTER")
    cursor.mysql and cursor.one_of("ONLINE", "IGNORE")
    if cursor.take("TABLE"):
        return alter_table(cursor)
    if cursor.take("DEFAULT", "PRIVILEGES"):
        words = {token.word for token in cursor.tokens}
        return [change.Privilege("REVOKE" if "REVOKE" in words else "GRANT", cursor.rest())]
    if cursor.word() in SERVER_WIDE or (cursor.mysql and cursor.sees("SCHEMA")):
        return [change.Server(f"ALTER {cursor.text()}")]
    kind = cursor.one_of("INDEX", "VIEW", "MATERIALIZED", *ON_A_TABLE, *ROUTINES, *NAMED)
    if not kind:
        raise cursor.surprise("something that can be altered")
    if kind == "MATERIALIZED":
        cursor.need("VIEW")
        kind = "MATERIALIZED VIEW"
    cursor.take("IF", "EXISTS")
    name = cursor.name()
    if kind in ("VIEW", "MATERIALIZED VIEW") and cursor.take("RENAME", "TO"):
        return [change.RenameTable(name, cursor.part(), kind.lower())]
    first = f"{cursor.text()} {cursor.text(1)}".strip()
    return [change.Alter(kind.lower(), name, first, cursor.rest())]
