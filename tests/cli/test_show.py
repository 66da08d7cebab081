"""Why a release went back: numbers side by side, the picture, what the candidate left behind; wherever it is read."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as tree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from greenroom.cli.show import evidence
from greenroom.cli.text import Ink
from greenroom.domain.phases import Phase
from greenroom.domain.plan import Plan, Rule, Step
from greenroom.domain.records import Finished, Judged
from greenroom.engine.inspection import Inspector
from greenroom.testing.world import Behaviour
from tests.cli.office import Office, Result
from tests.engine.test_inspection import Recalls, request

PLAN = Plan(
    bake=3.0,
    keep_warm=3600.0,
    drain=2.0,
    ready_within=20.0,
    checks=("smoke",),
    steps=(Step(10, 20.0), Step(100)),
    rules=(Rule("error_rate", max=0.02, min_requests=50),),
)
BAD = Behaviour(errors=0.05, latency=80.0)


@pytest.fixture
def office(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Office:
    made = Office(tmp_path, capsys.readouterr, PLAN, records=True)
    made.world.behaviours["2"] = BAD
    assert made.type("deploy", "1").code == 0
    return made


def inspected(office: Office, *requests: Any, output: str = "") -> None:
    """As the engine does beside its loop."""
    recalls = Recalls(office.world)
    recalls.requests = requests
    adapters = office.adapters
    office.adapters = type(adapters)(adapters.artefact, adapters.environment, adapters.router, recalls, adapters.checks)
    if output:
        (office.state / "logs" / "green").mkdir(parents=True)
        (office.state / "logs" / "green" / "web-1.log").write_text(output)
    inspector = Inspector(office.state, office.adapters_for, lambda: [{"PASSWORD": "hunter2"}])
    inspector.step(office.control.state(), office.seen()[0], office.clock.now)


def test_the_last_words_of_a_rollback_have_both_versions_side_by_side_and_the_picture(office: Office) -> None:
    done = office.type("deploy", "2")
    assert done.code == 3
    lines = done.out.splitlines()
    at = lines.index("What users met, in the last 20 s:")
    assert lines[at + 1].split() == ["traffic", "requests", "error", "rate", "p50", "p99"]
    assert lines[at + 2].split() == ["2", "on", "green", "10", "%", "400", "5", "%", "(20)", "100", "ms", "100", "ms"]
    assert lines[at + 3].split()[:6] == ["1", "on", "blue", "90", "%", "3,699"]
    assert "verdict: error rate 5 %" in done.out
    pointers = next(line for line in lines if set(line.split()) == {"1", "2", "3"} or line.split()[-1:] == ["23"])
    assert all(pointers.count(number) == 2 for number in "123")
    path = Path(next(line for line in lines if line.startswith("The picture: ")).removeprefix("The picture: "))
    assert path == office.state / "pictures" / "r-0002.svg"
    texts = [element.text or "" for element in tree.parse(path).iter("{http://www.w3.org/2000/svg}text")]
    assert any("10 % to green" in text for text in texts)
    assert any("verdict: error rate 5 %" in text for text in texts)
    assert any("traffic back to blue" in text for text in texts)
    assert lines[-2].startswith("2 was rolled back: error rate 5 %")


@pytest.mark.parametrize("width", [60, 80, 120])
def test_show_fits_the_terminal(office: Office, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    office.type("deploy", "2")
    long = "/a/very/long/path" * 9
    inspected(office, request(office.clock.now() - 1, long))
    monkeypatch.setenv("COLUMNS", str(width))
    shown = office.type("show").out
    begun = shown.index("What users met")
    own = [line for line in shown[begun:].splitlines() if not line.startswith("The picture: ")]
    assert max(len(line) for line in own) <= width
    assert "Requests that failed" in shown
    assert "\x1b" not in shown
    assert "█" in shown


def test_colours_are_left_out_where_nobody_wants_them_and_blocks_where_they_cannot_be_shown(office: Office) -> None:
    office.type("deploy", "2")
    release = office.control.state().release
    assert release is not None
    found = evidence("shop", office.state, release, office.journal.read())
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    plain = found.lines(80, stream, Ink(False))
    assert all(line.isascii() for line in plain[6:-1])
    assert not any("\x1b" in line for line in plain)
    utf = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    coloured = found.lines(80, utf, Ink(True))
    assert any("\x1b[32;1m" in line for line in coloured)


def test_show_tells_what_was_left_behind(office: Office) -> None:
    office.type("deploy", "2")
    inspected(office, request(office.clock.now() - 1, "/hunter2/cart"), output="it was hunter2\n")
    shown = office.type("show", "r-0002").out
    assert "What 2 left behind:\n" in shown
    assert f"the last lines of web-1: {office.state / 'failed' / 'r-0002' / 'output'}" in shown
    row = next(line for line in shown.splitlines() if "/${PASSWORD}/cart" in line)
    assert row.split()[1:5] == ["GET", "500", "12", "ms"]
    assert "hunter2" not in shown
    document = json.loads(office.type("show", "--json").out)
    assert document["left"]["requests"][0]["status"] == 500
    assert document["left"]["folder"] == str(office.state / "failed" / "r-0002")
    assert document["numbers"]["green"]["errors"] == 20
    assert document["numbers"]["blue"]["share"] == 90
    assert document["picture"] == str(office.state / "pictures" / "r-0002.svg")


def test_what_the_router_does_not_know_is_said(office: Office) -> None:
    office.type("deploy", "2")
    Inspector(office.state, office.adapters_for, list).step(office.control.state(), office.seen()[0], office.clock.now)
    shown = " ".join(office.type("show").out.split())
    assert (
        "this router writes no single requests down, only how many of which status there were (of late: 20 × 500)"
        in shown
    )


def test_a_release_that_measured_nothing_has_no_picture_and_no_table(office: Office) -> None:
    office.world.behaviours["3"] = Behaviour(build_fails="pip said no")
    shown = office.type("deploy", "3").out + office.type("show").out
    assert "What users met" not in shown
    assert "The picture" not in shown
    document = json.loads(office.type("show", "--json").out)
    assert (document["numbers"], document["picture"], document["left"]) == ({}, None, None)


@pytest.mark.parametrize(
    "spoil", [lambda p: p.write_text("no folder"), lambda p: (p.mkdir(), (p / "r-0002.svg").mkdir())]
)
def test_a_picture_that_cannot_be_written_keeps_nobody_from_the_numbers(
    office: Office, spoil: Callable[[Path], Any]
) -> None:
    office.type("deploy", "2")
    for file in (office.state / "pictures").iterdir():
        file.unlink()
    (office.state / "pictures").rmdir()
    spoil(office.state / "pictures")
    shown = office.type("show")
    assert (shown.code, "What users met" in shown.out, "The picture" in shown.out) == (0, True, False)


def test_damaged_measurements_and_a_damaged_inspection_keep_nobody_from_the_rest(office: Office) -> None:
    office.type("deploy", "2")
    path = office.state / "measurements" / "r-0002.jsonl"
    path.write_bytes(b'{"at": "x"}\n\xff\xfe\n[]\n' + path.read_bytes()[:-30])
    (office.state / "failed" / "r-0002").mkdir(parents=True)
    (office.state / "failed" / "r-0002" / "inspection.json").write_text('{"replicas": 7, "requests": [1]}')
    shown = office.type("show")
    assert (shown.code, "What users met" in shown.out, "The picture" in shown.out) == (0, True, True)


# --- keep-warm --------------------------------------------------------------------------------------------------------


def routes(office: Office, since: int) -> int:
    """How often the router was told anything until the traffic was seen to be back."""
    told = 0
    for entry in office.journal.read(since):
        match entry.record:
            case Finished(verb="route"):
                told += 1
            case Judged(subject="live"):
                return told
    raise AssertionError("the traffic is not back")


def test_ft_45_what_is_promised_warm_runs_until_its_time_and_the_way_back_is_one_switch(office: Office) -> None:
    assert office.type("deploy", "3").code == 0
    office.sleep(1800.0)
    status = json.loads(office.type("status", "--json").out)
    assert (status["warm"]["version"], status["warm"]["able"]) == ("1", True)
    assert office.world.groups[status["warm"]["colour"]] is not None
    before = office.control.state().seq
    done = office.type("rollback")
    assert done.code == 0
    assert routes(office, before) == 1
    assert office.control.state().active.version == "1"  # type: ignore[union-attr]
    assert not office.world.violations
    assert not office.world.lost


def test_a_warm_version_that_could_not_serve_is_said_so_and_is_started_again(office: Office) -> None:
    assert office.type("deploy", "3").code == 0
    warm = office.control.state().warm
    assert warm is not None
    office.awake = False
    office.world.groups[warm.deployed.colour] = None
    asleep = office.type("status")
    assert "1 on blue cannot serve now; `greenroom rollback` starts it first" in " ".join(asleep.out.split())
    office.awake = True
    office.sleep(10.0)
    assert json.loads(office.type("status", "--json").out)["warm"]["able"] is True
    assert office.world.groups[warm.deployed.colour] is not None


def test_a_rollback_to_a_warm_version_that_is_gone_starts_it_before_it_gets_traffic(office: Office) -> None:
    assert office.type("deploy", "3").code == 0
    warm = office.control.state().warm
    assert warm is not None
    office.world.groups[warm.deployed.colour] = None
    assert office.type("rollback").code == 0
    assert office.control.state().active.version == "1"  # type: ignore[union-attr]
    assert not office.world.violations
    assert not office.world.lost


def test_ft_31_a_fix_is_released_while_what_is_live_is_broken(office: Office) -> None:
    office.world.behaviours["3"] = Behaviour(errors=1.0)
    office.plan = Plan(bake=0.0, keep_warm=3600.0, drain=2.0, ready_within=20.0, checks=("smoke",))
    assert office.type("deploy", "3").code == 0
    assert office.type("deploy", "4").code == 0
    assert office.control.state().active.version == "4"  # type: ignore[union-attr]
    office.world.behaviours["4"].dies_after = 0.0
    assert office.type("deploy", "5").code == 0
    assert office.control.state().active.version == "5"  # type: ignore[union-attr]


def test_plan_says_what_becomes_of_the_warm_version(office: Office) -> None:
    assert office.type("deploy", "3").code == 0
    told: Result = office.type("plan", "4")
    assert "1, warm on blue, makes room: no way back to it after that" in " ".join(told.out.split())
    seen: list[object] = []

    def look() -> None:
        release = office.control.state().running
        if release is not None and release.phase in (Phase.CHECKS, Phase.BAKE):
            seen.append(office.control.state().warm)

    office.meanwhile = look
    assert office.type("deploy", "4").code == 0
    assert seen
    assert not any(seen)
    warm = office.control.state().warm
    assert warm is not None
    assert warm.deployed.version == "3"
