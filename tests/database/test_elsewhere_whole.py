"""A rename from its helper to its contract, on a real MariaDB and on SQLite, as the job of a release carries it out."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from greenroom.adapters.database.job import Ask
from greenroom.adapters.database.settings import SqlSettings
from greenroom.adapters.database.target import of
from greenroom.adapters.database.work import answer
from greenroom.adapters.database.writing import rename
from greenroom.domain.model import Verdict
from greenroom.domain.opinion import Finding
from greenroom.domain.schema import Order, Stage
from tests.rigs import mariadb
from tests.rigs.mariadb import Server

MYSQL = [pytest.mark.real, pytest.mark.xdist_group("mariadb")]
ROWS = ", ".join(f"({i}, 'likes {i}')" for i in range(1, 501))


@dataclass
class Shop:
    url: str
    folder: Path
    shadow: str = ""

    def sql(self, text: str) -> list[tuple[Any, ...]]:
        session = of(self.url).open("test")
        try:
            return session.rows(text)
        finally:
            session.close()

    def work(self, stage: Stage, order: Order) -> Finding:
        settings = SqlSettings(url=self.url, shadow=self.shadow, soft_drop=0, evidence=[])
        return answer(Ask(stage, order, str(self.folder), "migrations"), settings, print).finding


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with mariadb.shared() as made:
        yield made


@pytest.fixture(params=[pytest.param("mysql", marks=MYSQL), "sqlite"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    (tmp_path / "migrations").mkdir()
    if request.param == "sqlite":
        sqlite3.connect(tmp_path / "shop.db").close()
        (tmp_path / "shop.db").touch()
        made = Shop(f"sqlite:///{tmp_path}/shop.db", tmp_path / "migrations")
        made.sql("CREATE TABLE users (id INTEGER PRIMARY KEY, old TEXT)")
        made.sql(f"INSERT INTO users VALUES {ROWS}")
        yield made
        return
    server: Server = request.getfixturevalue("server")
    name = server.database()
    made = Shop(server.url(name), tmp_path / "migrations", server.url(name))
    made.sql("CREATE TABLE users (id INT PRIMARY KEY, old VARCHAR(20)) ENGINE=InnoDB")
    made.sql(f"INSERT INTO users VALUES {ROWS}")
    yield made
    server.drop(name)


def test_a_rename_from_the_helper_to_the_contract(shop: Shop) -> None:
    session = of(shop.url).open("test")
    rename(session, "users.old", "new", folder=shop.folder).save(shop.folder)
    session.close()
    order = Order("shop", "r-1", "42", "ann", 1, 0.0, running="41", colours={"blue": "41", "green": "42"})
    for stage in (Stage.EXPAND, Stage.BACKFILL):
        found = shop.work(stage, order)
        assert found.verdict is Verdict.PASS, found
    shop.sql("INSERT INTO users (id, old) VALUES (1001, 'of the old version')")
    shop.sql("INSERT INTO users (id, new) VALUES (1002, 'of the new version')")
    assert shop.sql("SELECT count(*) FROM users WHERE old = new") == [(502,)]
    alone = replace(order, running="42", gone="41", colours={"blue": "", "green": "42"}, now=10_000.0, baked=True)
    alone = replace(alone, overrides={"evidence": "the whole code was read by bob"})
    found = shop.work(Stage.CONTRACT, alone)
    assert found.verdict is Verdict.PASS, found
    shop.sql("INSERT INTO users (id, new) VALUES (1003, 'alone')")
    assert shop.sql("SELECT count(*), count(new) FROM users") == [(503, 503)]
    assert len(shop.sql("SELECT * FROM users LIMIT 1")[0]) == 2


def test_what_the_server_cannot_do_is_refused_before_anything_runs(shop: Shop) -> None:
    home = shop.folder / "0001_first"
    home.mkdir()
    (home / "expand.sql").write_text(
        "ALTER TABLE users ADD COLUMN plan VARCHAR(10);\nALTER TABLE users ADD COLUMN code VARCHAR(10) NOT NULL UNIQUE;\n"
    )
    found = shop.work(Stage.EXPAND, Order("shop", "r-1", "42", "ann", 1, 0.0, running="41"))
    assert found.verdict is Verdict.FAIL
    assert "expand.sql:2" in found.reason
    assert len(shop.sql("SELECT * FROM users LIMIT 1")[0]) == 2
