"""Texts made at random are cut as the servers themselves cut them."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.pq import ExecStatus

from greenroom.adapters.database.reading import Unreadable, split
from greenroom.domain.schema import Dialect
from tests.rigs import postgres

ATOMS = [
    *(
        "'",
        "''",
        "\\'",
        "E'",
        "e'\\\\'",
        "U&'",
        '"',
        '""',
        "$$",
        "$a$",
        "$b$",
        "a$b$",
        "$1",
        "/*",
        "*/",
        "--",
        "\n",
        "\r",
        ";",
    ),
    *(
        " ",
        "1",
        "x",
        "||",
        "E'a'\n'\\''",
        "B'1'",
        "n'x'",
        "::text",
        "'a' 'b'",
        "''''",
        "(",
        ")",
        ",",
        "- -",
        "ü",
        "\u00a0",
    ),
]


@pytest.fixture(scope="module")
def database() -> Iterator[psycopg.Connection[Any]]:
    with postgres.shared() as cluster, cluster.connect(cluster.database()) as connection:
        yield connection


def _of_server(connection: psycopg.Connection[Any], text: str) -> list[bytes | None] | None:
    """What each statement of the text gives, all sent at once; None where the server refuses any of it."""
    connection.pgconn.send_query(text.encode())
    found: list[bytes | None] = []
    refused = False
    while (result := connection.pgconn.get_result()) is not None:
        refused |= result.status == ExecStatus.FATAL_ERROR
        if result.status == ExecStatus.TUPLES_OK:
            found.append(result.get_value(0, 0))
    return None if refused else found


@pytest.mark.real
@pytest.mark.xdist_group("postgres")
def test_postgres_cuts_alike(database: psycopg.Connection[Any]) -> None:
    """Some 100 of these texts are SQL. Of the others nothing is claimed but that reading them ends."""
    chance, agreed = random.Random(20), 0
    for _ in range(6000):
        text = ";".join(
            "SELECT " + "".join(chance.choices(ATOMS, k=chance.randint(1, 7))) for _ in range(chance.randint(1, 3))
        )
        expected = _of_server(database, text)
        if not expected:
            _ends(text, Dialect.POSTGRES)
            continue
        one_by_one = [_of_server(database, statement.sql) for statement in split(text, Dialect.POSTGRES)]
        assert [values[0] for values in one_by_one if values and len(values) == 1] == expected, text
        assert len(one_by_one) == len(expected), text
        agreed += 1
    assert agreed > 100


def test_sqlite_calls_each_one_complete() -> None:
    chance, agreed = random.Random(20), 0
    connection = sqlite3.connect(":memory:")
    for _ in range(6000):
        text = ";".join(
            "SELECT " + "".join(chance.choices(ATOMS, k=chance.randint(1, 5))) for _ in range(chance.randint(1, 3))
        )
        try:
            found = split(text, Dialect.SQLITE)
        except Unreadable:
            continue
        for statement in found:
            assert sqlite3.complete_statement(f"{statement.sql}\n;"), text
            told = _told(connection, statement.sql)
            assert "one statement" not in told, text
            agreed += not told
    assert agreed > 100


def _told(connection: sqlite3.Connection, sql: str) -> str:
    """What SQLite, which takes one statement, has against it; "" for nothing."""
    try:
        connection.execute(sql)
    except sqlite3.Error as error:
        return str(error)
    return ""


def _ends(text: str, dialect: Dialect) -> None:
    with contextlib.suppress(Unreadable):
        assert all(statement.sql in text for statement in split(text, dialect))
