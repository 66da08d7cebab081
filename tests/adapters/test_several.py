"""Several hosts as one environment, one artefact, one analyser, one check: what they say together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from greenroom.adapters.several.analyser import SeveralAnalysers
from greenroom.adapters.several.answers import gather, said
from greenroom.adapters.several.artefact import SeveralArtefacts
from greenroom.adapters.several.checks import EachWay
from greenroom.adapters.several.environment import SeveralEnvironments
from greenroom.adapters.several.side_by_side import SideBySide
from greenroom.domain.figures import Figures, Measurement
from greenroom.domain.model import (
    ArtefactSpec,
    ArtefactStatus,
    Colour,
    Endpoint,
    EnvironmentSpec,
    EnvironmentStatus,
    Health,
    Making,
    Member,
    Role,
    Verdict,
)
from greenroom.domain.opinion import Case, Finding
from greenroom.errors import Permanent, Temporary, Uncertain
from greenroom.ports import ActionKey, Capability, Facts, Line
from greenroom.testing.fakes import FakeCheck

GREEN = Colour.GREEN
KEY = ActionKey("r-2", "start", 0, "apply", "green:r-2", 0, 4)
SPEC = EnvironmentSpec("r-2", "2.0", "sha256:aa", Role.IDLE, {})
INF = float("inf")
AWAY = Temporary("cannot be reached: timed out", retry_after=3.0)


def up(release: str = "r-2", role: Role | None = Role.IDLE, health: Health = Health.HEALTHY) -> EnvironmentStatus:
    members = (Member("web", 1, health, Endpoint("127.0.0.1", 8001)), Member("worker", 1, Health.HEALTHY, routed=False))
    return EnvironmentStatus(GREEN, release, release.replace("r-", "") + ".0", role, members)


NOTHING = EnvironmentStatus(GREEN)


class Host:
    """A host's environment, artefact or analyser that says and does what it is given."""

    def __init__(self, says: Any = None, does: Exception | None = None) -> None:
        self.says, self.does = says, does
        self.capabilities = frozenset({Capability.ROLES, Capability.HOSTS})
        self.told: list[tuple[Any, ...]] = []

    def _answer(self, *asked: Any) -> Any:
        if isinstance(self.says, Exception):
            raise self.says
        return self.says

    observe = inspect = measure = output = _answer

    def apply(self, *told: Any) -> None:
        if self.does is not None:
            raise self.does
        self.told.append(told)

    remove = apply


def seen(**hosts: Any) -> EnvironmentStatus:
    return SeveralEnvironments({name: Host(says) for name, says in hosts.items()}).observe(GREEN)


# --- environment ------------------------------------------------------------------------------------------------------


def test_a_colour_is_ready_when_it_is_ready_on_every_host() -> None:
    status = seen(app1=up(), app2=up())
    assert status.ready
    assert (status.release, status.version, status.role) == ("r-2", "2.0", Role.IDLE)
    assert [m.machine for m in status.members] == ["app1", "app1", "app2", "app2"]
    assert status.endpoints == (Endpoint("127.0.0.1", 8001, "app1"), Endpoint("127.0.0.1", 8001, "app2"))
    assert (status.unfinished, status.unseen, status.detail) == (False, (), "")


@pytest.mark.parametrize(
    ("other", "release", "unfinished"),
    [
        (up(health=Health.STARTING), "r-2", False),
        (up(role=None), "r-2", False),
        (up(role=Role.ACTIVE), "r-2", True),
        (replace(up(), members=()), "r-2", True),
        (NOTHING, "r-2", True),
        (up("r-1"), "r-1 + r-2", False),
    ],
    ids=["starting", "changing", "another role", "no replicas", "nothing", "another release"],
)
def test_hosts_that_differ_are_not_ready(other: EnvironmentStatus, release: str, unfinished: bool) -> None:
    for hosts in ({"app1": up(), "app2": other}, {"app1": other, "app2": up()}):
        status = seen(**hosts)
        assert status.present
        assert not status.ready
        assert (status.release, status.unfinished) == (release, unfinished)


