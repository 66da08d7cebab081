from __future__ import annotations

from typing import Any

import pytest

from greenroom.domain.commands import Allowed, Already, Command, Not, consider
from greenroom.domain.model import Backend, Endpoint, Verdict
from greenroom.domain.outlook import outlook
from greenroom.domain.phases import Phase
from greenroom.domain.plan import Plan, Rule, Step
from greenroom.domain.records import Judged, Requested
from greenroom.domain.status import sentence, status_document, status_of
from tests.domain.world import ALL_BLUE, ALL_GREEN, BLUE, Story, backend, look, serving, up


def ask(story: Story, verb: str, **details: Any) -> Allowed | Already | Not:
    return consider(story.service, Command(verb, "ada", details=details), story.now)


def refused(answer: object, code: int = 4) -> Not:
    assert isinstance(answer, Not)
    assert answer.exit_code == code
    assert answer.hint
    return answer


def test_the_first_release_goes_to_blue_the_next_to_the_other() -> None:
    first = ask(Story(), "deploy", version="1")
    assert isinstance(first, Allowed)
    assert (first.record.details["colour"], first.release) == ("blue", "r-0001")
    second = ask(Story().succeed("1"), "deploy", version="2")
    assert isinstance(second, Allowed)
    assert second.record.details["colour"] == "green"


def test_the_same_deploy_continues_another_is_refused_with_the_ways_out() -> None:
    story = Story().succeed("1").deploy("2").move(Phase.START)
    assert ask(story, "deploy", version="2") == Already("r-0002 releases 2 already; following it", "r-0002")
    answer = refused(ask(story, "deploy", version="3"), 5)
    assert "r-0002" in answer.text
    assert "ada" in answer.text
    assert "greenroom abort" in answer.hint


def test_a_version_that_is_live_needs_no_deploy() -> None:
    assert isinstance(ask(Story().succeed("1"), "deploy", version="1"), Already)


@pytest.mark.parametrize("verb", ["promote", "pause", "resume", "abort", "rollback"])
def test_every_refusal_says_what_to_do(verb: str) -> None:
    refused(ask(Story(), verb))


def test_abort_before_and_rollback_after_the_traffic_moved() -> None:
    before = Story().succeed("1").deploy("2").move(Phase.START)
    assert isinstance(ask(before, "abort"), Allowed)
    assert "abort" in refused(ask(before, "rollback")).hint
    after = before.move(Phase.CHECKS, Phase.SHIFT)
    assert "rollback" in refused(ask(after, "abort")).hint
    assert isinstance(ask(after, "rollback"), Allowed)


@pytest.mark.parametrize(("verb", "phase"), [("abort", Phase.ABORTING), ("rollback", Phase.ROLLING_BACK)])
def test_a_release_that_goes_back_is_followed_by_the_verb_that_is_named(verb: str, phase: Phase) -> None:
    story = Story().succeed("1").deploy("2").move(Phase.START)
    story.move(*([Phase.CHECKS, Phase.SHIFT] if phase is Phase.ROLLING_BACK else []), phase)
    answer = refused(ask(story, "deploy", version="2"), 5)
    assert answer.hint.startswith(f"ways out: `greenroom {verb}` (follow it)")
    there = ask(story, verb)
    assert isinstance(there, Already)
    assert there.release == "r-0002"


def test_rollback_needs_a_warm_version() -> None:
    story = Story().succeed("1").succeed("2", keep_warm=100.0)
    assert isinstance(ask(story, "rollback"), Allowed)
    story.now += 200
    assert "greenroom deploy 1" in refused(ask(story, "rollback")).hint
    assert isinstance(ask(Story().succeed("1"), "rollback"), Not)


def test_rollback_of_a_first_release_is_refused() -> None:
    story = Story().deploy("1").move(Phase.START, Phase.CHECKS, Phase.SHIFT)
    refused(ask(story, "rollback"))


def test_reconcile_only_where_the_route_drifted() -> None:
    story = Story().succeed("1")
    assert isinstance(ask(story, "reconcile"), Already)
    story.add(Judged("", "route", Verdict.FAIL, "moved"))
    assert isinstance(ask(story, "reconcile"), Allowed)
    refused(ask(story, "deploy", version="2"), 6)


def test_down_and_back() -> None:
    story = Story().succeed("1")
    assert isinstance(ask(story, "down"), Allowed)
    story.add(Requested("down", "ada"))
    assert isinstance(ask(story, "resume"), Allowed)
    assert not story.add(Requested("resume", "ada")).service.down


