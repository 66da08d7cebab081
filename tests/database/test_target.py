"""PostgreSQL as a target: every refusal in words, with its way out; every limit set anew in each transaction."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from greenroom.adapters.database.postgres_errors import refused
from greenroom.adapters.database.target import Blocked, Broken, Full, Lost, Session, dialect_of, of
from greenroom.domain.schema import Dialect
from greenroom.errors import GreenroomError, Permanent, Temporary, UsageError
from tests.rigs import postgres
from tests.rigs.migrating import Base
from tests.rigs.postgres import PASSWORD, Cluster

real = [pytest.mark.real, pytest.mark.xdist_group("postgres")]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with postgres.shared() as made:
        yield made


@pytest.fixture
def base(cluster: Cluster) -> Iterator[Base]:
    with Base.lent(cluster) as made:
        yield made


# --- addresses --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "dialect"),
    [
        ("postgres://h/db", Dialect.POSTGRES),
        ("postgresql://h/db", Dialect.POSTGRES),
        ("PostgreSQL://h/db", Dialect.POSTGRES),
        ("mysql://h/db", Dialect.MYSQL),
        ("mariadb://h/db", Dialect.MYSQL),
        ("sqlite:///db", Dialect.SQLITE),
    ],
)
def test_the_scheme_names_the_dialect(url: str, dialect: Dialect) -> None:
    assert dialect_of(url) is dialect


@pytest.mark.parametrize(
    "url", ["", "h/db", "oracle://h/db", "postgresql:/h/db", "postgresql://ann:s3cret@x@h/db", "postgresql://h:port/db"]
)
def test_what_is_no_address_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(UsageError, match=r"migrations\.url is no address") as caught:
        of(url)
    assert "s3cret" not in f"{caught.value}{caught.value.hint}"
    assert "postgresql://user:password@host" in caught.value.hint


# --- a server that says no ---------------------------------------------------------------------------------------


@contextmanager
def saying(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that answers each connection so; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    line, _ = server.accept()
                except OSError:
                    return
                with line:
                    length = struct.unpack("!I", line.recv(4))[0]
                    if length == 8:  # asked for TLS: no
                        line.recv(4)
                        line.sendall(b"N")
                        length = struct.unpack("!I", line.recv(4))[0]
                    line.recv(length - 4)
                    answer(line)

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield f"postgresql://ann:{'s3cret'}@127.0.0.1:{server.getsockname()[1]}/shop"
        finally:
            server.shutdown(socket.SHUT_RDWR)


def fatal(code: str, text: str) -> Callable[[socket.socket], None]:
    body = (
        b"".join(kind + value.encode() + b"\0" for kind, value in ((b"S", "FATAL"), (b"C", code), (b"M", text))) + b"\0"
    )
    return lambda line: line.sendall(b"E" + struct.pack("!I", len(body) + 4) + body)


@pytest.mark.parametrize(
    ("code", "text", "kind", "said", "way"),
    [
        ("57P03", "the database system is starting up", Temporary, "is starting", "server's log"),
        ("57P03", "the database system is in recovery mode", Temporary, "is starting", "server's log"),
        ("57P03", "the database system is shutting down", Temporary, "is shutting down", "Start it"),
        ("53300", "sorry, too many clients already", Temporary, "no free connection", "max_connections"),
        (
            "53300",
            "remaining connection slots are reserved for roles",
            Temporary,
            "no free connection",
            "pg_stat_activity",
        ),
        ("28P01", 'password authentication failed for user "ann"', Permanent, "does not let us in", "password"),
        ("28000", 'no pg_hba.conf entry for host "h"', Permanent, "does not let us in", "pg_hba.conf"),
        ("28000", 'role "ann" does not exist', Permanent, "does not let us in", "user and password"),
        ("3D000", 'database "shop" does not exist', Permanent, "is not there", "CREATE DATABASE"),
        ("42501", 'permission denied for database "shop"', Permanent, "does not let us in", "GRANT CONNECT"),
        ("08P01", "unsupported startup parameter: keepalives", Permanent, "pool of connections", "server itself"),
        ("XX000", "something that nobody foresaw", Permanent, "refuses us", "pg_hba.conf"),
    ],
)
def test_why_no_connection_is_made(code: str, text: str, kind: type[GreenroomError], said: str, way: str) -> None:
    with saying(fatal(code, text)) as url, pytest.raises(kind) as caught:
        of(url).open("test")
    assert said in caught.value.message
    assert text.rstrip(".") in caught.value.message
    assert way in caught.value.hint
    assert "s3cret" not in f"{caught.value}{caught.value.hint}"


def test_a_server_that_is_down() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(Temporary, match="cannot be reached") as caught:
        of(f"postgresql://127.0.0.1:{port}/shop").open("test")
    assert "server runs" in caught.value.hint


def test_ft_16_a_full_disk_is_said() -> None:
    error = refused("database shop", psycopg.errors.DiskFull("could not extend file: No space left on device"), "", ())
    assert isinstance(error, Full)
    assert "disk is full" in error.message
    assert "what was done stays done" in error.hint


# --- a real one --------------------------------------------------------------------------------------------------


class TestPostgres:
    pytestmark = real

    def test_place_and_purpose_are_told_without_the_password(self, base: Base) -> None:
        session = base.target.open("expand r-1")
        [(name,)] = base.sql("SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'greenroom%'")
        session.close()
        assert name == "greenroom expand r-1"
        assert base.target.place == f"database {base.name} at 127.0.0.1:{base.cluster.port} as ann"

    def test_a_wrong_password(self, cluster: Cluster, base: Base) -> None:
        with pytest.raises(Permanent, match="does not let us in") as caught:
            of(cluster.url(base.name, password="wr0ng")).open("test")
        assert "wr0ng" not in caught.value.message

    def test_no_such_database(self, cluster: Cluster) -> None:
        with pytest.raises(Permanent, match='is not there: database "nowhere"'):
            of(cluster.url("nowhere")).open("test")

    def test_a_role_that_only_reads(self, base: Base) -> None:
        name, url = base.role()
        base.sql(f"ALTER ROLE {name} SET default_transaction_read_only = on")
        with pytest.raises(Permanent, match="is read-only") as caught:
            of(url).open("test")
        assert "default_transaction_read_only" in caught.value.hint
        of(url, copy=True).open("lag").close()

    def test_one_connection_too_many(self, base: Base) -> None:
        _, url = base.role("CONNECTION LIMIT 1")
        target = of(url)
        first = target.open("test")
        with pytest.raises(Temporary, match="no free connection"):
            target.open("test")
        first.close()

    def test_a_pool_of_connections_is_told_from_the_server(self, base: Base) -> None:
        with pooled(base.cluster.port) as port:
            url = base.url.replace(f":{base.cluster.port}/", f":{port}/") + "?sslmode=disable&gssencmode=disable"
            with pytest.raises(Permanent, match="through a pool of connections") as caught:
                of(url).open("test")
        assert "the server itself" in caught.value.hint

    def test_one_statement_at_a_time(self, base: Base) -> None:
        session = base.target.open("test")
        with pytest.raises(Broken, match="multiple commands") as caught:
            session.run("DROP TABLE users; SELECT 1")
        session.close()
        assert "write them apart" in caught.value.hint
        assert base.columns() == ["id", "old"]

    def test_values_and_percents(self, base: Base) -> None:
        session = base.target.open("test")
        assert session.rows("SELECT '100%', 'a' LIKE '%a'") == [("100%", True)]
        assert session.rows("SELECT %s::text || '%%'", ["x"]) == [("x%",)]
        assert session.run("INSERT INTO users SELECT generate_series(1, 3)") == 3
        session.close()

    def test_all_of_a_transaction_or_nothing(self, base: Base) -> None:
        session = base.target.open("test")
        with pytest.raises(Broken, match="division by zero"):
            together(session, "ALTER TABLE users ADD COLUMN new text", "SELECT 1/0")
        assert base.columns() == ["id", "old"]
        together(session, "ALTER TABLE users ADD COLUMN new text")
        session.close()
        assert base.columns() == ["id", "old", "new"]

    def test_pitfall_10_the_limits_hold_in_every_transaction(self, base: Base) -> None:
        """Also after one that failed, and whatever the session or the role was told."""
        session = base.target.open("test")
        session.run("SET lock_timeout = '1h'")
        limits = "SELECT current_setting('lock_timeout'), current_setting('statement_timeout')"
        with session.transaction(lock_timeout=0.05, statement_timeout=2.5):
            assert session.rows(limits) == [("50ms", "2500ms")]
        with pytest.raises(Broken), session.transaction(lock_timeout=0.05):
            session.run("SELECT 1/0")
        with session.transaction(lock_timeout=0.05):
            assert session.rows(limits) == [("50ms", "0")]
        session.close()

    def test_a_lock_that_is_held(self, base: Base) -> None:
        session = base.target.open("test")
        with base.application() as other, other.transaction():
            other.execute("LOCK TABLE users")
            with pytest.raises(Blocked, match="lock timeout") as caught, session.transaction(lock_timeout=0.02):
                session.run("ALTER TABLE users ADD COLUMN new text")
        session.close()
        assert caught.value.code == "55P03"

    def test_a_statement_that_takes_too_long(self, base: Base) -> None:
        session = base.target.open("test")
        with pytest.raises(Broken, match="statement timeout") as caught, session.transaction(statement_timeout=0.05):
            session.run("SELECT pg_sleep(30)")
        session.close()
        assert "migrations.statement_timeout" in caught.value.hint

    def test_pitfall_6_a_statement_that_ends_the_transaction(self, base: Base) -> None:
        session = base.target.open("test")
        with pytest.raises(Permanent, match="ended the transaction"), session.transaction():
            session.run("COMMIT")
        session.close()

    def test_a_syntax_error_says_where(self, base: Base) -> None:
        session = base.target.open("test")
        with pytest.raises(Broken, match='syntax error at or near "TABEL"') as caught:
            session.run("ALTER TABEL users ADD COLUMN new text")
        session.close()
        assert (caught.value.position, caught.value.code) == (7, "42601")

    def test_rights_that_are_missing(self, base: Base) -> None:
        _, url = base.role()
        session = of(url).open("test")
        with pytest.raises(Broken, match="must be owner of table users") as caught:
            session.run("ALTER TABLE users ADD COLUMN new text")
        assert "GRANT the role that owns it" in caught.value.hint
        with pytest.raises(Broken, match="permission denied for schema public"):
            session.run("CREATE TABLE mine ()")
        session.close()

    def test_a_session_that_is_ended_is_lost(self, base: Base) -> None:
        session = base.target.open("test")
        base.sql(f"SELECT pg_terminate_backend({session.number})")
        with pytest.raises(Lost, match="was lost"):
            session.rows("SELECT 1")
        with pytest.raises(Lost):
            session.rows("SELECT 1")
        session.close()

    def test_a_server_that_says_nothing_is_given_up(self, base: Base) -> None:
        session = base.target.open("test", patience=0.2)
        with pytest.raises(Lost):
            session.rows("SELECT pg_sleep(60)")
        session.close()

    def test_no_secret_in_an_error_of_the_server(self, base: Base) -> None:
        session = base.target.open("test")
        with pytest.raises(Broken) as caught:
            session.run(f'SELECT 1 AS a, "{PASSWORD}"')
        session.close()
        assert PASSWORD not in caught.value.message


def together(session: Session, *statements: str) -> None:
    with session.transaction():
        for sql in statements:
            session.run(sql)


@contextmanager
def pooled(server: int) -> Iterator[int]:
    """A port before the server, where clients are told another process id than the server's, as pools do."""
    with socket.create_server(("127.0.0.1", 0)) as front:

        def serve() -> None:
            client, _ = front.accept()
            with client, socket.create_connection(("127.0.0.1", server)) as behind:
                threading.Thread(target=pump, args=(client, behind), daemon=True).start()
                pump(behind, client, lambda chunk: masked(chunk))

        threading.Thread(target=serve, daemon=True).start()
        yield front.getsockname()[1]


def masked(chunk: bytes) -> bytes:
    """BackendKeyData: `K`, its length, the process id, the key."""
    at = chunk.find(b"K\0\0\0\x0c")
    return chunk if at < 0 else chunk[: at + 5] + struct.pack("!I", 77_777) + chunk[at + 9 :]


def pump(source: socket.socket, sink: socket.socket, change: Callable[[bytes], bytes] = lambda chunk: chunk) -> None:
    try:
        while chunk := source.recv(65536):
            sink.sendall(change(chunk))
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass
