"""MariaDB as a target: reached or not, with the way out; limits; what a transaction holds; who is in the way."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pymysql
import pytest

from greenroom.adapters.database.grammar import GRAMMARS
from greenroom.adapters.database.ledger import Ledger, Recorded
from greenroom.adapters.database.mysql.lookout import UNSEEN, MysqlLookout
from greenroom.adapters.database.mysql.target import MysqlSession, MysqlTarget
from greenroom.adapters.database.target import Blocked, Broken, Lost, of
from greenroom.domain.schema import Dialect, Order, Stage, Stand
from greenroom.errors import Permanent, Temporary
from tests.rigs import mariadb
from tests.rigs.mariadb import PASSWORD, Server

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("mariadb")]
PATIENCE = 20.0


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with mariadb.shared() as made:
        yield made


@pytest.fixture
def shop(server: Server) -> Iterator[str]:
    name = server.database()
    server.run(
        "CREATE TABLE users (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(50)) ENGINE=InnoDB",
        "INSERT INTO users VALUES (1, 'ann'), (2, 'bob')",
        database=name,
    )
    yield name
    server.drop(name)


@pytest.fixture
def session(server: Server, shop: str) -> Iterator[MysqlSession]:
    opened = MysqlTarget(server.url(shop)).open("test")
    yield opened
    opened.close()


@contextmanager
def holding(server: Server, shop: str, sql: str) -> Iterator[pymysql.Connection[Any]]:
    """Another session, in the middle of a transaction in which it has said this."""
    with server.connect(shop) as other, other.cursor() as cursor:
        cursor.execute("START TRANSACTION")
        cursor.execute(sql)
        yield other
        other.rollback()


def together(session: MysqlSession, *statements: str, lock_timeout: float = 0.2) -> None:
    """In one transaction."""
    with session.transaction(lock_timeout=lock_timeout):
        for statement in statements:
            session.run(statement)


# --- reached or not -------------------------------------------------------------------------------------------------


def test_it_is_reached_and_named_without_its_password(server: Server, shop: str) -> None:
    target = of(server.url(shop))
    assert (target.dialect, target.place) == (Dialect.MYSQL, f"database {shop} at 127.0.0.1:{server.port} as ann")
    session = target.open("test")
    assert session.rows("SELECT CONNECTION_ID(), @@tx_isolation") == [(session.number, "READ-COMMITTED")]
    assert session.rows("SELECT 'ß😀', %s, '100%%'", ["ß😀"]) == [("ß😀", "ß😀", "100%")]
    assert session.rows("SELECT '100%s'") == [("100%s",)]
    session.close()


def test_over_the_socket(server: Server, shop: str) -> None:
    session = MysqlTarget(f"mysql://root@localhost/{shop}?socket={server.socket}").open("test")
    assert session.rows("SELECT count(*) FROM users") == [(2,)]
    session.close()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"password": "wrong"}, "does not let us in"),
        ({"user": "nobody"}, "does not let us in"),
        ({"database": "shopp"}, "is not there"),
    ],
)
def test_who_is_not_let_in_is_told_why(server: Server, shop: str, change: dict[str, str], problem: str) -> None:
    with pytest.raises(Permanent, match=problem) as caught:
        MysqlTarget(server.url(**{"database": shop, **change})).open("test")
    assert caught.value.hint
    assert PASSWORD not in f"{caught.value.message}{caught.value.hint}"


def test_a_server_that_is_down(server: Server) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"mysql://ann:secret@127.0.0.1:{free.getsockname()[1]}/shop"
        with pytest.raises(Temporary, match="cannot be reached") as caught:
            MysqlTarget(url).open("test")
    assert "secret" not in caught.value.message


def test_a_host_that_nobody_knows() -> None:
    with pytest.raises(Temporary, match="cannot be found"):
        MysqlTarget("mysql://ann@no-such-host.invalid/shop").open("test")


def test_too_many_connections(server: Server, shop: str) -> None:
    server.run(
        "CREATE OR REPLACE USER one@'127.0.0.1' WITH MAX_USER_CONNECTIONS 1",
        f"GRANT ALL ON {shop}.* TO one@'127.0.0.1'",
    )
    target = MysqlTarget(server.url(shop, "one", ""))
    first = target.open("test")
    with pytest.raises(Temporary, match="no free connection"):
        target.open("test")
    first.close()


def test_a_read_only_server(server: Server, shop: str) -> None:
    server.run("SET GLOBAL read_only = ON")
    try:
        with pytest.raises(Permanent, match="read-only") as caught:
            MysqlTarget(server.url(shop)).open("test")
        assert "primary" in caught.value.hint
        MysqlTarget(server.url(shop), copy=True).open("test").close()
    finally:
        server.run("SET GLOBAL read_only = OFF")


def test_rights_that_are_missing(server: Server, shop: str) -> None:
    server.run("CREATE OR REPLACE USER reader@'127.0.0.1'", f"GRANT SELECT ON {shop}.* TO reader@'127.0.0.1'")
    session = MysqlTarget(server.url(shop, "reader", "")).open("test")
    with pytest.raises(Broken, match="denied") as caught:
        session.run("ALTER TABLE users ADD COLUMN email TEXT")
    assert "GRANT" in caught.value.hint
    with pytest.raises(Permanent, match="ledger of migrations cannot be made"):
        Ledger(session, "shop").make()
    session.close()


def test_tls_is_refused_where_the_server_has_none(server: Server, shop: str) -> None:
    with pytest.raises(Permanent, match="TLS"):
        MysqlTarget(server.url(shop) + "?ssl-mode=REQUIRED").open("test")


# --- sessions -------------------------------------------------------------------------------------------------------


def test_a_transaction_is_all_or_nothing(session: MysqlSession) -> None:
    with pytest.raises(Broken, match="doesn't exist"):
        together(session, "UPDATE users SET name = 'x'", "UPDATE nowhere SET name = 'x'")
    assert session.rows("SELECT name FROM users") == [("ann",), ("bob",)]
    with session.transaction():
        assert session.run("UPDATE users SET name = 'ann'") == 2  # found, though one was so already


def test_ddl_in_a_transaction_is_not_hidden(session: MysqlSession) -> None:
    with pytest.raises(Permanent, match="ended the transaction"):
        together(session, "UPDATE users SET name = 'x'", "ALTER TABLE users ADD COLUMN email TEXT")


def test_a_row_that_another_session_holds(server: Server, shop: str, session: MysqlSession) -> None:
    with holding(server, shop, "UPDATE users SET name = 'x' WHERE id = 1"), pytest.raises(Blocked) as caught:
        together(session, "UPDATE users SET name = 'y' WHERE id = 1")
    assert caught.value.code == "1205"
    together(session, "UPDATE users SET name = 'y' WHERE id = 1")


def test_limits_are_those_of_the_transaction_and_no_longer(session: MysqlSession) -> None:
    query = "SELECT @@lock_wait_timeout, @@innodb_lock_wait_timeout, @@max_statement_time"
    before = session.rows(query)
    with session.transaction(lock_timeout=0.2, statement_timeout=1.5):
        [inside] = session.rows(query)
    assert [float(value) for value in inside] == [1, 1, 1.5]
    assert session.rows(query) == before


def test_a_statement_that_takes_too_long(session: MysqlSession) -> None:
    with pytest.raises(Broken) as caught, session.transaction(statement_timeout=0.1):
        session.rows("SELECT count(*) FROM seq_1_to_1000000 a, seq_1_to_1000000 b")
    assert caught.value.code == "1969"
    assert "statement_timeout" in caught.value.hint


def test_values_that_do_not_fit_are_refused_though_the_server_would_cut_them(server: Server, shop: str) -> None:
    server.run("SET GLOBAL sql_mode = ''")
    try:
        session = MysqlTarget(server.url(shop)).open("test")
        with pytest.raises(Broken, match="too long"):
            session.run("UPDATE users SET name = REPEAT('x', 60)")
        session.close()
    finally:
        server.run("SET GLOBAL sql_mode = DEFAULT")


def test_sql_is_read_as_greenroom_reads_it(server: Server, shop: str) -> None:
    server.run("SET GLOBAL sql_mode = 'ANSI,NO_BACKSLASH_ESCAPES'")
    try:
        session = MysqlTarget(server.url(shop)).open("test")
        assert session.rows("""SELECT "a\\"b" """) == [('a"b',)]
        session.close()
    finally:
        server.run("SET GLOBAL sql_mode = DEFAULT")


