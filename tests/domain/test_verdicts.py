"""Verdicts and what follows from them: the table is whole, and every cell is what really happens."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from greenroom.domain.actions import Ask, Do, Move, Note, Wait
from greenroom.domain.assess import History
from greenroom.domain.decide import decide
from greenroom.domain.figures import Figures, Measurement, Reading
from greenroom.domain.model import Role, Verdict
from greenroom.domain.observation import Need, Seen, Watched
from greenroom.domain.opinion import Finding
from greenroom.domain.phases import Phase
from greenroom.domain.plan import Gate, Rule, Step, When
from greenroom.domain.records import Judged
from greenroom.domain.verdicts import TABLE, Action, Answer, Stage
from tests.domain.world import ALL_BLUE, ALL_GREEN, BLUE, GREEN, Split, Story, backend, look, serving, up

ROOT = Path(__file__).parents[2]
OLD, NEW = up(BLUE, "r-0001", "1", Role.ACTIVE), up(GREEN, "r-0002", "2")
POLICIES = ("ignore", "wait", "fail")


def cells(*stages: Stage) -> list[Any]:
    """(policy, answer, action) of these stages."""
    found = [(s, p, answer, action) for (s, p), row in TABLE.items() if s in stages for answer, action in row.items()]
    return [pytest.param(*cell, id=" | ".join(str(part) for part in cell)) for cell in found]


def test_the_table_has_a_cell_for_every_answer_that_can_be_given() -> None:
    assert {stage for stage, _ in TABLE} == set(Stage)
    for stage in (Stage.LOOK, Stage.END):
        assert {policy for s, policy in TABLE if s is stage} == {f"no_data: {policy}" for policy in POLICIES}
    for stage in (Stage.GATE, Stage.GATE_UNDER_TRAFFIC):
        assert {policy for s, policy in TABLE if s is stage} == {"on_failure: stop", "on_failure: notify"}
    for (stage, _), row in TABLE.items():
        without = set() if stage in (Stage.LOOK, Stage.END) else {Answer.NO_DATA}
        assert set(row) == set(Answer) - without


def test_ft_49_what_failed_never_goes_on_and_what_is_unknown_never_succeeds() -> None:
    for (stage, policy), row in TABLE.items():
        assert row[Answer.FAIL] is (Action.TELL if "notify" in policy else Action.BACK)
        if stage in (Stage.GATE, Stage.CHECK) and "notify" not in policy:
            assert row[Answer.UNKNOWN] is Action.BACK
        if stage is Stage.END:
            assert row[Answer.UNKNOWN] is Action.WAIT


def test_the_page_is_current() -> None:
    done = subprocess.run([sys.executable, ROOT / "scripts" / "verdicts.py", "--check"], cwd=ROOT, check=False)
    assert done.returncode == 0, "run `python scripts/verdicts.py`"


GOES_ON = ("baking", "50 % on green")


def happened(story: Story, seen: Seen) -> Action:
    """What `decide` makes of it, in the table's words. What is told goes on, too."""
    decision = decide(story.service, seen, story.now)
    if isinstance(decision, Note) and decision.record.subject in ("look", "analysis"):
        decision = decide(story.add(decision.record).service, seen, story.now)
    match decision:
        case Move(record=record):
            return Action.BACK if record.to in (Phase.ABORTING, Phase.ROLLING_BACK) else Action.GO
        case Do(action=Ask()):
            return Action.WAIT
        case Wait(why=why):
            return Action.GO if why in GOES_ON else Action.WAIT
    raise AssertionError(decision)


def expected(action: Action) -> Action:
    return Action.GO if action is Action.TELL else action


def releasing(*phases: Phase, **plan: Any) -> Story:
    return Story().succeed("1").deploy("2", **plan).move(*phases)


def before_traffic() -> Seen:
    return look(serving(ALL_BLUE, blue=backend(OLD), green=backend(NEW), test=GREEN), OLD, NEW)


def under_traffic(split: Split = ALL_GREEN) -> Seen:
    """The candidate has all of it, or its share beside the baseline."""
    whole = split == ALL_GREEN
    old = replace(OLD, role=Role.IDLE if whole else Role.ACTIVE)
    new = replace(NEW, role=Role.ACTIVE if whole else Role.IDLE)
    return look(serving(split, blue=backend(old), green=backend(new)), old, new)


def baking(*, over: bool, **plan: Any) -> Story:
    story = releasing(Phase.START, Phase.CHECKS, Phase.SHIFT, bake=10.0 if over else 1000.0, **plan)
    story.live(ALL_GREEN).move(Phase.BAKE)
    story.now += 20.0
    return story


