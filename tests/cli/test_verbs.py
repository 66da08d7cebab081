"""Every verb that steers, against a fake world with a real engine: exit codes, sentences, documents."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from greenroom.cli.context import Tools
from greenroom.cli.follow import Follower, Picture
from greenroom.cli.outputs import Following, Log, outputs
from greenroom.cli.picture import progress
from greenroom.cli.text import Ink
from greenroom.domain.model import Colour, Split
from greenroom.domain.phases import Phase
from greenroom.domain.plan import Gate, Rule, Step, When
from greenroom.domain.records import Entry, Requested
from greenroom.domain.release import Release
from greenroom.ports import Line
from greenroom.testing.fakes import FakeCheck, FakeEnvironment
from greenroom.testing.world import Behaviour
from tests.cli.office import PLAN, Office


def live(office: Office, *versions: str) -> None:
    for version in versions or ("1",):
        assert office.type("deploy", version).code == 0


def when(office: Office, phase: Phase, then: Any) -> None:
    """Once, in a sleep of a command while the release is in this phase."""

    def look() -> None:
        release = office.engine.service.release
        if release is not None and release.phase is phase:
            office.meanwhile = lambda: None
            then()

    office.meanwhile = look


def sent(number: int) -> None:
    """To this process, which must be prepared for it: else the tests would end here."""
    assert signal.getsignal(number) not in (signal.SIG_DFL, signal.default_int_handler)
    signal.raise_signal(number)


def requests(office: Office) -> list[str]:
    return [e.record.command for e in office.journal.read() if isinstance(e.record, Requested)]


def test_a_deploy_is_told_line_by_line_and_ends_with_what_is_so_now(office: Office) -> None:
    first = office.type("deploy", "1", "--why", "begin")
    assert first.code == 0
    assert "asked        deploy 1 on blue, by ann@shop: begin" in first.out
    assert first.out.splitlines()[-1].startswith("1 is live on blue since 22:13:")
    second = office.type("deploy", "2")
    assert second.code == 0
    lines = second.out.splitlines()
    assert [line.split()[1] for line in lines[:4]] == ["asked", "start", "checks", "✓"]
    assert len(lines) == len(set(lines)), "a line is said once"
    assert lines[-1].endswith("1 stays warm on blue until 23:13: `greenroom rollback` goes back in an instant.")


def test_who_watches_sees_the_gates_before_the_build(office: Office) -> None:
    pictures: list[Picture] = []

    class Watching:
        patient = True

        def news(self, entry: Entry, release: Release) -> None: ...
        def say(self, text: str) -> None: ...
        def close(self) -> None: ...
        def show(self, picture: Picture) -> None:
            pictures.append(picture)

    office.adapters = replace(office.adapters, gates={"tests": FakeCheck("tests")})
    office.plan = replace(office.plan, gates=(Gate("tests", When.SOURCE),))
    accepted = office.deploy("1")
    tools = Tools(lambda *_: office, lambda *_: office, office.enquire, office)  # type: ignore[arg-type, return-value]
    Follower(office, tools, Watching(), accepted.release, 0).run()  # type: ignore[arg-type]
    assert list(pictures[0].stages) == [Phase.GATES]
    assert list(pictures[-1].stages)[:3] == [Phase.GATES, Phase.BUILD, Phase.START]
    last = "\n".join(progress(pictures[-1], 80, Ink(False)))
    assert "  ✓ gates" in last
    assert "blue 100 %" in last, "what stays on the screen is what is so now"


def test_a_rehearsal_is_called_so(office: Office) -> None:
    live(office)
    done = office.type("rehearse", "--why", "drill")
    assert done.code == 0
    assert "asked        rehearse " in done.out
    assert "it was a rehearsal, and the way back works" in office.type("status").out


def test_what_failed_and_is_kept_makes_room_for_the_next(office: Office) -> None:
    live(office)
    office.plan = replace(office.plan, keep_failed=600.0)
    office.world.behaviours["2"] = Behaviour(dies_after=2.0)
    assert office.type("deploy", "2").code == 3
    told = " ".join(office.type("plan", "3").out.split())
    assert "2, which failed and is kept on green to look at, makes room" in told
    office.clock.sleep(601.0)
    assert "makes room" not in office.type("plan", "3").out


def test_a_gate_of_the_bake_that_stops_nothing_is_in_the_plan(office: Office) -> None:
    office.plan = replace(office.plan, gates=(Gate("site scan", When.BAKE, notify_only=True),))
    told = " ".join(office.type("plan", "1").out.split())
    assert "asks site scan as well, of which a failure is only told" in told


def test_json_is_one_document_on_stdout_and_progress_on_stderr(office: Office) -> None:
    done = office.type("deploy", "1", "--json")
    document = json.loads(done.out)
    assert (document["verb"], document["service"], document["exit"], done.code) == ("deploy", "shop", 0, 0)
    assert document["release"]["status"] == "succeeded"
    assert "✓ check" in done.err


def test_a_version_that_is_live_already_is_not_released_again(office: Office) -> None:
    live(office)
    done = office.type("deploy", "1")
    assert (done.code, done.out) == (0, "1 is live on blue already; the route agrees.\n")
    assert requests(office) == ["deploy"]


@pytest.mark.parametrize(
    ("behaviour", "code", "said"),
    [
        (Behaviour(healthy_after=None), 4, "3 was aborted before any traffic moved: not healthy within 20 s"),
        (Behaviour(errors=0.9), 0, "3 is live on green"),
        (Behaviour(dies_after=2.0), 3, "3 was rolled back: "),
    ],
)
def test_the_exit_code_says_what_became_of_it(office: Office, behaviour: Behaviour, code: int, said: str) -> None:
    live(office)
    office.world.behaviours["3"] = behaviour
    done = office.type("deploy", "3")
    assert done.code == code
    last = done.out.splitlines()[-1 if code == 0 else -2]
    assert last.startswith(said)
    assert code == 0 or "1 is live on blue" in last


def test_what_the_candidate_wrote_is_shown_once(office: Office) -> None:
    live(office)
    office.world.behaviours["2"] = Behaviour(build_fails="pip said no\n  line of pip")
    logs = office.state / "logs" / "green"
    logs.mkdir(parents=True)
    for name, text in (("web-1", "boom\n\x1b[31mred"), ("web-2", "boom\n\x1b[31mred"), ("worker-1", "line of pip")):
        (logs / f"{name}.log").write_text(text)
    done = office.type("deploy", "2")
    assert done.code == 4
    assert "  | boom\n  | ·[31mred\n" in done.out, "control characters do not reach the terminal"
    assert "web-2" not in done.out, "it wrote the same as web-1"
    assert done.out.count("line of pip") == 1


def test_another_version_while_one_is_unfinished_is_refused_with_the_ways_out(office: Office) -> None:
    live(office)
    assert office.type("deploy", "2", "--detach").code == 0
    done = office.type("deploy", "3", "--json")
    assert done.code == 5
    assert "error: r-0002 (2, build) is not finished; begun by ann@shop" in done.err
    assert "`greenroom abort`" in json.loads(done.out)["hint"]
    assert office.type("deploy", "2").code == 0, "the same version is followed"


def test_what_stands_in_the_way_is_told_before_anything_is_touched(office: Office) -> None:
    office.preflight = ["router: port 8080 is held by nginx (pid 9, user www)"]
    done = office.type("deploy", "1")
    assert (done.code, office.journal.read()) == (2, [])
    assert done.err.startswith("error: router: port 8080 is held by nginx (pid 9, user www)\nhint: nothing")


@pytest.mark.parametrize("version", ["", "two words", "x" * 101, "a\x1bb"])
def test_a_version_is_a_word(office: Office, version: str) -> None:
    assert office.type("deploy", version).code == 2
    assert office.journal.read() == []


def test_a_release_that_waits_for_a_person_lets_the_command_go(office: Office) -> None:
    live(office)
    office.plan = replace(PLAN, steps=(Step(10, 0.0, approval=True), Step(100)))
    done = office.type("deploy", "2")
    assert done.code == 7
    assert "waiting for approval at 10 %" in done.out
    assert "`greenroom promote`" in done.out.splitlines()[-1]
    assert office.type("status").code == 7
    assert office.type("promote").code == 0
    assert office.control.state().active.version == "2"


def test_pause_holds_and_resume_goes_on_to_the_end(office: Office) -> None:
    live(office)
    when(office, Phase.START, lambda: office.request("pause"))
    assert office.type("deploy", "2").code == 7
    assert office.type("pause").out.startswith("r-0002 is paused already.")
    assert office.type("status").code == 7
    assert office.type("resume").code == 0


def test_promote_ends_the_bake_early(office: Office) -> None:
    office.plan = replace(PLAN, bake=100_000.0)
    office.type("deploy", "1", "--detach")
    office.sleep(20.0)
    done = office.type("promote", "--why", "it is fine")
    assert done.code == 0
    assert "promoted by hand" in done.out


def test_rollback_and_abort_by_hand_are_what_was_asked_for(office: Office) -> None:
    live(office, "1", "2")
    back = office.type("rollback", "--why", "too slow")
    assert back.code == 0
    assert back.out.splitlines()[-1] == "2 was rolled back by ann@shop (too slow). 1 is live on blue."
    again = office.type("rollback")
    assert again.code == 4
    assert "`greenroom deploy VERSION` releases another version" in again.err  # 2 was not good
    office.world.behaviours["3"] = Behaviour(healthy_after=None)
    office.type("deploy", "3", "--detach")
    office.sleep(1.0)
    ended = office.type("abort")
    assert (ended.code, requests(office)[-1]) == (0, "abort")
    assert "3 was aborted by ann@shop, before any traffic moved. 1 is live on blue" in ended.out


def test_ctrl_c_changes_nothing_and_says_how_to_go_on(office: Office) -> None:
    live(office)
    before = signal.getsignal(signal.SIGINT)
    when(office, Phase.BAKE, lambda: sent(signal.SIGINT))
    done = office.type("deploy", "2")
    assert done.code == 130
    assert "Left as it is: r-0002 (2) is in bake, and the resident engine goes on with it." in done.out
    assert "`greenroom deploy 2` follows it again, `greenroom rollback` takes it back" in done.out
    assert requests(office) == ["deploy", "deploy"]
    assert signal.getsignal(signal.SIGINT) is before
    assert office.type("deploy", "2").code == 0


def test_ft_57_a_cancelled_deploy_does_not_exit_with_0(office: Office) -> None:
    when(office, Phase.START, lambda: sent(signal.SIGTERM))
    assert office.type("deploy", "1").code == 143


def test_an_engine_that_does_not_answer_is_started_again(office: Office) -> None:
    when(office, Phase.START, lambda: setattr(office, "awake", False))
    done = office.type("deploy", "1")
    assert (done.code, office.woken) == (0, 1)
    assert "the resident engine does not answer; starting it again" in done.out


def test_a_drifted_route_is_put_back_or_accepted(office: Office) -> None:
    live(office, "1", "2")
    office.world.stranger_sets(Split(100, 0))
    office.sleep(5.0)
    status = office.type("status")
    assert status.code == 6
    assert "drifted: the router was told blue 100 · green 0 by somebody else" in status.out.replace(
        "\n            ", " "
    )
    assert office.type("deploy", "3").code == 6
    assert office.type("reconcile").code == 0
    assert office.type("status").code == 0
    office.world.stranger_sets(Split(100, 0))
    office.sleep(5.0)
    done = office.type("reconcile", "--accept")
    assert (done.code, done.out) == (0, "1 is live on blue, in sync.\n")


def test_retire_and_down_wait_until_it_is_so(office: Office) -> None:
    live(office, "1", "2")
    assert office.type("retire").out.endswith("The idle environment (blue) is gone.\n")
    done = office.type("down")
    assert done.code == 0
    assert "shop is down." in done.out
    assert not office.world.plane.running
    assert office.awake is False
    status = office.type("status")
    assert status.code == 0
    assert status.out.startswith("shop is down, on purpose\n")
    office.awake = True
    up = office.type("resume")
    assert (up.code, up.out) == (0, "2 is live on green, in sync.\n")


def test_unlock_names_whose_it_was_and_why_is_asked_for(office: Office) -> None:
    live(office)
    assert office.type("unlock").code == 2
    done = office.type("unlock", "--why", "runner 17 is gone")
    assert done.code == 0
    assert "taken from engine pid 7" in done.out
    assert requests(office)[-1] == "unlock"


def test_plan_tells_and_changes_nothing(office: Office) -> None:
    live(office)
    before = len(office.journal.read())
    done = office.type("plan", "2", "--json")
    document = json.loads(done.out)
    assert (done.code, document["colour"], document["without_downtime"]) == (0, "green", True)
    assert [step["stage"] for step in document["steps"]] == ["build", "start", "checks", "shift", "bake", "keep warm"]
    office.preflight = ["environment: web: gunicorn is not there"]
    assert office.type("plan", "2").code == 2
    office.world.supervisor_killed()
    office.world.groups[office.control.state().active.colour] = None
    broken = json.loads(office.type("plan", "2", "--json").out)
    assert broken["without_downtime"] is False
    assert len(office.journal.read()) == before


def test_history_show_and_logs(office: Office) -> None:
    live(office)
    office.world.behaviours["2"] = Behaviour(build_fails="pip said no")
    office.type("deploy", "2")
    history = office.type("history")
    assert [line.split()[0] for line in history.out.splitlines()] == ["release", "r-0001", "r-0002", "the"]
    assert len(json.loads(office.type("history", "--last", "1", "--json").out)["releases"]) == 1
    shown = office.type("show", "1").out
    assert shown.startswith("r-0001: 1 on blue, succeeded\n")
    assert "done         tell the router: blue 100 · green 0" in shown
    entries = json.loads(office.type("show", "--json").out)["entries"]
    assert entries[0]["record"]["command"] == "deploy"
    assert office.type("show", "r-9").code == 2
    (office.state / "logs" / "green").mkdir(parents=True)
    (office.state / "logs" / "green" / "web-1.log").write_bytes(b"one\ntwo\n\xff\n")
    logs = office.type("logs", "--lines", "2")
    assert (logs.code, logs.out.splitlines()[1:]) == (0, ["  two", "  \ufffd"])
    assert office.type("logs", "blue").code == 4
    (office.state / "logs" / "green" / "web-1.log").write_text("the password is hunter2\n")
    assert office.type("logs", "green").out.splitlines()[1:] == ["  the password is ${PASSWORD}"]
    assert "hunter2" not in office.type("logs", "green", "--json").out
    assert office.type("logs", "purple").code == 2


def test_an_error_that_nobody_foresaw_leaves_a_traceback_in_a_file(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(office)
    monkeypatch.setenv("MY_TOKEN", "s3cret-value")

    def fail() -> list[str]:
        raise RuntimeError("no s3cret-value here")

    office.problems = fail  # type: ignore[method-assign]
    done = office.type("deploy", "2")
    assert done.code == 1
    assert done.err.startswith("error: this is a bug in Greenroom: RuntimeError: no ${MY_TOKEN} here\n")
    assert "The route is in sync: 1 is live on blue." in done.err
    assert "Traceback" not in done.out + done.err
    assert "Traceback" in (office.state / "logs" / "command-errors.log").read_text()


def test_a_refusal_wakes_the_engine_as_well(office: Office) -> None:
    live(office)
    office.awake = False
    assert office.type("pause").code == 4
    assert (office.awake, office.woken) == (True, 1)


def test_a_full_disk_is_no_bug(office: Office) -> None:
    def fail() -> list[str]:
        raise OSError(28, "No space left on device", "/srv/.greenroom/x")

    office.problems = fail  # type: ignore[method-assign]
    done = office.type("deploy", "1")
    assert done.code == 1
    assert done.err.startswith("error: /srv/.greenroom/x: No space left on device\n       The route is in sync")


def test_an_engine_that_cannot_be_started_ends_the_waiting(office: Office) -> None:
    office.ensure_engine = lambda: None  # type: ignore[method-assign]
    office.awake = False
    done = office.type("deploy", "1")
    assert done.code == 6
    assert done.out.count("does not answer") == 1
    assert done.err.startswith("error: the resident engine has not answered for 60 s; r-0001 waits for it\n")


def test_plan_for_people(office: Office) -> None:
    live(office)
    office.plan = replace(
        PLAN,
        steps=(Step(5, 120.0), Step(50, approval=True), Step(100)),
        bake=600.0,
        rules=(Rule("error_rate", max=0.01, max_ratio=1.5), Rule("p99", max=250.0)),
        watches=("the front page",),
    )
    processes = {"web": {"replicas": 2}, "worker": {"runs": "active"}}
    office.document = {"environment": {"prepare": ["make"], "processes": processes}}
    office.preflight = ["router: port 8080 is taken"]
    done = office.type("plan", "2")
    assert done.code == 2
    assert done.out == (
        "shop: deploy 2 would be refused, and nothing touched\n"
        "\n"
        "  build       copy the source, run `make`; the copy never changes again\n"
        "  start       start 2 on green (web × 2), healthy within 20 s; 1 keeps all\n"
        "              traffic on blue\n"
        "  checks      ask smoke\n"
        "  shift       5 % for 2 min, 50 % until somebody promotes, 100 % to green, each\n"
        "              observed at the router\n"
        "  bake        for 10 min; goes back by itself if error rate above 1 % or above\n"
        "              1.5 × the old version's, or p99 above 250 ms, or the front page\n"
        "              fails\n"
        "  keep warm   1 stays warm on blue for 1 h, then it is removed\n"
        "\n"
        "  · worker: never two at once; it stops with the old version before it starts\n"
        "    with the new one\n"
        "  ✗ router: port 8080 is taken\n"
    )


def test_following_logs_reads_whole_lines_and_notices_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "web-1.log"
    path.write_text("old\n")
    log = Log("web-1", path)
    with path.open("a") as file:
        file.write("one\ntw")
        file.flush()
        assert log.fresh() == ["one"]
        file.write("o\n")
    assert log.fresh() == ["two"]
    path.rename(tmp_path / "web-1.log.1")
    assert log.fresh() == []
    path.write_text("of another release\n")
    assert log.fresh() == ["of another release"]
    path.write_text("x\n")
    assert log.fresh() == ["x"]


def test_what_runs_already_is_adopted_and_the_next_deploy_is_a_blue_green_one(office: Office) -> None:
    assert office.type("adopt", "0.9").code == 2
    assert office.type("adopt", "0.9", "--container", "a", "--upstream", "b:1").code == 2
    done = office.type("adopt", "0.9", "--container", "shop")
    assert done.code == 0
    assert "adopt shop as 0.9 on blue, by ann@shop" in done.out
    assert done.out.splitlines()[-1].startswith("0.9 is live on blue since")
    for told in (done.out, office.type("show").out):
        assert "what runs already is looked at" in told
        assert "it stays as it is" in told
        assert not any(word in told for word in ("candidate", "rollback is armed", "is made"))
    again = office.type("adopt", "0.9", "--container", "shop")
    assert (again.code, "0.9 is live on blue already: there is nothing to adopt" in again.err) == (4, True)
    live(office, "1")
    assert office.engine.service.active is not None
    assert office.engine.service.active.version == "1"
    assert office.type("rollback").code == 0
    assert office.engine.service.active.version == "0.9"


def test_what_cannot_be_adopted_is_left_as_it_is(office: Office) -> None:
    office.world.behaviours["0.9"] = Behaviour(healthy_after=None)
    done = office.type("adopt", "0.9", "--upstream", "127.0.0.1:8000")
    assert done.code == 4
    assert "what runs was left as it was: mend that, then the same `greenroom adopt` again" in done.out
    assert "candidate" not in done.out
    removed = [entry for entry in office.journal.read() if getattr(entry.record, "verb", "") == "remove"]
    assert not removed


def test_output_that_is_in_no_file_is_asked_for(office: Office) -> None:
    written = [
        Line("web-1", "one", 100.0),
        Line("web-2", "the password is hunter2", 101.0),
        Line("web-1", "two", 102.0),
    ]

    class Talking(FakeEnvironment):
        def output(self, colour: Colour, last: int, since: float = 0.0) -> list[Line]:
            return [line for line in written if line.at > since] if colour is Colour.BLUE else []

    office.adapters = replace(office.adapters, environment=Talking(office.world))
    live(office)
    told = office.type("logs", "blue")
    assert told.out.splitlines() == [
        "web-1  (as its environment keeps it)",
        "  one",
        "  two",
        "web-2  (as its environment keeps it)",
        "  the password is ${PASSWORD}",
    ]
    assert office.type("logs", "blue", "web-1", "--lines", "1").out.splitlines()[1:] == ["  two"]
    assert office.type("logs", "green").code == 4
    following = Following(outputs(office, "blue"), office.adapters.environment, "blue", 101.0)
    assert following.fresh() == [("web-1", "two")]
    written.append(Line("web-2", "three", 103.0))
    assert following.fresh() == [("web-2", "three")]


def test_the_same_version_again_says_that_a_changed_file_waits_for_another(office: Office) -> None:
    live(office)
    active = office.control.state().active
    assert active is not None
    assert "was changed since" not in office.type("deploy", active.version).out
    office.document = {**office.document, "bake": "1h"}
    done = office.type("deploy", active.version)
    assert done.code == 0
    assert "greenroom.yaml was changed since r-0001: that takes effect with another version" in done.out


def test_an_engine_that_can_decide_nothing_is_no_silence(office: Office) -> None:
    office.doing = "in trouble: ZeroDivisionError: a bug"
    done = office.type("deploy", "1")
    assert done.code == 0
    assert done.out.count("the engine is in trouble: ZeroDivisionError: a bug; ") == 1
    assert "engine.log says more" in done.out
