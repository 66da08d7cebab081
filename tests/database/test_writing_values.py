"""The rule by which the trigger tells who wrote: any sequence of writes of both versions, against a plain model."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from greenroom.adapters.database.target import Session, of
from greenroom.adapters.database.writing import rename
from greenroom.domain.schema import Stage
from tests.database.renaming import NOWHERE, carry_out
from tests.rigs import postgres
from tests.rigs.postgres import Cluster

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("postgres")]

COUNT = itertools.count()
COLUMNS = {
    "old text": None,
    "old text DEFAULT 'dear'": "dear",
    "old text NOT NULL DEFAULT 'dear'": "dear",
    "old varchar(20) COLLATE \"C\" DEFAULT ('de' || 'ar')": "dear",
}
VALUES = st.sampled_from(["a", "b", "dear", "", None])
SOME = st.sampled_from(["a", "b", "dear", ""])
SIDES = st.sampled_from(["old", "new"])
ROWS = st.integers(1, 4)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with postgres.shared() as made:
        yield made


class Writes(RuleBasedStateMachine):
    """`filled`: the backfill is done. Until then only the old version writes to rows that were there before, as users do."""

    db: psycopg.Connection[Any]
    session: Session

    @initialize(column=st.sampled_from(sorted(COLUMNS)), first=st.lists(SOME, max_size=3))
    def begin(self, column: str, first: list[str]) -> None:
        self.table, self.default, self.null = f"users_{next(COUNT)}", COLUMNS[column], "NOT NULL" not in column
        self.computed, self.filled = "||" in column, False
        self.rows: dict[int, str | None] = dict(enumerate(first, 1))
        self.before = set(self.rows)
        self.db.execute(f"CREATE TABLE {self.table} (id int PRIMARY KEY, {column}, other int)")
        for row, value in self.rows.items():
            self.db.execute(f"INSERT INTO {self.table} (id, old) VALUES (%s, %s)", [row, value])
        self.draft = rename(self.session, f"{self.table}.old", "new", folder=NOWHERE)
        carry_out(self.session, self.draft, Stage.EXPAND)

    def may(self, side: str, row: int) -> bool:
        return self.filled or side == "old" or row not in self.before

    def inserted(self, side: str, given: str | None) -> str | None:
        """A NULL of the new version beside a computed default: what `computed-default` warns of."""
        return self.default if self.computed and side == "new" and given is None else self.value(given)

    def value(self, given: str | None) -> str | None:
        return given if self.null or given is not None else "a"

    @rule(side=SIDES, row=ROWS, value=VALUES)
    def insert(self, side: str, row: int, value: str | None) -> None:
        if row not in self.rows:
            self.rows[row] = self.inserted(side, value)
            self.db.execute(f"INSERT INTO {self.table} (id, {side}) VALUES (%s, %s)", [row, self.value(value)])

    @rule(row=ROWS)
    def insert_nothing(self, row: int) -> None:
        if row not in self.rows:
            self.rows[row] = self.default
            self.db.execute(f"INSERT INTO {self.table} (id) VALUES (%s)", [row])

    @rule(side=SIDES, row=ROWS, value=VALUES, prepared=st.booleans())
    def update(self, side: str, row: int, value: str | None, prepared: bool) -> None:
        if row in self.rows and self.may(side, row):
            self.rows[row] = self.value(value)
            self.db.execute(
                f"UPDATE {self.table} SET {side} = %s, other = 1 WHERE id = %s", [self.rows[row], row], prepare=prepared
            )

    @rule(side=SIDES, row=ROWS)
    def default_of_an_update(self, side: str, row: int) -> None:
        if row in self.rows and self.may(side, row) and not (side == "new" and self.computed):
            self.rows[row] = self.default
            self.db.execute(f"UPDATE {self.table} SET {side} = DEFAULT WHERE id = %s", [row])

    @rule(side=SIDES, row=ROWS, value=VALUES)
    def upsert(self, side: str, row: int, value: str | None) -> None:
        if self.may(side, row):
            self.rows[row] = self.inserted(side, value)
            self.db.execute(
                f"INSERT INTO {self.table} (id, {side}) VALUES (%s, %s)"
                f" ON CONFLICT (id) DO UPDATE SET {side} = EXCLUDED.{side}",
                [row, self.value(value)],
            )

    @rule(row=ROWS)
    def update_another_column(self, row: int) -> None:
        self.db.execute(f"UPDATE {self.table} SET other = other + 1 WHERE id = %s", [row])

    @rule(row=ROWS)
    def delete(self, row: int) -> None:
        self.rows.pop(row, None)
        self.before.discard(row)
        self.db.execute(f"DELETE FROM {self.table} WHERE id = %s", [row])

    @rule(side=SIDES, one=ROWS, other=ROWS)
    def two_rows_by_one_statement(self, side: str, one: int, other: int) -> None:
        if {one, other} <= set(self.rows) and self.may(side, one) and self.may(side, other):
            self.rows[one], self.rows[other] = self.rows[other], self.rows[one]
            self.db.execute(
                f"UPDATE {self.table} t SET {side} = s.{side} FROM {self.table} s"
                " WHERE (t.id, s.id) IN ((%s, %s), (%s, %s))",
                [one, other, other, one],
            )

    @rule()
    def backfill(self) -> None:
        self.filled = True
        self.db.execute(f"UPDATE {self.table} SET new = old WHERE new IS DISTINCT FROM old")

    @invariant()
    def both_are_what_was_written_last(self) -> None:
        found = self.db.execute(f"SELECT id, old, new FROM {self.table}").fetchall()
        assert {row: old for row, old, _ in found} == self.rows
        assert all(old == new or (new is None and row in self.before and not self.filled) for row, old, new in found)

    def teardown(self) -> None:
        self.db.execute(f"DROP TABLE IF EXISTS {getattr(self, 'table', 'nothing')}")
        self.db.execute("DROP FUNCTION IF EXISTS " + f"zzzz_greenroom_{getattr(self, 'table', 'nothing')}_old")


def test_whoever_wrote_last_counts_under_both_names(cluster: Cluster) -> None:
    name = cluster.database()
    session = of(cluster.url(name)).open("helper")
    with cluster.connect(name) as db:
        machine = type("Machine", (Writes,), {"db": db, "session": session})
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=40, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
            ),
        )
    session.close()
    cluster.drop(name)
