"""`greenroom db …`: what is judged, how it is shown, and the end of the old, against a fake world with a real engine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from greenroom.cli.database_judge import page as judged_page
from greenroom.cli.database_steer import page as status_page
from greenroom.cli.database_steer import status_document
from greenroom.cli.lines import Line
from greenroom.cli.screens import Teller
from greenroom.cli.text import Ink
from greenroom.domain.model import Verdict
from greenroom.domain.plan import MIGRATING
from greenroom.domain.release import Service
from greenroom.domain.schema import Part, Progress, Ruled, Ruling, SchemaState, Stage, Stand, report
from tests.cli.office import PLAN, Office

PLAIN = Ink(False)
MIGRATES = replace(PLAN, gates=MIGRATING)


@pytest.fixture
def office(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Office:
    return Office(tmp_path, capsys.readouterr, MIGRATES)


def ruled(line: int, ruling: Ruling, **more: Any) -> Ruled:
    usual = {
        "rule": "drop-column",
        "reason": "Version 41 still writes `users.old`.",
        "instead": "put it into contract.sql",
    }
    told = usual if ruling is not Ruling.ALLOW else {}
    return Ruled(
        "migrations/0007_new/expand.sql", line, "ALTER TABLE users\n  DROP COLUMN old", ruling, **{**told, **more}
    )


# --- judging


def sql(folder: Path, text: str) -> str:
    path = folder / "change.sql"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("text", "phase", "code", "verdict"),
    [
        ("ALTER TABLE users ADD COLUMN preference text;", "expand", 0, "allow"),
        ("ALTER TABLE users DROP COLUMN preference;", "expand", 4, "refuse"),
        ("ALTER TABLE users DROP COLUMN preference;", "contract", 0, "allow"),
        (
            "-- greenroom: allow drop-index: nobody needs it\nDROP INDEX CONCURRENTLY users_by_name;",
            "expand",
            8,
            "warn",
        ),
    ],
)
def test_one_file_is_judged_without_a_service(
    office: Office, tmp_path: Path, text: str, phase: str, code: int, verdict: str
) -> None:
    file = sql(tmp_path, text)
    done = office.type("db", "check", file, "--phase", phase, "--json")
    document = json.loads(done.out)
    assert (done.code, document["exit"], document["verdict"]) == (code, code, verdict), done
    [statement] = document["statements"]
    assert set(statement) >= {"file", "line", "sql", "verdict", "rule", "reason", "instead"}
    assert statement["file"] == file


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"SELECT 'abc;\n", "change.sql:1:8: a string begins here and never ends"),
        (b"SELECT '\xe9';\n", "change.sql is not UTF-8 (byte 8)"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_its_place(
    office: Office, tmp_path: Path, content: bytes, says: str
) -> None:
    (tmp_path / "change.sql").write_bytes(content)
    done = office.type("db", "check", str(tmp_path / "change.sql"), "--phase", "expand")
    assert done.code == 2
    assert says in done.err


def test_a_missing_file_an_unknown_phase_and_an_unknown_verb_are_usage(office: Office, tmp_path: Path) -> None:
    assert office.type("db", "check", str(tmp_path / "none.sql"), "--phase", "expand").code == 2
    assert office.type("db", "check", sql(tmp_path, "SELECT 1"), "--phase", "later").code == 2
    unknown = office.type("db", "chek")
    assert unknown.code == 2
    assert "did you mean `check`?" in unknown.err


def test_a_shadow_of_another_kind_is_refused(office: Office, tmp_path: Path) -> None:
    file = sql(tmp_path, "SELECT 1")
    done = office.type("db", "check", file, "--phase", "expand", "--dialect", "mysql", "--shadow", "postgresql://h/x")
    assert done.code == 2
    assert "not rehearsed on a server of another kind" in done.err


@pytest.mark.parametrize("width", [80, 120])
def test_what_is_judged_is_shown_with_reason_way_out_and_sum(width: int) -> None:
    found = [
        ruled(1, Ruling.ALLOW),
        ruled(3, Ruling.REFUSE, locks=("ACCESS EXCLUSIVE on users: keeps out reads and writes",)),
        ruled(7, Ruling.WARN, rows=12_000_000, bytes=3_400_000_000, seconds=340.0, override="ann: a quiet hour"),
    ]
    lines = judged_page(report(found), "shop: the migrations that have not run yet", width, PLAIN)
    text = "\n".join(lines)
    assert max(map(len, lines)) <= width
    assert "  ✗     3  ALTER TABLE users DROP COLUMN old" in text
    assert "[drop-column] Version 41 still writes `users.old`." in text
    assert "instead: put it into contract.sql" in text
    assert "12,000,000 rows, 3.4 GB: about 5 min 40 s" in text
    assert "allowed all the same: ann: a quiet hour" in text
    assert lines[-1].strip().startswith("✗ 1 of 3 refused")
    assert text.count("migrations/0007_new/expand.sql") == 1


def test_the_worst_verdict_makes_the_exit_code() -> None:
    assert report([])["exit"] == 0
    assert report([ruled(1, Ruling.ALLOW), ruled(2, Ruling.WARN)])["exit"] == 8
    assert report([ruled(1, Ruling.WARN), ruled(2, Ruling.REFUSE)])["exit"] == 4


def test_a_statement_is_shown_once_with_all_that_is_said_of_it() -> None:
    found = [ruled(3, Ruling.WARN, rule="large-table"), ruled(3, Ruling.REFUSE), ruled(9, Ruling.ALLOW)]
    document = report(found)
    first, second = document["statements"]
    assert (first["line"], first["verdict"], first["rule"]) == (3, "refuse", "drop-column")
    assert [one["rule"] for one in first["also"]] == ["large-table"]
    assert "also" not in second
    text = "\n".join(judged_page(document, "x", 100, PLAIN))
    assert "[large-table]" in text
    assert "1 of 2 refused" in text


def test_db_plan_asks_the_migrator_for_what_is_left(office: Office) -> None:
    assert office.schema is not None
    office.schema.judged = (ruled(3, Ruling.REFUSE),)
    done = office.type("db", "plan")
    assert done.code == 4
    assert "1 of 1 refused" in done.out


def test_plan_says_that_the_migrations_would_be_refused_and_not_that_all_is_well(office: Office) -> None:
    assert office.schema is not None
    assert "✓ without downtime" in office.type("plan", "2").out
    office.schema.judged = (ruled(1, Ruling.WARN), ruled(3, Ruling.REFUSE), ruled(4, Ruling.REFUSE))
    done = office.type("plan", "2")
    text = " ".join(done.out.split())
    assert done.code == 0  # it would begin
    assert "on blue, and be refused" in text
    assert "✗ the migrations would be refused: migrations/0007_new/expand.sql:3:" in text
    assert "drop-column: Version 41 still writes `users.old`. 1 more; `greenroom db plan` tells all" in text
    assert "without downtime" not in text
    assert max(map(len, done.out.splitlines())) <= 80
    assert len(json.loads(office.type("plan", "2", "--json").out)["refused"]) == 2
    office.schema.unreachable = "nobody listens at 127.0.0.1:5432"
    assert "could not be judged now: nobody listens at 127.0.0.1:5432" in " ".join(office.type("plan", "2").out.split())


def test_without_migrations_the_verbs_say_what_to_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = Office(tmp_path, capsys.readouterr)
    for words in (("db", "plan"), ("db", "status")):
        done = bare.type(*words)
        assert done.code == 2
        assert "has no `migrations:`" in done.err
        assert "migrations: {url:" in done.err


# --- status


def parts() -> SchemaState:
    return SchemaState(
        (
            Part("0006_index", Stage.EXPAND, Stand.DONE, since=1000.0),
            Part("0007_new", Stage.EXPAND, Stand.DONE, since=2000.0),
            Part("0007_new", Stage.BACKFILL, Stand.RUNNING, progress=Progress(400_000, 1_000_000, 12_000.0, 50.0)),
            Part("0007_new", Stage.CONTRACT, Stand.PENDING),
        )
    )


@pytest.mark.parametrize("width", [80, 120])
def test_every_migration_with_its_three_stages(width: int) -> None:
    lines = status_page(status_document("shop", parts(), Service(), 3000.0), width, PLAIN)
    text = "\n".join(lines)
    assert max(map(len, lines)) <= width
    assert "shop: 2 migrations in the ledger" in text
    assert "0007_new: 400,000 of about 1,000,000 rows, 12,000 a second, 50 s left" in text
    [line] = [line for line in lines if line.startswith("  0007_new ")]
    assert ["✓ done" in line, "▸ runs" in line, "· waits" in line] == [True] * 3


def test_what_a_release_that_is_over_has_begun_does_not_run_but_has_stopped_and_goes_on_how(office: Office) -> None:
    assert office.schema is not None
    office.type("deploy", "1")
    office.schema.refused[Stage.BACKFILL] = "3 rows still differ"
    assert office.type("deploy", "2").code == 4
    begun = Part("0007_new", Stage.BACKFILL, Stand.RUNNING, "r-0002", progress=Progress(400_000, 1_000_000, 12_000.0))
    ours = Part("0008_old", Stage.CONTRACT, Stand.RUNNING, "r-0001")
    document = status_document("shop", SchemaState((begun, ours)), office.control.state(), office.clock.now())
    assert document["migrations"][0]["stopped"].startswith("stopped with r-0002 (aborted)")
    text = " ".join(" ".join(status_page(document, 80, PLAIN)).split())
    assert "! stopped" in text
    assert "▸ runs" not in text
    assert "a second" not in text
    assert (
        "0007_new: its backfill stopped with r-0002 (aborted), and what is done stays; `greenroom deploy VERSION`"
        in text
    )
    assert "0008_old: its contract is half done, and nobody goes on with it; `greenroom db contract` does" in text
    office.schema.refused.clear()
    office.schema.asks = 1000
    office.type("deploy", "3", "--detach")
    office.sleep(5.0)
    running = replace(begun, release="r-0003")
    document = status_document("shop", SchemaState((running,)), office.control.state(), office.clock.now())
    assert document["migrations"][0]["stopped"] == ""


# --- a refusal at three in the morning

REFUSED = (
    "migrations/0007_new/expand.sql:1: drop-column: Version 41 may still use `users.old`, and its reads and writes would"
    " fail while both run; instead: put it into contract.sql (2 more are refused)"
)


def test_a_long_reason_is_told_once_and_then_in_short(office: Office) -> None:
    assert office.schema is not None
    office.type("deploy", "1")
    office.schema.refused[Stage.EXPAND] = REFUSED
    done = office.type("deploy", "2")
    assert done.code == 4
    assert done.out.count("its reads and writes would fail") == 1
    assert done.out.count("expand: as above") == 2
    assert "`greenroom db plan`" in done.out
    assert max(map(len, done.out.splitlines()[-2:])) < 250
    document = json.loads(office.type("deploy", "3", "--json").out)
    assert document["release"]["reason"] == f"expand: {REFUSED}"
    assert office.type("show").out.count("its reads and writes would fail") == 1


@pytest.mark.parametrize("width", [80, 120])
def test_on_a_terminal_long_lines_hang_under_their_text_and_a_log_gets_them_whole(width: int) -> None:
    line = Line(0.0, "✗", "gate", f"expand: {REFUSED}", (REFUSED,), "red")
    whole = Teller(PLAIN).tell(line)
    assert [text.endswith(REFUSED) for text in whole] == [True, True]
    told = Teller(PLAIN, lambda: width).tell(line)
    assert max(map(len, told)) <= width
    assert " ".join(" ".join(told).split()) == " ".join(" ".join(whole).split())
    assert {len(text) - len(text.lstrip()) for text in told[1:]} == {15, 25}


def test_a_database_that_cannot_be_seen_is_said_and_is_exit_6() -> None:
    document = status_document("shop", SchemaState(unseen="nobody listens at 127.0.0.1:5432"), Service(), 0.0)
    assert document["exit"] == 6
    assert "nobody listens at 127.0.0.1:5432" in "".join(status_page(document, 80, PLAIN))


# --- the contract


def live(office: Office) -> None:
    assert office.type("deploy", "1").code == 0
    assert office.type("deploy", "2").code == 0


def test_status_says_until_when_a_rollback_is_safe(office: Office) -> None:
    live(office)
    assert "rollback safe until" in office.type("status").out
    document = json.loads(office.type("status", "--json").out)
    assert document["schema"]["rollback_safe_until"] == document["warm"]["until"]


def test_a_contract_before_its_time_is_refused_with_the_way_out(office: Office) -> None:
    live(office)
    done = office.type("db", "contract")
    assert done.code == 4
    assert "1 is warm on blue, and may be needed again" in done.err
    assert "--close-window" in done.err


def test_giving_up_the_way_back_needs_a_reason(office: Office) -> None:
    live(office)
    assert office.type("db", "contract", "--close-window").code == 2
    assert office.type("db", "contract", "--allow", "code").code == 2


def test_the_window_is_closed_and_the_old_goes(office: Office) -> None:
    live(office)
    done = office.type("db", "contract", "--close-window", "--why", "nobody goes back")
    assert done.code == 0, done
    assert office.schema is not None
    assert office.schema.done[Stage.CONTRACT] == "2"
    back = office.type("rollback")
    assert back.code == 4
    assert "contract, asked for by ann@shop: contract is done" in office.type("status").out


def test_the_way_back_is_not_given_up_for_a_contract_that_would_be_refused(office: Office) -> None:
    live(office)
    assert office.schema is not None
    office.schema.foreseen = ("0007_new: app.py:20 names what goes [code]", "0007_new: more")
    done = office.type("db", "contract", "--close-window", "--why", "now")
    assert done.code == 4
    assert "refused: 0007_new: app.py:20 names what goes [code]" in done.out
    assert office.control.state().warm is not None
    assert office.type("rollback").code == 0


def test_a_place_at_which_nothing_stands_against_it_is_told(office: Office) -> None:
    live(office)
    assert office.schema is not None
    office.schema.foreseen = ("0007_new: the code names what goes: app.py:20: x.old [code]",)
    for place, code in (("app.py:21", 2), ("app.py:20", 0)):
        done = office.type("db", "contract", "--close-window", "--allow", place, "--why", "never called")
        assert done.code == code, done
        if code:
            assert "--allow app.py:21: nothing stands against the contract there" in done.err
            assert "app.py:20: x.old [code]" in done.err
            assert office.control.state().contract is None


@pytest.mark.parametrize(("verdict", "code"), [(Verdict.FAIL, 4), (Verdict.UNKNOWN, 6)])
def test_what_stands_against_it_is_said(office: Office, verdict: Verdict, code: int) -> None:
    live(office)
    assert office.schema is not None
    office.schema.verdict = verdict
    office.schema.refused[Stage.CONTRACT] = "pid 7 is still connected [old-sessions]"
    done = office.type("db", "contract", "--close-window", "--why", "now")
    assert done.code == code, done
    assert "pid 7 is still connected [old-sessions]" in done.out


def test_while_it_is_watched_the_command_ends_with_7(office: Office) -> None:
    live(office)
    assert office.schema is not None
    office.schema.asks = 10_000
    done = office.type("db", "contract", "--close-window", "--why", "now")
    assert done.code == 7, done
    assert "the engine goes on with it" in done.out


def test_restore_puts_back_what_is_out_of_reach(office: Office) -> None:
    live(office)
    assert office.schema is not None
    office.schema.asks = 10_000
    office.type("db", "contract", "--close-window", "--why", "now")
    back = office.type("db", "restore")
    assert (back.code, office.control.state().contract) == (0, None)
    assert "The contract was taken back" in back.out
    none = office.type("db", "restore")
    assert none.code == 4
    assert "nothing is out of reach" in none.err
    office.type("db", "contract")
    office.schema.hidden = ("0007_new",)
    done = office.type("db", "restore", "--why", "a report still reads it")
    assert done.code == 0, done
    assert office.schema.restored == ["0007_new"]
    assert office.control.state().contract is None