def test_what_differs_is_named_with_its_host() -> None:
    assert seen(app1=up(), app2=NOTHING).detail == "app2: does not run it yet"
    assert seen(app1=up(), app2=up("r-1")).detail == "app1: runs 2.0 (r-2); app2: runs 1.0 (r-1)"
    failing = replace(up(), failed="the image is for another platform")
    assert seen(app1=up(), app2=failing).failed == "app2: the image is for another platform"
    starting = replace(up(), detail="web-1 is starting")
    assert seen(app1=starting, app2=up(), app3=starting).detail == "app1, app3: web-1 is starting"


def test_a_host_that_cannot_be_seen_hides_nobody_and_is_not_called_ready() -> None:
    status = seen(app1=up(), app2=AWAY, app3=up())
    assert status.present
    assert status.serving
    assert not status.ready
    assert status.role is None  # it may hold another one there
    assert not status.unfinished
    assert status.unseen == ("app2: cannot be reached: timed out",)
    assert status.detail == "app2: cannot be reached: timed out"
    assert [(m.machine, m.health) for m in status.members if not m.process] == [("app2", Health.UNKNOWN)]
    assert [e.machine for e in status.endpoints] == ["app1", "app3"]


def test_nothing_seen_on_some_and_one_unseen_is_not_absence() -> None:
    status = seen(app1=NOTHING, app2=Temporary("app2: cannot be reached"))
    assert not status.present
    assert status.unseen == ("app2: cannot be reached",)


def test_when_no_host_can_be_seen_nothing_is_known() -> None:
    with pytest.raises(Temporary, match="app1: away; app2: ValueError: what"):
        seen(app1=Temporary("away"), app2=ValueError("what"))


def test_leftovers_are_of_their_machine() -> None:
    left = (Endpoint("127.0.0.1", 7001),)
    status = seen(app1=replace(up(), leftovers=left), app2=replace(up(), leftovers=left))
    assert status.leftovers == (Endpoint("127.0.0.1", 7001, "app1"), Endpoint("127.0.0.1", 7001, "app2"))


def test_it_is_applied_on_every_host_under_a_name_of_its_own() -> None:
    hosts = {"app1": Host(), "app2": Host()}
    environments = SeveralEnvironments(hosts)  # type: ignore[arg-type]
    environments.apply(GREEN, SPEC, KEY)
    environments.remove(GREEN, KEY)
    for name, host in hosts.items():
        key = replace(KEY, target=f"green:r-2@{name}")
        assert host.told == [(GREEN, SPEC, key), (GREEN, key)]
    assert environments.capabilities == {Capability.ROLES, Capability.HOSTS}


@pytest.mark.parametrize(
    ("errors", "kind", "text"),
    [
        ({"app2": AWAY}, Uncertain, "app2: cannot be reached: timed out; done on app1, app3"),
        ({"app1": AWAY, "app2": AWAY, "app3": AWAY}, Temporary, "app1, app2, app3: cannot be reached: timed out"),
        ({"app1": Uncertain("lost"), "app2": AWAY, "app3": AWAY}, Uncertain, "app1: lost; app2, app3: cannot be"),
        ({"app2": Permanent("no such image"), "app3": AWAY}, Permanent, "app2: no such image; app3: cannot be"),
        ({"app2": KeyError("x")}, Uncertain, "app2: KeyError"),
    ],
    ids=["one away", "all away", "may have", "never", "a bug"],
)
def test_what_failed_on_some_hosts_says_what_may_be_done_next(
    errors: Mapping[str, Exception], kind: type[Exception], text: str
) -> None:
    hosts = {name: Host(does=errors.get(name)) for name in ("app1", "app2", "app3")}
    with pytest.raises(kind) as caught:
        SeveralEnvironments(hosts).apply(GREEN, SPEC, KEY)  # type: ignore[arg-type]
    assert text in str(caught.value)
    assert [name for name, host in hosts.items() if host.told] == [name for name in hosts if name not in errors]


