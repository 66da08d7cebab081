"""Files of SQL as a migrator: the job in the background, what it answers, what it leaves behind; on SQLite, where it can."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import ValidationError

from greenroom.adapters.database.job import SETTINGS, Answer, Ask, Work
from greenroom.adapters.database.settings import SqlSettings
from greenroom.adapters.database.sqlite.target import SqliteTarget
from greenroom.adapters.database.target import beside
from greenroom.adapters.database.work import answer, refusal
from greenroom.adapters.gates.schema import SchemaGate
from greenroom.adapters.migrators.sql import KEPT, SqlMigrator
from greenroom.domain.model import Verdict
from greenroom.domain.opinion import Finding
from greenroom.domain.plan import MIGRATING
from greenroom.domain.schema import Order, Ruled, Ruling, Stage, Stand
from greenroom.errors import Permanent
from greenroom.migrating import place_of
from greenroom.ports import Place
from tests.engine.scenarios import SHORT
from tests.engine.stage import Stage as EngineStage
from tests.rigs import postgres
from tests.rigs.migrating import Base, order, until
from tests.rigs.postgres import Cluster

EXPAND = "ALTER TABLE users ADD COLUMN new TEXT;\n"


class Service:
    """A folder with migrations and a database in a file."""

    def __init__(self, folder: Path, url: str = "", **settings: Any) -> None:
        self.folder = folder
        self.file = folder / "shop.db"
        with contextlib.closing(sqlite3.connect(self.file)) as db:
            db.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, old TEXT)")
        self.settings = SqlSettings.model_validate({"url": url or f"sqlite:///{self.file}", **settings})
        self.place = Place("shop", folder / "greenroom.yaml", folder / ".greenroom")
        self.migrator = SqlMigrator(self.settings, self.place)

    def write(self, name: str, text: str) -> None:
        path = self.folder / "migrations" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def columns(self) -> list[str]:
        with contextlib.closing(sqlite3.connect(self.file)) as db:
            return [row[1] for row in db.execute("PRAGMA table_info(users)")]

    def answer(self, stage: Stage = Stage.EXPAND, given: Order | None = None) -> Answer:
        """What the job comes to, here and now."""
        ask = Ask(stage, given or order(), str(self.folder / "migrations"), "migrations")
        return answer(ask, self.settings, lambda text: None)

    def jobs(self) -> list[int]:
        """Processes that are at work, or were just begun."""
        found = (self.folder / ".greenroom/migrations/work").glob("*/job.json")
        return [json.loads(path.read_text())["pid"] for path in found]

    def drive(self, stage: Stage = Stage.EXPAND, given: Order | None = None) -> Finding:
        memo: Mapping[str, Any] | None = None
        deadline = time.monotonic() + 60.0
        while time.monotonic() < deadline:
            finding = self.migrator.advance(stage, given or order(), memo)
            if finding.verdict is not Verdict.WAIT:
                return finding
            memo = finding.memo
            time.sleep(0.05)
        raise AssertionError("no verdict")


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path)


# --- what is wrong before anything runs ---------------------------------------------------------------------------


def test_problems_of_files_and_backfills_and_addresses(tmp_path: Path) -> None:
    service = Service(tmp_path, backfill={"replicas": ["postgresql://ann@host:port/shop"]})
    service.write("0007_a/expand.sql", "SELECT 'never closed")
    service.write("0008_b/backfill.sql", "DELETE FROM users")
    service.write("0009_c/backfill.yaml", "tabel: users")
    service.write("stray.sql", EXPAND)
    problems = service.migrator.problems()
    starts = ("migrations/stray.sql", "migrations/0007_a/expand.sql:1:8", "migrations/0008_b/backfill.sql:1",
              "migrations/0009_c/backfill.yaml", "migrations.replicas")  # fmt: skip
    assert len(problems) == len(starts)
    assert all(any(problem.startswith(start) for problem in problems) for start in starts), problems


def test_nothing_is_wrong(service: Service) -> None:
    service.write("0007_a/expand.sql", EXPAND)
    service.write("0007_a/backfill.yaml", "table: users\nset: {new: old}")
    assert service.migrator.problems() == []


@pytest.mark.parametrize("url", ["", "shop.db", "oracle://h/x", "postgres:/h/x"])
def test_an_address_that_is_none_is_refused_with_the_file(url: str) -> None:
    with pytest.raises(ValidationError) as caught:
        SqlSettings.model_validate({"url": url})
    assert "url" in str(caught.value)


def test_the_settings_reach_the_job_whole(tmp_path: Path) -> None:
    """By JSON, with their units."""
    given = SqlSettings.model_validate(
        {
            "url": "sqlite:///x.db",
            "lock_timeout": "50ms",
            "tries": 3,
            "soft_drop": "1h",
            "large": "1GB",
            "shadow": "",
            "backfill": {"batch_time": "40ms", "share": "50%"},
        }
    )
    assert SqlSettings.model_validate_json(given.model_dump_json()) == given
    assert (given.pace.lock_timeout, given.pace.tries) == (0.05, 3)


# --- what the job answers --------------------------------------------------------------------------------------------


def test_every_end_is_an_answer(service: Service) -> None:
    service.write("0007_a/expand.sql", EXPAND)
    assert service.answer().finding == Finding(Verdict.PASS, "0007_a: 1 statements")
    assert service.answer().finding == Finding(Verdict.PASS, "nothing was left to do")


def test_the_first_refusal_stands_in_the_reason_and_the_others_beside_it() -> None:
    refused = [
        Ruled("m/expand.sql", 3, "DROP TABLE x", Ruling.REFUSE, "drop-table", "Version 41 uses it.", "wait"),
        Ruled("m/expand.sql", 9, "DROP TABLE y", Ruling.REFUSE, "drop-table", "Version 41 uses it too."),
    ]
    found = refusal(refused)
    assert found.reason == "m/expand.sql:3: drop-table: Version 41 uses it; instead: wait (1 more are refused)"
    assert found.evidence[-1] == "m/expand.sql:9: drop-table: Version 41 uses it too"


def test_what_a_backfill_declares_is_judged_as_what_it_does(service: Service) -> None:
    service.write("0007_a/expand.sql", EXPAND)
    service.write("0007_a/backfill.yaml", "table: users\nset: {new: upper(old)}\nwhere: id > 3\n")
    told = service.migrator.judge([Stage.BACKFILL], order())
    sql = "UPDATE users SET new = (upper(old)) WHERE id > 3"
    about = ("migrations/0007_a/backfill.yaml", sql, "backfill-not-in-step")
    assert [(one.file, one.sql, one.rule, one.ruling) for one in told] == [(*about, Ruling.REFUSE)]
    allow = "allow: {backfill-not-in-step: nobody writes it any more}\n"
    service.write("0007_a/backfill.yaml", f"table: users\nset: {{new: upper(old)}}\nwhere: id > 3\n{allow}")
    [one] = service.migrator.judge([Stage.BACKFILL], order())
    assert (one.ruling, one.override) == (Ruling.WARN, "nobody writes it any more")
    service.write("0007_a/backfill.yaml", "table: users\nset: {new: old}\nallow: {backfill-not-in-step: ' '}\n")
    assert "has no reason" in service.migrator.problems()[0]


def test_a_statement_that_fails(service: Service) -> None:
    service.write("0007_a/expand.sql", f"{EXPAND}CREATE TABLE users (id INTEGER);\n")
    found = service.answer().finding
    assert found.verdict is Verdict.FAIL
    assert "migrations/0007_a/expand.sql:2" in found.reason


def test_files_that_cannot_be_read(service: Service) -> None:
    service.write("0007_a/expand.sql", "SELECT 'never closed")
    service.write("0008_b/expand.sql", "")
    found = service.answer().finding
    assert found.verdict is Verdict.FAIL
    assert found.reason.startswith("migrations/0007_a/expand.sql:1:8")
    assert any("0008_b" in line for line in (found.reason, *found.evidence))


def test_a_database_that_is_not_there_is_unknown_or_wrong_and_never_done(tmp_path: Path) -> None:
    service = Service(tmp_path, url=f"sqlite:///{tmp_path}/gone.db")
    service.write("0007_a/expand.sql", EXPAND)
    assert service.answer().finding.verdict in (Verdict.FAIL, Verdict.UNKNOWN)


def test_an_older_lease_is_told_apart(service: Service) -> None:
    service.write("0007_a/expand.sql", EXPAND)
    service.answer(given=order(epoch=5))
    service.write("0008_b/expand.sql", "CREATE TABLE visits (id INTEGER)")
    found = service.answer(given=order(epoch=4))
    assert (found.finding.verdict, found.outdated, found.epoch) == (Verdict.FAIL, True, 4)
    assert Answer.read(json.loads(json.dumps(found.document()))) == found


def test_an_override_is_kept_in_the_ledger(service: Service) -> None:
    service.write("0007_a/expand.sql", EXPAND)
    service.write("0008_b/expand.sql", "ALTER TABLE users DROP COLUMN old;")
    assert service.answer().finding.verdict is Verdict.FAIL
    given = order(overrides={"drop-column": "nobody has it yet"})
    assert service.answer(given=given).finding.verdict is Verdict.PASS
    with contextlib.closing(sqlite3.connect(service.file)) as db:
        [(kept,)] = db.execute("SELECT overrides FROM greenroom_migration WHERE name = '0008_b'")
    assert json.loads(kept) == {"migrations/0008_b/expand.sql:1 drop-column": "ann: nobody has it yet"}


# --- the job in the background ----------------------------------------------------------------------------------------


@pytest.mark.real
def test_nothing_is_left_behind_but_its_log(service: Service) -> None:
    service.write("0007_a/expand.sql", EXPAND)
    assert service.drive().verdict is Verdict.PASS
    left = [path for path in (service.folder / ".greenroom").rglob("*") if path.is_file()]
    assert [path.relative_to(service.folder).as_posix() for path in left] == [
        ".greenroom/logs/migrations/r-1-expand.log"
    ]
    assert "ALTER TABLE users ADD COLUMN new TEXT" in left[0].read_text()


@pytest.mark.real
def test_a_path_without_a_root_begins_at_the_folder_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the process is; for the job too, and for what a helper writes."""
    (tmp_path / "a shop #1").mkdir()
    service = Service(tmp_path / "a shop #1", url="sqlite:///shop.db")
    service.write("0007_a/expand.sql", EXPAND)
    monkeypatch.chdir(tmp_path)
    assert service.drive().verdict is Verdict.PASS
    assert service.columns() == ["id", "old", "new"]
    loaded = cast("Any", SimpleNamespace(sections=SimpleNamespace(migrator=SimpleNamespace(settings=service.settings))))
    url, _ = place_of(loaded, "", None, service.folder)
    assert SqliteTarget(url).path == service.file
    assert [beside(url, tmp_path) for url in ("sqlite:////srv/x.db", "postgresql://h/x")] == [
        "sqlite:////srv/x.db",
        "postgresql://h/x",
    ]


