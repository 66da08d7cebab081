"""The gate `approval`: who may, how many, four eyes, and what nobody's answer means."""

from __future__ import annotations

import getpass
import grp
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from greenroom.adapters.gates.approval import ApprovalGate, ApprovalSettings
from greenroom.domain.model import Colour, Verdict
from greenroom.domain.opinion import Approval, Case, Finding
from greenroom.ports import Approving, Place

SINCE = 1_800_000_000.0  # 2027-01-15 08:00 UTC
HOUR = 3600.0


def gate(**values: Any) -> ApprovalGate:
    settings = ApprovalSettings.model_validate({"anywhere": True, **values})
    return ApprovalGate(settings, Place("shop", Path("greenroom.yaml"), Path("state")))


def case(
    *approvals: tuple[str, float] | tuple[str, float, tuple[str, ...]], by: str = "alice@ci", at: float = 0.0
) -> Case:
    said = tuple(Approval(a[0], SINCE + a[1], a[2] if len(a) > 2 else ()) for a in approvals)
    return Case("r-7", "2", Colour.GREEN, "", by=by, approvals=said, now=SINCE + at, since=SINCE)


def ask(asked: Case, **values: Any) -> Finding:
    return gate(**values).ask(asked, None)


TEAM = {"approvers": ["alice", "bob", "group:ops"]}
TWO = {**TEAM, "needed": 2}

TABLE: list[tuple[dict[str, Any], Case, Verdict, str]] = [
    ({}, case(), Verdict.WAIT, "waits for anybody; `greenroom promote` approves, `greenroom abort` ends the release"),
    ({}, case(("carol@x", 1)), Verdict.PASS, "approved by carol@x"),
    (TEAM, case(), Verdict.WAIT, "waits for alice, bob or one of the group ops;"),
    (TEAM, case(("bob@laptop", 1)), Verdict.PASS, "approved by bob@laptop"),
    (TEAM, case(("carol@x", 1)), Verdict.WAIT, "waits for alice"),
    (TEAM, case(("carol@x", 1, ("staff", "ops"))), Verdict.PASS, "approved by carol@x"),
    (TWO, case(("bob@a", 1), ("bob@b", 2)), Verdict.WAIT, "(1 of 2 so far)"),
    (TWO, case(("bob@a", 1), ("alice@b", 2)), Verdict.PASS, "approved by bob@a and alice@b"),
    ({**TEAM, "four_eyes": True}, case(("alice@ci", 1)), Verdict.WAIT, "ops, but not alice, who asked for it;"),
    ({**TEAM, "four_eyes": True}, case(("alice@elsewhere", 1)), Verdict.WAIT, "but not alice"),
    ({**TEAM, "four_eyes": True}, case(("bob@ci", 1)), Verdict.PASS, "approved by bob@ci"),
    ({"four_eyes": True}, case(("Alice@ci", 1)), Verdict.WAIT, "waits for anybody, but not alice"),
    ({"four_eyes": True}, case(("bob@ci", 1), by=""), Verdict.UNKNOWN, "four eyes cannot be kept"),
    ({"timeout": "4h"}, case(at=HOUR), Verdict.WAIT, "until 2027-01-15 12:00 UTC (then it counts as refused)"),
    ({"timeout": "4h"}, case(at=4 * HOUR), Verdict.FAIL, "nobody approved within 4h: refused"),
    ({**TWO, "timeout": "4h"}, case(("bob@a", 1), at=4 * HOUR), Verdict.FAIL, "only 1 of 2 approved within 4h"),
    ({"timeout": "4h", "on_timeout": "approve"}, case(at=4 * HOUR), Verdict.PASS, "which counts as approved"),
    ({"approvers": ["eve@example.org"]}, case(("eve@example.org", 1)), Verdict.PASS, "approved by eve@example.org"),
    ({"approvers": ["eve@example.org"]}, case(("eve@elsewhere", 1)), Verdict.WAIT, "waits for eve@example.org"),
]


