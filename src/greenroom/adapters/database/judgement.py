"""The judge's question, asked whole: what is left of these stages, with all that the database and a rehearsal tell of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from greenroom.adapters.database.backfill.fill import Fill
from greenroom.adapters.database.concern import Concern
from greenroom.adapters.database.costing import priced, works
from greenroom.adapters.database.judging import Context, Schema, Size, created, judge, tables
from greenroom.adapters.database.judging.facts import made_by
from greenroom.adapters.database.judging.naming import named
from greenroom.adapters.database.judging.world import World
from greenroom.adapters.database.looking import Seen, look
from greenroom.adapters.database.probing import Premise
from greenroom.adapters.database.reading import Allow, Statement, changes, split
from greenroom.adapters.database.reading import change as c
from greenroom.adapters.database.running.runner import checksum
from greenroom.adapters.database.settings import SqlSettings
from greenroom.adapters.database.shadow.facts import Facts
from greenroom.adapters.database.target import dialect_of
from greenroom.domain.schema import Dialect, Migration, Order, Ruled, Ruling, Script, Stage, Stand

LONG = 5.0


@dataclass(slots=True)
class File:
    """`left`: statements that have not run; `all`: every one."""

    migration: str
    stage: Stage
    script: Script
    all: Sequence[Statement]
    left: Sequence[Statement] = ()
    facts: dict[int, Facts] = field(default_factory=dict)


def judged(
    settings: SqlSettings,
    stages: Sequence[Stage],
    order: Order,
    migrations: Sequence[Migration],
    *,
    planning: bool = False,
    made: Sequence[Statement] = (),
) -> list[Ruled]:
    """Every statement of these stages that has not run yet, in the order in which they will; first what is in the way of
    all of them. `planning`: nothing runs afterwards, and a second may be spent on how fast the database is.
    `made`: what this release's expand has run that is not in `migrations`.
    """
    files = _files(settings, migrations)

    def premise(seen: Seen) -> Premise | None:
        for file in files:
            file.left = _left(file, seen)
        return _premise(settings, order, [f for f in files if f.stage is Stage.EXPAND and f.stage in stages])

    seen = look(settings, order, premise, planning=planning)
    asked = [file for file in files if file.stage in stages and file.left]
    if seen.schema is not None and (settings.shadow or dialect_of(settings.url) is Dialect.SQLITE):
        _rehearse(settings.shadow, dialect_of(settings.url), asked, files, seen)
    found = [_as_ruled(concern, seen.place) for concern in seen.concerns]
    for stage in Stage:
        of_stage = [file for file in asked if file.stage is stage]
        # A contract may drop what an earlier release has made, and not what its own has.
        for group in [[file] for file in of_stage] if stage is Stage.CONTRACT else [of_stage]:
            found += _ruled(group, files, seen, order, settings, made) if group else []
    return [_overridden(one, order) for one in found]


def objected(settings: SqlSettings, order: Order, migrations: Sequence[Migration]) -> list[Ruled]:
    """What the ledger says against these files: changed after they ran, out of order, another release's."""
    from greenroom.adapters.database.ledger import Ledger
    from greenroom.adapters.database.running.standing import objections
    from greenroom.adapters.database.target import of

    session = of(settings.url).open("judge", patience=10.0)
    try:
        ledger = Ledger(session, order.service)
        found = objections(ledger, order, migrations) if ledger.made else []
    finally:
        session.close()
    return [Ruled(settings.folder, 0, "", Ruling.REFUSE, "not-as-it-ran", text) for text in found]


def _files(settings: SqlSettings, migrations: Sequence[Migration]) -> list[File]:
    """By stage, then by name: as they run."""
    dialect = dialect_of(settings.url)
    return [
        File(migration.name, stage, script, _statements(script, dialect))
        for stage in Stage
        for migration in migrations
        if (script := migration.scripts.get(stage)) is not None
    ]


def _statements(script: Script, dialect: Dialect) -> list[Statement]:
    """What a backfill declares in YAML is judged as the UPDATE that it stands for."""
    if script.file.endswith(".sql"):
        return split(script.text, dialect, script.file)
    from greenroom.adapters.database.backfill.declared import declared

    return [
        Statement(script.file, 1, f"UPDATE {fill.table} SET {fill.assignments()}{where}", number, _allows(fill))
        for number, fill in enumerate(declared(script, dialect), 1)
        for where in [f" WHERE {fill.where}" if fill.where else ""]
    ]


def _allows(fill: Fill) -> tuple[Allow, ...]:
    return tuple(Allow(rule, "", why) for rule, why in fill.allows)


def _left(file: File, seen: Seen) -> list[Statement]:
    row = seen.row(file.migration, file.stage)
    if row is not None and row.state in (Stand.DONE, Stand.SOFT):
        return []
    done = seen.ran.get((file.migration, file.stage), ())
    ran = {(one.number, one.checksum) for one in done if one.state is Stand.DONE}
    return [one for one in file.all if (one.number, checksum(one)) not in ran]


