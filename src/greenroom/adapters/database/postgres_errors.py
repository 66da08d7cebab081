"""What PostgreSQL's refusals mean, and the way out of each."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from greenroom.adapters.database.target import Blocked, Broken, Full
from greenroom.errors import Permanent, PortError, Temporary

_BLOCKED = {
    "55P03": "another session holds a lock that is needed",
    "40P01": "another session waited for us while we waited for it (a deadlock)",
    "40001": "another session changed the same rows",
}
_WITH_VALUES = {"22", "23"}
"""Kinds of errors whose detail holds a row of the table, which is nobody's business who reads a log."""
_NO_ROOM = {"53000", "53100", "53200", "53400"}


def said(error: BaseException, secrets: Sequence[str] = ()) -> str:
    """What libpq or the server says, on one line, without secrets."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = lines[0] if lines else type(error).__name__
    text = first.rpartition(" failed: ")[2].removeprefix("FATAL:").strip()
    for secret in secrets:
        text = text.replace(secret, "…")
    return text.rstrip(".")


def unreachable(place: str, error: BaseException, secrets: Sequence[str]) -> PortError:
    """Why no connection was made. libpq tells no code then, so the server's words are read; unknown ones are shown."""
    words, text = str(error), said(error, secrets)

    def never(problem: str, hint: str) -> PortError:
        return Permanent(f"The {place} {problem}: {text}.", hint=hint)

    def not_now(problem: str, hint: str, after: float = 1.0) -> PortError:
        return Temporary(f"The {place} {problem}: {text}.", retry_after=after, hint=hint)

    if "starting up" in words or "not yet accepting connections" in words or "in recovery mode" in words:
        return not_now("is starting", "Nothing needs to be done; if it stays so, see the server's log.", 2.0)
    if "shutting down" in words:
        return not_now("is shutting down", "Start it again.", 2.0)
    if "too many clients" in words or "connection slots" in words or "too many connections" in words:
        return not_now(
            "has no free connection",
            "See who holds them (SELECT usename, application_name, count(*) FROM pg_stat_activity GROUP BY 1, 2), or"
            " raise max_connections.",
        )
    if "does not exist" in words and "database" in words:
        return never("is not there", "See the name at the end of migrations.url; CREATE DATABASE makes one.")
    if "password" in words or "no pg_hba.conf entry" in words or "role" in words and "exist" in words:
        return never("does not let us in", "See user and password in migrations.url, and the server's pg_hba.conf.")
    if "permission denied" in words or "not permitted" in words:
        return never("does not let us in", "GRANT CONNECT ON DATABASE … TO the role in migrations.url.")
    if "read-only" in words or "read-write" in words:
        return never("cannot be written", "All its hosts are copies: name the primary in migrations.url.")
    if "unsupported startup parameter" in words:
        return never("is a pool of connections", "Name the server itself in migrations.url, with its own port.")
    if "FATAL:" in words:
        return never("refuses us", "User, password, database and the server's pg_hba.conf decide that.")
    if "translate host name" in words or "resolve" in words:
        return not_now("cannot be found", "See the host in migrations.url.")
    return not_now("cannot be reached", "See that the server runs there and that host and port are right.")


def refused(place: str, error: BaseException, sql: str, secrets: Sequence[str]) -> PortError:
    """Why a statement did nothing; the connection is whole."""
    code, text = getattr(error, "sqlstate", None) or "", said(error, secrets)
    diagnosis = error.diag if isinstance(error, psycopg.Error) else None
    said_more = (diagnosis and diagnosis.message_detail) or ""
    detail = "" if code[:2] in _WITH_VALUES else said_more
    if code in _BLOCKED:
        return Blocked(f"{_BLOCKED[code]}: {text}", code=code)
    if code in _NO_ROOM:
        problem = "its disk is full" if code == "53100" else "it has no room"
        return Full(
            f"The {place} could not do it, {problem}: {text}.",
            retry_after=30.0,
            hint="Free some space on the server; what was done stays done, and the next try goes on from there.",
        )
    position = int(diagnosis.statement_position or 0) if diagnosis and sql else 0
    return Broken(
        text + (f" ({detail})" if detail else ""),
        code=code,
        position=position,
        hint=_way_out(code, text) or (diagnosis and diagnosis.message_hint) or "",
    )


def _way_out(code: str, text: str) -> str:
    if code == "42501" and "must be owner" in text:
        return "Only the owner may change it: GRANT the role that owns it TO the role in migrations.url."
    if code == "42501":
        return "The role in migrations.url lacks this right; GRANT it."
    if code == "25006":
        return "The server or the role is read-only: name the primary in migrations.url."
    if code == "57014" and "statement timeout" in text:
        return "Raise migrations.statement_timeout, or make the statement smaller."
    if code == "57014":
        return "Somebody cancelled it; the next try goes on from there."
    if code == "25001":
        return "No transaction can hold it, so whether it was done could not be told after a crash: run it by hand."
    if code == "42601" and "multiple commands" in text:
        return "The server sees several statements where Greenroom saw one; write them apart."
    return ""
