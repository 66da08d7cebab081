"""The migrators keep the contract of their port, on each kind of database."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from greenroom.adapters.database.settings import SqlSettings
from greenroom.adapters.migrators.sql import SqlMigrator
from greenroom.ports import Migrator, Place
from greenroom.testing.contracts.migrator import MigratorBench, MigratorContract
from tests.rigs import mariadb, postgres
from tests.rigs.migrating import Base

NAME = "0007_new_preference"
FILES: dict[str, dict[str, str]] = {
    "good": {
        "expand.sql": "ALTER TABLE users ADD COLUMN new VARCHAR(40);\nCREATE TABLE visits (id INTEGER PRIMARY KEY);\n",
        "backfill.yaml": "table: users\nset: {new: old}\nallow: {backfill-not-in-step: nobody writes here}\n",
        "contract.sql": "ALTER TABLE users DROP COLUMN old;\n",
    },
    "changed": {
        "expand.sql": "ALTER TABLE users ADD COLUMN newer VARCHAR(40);\nCREATE TABLE visits (id INTEGER PRIMARY KEY);\n"
    },
    "harmful": {"expand.sql": "ALTER TABLE users DROP COLUMN old;\n"},
    "wrong": {"expand.sql": "ALTER TABLE users ADD COLUMN new VARCHAR(40) DEFAULT 'never closed;\n"},
}


class Bench:
    """Files in `folder`, a database at `url`."""

    service = "shop"

    def __init__(self, folder: Path, url: str, gone: str) -> None:
        self.folder, self.url, self.gone = folder, url, gone

    def migrator(self) -> Migrator:
        return self._at(self.url)

    def unreachable(self) -> Migrator:
        return self._at(self.gone)

    def _at(self, url: str) -> Migrator:
        place = Place("shop", self.folder / "greenroom.yaml", self.folder / ".greenroom")
        return SqlMigrator(SqlSettings.model_validate({"url": url, "tries": 1000}), place)

    def bring(self, kind: str) -> None:
        shutil.rmtree(self.folder / "migrations", ignore_errors=True)
        (self.folder / "migrations" / NAME).mkdir(parents=True)
        for name, text in FILES[kind].items():
            (self.folder / "migrations" / NAME / name).write_text(text)

    def processes(self) -> list[int]:
        """At work on a question that lies in our folder."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
                if b"greenroom.adapters.database" in command and any(
                    str(self.folder).encode() in one for one in command
                ):
                    found.append(int(entry.name))
        return found

    def working(self) -> int:
        return len(self.processes())

    def kill(self) -> None:
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)

    def end(self) -> None:
        self.kill()


class PostgresBench(Bench):
    def __init__(self, folder: Path, base: Base) -> None:
        super().__init__(folder, base.url, "postgresql://ann@127.0.0.1:1/shop")
        self.base = base

    def schema(self) -> object:
        return self.base.sql(
            "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public'"
            " ORDER BY 1, 2"
        )

    def expanded(self) -> bool:
        return self.base.columns() == ["id", "old", "new"] and bool(self.base.columns("visits"))

    def filled(self) -> bool:
        return self.base.sql("SELECT 1 FROM users WHERE new IS DISTINCT FROM old") == []

    @contextmanager
    def hindered(self) -> Iterator[object]:
        with self.base.application() as other, other.transaction():
            other.execute("SELECT 1 FROM users")
            yield


class SqliteBench(Bench):
    def __init__(self, folder: Path) -> None:
        self.file = folder / "shop.db"
        super().__init__(folder, f"sqlite:///{self.file}", f"sqlite:///{folder}/gone.db")
        self.sql("CREATE TABLE users (id INTEGER PRIMARY KEY, old VARCHAR(40))")
        self.sql("INSERT INTO users VALUES (1, 'likes 1'), (2, 'likes 2')")

    def sql(self, text: str) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(self.file, isolation_level=None)) as db:
            return db.execute(text).fetchall()

    def schema(self) -> object:
        return self.sql(
            "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'greenroom%' AND sql NOT NULL ORDER BY 1"
        )

    def expanded(self) -> bool:
        return "new" in str(self.schema()) and "visits" in str(self.schema())

    def filled(self) -> bool:
        return self.sql("SELECT 1 FROM users WHERE new IS NOT old") == []

    @contextmanager
    def hindered(self) -> Iterator[object]:
        with contextlib.closing(sqlite3.connect(self.file, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            yield
            db.execute("ROLLBACK")


class MariadbBench(Bench):
    def __init__(self, folder: Path, server: mariadb.Server) -> None:
        self.server, self.name = server, server.database()
        super().__init__(folder, server.url(self.name), "mysql://ann@127.0.0.1:1/shop")
        self.sql("CREATE TABLE users (id INT PRIMARY KEY, old VARCHAR(40)) ENGINE=InnoDB")
        self.sql("INSERT INTO users VALUES (1, 'likes 1'), (2, 'likes 2')")

    def sql(self, *statements: str) -> list[tuple[Any, ...]]:
        return self.server.run(*statements, database=self.name)

    def schema(self) -> object:
        return self.sql(
            "SELECT table_name, column_name, column_type FROM information_schema.columns WHERE table_schema = DATABASE()"
            " AND table_name NOT LIKE 'greenroom%' ORDER BY 1, 2"
        )

    def expanded(self) -> bool:
        return "new" in str(self.schema()) and "visits" in str(self.schema())

    def filled(self) -> bool:
        return list(self.sql("SELECT 1 FROM users WHERE NOT (new <=> old)")) == []

    @contextmanager
    def hindered(self) -> Iterator[object]:
        with contextlib.closing(self.server.connect(self.name)) as db, db.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT * FROM users")
            yield


@contextmanager
def ended(bench: Bench) -> Iterator[Bench]:
    try:
        yield bench
    finally:
        bench.end()


@pytest.fixture(scope="session")
def cluster() -> Iterator[postgres.Cluster]:
    with postgres.shared() as made:
        yield made


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[mariadb.Server]:
    with mariadb.shared() as made:
        yield made


@pytest.mark.real
@pytest.mark.xdist_group("postgres")
class TestSqlOnPostgres(MigratorContract):
    @pytest.fixture
    def bench(self, tmp_path: Path, cluster: postgres.Cluster) -> Iterator[MigratorBench]:
        with Base.lent(cluster, 20) as base, ended(PostgresBench(tmp_path, base)) as made:
            yield made  # type: ignore[misc]


@pytest.mark.real
class TestSqlOnSqlite(MigratorContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Iterator[MigratorBench]:
        with ended(SqliteBench(tmp_path)) as made:
            yield made  # type: ignore[misc]


@pytest.mark.soak
@pytest.mark.real
@pytest.mark.xdist_group("mariadb")
class TestSqlOnMariadb(MigratorContract):
    @pytest.fixture
    def bench(self, tmp_path: Path, mariadb_server: mariadb.Server) -> Iterator[MigratorBench]:
        with ended(MariadbBench(tmp_path, mariadb_server)) as made:
            yield made  # type: ignore[misc]