def test_an_error_keeps_its_hint_and_its_time() -> None:
    with pytest.raises(Permanent) as caught:
        gather({"app1": Permanent("no right to it", hint="add the user to the group docker"), "app2": AWAY})
    assert caught.value.hint == "add the user to the group docker"
    with pytest.raises(Temporary) as again:
        gather({"app1": Temporary("busy", retry_after=0.2), "app2": AWAY})
    assert again.value.retry_after == 3.0


def test_what_runs_and_what_was_written_is_named_by_host() -> None:
    facts = Facts({"image": "sha256:aa"})
    environments = SeveralEnvironments({"app1": Host({"web": facts}), "app2": Host({"web": facts})})  # type: ignore[dict-item]
    assert environments.inspect(GREEN) == {"app1/web": facts, "app2/web": facts}
    unequal = SeveralEnvironments({"app1": Host({"web": facts}), "app2": Host(AWAY)})  # type: ignore[dict-item]
    with pytest.raises(Temporary, match="app2: cannot be reached"):
        unequal.inspect(GREEN)
    spoken = {"app1": Host([Line("web-1", "b", 2.0)]), "app2": Host([Line("web-1", "a", 1.0)]), "app3": Host(AWAY)}
    lines = SeveralEnvironments(spoken).output(GREEN, 10)  # type: ignore[arg-type]
    assert [(line.replica, line.text) for line in lines] == [
        ("app2/web-1", "a"),
        ("app1/web-1", "b"),
        ("app3", "app3: cannot be reached: timed out"),
    ]


# --- artefact ---------------------------------------------------------------------------------------------------------

WHAT = ArtefactSpec("r-2", "2.0", {})
MADE, ABSENT = ArtefactStatus(Making.READY, "sha256:aa"), ArtefactStatus(Making.ABSENT)


def made(*hosts: Any) -> ArtefactStatus:
    return SeveralArtefacts({f"app{n}": Host(says) for n, says in enumerate(hosts, 1)}).observe(WHAT)  # type: ignore[misc]


def test_the_artefact_is_ready_when_every_host_has_the_same() -> None:
    assert made(MADE, MADE, MADE) == MADE
    assert made(MADE, ABSENT).state is Making.ABSENT
    pulling = ArtefactStatus(Making.MAKING, detail="pulling, 40 %")
    assert made(MADE, pulling) == ArtefactStatus(Making.MAKING, detail="app2: pulling, 40 %")
    away = made(MADE, AWAY)
    assert (away.state, away.detail) == (Making.MAKING, "app2: cannot be reached: timed out")
    with pytest.raises(Temporary, match="app1, app2: cannot be reached"):
        made(AWAY, AWAY)


def test_hosts_that_came_to_different_images_are_no_release() -> None:
    status = made(MADE, ArtefactStatus(Making.READY, "sha256:bb"), ArtefactStatus(Making.MAKING))
    assert status.state is Making.FAILED
    assert "app1: has sha256:aa; app2: has sha256:bb" in status.detail
    failed = made(MADE, ArtefactStatus(Making.FAILED, detail="no space left"))
    assert (failed.state, failed.detail) == (Making.FAILED, "app2: no space left")


def test_the_artefact_is_made_and_removed_on_every_host() -> None:
    hosts = {"app1": Host(), "app2": Host(does=AWAY)}
    artefacts = SeveralArtefacts(hosts)  # type: ignore[arg-type]
    with pytest.raises(Uncertain, match=r"app2: cannot be reached.*done on app1"):
        artefacts.apply(WHAT, KEY)
    hosts["app2"].does = None
    artefacts.remove("r-2", KEY)
    assert [told[0] for told in hosts["app1"].told] == [WHAT, "r-2"]
    assert [told[0] for told in hosts["app2"].told] == ["r-2"]


