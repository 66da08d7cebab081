"""Every end of a background job is an answer, whoever works in it: files of SQL or a tool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from greenroom.adapters.database.job import Ask
from greenroom.adapters.database.ledger import Outdated
from greenroom.adapters.database.program import answered
from greenroom.adapters.database.running import Hindered, Refusal
from greenroom.adapters.database.target import Full, Lost
from greenroom.adapters.migrators.carrying import answer
from greenroom.adapters.migrators.command import CommandMigrator, CommandSettings
from greenroom.domain.model import Verdict
from greenroom.domain.opinion import Finding
from greenroom.domain.schema import Order, Stage
from greenroom.errors import GreenroomError, Permanent, Temporary, UsageError

ORDER = Order("shop", "R42", "42", "ann", 7, 1_800_000_000.0)


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (Permanent("It will not.", hint="Mend it."), Verdict.FAIL),
        (UsageError("It is written so.", hint="Mend it."), Verdict.FAIL),
        (Hindered("It was blocked.", hint="Mend it."), Verdict.FAIL),
        (Full("The disk is full.", hint="Mend it."), Verdict.FAIL),
        (Temporary("It is down.", hint="Mend it."), Verdict.UNKNOWN),
        (Lost("It went away.", hint="Mend it."), Verdict.UNKNOWN),
    ],
)
def test_what_was_raised_is_said_with_its_way_out(error: GreenroomError, verdict: Verdict) -> None:
    def work() -> Finding:
        raise error

    found = answered(work, 7)
    assert (found.finding.verdict, found.epoch, found.outdated) == (verdict, 7, False)
    assert found.finding.reason == f"{error.message.rstrip('.')}; Mend it."
    assert (found.finding.again_after > 0) == (verdict is Verdict.UNKNOWN)


def test_a_newer_lease_and_a_refusal_are_told_apart() -> None:
    def outdated() -> Finding:
        raise Outdated("Somebody else acts.")

    def refused() -> Finding:
        raise Refusal("Two things are wrong.", ("one", "two"))

    assert answered(outdated, 7).outdated
    assert answered(refused, 7).finding == Finding(Verdict.FAIL, "Two things are wrong.", evidence=("one", "two"))


def test_of_a_tool_that_fails_the_last_lines_are_kept(tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "url": "sqlite:///:memory:",
        "print": "echo no room; false",
        "apply": "true",
        "verify": "true",
    }
    ask = Ask(Stage.EXPAND, ORDER, str(tmp_path), ".")
    found = answer(CommandMigrator, ask, CommandSettings.model_validate(given), lambda _: None)
    assert (found.finding.verdict, found.finding.evidence) == (Verdict.FAIL, ("no room",))
