"""What stands in the way of a column that is to go: some of it for good, some until somebody says that he knows of it."""

from __future__ import annotations

from collections.abc import Iterator

from greenroom.adapters.database.concern import Concern, refuse, warn
from greenroom.adapters.database.target import Session
from greenroom.adapters.database.writing.catalogue import Column
from greenroom.adapters.database.writing.names import PREFIX

ACCEPTABLE = frozenset({"before-trigger", "dependent", "trigger-of-column", "published-columns"})
"""Rules of refusals that a person may accept, by their key."""

_KINDS = {
    "p": "is partitioned: its indexes cannot be built without keeping writers out",
    "v": "is a view",
    "m": "is a materialised view",
    "f": "is a foreign table",
}
_TRIGGERS = """
SELECT t.tgname, (t.tgtype & 2) <> 0, %s = ANY (t.tgattr::int2[]), t.tgenabled::text
FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid AND NOT (starts_with(t.tgname, %s) AND p.prosrc !~ %s)
WHERE t.tgrelid = %s::oid AND NOT t.tgisinternal AND (t.tgtype & 1) <> 0 ORDER BY t.tgname
"""
_DEPENDENTS = """
SELECT DISTINCT CASE d.classid
    WHEN 'pg_rewrite'::regclass THEN (SELECT r.ev_class::regclass::text FROM pg_rewrite r WHERE r.oid = d.objid)
    WHEN 'pg_policy'::regclass THEN (SELECT p.polname::text FROM pg_policy p WHERE p.oid = d.objid)
    WHEN 'pg_trigger'::regclass THEN (SELECT t.tgname::text FROM pg_trigger t WHERE t.oid = d.objid)
    WHEN 'pg_proc'::regclass THEN d.objid::regprocedure::text
    WHEN 'pg_attrdef'::regclass THEN (SELECT a.attname::text FROM pg_attrdef f JOIN pg_attribute a
      ON a.attrelid = f.adrelid AND a.attnum = f.adnum WHERE f.oid = d.objid)
    ELSE pg_describe_object(d.classid, d.objid, d.objsubid) END,
  CASE d.classid WHEN 'pg_rewrite'::regclass THEN 'the view' WHEN 'pg_policy'::regclass THEN 'the policy'
    WHEN 'pg_trigger'::regclass THEN 'the trigger' WHEN 'pg_proc'::regclass THEN 'the function'
    WHEN 'pg_attrdef'::regclass THEN 'the generated column' ELSE '' END
FROM pg_depend d WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = %s::oid AND d.refobjsubid = %s
  AND NOT (d.classid = 'pg_attrdef'::regclass AND EXISTS (SELECT FROM pg_attrdef f WHERE f.oid = d.objid AND f.adnum = %s))
  AND d.classid IN ('pg_rewrite'::regclass, 'pg_policy'::regclass, 'pg_trigger'::regclass, 'pg_proc'::regclass,
                    'pg_attrdef'::regclass) ORDER BY 2, 1
"""
_MENTIONS = """
SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND p.prosrc ~ %s AND NOT starts_with(p.proname, %s)
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e') ORDER BY 1 LIMIT 20
"""
_PUBLICATIONS = """
SELECT p.pubname, coalesce(to_jsonb(r)->'prattrs' @> to_jsonb(%s::int), false)
FROM pg_publication p LEFT JOIN pg_publication_rel r ON r.prpubid = p.oid AND r.prrelid = %s::oid
WHERE p.puballtables OR r.oid IS NOT NULL OR EXISTS (SELECT FROM pg_publication_tables t
  WHERE t.pubname = p.pubname AND t.schemaname = %s AND t.tablename = %s) ORDER BY 1
"""


def of_column(session: Session, column: Column) -> list[Concern]:
    """All of it, in the order in which it should be read."""
    return [*_table(session, column), *_itself(column), *_attached(session, column), *_readers(session, column)]


def _table(session: Session, column: Column) -> Iterator[Concern]:
    table = column.table
    if table.kind in _KINDS:
        yield refuse(
            "not-a-plain-table",
            f"{table.written} {_KINDS[table.kind]}.",
            "Change the table behind it; of a partitioned one, write the three files by hand, with the indexes built"
            " partition by partition.",
        )
    elif table.partition or table.inherits:
        yield refuse(
            "inherited",
            f"{table.written} has a parent or children, and columns and triggers of one are not those of the other.",
            "Write the three files by hand, for the parent and all its children.",
        )
    if not table.key:
        yield refuse(
            "no-primary-key",
            f"{table.written} has no primary key, by which its rows could be filled in small steps.",
            "Give it one in a release of its own: a unique index CONCURRENTLY, then ADD PRIMARY KEY USING INDEX.",
        )
    if session.rows("SELECT 1 FROM pg_rewrite WHERE ev_class = %s::oid AND rulename <> '_RETURN'", [table.oid]):
        yield refuse(
            "rewrite-rule",
            f"{table.written} has rules (CREATE RULE), which change statements before any trigger sees a row.",
            "Replace them by triggers in a release of its own.",
        )