@pytest.mark.real
def test_what_lies_in_the_folder_is_no_module_of_ours(service: Service) -> None:
    for name in ("json.py", "greenroom.py", "psycopg.py"):
        (service.folder / name).write_text("raise SystemExit('not ours')\n")
    service.write("0007_a/expand.sql", EXPAND)
    assert service.drive().verdict is Verdict.PASS


def test_the_oldest_releases_are_forgotten(service: Service) -> None:
    service.write("0007_a/expand.sql", EXPAND)
    kept = service.folder / ".greenroom/migrations/kept"
    os.utime(service.folder / "migrations", (1, 1))  # when the folder was changed says nothing of when it was asked for
    for number in range(KEPT + 3):
        service.migrator.pin(f"r-{number}")
        [made] = kept.glob(f"r-{number}-*")
        if number < KEPT:
            os.utime(made, (1000 + number, 1000 + number))
    assert len(list(kept.iterdir())) == KEPT
    assert [len(list(kept.glob(f"r-{number}-*"))) for number in (0, 2, 3, KEPT + 2)] == [0, 0, 1, 1]


@pytest.mark.real
def test_of_two_requests_at_one_instant_the_files_of_the_loser_are_not_used(service: Service) -> None:
    service.write("0007_a/expand.sql", EXPAND)
    winner = service.migrator.pin("r-1")
    service.write("0007_a/expand.sql", "ALTER TABLE users ADD COLUMN loser TEXT;\n")
    assert service.migrator.pin("r-1") != winner
    assert service.drive(given=order(pinned=winner)).verdict is Verdict.PASS
    assert service.columns() == ["id", "old", "new"]