def test_the_status_of_a_release() -> None:
    plan = {"steps": (Step(50, approval=True), Step(100))}
    story = Story().succeed("1").deploy("2", **plan)
    seen = [status_of(story.service, story.release, story.now)]
    story.move(Phase.START, Phase.CHECKS, Phase.SHIFT).add(
        Judged("r-0002", "live", Verdict.PASS, "", {"blue": 50, "green": 50})
    )
    seen.append(status_of(story.service, story.release, story.now))
    assert "promote" in sentence(story.service, story.release)
    story.ask("pause")
    seen.append(status_of(story.service, story.release, story.now))
    story.ask("resume").live(ALL_GREEN).move(Phase.BAKE)
    seen.append(status_of(story.service, story.release, story.now))
    story.add(Judged("r-0002", "look", Verdict.UNKNOWN, "router: no answer"))
    seen.append(status_of(story.service, story.release, story.now + 61))
    assert [str(s) for s in seen] == ["running", "waiting_approval", "paused", "baking", "stuck"]


def test_a_plan_survives_the_journal() -> None:
    plan = Plan(
        (Step(5, 60.0), Step(50, approval=True), Step(100)),
        1.0,
        2.0,
        3.0,
        4.0,
        5.0,
        ("a",),
        ("w",),
        (Rule("p99", 5.0),),
    )
    assert Plan.of(plan.document()) == plan
    assert Plan.of({**Plan().document(), "of_a_newer_one": 1}) == Plan()


def test_ft_6_resume_is_never_wrong_after_a_reboot() -> None:
    """Nothing is paused: that is what was asked for; the command goes on to see that it serves."""
    assert consider(Story().succeed("1").service, Command("resume", "ada"), 0.0) == Already("nothing is paused")


def test_ft_6_a_route_to_ports_of_before_a_reboot_is_not_in_sync() -> None:
    live = up(BLUE, "r-0001", "1")
    story, stale = Story().succeed("1"), Backend((Endpoint("127.0.0.1", 9),), "1", "r-0001")
    for told, route in ((backend(live), "in_sync"), (stale, "unknown")):
        seen = look(serving(ALL_BLUE, blue=told), live)
        assert status_document("shop", story.service, seen, 0.0, lock=None, problems=[])["route"] == route


@pytest.mark.parametrize("verb", ["deploy", "retire"])
def test_ft_2_with_a_route_of_somebody_else_nothing_begins_and_nothing_is_removed(verb: str) -> None:
    story = Story().succeed("1").add(Judged("", "route", Verdict.FAIL, "moved by somebody else"))
    refused(ask(story, verb, version="2"), 6)


def test_the_plan_for_a_service_that_is_down_says_that_the_old_version_starts_again_first() -> None:
    story = Story().succeed("1").ask("down")
    document = outlook(story.service, None, "2", Plan(), {}, [], story.now)
    assert (
        "the service is down: 1 starts again on blue first, and serves until the traffic moves" in document["remarks"]
    )
    assert document["steps"][-1]["stage"] == "keep warm"
    assert isinstance(ask(story, "deploy", version="2"), Allowed)
    begun = story.deploy("2").service
    assert not begun.down
    assert begun.running is not None
    assert begun.running.baseline == begun.active is not None


@pytest.mark.parametrize(
    ("build", "does"),
    [
        ({}, "get the image shop:2; what serves is pinned to its digest"),
        ({"build": {}}, "build the image shop:2; what serves is pinned to its digest"),
        ({"build": {"push": True}}, "build and push the image shop:2; what serves is pinned to its digest"),
    ],
)
def test_the_plan_says_what_is_done_with_an_image(build: dict[str, Any], does: str) -> None:
    definition = {"environment": {"image": "shop:{version}", **build}}
    document = outlook(Story().succeed("1").service, None, "2", Plan(), definition, [], 0.0)
    assert document["steps"][0] == {"stage": "build", "does": does}


def test_a_hazard_is_downtime_and_no_problem() -> None:
    story = Story().succeed("1")
    live = up(BLUE, "r-0001", "1")
    seen = look(serving(ALL_BLUE, blue=backend(live)), live)
    smooth = outlook(story.service, seen, "2", Plan(), {}, [], story.now)
    assert (smooth["exit"], smooth["without_downtime"], smooth["because"]) == (0, True, [])
    rough = outlook(story.service, seen, "2", Plan(), {}, [], story.now, ["router.drain: is 0"])
    assert (rough["exit"], rough["without_downtime"], rough["because"]) == (0, False, ["router.drain: is 0"])
    assert rough["problems"] == []
    assert rough["steps"] == smooth["steps"]
    refused = outlook(story.service, seen, "2", Plan(), {}, ["a port is taken"], story.now, ["router.drain: is 0"])
    assert (refused["exit"], refused["problems"], refused["because"]) == (
        2,
        ["a port is taken"],
        ["router.drain: is 0"],
    )
