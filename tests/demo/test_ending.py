"""The ending says what was seen, and does not call it a success if it was none."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from greenroom.demo import ending
from greenroom.demo.log import Log, Request
from greenroom.demo.picture import Event
from greenroom.demo.stage import Stage, break_release, repair_release
from greenroom.demo.story import MARKER, prepare


def as_told() -> list[Request]:
    requests = []
    for n in range(1, 61):
        version = (
            "1" if n <= 10 else "2" if n <= 20 else "3" if n <= 30 else "2" if n <= 40 else "4" if n <= 50 else "2"
        )
        status = 500 if 25 < n <= 30 else 200
        kind = "order" if n % 10 == 7 else "page"
        colour = "green" if version == "2" else "blue"
        requests.append(Request(n, 100 + n / 10, 0.01, kind, False, status, colour, version))
    return requests


BOOKS = ending.Books((7, 17, 37, 47, 57), {7: 1, 17: 1, 37: 1, 47: 1, 57: 1})


def test_a_story_as_told_has_no_faults() -> None:
    assert ending.faults(Log(tuple(as_told()), complete=True), BOOKS) == []
    lines = ending.facts(as_told(), [Event(104.95, "rollback, by hand")], {"second": (101.0, 102.0)})
    assert "\n".join(lines) == (
        "switch to release 2: both answered for 0 ms, then only the new one\n"
        "release 3: 5 answers with an error, 0.40 s from the first bad answer to the last\n"
        "rollback by hand: 50 ms from the command to the last request of release 4"
    )


@pytest.mark.parametrize(
    ("change", "books", "complete", "fault"),
    [
        ({5: {"error": "cut", "status": 0}}, BOOKS, True, "1 requests were lost, the first: number 5, cut"),
        ({5: {"status": 500}}, BOOKS, True, "bad answers by a good release"),
        ({n: {"status": 200} for n in range(26, 31) if n != 27}, BOOKS, True, ""),
        ({n: {"status": 200, "kind": "page"} for n in range(26, 31)}, BOOKS, True, "release 3 did not fail"),
        ({}, BOOKS, False, "not complete"),
        ({}, replace(BOOKS, packed={**BOOKS.packed, 7: 2}), True, "packed twice"),
        ({}, replace(BOOKS, packed={7: 1}), True, "4 orders were never packed"),
        ({}, replace(BOOKS, orders=(7, 17, 37, 47)), True, "the shop has 4 orders, the client 5"),
    ],
)
def test_whatever_is_not_as_told_is_named(
    change: dict[int, dict[str, object]], books: ending.Books, complete: bool, fault: str
) -> None:
    requests = [replace(r, **change.get(r.number, {})) for r in as_told()]
    found = ending.faults(Log(tuple(requests), complete=complete), books)
    assert fault in "\n".join(found)
    assert bool(found) == bool(fault)


def test_the_books_count_an_order_that_was_packed_twice(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "orders.db")
    db.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, number INTEGER)")
    db.execute("CREATE TABLE packed (order_id INTEGER)")
    db.executemany("INSERT INTO orders VALUES (?, ?)", [(1, 7), (2, 17), (3, 27)])
    db.executemany("INSERT INTO packed VALUES (?)", [(1,), (1,), (2,)])
    db.commit()
    db.close()
    assert ending.books(tmp_path) == ending.Books((7, 17, 27), {7: 2, 17: 1})
    assert not ending.all_packed(tmp_path, within=0)


def test_the_stage_is_set_and_a_strangers_folder_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    assert prepare(out) == ""
    stage = Stage(out, port=8099, settings={"bake": "1s"})
    text = stage.file.read_text()
    assert "listen: 127.0.0.1:8099" in text
    assert "\nbake: 1s\n" in text
    assert str(out / "data") in text
    stage.set(bake="2s")
    assert stage.file.read_text() == text.replace("\nbake: 1s\n", "\nbake: 2s\n")
    before = (stage.shop / "shop.py").read_text()
    break_release(stage.shop)
    assert (stage.shop / "shop.py").read_text() != before
    repair_release(stage.shop)
    assert (stage.shop / "shop.py").read_text() == before
    assert stage.remains() == []
    assert prepare(out) == ""
    assert [path.name for path in out.iterdir()] == [MARKER]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    assert "not of an earlier demo" in prepare(tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").exists()
