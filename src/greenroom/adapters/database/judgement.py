"""The judge's question, asked whole: what is left of these stages, with all that the database and a rehearsal tell of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from greenroom.adapters.database.judging import Context, Schema, Size
from greenroom.adapters.database.ledger import Ledger
from greenroom.adapters.database.reading import Statement, split
from greenroom.adapters.database.running.runner import checksum
from greenroom.adapters.database.settings import SqlSettings
from greenroom.adapters.database.shadow.facts import Facts
from greenroom.adapters.database.target import Session, of
from greenroom.domain.schema import Dialect, Migration, Order, Ruled, Ruling, Script, Stage, Stand
from greenroom.errors import PortError


@dataclass(slots=True)
class _Seen:
    """What the database tells. `source`: its schema, as `shadow.schema` has it, None if it cannot be had."""

    done: dict[tuple[str, Stage], frozenset[tuple[int, str]]] = field(default_factory=dict)
    ended: frozenset[tuple[str, Stage]] = frozenset()
    sizes: Mapping[str, Size] = field(default_factory=dict)
    source: object | None = None


@dataclass(slots=True)
class _File:
    """`left`: statements that have not run; `all`: every one."""

    migration: str
    stage: Stage
    script: Script
    all: list[Statement]
    left: list[Statement]
    facts: dict[int, Facts] = field(default_factory=dict)


def judged(
    settings: SqlSettings,
    stages: Sequence[Stage],
    order: Order,
    migrations: Sequence[Migration],
    *,
    blind: bool = False,
) -> list[Ruled]:
    """Every statement of these stages that has not run yet, in the order in which they will.

    `blind`: where the database cannot be reached the files alone are judged; else that is raised.
    """
    seen = _look(settings, order, blind)
    files = _files(of(settings.url).dialect, migrations, seen)
    asked = [file for file in files if file.stage in stages and file.left]
    if settings.shadow and seen.source is not None:
        _rehearse(settings.shadow, asked, seen)
    found: list[Ruled] = []
    for file in asked:
        found += _file(file, files, seen, order, settings)
    return found


def _look(settings: SqlSettings, order: Order, blind: bool) -> _Seen:
    target = of(settings.url)
    try:
        session = target.open("judge", patience=30.0)
    except PortError:
        if blind:
            return _Seen()
        raise
    try:
        seen = _Seen()
        ledger = Ledger(session, order.service)
        if ledger.made:
            rows = ledger.migrations()
            seen.ended = frozenset((row.name, row.stage) for row in rows if row.state in (Stand.DONE, Stand.SOFT))
            for row in rows:
                statements = ledger.statements(row.name, row.stage).values()
                ran = frozenset((one.number, one.checksum) for one in statements if one.state is Stand.DONE)
                seen.done[row.name, row.stage] = ran
        if session.dialect is Dialect.POSTGRES:
            _of_postgres(settings, session, target.place, seen)
        return seen
    finally:
        session.close()


def _of_postgres(settings: SqlSettings, session: Session, place: str, seen: _Seen) -> None:
    from greenroom.adapters.database.shadow.schema import of_target
    from greenroom.adapters.database.shadow.sizes import sizes

    seen.sizes = sizes(session)
    try:
        seen.source = of_target(settings.url, session, place)
    except PortError:
        if settings.shadow:  # somebody wants a rehearsal, and would not get one
            raise


def _files(dialect: Dialect, migrations: Sequence[Migration], seen: _Seen) -> list[_File]:
    """By stage, then by name: as they run."""
    found = []
    for stage in Stage:
        for migration in migrations:
            script = migration.scripts.get(stage)
            if script is not None and script.file.endswith(".sql"):
                statements = split(script.text, dialect, script.file)
                ended = (migration.name, stage) in seen.ended
                ran = seen.done.get((migration.name, stage), frozenset())
                left = [] if ended else [one for one in statements if (one.number, checksum(one)) not in ran]
                found.append(_File(migration.name, stage, script, statements, left))
    return found


def _rehearse(url: str, files: Sequence[_File], seen: _Seen) -> None:
    """All of them on one shadow, one after the other."""
    from greenroom.adapters.database.shadow.rehearsal import Shadow
    from greenroom.adapters.database.shadow.schema import Source

    assert isinstance(seen.source, Source)
    places = [(file, statement) for file in files for statement in file.left]
    if not places:
        return
    with Shadow(url) as shadow:
        facts = shadow.rehearse([statement for _, statement in places], seen.source)
    for (file, statement), one in zip(places, facts, strict=False):
        file.facts[statement.number] = one


def _file(file: _File, files: Sequence[_File], seen: _Seen, order: Order, settings: SqlSettings) -> list[Ruled]:
    from greenroom.adapters.database.judging import created, judge

    dialect = of(settings.url).dialect
    before = files[: next(i for i, other in enumerate(files) if other is file)]
    known = seen.source is not None
    applied = [one for other in before for one in (other.left if known else other.all)]
    expanded = [one for other in before if other.stage is Stage.EXPAND and other.left for one in other.all]
    own = [one for other in before if other.migration == file.migration for one in other.all]
    made = created([*expanded, *own], dialect)
    text = getattr(seen.source, "text", "")
    context = Context(
        dialect,
        order.running,
        Schema(split(text, dialect)) if known else None,
        applied,
        file.facts,
        made,
        seen.sizes,
    )
    return [_overridden(one, order) for one in judge(file.left, file.stage, context)]


def _overridden(one: Ruled, order: Order) -> Ruled:
    """By the command line, for this statement or this rule."""
    why = order.overrides.get(f"{one.file}:{one.line}") or order.overrides.get(one.rule)
    if one.ruling is not Ruling.REFUSE or not why:
        return one
    return replace(one, ruling=Ruling.WARN, override=f"{order.by}: {why}")