def test_a_connection_that_is_killed_is_lost(server: Server, session: MysqlSession) -> None:
    server.run(f"KILL {session.number}")
    with pytest.raises(Lost):
        session.rows("SELECT 1")
    session.close()


def test_a_server_that_says_nothing_in_time(server: Server, shop: str) -> None:
    session = MysqlTarget(server.url(shop)).open("test", patience=0.3)
    with pytest.raises(Lost):
        session.rows("SELECT SLEEP(30)")
    session.close()


def test_a_server_that_hangs_before_it_greets() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute, pytest.raises(Temporary, match="cannot be reached"):
        MysqlTarget(f"mysql://ann@127.0.0.1:{mute.getsockname()[1]}/shop").open("test")


# --- the ledger -----------------------------------------------------------------------------------------------------


_BARE = """
import sys
sys.modules["cryptography"] = None
from greenroom.adapters.database.target import of
from greenroom.errors import Permanent
try:
    of(sys.argv[1]).open("test")
except Permanent as error:
    print(error.message, error.hint)
"""


def test_a_password_of_mysql_8_for_which_a_package_is_missing() -> None:
    """A server that greets as MySQL 8 does, has no TLS, and wants the whole password."""

    def packet(number: int, body: bytes) -> bytes:
        return len(body).to_bytes(3, "little") + bytes([number]) + body

    def greet(listener: socket.socket) -> None:
        line, _ = listener.accept()
        with line:
            start = b"\x0a8.0.36\0" + (7).to_bytes(4, "little") + b"12345678\0\xff\xf7\x2d\x02\0\xff\x81\x15"
            line.sendall(packet(0, start + bytes(10) + b"123456789012\0caching_sha2_password\0"))
            line.recv(4096)
            line.sendall(packet(2, b"\x01\x04"))  # not known yet: say it in full
            line.recv(4096)
            line.sendall(packet(4, b"\x01-----BEGIN PUBLIC KEY-----\nMFww\n-----END PUBLIC KEY-----\n"))
            line.recv(4096)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=greet, args=(listener,), daemon=True).start()
        url = f"mysql://ann:s3cret@127.0.0.1:{listener.getsockname()[1]}/shop"
        said = subprocess.run([sys.executable, "-c", _BARE, url], capture_output=True, text=True, timeout=60).stdout
    assert "cannot be spoken to: 'cryptography' package is required" in said
    assert "pip install 'greenroom[mysql]'" in said
    assert "ssl-mode=REQUIRED" in said
    assert "s3cret" not in said


