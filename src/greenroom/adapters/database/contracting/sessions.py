"""Who is still connected: sessions of the old colour, told by the role that they log in with, or by their own name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from greenroom.adapters.database.contracting.holders import holders
from greenroom.adapters.database.contracting.settings import ContractSettings
from greenroom.adapters.database.target import Session
from greenroom.domain.model import Colour
from greenroom.domain.schema import Dialect, Order

OURS = "greenroom "
"""What the name of each of our own sessions begins with."""

_POSTGRES = """
SELECT pid, coalesce(usename, ''), application_name, coalesce(host(client_addr), '') FROM pg_catalog.pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND usesysid IS NOT NULL
AND coalesce(backend_type, 'client backend') = 'client backend' ORDER BY pid
"""
"""Of other roles the server hides the type of a session from who may not see all: NULL is one, too."""
_PREPARED = """
SELECT 0, owner, 'prepared transaction ' || gid, '' FROM pg_catalog.pg_prepared_xacts WHERE database = current_database()
"""
_MYSQL = """
SELECT id, user, '', host FROM information_schema.processlist
WHERE db = database() AND id <> connection_id() AND command NOT IN ('Daemon', 'Binlog Dump') ORDER BY id
"""
_MYSQL_RIGHT = """
SELECT count(*) FROM information_schema.user_privileges WHERE privilege_type = 'PROCESS'
AND grantee = CONCAT('\\'', REPLACE(CURRENT_USER(), '@', '\\'@\\''), '\\'')
"""


@dataclass(frozen=True, slots=True)
class Connected:
    """One session. `name`: what it calls itself. `number`: of the server (or of the process), 0 where it has none."""

    number: int
    role: str
    name: str = ""
    address: str = ""

    def __str__(self) -> str:
        named = f"{self.role or 'no role'}{f' ({self.name})' if self.name else ''}"
        where = f" from {self.address}" if self.address else ""
        return f"session {self.number} of {named}{where}" if self.number else f"{self.name} of {self.role}"


@dataclass(frozen=True, slots=True)
class Sessions:
    """`old`: of the old colour. `unclear`: those of which nobody can say. `unseen`: why they could not be listed."""

    old: tuple[Connected, ...] = ()
    unclear: tuple[Connected, ...] = ()
    live: tuple[Connected, ...] = ()
    unseen: str = ""


def sessions(session: Session, order: Order, settings: ContractSettings) -> Sessions:
    """All of this database but Greenroom's own, each told by its colour."""
    match session.dialect:
        case Dialect.POSTGRES:
            found = session.rows(_POSTGRES) + session.rows(_PREPARED)
        case Dialect.MYSQL:
            if session.rows(_MYSQL_RIGHT) == [(0,)]:
                return Sessions(
                    unseen="the role in migrations.url may not see other sessions (GRANT PROCESS ON *.* TO it)"
                )
            found = session.rows(_MYSQL)
        case Dialect.SQLITE:
            listed = holders(session)
            if isinstance(listed, str):
                return Sessions(unseen=listed)
            found = [(pid, user, name, "") for pid, user, name in listed]
        case _:
            assert_never(session.dialect)
    everybody = [Connected(int(number), str(role), str(name), str(host)) for number, role, name, host in found]
    return tell([one for one in everybody if not one.name.startswith(OURS)], order, settings)


def tell(everybody: Sequence[Connected], order: Order, settings: ContractSettings) -> Sessions:
    """Which is whose. By roles, what belongs to neither colour is a stranger and no concern of ours: but only where the
    live version is seen to log in with its role, for else the roles may not be those that the versions use.
    """
    colour = live_colour(order)
    if settings.colours and colour is not None:
        live = tuple(one for one in everybody if one.role == settings.colours[colour])
        old = tuple(one for one in everybody if one.role == settings.colours[colour.other])
        others = tuple(one for one in everybody if one not in live and one not in old)
        return Sessions(old, () if live else others, live)
    live = tuple(one for one in everybody if _is(one, order, live=True) and not _is(one, order, live=False))
    old = tuple(one for one in everybody if _is(one, order, live=False) and one not in live)
    return Sessions(old, tuple(one for one in everybody if one not in live and one not in old), live)


def live_colour(order: Order) -> Colour | None:
    """Where the version runs that users have; None where that is not told, or it runs in both."""
    found = [colour for colour in Colour if order.running and order.colours.get(colour.value) == order.running]
    return found[0] if len(found) == 1 else None


def _is(one: Connected, order: Order, *, live: bool) -> bool:
    """Its name holds this colour or this version, as a word."""
    colour = live_colour(order)
    if live:
        words = [order.running, colour.value if colour else ""]
    else:
        words = [order.gone, colour.other.value if colour else "", *set(order.colours.values()) - {order.running}]
    marks = [re.escape(word) for word in words if word]
    return bool(marks) and re.search(rf"(?<![\w.])(?:{'|'.join(marks)})(?![\w.])", one.name, re.IGNORECASE) is not None
