"""Table and picture say what the log says."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from greenroom.demo.log import Request
from greenroom.demo.picture import Event, draw, series, stretches
from greenroom.demo.table import bad_spell, handover, quantile, requests_table, rows


def story() -> list[Request]:
    """Ten requests a second: release 1; 2 from second 3; 3 from 6, bad from 7; 2 again from 8; one is lost at 9."""
    requests = []
    for n in range(100):
        at = n / 10
        version, colour = ("1", "blue") if at < 3 else ("3", "blue") if 6 <= at < 8 else ("2", "green")
        status = 500 if 7 <= at < 8 else 200
        requests.append(Request(n + 1, 1000 + at, 0.05, "page", False, status, colour, version))
    requests[31] = Request(32, 1003.1, 0.3, "slow", False, 200, "blue", "1")
    requests[90] = Request(91, 1009.0, 0.01, "page", True, error="ConnectionRefusedError: refused")
    return requests


def test_figures() -> None:
    requests = story()
    assert [(r.version, r.colour, dict(r.statuses), r.lost) for r in rows(requests)] == [
        ("1", "blue", {200: 31}, 0),
        ("2", "green", {200: 48}, 0),
        ("3", "blue", {200: 10, 500: 10}, 0),
        ("", "", {}, 1),
    ]
    first = handover(requests[:60], "1", "2")
    assert first is not None
    assert first.seconds == pytest.approx(0.1)
    assert handover(requests, "1", "7") is None
    spell = bad_spell(requests, "3")
    assert spell is not None
    assert (spell.count, round(spell.seconds, 3), round(spell.first, 3)) == (10, 0.9, 1007.05)
    assert bad_spell(requests, "2") is None
    assert [quantile([3, 1, 2, 4], q) for q in (0.5, 0.75, 0.76, 1)] == [2, 3, 4, 4]


def test_the_table_names_the_lost() -> None:
    text = requests_table(story())
    assert text.splitlines()[0].split() == ["release", "colour", "requests", "200", "500", "lost"]
    assert text.splitlines()[-1].split() == ["all", "100", "89", "10", "1"]


def test_the_picture(tmp_path: Path) -> None:
    found = series(story(), 1000.0, 1010.0)
    assert sum(found.lost) * 0.2 == pytest.approx(1)
    assert sum(found.bad) * 0.2 == pytest.approx(10)
    assert sum(map(sum, found.good.values())) * 0.2 == pytest.approx(89)
    assert [(version, colour) for version, colour, _, _ in stretches(story())] == [
        ("1", "blue"),
        ("2", "green"),
        ("3", "blue"),
        ("2", "green"),
    ]
    events = [Event(1003.0, "live: 2"), Event(1003.1, "kill -9", loud=True), Event(1009.9, "rollback")]
    png, svg = draw(story(), events, tmp_path, "A title")
    assert struct.unpack(">II", png.read_bytes()[16:24]) == (1200, 600)
    assert b"<svg" in svg.read_bytes()[:800]