@pytest.mark.real
def test_where_nothing_is_kept_files_that_are_others_than_what_was_asked_with_are_refused(service: Service) -> None:
    """On another machine, say; each by its name, with the way out. A contract goes by what the ledger has."""
    service.write("0007_a/expand.sql", EXPAND)
    service.write("0007_a/contract.sql", "ALTER TABLE users DROP COLUMN old;\n")
    service.write("0008_b/expand.sql", "CREATE TABLE visits (id INTEGER);\n")
    given = order(pinned=service.migrator.pin("r-1"))
    shutil.rmtree(service.folder / ".greenroom/migrations/kept")
    asked = service.folder / "migrations"
    shutil.move(asked, service.folder / "asked")
    gone = service.drive(given=given)
    assert gone.verdict is Verdict.FAIL
    assert "0007_a was there, and is gone, when release r-1 was asked for; deploy again" in gone.reason
    service.write("0007_a/expand.sql", "ALTER TABLE users ADD COLUMN other TEXT;\n")
    service.write("0009_c/expand.sql", "CREATE TABLE more (id INTEGER);\n")
    found = service.drive(given=given)
    assert found.verdict is Verdict.FAIL
    assert [line.partition(" when ")[0] for line in found.evidence] == [
        "0007_a had another text",
        "0008_b was there, and is gone,",
        "0009_c was not there",
    ]
    assert service.columns() == ["id", "old"]
    shutil.rmtree(asked)
    shutil.move(service.folder / "asked", asked)
    assert service.drive(given=given).verdict is Verdict.PASS
    service.write("0007_a/contract.sql", "DROP TABLE users;\n")
    live = {"running": "42", "baked": True, "colours": {"blue": "", "green": "42"}}
    let = {"overrides": {"evidence": "bob looked", "old-sessions": "none", "soft-drop": "now"}}
    contracted = service.drive(Stage.CONTRACT, replace(given, **live, **let))
    assert contracted.verdict is Verdict.PASS, contracted
    assert service.columns() == ["id", "new"]


