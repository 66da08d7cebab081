"""What must hold before anything is taken away. Each demand is a function: what is wrong, in words, with the way out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from greenroom.adapters.database.contracting import dependents, hiding, rewriting, steps
from greenroom.adapters.database.contracting.excuses import Problem
from greenroom.adapters.database.contracting.going import Going, created, going
from greenroom.adapters.database.contracting.sessions import sessions
from greenroom.adapters.database.contracting.settings import ContractSettings
from greenroom.adapters.database.contracting.store import Hidden
from greenroom.adapters.database.grammar import GRAMMARS
from greenroom.adapters.database.judging.naming import named
from greenroom.adapters.database.ledger import Ledger, Recorded
from greenroom.adapters.database.reading import Statement, changes, split
from greenroom.adapters.database.reading.change import DropColumn, DropTable
from greenroom.adapters.database.schemas import SearchPath, of_session
from greenroom.adapters.database.target import Session
from greenroom.domain.model import Verdict
from greenroom.domain.schema import Dialect, Order, Stage, Stand

_SCHEMA = """
SELECT n.nspname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = pg_catalog.to_regclass(%s)
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """One contract, and all that the demands look at."""

    ledger: Ledger
    order: Order
    settings: ContractSettings
    row: Recorded
    statements: Sequence[Statement]
    goings: tuple[Going, ...]
    hidden: Sequence[Hidden] = ()

    @property
    def out_of_reach(self) -> frozenset[Going]:
        return frozenset(one.going for one in self.hidden)


def demands(asked: Asked) -> list[Problem]:
    """All that is wrong, not the first of it. Without locks, but for what its own queries take."""
    return [problem for demand in _DEMANDS for problem in demand(asked)]


def standing(asked: Asked) -> list[Problem]:
    """Those that can change from one moment to the next: asked again in the transaction that takes away."""
    return [problem for demand in (_live, _window, _sessions) for problem in demand(asked)]


def _expanded(asked: Asked) -> list[Problem]:
    name, found = asked.row.name, []
    for stage in (Stage.EXPAND, Stage.BACKFILL):
        row = asked.ledger.migration(name, stage)
        if row is not None and row.state is not Stand.DONE:
            stand = "never ran here" if row.state is Stand.PENDING else "is not finished"
            found.append(
                Problem("not-expanded", f"{stage} of {name} {stand}", hint="deploy the release that brings it")
            )
    for part in asked.ledger.fillings(name):
        if part.verified_at is None:
            text = f"backfill {part.number} of {name} is not verified"
            found.append(Problem("not-expanded", text, hint="`greenroom deploy` of that release goes on with it"))
    return found


def _live(asked: Asked) -> list[Problem]:
    order = asked.order
    if not order.running or order.running != order.version:
        live = f"users have version {order.running}" if order.running else "no version has the users' traffic"
        return [Problem("not-live", f"version {order.version} is not live: {live}", hint="first it must serve")]
    if not order.baked:
        return [Problem("not-baked", f"the bake of version {order.version} is not over", Verdict.WAIT)]
    return []


def _window(asked: Asked) -> list[Problem]:
    order = asked.order
    if order.closed:
        return []
    return [
        Problem(
            "rollback-window",
            f"version {version} still runs on {colour}, so that a rollback may need it",
            Verdict.WAIT,
            "`greenroom retire` ends it now, and keep_warm by itself; or `--close-window --why …`",
        )
        for colour, version in sorted(order.colours.items())
        if version and version != order.running
    ]


def _sessions(asked: Asked) -> list[Problem]:
    found = sessions(asked.ledger.session, asked.order, asked.settings)
    if found.unseen:
        return [Problem("old-sessions", found.unseen, Verdict.UNKNOWN, _WITHOUT)]
    shown = "; ".join(map(str, (found.old or found.unclear)[:5]))
    if found.old:
        hint = "they end with their processes; a pool of connections may keep them for some minutes"
        return [Problem("old-sessions", f"the old version is still connected: {shown}", Verdict.WAIT, hint)]
    if found.unclear:
        text = f"nobody can say whether these are of the old version: {shown}"
        hint = (
            "let each colour log in with a role of its own (`colours`), or give each process an application name with"
            f' its colour (env: PGAPPNAME: "shop {{colour}} {{version}}"); {_WITHOUT}'
        )
        return [Problem("old-sessions", text, Verdict.UNKNOWN, hint)]
    return []


