"""What people see, to the letter: `status`, the picture of a running release, times."""

from __future__ import annotations

import re
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest

from greenroom.cli.follow import Picture
from greenroom.cli.lines import DOES
from greenroom.cli.picture import progress
from greenroom.cli.screens import LiveScreen
from greenroom.cli.sheet import exit_code, sheet
from greenroom.cli.text import Ink, ago, clock, span, wrapped
from greenroom.domain.model import (
    Backend,
    Colour,
    EnvironmentStatus,
    Health,
    Member,
    Role,
    Routing,
    RoutingSpec,
    Split,
    Verdict,
)
from greenroom.domain.observation import Seen
from greenroom.domain.phases import ENDS, Phase, Status
from greenroom.domain.plan import Gate, Plan, When
from greenroom.domain.records import Entry, Judged, Moved
from greenroom.domain.release import Deployed, Judgement, Release, Service, Warm
from greenroom.domain.status import status_document

NOON = 1_699_963_200.0  # 2023-11-14 12:00 UTC
PLAIN = Ink(False)
RATES = {
    "blue": {"requests_per_s": 0.0, "errors_per_s": 0.0, "p99_ms": None},
    "green": {"requests_per_s": 148.2, "errors_per_s": 1.25, "p99_ms": 12.0},
}


def deployed(version: str, colour: Colour, since: float) -> Deployed:
    return Deployed(f"r-000{version}", version, colour, "art", {}, Plan(), since)


def environment(colour: Colour, version: str, role: Role, health: Health = Health.HEALTHY) -> EnvironmentStatus:
    members = [Member("web", n, health, detail="" if health is Health.HEALTHY else "GET / answers 500") for n in (1, 2)]
    if role is Role.ACTIVE:
        members.append(Member("worker", 1, Health.HEALTHY, routed=False, restarts=3))
    return EnvironmentStatus(colour, f"r-000{version}", version, role, tuple(members))


def routing(split: Split, held: int = 0) -> Routing:
    told = RoutingSpec(split, Backend(), Backend())
    return Routing(True, told, split, "7", "7", 1, {Colour.BLUE: held, Colour.GREEN: 0})


BASELINE = deployed("1", Colour.BLUE, NOON - 90_000)
BAKING = Release(
    id="r-0002",
    version="2",
    colour=Colour.GREEN,
    plan=Plan(bake=600.0),
    definition={},
    by="ann@shop",
    begun=NOON - 80,
    baseline=BASELINE,
    phase=Phase.BAKE,
    since=NOON - 60,
    why="all traffic is on green, observed",
    live_since=NOON - 61,
)
SERVICE = Service(seq=20, count=2, active=deployed("2", Colour.GREEN, NOON - 61), release=BAKING)
SEEN = Seen(
    blue=environment(Colour.BLUE, "1", Role.IDLE),
    green=environment(Colour.GREEN, "2", Role.ACTIVE),
    routing=routing(Split(0, 100), held=4),
)


def status(service: Service = SERVICE, seen: Seen | None = SEEN, **more: Any) -> dict[str, Any]:
    problems = more.pop("problems", [])
    document = status_document("shop", service, seen, NOON, lock=None, problems=problems)
    return {**document, "rates": None, "engine": {"pid": 7, "doing": "baking"}, "journal": "ok", **more}


def shown(document: dict[str, Any], width: int = 80) -> str:
    lines = sheet(document, width, PLAIN)
    assert all(len(line) <= width for line in lines)
    return "\n".join(lines)


def test_a_release_that_bakes() -> None:
    document = status(rates=RATES)
    assert shown(document) == (
        "shop: 2 is live on green since 11:58 (1 min ago)\n"
        "\n"
        "          version   state   replicas                           traffic\n"
        "  green   2         ready   web 2/2, worker 1/1 (3 restarts)   100 %\n"
        "  blue    1         ready   web 2/2                              0 %\n"
        "      4 requests or connections still hold it\n"
        "\n"
        "  route     in sync, seen at the router just now\n"
        "  green     148 requests/s, 1.2 errors/s, p99 12 ms\n"
        "  release   r-0002 (2): baking, in bake since 11:59, until 12:09:00 (9 min left)\n"
        "            all traffic is on green, observed\n"
        "  next      `greenroom deploy 2` follows it, `greenroom rollback` takes it back"
    )
    assert exit_code(document) == 0


