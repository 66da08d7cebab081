"""Whether the role may do what the statements want of it, asked before the first one runs: all that it lacks, at once."""

from __future__ import annotations

from collections.abc import Iterable

from greenroom.adapters.database.grammar import GRAMMARS
from greenroom.adapters.database.reading import Statement, changes
from greenroom.adapters.database.reading import change as c
from greenroom.adapters.database.target import Session
from greenroom.domain.schema import Dialect

_ROWS = (c.Insert, c.Update, c.Delete, c.Truncate)
"""Rights of their own, which owners may give."""
_OWNER = """
SELECT pg_catalog.pg_get_userbyid(c.relowner), current_user::text FROM pg_catalog.pg_class c
WHERE c.oid = pg_catalog.to_regclass(%s) AND NOT pg_catalog.pg_has_role(c.relowner, 'USAGE')
"""
_SCHEMA = """
SELECT n.nspname, current_user::text FROM pg_catalog.pg_namespace n
WHERE n.nspname = coalesce(nullif(%s, ''), current_schema()) AND NOT pg_catalog.has_schema_privilege(n.oid, 'CREATE')
"""


def missing(session: Session, statements: Iterable[Statement]) -> list[str]:
    """Each a sentence with its way out. Only PostgreSQL can be asked; others say it at the statement."""
    if session.dialect is not Dialect.POSTGRES:
        return []
    wanted = [change for statement in statements for change in changes(statement, Dialect.POSTGRES)]
    shaped = (change for change in wanted if isinstance(change, c.OnTable) and not isinstance(change, _ROWS))
    tables = dict.fromkeys(change.table for change in shaped)
    schemas = dict.fromkeys(
        change.table.rpartition(".")[0]
        for change in wanted
        if isinstance(change, c.CreateTable) and not change.temporary
    )
    return [*_owners(session, tables), *_makers(session, schemas)]


def _owners(session: Session, tables: Iterable[str]) -> list[str]:
    """One for each owner."""
    quote = GRAMMARS[Dialect.POSTGRES].quote
    found: dict[tuple[str, str], list[str]] = {}
    for table in tables:
        for owner, role in session.rows(_OWNER, [quote(table)]):
            found.setdefault((owner, role), []).append(table)
    return [
        f"the role {role} may not change {', '.join(names)}, which {owner} owns: GRANT {owner} TO {role}"
        for (owner, role), names in found.items()
    ]


def _makers(session: Session, schemas: Iterable[str]) -> list[str]:
    rows = [row for schema in schemas for row in session.rows(_SCHEMA, [schema])]
    return [
        f"the role {role} may not make tables in the schema {schema}: GRANT CREATE ON SCHEMA {schema} TO {role}"
        for schema, role in dict.fromkeys((str(schema), str(role)) for schema, role in rows)
    ]