# --- analyser ---------------------------------------------------------------------------------------------------------


def counters(at: float, incarnation: str, requests: int, errors: int = 0) -> Measurement:
    latency = ((10.0, requests - errors), (INF, requests))
    green = Figures(requests, errors, {"200": requests - errors, "500": errors}, latency)
    return Measurement(at, incarnation, Figures(), green)


def test_the_figures_of_all_hosts_are_added_up() -> None:
    hosts = {"app1": Host(counters(5.0, "a", 100, 1)), "app2": Host(counters(5.1, "b", 50))}
    measured = SeveralAnalysers(hosts).measure()  # type: ignore[arg-type]
    assert measured.at == 5.1
    assert measured.green == Figures(150, 1, {"200": 149, "500": 1}, ((10.0, 149), (INF, 150)))
    assert measured.blue == Figures()


def test_what_was_shielded_and_copied_is_added_up_as_well() -> None:
    def counted(incarnation: str, requests: int) -> Measurement:
        green = Figures(requests, requests, shielded=requests - 1)
        return Measurement(5.0, incarnation, green=green, mirrored=Figures(2 * requests, 1, {"200": 2 * requests - 1}))

    hosts = {"app1": Host(counted("a", 10)), "app2": Host(counted("b", 4))}
    analysers = SeveralAnalysers(hosts)  # type: ignore[arg-type]
    measured = analysers.measure()
    assert (measured.green.errors, measured.green.shielded) == (14, 12)
    assert measured.mirrored == Figures(28, 2, {"200": 26})
    hosts["app2"].says = counted("b2", 2)
    again = analysers.measure()
    assert (again.green.shielded, again.mirrored.requests) == (13, 32)


def test_a_router_that_began_its_counters_anew_adds_nothing_of_the_others_again() -> None:
    hosts = {"app1": Host(counters(5.0, "a", 1000, 500)), "app2": Host(counters(5.0, "b", 10))}
    analysers = SeveralAnalysers(hosts)  # type: ignore[arg-type]
    first = analysers.measure()
    hosts["app2"].says = counters(6.0, "b2", 3)
    second = analysers.measure()
    assert (first.green.requests, second.green.requests) == (1010, 1013)
    assert second.green.errors == 500
    assert first.incarnation == second.incarnation
    assert second.at > first.at
    assert SeveralAnalysers(hosts).measure().incarnation != first.incarnation  # type: ignore[arg-type]


def test_figures_of_a_part_of_the_users_are_no_measurement() -> None:
    hosts = {"app1": Host(counters(5.0, "a", 1000)), "app2": Host(AWAY)}
    with pytest.raises(Temporary, match="app2: cannot be reached"):
        SeveralAnalysers(hosts).measure()  # type: ignore[arg-type]


def test_bounds_that_only_some_know_stay_cumulative() -> None:
    coarse = Measurement(1.0, "b", Figures(), Figures(4, latency=((50.0, 4), (INF, 4))))
    hosts = {"app1": Host(counters(1.0, "a", 10, 2)), "app2": Host(coarse)}
    latency = SeveralAnalysers(hosts).measure().green.latency  # type: ignore[arg-type]
    assert latency == ((10.0, 8), (50.0, 12), (INF, 14))


# --- checks -----------------------------------------------------------------------------------------------------------


class Way:
    def __init__(self, name: str) -> None:
        self.name = name

    def reach(self, test: bool = False) -> tuple[str, Mapping[str, str]]:
        return f"http://{self.name}", {"x-test": "1"} if test else {}


WAYS: Mapping[str, Any] = {name: Way(name) for name in ("app1", "app2", "app3")}
CASE = Case("r-2", "2.0", GREEN, "http://app1", {}, {"version": "2.0", "idle_url": "http://app1"})