def test_a_warm_version_and_one_that_ails() -> None:
    ended = replace(BAKING, phase=Phase.SUCCEEDED, since=NOON - 7200, ended=NOON - 7200, why="nothing was wrong")
    service = replace(SERVICE, release=ended, warm=Warm(BASELINE, NOON + 50_000))
    seen = replace(SEEN, blue=environment(Colour.BLUE, "1", Role.IDLE, Health.UNHEALTHY))
    text = shown(status(service, seen))
    assert (
        "  blue    1         unhealthy   web 0/2                              0 %\n"
        "      4 requests or connections still hold it\n"
        "      web-1 is unhealthy: GET / answers 500\n"
    ) in text
    assert "  release   r-0002 (2): succeeded, 10:00 (2 h ago)\n            nothing was wrong\n" in text
    assert text.endswith("  way back  1 on blue cannot serve now; `greenroom rollback` starts it first")
    able = replace(SEEN, blue=environment(Colour.BLUE, "1", Role.IDLE, Health.HEALTHY))
    text = shown(status(service, able))
    assert text.endswith("  way back  `greenroom rollback` returns to 1 on blue, until tomorrow 01:53")


def test_what_is_asked_and_has_not_answered_yet_says_how_far_it_is() -> None:
    plan = Plan(checks=("load",), gates=(Gate("scan", When.SOURCE),))
    told = Judgement(Verdict.WAIT, "50/s of 50/s · p99 12 ms · 0 errors · 8 s of 20 s", NOON - 1)
    checking = replace(BAKING, phase=Phase.CHECKS, live_since=None, plan=plan, judged={"check:load": told})
    service = replace(SERVICE, active=BASELINE, release=checking)
    text = shown(status(service, engine={"pid": 7, "doing": "check load"}))
    assert "            check load: 50/s of 50/s · p99 12 ms · 0 errors · 8 s of 20 s\n" in text
    assert "  engine" not in text, "said already"
    engine = {"status": status(service), "rates": RATES, "engine": {"doing": "check load"}}
    lines = progress(picture(service=service, release=checking, status=Status.RUNNING, told=engine), 120, PLAIN)
    assert "  now       check load: 50/s of 50/s · p99 12 ms · 0 errors · 8 s of 20 s" in lines
    scanning = replace(checking, phase=Phase.GATES, judged={"gate:scan": replace(told, reason="started")})
    assert "            gate scan: started\n" in shown(status(replace(service, release=scanning)))


def test_a_bake_that_lasts_longer_says_since_when_why_and_the_ways_on() -> None:
    late = replace(BAKING, since=NOON - 700)
    needs = "error_rate: 38 of the 100 requests that a verdict needs"
    text = shown(status(replace(SERVICE, release=late), engine={"pid": 7, "doing": needs}))
    assert (
        "  release   r-0002 (2): baking, in bake since 11:48, over since 11:58:20\n"
        "            the bake is over, and what is asked has not answered yet;\n"
        "            `greenroom promote` goes on, `greenroom rollback` goes back\n"
        f"  engine    {needs}\n"
    ) in text
    asked = Judgement(Verdict.WAIT, "started", NOON - 1)
    plan = replace(late.plan, gates=(Gate("site scan", When.BAKE),))
    scanned = replace(late, plan=plan, judged={"gate:site scan": asked})
    assert "            gate site scan: started\n" in shown(status(replace(SERVICE, release=scanned)))


def test_a_failed_candidate_that_is_kept_is_named_with_its_time() -> None:
    plan = replace(BAKING.plan, keep_failed=600.0)
    ended = replace(BAKING, phase=Phase.ROLLED_BACK, since=NOON - 60, ended=NOON - 60, failure="too slow", plan=plan)
    text = shown(status(replace(SERVICE, release=ended), SEEN))
    assert "  kept      2 stays on green until 12:09, without traffic, to look at:\n" in text


def test_each_trouble_is_said_and_has_its_exit_code() -> None:
    drifted = status(seen=replace(SEEN, routing=routing(Split(50, 50))))
    assert exit_code(drifted) == 6
    assert "drifted" in shown(drifted)
    blind = status(seen=None, problems=["routing: the proxy does not answer " + "x" * 90])
    assert exit_code(blind) == 6
    assert "not seen" in shown(blind)
    assert "  ! routing: the proxy does not answer" in shown(blind)
    paused = status(replace(SERVICE, release=replace(BAKING, paused=NOON - 5)))
    assert exit_code(paused) == 7
    assert "paused in bake; `greenroom resume` goes on" in shown(paused)
    unread = status(Service(), SEEN, journal="unreadable", route="unknown")
    assert exit_code(unread) == 6
    assert shown(unread).startswith("shop: the journal cannot be read; this is what runs\n")
    assert "nothing is live" not in shown(unread)


