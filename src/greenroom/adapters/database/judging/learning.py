"""What a rehearsal saw of a statement that nobody could read, as the changes that somebody could have read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from greenroom.adapters.database.judging.context import Context
from greenroom.adapters.database.judging.differences import bare
from greenroom.adapters.database.judging.world import World
from greenroom.adapters.database.reading import Statement
from greenroom.adapters.database.reading import change as c
from greenroom.adapters.database.reading.change import Change
from greenroom.adapters.database.shadow.facts import Difference


def learn(statement: Statement, changed: Sequence[Change], context: Context, world: World, *, fresh: bool) -> None:
    """The statements behind it are judged by what is there then."""
    facts = context.facts.get(statement.number)
    if facts is None or not facts.seen or not any(isinstance(one, c.Opaque | c.Query) for one in changed):
        return
    for kind in ("table", "view", "column"):
        for difference in facts.of(kind):
            for change in _read(difference):
                world.apply(change, fresh=fresh)


def _read(difference: Difference) -> Iterator[Change]:
    name, facts = bare(difference), difference.after or {}
    match difference.kind:
        case "table" if difference.added:
            yield c.CreateTable(difference.name, source="like")
        case "table" if difference.removed:
            yield c.DropTable(difference.name)
        case "view" if difference.added:
            yield c.Create("view", difference.name)
        case "view" if difference.removed:
            yield c.Drop("view", difference.name)
        case "column" if difference.added:
            yield c.AddColumn(
                difference.table, c.Column(name, str(facts["type"]), not facts["not null"], facts["default"])
            )
        case "column" if difference.removed:
            yield c.DropColumn(difference.table, name)