def test_the_ledger_works(session: MysqlSession) -> None:
    ledger = Ledger(session, "shop")
    ledger.make()
    ledger.make()
    order = Order("shop", "r1", "2", "ann", 3, 0.0)
    with session.transaction():
        ledger.claim(order)
        ledger.begin(Recorded("0001", Stage.EXPAND, "c0ffee", "expand.sql", "SELECT 'ß😀'"), order)
        ledger.did("0001", Stage.EXPAND, 1, "c0ffee", 0.5)
    session.run("START TRANSACTION")
    ledger.did("0001", Stage.EXPAND, 2, "c0ffee", 0.5)
    session.run("ROLLBACK")
    [row] = ledger.migrations()
    assert (row.state, row.text, row.by) == (Stand.RUNNING, "SELECT 'ß😀'", "ann")
    assert list(ledger.statements("0001", Stage.EXPAND)) == [1]
    assert abs(ledger.now() - time.time()) < 600
    with pytest.raises(Permanent, match="epoch 3"), session.transaction():
        ledger.claim(Order("shop", "r1", "2", "bob", 2, 0.0))


def test_the_row_of_the_release_is_locked(server: Server, shop: str, session: MysqlSession) -> None:
    ledger = Ledger(session, "shop")
    ledger.make()
    with session.transaction():
        ledger.claim(Order("shop", "r1", "2", "ann", 3, 0.0))
    other = MysqlTarget(server.url(shop)).open("test")
    with session.transaction():
        assert ledger.held(lock=True)
        with pytest.raises(Blocked), other.transaction():
            Ledger(other, "shop").held(lock=True)
    other.close()


