"""What follows from a verdict: one table, for everything that has an opinion. Printed into docs/reference/verdicts.md.

Unknown is an answer of its own: it never counts as a pass, and under users' traffic it is no reason to go back. So is no
data, for which the file has a policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from greenroom.domain.model import Verdict


class Stage(StrEnum):
    """Who is asked, and when."""

    GATE = "gate, before the traffic moves"
    CHECK = "check"
    GATE_UNDER_TRAFFIC = "gate, in the bake"
    WATCH = "watch, in shift and bake"
    LOOK = "analysis, while it looks"
    END = "analysis, at the end of a step and of the bake"


class Answer(StrEnum):
    PASS = "pass"
    FAIL = "fail"
    WAIT = "wait"
    UNKNOWN = "unknown"
    NO_DATA = "no data"


class Action(StrEnum):
    """`BACK`: the phase says which way: abort before the traffic moves, roll back after."""

    GO = "go on"
    WAIT = "wait, and ask again"
    TELL = "tell it, and go on"
    BACK = "go back"


_G, _W, _T, _B = Action.GO, Action.WAIT, Action.TELL, Action.BACK

TABLE: Mapping[tuple[Stage, str], Mapping[Answer, Action]] = {
    (stage, policy): dict(zip(Answer, actions, strict=False))
    for stage, policy, actions in (
        #                                          pass fail wait unknown no data
        (Stage.GATE, "on_failure: stop", (_G, _B, _W, _B)),
        (Stage.GATE, "on_failure: notify", (_G, _T, _W, _T)),
        (Stage.CHECK, "", (_G, _B, _W, _B)),
        (Stage.GATE_UNDER_TRAFFIC, "on_failure: stop", (_G, _B, _W, _T)),
        (Stage.GATE_UNDER_TRAFFIC, "on_failure: notify", (_G, _T, _W, _T)),
        (Stage.WATCH, "", (_G, _B, _G, _G)),
        (Stage.LOOK, "no_data: ignore", (_G, _B, _G, _G, _G)),
        (Stage.LOOK, "no_data: wait", (_G, _B, _G, _G, _G)),
        (Stage.LOOK, "no_data: fail", (_G, _B, _G, _G, _G)),
        (Stage.END, "no_data: ignore", (_G, _B, _W, _W, _G)),
        (Stage.END, "no_data: wait", (_G, _B, _W, _W, _W)),
        (Stage.END, "no_data: fail", (_G, _B, _W, _W, _B)),
    )
}
"""By stage and policy. Of a watch, two failures in a row are one here. Of the analysis, `wait` is: nothing wrong yet. Only
a source has no data: a gate, a check or a watch that cannot look says unknown."""


def gate(verdict: Verdict, *, exposed: bool, notify_only: bool) -> Action:
    """What a gate's answer means. `exposed`: users may have reached the candidate."""
    stage = Stage.GATE_UNDER_TRAFFIC if exposed else Stage.GATE
    return TABLE[stage, "on_failure: notify" if notify_only else "on_failure: stop"][Answer(verdict.value)]


def check(verdict: Verdict) -> Action:
    return TABLE[Stage.CHECK, ""][Answer(verdict.value)]


def watch(verdict: Verdict) -> Action:
    return TABLE[Stage.WATCH, ""][Answer(verdict.value)]


def analysis(verdict: Verdict, *, final: bool) -> Action:
    """What the judge's verdict means, no data being weighed already (`no_data`)."""
    return TABLE[Stage.END if final else Stage.LOOK, "no_data: ignore"][Answer(verdict.value)]


def no_data(policy: str, *, final: bool) -> Verdict:
    """The verdict of a rule that has too little data. `policy`: of its `no_data` (`pass`: what `ignore` was called)."""
    stage = Stage.END if final else Stage.LOOK
    action = TABLE[stage, f"no_data: {'ignore' if policy == 'pass' else policy}"][Answer.NO_DATA]
    if action is Action.BACK:
        return Verdict.FAIL
    return Verdict.WAIT if action is Action.WAIT or not final else Verdict.PASS