_WITHOUT = "or look yourself, and say so: `--allow old-sessions --why …`"


def _there(asked: Asked) -> list[Problem]:
    session, found = asked.ledger.session, []
    path = of_session(session)
    lenient = {one for statement in asked.statements for one in _if_exists(statement, session.dialect, path)}
    for one in asked.goings:
        if one.hideable and one not in lenient | asked.out_of_reach and not hiding.exists(session, one):
            hint = "see its name, and that the expand which this ends ran in this database"
            found.append(Problem("not-there", f"{one} is not there", hint=hint))
    return found


def _if_exists(statement: Statement, dialect: Dialect, path: SearchPath) -> list[Going]:
    done = [c for c in changes(statement, dialect) if isinstance(c, DropColumn | DropTable) and c.if_exists]
    return list(going(named(one, path) for one in done))


def _made_by_it(asked: Asked) -> list[Problem]:
    """What this release, or this very migration, has made is what the live version came for."""
    rows = [
        row
        for row in asked.ledger.migrations()
        if row.stage is Stage.EXPAND and (row.name == asked.row.name or row.release == asked.order.release)
    ]
    session, found = asked.ledger.session, []
    path = of_session(session)
    for row in rows:
        statements = split(row.text, asked.ledger.session.dialect, row.file)
        written = (c for one in statements for c in changes(one, asked.ledger.session.dialect))
        made = {_full(one, session) for one in created(named(one, path) for one in written)}
        for one in asked.goings:
            if _full(one, session) in made and one.kind != "function":
                text = f"{one} was made by {row.file} of release {row.release}, which is live"
                found.append(Problem("same-release", text, hint="name the old one, not the new"))
    return found


def _full(one: Going, session: Session) -> Going:
    """With the schema that a table without one has at this moment: one file may name it, and the other not."""
    if session.dialect is not Dialect.POSTGRES or one.kind not in ("column", "table", "view"):
        return one
    table = one.table or one.name
    for (schema,) in session.rows(_SCHEMA, [GRAMMARS[session.dialect].quote(table)]):
        whole = f"{schema}.{table.rpartition('.')[2]}"
        return replace(one, table=whole) if one.table else replace(one, name=whole)
    return one


def _takes_more(asked: Asked) -> list[Problem]:
    if asked.ledger.session.dialect is not Dialect.POSTGRES:
        return []
    shown = [one for one in asked.goings if one not in asked.out_of_reach]
    hint = "drop it by name before, if it is to go; CASCADE names nothing"
    return [Problem("takes-more", text, hint=hint) for text in dependents.hanging(asked.ledger.session, shown)]


def _kept_triggers(asked: Asked) -> list[Problem]:
    """The trigger that stays, though it writes a column that goes."""
    match asked.ledger.session.dialect:
        case Dialect.POSTGRES:
            return _functions_left(asked)
        case Dialect.MYSQL:
            return steps.problems(asked.ledger.session, asked.statements)
        case _:  # SQLite refuses the drop itself
            return []


def _functions_left(asked: Asked) -> list[Problem]:
    session = asked.ledger.session
    gone = {one.name for one in asked.goings if one.kind == "trigger"}
    dropped = {one.name.partition("(")[0].rpartition(".")[2] for one in asked.goings if one.kind == "function"}
    found = []
    for one in asked.goings:
        if one.kind != "column" or one in asked.out_of_reach:
            continue
        for function in rewriting.functions_of(session, one):
            name = function.name.partition("(")[0].rpartition(".")[2].strip('"')
            if name not in dropped and function.trigger not in gone:
                text = (
                    f"the trigger {function.trigger} of {one.table} stays, and its function {function.name} names {one}"
                )
                hint = "drop trigger and function in the same contract.sql, or change the function before"
                found.append(Problem("sync-trigger", text, hint=hint))
    return found


_DEMANDS: tuple[Callable[[Asked], list[Problem]], ...] = (
    _expanded,
    _live,
    _window,
    _sessions,
    _there,
    _made_by_it,
    _takes_more,
    _kept_triggers,
)
