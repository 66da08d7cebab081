"""What may stand in the way of a lock: transactions, prepared ones, a vacuum that does not yield, sessions of the past."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from greenroom.adapters.database.concern import Concern, refuse, warn
from greenroom.adapters.database.reading.shown import without_values
from greenroom.adapters.database.target import Session
from greenroom.units import show_duration

_LONG = """
SELECT a.pid, coalesce(a.usename, ''), a.application_name, a.state,
  extract(epoch FROM clock_timestamp() - a.xact_start)::float8, coalesce(a.query, ''),
  ARRAY(SELECT DISTINCT l.relation::bigint FROM pg_catalog.pg_locks l WHERE l.pid = a.pid AND l.relation IS NOT NULL
        AND l.granted)
FROM pg_catalog.pg_stat_activity a WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
AND a.xact_start < clock_timestamp() - make_interval(secs => %s) AND a.backend_type = 'client backend' ORDER BY 5 DESC
"""
_PREPARED = """
SELECT p.gid, p.owner, extract(epoch FROM clock_timestamp() - p.prepared)::float8,
  ARRAY(SELECT DISTINCT l.relation::bigint FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_locks own
        ON own.transactionid = p.transaction AND own.virtualtransaction = l.virtualtransaction
        WHERE l.pid IS NULL AND own.pid IS NULL AND l.relation IS NOT NULL)
FROM pg_catalog.pg_prepared_xacts p WHERE p.database = current_database() ORDER BY 3 DESC
"""
_VACUUM = """
SELECT a.pid, v.relid::bigint, a.query LIKE %s, v.phase,
  CASE WHEN v.heap_blks_total > 0 THEN 100 * v.heap_blks_scanned / v.heap_blks_total END
FROM pg_catalog.pg_stat_progress_vacuum v JOIN pg_catalog.pg_stat_activity a ON a.pid = v.pid
WHERE v.datname = current_database()
"""
_OLD = """
SELECT c.oid::bigint, greatest(age(c.relfrozenxid)::float8 / current_setting('autovacuum_freeze_max_age')::float8,
  mxid_age(c.relminmxid)::float8 / current_setting('autovacuum_multixact_freeze_max_age')::float8)
FROM pg_catalog.pg_class c WHERE c.oid = ANY (%s::bigint[]::oid[]) AND c.relkind IN ('r', 'm')
"""
_SESSIONS = """
SELECT usename, count(*), min(pid), extract(epoch FROM clock_timestamp() - min(backend_start))::float8,
  string_agg(DISTINCT application_name, ', ')
FROM pg_catalog.pg_stat_activity WHERE datname = current_database() AND usename = ANY (%s) AND pid <> pg_backend_pid()
AND application_name NOT LIKE %s GROUP BY 1 ORDER BY 1
"""
_SOON = 0.9


def transactions(session: Session, tables: Mapping[int, str], long: float) -> Iterator[Concern]:
    """Those that have lasted `long` seconds. `tables`: by their number in the catalogue."""
    for pid, who, name, state, age, query, held in session.rows(_LONG, [long]):
        holds = [table for oid, table in tables.items() if oid in held]
        doing = "does nothing" if (state or "").startswith("idle") else f"runs {without_values(query)}"
        what = f"and holds {', '.join(holds)}" if holds else "and holds none of the tables that are changed"
        waits = (
            "a change of them waits until it ends, and gives up after some tries"
            if holds
            else "an index that is built CONCURRENTLY waits until it ends"
        )
        yield warn(
            "long-transaction",
            f"Session {pid} ({who}{f', {name}' if name else ''}) has been in a transaction for {show_duration(age)}, {doing}"
            f" {what}: {waits}.",
            f"Let it end, or end it: SELECT pg_terminate_backend({pid}).",
            about=str(pid),
        )


def prepared(session: Session, tables: Mapping[int, str]) -> Iterator[Concern]:
    for gid, owner, age, held in session.rows(_PREPARED):
        holds = [table for oid, table in tables.items() if oid in held]
        said = f"The prepared transaction {gid!r} of {owner}, {show_duration(age)} old,"
        way = "Let its owner finish it (COMMIT PREPARED or ROLLBACK PREPARED): it outlives sessions and restarts."
        if holds:
            yield refuse(
                "prepared-transaction",
                f"{said} holds {', '.join(holds)}: no change of it would get its lock.",
                way,
                gid,
            )
        else:
            yield warn(
                "prepared-transaction", f"{said} makes every index that is built CONCURRENTLY wait for it.", way, gid
            )


def vacuum(session: Session, tables: Mapping[int, str]) -> Iterator[Concern]:
    for pid, oid, wraparound, phase, done in session.rows(_VACUUM, ["%(to prevent wraparound)"]):
        if oid in tables:
            at = f"{phase}, {done}%" if done is not None else phase
            if wraparound:
                yield refuse(
                    "wraparound-vacuum",
                    f"Autovacuum (session {pid}, {at}) works on {tables[oid]} to prevent wraparound, and yields to nobody.",
                    "Wait until it is done; vacuum_cost_delay of 0 for it makes that sooner.",
                    about=tables[oid],
                )
            else:
                yield warn(
                    "vacuum",
                    f"Session {pid} vacuums {tables[oid]} ({at}); a change of the table waits for it, or ends it.",
                    "Nothing needs to be done if it is autovacuum, which yields; wait for one that somebody started.",
                    about=tables[oid],
                )
    for oid, share in session.rows(_OLD, [list(tables)]):
        if share is not None and share >= _SOON:
            yield warn(
                "wraparound-soon",
                f"{tables[oid]} is at {share:.0%} of the age at which autovacuum begins to prevent wraparound; then no"
                " change of it gets its lock until that is done.",
                f"VACUUM (FREEZE) {tables[oid]} first.",
                about=tables[oid],
            )


def sessions(session: Session, idle: Mapping[str, str]) -> Iterator[Concern]:
    """Of colours where nothing runs. `idle`: by role, the colour."""
    if not idle:
        return
    for role, count, pid, age, names in session.rows(_SESSIONS, [list(idle), "greenroom %"]):
        yield warn(
            "stray-sessions",
            f"{count} session{'s' if count > 1 else ''} of {role} ({names or 'without a name'}; the first is {pid}, for"
            f" {show_duration(age)}) {'are' if count > 1 else 'is'} open, although nothing runs on {idle[role]}: a version"
            " older than the running one may still write.",
            f"See what it is. It can be ended: SELECT pg_terminate_backend({pid}).",
            about=str(role),
        )


def masked(session: Session) -> Iterator[Concern]:
    [(may,)] = session.rows("SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')")
    if not may:
        yield warn(
            "cannot-see-sessions",
            "The role in migrations.url may not see what sessions of other roles do: transactions in the way stay unseen"
            " until a statement meets them.",
            "GRANT pg_read_all_stats TO it.",
        )
