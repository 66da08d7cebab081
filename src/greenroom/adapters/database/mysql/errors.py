"""What the refusals of MySQL and MariaDB mean, and the way out of each."""

from __future__ import annotations

from collections.abc import Sequence

from pymysql.err import Error, MySQLError

from greenroom.adapters.database.target import Blocked, Broken, Full, Lost
from greenroom.errors import Permanent, PortError, Temporary

LOCK_TIMEOUTS = {1205, 3572}
KILLED = 1317
OVERTIME = {1969, 3024}
NOT_ONLINE = {1845, 1846}
"""The ALGORITHM or LOCK that was asked for cannot be had."""

_BLOCKED = {
    1205: "another session holds a lock that is needed",
    3572: "another session holds a lock that is needed",
    1213: "another session waited for us while we waited for it (a deadlock)",
    1020: "another session changed the same rows",
}
_LOST = {2006, 2013, 2055, 1053, 1927, 1152, 1184, 4031}
_RIGHTS = {1044, 1095, 1142, 1143, 1227, 1370, 1410, 1419, 1449}
_READ_ONLY = {1290, 1792, 1836}
_NO_ROOM = {1021, 1114, 1041, 1037, 1038, 1135}
_FILES = {3, 1026, 1030}
_PASSWORD = (
    "MySQL 8 wants it for its passwords where there is no TLS: `pip install 'greenroom[mysql]'` brings it; or use"
    " TLS, which does without it: `?ssl-mode=REQUIRED` behind migrations.url."
)
_UNKNOWN_HOST = ("not known", "resolution", "resolve", "No address")


def code_of(error: BaseException) -> int:
    first = error.args[0] if isinstance(error, MySQLError) and error.args else 0
    return first if isinstance(first, int) else 0


def said(error: BaseException, secrets: Sequence[str] = ()) -> str:
    """What the server or the client's library says, on one line, without secrets."""
    parts = error.args[1:] if isinstance(error, MySQLError) and len(error.args) > 1 else (str(error),)
    text = " ".join(" ".join(str(part) for part in parts).split()) or type(error).__name__
    for secret in secrets:
        text = text.replace(secret, "…")
    return text.rstrip(".")


def unreachable(place: str, error: BaseException, secrets: Sequence[str]) -> PortError:
    """Why no connection was made."""
    code, text = code_of(error), said(error, secrets)

    def never(problem: str, hint: str) -> PortError:
        return Permanent(f"The {place} {problem}: {text}.", hint=hint)

    def not_now(problem: str, hint: str, after: float = 1.0) -> PortError:
        return Temporary(f"The {place} {problem}: {text}.", retry_after=after, hint=hint)

    if isinstance(error, RuntimeError):  # PyMySQL's way to say that a package for the password is missing
        return never("cannot be spoken to", _PASSWORD if "cryptography" in text else "Install it, then try again.")
    match code:
        case 1040 | 1203 | 1226:
            hint = "See who holds them (SHOW PROCESSLIST), or raise max_connections, or the user's own limit."
            return not_now("has no free connection", hint)
        case 1053:
            return not_now("is shutting down", "Start it again.", 2.0)
        case 1049:
            return never("is not there", "See the name at the end of migrations.url; CREATE DATABASE makes one.")
        case 1044:
            return never("does not let us in", "GRANT ALL ON that database TO the user in migrations.url.")
        case 1045 | 1130 | 1698 | 1524 | 2059:
            return never(
                "does not let us in", "See user and password in migrations.url, and from where the user may come."
            )
        case 1820 | 1862:
            return never("does not let us in", "The password has expired: ALTER USER … IDENTIFIED BY … sets a new one.")
        case 1129:
            return never(
                "does not let us in", "Too many tries failed: mysqladmin flush-hosts lets this machine in again."
            )
        case 2026:
            return never("cannot be spoken to by TLS", "See ssl-mode and ssl-ca in migrations.url.")
    if "CERTIFICATE" in text or "certificate" in text or "SSL" in text:
        return never("cannot be spoken to by TLS", "See ssl-mode and ssl-ca in migrations.url.")
    if any(words in text for words in _UNKNOWN_HOST):
        return not_now("cannot be found", "See the host in migrations.url.")
    return not_now("cannot be reached", "See that the server runs there and that host and port are right.")


def lost(place: str, error: BaseException, secrets: Sequence[str]) -> Lost:
    return Lost(
        f"The connection to the {place} was lost: {said(error, secrets)}.",
        hint="See that the server runs there; the next try looks at what was done.",
    )


def is_lost(error: BaseException) -> bool:
    """Of an error on a connection that was made. PyMySQL tells some losses by no code of a server."""
    return isinstance(error, OSError) or code_of(error) in _LOST or isinstance(error, Error) and code_of(error) == 0


def refused(place: str, error: BaseException, secrets: Sequence[str]) -> PortError:
    """Why a statement did nothing; the connection is whole."""
    code, text = code_of(error), said(error, secrets)
    if code in _BLOCKED:
        return Blocked(f"{_BLOCKED[code]}: {text}", code=str(code))
    if code in _NO_ROOM or code in _FILES and ("28" in text or "space" in text):
        return Full(
            f"The {place} could not do it, it has no room: {text}.",
            retry_after=30.0,
            hint="Free some space on the server; what was done stays done, and the next try goes on from there.",
        )
    return Broken(text, code=str(code) if code else "", hint=_way_out(code, text))


def _way_out(code: int, text: str) -> str:
    if code in _RIGHTS:
        return "The user in migrations.url lacks this right; GRANT it."
    if code in _READ_ONLY:
        return "The server or the user is read-only: name the primary in migrations.url."
    if code in OVERTIME:
        return "Raise migrations.statement_timeout, or make the statement smaller."
    if code == KILLED:
        return "Somebody cancelled it; the next try goes on from there."
    if code in NOT_ONLINE:
        return "The server cannot do it while users write: see docs/guides/migrations-mysql-sqlite.md for the ways."
    if code == 1665:
        return "The server's binlog_format is STATEMENT: set it to ROW or MIXED."
    if code == 1064 and "DELIMITER" in text:
        return "DELIMITER is a command of the client, not of the server."
    return ""
