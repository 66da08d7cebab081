"""Between a person's word and the gate's next answer: nobody is told that the release still waits for that word."""

from __future__ import annotations

from dataclasses import replace

import pytest

from greenroom.domain.commands import Allowed
from greenroom.domain.model import Verdict
from greenroom.domain.opinion import Finding
from greenroom.domain.phases import Phase, Status
from greenroom.domain.plan import Gate, When
from greenroom.domain.status import sentence, status_of
from tests.engine.scenarios import SHORT
from tests.engine.stage import Stage
from tests.engine.test_proving import staged


@pytest.fixture
def stage() -> Stage:
    """A release that waits for two people."""
    made = staged(replace(SHORT, gates=(Gate("people", When.APPROVE, people=True),)))
    made.gates["people"].answers = lambda case, memo: Finding(
        Verdict.PASS if len(case.approvals) == 2 else Verdict.WAIT, f"{len(case.approvals)} of 2", 0.5
    )
    made.deploy("2.0")
    made.run(30.0, waits)
    assert waits(made)
    return made


def waits(stage: Stage) -> bool:
    release = stage.service.release
    assert release is not None
    return status_of(stage.service, release, stage.clock.now()) is Status.WAITING_APPROVAL


def test_an_approval_is_heard_before_it_is_said_that_another_is_missing(stage: Stage) -> None:
    stage.clock.sleep(0.1)
    assert isinstance(stage.request("promote"), Allowed)
    assert not waits(stage)
    stage.run(5.0, waits)
    assert waits(stage)
    release = stage.service.release
    assert release is not None
    assert sentence(stage.service, release) == "people: 1 of 2"
    stage.clock.sleep(0.1)
    assert isinstance(stage.request("promote"), Allowed)
    assert not waits(stage)
    assert stage.until_ended().phase is Phase.SUCCEEDED


def test_who_aborts_follows_it_to_its_end(stage: Stage) -> None:
    assert isinstance(stage.request("abort"), Allowed)
    assert not waits(stage)
    assert stage.until_ended().phase is Phase.ABORTED
