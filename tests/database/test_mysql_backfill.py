"""Backfills of a real MariaDB: every row filled once, whatever its key and type, while others write."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from greenroom.adapters.database.backfill import BackfillSettings, Outcome, Unfit, backfill
from greenroom.adapters.database.target import of
from tests.rigs import mariadb
from tests.rigs.backfilling import migration, order
from tests.rigs.mariadb import Server

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("mariadb")]
COUNTED = "CREATE TRIGGER counted BEFORE UPDATE ON users FOR EACH ROW SET NEW.version = OLD.version + 1"


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with mariadb.shared() as made:
        yield made


class Shop:
    """A table `users` with `old` and `new`; each change of a row adds one to its `version`."""

    def __init__(
        self, server: Server, kind: str = "VARCHAR(40)", key: str = "id INT PRIMARY KEY", rows: int = 0
    ) -> None:
        self.server, self.name = server, server.database()
        self.said: list[str] = []
        self.sql(
            f"CREATE TABLE users ({key}, old {kind}, new {kind}, version INT NOT NULL DEFAULT 0) ENGINE=InnoDB", COUNTED
        )
        if rows:
            self.sql(f"INSERT INTO users (id, old) SELECT seq, CONCAT('likes ', seq) FROM seq_1_to_{rows}")

    def sql(self, *statements: str) -> list[tuple[Any, ...]]:
        return self.server.run(*statements, database=self.name)

    def run(
        self,
        text: str = "UPDATE users SET new = old",
        file: str = "backfill.sql",
        sleep: Callable[[float], None] = lambda seconds: None,
    ) -> Outcome:
        settings = BackfillSettings(max_batch=100)
        files = [migration(text, file)]
        return backfill(of(self.server.url(self.name)), order(), files, settings, self.said.append, sleep=sleep)

    def versions(self) -> dict[int, int]:
        return dict(self.sql("SELECT version, count(*) FROM users GROUP BY 1"))  # type: ignore[arg-type]


@pytest.fixture
def shop(server: Server) -> Iterator[Callable[..., Shop]]:
    made: list[Shop] = []

    def make(*arguments: Any, **more: Any) -> Shop:
        made.append(Shop(server, *arguments, **more))
        return made[-1]

    yield make
    for one in made:
        server.drop(one.name)


def test_every_row_is_filled_once_and_not_again(shop: Callable[..., Shop]) -> None:
    users = shop(rows=1_234)
    assert users.run().done
    assert users.versions() == {1: 1_234}
    assert users.sql("SELECT count(*) FROM users WHERE NOT (new <=> old)") == [(0,)]
    assert users.run().done
    assert users.versions() == {1: 1_234}


KINDS = [
    ("INT", ["1", "-5", "NULL", "0"]),
    ("BIGINT UNSIGNED", ["18446744073709551615", "0"]),
    ("DECIMAL(20, 6)", ["12345678901234.567891", "-0.5"]),
    ("FLOAT", ["0.1", "1e10"]),
    ("DOUBLE", ["0.1", "1e300"]),
    ("VARCHAR(20)", ["'a'", "'A'", "'a '", "'ß'", "''"]),
    ("CHAR(20)", ["'a'", "'A '", "''"]),
    ("VARCHAR(20) CHARACTER SET latin1", ["'é'", "'e'"]),
    ("TEXT", ["'😀'", "REPEAT('x', 10000)"]),
    ("ENUM('new', 'Old')", ["'new'", "'old'"]),
    ("DATETIME(3)", ["'2026-02-03 04:05:06.789'"]),
    ("TIMESTAMP NULL", ["'2026-02-03 04:05:06'"]),
    ("DATE", ["'2026-02-03'"]),
    ("TIME", ["'25:00:01'"]),
    ("VARBINARY(8)", ["X'00FF'", "X'00FF00'"]),
    ("BINARY(4)", ["X'01'"]),
    ("BIT(8)", ["b'101'"]),
    ("JSON", ["'{\"a\": 1}'"]),
    ("YEAR", ["2026"]),
    ("UUID", ["UUID()"]),
]


@pytest.mark.parametrize(("kind", "values"), KINDS, ids=[kind for kind, _ in KINDS])
def test_values_of_every_type_are_seen_to_be_equal(shop: Callable[..., Shop], kind: str, values: list[str]) -> None:
    users = shop(kind)
    users.sql(*(f"INSERT INTO users (id, old) VALUES ({i}, {value})" for i, value in enumerate(values)))
    assert users.run().done, users.said
    assert users.sql("SELECT count(*) FROM users WHERE NOT (CONCAT(new) <=> CONCAT(old))") == [(0,)]


def test_what_differs_in_capitals_and_spaces_only_is_filled(shop: Callable[..., Shop]) -> None:
    users = shop()
    users.sql("INSERT INTO users (id, old, new) VALUES (1, 'Dark', 'dark'), (2, 'x ', 'x'), (3, 'é', 'e')")
    assert users.run().done
    assert users.sql("SELECT HEX(new) FROM users") == users.sql("SELECT HEX(old) FROM users")


@pytest.mark.parametrize(
    ("value", "kind"), [("CAST(old AS CHAR)", "VARCHAR(40)"), ("1.5", "INT"), ("'2026-02-03 04:05:06.9'", "DATETIME")]
)
def test_what_the_server_rounds_is_seen_to_be_filled(shop: Callable[..., Shop], value: str, kind: str) -> None:
    users = shop(rows=5)
    users.sql(f"ALTER TABLE users ADD COLUMN made {kind}")
    assert users.run(f"UPDATE users SET made = {value}").done, users.said


@pytest.mark.parametrize(
    ("key", "insert"),
    [
        ("a INT, b VARCHAR(10), PRIMARY KEY (a, b)", "INSERT INTO users (a, b) SELECT seq % 7, seq FROM seq_1_to_500"),
        ("id VARCHAR(20) PRIMARY KEY", "INSERT INTO users (id) SELECT CONCAT(CHAR(65 + seq % 58), seq) FROM seq_1_to_500"),
        ("id BINARY(16) PRIMARY KEY", "INSERT INTO users (id) SELECT UNHEX(MD5(seq)) FROM seq_1_to_500"),
        ("id UUID PRIMARY KEY", "INSERT INTO users (id) SELECT UUID() FROM seq_1_to_500"),
        ("id BIGINT UNSIGNED PRIMARY KEY", "INSERT INTO users (id) SELECT 18446744073709551615 - seq FROM seq_1_to_500"),
        ("id DECIMAL(10, 2) PRIMARY KEY", "INSERT INTO users (id) SELECT seq / 4 FROM seq_1_to_500"),
        ("id DATE PRIMARY KEY", "INSERT INTO users (id) SELECT DATE '2020-01-01' + INTERVAL seq DAY FROM seq_1_to_500"),
        ("id DATETIME(6) PRIMARY KEY", "INSERT INTO users (id) SELECT NOW(6) + INTERVAL seq MICROSECOND FROM seq_1_to_500"),
    ],
    ids=lambda value: value.split(" ")[1] if value.startswith(("a INT", "id")) else "",
)  # fmt: skip
def test_any_key_is_walked(shop: Callable[..., Shop], key: str, insert: str) -> None:
    users = shop(key=key)
    users.sql(insert, "UPDATE users SET old = 'x', version = -1")
    users.sql("UPDATE users SET version = 0 WHERE version <> 0")
    before = users.versions()
    assert users.run().done, users.said
    [(version, count)] = users.versions().items()
    assert (count, version) == (500, next(iter(before)) + 1)


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("id INT", "no primary key"),
        ("id TIMESTAMP PRIMARY KEY DEFAULT '2026-01-01'", "no primary key"),
        ("id ENUM('b', 'a') PRIMARY KEY", "no primary key"),
    ],
)
def test_what_cannot_be_walked_is_refused(shop: Callable[..., Shop], key: str, problem: str) -> None:
    with pytest.raises(Unfit, match=problem) as caught:
        shop(key=key).run()
    assert caught.value.hint


def test_a_table_without_transactions_is_refused(shop: Callable[..., Shop]) -> None:
    users = shop(rows=5)
    users.sql("ALTER TABLE users ENGINE=Aria")
    with pytest.raises(Unfit, match="Aria, which knows no transactions"):
        users.run()


def test_what_the_new_column_lacks_is_told(shop: Callable[..., Shop]) -> None:
    users = shop(rows=5)
    users.sql("CREATE UNIQUE INDEX by_old ON users (old)")
    users.run()
    assert "index by_old holds users.old; new has none like it" in "\n".join(users.said)


def test_no_write_is_lost_while_others_write(shop: Callable[..., Shop]) -> None:
    """The value that counts is the application's, whose trigger keeps both columns equal."""
    users = shop(rows=3_000)
    users.sql("CREATE TRIGGER zz BEFORE UPDATE ON users FOR EACH ROW FOLLOWS counted SET NEW.new = NEW.old")
    stop, writes = threading.Event(), [0]

    def write() -> None:
        with users.server.connect(users.name) as db, db.cursor() as cursor:
            while not stop.is_set():
                writes[0] += cursor.execute(
                    f"UPDATE users SET old = 'written {writes[0]}' WHERE id = {1 + writes[0] % 3000}"
                )

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert users.run().done, users.said
    finally:
        stop.set()
        writer.join()
    assert writes[0] > 0
    assert users.sql("SELECT count(*) FROM users WHERE NOT (new <=> old)") == [(0,)]
    assert users.sql(f"SELECT SUM(version) >= {writes[0]} FROM users") == [(1,)]