def asked(check: FakeCheck) -> list[Finding]:
    """Asked until it has an opinion, as the engine does."""
    each, memo, found = EachWay(check, WAYS), None, []
    while not found or found[-1].verdict is Verdict.WAIT:
        found.append(each.ask(CASE, memo))
        memo = found[-1].memo
        assert len(found) < 20
    return found


def test_a_check_is_asked_once_by_way_of_every_host() -> None:
    check = FakeCheck("smoke")
    last = asked(check)[-1]
    assert last.verdict is Verdict.PASS
    assert [case.url for case, _ in check.asked] == ["http://app1", "http://app2", "http://app3"]
    assert {case.variables["idle_url"] for case, _ in check.asked} == {f"http://{name}" for name in WAYS}
    assert all(case.headers == {"x-test": "1"} for case, _ in check.asked)


def test_a_check_that_waits_is_asked_on_there_with_its_own_memo() -> None:
    def answer(case: Case, memo: Any) -> Finding:
        times = memo["n"] if memo else 0
        return Finding(Verdict.PASS) if times == 2 else Finding(Verdict.WAIT, "running", 0.5, {"n": times + 1})

    check = FakeCheck("load", answer)
    found = asked(check)
    assert [case.url[-4:] for case, _ in check.asked] == ["app1"] * 3 + ["app2"] * 3 + ["app3"] * 3
    assert found[0].again_after == 0.5
    each = EachWay(check, WAYS)
    each.withdraw(CASE, found[4].memo)
    assert check.withdrawn == ["r-2"]


def test_the_first_host_that_does_not_pass_ends_it_and_is_named() -> None:
    def answer(case: Case, memo: Any) -> Finding:
        if case.url.endswith("app2"):
            return Finding(Verdict.FAIL, "status 502", evidence=("GET / → 502",))
        return Finding(Verdict.PASS)

    found = asked(FakeCheck("smoke", answer))
    assert len(found) == 2
    assert (found[-1].verdict, found[-1].reason) == (Verdict.FAIL, "app2: status 502")
    assert found[-1].evidence == ("app2: GET / → 502",)


def test_a_check_that_could_not_be_asked_names_the_host() -> None:
    def answer(case: Case, memo: Any) -> Finding:
        raise Temporary("no answer")

    with pytest.raises(Temporary, match="app2: no answer"):
        EachWay(FakeCheck("smoke", answer), WAYS).ask(CASE, {"host": "app2", "memo": None})


# --- side by side -----------------------------------------------------------------------------------------------------


class Gate:
    """A call that does not end before it is let go."""

    def __init__(self, answer: Any = None) -> None:
        self.begun, self.go, self.times = threading.Event(), threading.Event(), 0
        self.answer = answer

    def __call__(self) -> Any:
        self.times += 1
        self.begun.set()
        assert self.go.wait(30)
        return self.answer


@contextmanager
def gate(answer: Any = None) -> Iterator[Gate]:
    made = Gate(answer)
    try:
        yield made
    finally:
        made.go.set()


def until(true: Callable[[], bool]) -> None:
    waited = threading.Event()
    for _ in range(3000):
        if true():
            return
        waited.wait(0.01)
    raise AssertionError("not within half a minute")


def test_twenty_hosts_are_asked_at_the_same_time() -> None:
    """Each waits for all the others: if any two were asked one after the other, it would never end."""
    together = threading.Barrier(20)
    pool = SideBySide(look_within=30.0)
    calls = {f"app{n}": lambda: together.wait(30) for n in range(20)}
    for _ in range(3):
        answers = pool.look("observe", calls)
        assert sorted(answers.values()) == list(range(20))  # type: ignore[type-var]


class Meeting(Host):
    """Does nothing before all twenty are asked to do it."""

    def __init__(self, barrier: threading.Barrier, says: Any) -> None:
        super().__init__(says)
        self.barrier = barrier

    def observe(self, *asked: Any) -> Any:
        self.barrier.wait(30)
        return self.says

    def apply(self, *told: Any) -> None:
        self.barrier.wait(30)

    remove = apply


