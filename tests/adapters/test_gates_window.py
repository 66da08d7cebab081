"""The gate `window`: hours by the clock on the wall, in any zone, over midnight and over the turns of the clock."""

from __future__ import annotations

import sys
import zoneinfo
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from greenroom.adapters.gates.hours import Hours, span
from greenroom.adapters.gates.window import WindowGate, WindowSettings
from greenroom.domain.model import Colour, Verdict
from greenroom.domain.opinion import Case, Finding
from greenroom.ports import Place

BERLIN = ZoneInfo("Europe/Berlin")


def gate(**values: Any) -> WindowGate:
    return WindowGate(WindowSettings.model_validate(values), Place("shop", Path("greenroom.yaml"), Path("state")))


def at(text: str, zone: str = "Europe/Berlin", fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def ask(moment: float, **values: Any) -> Finding:
    return gate(**values).ask(Case("r-7", "2", Colour.GREEN, "", now=moment, since=moment), None)


OFFICE = {"open": ["Mon-Fri 09:00-16:00"], "zone": "Europe/Berlin"}
NIGHT = {"open": ["Fri 22:00-02:00"], "zone": "Europe/Berlin"}
FROZEN = {**OFFICE, "freezes": [{"from": "2026-12-20", "to": "2027-01-03", "why": "the sale"}]}
HALF = {**OFFICE, "freezes": [{"from": "2026-11-25 12:00", "to": "2026-11-25 14:30"}]}

TABLE = [
    # 2026-11-25 is a Wednesday
    (OFFICE, "2026-11-25 09:00", Verdict.PASS, "open until Wed 16:00 Europe/Berlin"),
    (OFFICE, "2026-11-25 15:59:59", Verdict.PASS, "open"),
    (OFFICE, "2026-11-25 16:00", Verdict.FAIL, "closed: opens Thu 09:00 Europe/Berlin (in 17h)"),
    (OFFICE, "2026-11-25 08:59:59", Verdict.FAIL, "opens Wed 09:00 Europe/Berlin (in 1s)"),
    (OFFICE, "2026-11-28 06:00", Verdict.FAIL, "opens Mon 09:00 Europe/Berlin (in 2d3h)"),
    (NIGHT, "2026-11-27 21:59", Verdict.FAIL, "opens Fri 22:00"),
    (NIGHT, "2026-11-27 23:00", Verdict.PASS, "open until Sat 02:00"),
    (NIGHT, "2026-11-28 01:59", Verdict.PASS, "open until Sat 02:00"),
    (NIGHT, "2026-11-28 02:00", Verdict.FAIL, "opens Fri 2026-12-04 22:00"),
    (NIGHT, "2026-11-27 01:00", Verdict.FAIL, "closed"),
    (FROZEN, "2026-12-19 10:00", Verdict.FAIL, "closed: opens Mon 2027-01-04 09:00"),
    (FROZEN, "2026-12-21 10:00", Verdict.FAIL, "frozen (the sale): opens Mon 2027-01-04 09:00"),
    (FROZEN, "2027-01-03 23:59", Verdict.FAIL, "frozen (the sale): opens Mon 09:00"),
    (FROZEN, "2027-01-04 09:00", Verdict.PASS, "open until Mon 16:00"),
    (HALF, "2026-11-25 11:59", Verdict.PASS, "open until Wed 12:00"),
    (HALF, "2026-11-25 12:00", Verdict.FAIL, "frozen: opens Wed 14:30 Europe/Berlin (in 2h30m)"),
    (HALF, "2026-11-25 14:30", Verdict.PASS, "open until Wed 16:00"),
    ({"open": ["00:00-24:00"]}, "2026-11-25 12:00", Verdict.PASS, "open"),
    ({"open": ["Fri-Mon 10:00-11:00"], "zone": "Europe/Berlin"}, "2026-11-30 10:30", Verdict.PASS, "open"),
    ({"open": ["Fri-Mon 10:00-11:00"], "zone": "Europe/Berlin"}, "2026-12-01 10:30", Verdict.FAIL, "opens Fri"),
    ({"open": ["tue , thu 10:00 - 11:00"], "zone": "Europe/Berlin"}, "2026-11-26 10:30", Verdict.PASS, "open"),
    (
        {"open": ["Sat 23:00-24:00", "Sun 00:00-01:00"], "zone": "Europe/Berlin"},
        "2026-11-28 23:30",
        Verdict.PASS,
        "Sun 01:00",
    ),
]


@pytest.mark.parametrize(("values", "moment", "verdict", "reason"), TABLE, ids=[f"{m} {r}" for _, m, _, r in TABLE])
def test_the_hours(values: dict[str, Any], moment: str, verdict: Verdict, reason: str) -> None:
    finding = ask(at(moment), **values)
    assert finding.verdict is verdict
    assert reason in finding.reason


def test_a_refusal_says_how_to_go_all_the_same() -> None:
    finding = ask(at("2026-11-28 06:00"), **OFFICE, name="office hours")
    assert "`greenroom deploy 2 --override 'office hours' --why" in finding.reason
    assert WindowGate.OVERRIDE


def test_it_can_wait_instead_and_says_the_same_at_each_look() -> None:
    findings = [ask(at(moment), **OFFICE, closed="wait") for moment in ("2026-11-28 06:00", "2026-11-30 08:59:40")]
    assert [finding.verdict for finding in findings] == [Verdict.WAIT, Verdict.WAIT]
    assert findings[0].reason == findings[1].reason
    assert findings[0].reason == (
        "closed: waits until it opens Mon 09:00 Europe/Berlin; "
        '`greenroom abort`, and then `greenroom deploy 2 --override window --why "…"` goes all the same'
    )
    assert [finding.again_after for finding in findings] == [60.0, 20.0]
    assert ask(at("2026-11-30 09:00"), **OFFICE, closed="wait").verdict is Verdict.PASS


def test_in_spring_an_hour_is_left_out() -> None:
    """2026-03-29: 02:00 is followed by 03:00."""
    values = {"open": ["Sun 02:30-04:00"], "zone": "Europe/Berlin"}
    before = at("2026-03-29 01:59:30")
    finding = ask(before, **values)
    assert finding.verdict is Verdict.FAIL
    assert "opens Sun 03:00 Europe/Berlin (in 30s)" in finding.reason
    assert ask(before + 30, **values).verdict is Verdict.PASS
    lost = ask(before, open=["Sun 02:15-02:45"], zone="Europe/Berlin")
    assert "opens Sun 2026-04-05 02:15" in lost.reason


def test_in_autumn_an_hour_comes_twice() -> None:
    """2026-10-25: 03:00 is followed by 02:00."""
    values = {"open": ["Sun 01:00-02:30"], "zone": "Europe/Berlin"}
    first, second = at("2026-10-25 02:29"), at("2026-10-25 02:29", fold=1)
    assert second - first == 3600
    assert [ask(moment, **values).verdict for moment in (first, second)] == [Verdict.PASS, Verdict.PASS]
    between = ask(at("2026-10-25 02:45"), **values)
    assert (between.verdict, "opens Sun 02:00 Europe/Berlin (in 15m)" in between.reason) == (Verdict.FAIL, True)
    assert ask(second + 60, **values).verdict is Verdict.FAIL


WRONG = [
    ({}, "a window that is always open does nothing"),
    ({"open": ["Mon-Fri 09:00-09:00"]}, "is empty"),
    ({"open": ["Mon-Fri 9-16"]}, "is no span of the week; write it like `Mon-Fri 09:00-16:00`"),
    ({"open": ["Mo-Fr 09:00-16:00"]}, "'Mo' is no day; they are Mon, Tue"),
    ({"open": ["Mon 09:00-25:00"]}, "25:00 is no time of the day"),
    ({"open": ["Mon 09:60-10:00"]}, "09:60 is no time of the day"),
    ({"open": ["Mon 24:00-10:00"]}, "begins when the day is over"),
    ({**OFFICE, "zone": "../etc/passwd"}, "there is no time zone"),
    ({"freezes": [{"from": "2026-12-20", "to": "2026-12-19"}]}, "before it begins"),
    ({"freezes": [{"from": "2026-12-20 10:00", "to": "2026-12-20 10:00"}]}, "before it begins"),
    ({"freezes": [{"from": "2026-12-40", "to": "2026-12-19"}]}, "is no date"),
    ({"freezes": [{"from": "20.12.2026", "to": "2026-12-19"}]}, "write it like 2026-12-20"),
    ({**OFFICE, "freezes": [{"from": "2026-12-20", "to": "9999-12-30"}]}, "can never open"),
    (
        {**OFFICE, "freezes": [{"from": "2026-01-01", "to": "2026-12-31"}, {"from": "2027-01-01", "to": "2027-12-31"}]},
        "can never open",
    ),
    ({**OFFICE, "closed": "maybe"}, "'refuse' or 'wait'"),
]


@pytest.mark.parametrize(("values", "problem"), WRONG, ids=[f"{problem}-{i}" for i, (_, problem) in enumerate(WRONG)])
def test_what_makes_no_sense_is_refused(values: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError) as error:
        WindowSettings.model_validate(values)
    assert problem in str(error.value)


def test_a_zone_must_be_known_before_a_deploy_and_the_file_is_read_all_the_same() -> None:
    """An upgrade of the machine may take a zone away; what is live must still be rolled back with its file."""
    here = Place("shop", Path("greenroom.yaml"), Path("state"))
    lost = WindowSettings.model_validate({**OFFICE, "zone": "Europe/Atlantis"})
    problem = "there is no time zone 'Europe/Atlantis'; write it like `Europe/Berlin`"
    assert WindowGate.problems(lost, here) == [problem]
    assert WindowGate.problems(WindowSettings.model_validate(OFFICE), here) == []
    finding = ask(at("2026-11-25 10:00"), **{**OFFICE, "zone": "Europe/Atlantis"})
    assert (finding.verdict, finding.reason) == (Verdict.UNKNOWN, problem)


def test_a_machine_without_zones_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the system's table nor Python's package of it."""
    for name in {"tzdata", *(name for name in sys.modules if name.startswith("tzdata."))}:
        monkeypatch.setitem(sys.modules, name, None)
    here = Place("shop", Path("greenroom.yaml"), Path("state"))
    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath(to=[])
    try:
        ZoneInfo.clear_cache()
        (problem,) = WindowGate.problems(WindowSettings.model_validate(OFFICE), here)
        assert "install `tzdata`" in problem
        assert WindowGate.problems(WindowSettings.model_validate({**OFFICE, "zone": "UTC"}), here) == []
    finally:
        zoneinfo.reset_tzpath(to=before)
        ZoneInfo.clear_cache()


def test_a_freeze_of_one_day_is_that_day() -> None:
    values = {"freezes": [{"from": "2026-12-24", "to": "2026-12-24"}], "zone": "Europe/Berlin"}
    moments = ("2026-12-23 23:59", "2026-12-24 00:00", "2026-12-24 23:59", "2026-12-25 00:00")
    found = [ask(at(moment), **values).verdict for moment in moments]
    assert found == [Verdict.PASS, Verdict.FAIL, Verdict.FAIL, Verdict.PASS]


# --- against the definition, minute by minute

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Beirut",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "Asia/Kolkata",
]
TURNS = ["2026-03-08", "2026-03-29", "2026-10-25", "2026-11-01", "2026-04-05", "2026-10-04", "2026-04-24", "2026-06-15"]
clocks = st.integers(0, 95).map(lambda quarter: f"{quarter // 4:02}:{quarter % 4 * 15:02}")
weekdays = st.sets(st.sampled_from(["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]), min_size=1).map(",".join)
spans = st.tuples(weekdays, clocks, clocks).filter(lambda s: s[1] != s[2]).map(lambda s: f"{s[0]} {s[1]}-{s[2]}")


@settings(max_examples=30, deadline=None)
@given(
    st.lists(spans, min_size=1, max_size=3), st.sampled_from(ZONES), st.sampled_from(TURNS), st.integers(-2880, 1440)
)
def test_the_next_change_is_the_first_minute_at_which_it_is_otherwise(
    texts: list[str], zone: str, day: str, minutes: int
) -> None:
    hours = Hours(tuple(span(text) for text in texts), (), ZoneInfo(zone))
    start = datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() + 60 * minutes
    now, change = hours.open(start), hours.changes(start)
    first = next((start + 60 * i for i in range(1, 14 * 1440) if hours.open(start + 60 * i) is not now), None)
    assert change == first


@settings(max_examples=100, deadline=None)
@given(spans, st.sampled_from(ZONES), st.integers(1767225600, 1830297600))
def test_open_is_what_the_clock_on_the_wall_says(text: str, zone: str, moment: int) -> None:
    """The definition once more, in other words: written as text and compared as text."""
    days, _, clock = text.partition(" ")
    start, _, end = clock.partition("-")
    there = datetime.fromtimestamp(moment, ZoneInfo(zone))
    today, shown = there.strftime("%a"), there.strftime("%H:%M")
    week = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
    yesterday = week[week.index(today) - 1]
    if start < end:
        expected = today in days and start <= shown < end
    else:
        expected = (today in days and shown >= start) or (yesterday in days and shown < end)
    assert Hours((span(text),), (), ZoneInfo(zone)).open(moment) is expected