@pytest.mark.parametrize(("values", "asked", "verdict", "reason"), TABLE, ids=[str(i) for i in range(len(TABLE))])
def test_who_has_said_what(values: dict[str, Any], asked: Case, verdict: Verdict, reason: str) -> None:
    finding = ask(asked, **values)
    assert finding.verdict is verdict
    assert reason in finding.reason


def test_ft_53_an_approval_counts_though_nobody_looked_before_the_deadline() -> None:
    assert ask(case(("bob@a", 3 * HOUR), at=9 * HOUR), timeout="4h").verdict is Verdict.PASS
    assert ask(case(("bob@a", 8 * HOUR), at=9 * HOUR), timeout="4h").verdict is Verdict.PASS


def test_ft_52_a_wait_says_the_same_at_each_look() -> None:
    said = {ask(case(at=moment), timeout="4h", **TWO).reason for moment in range(0, 14_000, 500)}
    assert len(said) == 1


def test_it_is_asked_again_when_the_time_is_over() -> None:
    assert ask(case(at=4 * HOUR - 2), timeout="4h").again_after == 2.0
    assert 0 < ask(case(), timeout="4h").again_after <= 60


OBJECTIONS = [
    (TEAM, "bob@a", (), case(), ""),
    (TEAM, "carol@a", ("ops",), case(), ""),
    (TEAM, "carol@a", ("staff",), case(), "carol may not approve this; it takes alice, bob or one of the group ops"),
    ({"four_eyes": True}, "alice@b", (), case(), "alice asked for this release, and four eyes are wanted"),
    (TWO, "bob@b", (), case(("bob@a", 1)), "bob has approved already, and one person counts once; missing are 1 more"),
    (TEAM, "", (), case(), "nobody knows who that is"),
]


@pytest.mark.parametrize(("values", "by", "groups", "asked", "objection"), OBJECTIONS, ids=[o[-1] for o in OBJECTIONS])
def test_who_may_not_is_told_why(
    values: dict[str, Any], by: str, groups: tuple[str, ...], asked: Case, objection: str
) -> None:
    asking = gate(**values)
    assert isinstance(asking, Approving)
    found = asking.objection(asked, by, groups)
    assert found.startswith(objection) if objection else found == ""


def test_approvers_must_exist_on_this_machine_before_a_deploy() -> None:
    """And only then: a file whose approver has left must still be read, for it is what is rolled back."""
    here = Place("shop", Path("greenroom.yaml"), Path("state"))
    known = [getpass.getuser(), f"group:{grp.getgrall()[0].gr_name}"]
    assert ApprovalGate.problems(ApprovalSettings(approvers=known), here) == []
    for name in ("nobody-of-that-name", "group:nobody-of-that-name", "eve@example.org"):
        (problem,) = ApprovalGate.problems(ApprovalSettings(approvers=[*known, name]), here)
        assert problem.startswith(
            f"this machine knows nobody called {name}; correct `approvers`, or write `anywhere: true`"
        )
        assert ApprovalGate.problems(ApprovalSettings(approvers=[name], anywhere=True), here) == []


WRONG = [
    ({"approvers": ["a", "b"], "needed": 3}, "names only 2"),
    ({"approvers": ["a", "a"]}, "names somebody twice"),
    ({"approvers": ["group:"]}, "is no user and no `group:NAME`"),
    ({"on_timeout": "approve"}, "needs a `timeout`"),
    ({"timeout": 30}, "has no unit"),
    ({"timeout": "0"}, "greater than 0"),
    ({"needed": 0}, "greater than or equal to 1"),
]


@pytest.mark.parametrize(("values", "problem"), WRONG, ids=[problem for _, problem in WRONG])
def test_what_makes_no_sense_is_refused(values: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError) as error:
        ApprovalSettings.model_validate({"anywhere": True, **values})
    assert problem in str(error.value)