def test_several_make_the_ledger_at_once(server: Server, shop: str) -> None:
    errors: list[BaseException] = []

    def make() -> None:
        try:
            session = MysqlTarget(server.url(shop)).open("test")
            Ledger(session, "shop").make()
            session.close()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_keysets_walk_a_table_in_the_order_of_its_key(session: MysqlSession) -> None:
    grammar = GRAMMARS[Dialect.MYSQL]
    session.run("CREATE TABLE points (a INT, b VARCHAR(9), PRIMARY KEY (a, b))")
    places = [(a, b) for a in (1, 2, 3) for b in ("x", "y")]
    for place in places:
        session.run("INSERT INTO points VALUES (%s, %s)", place)
    query = f"SELECT a, b FROM points WHERE {grammar.after(['a', 'b'])} ORDER BY a, b LIMIT 1"
    walked = [places[0]]
    while found := session.rows(query, grammar.after_values(walked[-1])):
        walked += found
    assert walked == places


@pytest.mark.parametrize(("one", "other"), [("1", "1"), ("1", "2"), ("NULL", "1"), ("NULL", "NULL")])
def test_same_and_different_know_null(session: MysqlSession, one: str, other: str) -> None:
    grammar = GRAMMARS[Dialect.MYSQL]
    found = session.rows(f"SELECT {grammar.same(one, other)}, {grammar.differs(one, other)}")
    assert found == [(one == other, one != other)]


# --- who is in the way ----------------------------------------------------------------------------------------------


def seen(server: Server, shop: str, sql: str) -> tuple[list[str], list[int]]:
    """What the lookout says of a session that waits to do this, and their numbers."""
    waiting = MysqlTarget(server.url(shop)).open("test")
    looking = MysqlTarget(server.url(shop)).open("watch")

    def wait() -> None:
        with pytest.raises(Lost):
            waiting.run(sql)

    thread = threading.Thread(target=wait)
    thread.start()
    end = time.monotonic() + PATIENCE
    while not (found := MysqlLookout().blockers(looking, waiting.number)):
        assert time.monotonic() < end, "nobody was seen"
        time.sleep(0.02)
    server.run(f"KILL {waiting.number}")
    thread.join()
    looking.close()
    waiting.close()
    return [str(one) for one in found], [one.number for one in found]


def test_who_holds_a_row_is_named(server: Server, shop: str) -> None:
    with holding(server, shop, "UPDATE users SET name = 'x' WHERE id = 1") as other:
        texts, numbers = seen(server, shop, "UPDATE users SET name = 'y' WHERE id = 1")
        assert numbers == [other.thread_id()]  # type: ignore[no-untyped-call]
    assert "root@localhost" in texts[0]
    assert "idle in its transaction" in texts[0]


def test_who_holds_the_shape_of_a_table_is_named(server: Server, shop: str) -> None:
    with holding(server, shop, "SELECT * FROM users") as other:
        _, numbers = seen(server, shop, "ALTER TABLE users ADD COLUMN email TEXT")
        assert other.thread_id() in numbers  # type: ignore[no-untyped-call]


def test_without_the_right_to_see_it_that_right_is_named(server: Server, shop: str) -> None:
    server.run("CREATE OR REPLACE USER small@'127.0.0.1'", f"GRANT ALL ON {shop}.* TO small@'127.0.0.1'")
    looking = MysqlTarget(server.url(shop, "small", "")).open("watch")
    with holding(server, shop, "SELECT * FROM users"):
        found = MysqlLookout()._all(looking, 0, 0.0)
    assert [one.who for one in found] == [UNSEEN]
    looking.close()


def test_who_was_in_the_way_is_known_to_be_gone(server: Server, shop: str, session: MysqlSession) -> None:
    with holding(server, shop, "UPDATE users SET name = 'x' WHERE id = 1"):
        found = MysqlLookout().long(session, 0.0)
        assert found
        assert MysqlLookout().stays(session, found)
    end = time.monotonic() + PATIENCE
    while MysqlLookout().stays(session, found):  # the server looks anew every 100 ms
        assert time.monotonic() < end
        time.sleep(0.12)
