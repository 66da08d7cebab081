"""What lies beyond the table: who copies it elsewhere, and who listens to changes of the schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from greenroom.adapters.database.concern import Concern, warn
from greenroom.adapters.database.target import Session

_PUBLISHED = """
SELECT p.pubname, c.oid::bigint FROM pg_catalog.pg_publication p
JOIN pg_catalog.pg_publication_tables t ON t.pubname = p.pubname
JOIN pg_catalog.pg_namespace n ON n.nspname = t.schemaname
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
WHERE c.oid = ANY (%s::bigint[]::oid[]) ORDER BY 1, 2
"""
_SUBSCRIBED = """
SELECT count(*), r.srrelid::bigint FROM pg_catalog.pg_subscription_rel r
WHERE r.srrelid = ANY (%s::bigint[]::oid[]) GROUP BY 2 ORDER BY 2
"""
_SLOTS = """
SELECT slot_name, slot_type, active, coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::bigint
FROM pg_catalog.pg_replication_slots WHERE NOT active OR wal_status IN ('unreserved', 'lost') ORDER BY 1
"""
_EVENTS = """
SELECT t.evtname, t.evtevent, p.oid::regprocedure::text FROM pg_catalog.pg_event_trigger t
JOIN pg_catalog.pg_proc p ON p.oid = t.evtfoid WHERE t.evtenabled <> 'D' AND t.evtevent <> 'login' ORDER BY 1
"""


def published(session: Session, tables: Mapping[int, str]) -> Iterator[Concern]:
    for name, oid in session.rows(_PUBLISHED, [list(tables)]):
        yield warn(
            "published",
            f"{tables[oid]} is published by {name}: a subscriber that lacks a column of its rows stops at the first.",
            "Add columns on every subscriber first, and drop them there last: DDL is not replicated.",
            about=f"{name}/{tables[oid]}",
        )
    for _, oid in session.rows(_SUBSCRIBED, [list(tables)]):
        yield warn(
            "subscribed",
            f"{tables[oid]} gets rows by logical replication, which fires no ordinary trigger: they stay without the new"
            " column's value.",
            "ALTER TABLE … ENABLE ALWAYS TRIGGER for the trigger that keeps columns equal, or rename at the publisher.",
            about=tables[oid],
        )


def slots(session: Session) -> Iterator[Concern]:
    for name, kind, active, kept in session.rows(_SLOTS):
        state = "has been left behind" if active else "is used by nobody"
        yield warn(
            "replication-slot",
            f"The {kind} replication slot {name} {state}: the server keeps all that is written for it"
            f" ({kept / 1e6:,.0f} MB by now), and a backfill writes as much again as the table has.",
            f"Bring its reader back, or SELECT pg_drop_replication_slot('{name}').",
            about=name,
        )


def event_triggers(session: Session) -> Iterator[Concern]:
    for name, event, function in session.rows(_EVENTS):
        yield warn(
            "event-trigger",
            f"The event trigger {name} ({event}) runs {function} when the schema changes: it may refuse that, or do more.",
            "See what it does; a rehearsal shows it only where the shadow database has it, too.",
            about=name,
        )
