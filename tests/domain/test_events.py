"""What a record tells a person: the sentence, the facts, the ways on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from greenroom.domain.assess import figures_document
from greenroom.domain.events import KINDS, event_of
from greenroom.domain.figures import Figures
from greenroom.domain.model import Event, Verdict
from greenroom.domain.numbers import as_row, beside
from greenroom.domain.phases import Phase
from greenroom.domain.plan import Gate, Plan, Step, When
from greenroom.domain.records import Entry, Judged, Moved, Record, Requested
from greenroom.domain.release import Service
from greenroom.domain.replay import fold

PLAN = Plan(
    gates=(
        Gate("the team", When.APPROVE, people=True),
        Gate("scan", When.BAKE, notify_only=True),
        Gate("zap", When.BAKE),
    )
)


def told(records: Sequence[Record]) -> list[Event]:
    state, events = Service(), []
    for seq, record in enumerate(records, 1):
        entry = Entry(seq, 100.0 + 10 * seq, 1, record)
        before, state = state, fold(state, entry)
        if event := event_of("shop", before, entry, state):
            events.append(event)
    return events


def deploy(number: int, version: str, colour: str, plan: Plan = PLAN, **more: Any) -> Requested:
    details = {"version": version, "colour": colour, "plan": plan.document(), **more}
    return Requested("deploy", "ann", "the sale begins", f"r-{number:04}", details)


LIVE = [
    deploy(1, "1.0", "blue"),
    Moved("r-0001", Phase.START, "the artefact is made", facts={"artefact": "a"}),
    Moved("r-0001", Phase.SHIFT, "every check passed"),
    Judged("r-0001", "live", Verdict.PASS, "observed", {"blue": 100, "green": 0}),
    Moved("r-0001", Phase.BAKE, "all traffic is on blue"),
    Moved("r-0001", Phase.SUCCEEDED, "the bake is over"),
]
SECOND = [
    deploy(2, "2.0", "green"),
    Moved("r-0002", Phase.START, "the artefact is made", facts={"artefact": "b"}),
]


def test_a_good_release_says_who_why_how_long_and_the_way_back() -> None:
    events = told([*LIVE, *SECOND, Moved("r-0002", Phase.SHIFT, "every check passed")])
    started, shifted, succeeded, second = events
    assert [event.kind for event in events] == ["started", "shifted", "succeeded", "started"]
    assert started.facts["by"] == "ann"
    assert started.facts["why"] == "the sale begins"
    assert shifted.facts["share"] == 100
    assert "ways" not in shifted.facts, "there is nothing to go back to"
    assert succeeded.facts["took"] == 50.0
    assert succeeded.facts["active_version"] == "1.0"
    assert "ways" not in succeeded.facts
    assert second.facts["baseline"] == "1.0"
    assert {event.kind for event in events} <= KINDS


def test_what_is_live_while_the_old_one_is_warm_can_be_taken_back() -> None:
    records = [
        *LIVE,
        *SECOND,
        Moved("r-0002", Phase.SHIFT, "every check passed"),
        Judged("r-0002", "live", Verdict.PASS, "observed", {"blue": 0, "green": 100}),
        Moved("r-0002", Phase.BAKE, "all traffic is on green"),
        Moved("r-0002", Phase.SUCCEEDED, "the bake is over"),
    ]
    *_, shifted, succeeded = told(records)
    assert shifted.facts["ways"] == {"greenroom rollback": "takes it back"}
    assert succeeded.facts["ways"] == {"greenroom rollback": "1.0 serves again, at once"}


def test_a_rollback_shows_both_colours_the_reason_and_its_evidence() -> None:
    plan = Plan()
    candidate = Figures(1000, 120, latency=((5.0, 400), (250.0, 995), (float("inf"), 1000)))
    usual = Figures(9000, 0, latency=((5.0, 8000), (25.0, 9000), (float("inf"), 9000)))
    found = {
        "seconds": 5.0,
        "candidate": figures_document(candidate),
        "baseline": figures_document(usual),
    }
    records = [
        *LIVE,
        deploy(2, "2.0", "green", plan),
        *SECOND[1:],
        Moved("r-0002", Phase.SHIFT, "every check passed"),
        Judged("r-0002", "live", Verdict.PASS, "observed", {"blue": 0, "green": 100}),
        Moved("r-0002", Phase.ROLLING_BACK, "error rate 12 %\nGET /: 500\nGET /b: 502", facts={"figures": found}),
        Judged("r-0002", "live", Verdict.PASS, "observed", {"blue": 100, "green": 0}),
        Moved("r-0002", Phase.ROLLED_BACK, "error rate 12 %\nGET /: 500\nGET /b: 502"),
    ]
    event = told(records)[-1]
    assert event.kind == "rolled_back"
    assert event.text == "2.0 was taken back, 1.0 serves: error rate 12 %"
    assert event.facts["evidence"] == ["GET /: 500", "GET /b: 502"]
    assert event.facts["reason"] == "error rate 12 %"
    assert event.facts["ways"] == {"greenroom show r-0002": "tells the whole story"}
    assert event.facts["numbers"] == {
        "green": {
            "version": "2.0",
            "role": "candidate",
            "requests": 1000,
            "errors": 120,
            "error_rate": 0.12,
            "p50": 250.0,
            "p99": 250.0,
            "over": 5.0,
        },
        "blue": {
            "version": "1.0",
            "role": "baseline",
            "requests": 9000,
            "errors": 0,
            "error_rate": 0.0,
            "p50": 5.0,
            "p99": 25.0,
            "over": 5.0,
        },
    }
    assert as_row(event.facts["numbers"]["green"]) == {
        "requests": "1,000",
        "error rate": "12 % (120)",
        "p50": "250 ms",
        "p99": "250 ms",
    }


def test_figures_of_another_shape_are_no_numbers() -> None:
    state = Service()
    for seq, record in enumerate([*LIVE, *SECOND], 1):
        state = fold(state, Entry(seq, 0.0, 1, record))
    assert state.release is not None
    for document in (
        None,
        {},
        {"candidate": None},
        {"candidate": 7},
        {"candidate": {"requests": "x"}},
        {"seconds": "x"},
    ):
        assert beside(state.release, document) == {}


def test_without_traffic_there_are_no_numbers_to_divide() -> None:
    assert as_row({"requests": 0, "errors": 0, "error_rate": None, "p50": None, "p99": None}) == {"requests": "0"}


def test_a_gate_that_waits_for_people_is_told_once_with_the_ways_on() -> None:
    waiting = Judged("r-0002", "gate:the team", Verdict.WAIT, "1 of 2 said yes")
    records = [*LIVE, *SECOND, Moved("r-0002", Phase.APPROVE, "every check passed"), waiting, waiting]
    *_, event = told(records)
    assert [e.kind for e in told(records)].count("waiting_approval") == 1
    assert event.text == "2.0 waits for approval (the team): 1 of 2 said yes; approve by `greenroom promote`"
    assert event.facts["ways"] == {"greenroom promote": "approves", "greenroom abort": "ends the release"}


def test_a_gate_that_names_the_way_on_itself_is_not_given_it_twice() -> None:
    asked = Judged("r-0002", "gate:the team", Verdict.WAIT, "waits for ann; `greenroom promote` approves")
    *_, event = told([*LIVE, *SECOND, Moved("r-0002", Phase.APPROVE, "every check passed"), asked])
    assert event.text == "2.0 waits for approval (the team): waits for ann; `greenroom promote` approves"


def test_a_first_release_has_no_shares() -> None:
    """There is nobody to share with: it gets all at once, whatever the file says of steps."""
    records = [
        deploy(1, "1.0", "blue", Plan(steps=(Step(10, 60.0), Step(100)))),
        Moved("r-0001", Phase.SHIFT, "every check passed"),
        Judged("r-0001", "live", Verdict.PASS, "observed", {"blue": 100, "green": 0}),
    ]
    *_, event = told(records)
    assert (event.kind, event.text) == ("shifted", "100 % of the traffic is on 1.0 (blue)")
    assert event.facts["share"] == 100


def test_what_fails_and_stops_nothing_is_told() -> None:
    baking = [
        Moved("r-0002", Phase.SHIFT, "every check passed"),
        Judged("r-0002", "live", Verdict.PASS, "observed", {"blue": 0, "green": 100}),
        Moved("r-0002", Phase.BAKE, "all traffic is on green"),
    ]
    found = Judged("r-0002", "gate:scan", Verdict.FAIL, "2 findings\na.py:3: x")
    event = told([*LIVE, *SECOND, *baking, found])[-1]
    assert (event.kind, event.text) == ("warned", "scan failed for 2.0, which goes on: 2 findings")
    assert event.facts["evidence"] == ["a.py:3: x"]
    event = told([*LIVE, *SECOND, *baking, Judged("r-0002", "gate:scan", Verdict.UNKNOWN, "no scanner")])[-1]
    assert event.text == "scan could not be answered for 2.0, which goes on: no scanner"
    event = told([*LIVE, *SECOND, *baking, Judged("r-0002", "gate:zap", Verdict.UNKNOWN, "no scanner")])[-1]
    assert event.kind == "warned", "under traffic, unknown stops nothing"
    stopping = told([*LIVE, *SECOND, *baking, Judged("r-0002", "gate:zap", Verdict.FAIL, "found")])
    assert stopping[-1].kind == "shifted", "the end of the release tells that"
    passed = told([*LIVE, *SECOND, *baking, Judged("r-0002", "gate:scan", Verdict.PASS, "clean")])
    assert passed[-1].kind == "shifted"


def test_drift_pause_and_stuck_say_what_can_be_done() -> None:
    drift = told([*LIVE, Judged("", "route", Verdict.FAIL, "somebody moved it")])[-1]
    assert set(drift.facts["ways"]) == {"greenroom reconcile", "greenroom reconcile --accept"}
    pause = told([*LIVE, *SECOND, Requested("pause", "bob", "lunch")])[-1]
    assert (pause.facts["by"], pause.facts["why"]) == ("bob", "lunch")
    assert set(pause.facts["ways"]) == {"greenroom resume", "greenroom abort"}
    stuck = told([*LIVE, *SECOND, Judged("r-0002", "stuck", Verdict.UNKNOWN, "cannot see")])[-1]
    assert set(stuck.facts["ways"]) == {"greenroom status", "greenroom doctor"}


def test_of_a_contract_people_are_told_what_is_out_of_reach_once_and_what_is_gone() -> None:
    succeeded = [Moved("r-0002", Phase.SUCCEEDED, "good")]
    asked = Requested("contract", "ann", "nobody goes back")
    hidden = "users.old is hidden for 24h more, then dropped; `greenroom db restore 0007` puts it back"
    records = [
        Judged("-", "gate:contract", Verdict.WAIT, "begins"),
        Judged("-", "gate:contract", Verdict.WAIT, hidden),
        Judged("-", "gate:contract", Verdict.WAIT, hidden),
        Judged("-", "gate:contract", Verdict.PASS, "what was old is gone"),
    ]
    events = told([*LIVE, *SECOND, *succeeded, asked, *records])
    kinds = [event.kind for event in events]
    assert kinds[-2:] == ["warned", "contracted"]
    assert kinds.count("warned") == 1
    assert "greenroom db restore" in events[-2].facts["ways"]
    assert events[-1].text.endswith("what was old is gone")


def test_a_refused_contract_is_told() -> None:
    succeeded = [Moved("r-0002", Phase.SUCCEEDED, "good"), Requested("contract", "ann")]
    refused = Judged("-", "gate:contract", Verdict.FAIL, "pid 7 is still connected")
    assert told([*LIVE, *SECOND, *succeeded, refused])[-1].kind == "warned"