def test_nothing_yet_and_down() -> None:
    nothing = status(Service(), None, engine=None, journal="missing")
    assert shown(nothing) == (
        "shop: nothing is live yet\n\n  next      `greenroom deploy VERSION` releases the first version"
    )
    assert exit_code(nothing) == 0
    gone = Seen(blue=EnvironmentStatus(Colour.BLUE), green=EnvironmentStatus(Colour.GREEN), routing=Routing(False))
    down = status(replace(SERVICE, release=None, down=True), gone)
    assert shown(down).startswith("shop is down, on purpose\n\n  route     nothing is routed\n")
    assert exit_code(down) == 0


def test_colour_changes_no_letter() -> None:
    document = status(rates=RATES, problems=["something"])
    bare = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in sheet(document, 80, Ink(True))]
    assert bare == sheet(document, 80, PLAIN)


def picture(**more: Any) -> Picture:
    stages = {Phase.BUILD: NOON - 80, Phase.START: NOON - 76, Phase.CHECKS: NOON - 70, Phase.SHIFT: NOON - 65}
    stages[Phase.BAKE] = NOON - 60
    told = {"status": status(), "rates": RATES, "engine": {"doing": "baking"}}
    given = {"status": Status.BAKING, "release": BAKING, "stages": stages, "told": told, **more}
    return Picture(**{"service": SERVICE, "now": NOON, "name": "shop", **given})


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_picture_fits(width: int) -> None:
    assert all(len(line) <= width for line in progress(picture(), width, PLAIN))


def test_the_picture_of_a_bake() -> None:
    bar = "▒" * 30
    assert progress(picture(), 80, PLAIN) == [
        "shop: r-0002 brings 2 to green, 1 was live on blue  1 min 20 s",
        "",
        "  ✓ build        4 s",
        "  ✓ start        6 s",
        "  ✓ checks       5 s",
        "  ✓ shift        5 s",
        "  ▸ bake         1 min",
        "",
        f"  traffic   blue   0 % {bar} 100 % green",
        "  blue      0 requests/s",
        "  green     148 requests/s, 1.2 errors/s, p99 12 ms",
        "  now       baking",
        "  until     12:09:00 (9 min left)",
    ]
    assert len("".join(progress(picture(), 120, PLAIN))) > len("".join(progress(picture(), 80, PLAIN)))


def test_the_picture_of_the_way_back_and_without_an_engine() -> None:
    back = replace(BAKING, phase=Phase.ROLLING_BACK, since=NOON - 2, why="error rate 40 %", failure="error rate 40 %")
    stages = {**picture().stages, Phase.ROLLING_BACK: NOON - 2}
    lines = progress(picture(release=back, stages=stages, told=None, status=Status.ROLLING_BACK), 80, PLAIN)
    assert lines[6:8] == ["  ✗ bake         58 s", "  ▸ rolling back 2 s"]
    assert lines[-1] == "  now       error rate 40 %"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (600, "10 min"), (3660, "1 h 1 min"), (200_000, "2 d 7 h")],
)
def test_spans(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_times_are_local_and_name_another_day() -> None:
    assert clock(NOON, NOON) == "12:00"
    assert clock(NOON + 86_400, NOON) == "tomorrow 12:00"
    assert clock(NOON - 86_400, NOON, exact=True) == "yesterday 12:00:00"
    assert clock(NOON - 5 * 86_400, NOON) == "11-09 12:00"
    assert [ago(NOON - s, NOON) for s in (0, 40, 100, 5000, 100_000, 200_000)] == [
        "just now",
        "40 s ago",
        "1 min ago",
        "1 h ago",
        "27 h ago",
        "2 d ago",
    ]


def test_wrapping_keeps_commands_together_and_cuts_what_is_too_long() -> None:
    lines = wrapped("ways out: `greenroom deploy 2` or " + "x" * 70, 40, indent="  ")
    assert "`greenroom deploy 2`" in " ".join(lines)
    assert all(len(line) <= 40 for line in lines)
    assert not any(line.count("`") == 1 for line in lines)


def test_a_live_screen_shows_troubles_once_above_the_picture() -> None:
    stream = StringIO()
    screen = LiveScreen(stream, PLAIN)
    why = "check smoke: no\nevidence"
    screen.show(picture())
    for seq, record in enumerate(
        (
            Judged("r-0002", "check:smoke", Verdict.PASS, "200"),
            Judged("r-0002", "check:smoke", Verdict.FAIL, "no\nevidence"),
            Moved("r-0002", Phase.ABORTING, why),
            Moved("r-0002", Phase.ABORTED, why),
        )
    ):
        screen.news(Entry(seq, NOON, 1, record), picture().release)
    screen.close()
    text = stream.getvalue()
    assert text.count("evidence") == 1
    assert "200" not in text
    assert "aborted" not in text
    assert "▸ bake" in text


def test_every_phase_that_a_release_may_enter_has_its_words() -> None:
    assert set(DOES) >= set(Phase) - ENDS