def _rehearse(url: str, dialect: Dialect, asked: Sequence[File], files: Sequence[File], seen: Seen) -> None:
    """All of them on one shadow, one after the other, behind what is left of earlier stages. SQLite's is in memory: it
    needs no address.
    """
    places = [(file, statement) for file in asked for statement in file.left]
    statements = [statement for _, statement in places]
    if not places:
        return
    earlier = files[: next(i for i, file in enumerate(files) if file is asked[0])]
    applied = [statement for file in earlier for statement in file.left]
    if dialect is Dialect.POSTGRES:
        from greenroom.adapters.database.shadow.rehearsal import Shadow
        from greenroom.adapters.database.shadow.schema import Source

        source = Source(seen.schema or "", seen.version, seen.path, f"the schema of the {seen.place}")
        with Shadow(url) as shadow:
            facts = shadow.rehearse(statements, source, applied)
    else:
        from greenroom.adapters.database.shadow.elsewhere import rehearsed

        facts = rehearsed(url, dialect, statements, seen.schema or "", applied)
    for (file, statement), one in zip(places, facts, strict=True):
        file.facts[statement.number] = one


def _ruled(
    group: Sequence[File],
    files: Sequence[File],
    seen: Seen,
    order: Order,
    settings: SqlSettings,
    made: Sequence[Statement],
) -> list[Ruled]:
    """Of files of one stage, which follow each other: the judge is asked once, and reads the schema once."""
    dialect = dialect_of(settings.url)
    before = files[: next(i for i, file in enumerate(files) if file is group[0])]
    known = seen.schema is not None
    applied = [one for file in before for one in (file.left if known else file.all)]
    names = {file.migration for file in group}
    ours = [file for file in before if file.left or file.migration in names]
    numbered = [(file, one) for file in group for one in file.left]
    asked = [replace(one, number=i) for i, (_, one) in enumerate(numbered, 1)]
    facts = {i: file.facts[one.number] for i, (file, one) in enumerate(numbered, 1) if one.number in file.facts}
    sizes = {name: Size(table.rows or 0, table.all_bytes) for name, table in seen.sizes.items()}
    schema = None if seen.schema is None else _schema(seen.schema, dialect)
    expanded = [*made, *(one for file in ours for one in file.all)]
    context = Context(
        dialect,
        order.running,
        schema,
        applied,
        facts,
        created(expanded, dialect, seen.path, tables(schema, dialect, seen.path) | sizes.keys())
        | made_by(fact for file in ours for fact in file.facts.values()),
        sizes,
        path=seen.path,
    )
    return _priced(judge(asked, group[0].stage, context), asked, facts, seen, settings)


@lru_cache(maxsize=1)
def _schema(text: str, dialect: Dialect) -> Schema:
    """Each contract is judged by itself, against the same one."""
    return Schema(split(text, dialect, "the database"))


def _priced(
    found: Iterable[Ruled],
    statements: Sequence[Statement],
    facts: Mapping[int, Facts],
    seen: Seen,
    settings: SqlSettings,
) -> list[Ruled]:
    """The first ruling of each statement says what it costs."""
    dialect = dialect_of(settings.url)
    places = {(one.file, one.line, one.sql): one for one in statements}
    names, made = World(dialect, path=seen.path, known=frozenset(seen.sizes)), []
    for one in found:
        statement = places.pop((one.file, one.line, one.sql), None)
        if statement is not None and seen.sizes:
            changed = tuple(named(change, names) for change in changes(statement, dialect))
            work = works(changed, facts.get(statement.number))
            one = priced(one, work, seen.sizes, seen.speed, settings.large)
        made.append(one)
    return made


def _premise(settings: SqlSettings, order: Order, files: Sequence[File]) -> Premise | None:
    """What is asked of the running version and the server before the first statement; None where nothing is left."""
    dialect = dialect_of(settings.url)
    changed = [change for file in files for one in file.left for change in changes(one, dialect)]
    if not changed:
        return None
    tables = dict.fromkeys(change.table for change in changed if isinstance(change, c.OnTable))
    shape = any(isinstance(change, c.AddColumn | c.DropColumn) for change in changed)
    roles = {str(colour): role for colour, role in settings.colours.items()}
    return Premise(tuple(tables), shape, LONG, roles, order.colours, settings.probes)


def _as_ruled(concern: Concern, place: str) -> Ruled:
    return Ruled(place, 0, "", concern.ruling, concern.rule, concern.reason, concern.instead)


def _overridden(one: Ruled, order: Order) -> Ruled:
    """By the command, for this statement or for this rule."""
    why = order.overrides.get(f"{one.file}:{one.line}") or order.overrides.get(one.rule)
    if one.ruling is not Ruling.REFUSE or not why:
        return one
    return replace(one, ruling=Ruling.WARN, override=f"{order.by}: {why}")