def at_a_step(**plan: Any) -> Story:
    steps = (Step(50, 10.0), Step(100))
    story = releasing(Phase.START, Phase.CHECKS, Phase.SHIFT, steps=steps, **plan).live(Split(50, 50))
    story.now += 20.0
    return story


@pytest.mark.parametrize(("stage", "policy", "answer", "action"), cells(Stage.GATE, Stage.GATE_UNDER_TRAFFIC))
def test_ft_49_gates(stage: Stage, policy: str, answer: Answer, action: Action) -> None:
    notify_only = policy.endswith("notify")
    judged = Judged("r-0002", "gate:scan", Verdict(answer.value), "so")
    if stage is Stage.GATE:
        gate = Gate("scan", When.APPROVE, notify_only=notify_only)
        story = releasing(Phase.START, Phase.CHECKS, Phase.APPROVE, gates=(gate,)).add(judged)
        assert happened(story, before_traffic()) is expected(action)
    else:
        gate = Gate("scan", When.BAKE, notify_only=notify_only)
        story = baking(over=True, gates=(gate,)).add(judged)
        assert happened(story, under_traffic()) is expected(action)


@pytest.mark.parametrize(("stage", "policy", "answer", "action"), cells(Stage.CHECK))
def test_ft_49_checks(stage: Stage, policy: str, answer: Answer, action: Action) -> None:
    story = releasing(Phase.START, Phase.CHECKS, checks=("smoke",))
    story.add(Judged("r-0002", "check:smoke", Verdict(answer.value), "so"))
    assert happened(story, before_traffic()) is action


@pytest.mark.parametrize(("stage", "policy", "answer", "action"), cells(Stage.WATCH))
def test_ft_49_watches(stage: Stage, policy: str, answer: Answer, action: Action) -> None:
    watched = Watched(Finding(Verdict(answer.value), "so"), 0.0, 2 if answer is Answer.FAIL else 0)
    seen = replace(under_traffic(), watches={"home": watched})
    assert happened(baking(over=False, watches=("home",)), seen) is action


SAID: dict[Answer, tuple[Reading, ...]] = {
    Answer.PASS: (Reading(1.0, 1.0),),
    Answer.FAIL: (Reading(1.0, 9.0),),
    Answer.WAIT: (Reading(1.0, 9.0),),
    Answer.UNKNOWN: (Reading(1.0, problem="connection refused"),),
    Answer.NO_DATA: (Reading(1.0),),
}
"""To a rule that wants at most 5, and fails when it is more once; for `wait`, when it is more twice."""


@pytest.mark.parametrize(("stage", "policy", "answer", "action"), cells(Stage.LOOK, Stage.END))
@pytest.mark.parametrize("where", ["step", "bake"])
def test_ft_49_ft_50_the_analysis_by_a_source(
    where: str, stage: Stage, policy: str, answer: Answer, action: Action
) -> None:
    failures = 2 if answer is Answer.WAIT else 1
    rule = Rule("", max=5.0, source="queue", failures=failures, no_data=policy.removeprefix("no_data: "))
    readings = SAID[answer]
    over = stage is Stage.END
    if where == "step":
        story = at_a_step(rules=(rule,))
        story.now -= 0.0 if over else 15.0
        seen = replace(under_traffic(Split(50, 50)), readings={"queue": readings})
    else:
        story, seen = baking(over=over, rules=(rule,)), replace(under_traffic(), readings={"queue": readings})
    assert happened(story, seen) is action


COUNTED: dict[Answer, Figures] = {
    Answer.PASS: Figures(200, 0),
    Answer.FAIL: Figures(200, 100),
    Answer.NO_DATA: Figures(10, 10),
}


COUNTS = [cell for cell in cells(Stage.LOOK, Stage.END) if cell.values[2] is not Answer.WAIT]
"""Counters do not wait: they are there, they are few (no data), or they cannot be read."""


@pytest.mark.parametrize(("stage", "policy", "answer", "action"), COUNTS)
def test_ft_49_ft_50_the_analysis_by_the_router(stage: Stage, policy: str, answer: Answer, action: Action) -> None:
    rule = Rule("error_rate", max=0.1, no_data=policy.removeprefix("no_data: "))
    history = History().add(Measurement(0, "a")).add(Measurement(5, "a", green=COUNTED.get(answer, Figures(200, 0))))
    seen = replace(under_traffic(), history=history)
    if answer is Answer.UNKNOWN:
        seen = replace(seen, unseen={Need.MEASUREMENT: "no answer for 3 s"})
    assert happened(baking(over=stage is Stage.END, rules=(rule,)), seen) is action
