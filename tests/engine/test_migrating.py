"""The shared database in a release: before the start, before the traffic, and once nobody can need the old any more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from greenroom.domain.commands import Allowed, Already, Not
from greenroom.domain.model import Colour, Verdict
from greenroom.domain.phases import Phase
from greenroom.domain.plan import MIGRATING, Gate, Plan, When
from greenroom.domain.records import Moved
from greenroom.domain.schema import Stage as SchemaStage
from greenroom.domain.status import release_document, schema_document
from tests.engine.scenarios import SHORT
from tests.engine.stage import Stage, findings

PLAN = replace(SHORT, gates=MIGRATING)


def staged(plan: Plan = PLAN) -> Stage:
    stage = Stage(plan=plan)
    stage.established()
    stage.deploy("2.0")
    return stage


def phases(stage: Stage) -> list[Phase]:
    release = stage.service.release
    assert release is not None
    moves = [e.record for e in stage.journal.read() if isinstance(e.record, Moved) and e.record.release == release.id]
    return [move.to for move in moves]


def notes(stage: Stage) -> list[str]:
    return [text for _, text in stage.world.audit]


def test_expand_comes_before_the_start_and_the_backfill_before_any_traffic() -> None:
    stage = staged()
    assert stage.until_ended().phase is Phase.SUCCEEDED
    assert phases(stage)[:6] == [
        Phase.EXPAND,
        Phase.START,
        Phase.CHECKS,
        Phase.BACKFILL,
        Phase.SHIFT,
        Phase.BAKE,
    ]
    told = notes(stage)
    expanded, filled = told.index("expand of 2.0 is done"), told.index("backfill of 2.0 is done")
    assert expanded < told.index("start green (2.0, idle)") < filled < told.index("live: blue 0 · green 100")
    assert SchemaStage.CONTRACT not in stage.migrator.done
    stage.assert_sound()


def test_without_migrations_neither_phase_is_entered() -> None:
    stage = staged(SHORT)
    stage.until_ended()
    assert not {Phase.EXPAND, Phase.BACKFILL} & set(phases(stage))


def test_gates_on_the_artefact_are_asked_before_the_database_is_touched() -> None:
    stage = Stage(plan=replace(PLAN, gates=(Gate("scan", When.ARTEFACT), *MIGRATING)))
    stage.established()
    scan = stage.gates["scan"]
    scan.answers = findings("fail")  # type: ignore[union-attr]
    stage.deploy("2.0")
    assert stage.until_ended().phase is Phase.ABORTED
    assert stage.migrator.done == {}


@pytest.mark.parametrize("at", [SchemaStage.EXPAND, SchemaStage.BACKFILL])
def test_what_is_refused_ends_the_release_and_the_baseline_keeps_serving(at: SchemaStage) -> None:
    stage = Stage(plan=PLAN)
    stage.established()
    stage.migrator.refused[at] = "7.sql:3: 1.0 still writes `users.name` [drop-column]"
    stage.deploy("2.0")
    release = stage.until_ended()
    assert (release.phase, stage.serves()) == (Phase.ABORTED, "1.0")
    assert release.failure == f"{at}: 7.sql:3: 1.0 still writes `users.name` [drop-column]"
    stage.assert_sound()


def test_its_progress_is_the_sentence_of_the_release() -> None:
    stage = staged()
    stage.migrator.asks = 50
    stage.run(60.0, stage.in_phase(Phase.BACKFILL, "2.0"))
    stage.run(3.0)
    release = stage.service.release
    assert release is not None
    assert str(release_document(stage.service, release, stage.clock.now())["reason"]).startswith("backfill: statement ")


def test_an_aborted_backfill_is_ended() -> None:
    stage = staged()
    stage.migrator.asks = 1000
    stage.when(stage.in_phase(Phase.EXPAND), lambda: setattr(stage.migrator, "asks", 1))
    stage.run(60.0, stage.in_phase(Phase.BACKFILL, "2.0"))
    stage.migrator.asks = 1000
    stage.run(1.0)
    stage.request("abort")
    assert stage.until_ended().phase is Phase.ABORTED
    assert stage.migrator.withdrawn == [SchemaStage.BACKFILL]


def test_no_contract_while_the_version_before_is_warm() -> None:
    stage = staged()
    stage.until_ended()
    answer = stage.request("contract")
    assert isinstance(answer, Not)
    assert "1.0 is warm on blue" in answer.text
    assert "--close-window" in answer.hint
    document = schema_document(stage.service, stage.clock.now())
    assert document is not None
    assert document["rollback_safe_until"] == stage.service.warm.until  # type: ignore[union-attr]


def test_no_contract_while_a_release_runs_or_nothing_is_live() -> None:
    stage = staged()
    running = stage.request("contract")
    assert isinstance(running, Not)
    assert running.exit_code == 5
    empty = Stage(plan=PLAN).request("contract")
    assert isinstance(empty, Not)
    assert empty.text.startswith("nothing is live")


def test_once_the_old_has_gone_the_contract_is_carried_out() -> None:
    stage = staged()
    stage.until_ended()
    assert isinstance(stage.request("retire"), Allowed)
    assert isinstance(stage.request("contract"), Allowed)
    assert isinstance(stage.request("contract"), Already)
    assert isinstance(stage.request("rollback"), Not)
    stage.run(60.0, lambda s: s.service.contract is not None and not s.service.contract.open)
    assert stage.migrator.done[SchemaStage.CONTRACT] == "2.0"
    assert stage.world.groups[Colour.BLUE] is None
    asked = stage.service.contract
    assert asked is not None
    assert asked.judged is not None
    assert (asked.by, asked.judged.verdict) == ("ann", Verdict.PASS)
    back = stage.request("rollback")
    assert isinstance(back, Not)
    assert "what it needs of the database is gone (asked for by ann)" in back.text
    assert "the way is forward" in back.hint
    stage.assert_sound()


def test_a_version_of_before_the_contract_is_not_released_again() -> None:
    stage = staged()
    stage.until_ended()
    stage.request("retire")
    stage.request("contract")
    stage.run(60.0, lambda s: s.service.contracted is not None)
    stage.deploy("3.0")
    stage.until_ended()
    again = stage.deploy("1.0")
    assert isinstance(again, Not)
    assert again.text.startswith("1.0 served before something was taken from the database")
    assert isinstance(stage.deploy("3.1"), Allowed)


def test_a_refused_contract_may_be_asked_for_again_with_its_excuse() -> None:
    stage = staged()
    stage.until_ended()
    stage.request("retire")
    stage.migrator.refused[SchemaStage.CONTRACT] = "nobody can say whether these are of the old version [old-sessions]"
    stage.request("contract")
    stage.run(30.0, lambda s: s.service.contract is not None and not s.service.contract.open)
    refused = stage.service.contract
    assert refused is not None
    assert refused.judged is not None
    assert refused.judged.verdict is Verdict.FAIL
    stage.migrator.refused.clear()
    stage.request("contract", allow={"old-sessions": "I looked"})
    stage.run(30.0, lambda s: SchemaStage.CONTRACT in s.migrator.done)
    assert stage.migrator.overrides == {"old-sessions": "I looked"}


def test_it_is_asked_for_by_itself_where_the_file_says_so_once_a_release() -> None:
    stage = staged(replace(PLAN, contracts=True))
    stage.until_ended()
    stage.run(PLAN.keep_warm - 1.0)
    assert SchemaStage.CONTRACT not in stage.migrator.done
    stage.run(30.0)
    assert stage.migrator.done[SchemaStage.CONTRACT] == "2.0"
    done = notes(stage).count("contract of 2.0 is done")
    stage.run(60.0)
    assert notes(stage).count("contract of 2.0 is done") == done == 1
    stage.deploy("3.0", contracts=True)
    stage.until_ended()
    stage.run(PLAN.keep_warm + 30.0)
    assert stage.migrator.done[SchemaStage.CONTRACT] == "3.0"
    stage.assert_sound()


def test_a_contract_that_waits_lets_the_next_release_begin_and_goes_on_after_it() -> None:
    stage = staged()
    stage.until_ended()
    stage.request("retire")
    stage.migrator.asks = 100000
    stage.request("contract")
    stage.run(20.0)
    stage.migrator.asks = 1
    stage.deploy("3.0")
    stage.until_ended()
    assert SchemaStage.CONTRACT not in stage.migrator.done
    stage.run(PLAN.keep_warm + 20.0)
    assert stage.migrator.done[SchemaStage.CONTRACT] == "3.0"
    stage.assert_sound()


@pytest.mark.parametrize("at_work", [True, False])
def test_a_contract_that_is_at_work_ends_before_a_release_does_anything(at_work: bool) -> None:
    """Also where nothing was heard of it yet. It is asked for again when the release is over."""
    stage = staged()
    stage.until_ended()
    stage.request("retire")
    stage.migrator.asks = 100000
    stage.request("contract")
    if at_work:
        stage.run(20.0)
    stage.deploy("3.0")
    stage.run(1.0)
    assert stage.migrator.withdrawn == [SchemaStage.CONTRACT]
    asked = stage.service.contract
    assert asked is not None
    assert asked.judged is not None
    assert (asked.open, asked.judged.reason) == (True, "release r-0003 has begun; it goes on when that is over")
    stage.migrator.asks = 1
    stage.until_ended()
    assert stage.migrator.withdrawn == [SchemaStage.CONTRACT]
    stage.run(PLAN.keep_warm + 20.0)
    assert stage.migrator.done[SchemaStage.CONTRACT] == "3.0"
    stage.assert_sound()


def test_what_the_release_was_asked_with_is_told_to_the_migrator() -> None:
    """Up to the contract. A journal of before knows no checksums."""
    stage = Stage(plan=PLAN)
    stage.established()
    stage.request("deploy", version="2.0", plan=PLAN.document(), definition={}, migrations={"0001_one": "abc"})
    stage.until_ended()
    assert stage.migrator.pinned == {"0001_one": "abc"}
    stage.request("retire")
    stage.migrator.pinned = None
    stage.request("contract")
    stage.run(30.0, lambda s: SchemaStage.CONTRACT in s.migrator.done)
    assert stage.migrator.pinned == {"0001_one": "abc"}
    stage.deploy("3.0")
    stage.until_ended()
    assert stage.migrator.pinned is None
    stage.assert_sound()


def test_a_way_back_that_is_over_does_not_keep_a_later_contract_waiting() -> None:
    stage = staged()
    stage.until_ended()
    stage.request("rollback")
    stage.until_ended()
    stage.migrator.going_back = "r-0002"  # as the command announced it
    stage.run(30.0)
    stage.request("contract")
    stage.run(30.0, lambda s: SchemaStage.CONTRACT in s.migrator.done)
    assert stage.migrator.going_back == ""
    assert stage.migrator.done[SchemaStage.CONTRACT] == "1.0"


def test_restore_takes_the_wish_back() -> None:
    stage = staged()
    stage.until_ended()
    stage.request("retire")
    stage.migrator.asks = 100000
    stage.request("contract")
    stage.run(20.0)
    stage.request("restore")
    stage.run(20.0)
    assert stage.service.contract is None
    assert SchemaStage.CONTRACT not in stage.migrator.done


def test_while_a_contract_is_open_the_version_before_is_not_released_again() -> None:
    stage = staged()
    stage.until_ended()
    stage.request("retire")
    stage.migrator.asks = 100000
    stage.request("contract")
    stage.run(20.0)
    again = stage.deploy("1.0")
    assert isinstance(again, Not)
    assert again.hint.startswith("`greenroom db restore` takes back a contract")
    stage.request("restore")
    assert isinstance(stage.deploy("1.0"), Allowed)


def test_what_is_live_without_having_succeeded_starts_no_contract_by_itself() -> None:
    stage = staged(replace(PLAN, contracts=True, bake=60.0))
    stage.run(60.0, stage.in_phase(Phase.BAKE, "2.0"))
    stage.request("rollback")
    stage.run(60.0, stage.in_phase(Phase.ROLLING_BACK, "2.0"))
    stage.request("reconcile", accept=True)
    stage.run(200.0)
    assert not stage.service.proven or stage.service.active.version == "1.0"  # type: ignore[union-attr]
    assert stage.migrator.done.get(SchemaStage.CONTRACT) in (None, "1.0")
    stage.assert_sound()
