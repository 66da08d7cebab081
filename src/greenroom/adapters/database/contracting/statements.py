"""What PostgreSQL has counted: statements that name what goes, scans of tables and indexes, transactions that failed.

Counters say nothing by themselves: two looks do, with only the live version at work between them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from greenroom.adapters.database.contracting.going import Going
from greenroom.adapters.database.grammar import GRAMMARS
from greenroom.adapters.database.target import Session
from greenroom.domain.schema import Dialect

_WHERE = "SELECT n.nspname FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = extnamespace"
_EXTENSION = f"{_WHERE} WHERE extname = 'pg_stat_statements'"
_STATEMENTS = """
SELECT coalesce(userid::text || '/' || queryid::text, 'hidden'), coalesce(r.rolname, ''), query, sum(calls)::bigint
FROM {schema}.pg_stat_statements s LEFT JOIN pg_catalog.pg_roles r ON r.oid = userid
WHERE dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
AND (queryid IS NULL OR query ~* %s) GROUP BY 1, 2, 3 ORDER BY 1
"""
_USES = """
SELECT coalesce(seq_scan, 0) + coalesce(idx_scan, 0) + n_tup_ins + n_tup_upd + n_tup_del
FROM pg_catalog.pg_stat_user_tables WHERE relid = to_regclass(%s)
"""
_SCANS = "SELECT idx_scan FROM pg_catalog.pg_stat_user_indexes WHERE indexrelid = to_regclass(%s)"
_ENDED = "SELECT xact_commit, xact_rollback FROM pg_catalog.pg_stat_database WHERE datname = current_database()"
FEWEST, SHARE, MORE = 20, 0.02, 3.0
"""So many failed transactions, this share of all, and so many times the usual share, are no accident."""
_COUNTING = "SELECT coalesce(current_setting('pg_stat_statements.track', true), 'none') <> 'none'"
"""Its settings are there where the server has loaded it; which libraries that are, not every role may know."""
_MASKED = "the role in migrations.url may not see others' statements (GRANT pg_read_all_stats TO it)"
_OURS = re.compile(r"\bgreenroom\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Counted:
    """One look. `statements`: by who and which, how often. `unseen`: why statements cannot be counted. `mark` changes when
    the server has begun to count anew, `lost` grows when it has thrown statements away. `uses`: by what goes.
    """

    statements: Mapping[str, int] = field(default_factory=dict)
    unseen: str = ""
    mark: str = ""
    lost: int = 0
    uses: Mapping[str, int] = field(default_factory=dict)
    committed: int = 0
    failed: int = 0

    def document(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Counted:
        return cls(**document)


@dataclass(frozen=True, slots=True)
class Look:
    """`texts`: by the same key as `counted.statements`, who ran what."""

    counted: Counted
    texts: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def look(session: Session, goings: Sequence[Going]) -> Look:
    """At this moment, of what goes. Statements are those that name a table of it."""
    if session.dialect is not Dialect.POSTGRES:
        return Look(Counted(unseen="this server's statements are not counted by Greenroom"))
    [(committed, failed)] = session.rows(_ENDED)
    kept_up = any(one.kind in ("trigger", "function") for one in goings)  # which use a table themselves
    countable = [one for one in goings if one.kind == "index" or one.kind == "table" and not kept_up]
    uses = {str(one): count for one in countable if (count := _uses(session, one)) is not None}
    counted = Counted(uses=uses, committed=int(committed), failed=int(failed))
    schema = session.rows(_EXTENSION)
    if not schema:
        return Look(replace(counted, unseen="the extension pg_stat_statements is not in this database"))
    if not session.rows(_COUNTING)[0][0]:
        return Look(replace(counted, unseen="pg_stat_statements is there, but does not count (preloading, track)"))
    view = GRAMMARS[Dialect.POSTGRES].quote(schema[0][0])
    tables = sorted({one.words[0] for one in goings if one.used})
    pattern = "|".join(rf"\m{re.escape(table)}\M" for table in tables) or "a^"
    found = [row for row in session.rows(_STATEMENTS.format(schema=view), [pattern]) if not _OURS.search(row[2])]
    mark, lost = _info(session, view)
    unseen = _MASKED if any(row[0] == "hidden" for row in found) else ""
    counted = replace(counted, unseen=unseen, mark=mark, lost=lost, statements={row[0]: int(row[3]) for row in found})
    return Look(counted, {key: (role, " ".join(text.split())) for key, role, text, _ in found})


def _info(session: Session, view: str) -> tuple[str, int]:
    """PostgreSQL 14 and newer say when they began to count and how often they made room."""
    if not session.rows("SELECT 1 WHERE to_regclass(%s) IS NOT NULL", [f"{view}.pg_stat_statements_info"]):
        return "", 0
    [(reset, lost)] = session.rows(f"SELECT stats_reset::text, dealloc FROM {view}.pg_stat_statements_info")
    return str(reset), int(lost)


def _uses(session: Session, one: Going) -> int | None:
    query = _USES if one.kind == "table" else _SCANS
    rows = session.rows(query, [GRAMMARS[Dialect.POSTGRES].quote(one.name)])
    return int(rows[0][0]) if rows else None


@dataclass(frozen=True, slots=True)
class Seen:
    """Between two looks. `hits`: what uses what goes. `stars`: who reads all columns of its table. `ran`: how many
    statements on its tables there were at all. `unseen`: why nothing is proved.
    """

    hits: tuple[str, ...] = ()
    stars: tuple[str, ...] = ()
    ran: int = 0
    unseen: str = ""


def between(before: Counted, now: Look, goings: Sequence[Going]) -> Seen:
    counted = now.counted
    ran = {key: n - before.statements.get(key, 0) for key, n in counted.statements.items()}
    ran = {key: n for key, n in ran.items() if n > 0}
    hits = [f"{_text(now, key)} ({n} times) names {one}" for key, n in ran.items() for one in goings
            if one.used and names(now.texts[key][1], one)]  # fmt: skip
    stars = [f"{_text(now, key)} ({n} times)" for key, n in ran.items() for one in goings
             if one.kind == "column" and reads_all(now.texts[key][1], one)]  # fmt: skip
    for one in goings:
        name = str(one)
        if (more := counted.uses.get(name, 0) - before.uses.get(name, 0)) > 0:
            hits.append(f"{one} was used {more} times")
    unseen = counted.unseen or before.unseen
    if not unseen and before.mark != counted.mark:
        unseen = "the server has begun to count its statements anew"
    elif not unseen and counted.lost > before.lost:
        unseen = "the server has thrown counted statements away (raise pg_stat_statements.max)"
    elif not unseen and not ran and any(one.used for one in goings):
        unseen = "no statement on these tables was seen at all"
    return Seen(tuple(dict.fromkeys(hits)), tuple(dict.fromkeys(stars)), sum(ran.values()), unseen)


def names(text: str, one: Going) -> bool:
    """Table and column: other tables may have a column of the same name."""
    return all(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) for word in one.words)


def reads_all(text: str, one: Going) -> bool:
    star = r"(?:\bselect\b(?:\s+distinct)?|\breturning\b|,)\s*(?:\"?\w+\"?\s*\.\s*){0,2}\*"
    return re.search(star, text, re.IGNORECASE) is not None and names(text, Going("table", "", one.words[0]))


def _text(now: Look, key: str) -> str:
    role, text = now.texts[key]
    return f"{role or 'somebody'}: {text[:160]}"


def failures(before: Counted, now: Counted) -> tuple[int, int]:
    """Transactions of this database that failed between two looks, and how many ended; none where it counts anew."""
    failed, ended = now.failed - before.failed, now.committed - before.committed
    return (failed, failed + ended) if failed >= 0 and ended >= 0 else (0, 0)


def suddenly(before: Counted, now: Counted, usual: float) -> str:
    """Far more of them than usual (a share): in words, "" if not."""
    failed, ended = failures(before, now)
    if failed < FEWEST or failed / ended < max(SHARE, MORE * usual):
        return ""
    return f"{failed} of {ended} transactions failed ({failed / ended:.0%}, usual are {usual:.1%})"
