"""The life of a release as one table.

A release walks down the phases of `NEXT`; a failure takes the row's way out. Three facts are stated, not derived:
whether users' traffic may have reached the candidate (`exposed`), where a failure leads (`on_failure`), and whether the
phase is an end. (Derived from the arrows, "reversible" once allowed a rollback of what had never been shifted.)

The diagram and the tables of the documentation are printed from here by `scripts/phases.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    GATES = "gates"
    BUILD = "build"
    EXPAND = "expand"
    START = "start"
    CHECKS = "checks"
    BACKFILL = "backfill"
    APPROVE = "approve"
    SHIFT = "shift"
    BAKE = "bake"
    SUCCEEDED = "succeeded"
    ABORTING = "aborting"
    ABORTED = "aborted"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"

    @property
    def spoken(self) -> str:
        """As a person says it."""
        return self.value.replace("_", " ")


class Status(StrEnum):
    """What a release is called in `status`; more than the phase, because people can pause and be waited for."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING_APPROVAL = "waiting_approval"
    PAUSED = "paused"
    BAKING = "baking"
    SUCCEEDED = "succeeded"
    ABORTED = "aborted"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    STUCK = "stuck"


@dataclass(frozen=True, slots=True)
class Row:
    """One phase. `commands`: what a person may ask for while it lasts."""

    phase: Phase
    does: str
    status: Status
    next: Phase | None
    on_failure: Phase | None
    exposed: bool
    commands: frozenset[str]

    @property
    def end(self) -> bool:
        return self.next is None


def _row(phase: Phase, does: str, status: Status, next: Phase | None, on_failure: Phase | None, exposed: bool, commands: str) -> Row:
    return Row(phase, does, status, next, on_failure, exposed, frozenset(commands.split()))


TABLE: dict[Phase, Row] = {
    row.phase: row
    for row in (
        _row(Phase.GATES, "ask every gate on the source", Status.RUNNING, Phase.BUILD, Phase.ABORTING, False, "abort pause resume promote"),
        _row(Phase.BUILD, "copy the source and prepare it, once", Status.RUNNING, Phase.EXPAND, Phase.ABORTING, False, "abort pause resume"),
        _row(Phase.EXPAND, "ask the gates on the artefact, add to the database what the new version needs and the old one can live with", Status.RUNNING, Phase.START, Phase.ABORTING, False, "abort pause resume promote"),
        _row(Phase.START, "ask the gates on the artefact, start it on the idle environment, open the test route", Status.RUNNING, Phase.CHECKS, Phase.ABORTING, False, "abort pause resume promote"),
        _row(Phase.CHECKS, "ask every check through the test route", Status.RUNNING, Phase.BACKFILL, Phase.ABORTING, False, "abort pause resume"),
        _row(Phase.BACKFILL, "fill what was added, in small steps, and verify it", Status.RUNNING, Phase.APPROVE, Phase.ABORTING, False, "abort pause resume"),
        _row(Phase.APPROVE, "wait for the gates before the traffic: people, and the hour", Status.RUNNING, Phase.SHIFT, Phase.ABORTING, False, "abort pause resume promote"),
        _row(Phase.SHIFT, "move the traffic, in the file's steps", Status.RUNNING, Phase.BAKE, Phase.ROLLING_BACK, True, "rollback promote pause resume"),
        _row(Phase.BAKE, "watch it under real traffic, both up", Status.BAKING, Phase.SUCCEEDED, Phase.ROLLING_BACK, True, "rollback promote pause resume"),
        _row(Phase.SUCCEEDED, "it is live; while the old one is warm, the way back is open", Status.SUCCEEDED, None, None, True, "rollback retire"),
        _row(Phase.ABORTING, "remove the candidate; the baseline was never touched", Status.RUNNING, Phase.ABORTED, None, False, ""),
        _row(Phase.ABORTED, "over; the baseline serves", Status.ABORTED, None, None, False, ""),
        _row(Phase.ROLLING_BACK, "traffic back first, everything else later", Status.ROLLING_BACK, Phase.ROLLED_BACK, None, True, ""),
        _row(Phase.ROLLED_BACK, "over; the baseline serves", Status.ROLLED_BACK, None, None, True, ""),
        _row(Phase.FAILED, "over; there was no version to go back to, the candidate keeps the traffic", Status.FAILED, None, None, True, ""),
    )
}

ENDS = frozenset(row.phase for row in TABLE.values() if row.end)


def arrows() -> tuple[tuple[Phase, Phase, str], ...]:
    """Every permitted move, with what causes it: `done`, `failure` or `rollback`."""
    moves: list[tuple[Phase, Phase, str]] = []
    for row in TABLE.values():
        if row.next:
            moves.append((row.phase, row.next, "done"))
        if row.on_failure:
            moves.append((row.phase, row.on_failure, "failure"))
    moves.append((Phase.BUILD, Phase.START, "done, and no migrations"))
    moves.append((Phase.CHECKS, Phase.APPROVE, "done, and no migrations"))
    moves.append((Phase.CHECKS, Phase.SHIFT, "done, no migrations, and nobody has to approve"))
    moves.append((Phase.BACKFILL, Phase.SHIFT, "done, and nobody has to approve"))
    moves.append((Phase.SHIFT, Phase.SHIFT, "next step"))
    moves.append((Phase.SHIFT, Phase.FAILED, "failure, and no baseline"))
    moves.append((Phase.BAKE, Phase.FAILED, "failure, and no baseline"))
    moves.append((Phase.SUCCEEDED, Phase.ROLLING_BACK, "rollback"))
    moves.append((Phase.ROLLING_BACK, Phase.FAILED, "the route was accepted as it is"))
    return tuple(moves)


def may_move(here: Phase, there: Phase) -> bool:
    return any(a is here and b is there for a, b, _ in arrows())
