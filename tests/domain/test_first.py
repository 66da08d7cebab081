from __future__ import annotations

from greenroom.domain.actions import Move
from greenroom.domain.decide import decide
from greenroom.domain.model import Role
from greenroom.domain.phases import Phase
from greenroom.domain.plan import Step
from greenroom.domain.status import status_of
from tests.domain.world import ALL_BLUE, BLUE, Story, backend, look, serving, up


def test_a_first_release_has_nobody_to_share_with_and_walks_no_steps() -> None:
    story = Story().deploy("1", steps=(Step(5, approval=True), Step(100)))
    story.move(Phase.START, Phase.CHECKS, Phase.SHIFT).live(ALL_BLUE)
    mine = up(BLUE, "r-0001", "1", Role.ACTIVE)
    decision = decide(story.service, look(serving(ALL_BLUE, blue=backend(mine)), mine), story.now)
    assert isinstance(decision, Move)
    assert decision.record.to is Phase.BAKE
    assert str(status_of(story.service, story.release, story.now)) == "running"