def test_twenty_hosts_are_prepared_at_the_same_time() -> None:
    """What the benchmark `hosts` measures, without a clock: any two one after the other would wait for ever."""
    barrier, pool = threading.Barrier(20), SideBySide(30.0, 30.0)
    artefacts = SeveralArtefacts({f"app{n}": Meeting(barrier, MADE) for n in range(20)}, pool)  # type: ignore[misc]
    environments = SeveralEnvironments({f"app{n}": Meeting(barrier, up()) for n in range(20)}, pool)  # type: ignore[misc]
    artefacts.apply(WHAT, KEY)
    assert artefacts.observe(WHAT) == MADE
    environments.apply(GREEN, SPEC, KEY)
    assert environments.observe(GREEN).ready
    environments.remove(GREEN, KEY)


def test_one_that_hangs_does_not_hold_up_the_others_and_is_not_begun_twice() -> None:
    pool = SideBySide(look_within=0.05)
    with gate("at last") as hanging:
        until(lambda: pool.look("observe", {"app1": lambda: "here", "app2": hanging})["app1"] == "here")
        for _ in range(3):
            answers = pool.look("observe", {"app2": hanging})
            assert isinstance(answers["app2"], Temporary)
        assert hanging.times == 1
        assert pool.busy("observe") == {"app2"}
        hanging.go.set()
        until(lambda: not pool.busy("observe"))
        # what it saw then is not what is now: it is asked anew
        until(lambda: pool.look("observe", {"app2": lambda: "now"}) == {"app2": "now"})


class Letting:
    """Something to do that is the same as `like`, and lets the gate go as soon as that is found out."""

    def __init__(self, like: str, gate: Gate) -> None:
        self.like, self.gate = like, gate

    def __eq__(self, other: object) -> bool:
        self.gate.go.set()
        return other == self.like

    __hash__ = None  # type: ignore[assignment]


def test_a_deed_under_way_is_waited_for_and_nothing_else_is_begun_there() -> None:
    pool, first = SideBySide(act_within=30.0), list[Any]()
    with gate() as hanging:
        waiting = threading.Thread(target=lambda: first.append(pool.act("tell", "green", {"app2": hanging})))
        waiting.start()
        assert hanging.begun.wait(30)
        other = pool.act("tell", "blue", {"app1": lambda: None, "app2": lambda: None})
        assert other["app1"] is None
        assert isinstance(other["app2"], Temporary)
        assert "still busy" in str(other["app2"])
        assert pool.act("tell", Letting("green", hanging), {"app2": hanging}) == {"app2": None}
        waiting.join(30)
        assert (first, hanging.times) == ([{"app2": None}], 1)
        assert pool.act("tell", "blue", {"app2": lambda: None}) == {"app2": None}


def test_a_deed_that_is_late_may_have_happened() -> None:
    with gate() as hanging:
        answer = SideBySide(act_within=0.05).act("tell", "green", {"app2": hanging})["app2"]
        assert isinstance(answer, Uncertain)
        assert "it may still happen" in str(answer)


def test_what_each_raised_is_its_answer() -> None:
    error = Permanent("no")

    def refuse() -> str:
        raise error

    assert SideBySide().look("observe", {"app1": refuse, "app2": lambda: "yes"}) == {"app1": error, "app2": "yes"}


def test_the_same_text_is_said_once() -> None:
    assert said({"app1": "down", "app2": "", "app3": "down", "app4": "app4: full"}) == "app1, app3: down; app4: full"


def test_who_looks_at_the_same_moment_gets_an_answer_of_his_own() -> None:
    together, pool = threading.Barrier(2), SideBySide(look_within=30.0)
    found: list[Any] = []

    def look() -> None:
        found.append(pool.look("observe", {"app1": lambda: together.wait(30)})["app1"])

    other = threading.Thread(target=look)
    other.start()
    look()
    other.join(30)
    assert sorted(found) == [0, 1]
