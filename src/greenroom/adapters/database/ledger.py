"""The ledger: what was done to this database, in the database itself, by the transaction that did it.

Nothing here begins a transaction: what a method writes is written with whatever else the caller's transaction does. One
database may serve several services; each sees its own rows only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from greenroom.adapters.database import tables
from greenroom.adapters.database.grammar import GRAMMARS
from greenroom.adapters.database.target import Session
from greenroom.domain.schema import Order, Stage, Stand
from greenroom.errors import Permanent


@dataclass(frozen=True, slots=True)
class Recorded:
    """One stage of one migration. `text`: of its file, so that contract needs no file later. Times: None, not yet."""

    name: str
    stage: Stage
    checksum: str
    file: str
    text: str
    state: Stand = Stand.PENDING
    release: str = ""
    version: str = ""
    by: str = ""
    overrides: Mapping[str, str] = field(default_factory=dict)
    begun_at: float | None = None
    done_at: float | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """One statement. `state`: `running` (of what no transaction can hold: begun, its end not known), `done`."""

    name: str
    stage: Stage
    number: int
    checksum: str
    state: Stand
    took: float = 0.0
    done_at: float | None = None


@dataclass(frozen=True, slots=True)
class Filling:
    """One backfill of a migration. `lower`, `upper`, `at`: keys, as whoever fills writes them. `rows` done `of` so many,
    lately `rate` a second.
    """

    name: str
    number: int
    lower: str | None
    upper: str | None
    at: str | None
    rows: int
    of: int
    batch: int
    state: Stand
    rate: float = 0.0
    begun_at: float | None = None
    touched_at: float | None = None
    verified_at: float | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """The one row of a service that rollback and contract both lock. `state`: open, going_back, contracting, contracted.

    `epoch`: the newest that anybody acted under.
    """

    release: str
    version: str
    epoch: int
    state: str
    by: str
    at: float


_Row = TypeVar("_Row", Recorded, Done, Filling, Held)


class Ledger:
    """Of one service, by one session."""

    def __init__(self, session: Session, service: str) -> None:
        self.session, self.service = session, service
        self.grammar = GRAMMARS[session.dialect]

    def make(self) -> None:
        """Its tables, where they are not. `Permanent` names the rights that are missing."""
        tables.make(self.session)

    @property
    def made(self) -> bool:
        return tables.made(self.session)

    def now(self) -> float:
        """The server's clock: seconds since 1970."""
        return float(self.session.rows(f"SELECT {self.grammar.epoch}")[0][0])

    # --- migrations -------------------------------------------------------------------------------------------

    def migrations(self) -> list[Recorded]:
        """All stages of all migrations, by name; expand before backfill before contract."""
        rows = self._read("migration", Recorded)
        return sorted(rows, key=lambda row: (row.name, list(Stage).index(row.stage)))

    def migration(self, name: str, stage: Stage) -> Recorded | None:
        return self._one(self._read("migration", Recorded, name=name, stage=str(stage)))

    def put_migration(self, row: Recorded) -> None:
        """As it now is, whatever was there."""
        self._write("migration", row)

    def begin(self, row: Recorded, order: Order) -> None:
        """This stage runs, for this order; where it ran before, since then."""
        begun = row.begun_at if row.begun_at is not None else self.now()
        changed = replace(row, state=Stand.RUNNING, begun_at=begun, done_at=None)
        self.put_migration(replace(changed, release=order.release, version=order.version, by=order.by))

    def end(self, name: str, stage: Stage, state: Stand = Stand.DONE) -> None:
        row = self.migration(name, stage)
        if row is not None:
            self.put_migration(replace(row, state=state, done_at=self.now()))

    # --- statements -------------------------------------------------------------------------------------------

    def statements(self, name: str, stage: Stage) -> dict[int, Done]:
        return {row.number: row for row in self._read("statement", Done, name=name, stage=str(stage))}

    def put_statement(self, row: Done) -> None:
        self._write("statement", row)

    def did(self, name: str, stage: Stage, number: int, checksum: str, took: float) -> None:
        """In the transaction of the statement itself."""
        self.put_statement(Done(name, stage, number, checksum, Stand.DONE, took, self.now()))

    # --- backfills --------------------------------------------------------------------------------------------

    def fillings(self, name: str = "") -> list[Filling]:
        """Of this migration, of all where none is named; in order."""
        found = self._read("backfill", Filling, name=name) if name else self._read("backfill", Filling)
        return sorted(found, key=lambda row: (row.name, row.number))

    def filling(self, name: str, number: int, *, lock: bool = False) -> Filling | None:
        return self._one(self._read("backfill", Filling, lock=lock, name=name, number=number))

    def new_filling(self, row: Filling) -> None:
        """Where there is none yet; whoever was first is right."""
        self._insert_new("backfill", row)

    def put_filling(self, row: Filling) -> None:
        self._write("backfill", row)

    # --- the release ------------------------------------------------------------------------------------------

    def held(self, *, lock: bool = False) -> Held | None:
        """`lock`: nobody else has it until the transaction ends."""
        return self._one(self._read("release", Held, lock=lock))

    def put_held(self, row: Held) -> None:
        self._write("release", row)

    def claim(self, order: Order) -> Held:
        """Act for this order, in a transaction: the row, locked, with this epoch as the newest; `Permanent` if not.

        A new release is `open`, where the last one has no contract under way. Epoch 0: no engine asks, a person does; it
        is neither fenced nor fences.
        """
        self._insert_new("release", Held(order.release, order.version, order.epoch, "open", order.by, self.now()))
        held = self.held(lock=True)
        assert held is not None
        if held.epoch > order.epoch > 0:
            raise outdated(order, held)
        epoch = max(held.epoch, order.epoch)
        if held.release != order.release and held.state != "contracting":
            held = Held(order.release, order.version, epoch, "open", order.by, self.now())
        held = replace(held, epoch=epoch)
        self.put_held(held)
        return held

    def overtake(self, order: Order) -> None:
        """Nobody acts under an older lease than this order's any more, in a transaction; what the row says of a way back or
        of a contract stays. `Permanent` if there is a newer one.
        """
        held = self.held(lock=True)
        if held is None:
            self.claim(order)
        elif held.epoch > order.epoch > 0:
            raise outdated(order, held)
        elif held.epoch < order.epoch:
            self.put_held(replace(held, epoch=order.epoch))

    def fence(self, order: Order) -> None:
        """`Permanent` if somebody has acted under a newer lease than this order's."""
        held = self.held()
        if held is not None and held.epoch > order.epoch > 0:
            raise outdated(order, held)

    # --- rows -------------------------------------------------------------------------------------------------

    def _read(self, table: str, kind: type[_Row], *, lock: bool = False, **keys: Any) -> list[_Row]:
        keys = {"service": self.service, **keys}
        names = [self.grammar.quote(f.name) for f in fields(kind)]
        where = " AND ".join(f"{self.grammar.quote(name)} = %s" for name in keys)
        query = f"SELECT {', '.join(names)} FROM {self.grammar.table(table)} WHERE {where}"
        found = self.session.rows(query + (self.grammar.for_update if lock else ""), list(keys.values()))
        return [kind(**_read_back({f.name: v for f, v in zip(fields(kind), row, strict=True)})) for row in found]

    def _write(self, table: str, row: _Row) -> None:
        keys, others, values = self._parts(table, row)
        self.session.run(self.grammar.upsert(self.grammar.table(table), keys, others), values)

    def _insert_new(self, table: str, row: _Row) -> None:
        keys, others, values = self._parts(table, row)
        self.session.run(self.grammar.insert_new(self.grammar.table(table), keys, others), values)

    def _parts(self, table: str, row: Recorded | Done | Filling | Held) -> tuple[list[str], list[str], list[Any]]:
        """Key columns, other columns, and the values of both."""
        given = {"service": self.service, **{f.name: _kept(getattr(row, f.name)) for f in fields(row)}}
        _, key = tables.columns(self.grammar, table)
        others = [name for name in given if name not in key]
        return list(key), others, [given[name] for name in (*key, *others)]

    @staticmethod
    def _one(rows: Sequence[_Row]) -> _Row | None:
        return rows[0] if rows else None


class Outdated(Permanent):
    """Somebody acts under a newer lease."""


def outdated(order: Order, held: Held) -> Outdated:
    return Outdated(
        f"Another Greenroom has changed this database since (epoch {held.epoch}, release {held.release} by {held.by});"
        f" this one acts under epoch {order.epoch}.",
        hint="Nothing was done. `greenroom status` shows who releases now.",
    )


def _kept(value: Any) -> Any:
    """As the database keeps it."""
    match value:
        case Stage() | Stand():
            return str(value)
        case None | int() | float():
            return value
        case str():
            return value.replace("\0", "\\0")
    return json.dumps(dict(value)) if isinstance(value, Mapping) else value


def _read_back(row: dict[str, Any]) -> dict[str, Any]:
    kinds: Mapping[str, Any] = {"stage": Stage, "overrides": json.loads}
    if "epoch" not in row:  # the release's states are its own
        kinds = {**kinds, "state": Stand}
    return {name: kinds[name](value) if name in kinds else value for name, value in row.items()}
