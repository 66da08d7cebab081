"""Statement by statement: every hit of a rule becomes a ruling, unless somebody answers for it."""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from greenroom.adapters.database.judging import (
    backfill,
    common,
    contract,
    expand,
    locks,
    mysql,
    presence,
    resolving,
    sqlite,
)
from greenroom.adapters.database.judging.context import Context, Schema
from greenroom.adapters.database.judging.facts import locks_of, together
from greenroom.adapters.database.judging.learning import learn
from greenroom.adapters.database.judging.naming import named
from greenroom.adapters.database.judging.rule import Hit
from greenroom.adapters.database.judging.rules import RULES
from greenroom.adapters.database.judging.world import World
from greenroom.adapters.database.reading import Allow, Statement, Unreadable, changes
from greenroom.adapters.database.reading.change import Change, Opaque
from greenroom.adapters.database.schemas import FLAT, SearchPath
from greenroom.domain.schema import Dialect, Ruled, Ruling, Stage

MAYBE = re.compile(r"ALTER\s+TABLE\s+IF\s+EXISTS\b", re.IGNORECASE)
EXPAND = {Dialect.POSTGRES: expand.hits, Dialect.MYSQL: mysql.expand, Dialect.SQLITE: sqlite.expand}
CONTRACT = {Dialect.POSTGRES: contract.hits, Dialect.MYSQL: mysql.contract, Dialect.SQLITE: sqlite.contract}
REHEARSE = "; or name a server for the rehearsal (`shadow:`, `--shadow`), which sees what it does"
VERBS = {"uses": "use", "reads": "read", "writes": "write", "calls": "call"}


DEMANDS = frozenset(("soft-drop", "code", "statements", "select-star", "evidence"))
"""Of the contract, which a file may let go as well: `contracting.excuses`."""


_READ: dict[Dialect, tuple[Schema, World]] = {}
"""The last schema, and what was read of it."""


def judge(statements: Sequence[Statement], stage: Stage, context: Context) -> list[Ruled]:
    """One ruling for each rule that a statement hits, the worst first; one that allows it where none does.

    Raises `Unreadable` where a directive of the file allows a rule that there is not.
    """
    world = _world(stage, context)
    read = [changes(statement, context.dialect) for statement in statements]
    found: list[Ruled] = []
    for i, statement in enumerate(statements):
        finder, facts = resolving.Finder(world), context.facts.get(statement.number)
        changed = [named(change, finder) for change in read[i]]
        behind = read[i + 1 :] if stage is Stage.CONTRACT else []
        later = [named(change, world) for each in behind for change in each]
        hits = [*finder.hits, *resolving.unread(changed, world)]
        moved = resolving.moved(statement, changed, facts, world)
        hits += _hits(changed, later, stage, world, MAYBE.match(statement.sql) is not None)
        hits = together(hits, statement, stage, context, changed)
        hits = _once([*hits, *resolving.observed(changed, facts, world)])
        learn(statement, changed, context, world, fresh=stage is Stage.EXPAND)
        world.moved = moved or world.moved
        found += _ruled(statement, changed, hits, context)
    return found


def _world(stage: Stage, context: Context) -> World:
    """After expand, what ran before counts as made by the release; in expand, only what is known to be."""
    world = _of_schema(context)
    for statement in context.applied:
        world.moved = resolving.moved(statement, changes(statement, world.dialect), None, world) or world.moved
    world.known = frozenset() if world.complete else frozenset(context.sizes)
    world.trusting = stage is not Stage.EXPAND
    world.read(context.applied, fresh=stage is not Stage.EXPAND)
    world.trusting = False
    world.fresh |= context.created
    return world


def tables(schema: Schema | None, dialect: Dialect, path: SearchPath) -> frozenset[str]:
    """That this schema makes."""
    if schema is None:
        return frozenset()
    return frozenset(_kept(Context(dialect, schema=schema, path=path), schema).tables)


def _of_schema(context: Context) -> World:
    if context.schema is None:
        return World(context.dialect, path=context.path)
    return _kept(context, context.schema).copy()


def _kept(context: Context, schema: Schema) -> World:
    """Read once: many files are judged by the same schema."""
    kept = _READ.get(context.dialect)
    path = context.path if context.dialect is Dialect.POSTGRES else FLAT
    if kept is None or kept[0] is not schema or kept[1].path != path:
        world = World(context.dialect, complete=True, path=path)
        kept = _READ[context.dialect] = (schema, world.read(schema.statements))
    return kept[1]


