"""The contract on MariaDB, where each statement stands for itself, and on SQLite, which knows no sessions."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from greenroom.adapters.database.contracting import ContractSettings, contract, hold, restore
from greenroom.adapters.database.running import Pace
from greenroom.adapters.database.target import Target, of
from greenroom.domain.model import Colour, Verdict
from greenroom.domain.opinion import Finding
from greenroom.domain.schema import Migration
from greenroom.errors import PortError
from tests.database.old_column import LET, NAME, ORDER, Deadly, expanded_in, killed_by, migration, until
from tests.rigs import mariadb
from tests.rigs.mariadb import Server

SOFT = ContractSettings(soft_drop="1h", evidence=())
AT_ONCE = ContractSettings(soft_drop=0, evidence=())
LATER = ORDER.now + 9999
TRIGGER = """
CREATE TRIGGER zzzz_users BEFORE INSERT ON users FOR EACH ROW SET NEW.old = coalesce(NEW.old, NEW.new)
"""


OTHERS = "SELECT count(*) FROM information_schema.processlist WHERE db = database() AND id <> connection_id()"


class Elsewhere:
    def __init__(self, target: Target, plan: Migration) -> None:
        self.target, self.order, self.settings = target, replace(ORDER, overrides=LET), AT_ONCE
        expanded_in(target, plan)

    def contract(self, **changes: object) -> Finding:
        until(lambda: self.target.dialect != "mysql" or self.rows(OTHERS) == [(0,)], "other sessions are left")
        return self.asked(**changes)

    def asked(self, **changes: object) -> Finding:
        order = replace(self.order, **changes)  # type: ignore[arg-type]
        return contract(self.target, order, [], self.settings, lambda text: None, pace=Pace(tries=2))

    def killed(self, number: int) -> bool:
        """In the middle of a contract."""
        until(lambda: self.target.dialect != "mysql" or self.rows(OTHERS) == [(0,)], "other sessions are left")

        def there(deadly: Deadly) -> None:
            deadly.target, deadly.dialect, self.target = self.target, self.target.dialect, deadly
            self.asked()

        return killed_by(number, there)

    def hold(self) -> Finding:
        return hold(self.target, self.order, True)

    def restore(self) -> Finding:
        return restore(self.target, self.order, NAME)

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        session = self.target.open("test")
        try:
            return session.rows(sql)
        finally:
            session.close()

    def run(self, *statements: str) -> None:
        session = self.target.open("test")
        try:
            for sql in statements:
                session.run(sql)
        finally:
            session.close()

    @property
    def columns(self) -> set[object]:
        session = self.target.open("test")
        try:
            session.run("INSERT INTO users (id, new) VALUES (NULL, 'x')")  # the new version can always write
            sqlite = "SELECT name FROM pragma_table_info('users')"
            maria = (
                "SELECT column_name FROM information_schema.columns WHERE table_schema = database()"
                " AND table_name = 'users'"
            )
            return {name for (name,) in session.rows(sqlite if session.dialect == "sqlite" else maria)}
        finally:
            session.close()


# --- MariaDB ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with mariadb.shared() as made:
        yield made


def on_mariadb(server: Server, sql: str, *more: str) -> Elsewhere:
    name = server.database()
    server.run("CREATE TABLE users (id int PRIMARY KEY AUTO_INCREMENT, old text, new text)", *more, database=name)
    return Elsewhere(of(server.url(name).replace("postgresql", "mysql")), migration(sql, expand=""))


DROP = "ALTER TABLE users DROP COLUMN old"


@pytest.mark.real
@pytest.mark.xdist_group("mariadb")
class TestMariaDB:
    def test_hidden_put_back_and_dropped(self, server: Server) -> None:
        shop = on_mariadb(server, DROP)
        shop.settings = SOFT
        assert shop.contract().verdict is Verdict.WAIT
        assert shop.columns == {"id", "new", "greenroom_gone_old"}
        assert "db restore" in shop.hold().reason
        assert shop.restore().verdict is Verdict.PASS
        assert shop.columns == {"id", "new", "old"}
        assert shop.hold().verdict is Verdict.PASS
        hold(shop.target, shop.order, False)
        assert shop.contract().verdict is Verdict.WAIT
        assert shop.contract(now=LATER).verdict is Verdict.PASS
        assert shop.columns == {"id", "new"}
        assert "has dropped users.old" in shop.hold().reason
        assert shop.restore().verdict is Verdict.FAIL

    def test_a_table_is_hidden(self, server: Server) -> None:
        shop = on_mariadb(server, "DROP TABLE extra", "CREATE TABLE extra (id int)")
        shop.settings = SOFT
        assert shop.contract().verdict is Verdict.WAIT
        with pytest.raises(PortError):
            shop.rows("SELECT id FROM extra")
        shop.restore()
        assert shop.rows("SELECT id FROM extra") == []

    def test_what_a_trigger_writes_cannot_be_hidden(self, server: Server) -> None:
        shop = on_mariadb(server, f"DROP TRIGGER zzzz_users; {DROP}", TRIGGER)
        shop.settings = SOFT
        found = shop.contract()
        assert found.verdict is Verdict.FAIL
        assert "MySQL cannot change both in one step" in found.reason
        shop.settings = AT_ONCE
        assert shop.contract().verdict is Verdict.PASS
        assert shop.columns == {"id", "new"}

    @pytest.mark.parametrize("sql", [f"{DROP}; DROP TRIGGER zzzz_users", DROP])
    def test_pitfall_4_the_trigger_goes_first(self, server: Server, sql: str) -> None:
        shop = on_mariadb(server, sql, TRIGGER)
        assert "[sync-trigger]" in shop.contract().reason
        assert "old" in shop.columns

    def test_pitfall_4_what_stands_between_is_something_to_live_with(self, server: Server) -> None:
        demanded = "ALTER TABLE users MODIFY old varchar(9) NOT NULL"
        ease = "ALTER TABLE users MODIFY old varchar(9) NULL"
        shop = on_mariadb(server, f"DROP TRIGGER zzzz_users; {DROP}", demanded, TRIGGER)
        assert "every INSERT without users.old fails" in shop.contract().reason
        shop = on_mariadb(server, f"{ease}; DROP TRIGGER zzzz_users; {DROP}", demanded, TRIGGER)
        assert shop.contract().verdict is Verdict.PASS

    def test_sessions_are_told_by_their_roles(self, server: Server) -> None:
        shop = on_mariadb(server, DROP)
        name = shop.rows("SELECT database()")[0][0]
        server.run(
            *(f"CREATE USER IF NOT EXISTS {role}@'%' IDENTIFIED BY 'x'" for role in ("shop_blue", "shop_green")),
            *(f"GRANT ALL ON {name}.* TO {role}@'%'" for role in ("shop_blue", "shop_green")),
        )
        roles = {Colour.BLUE: "shop_blue", Colour.GREEN: "shop_green"}
        shop.settings = AT_ONCE.model_copy(update={"colours": roles})
        live = of(server.url(str(name), "shop_green", "x")).open("test")
        old = of(server.url(str(name), "shop_blue", "x")).open("test")
        try:
            until(lambda: shop.asked().verdict is Verdict.WAIT, "the old session is not seen")
            old.close()
            until(lambda: shop.asked().verdict is Verdict.PASS, "the old session is still seen")
        finally:
            live.close()
            old.close()

    def test_who_may_not_see_sessions_cannot_tell(self, server: Server) -> None:
        shop = on_mariadb(server, DROP)
        name = shop.rows("SELECT database()")[0][0]
        server.run("CREATE USER IF NOT EXISTS deploy@'%' IDENTIFIED BY 'x'", f"GRANT ALL ON {name}.* TO deploy@'%'")
        shop.target = of(server.url(str(name), "deploy", "x"))
        found = shop.asked()
        assert found.verdict is Verdict.UNKNOWN
        assert "PROCESS" in found.reason

    def test_kill_9_at_any_write(self, server: Server) -> None:
        shop = on_mariadb(server, f"DROP TRIGGER zzzz_users; {DROP}", TRIGGER)
        number = 1
        while shop.killed(number):
            back = shop.hold().verdict is Verdict.PASS
            hold(shop.target, shop.order, False)
            assert back is (shop.rows("SELECT count(*) FROM greenroom_statement") == [(0,)])
            assert "new" in shop.columns
            number += 1
        assert number > 8
        assert shop.columns == {"id", "new"}

    def test_kill_9_while_it_hides(self, server: Server) -> None:
        shop = on_mariadb(server, DROP)
        shop.settings = SOFT
        number = 1
        while shop.killed(number):
            assert len(shop.columns) == 3
            assert shop.contract().verdict is Verdict.WAIT
            assert shop.columns == {"id", "new", "greenroom_gone_old"}
            assert shop.restore().verdict is Verdict.PASS
            number += 1
        assert number > 5


# --- SQLite -----------------------------------------------------------------------------------------------------

SQLITE_TRIGGER = (
    "CREATE TRIGGER zzzz_users AFTER INSERT ON users WHEN NEW.old IS NULL BEGIN UPDATE users SET old = NEW.new"
    " WHERE id = NEW.id; END"
)


@pytest.fixture
def file(tmp_path: Path) -> Elsewhere:
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, old text, new text)")
        db.execute(SQLITE_TRIGGER)
    path.chmod(0o600)
    return Elsewhere(of(f"sqlite:///{path}"), migration(f"DROP TRIGGER zzzz_users; {DROP}", expand=""))


class TestSqlite:
    def test_hidden_put_back_and_dropped(self, file: Elsewhere) -> None:
        """SQLite renames the column in its triggers, too."""
        file.settings = SOFT
        assert file.contract().verdict is Verdict.WAIT
        assert file.columns == {"id", "new", "greenroom_gone_old"}
        assert file.rows("SELECT greenroom_gone_old FROM users") == [("x",)]
        file.restore()
        assert file.columns == {"id", "new", "old"}
        assert file.contract().verdict is Verdict.WAIT
        assert file.contract(now=LATER).verdict is Verdict.PASS
        assert file.columns == {"id", "new"}
        assert file.hold().verdict is Verdict.FAIL

    def test_what_sqlite_refuses_changes_nothing(self, file: Elsewhere) -> None:
        expanded_in(file.target, migration(DROP, expand=""))
        with pytest.raises(PortError, match="zzzz_users"):
            file.contract()
        assert file.columns == {"id", "new", "old"}
        assert file.hold().verdict is Verdict.PASS

    @pytest.mark.parametrize(
        ("told", "verdict", "rule"),
        [
            ({"GREENROOM_COLOUR": "blue", "GREENROOM_VERSION": "41"}, Verdict.WAIT, "old-sessions"),
            ({}, Verdict.UNKNOWN, "old-sessions"),
            ({"GREENROOM_COLOUR": "green", "GREENROOM_VERSION": "42"}, Verdict.PASS, ""),
        ],
    )
    def test_processes_that_have_it_open(
        self, file: Elsewhere, told: dict[str, str], verdict: Verdict, rule: str
    ) -> None:
        path = str(file.target.place).removeprefix("database in ")
        program = "import sys; held = open(sys.argv[1]); print(flush=True); sys.stdin.read()"
        command = [sys.executable, "-c", program, path]
        environment = {"PATH": os.environ["PATH"], **told}
        with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            found = file.contract()
            assert found.verdict is verdict
            assert rule in found.reason
            process.communicate()