@pytest.mark.real
def test_what_an_older_greenroom_has_kept_is_used(service: Service) -> None:
    """Its journal has no checksums, its folders no more than the release's name."""
    kept = service.folder / ".greenroom/migrations/kept/r-1/0007_a"
    kept.mkdir(parents=True)
    (kept / "expand.sql").write_text(EXPAND)
    service.write("0008_b/expand.sql", "CREATE TABLE visits (id INTEGER);\n")
    assert service.drive().verdict is Verdict.PASS
    assert [part.migration for part in service.migrator.observe("shop").parts] == ["0007_a"]


@pytest.mark.real
def test_the_password_is_in_no_file_and_no_list_of_processes(tmp_path: Path) -> None:
    service = Service(tmp_path, url="postgresql://ann:s3cret-in-url@127.0.0.1:1/shop")
    service.write("0007_a/expand.sql", EXPAND)
    memo = service.migrator.advance(Stage.EXPAND, order(), None).memo
    seen = b""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            seen += (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
    files = [path for path in (tmp_path / ".greenroom").rglob("*") if path.is_file()]
    assert files
    for path in files:
        with contextlib.suppress(FileNotFoundError):
            assert b"s3cret-in-url" not in path.read_bytes()
    [asked] = [path for path in files if path.name.endswith(".ask.json")]
    assert stat.S_IMODE(asked.stat().st_mode) == 0o600
    assert b"s3cret-in-url" not in seen
    assert SETTINGS not in os.environ
    service.migrator.withdraw(Stage.EXPAND, order(), memo)


@pytest.mark.real
def test_a_job_that_dies_again_and_again_is_given_up(tmp_path: Path) -> None:
    service = Service(tmp_path)
    work = Work(tmp_path / "work" / "r-1", tmp_path / "log", program="greenroom.no_such_program")
    ask = Ask(Stage.EXPAND, order(), str(tmp_path / "migrations"), "migrations")
    memo: Mapping[str, Any] | None = None
    starts = []
    for _ in range(1000):
        finding = work.advance(ask, service.settings, tmp_path, memo)
        memo = finding.memo
        if finding.verdict is not Verdict.WAIT:
            break
        assert memo is not None
        starts.append(memo["starts"])
        time.sleep(0.02)
    assert finding.verdict is Verdict.FAIL
    assert max(starts) == 5
    assert "ended 5 times without an answer (exit code 1" in finding.reason
    assert any("no_such_program" in line for line in finding.evidence)


@pytest.mark.real
def test_whoever_has_the_newer_lease_begins_anew(service: Service) -> None:
    """A job that was begun under a lease that is old by now, of the same release."""
    service.write("0007_a/expand.sql", EXPAND)
    service.answer(given=order("r-0", epoch=5))
    service.write("0008_b/expand.sql", "CREATE TABLE visits (id INTEGER)")
    memo = service.migrator.advance(Stage.EXPAND, order(epoch=4), None).memo
    answered = service.folder / ".greenroom/migrations/work/r-1-expand.answer.json"
    until(answered.exists, "the old one's answer")
    finding = service.migrator.advance(Stage.EXPAND, order(epoch=6), memo)
    while finding.verdict is Verdict.WAIT:
        time.sleep(0.05)
        finding = service.migrator.advance(Stage.EXPAND, order(epoch=6), finding.memo)
    assert finding.verdict is Verdict.PASS


@pytest.mark.real
def test_a_release_that_was_pinned_without_a_folder_has_none(service: Service) -> None:
    given = order(pinned=service.migrator.pin("r-1"))
    service.write("0007_a/expand.sql", EXPAND)
    assert service.drive(given=given).verdict is Verdict.PASS
    assert service.columns() == ["id", "old"]


@pytest.mark.real
@pytest.mark.xdist_group("postgres")
class TestOnPostgres:
    @pytest.fixture
    def base(self, cluster: Cluster) -> Iterator[Base]:
        with Base.lent(cluster, 20) as made:
            yield made

    def test_with_a_shadow_what_reading_does_not_show_is_refused(self, tmp_path: Path, base: Base) -> None:
        """A statement in a DO block: only its rehearsal tells what it does."""
        service = Service(tmp_path, url=base.url, shadow=base.cluster.url("postgres"))
        hidden = "DO $$ BEGIN EXECUTE 'ALTER TABLE users ' || 'DROP COLUMN old'; END $$;"
        service.write("0007_a/expand.sql", f"ALTER TABLE users ADD COLUMN new text;\n{hidden}\n")
        found = service.answer().finding
        assert found.verdict is Verdict.FAIL
        assert "migrations/0007_a/expand.sql:2" in found.reason
        assert base.columns() == ["id", "old"]
        service.write("0007_a/expand.sql", hidden.replace("DROP COLUMN old", "ADD COLUMN new text"))
        worst = [
            Ruling.worst([one.ruling for one in service.migrator.judge([Stage.EXPAND], order(), quick=quick)])
            for quick in (True, False)
        ]
        assert (worst[0], worst[1] is Ruling.REFUSE) == (Ruling.REFUSE, False), "who only reads does not know"

    def test_what_was_begun_under_an_older_lease_stops_once_the_new_leader_has_asked(
        self, tmp_path: Path, base: Base
    ) -> None:
        """Both on one machine. The new one tells the ledger at once, and begins anew when the other has stopped."""
        service = Service(tmp_path, url=base.url, tries=1000)
        service.write("0007_a/expand.sql", EXPAND)
        log = tmp_path / ".greenroom/logs/migrations/r-1-expand.log"
        with base.application() as other, other.transaction():
            other.execute("SELECT 1 FROM users")
            late = service.migrator.advance(Stage.EXPAND, order(), None).memo
            until(lambda: log.exists() and "tries again" in log.read_text(), "the statement waits")
            memo = service.migrator.advance(Stage.EXPAND, order(epoch=2), late).memo
            assert base.sql("SELECT epoch FROM greenroom.release") == [(2,)]
            with pytest.raises(Permanent, match="under epoch 1"):
                service.migrator.advance(Stage.EXPAND, order(), None)
        answer = tmp_path / ".greenroom/migrations/work/r-1-expand.answer.json"
        until(answer.exists, "the old one has stopped")
        assert Answer.read(json.loads(answer.read_text())).outdated
        assert base.columns() == ["id", "old"]
        assert service.migrator.advance(Stage.EXPAND, order(epoch=2), memo).verdict is Verdict.WAIT
        assert service.drive(given=order(epoch=2)).verdict is Verdict.PASS

    def test_a_contract_that_is_at_work_ends_when_a_release_begins(self, tmp_path: Path, base: Base) -> None:
        """By an engine with this migrator, though all else is a fake."""
        service = Service(tmp_path, url=base.url, tries=1000)
        service.write("0007_a/expand.sql", "CREATE TABLE new (id INTEGER);\n")
        service.write("0007_a/contract.sql", "ALTER TABLE users DROP COLUMN old;\n")
        assert service.drive().verdict is Verdict.PASS
        stage = EngineStage(plan=replace(SHORT, gates=MIGRATING))
        gate = SchemaGate(service.migrator, Stage.CONTRACT, "shop")
        stage.adapters = replace(stage.adapters, gates={**stage.adapters.gates, "contract": gate})
        stage.established()
        stage.run(20.0)  # nothing is warm any more
        log = tmp_path / ".greenroom/logs/migrations/r-0001-contract.log"
        with base.application() as other, other.transaction():
            other.execute("SELECT 1 FROM users")
            stage.request("contract", allow=dict.fromkeys(("evidence", "old-sessions", "soft-drop"), "I looked"))
            stage.run(20.0, lambda _: bool(service.jobs()))
            [job] = service.jobs()
            until(lambda: log.exists() and "tries again" in log.read_text(), "it waits for its lock")
            stage.deploy("2.0")
            stage.run(1.0)
            assert not service.jobs()
            assert not Path(f"/proc/{job}").exists()
        assert stage.service.contract is not None
        assert stage.service.contract.open
        assert base.columns() == ["id", "old"]
        assert stage.until_ended().version == "2.0"

    def test_withdraw_ends_a_build_and_leaves_no_index(self, tmp_path: Path, base: Base) -> None:
        service = Service(tmp_path, url=base.url)
        service.write("0007_a/expand.sql", "CREATE INDEX CONCURRENTLY users_old ON users (old);")
        with base.application() as other:
            with other.transaction():
                other.execute("UPDATE users SET old = 'x' WHERE id = 1")
                memo = service.migrator.advance(Stage.EXPAND, order(), None).memo
                until(lambda: "users_old" in base.indexes(), "the build has begun")
            with other.transaction():
                other.execute("SELECT 1")
                service.migrator.withdraw(Stage.EXPAND, order(), memo)
        working = "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'greenroom runner%'"
        until(lambda: not base.sql(working), "its session has ended")
        assert base.indexes().get("users_old", True)
        [part] = service.migrator.observe("shop").parts
        assert part.stand in (Stand.RUNNING, Stand.DONE)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with postgres.shared() as made:
        yield made
