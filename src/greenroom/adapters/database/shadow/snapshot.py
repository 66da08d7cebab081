"""The catalogue of a shadow at one instant, and what is another between two of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.sql import Literal

from greenroom.adapters.database.shadow import catalogue
from greenroom.adapters.database.shadow.facts import Difference

Connection = psycopg.Connection[Any]
Key = tuple[str, str]
"""Kind and name."""

_PARTS_OF_TABLES = {"column", "index", "constraint", "trigger", "rule", "policy", "privilege"}
_OWN = ("table", "view", "sequence", "function", "type")
KINDS = {
    "r": "table",
    "p": "table",
    "f": "table",
    "v": "view",
    "m": "view",
    "i": "index",
    "I": "index",
    "S": "sequence",
    "c": "type",
}


@dataclass(frozen=True, slots=True)
class Relation:
    """`file`: of its rows, another one once they were written anew; None where there are none. `table`: of an index."""

    name: str
    kind: str
    file: int | None
    table: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`objects`: which table it belongs to and its facts as JSON. `relations`: by OID, since names can be dropped."""

    objects: Mapping[Key, tuple[str, str]]
    relations: Mapping[int, Relation]

    def named(self) -> dict[str, Relation]:
        return {relation.name: relation for relation in self.relations.values()}


def take(db: Connection, home: str) -> Snapshot:
    """Inside a transaction it sees what that transaction did. The session's `search_path` must be ours. `home`: the schema
    that names leave out.
    """
    asked, relations = (text.replace(":home", Literal(home).as_string(db)) for text in (_OBJECTS, catalogue.RELATIONS))
    objects = {(kind, name): (table, facts) for kind, name, table, facts in db.execute(asked.encode()).fetchall()}
    rows = db.execute(relations.encode()).fetchall()
    return Snapshot(objects, {oid: Relation(name, KINDS.get(kind, kind), *rest) for oid, name, kind, *rest in rows})


_OBJECTS = f"SELECT kind, name, of, facts::text FROM ({catalogue.OBJECTS}) AS object (kind, name, of, facts)"


def differences(before: Snapshot, after: Snapshot) -> tuple[Difference, ...]:
    """In the order of kinds and names. Of a table that came or went, its parts are not told one by one."""
    changed = {key for key in before.objects.keys() | after.objects.keys() if _differs(key, before, after)}
    whole = {name for kind, name in changed if kind in _OWN and _one_side((kind, name), before, after)}
    return tuple(sorted(_told(changed, whole, before, after), key=lambda d: (d.kind, d.name)))


def _differs(key: Key, before: Snapshot, after: Snapshot) -> bool:
    return before.objects.get(key) != after.objects.get(key)


def _one_side(key: Key, before: Snapshot, after: Snapshot) -> bool:
    return (key in before.objects) != (key in after.objects)


def _told(changed: set[Key], whole: set[str], before: Snapshot, after: Snapshot) -> Iterator[Difference]:
    for kind, name in changed:
        was, is_now = before.objects.get((kind, name)), after.objects.get((kind, name))
        table = (was or is_now or ("", ""))[0]
        if kind in _PARTS_OF_TABLES and table in whole:
            continue
        yield Difference(kind, name, table, _facts(was), _facts(is_now))


def _facts(found: tuple[str, str] | None) -> dict[str, Any] | None:
    if found is None:
        return None
    facts: dict[str, Any] = json.loads(found[1])
    return facts


def rewritten(before: Snapshot, after: Snapshot) -> dict[str, tuple[str, ...]]:
    """By kind, the names of what lies in another file than before though the object is still there.

    A change of type may give an index a new OID over the same file, so indexes are compared by name and definition.
    """
    now = after.named()
    found: dict[str, list[str]] = {"table": [], "index": [], "sequence": []}
    for relation in before.relations.values():
        later, kind = now.get(relation.name), "table" if relation.kind == "view" else relation.kind
        if later is None or later.kind != relation.kind or relation.file in (None, later.file) or kind not in found:
            continue
        if kind != "index" or not _differs(("index", relation.name), before, after):
            found[kind].append(relation.name)
    return {kind: tuple(sorted(names)) for kind, names in found.items()}