def _hits(changed: Sequence[Change], later: Sequence[Change], stage: Stage, world: World, maybe: bool) -> Iterator[Hit]:
    """The world is changed by what is judged."""
    for change in changed:
        yield from common.hits(change, world)
        yield from presence.hits(change, world, maybe=maybe, serving=stage is Stage.EXPAND)
        if presence.nothing(change, world, maybe=maybe):
            continue
        match stage:
            case Stage.EXPAND:
                yield from EXPAND[world.dialect](change, changed, world)
            case Stage.BACKFILL:
                yield from backfill.hits(change, world)
            case Stage.CONTRACT:
                yield from CONTRACT[world.dialect](change, changed, later, world)
        world.apply(change, fresh=stage is Stage.EXPAND)


def _once(hits: Iterable[Hit]) -> list[Hit]:
    """A rule that is hit twice in the same words is told once."""
    found: dict[object, Hit] = {}
    for hit in hits:
        found.setdefault((hit.rule, tuple(sorted(hit.names.items()))), hit)
    order = list(Ruling)
    return sorted(found.values(), key=lambda hit: -order.index(hit.ruling or RULES[hit.rule].ruling))


def _ruled(statement: Statement, changed: Sequence[Change], hits: Sequence[Hit], context: Context) -> list[Ruled]:
    allows = {allow.rule: allow for allow in statement.allows}
    for rule in allows.keys() - RULES.keys() - DEMANDS:
        near = difflib.get_close_matches(rule, RULES, 3, 0.4)
        hint = f"the nearest are {', '.join(near)}" if near else "all rules: docs/reference/migration-rules.md"
        raise Unreadable(statement.place(), f"there is no rule `{rule}` that could be allowed", hint)
    taken = locks.of(changed) if context.dialect is Dialect.POSTGRES else ()
    taken = locks_of(statement, context) or taken
    plain = Ruled(statement.file, statement.line, statement.sql, Ruling.ALLOW, locks=taken)
    plain = _sized(plain, {table for hit in hits for table in hit.tables} | locks.tables(changed), context)
    ruled = [_of_hit(plain, hit, statement, changed, allows, context) for hit in hits]
    return sorted(ruled, key=lambda one: list(Ruling).index(one.ruling), reverse=True) or [plain]


def _of_hit(
    plain: Ruled,
    hit: Hit,
    statement: Statement,
    changed: Sequence[Change],
    allows: Mapping[str, Allow],
    context: Context,
) -> Ruled:
    rule = RULES[hit.rule]
    names = _names(hit, context)
    reason = rule.why.format_map(names)
    if hit.rule == "not-understood":
        at = next((change.at for change in changed if isinstance(change, Opaque)), 0)
        reason = f"At {statement.place(at)}: {reason}"
    ruled = replace(
        plain,
        ruling=hit.ruling or rule.ruling,
        rule=rule.id,
        reason=reason[0].upper() + reason[1:],
        instead=hit.instead or rule.instead.format_map(names),
    )
    allow = allows.get(rule.id)
    if allow is None:
        return ruled
    return replace(ruled, ruling=Ruling.WARN, override=f"{allow.by}: {allow.why}" if allow.by else allow.why)


def _names(hit: Hit, context: Context) -> Mapping[str, str]:
    running = f"version {context.running}" if context.running else "the running version"
    known = defaultdict(lambda: "…", {key: value for key, value in hit.names.items() if value})
    about = [f"{known['table']}.{known['column']}", known["name"], known["table"]]
    evidence = next((context.uses[name] for name in about if name in context.uses), "")
    known["running"], known["rehearse"] = running, "" if context.facts else REHEARSE
    for key, verb in VERBS.items():
        known[key] = f"{running} still {key}" if evidence else f"{running} may still {verb}"
    return known


def _sized(ruled: Ruled, tables: Iterable[str], context: Context) -> Ruled:
    """The biggest table that it works on."""
    sizes = [context.sizes[table] for table in tables if table in context.sizes]
    biggest = max(sizes, key=lambda size: size.bytes, default=None)
    return replace(ruled, rows=biggest.rows, bytes=biggest.bytes) if biggest else ruled
