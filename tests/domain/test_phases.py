from __future__ import annotations

from greenroom.domain.phases import ENDS, TABLE, Phase, Status, arrows, may_move


def test_every_phase_has_a_row_and_every_row_leads_to_an_end() -> None:
    assert set(TABLE) == set(Phase)
    for phase in Phase:
        reached, new = {phase}, {phase}
        while new:
            new = {b for a, b, _ in arrows() if a in new} - reached
            reached |= new
        assert reached & ENDS, f"{phase} has no exit"


def test_what_was_exposed_never_aborts_and_what_was_not_never_rolls_back() -> None:
    for row in TABLE.values():
        if row.on_failure is not None:
            assert (row.on_failure is Phase.ROLLING_BACK) == row.exposed
        assert not ("abort" in row.commands and row.exposed)
        assert not ("rollback" in row.commands and not row.exposed)


def test_every_running_forward_phase_can_be_ended_by_a_person() -> None:
    for row in TABLE.values():
        if row.on_failure is not None:
            assert row.commands & {"abort", "rollback"}


def test_traffic_never_moves_before_shift() -> None:
    before = [Phase.GATES, Phase.BUILD, Phase.EXPAND, Phase.START, Phase.CHECKS, Phase.BACKFILL, Phase.APPROVE]
    order = [*before, Phase.SHIFT, Phase.BAKE, Phase.SUCCEEDED]
    assert [TABLE[p].next for p in order[:-1]] == order[1:]
    assert [TABLE[p].exposed for p in order] == [False] * len(before) + [True, True, True]


def test_only_what_the_table_says_is_a_move() -> None:
    assert may_move(Phase.SUCCEEDED, Phase.ROLLING_BACK)
    assert not may_move(Phase.BUILD, Phase.SHIFT)
    assert not may_move(Phase.ABORTED, Phase.START)
    assert {row.status for row in TABLE.values()} <= set(Status)