def _itself(column: Column) -> Iterator[Concern]:
    name = f"{column.table.written}.{column.name}"
    if column.generated:
        yield refuse(
            "generated-column",
            f"{name} is computed by the server: nobody writes it, so there is nothing to keep equal.",
            "In two releases: add the new column as one that a trigger fills and let the application read it; then drop this"
            " one.",
        )
    if column.identity:
        yield refuse(
            "identity-column",
            f"{name} is an identity: its numbers belong to this column and cannot go on in another one without a gap in"
            " which two rows could get the same.",
            "Keep its name in the database and give it another in the application, or first make it a plain column with"
            " DEFAULT nextval('…') in a release of its own.",
        )
    if column.constrained:
        yield refuse(
            "constrained-domain",
            f"{name} has the type {column.type}, a domain with conditions of its own: to add a column of it rewrites the"
            " whole table while everybody waits.",
            "In two releases: add the new column with the type beneath the domain; later change its type.",
        )


def _attached(session: Session, column: Column) -> Iterator[Concern]:
    name = f"{column.table.written}.{column.name}"
    for index in column.indexes:
        if index.constraint == "x" or index.deferrable:
            what = "excludes rows by an operator" if index.constraint == "x" else "is checked late (DEFERRABLE)"
            yield refuse(
                "constraint-without-twin",
                f"The constraint {index.called} {what}: the new column cannot get one like it while users write.",
                "Drop it in a release of its own, or write the three files by hand and say there when nobody writes.",
                about=index.called,
            )
    for (referrer,) in session.rows(
        "SELECT conrelid::regclass::text || ' by ' || conname FROM pg_constraint"
        " WHERE confrelid = %s::oid AND contype = 'f' AND %s = ANY (confkey) ORDER BY 1",
        [column.table.oid, column.number],
    ):
        yield refuse(
            "referenced",
            f"Rows of another table refer to {name} ({referrer}): it cannot go while they do.",
            "In two releases: first let the foreign key refer to the new column, then drop the old one.",
            about=referrer,
        )
    for key in column.constraints:
        if key.sets_columns:
            yield refuse(
                "constraint-without-twin",
                f"The foreign key {key.name} sets some of its columns when the other row goes (ON DELETE SET … (column)).",
                "Write the three files by hand.",
                about=key.name,
            )


def _readers(session: Session, column: Column) -> Iterator[Concern]:
    name = f"{column.table.written}.{column.name}"
    for kind in (_triggers, _dependents, _mentions, _publications):
        yield from kind(session, column, name)


def _triggers(session: Session, column: Column, name: str) -> Iterator[Concern]:
    """One of ours for another column is in nobody's way."""
    keys = [column.number, PREFIX, _word(column.name), column.table.oid]
    for trigger, before, listed, enabled in session.rows(_TRIGGERS, keys):
        if trigger.startswith(PREFIX):
            yield refuse(
                "unfinished",
                f"{name} is part of an earlier change that is not contracted yet: the trigger {trigger} keeps it equal to"
                " another column.",
                "Contract that one first.",
                about=trigger,
            )
        elif before and enabled != "D":
            late = " and fires after ours" if trigger.encode() > PREFIX.encode() else ""
            yield refuse(
                "before-trigger",
                f"The trigger {trigger} may change a row of {column.table.written} before it is written{late}; what it"
                " makes of the old column it does not make of the new one.",
                f"See that it does not write {name}, or writes both columns alike; then accept it.",
                about=trigger,
            )
        elif listed:
            yield refuse(
                "trigger-of-column",
                f"The trigger {trigger} fires on UPDATE OF {column.name} only, which the new version never writes.",
                "First, in a release of its own, let it fire on any UPDATE and compare OLD with NEW; or accept that it does"
                " not fire.",
                about=trigger,
            )


def _dependents(session: Session, column: Column, name: str) -> Iterator[Concern]:
    for about, kind in session.rows(_DEPENDENTS, [column.table.oid, column.number, column.number]):
        yield refuse(
            "dependent",
            f"{kind[:1].upper()}{kind[1:]} {about} uses {name}; while it does, the server refuses to drop the column.",
            "Accept it, and let it use the new column in a migration between this one's backfill and its contract.",
            about=about,
        )


def _mentions(session: Session, column: Column, name: str) -> Iterator[Concern]:
    for (about,) in session.rows(_MENTIONS, [_word(column.name), PREFIX]):
        yield warn(
            "mentioned-in-function",
            f"The text of the function {about} has the word {column.name}; the server does not know what it means there.",
            f"If it uses {name}, change it before the contract: afterwards it fails.",
            about=about,
        )


def _word(name: str) -> str:
    """A pattern of the server's for this word in a text."""
    escaped = "".join(c if c.isalnum() or c == "_" else f"\\{c}" for c in name)
    return rf"(^|[^[:alnum:]_]){escaped}($|[^[:alnum:]_])"


def _publications(session: Session, column: Column, name: str) -> Iterator[Concern]:
    table = column.table
    for about, listed in session.rows(_PUBLICATIONS, [column.number, table.oid, table.schema, table.name]):
        if listed:
            yield refuse(
                "published-columns",
                f"The publication {about} lists {name} by name; while it does, the server refuses to drop the column.",
                "Accept it, and let it list the new column, too, before the contract.",
                about=about,
            )
        else:
            yield warn(
                "published",
                f"{table.written} is published by {about}: a subscriber without the new column stops at the first row.",
                "Add the column on every subscriber first, and drop it there last.",
                about=about,
            )
