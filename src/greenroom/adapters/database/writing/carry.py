"""What hangs on the old column, for the new one: what can be had early in expand, what must wait for contract."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from greenroom.adapters.database.concern import Concern, refuse, warn
from greenroom.adapters.database.reading.tokens import Tokens
from greenroom.adapters.database.writing.catalogue import Column, Index
from greenroom.adapters.database.writing.names import Quote, derived, fitting, swapped
from greenroom.domain.schema import Dialect


@dataclass(slots=True)
class Carried:
    """Statements without their `;`. `goes`: the last ones before the column is dropped, since all that is dropped is dropped
    in one transaction. `first`, `last`: parts of the ALTER TABLE that drops the column, before and behind it.

    What is of other columns as well is dropped by its name: nothing goes that is not named.
    """

    expand: list[str] = field(default_factory=list)
    contract: list[str] = field(default_factory=list)
    goes: list[str] = field(default_factory=list)
    first: list[str] = field(default_factory=list)
    last: list[str] = field(default_factory=list)
    concerns: list[Concern] = field(default_factory=list)


class Carrier:
    def __init__(self, column: Column, new: str, quote: Quote) -> None:
        self.column, self.new, self.quote = column, new, quote
        self.table = column.table.written
        self.written_with_schema = self.table != quote(column.table.name)
        self.taken = set(column.table.taken)
        self.names: dict[str, str] = {}
        self.done = Carried()

    def all(self) -> Carried:
        for index in self.column.indexes:
            self._index(index)
        self._statistics()
        self._small()
        self.not_null()
        self._constraints()
        self._replica_identity()
        self._shared()
        return self.done

    def not_null(self) -> None:
        """By a validated CHECK, so that SET NOT NULL reads no row. Only now: before the switch it would be for nothing."""
        if not self.column.not_null:
            return
        check = self.quote(self._fresh(fitting(f"{self.column.table.name}_{self.new}_not_null", self.taken)))
        self.done.contract += [
            f"ALTER TABLE {self.table} ADD CONSTRAINT {check} CHECK ({self.quote(self.new)} IS NOT NULL) NOT VALID",
            f"ALTER TABLE {self.table} VALIDATE CONSTRAINT {check}",
            f"ALTER TABLE {self.table} ALTER COLUMN {self.quote(self.new)} SET NOT NULL",
        ]
        self.done.first.append(f"DROP CONSTRAINT {check}")

    def _fresh(self, name: str) -> str:
        self.taken.add(name)
        return name

    def _name(self, of: str) -> str:
        return self.quote(self._fresh(derived(of, self.column.name, self.new, self.taken)))

    def _swap(self, sql: str, what: str) -> str:
        made, count = swapped(sql, self.column.name, self.quote(self.new))
        if not count:
            self.done.concerns.append(
                refuse(
                    "not-understood",
                    f"{what} uses the column in a way that is not understood: {sql}.",
                    "Write it by hand.",
                )
            )
        return made

    def _index(self, index: Index) -> None:
        if index.constraint == "x" or index.deferrable:
            return  # refused elsewhere
        if not index.valid:
            self.done.concerns.append(
                warn("invalid-index", f"The index {index.name} is invalid and not carried over.", "Drop or rebuild it.")
            )
            return
        name = self.names[index.name] = self._name(index.name)
        body = self._swap(_behind_using(index.definition), f"The index {index.name}")
        collides = index.unique and index.nulls_collide
        if collides:
            # Rows that are not filled yet are all NULL. Until then the old column's own index stands in for this one.
            early = self.quote(self._fresh(fitting(f"{index.name}_{self.new}_early", self.taken)))
            self.done.expand.append(self._create(early, body.replace(" NULLS NOT DISTINCT", ""), True))
            self.done.contract += [self._create(name, body, True), f"DROP INDEX CONCURRENTLY {self._in_schema(early)}"]
        else:
            self.done.expand.append(self._create(name, body, index.unique))
        if index.unique:
            self._upserts(index)
        if index.constraint == "p":
            self.done.last.append(f"ADD CONSTRAINT {name} PRIMARY KEY USING INDEX {name}")
        elif index.constraint == "u":
            self.done.contract.append(f"ALTER TABLE {self.table} ADD CONSTRAINT {name} UNIQUE USING INDEX {name}")
        if index.comment and not index.constraint:
            self.done.contract.append(f"COMMENT ON INDEX {self._in_schema(name)} IS {literal(index.comment)}")

    def _create(self, name: str, body: str, unique: bool) -> str:
        return f"CREATE {'UNIQUE ' if unique else ''}INDEX CONCURRENTLY {name} ON {self.table} USING {body}"

    def _in_schema(self, name: str) -> str:
        schema = self.column.table.schema
        return f"{self.quote(schema)}.{name}" if self.written_with_schema else name

    def _upserts(self, index: Index) -> None:
        self.done.concerns.append(
            warn(
                "two-unique-indexes",
                f"While both columns are there, two unique indexes guard the same values ({index.name}): of two INSERT … ON"
                " CONFLICT of one new value at the very same moment, one may fail with 23505 instead of taking its DO"
                " branch.",
                "Let the application try again on 23505, as it has to for plain INSERTs.",
                about=index.name,
            )
        )

    def _statistics(self) -> None:
        for name, definition, full in self.column.statistics:
            behind = definition.partition(" STATISTICS ")[2]
            tokens = list(Tokens(behind, Dialect.POSTGRES))
            start = next((t.start for t in tokens if t.text in ("(", "ON")), 0)
            kinds, _, rest = behind[start:].rpartition(" FROM ")
            body = self._swap(kinds, f"The statistics {name}")
            if rest:
                self.done.expand.append(f"CREATE STATISTICS {self._name(name)} {body} FROM {self.table}")
                self.done.goes.append(f"DROP STATISTICS {full}")

    def _small(self) -> None:
        """The planner's hints, the comment, rights on the column."""
        column, new = self.column, self.quote(self.new)
        alter = f"ALTER TABLE {self.table} ALTER COLUMN {new}"
        if column.target >= 0:
            self.done.expand.append(f"{alter} SET STATISTICS {column.target}")
        if column.options:
            self.done.expand.append(f"{alter} SET ({column.options})")
        if column.storage:
            self.done.expand.append(f"{alter} SET STORAGE {column.storage}")
        if column.comment:
            self.done.expand.append(f"COMMENT ON COLUMN {self.table}.{new} IS {literal(column.comment)}")
        for role, more, rights in column.grants:
            each = ", ".join(f"{right} ({new})" for right in rights)
            self.done.expand.append(
                f"GRANT {each} ON TABLE {self.table} TO {role}{' WITH GRANT OPTION' if more else ''}"
            )

    def _constraints(self) -> None:
        """Until contract the old column's own constraints guard both, since both are equal before any is checked."""
        for key in self.column.constraints:
            what = f"The constraint {key.name}"
            if key.kind == "f":
                head, mark, tail = key.definition.partition(" REFERENCES ")
                definition = self._swap(head, what) + mark + tail
            else:
                definition = self._swap(key.definition, what)
            name = self._name(key.name)
            lasting = definition.removesuffix(" NOT VALID")
            self.done.contract.append(f"ALTER TABLE {self.table} ADD CONSTRAINT {name} {lasting} NOT VALID")
            if key.valid:
                self.done.contract.append(f"ALTER TABLE {self.table} VALIDATE CONSTRAINT {name}")
            if key.comment:
                on = f"COMMENT ON CONSTRAINT {name} ON {self.table}"
                self.done.contract.append(f"{on} IS {literal(key.comment)}")

    def _replica_identity(self) -> None:
        for index in self.column.indexes:
            if index.identity and index.name in self.names:
                allow = (
                    "-- greenroom: allow table-action: it changes what is logged of a row from now on, and reads none"
                )
                statement = f"ALTER TABLE {self.table} REPLICA IDENTITY USING INDEX {self.names[index.name]}"
                self.done.contract.append(f"{allow}\n{statement}")

    def _shared(self) -> None:
        for index in self.column.indexes:
            if index.shared and index.name in self.names:
                if index.constraint:
                    self.done.first.append(f"DROP CONSTRAINT {self.quote(index.called)}")
                else:
                    name = self._in_schema(self.quote(index.name))
                    self.done.contract.append(f"DROP INDEX CONCURRENTLY {name}")
        keys = [f"DROP CONSTRAINT {self.quote(key.name)}" for key in self.column.constraints if key.shared]
        self.done.first += keys


def literal(text: str) -> str:
    quoted = "'" + text.replace("'", "''") + "'"
    return f"E{quoted}".replace("\\", "\\\\") if "\\" in text else quoted


def _behind_using(definition: str) -> str:
    """`btree (…) WHERE …` of a CREATE INDEX, whose name may hold anything."""
    for token in Tokens(definition, Dialect.POSTGRES):
        if token.word == "USING":
            return definition[token.end :].strip()
    return ""


def join(*groups: Sequence[str]) -> str:
    return "".join(f"{statement};\n" for group in groups for statement in group)
