"""Migrations on MariaDB: online or not at all, once, whoever is killed; and what is promised where DDL cannot be undone."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymysql
import pytest

from greenroom.adapters.database.ledger import Ledger
from greenroom.adapters.database.mysql.online import Way, forms
from greenroom.adapters.database.running import Hindered, Outcome, Pace, alone, expand
from greenroom.adapters.database.target import Broken, Target, of
from greenroom.domain.schema import Stage, Stand
from tests.rigs import mariadb
from tests.rigs.dying import Dying, Killed, Process
from tests.rigs.mariadb import Server
from tests.rigs.migrating import SERVICE, migration, order, together, until

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("mariadb")]
NAME = "0007_new_preference"
EXPAND = """
ALTER TABLE users ADD COLUMN preference VARCHAR(40);
CREATE INDEX by_preference ON users (preference);
CREATE TABLE log (id INT PRIMARY KEY AUTO_INCREMENT, what VARCHAR(20)) ENGINE=InnoDB;
INSERT INTO log (what) VALUES ('begun');
CREATE TRIGGER users_log AFTER INSERT ON users FOR EACH ROW INSERT INTO log (what) VALUES ('insert');
"""


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with mariadb.shared() as made:
        yield made


class Base:
    """One database with a table `users`, and what is done to it."""

    def __init__(self, server: Server, rows: int = 3) -> None:
        self.server, self.name = server, server.database()
        self.url = server.url(self.name)
        self.said: list[str] = []
        self.sql(
            "CREATE TABLE users (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(50), age INT) ENGINE=InnoDB",
            f"INSERT INTO users (name, age) SELECT CONCAT('user ', seq), seq FROM seq_1_to_{rows}",
        )

    def sql(self, *statements: str) -> list[tuple[Any, ...]]:
        return self.server.run(*statements, database=self.name)

    def expand(self, text: str, target: Target | None = None, pace: Pace | None = None) -> Outcome:
        return expand(target or of(self.url), order(), [migration(expand=text)], self.said.append, pace=pace)

    def stand(self) -> tuple[Stand, list[Stand]]:
        session = of(self.url).open("test")
        try:
            ledger = Ledger(session, SERVICE)
            row = ledger.migration(NAME, Stage.EXPAND)
            assert row is not None
            return row.state, [one.state for one in ledger.statements(NAME, Stage.EXPAND).values()]
        finally:
            session.close()

    def shape(self) -> dict[str, str]:
        tables = [name for (name,) in self.sql("SHOW TABLES") if not name.startswith("greenroom_")]
        return {
            name: re.sub(r" AUTO_INCREMENT=\d+", "", self.sql(f"SHOW CREATE TABLE {name}")[0][1]) for name in tables
        }

    @contextmanager
    def holding(self, sql: str) -> Iterator[pymysql.Connection[Any]]:
        """Another session, in the middle of a transaction in which it has said this."""
        with self.server.connect(self.name) as other, other.cursor() as cursor:
            cursor.execute("START TRANSACTION")
            cursor.execute(sql)
            yield other
            other.rollback()

    def end(self) -> None:
        self.server.drop(self.name)


@pytest.fixture
def base(server: Server) -> Iterator[Base]:
    made = Base(server)
    yield made
    made.end()


# --- online or not at all -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "ways"),
    [
        ("ALTER TABLE t ADD c INT", [Way.INSTANT, Way.INPLACE]),
        ("alter online ignore table `t` ADD c INT -- so", [Way.INSTANT, Way.INPLACE]),
        ("ALTER TABLE t ADD c INT, LOCK=SHARED", [Way.INPLACE]),
        ("ALTER TABLE t ADD c INT, ALGORITHM=COPY", [Way.ASKED]),
        ("CREATE UNIQUE INDEX i ON t (c)", [Way.INPLACE]),
        ("CREATE OR REPLACE INDEX IF NOT EXISTS i ON t (c)", [Way.INPLACE]),
        ("DROP INDEX i ON t", [Way.INPLACE]),
        ("DROP TABLE t", [Way.PLAIN]),
        ("CREATE TABLE t (algorithm INT)", [Way.PLAIN]),
        ("/*!50110 ALTER TABLE t ADD c INT */", [Way.INSTANT, Way.INPLACE]),
    ],
)
def test_a_change_is_asked_for_in_the_gentlest_way_first(sql: str, ways: list[Way]) -> None:
    assert [form.way for form in forms(sql)] == ways


def test_what_is_asked_for_is_behind_the_comment_at_the_end() -> None:
    assert forms("DROP INDEX i ON t # gone")[0].sql == "DROP INDEX i ON t # gone\nALGORITHM=INPLACE LOCK=NONE"


def test_a_file_is_carried_out_and_not_again(base: Base) -> None:
    assert base.expand(EXPAND).statements == 5
    shape = base.shape()
    assert "`preference` varchar(40)" in shape["users"]
    assert "KEY `by_preference`" in shape["users"]
    assert base.sql("SELECT what FROM log") == [("begun",)]
    assert base.expand(EXPAND).statements == 0
    assert base.stand() == (Stand.DONE, [Stand.DONE] * 5)


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE users MODIFY age BIGINT",
        "ALTER TABLE users CONVERT TO CHARACTER SET latin1",
        "ALTER TABLE users ADD COLUMN code CHAR(36) DEFAULT (UUID())",
        "ALTER TABLE users ADD CHECK (age > 0)",
        "ALTER TABLE users ADD FULLTEXT INDEX words (name)",
    ],
)
def test_what_would_keep_writers_out_is_refused_by_the_server_itself(base: Base, sql: str) -> None:
    before = base.shape()
    with pytest.raises(Broken, match="asked for INSTANT and INPLACE") as caught:
        base.expand(f"ALTER TABLE users ADD COLUMN first INT;\n{sql}")
    assert caught.value.message.startswith(f"migrations/{NAME}/expand.sql:2:1: ")
    assert "pt-online-schema-change" in caught.value.hint
    after = base.shape()
    assert after["users"].replace("  `first` int(11) DEFAULT NULL,\n", "") == before["users"]
    assert base.stand() == (Stand.RUNNING, [Stand.DONE, Stand.PENDING])
    assert (
        base.expand("ALTER TABLE users ADD COLUMN first INT;\nALTER TABLE users ADD COLUMN other INT").statements == 1
    )


def test_copy_is_done_only_where_the_statement_itself_says_so(base: Base) -> None:
    """The judge refuses it; somebody has overridden that with a name and a reason."""
    base.expand("ALTER TABLE users MODIFY age BIGINT, ALGORITHM=COPY")
    assert "`age` bigint" in base.shape()["users"]


# --- other sessions -------------------------------------------------------------------------------------------------


def test_behind_a_long_transaction_users_go_on_and_it_is_named(base: Base) -> None:
    with base.holding("SELECT * FROM users") as other:
        with pytest.raises(Hindered) as caught:
            base.expand("ALTER TABLE users ADD COLUMN preference INT", pace=Pace(tries=2))
        assert f"session {other.thread_id()} (root@localhost" in caught.value.message  # type: ignore[no-untyped-call]
        assert "idle in its transaction" in caught.value.message
        assert base.sql("SELECT count(*) FROM users") == [(3,)]
    assert base.expand("ALTER TABLE users ADD COLUMN preference INT").statements == 1


def test_it_goes_on_as_soon_as_the_transaction_has_ended(base: Base) -> None:
    waits = threading.Event()
    done: list[Outcome] = []

    def told(text: str) -> None:
        if "tries again" in text:
            waits.set()

    def run() -> None:
        files = [migration(expand="ALTER TABLE users ADD COLUMN preference INT")]
        done.append(expand(of(base.url), order(), files, told))

    thread = threading.Thread(target=run)
    with base.holding("SELECT * FROM users"):
        thread.start()
        assert waits.wait(30)
    thread.join()
    assert done[0].statements == 1


def test_whoever_comes_after_a_waiting_change_goes_on_while_what_it_waits_for_stays(base: Base) -> None:
    """An ALTER that waits keeps out everybody who comes later: so it gives up, and they go on."""
    stop, reads = threading.Event(), [0]

    def use() -> None:
        with base.server.connect(base.name) as db, db.cursor() as cursor:
            while not stop.is_set():
                cursor.execute("SELECT count(*) FROM users")
                reads[0] += 1

    user = threading.Thread(target=use)
    user.start()
    try:
        with base.holding("SELECT * FROM users"):
            with pytest.raises(Hindered):
                base.expand("ALTER TABLE users ADD COLUMN preference INT", pace=Pace(tries=2))
            before = reads[0]
            until(lambda: reads[0] > before, "users go on")
    finally:
        stop.set()
        user.join()


def test_two_runners_do_it_once(base: Base) -> None:
    assert sorted(together(lambda: base.expand(EXPAND).statements)) == [0, 5]
    assert base.sql("SELECT what FROM log") == [("begun",)]


def test_a_runner_that_says_nothing_loses_its_place(base: Base) -> None:
    """A machine that went away keeps its session, and with it the lock, until somebody ends it."""
    base.expand("ALTER TABLE users ADD COLUMN first INT")
    silent, session = of(base.url).open("runner"), of(base.url).open("runner")
    said: list[str] = []
    alone.take(Ledger(silent, SERVICE), order(), said.append)
    until(
        lambda: base.sql(f"SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = {silent.number} AND TIME_MS > 300"),
        "it is silent for a while",
    )
    alone.take(Ledger(session, SERVICE), order(), said.append, silent_after=0.0)
    assert f"session {silent.number} (ann of {base.name}, idle" in said[0]
    assert f"ended the session {silent.number}" in said[-1]
    silent.close()
    session.close()


def test_rows_that_no_transaction_holds_are_not_changed(base: Base) -> None:
    base.sql("CREATE TABLE old_log (what VARCHAR(20)) ENGINE=Aria")
    with pytest.raises(Broken, match="stored by Aria, in which a change of rows cannot be undone") as caught:
        base.expand("INSERT INTO old_log VALUES ('x')")
    assert "ENGINE=InnoDB" in caught.value.hint
    assert base.sql("SELECT count(*) FROM old_log") == [(0,)]


def test_a_table_without_rows_may_be_copied(base: Base) -> None:
    base.expand("CREATE TABLE made (id INT PRIMARY KEY, a INT) ENGINE=InnoDB; ALTER TABLE made MODIFY a BIGINT")
    assert "`a` bigint" in base.shape()["made"]


# --- deaths ---------------------------------------------------------------------------------------------------------


def killed(server: Server, every: int) -> None:
    """Wherever its runner dies, the next one brings it to the same end; the row that is inserted is there once."""
    model = Base(server)
    counted = Dying(model.url)
    model.expand(EXPAND, counted)
    wanted = model.shape()
    model.end()
    for at in range(1, counted.calls + 1, every):
        base = Base(server)
        with pytest.raises(Killed):
            base.expand(EXPAND, Dying(base.url, at, after=at % 2 == 1))
        base.expand(EXPAND)
        assert base.shape() == wanted, at
        assert base.sql("SELECT what FROM log") == [("begun",)], at
        assert base.stand() == (Stand.DONE, [Stand.DONE] * 5), at
        base.end()


def test_killed_between_two_calls_to_the_server(server: Server) -> None:
    killed(server, 41)


@pytest.mark.soak
def test_killed_between_any_two_calls_to_the_server(server: Server) -> None:
    killed(server, 1)


@pytest.mark.parametrize(
    "statement", ["ALTER TABLE users ADD", "CREATE INDEX", "CREATE TABLE log", "INSERT INTO log", "CREATE TRIGGER"]
)
@pytest.mark.parametrize("after", [False, True])
def test_killed_right_at_each_statement(base: Base, statement: str, after: bool) -> None:
    with pytest.raises(Killed):
        base.expand(EXPAND, Dying(base.url, statement=statement, after=after))
    base.expand(EXPAND)
    assert base.sql("SELECT what FROM log") == [("begun",)]
    assert base.stand() == (Stand.DONE, [Stand.DONE] * 5)
    assert "it was done, by a run that was interrupted" in "\n".join(base.said) or not after or "INSERT" in statement


def test_a_runner_that_is_killed_while_the_server_builds(server: Server, tmp_path: Path) -> None:
    """The server goes on with what it is at, and the next runner waits for its end and finds it done."""
    base = Base(server, 100_000)
    with base.holding("UPDATE users SET age = 0 WHERE id = 1"):  # the build begins, and cannot end
        text = "CREATE INDEX by_name ON users (name);\nALTER TABLE users ADD COLUMN z INT;"
        runner = Process(base.url, text, tmp_path)
        working = "SELECT 1 FROM information_schema.PROCESSLIST WHERE INFO LIKE 'CREATE INDEX%'"
        until(lambda: server.run(working), "the server builds")
        runner.kill()
    base.expand(text)
    assert base.shape()["users"].count("KEY `by_name`") == 1
    assert base.stand() == (Stand.DONE, [Stand.DONE] * 2)
    base.end()


def test_a_server_that_is_killed_in_the_middle_of_a_change() -> None:
    """It recovers the table as it was or as it is to be; what is begun is looked up."""
    server = Server()
    server.start()
    try:
        server.first()
        base = Base(server, 50_000)
        text = "ALTER TABLE users ADD COLUMN z INT;\nALTER TABLE users ADD INDEX by_name (name, age), ADD COLUMN y INT;"
        errors: list[BaseException] = []

        def run() -> None:
            try:
                base.expand(text)
            except BaseException as error:
                errors.append(error)

        runner = threading.Thread(target=run)
        runner.start()
        until(
            lambda: server.run(
                "SELECT 1 FROM information_schema.PROCESSLIST WHERE INFO LIKE 'ALTER TABLE users ADD INDEX%'"
            ),
            "the server is at it",
        )
        server.stop(signal.SIGKILL)
        server.start()
        runner.join()
        assert not errors, base.said
        assert base.sql("SELECT count(*), count(z) FROM users") == [(50_000, 0)]
        shape = base.shape()["users"]
        assert (shape.count("KEY `by_name`"), shape.count("`y` int")) == (1, 1)
        assert base.stand() == (Stand.DONE, [Stand.DONE] * 2)
        assert base.sql("CHECK TABLE users")[0][-1] == "OK"
    finally:
        server.end()
