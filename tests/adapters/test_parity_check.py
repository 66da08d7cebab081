"""The check `parity`: which adapters it asks, what it makes of them, and the contract of every check."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from greenroom.adapters.checks.parity import ParityCheck
from greenroom.domain.actions import Ask
from greenroom.domain.model import Colour, Verdict
from greenroom.domain.opinion import Case
from greenroom.domain.plan import Plan
from greenroom.domain.records import Outcome
from greenroom.domain.release import Release, Service
from greenroom.engine.act import perform
from greenroom.engine.world import Adapters
from greenroom.errors import Permanent, Temporary
from greenroom.ports import ActionKey, Facts
from greenroom.testing.clock import FakeClock
from greenroom.testing.contracts.check import CheckContract
from greenroom.testing.fakes import FakeArtefact, FakeRouter
from greenroom.testing.world import FakeWorld
from tests.effective import Silent, Telling, alike

WEB = {"web": alike(image="shop", memory="512m")}
MORE = {"web": Facts({"image": "shop", "memory": "1g"}, {"image": "shop", "memory": "512m"})}
CASE = Case("r-0002", "2", Colour.GREEN, "http://127.0.0.1:1")


def check(environment: Any = None, router: Any = None, *allow: tuple[str, str]) -> ParityCheck:
    return ParityCheck(environment or Silent(), router or Silent(), allow)


def test_alike() -> None:
    finding = check(Telling(WEB, WEB), Telling({"upstream": alike(a="1")}, {"upstream": alike(a="1")})).ask(CASE, None)
    assert (finding.verdict, finding.reason) == (Verdict.PASS, "3 of 3 facts are alike")


def test_not_alike_names_the_first_and_keeps_all() -> None:
    blue = {"web": Facts({str(n): "x" * 300 for n in range(6)})}
    green = {"web": Facts({str(n): "y" for n in range(6)})}
    finding = check(Telling(blue, green)).ask(CASE, None)
    assert finding.verdict is Verdict.FAIL
    assert finding.reason.startswith("blue and green are not alike: web.0: blue xxx")
    assert " and 3 more; `greenroom parity` shows all" in finding.reason
    assert "parity.allow" in finding.reason
    assert [line.split(":")[0] for line in finding.evidence] == [f"web.{n}" for n in range(6)]
    assert finding.evidence[0].endswith("green y")


def test_what_differs_only_at_the_router_fails_too() -> None:
    router = Telling({"upstream": Facts({"timeout": "1s"})}, {"upstream": Facts({"timeout": "60s"})})
    for environment in (Silent(), Telling(WEB, WEB)):
        finding = check(environment, router).ask(CASE, None)
        assert finding.verdict is Verdict.FAIL
        assert finding.evidence == ("upstream.timeout: blue 1s, green 60s",)


def test_what_was_let_pass_is_said() -> None:
    blue = {"web": Facts({"a": "1", "b": "1", "c": "1"}, {"a": "1"}), "job": alike(x="1")}
    green = {"web": Facts({"a": "2", "b": "2", "c": "1"}, {"a": "2"})}
    finding = check(Telling(blue, green), None, ("web.b", "a trial"), ("web.z", "old")).ask(CASE, None)
    assert finding.verdict is Verdict.PASS
    assert finding.reason == (
        "1 of 3 facts are alike; changed by this release: web.a; web.b may differ: a trial; "
        "not compared: job (blue only); `parity.allow` names what is not there: web.z"
    )


def test_a_process_called_upstream_is_not_the_routers() -> None:
    environment = Telling({"upstream": alike(a="1")}, {"upstream": alike(a="1")})
    router = Telling({"upstream": Facts({"a": "2"})}, {"upstream": Facts({"a": "3"})})
    assert check(environment, router).ask(CASE, None).evidence == ("router.upstream.a: blue 2, green 3",)


def test_beside_nothing_there_is_nothing_to_compare() -> None:
    """Whatever a router still remembers of the other colour."""
    router = Telling({"upstream": alike(a="1")}, {"upstream": Facts({"a": "2"})})
    finding = check(Telling({}, WEB), router).ask(CASE, None)
    assert (finding.verdict, finding.reason) == (
        Verdict.PASS,
        "only green runs: there is nothing to compare it with",
    )


@pytest.mark.parametrize(("blue", "green"), [(WEB, {}), ({}, {})])
def test_a_candidate_that_cannot_be_seen_is_not_alike(blue: dict[str, Facts], green: dict[str, Facts]) -> None:
    with pytest.raises(Temporary, match="what green really runs with cannot be seen"):
        check(Telling(blue, green)).ask(CASE, None)


def test_who_cannot_say_is_not_asked() -> None:
    assert not check().able
    with pytest.raises(Permanent, match="neither the environment nor the router"):
        check().ask(CASE, None)
    assert check(Telling()).able
    assert check(None, Telling()).able


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (Temporary("the daemon does not answer"), Outcome.TEMPORARY),
        (Permanent("no right to the socket"), Outcome.PERMANENT),
    ],
)
def test_what_cannot_be_seen_is_unknown_and_never_passes(error: Any, outcome: Outcome) -> None:
    world = FakeWorld(FakeClock())
    asked = check(Telling(WEB, WEB), Telling(failing=error))
    made = Adapters(FakeArtefact(world), Telling(), FakeRouter(world), checks={"parity": asked})  # type: ignore[arg-type]
    release = Release("r-0002", "2", Colour.GREEN, Plan(), {}, "ann", 0.0, None)
    key = ActionKey("r-0002", "checks", 0, "ask", "parity", 0)
    result = perform(Ask("parity", None), key, replace(Service(), release=release), made, 0.0)
    assert result.outcome is outcome
    assert result.finding is not None
    assert (result.finding.verdict, error.message in result.finding.reason) == (Verdict.UNKNOWN, True)


class Bench:
    def __init__(self) -> None:
        self.asked: list[Telling] = []

    def check(self, opinion: Verdict) -> ParityCheck:
        self.asked.append(Telling(WEB, WEB if opinion is Verdict.PASS else MORE))
        return check(self.asked[-1])

    def endless(self) -> None:
        return None

    def case(self) -> Case:
        return CASE

    def begun(self) -> int:
        return sum(telling.looks[Colour.GREEN] for telling in self.asked)

    def running(self) -> int:
        return 0


class TestParityCheck(CheckContract):
    @pytest.fixture
    def bench(self) -> Bench:
        return Bench()
