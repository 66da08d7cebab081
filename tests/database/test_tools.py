"""People's own tools on a real PostgreSQL: Alembic and Django with projects of ten migrations, and one of three commands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from greenroom.adapters.migrators.alembic import AlembicMigrator, AlembicSettings
from greenroom.adapters.migrators.command import CommandMigrator, CommandSettings
from greenroom.adapters.migrators.django import DjangoMigrator, DjangoSettings
from greenroom.adapters.migrators.tool import ToolMigrator
from greenroom.domain.model import Verdict
from greenroom.domain.opinion import Finding
from greenroom.domain.schema import Order, Ruled, Ruling, Stage, Stand
from greenroom.ports import Place
from tests.rigs import postgres
from tests.rigs.postgres import PASSWORD, Cluster

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("postgres")]
PROJECTS = Path(__file__).with_name("projects")
ALEMBIC = f"{sys.executable} -m alembic"
DJANGO = f"{sys.executable} manage.py"
ORDER = Order("shop", "R42", "42", "ann", 7, 1_800_000_000.0, running="41", colours={"blue": "41", "green": "42"})
LAST = replace(ORDER, running="42", gone="41", colours={"blue": "", "green": "42"}, baked=True)
PATIENCE = 60.0
ROWS = "INSERT INTO {} (email, old_preference) SELECT n || '@example.org', 'dark' FROM generate_series(1, 500) n"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with postgres.shared() as made:
        yield made


class Bench:
    """A project in a folder as an artefact, a database of its own, and a migrator."""

    def __init__(self, cluster: Cluster, tmp_path: Path, project: str, template: str = "") -> None:
        self.cluster = cluster
        self.database = cluster.database(f"TEMPLATE {template}" if template else "")
        self.url = cluster.url(self.database)
        self.artefact = tmp_path / "artefact"
        if project:
            shutil.copytree(PROJECTS / project, self.artefact, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            self.artefact.mkdir()
        self.place = Place("shop", tmp_path / "greenroom.yaml", tmp_path / ".greenroom")

    def order(self, order: Order = ORDER, **overrides: str) -> Order:
        return replace(order, artefact=str(self.artefact), overrides=overrides)

    def call(self, command: str) -> str:
        """As the people of the project would."""
        given = {**os.environ, "DATABASE_URL": self.url}
        done = subprocess.run(["/bin/sh", "-c", command], cwd=self.artefact, env=given, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.cluster.connect(self.database) as db:
            return db.execute(query).fetchall()

    def run(self, *statements: str) -> None:
        with self.cluster.connect(self.database) as db:
            for statement in statements:
                db.execute(statement)

    def columns(self, table: str) -> set[str]:
        query = f"SELECT column_name FROM information_schema.columns WHERE table_name = '{table}'"
        return {name for (name,) in self.rows(query)}


def advance(migrator: ToolMigrator, stage: Stage, order: Order, until: Callable[[], bool] = lambda: False) -> Finding:
    memo: Mapping[str, Any] | None = None
    end = time.monotonic() + PATIENCE
    while True:
        found = migrator.advance(stage, order, memo)
        if found.verdict is not Verdict.WAIT or until():
            return found
        memo = found.memo
        assert time.monotonic() < end, found
        time.sleep(0.05)


def files(ruled: Sequence[Ruled]) -> set[str]:
    """Without what is said of the database as a whole."""
    return {one.file for one in ruled if one.file.endswith(".sql")}


def stands(migrator: ToolMigrator) -> dict[tuple[str, Stage], Stand]:
    return {(part.migration, part.stage): part.stand for part in migrator.observe("shop").parts}


# --- Alembic ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def of_alembic(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The database of version 41, as a template."""
    bench = Bench(cluster, tmp_path_factory.mktemp("alembic"), "alembic")
    bench.call(f"{ALEMBIC} upgrade r4")
    bench.run(ROWS.format("users"))
    return bench.database


@pytest.fixture
def alembic(cluster: Cluster, tmp_path: Path, of_alembic: str) -> Bench:
    return Bench(cluster, tmp_path, "alembic", of_alembic)


def by_alembic(bench: Bench, **more: Any) -> AlembicMigrator:
    given = {"url": bench.url, "command": ALEMBIC, "soft_drop": 0, "evidence": ("code",), **more}
    return AlembicMigrator(AlembicSettings.model_validate(given), bench.place)


def test_alembic_from_the_plan_to_the_contract(alembic: Bench) -> None:
    migrator = by_alembic(alembic, evidence_skip=["revisions/**"])
    assert migrator.problems() == []
    ruled = migrator.judge(list(Stage), alembic.order())
    assert files(ruled) == {"e1.sql", "e2.sql", "e3.sql", "b1.sql", "c1.sql", "c2.sql"}
    assert not [one for one in ruled if one.ruling is Ruling.REFUSE], ruled
    assert not [one for one in ruled if "alembic_version" in one.sql or one.sql in ("BEGIN", "COMMIT")]
    assert "greenroom" not in {schema for (schema,) in alembic.rows("SELECT nspname FROM pg_namespace")}
    found = advance(migrator, Stage.CONTRACT, alembic.order(LAST))
    assert "c1 (contract) comes after b1" in found.reason

    assert advance(migrator, Stage.EXPAND, alembic.order()) == Finding(Verdict.PASS, "e1, e2, e3: done")
    assert "new_preference" in alembic.columns("users")
    assert alembic.rows("SELECT indisvalid FROM pg_index WHERE indexrelid = 'orders_user_idx'::regclass") == [(True,)]
    assert alembic.call(f"{ALEMBIC} current").split()[0] == "e3"

    assert advance(migrator, Stage.BACKFILL, alembic.order()).verdict is Verdict.PASS
    assert alembic.rows("SELECT count(*) FROM users WHERE new_preference IS NULL") == [(0,)]

    assert "[not-live]" in advance(migrator, Stage.CONTRACT, alembic.order()).reason
    assert advance(migrator, Stage.CONTRACT, alembic.order(LAST)).reason == "c1, c2: done"
    assert alembic.columns("users") == {"id", "email", "new_preference"}
    assert alembic.columns("settings") == set()
    assert {line.split()[0] for line in alembic.call(f"{ALEMBIC} current").splitlines()} == {"e3", "b1", "c2"}
    assert set(stands(migrator).values()) == {Stand.DONE}
    assert migrator.hold(alembic.order(), going_back=True).verdict is Verdict.FAIL

    alembic.call(f"{ALEMBIC} stamp --purge r4")
    found = advance(migrator, Stage.EXPAND, alembic.order(replace(ORDER, release="R43", version="43")))
    assert found.verdict is Verdict.FAIL
    assert "e1 ran here with release R42 (ann)" in found.reason


def test_what_is_harmful_is_refused_before_anything_runs(alembic: Bench) -> None:
    versions = alembic.artefact / "revisions" / "versions"
    [file] = versions.glob("e2_*.py")
    file.write_text(
        file.read_text().replace("op.create_table(", 'op.drop_column("users", "email")\n    op.create_table(')
    )
    found = advance(by_alembic(alembic), Stage.EXPAND, alembic.order())
    assert found.verdict is Verdict.FAIL
    assert found.reason.startswith("e2.sql:1: drop-column")
    assert alembic.columns("users") == {"id", "email", "old_preference"}


def test_python_that_asks_the_database_is_refused_unless_somebody_answers_for_it(alembic: Bench) -> None:
    versions = alembic.artefact / "revisions" / "versions"
    [file] = versions.glob("b1_*.py")
    python = "op.get_bind().exec_driver_sql(\"UPDATE users SET new_preference = 'by python'\")"
    file.write_text(file.read_text().partition("    op.execute(")[0] + f"    {python}\n")
    migrator = by_alembic(alembic)
    advance(migrator, Stage.EXPAND, alembic.order())
    found = advance(migrator, Stage.BACKFILL, alembic.order())
    assert found.verdict is Verdict.FAIL
    assert "b1.sql:1: opaque: b1 cannot be judged: " in found.reason
    allowed = by_alembic(alembic, allow={"b1": "500 rows, tried on a copy (ann)"})
    assert advance(allowed, Stage.BACKFILL, alembic.order()).verdict is Verdict.PASS
    assert alembic.rows("SELECT DISTINCT new_preference FROM users") == [("by python",)]
    [(overrides,)] = alembic.rows("SELECT overrides FROM greenroom.migration WHERE name = 'b1'")
    assert "500 rows, tried on a copy (ann)" in overrides


def test_revisions_may_be_named_instead_of_branches(alembic: Bench) -> None:
    migrator = by_alembic(alembic, stages={"expand": "e2"})
    assert files(migrator.judge(list(Stage), alembic.order())) == {"e1.sql", "e2.sql"}


def test_a_tool_that_fails_says_why_and_no_password(alembic: Bench) -> None:
    (alembic.artefact / "revisions" / "env.py").write_text(
        "import os, sys\nprint(os.environ['DATABASE_URL'], file=sys.stderr)\n"
        "sys.exit(f\"no {os.environ['DATABASE_URL']}\")\n"
    )
    migrator = by_alembic(alembic)
    found = advance(migrator, Stage.EXPAND, alembic.order())
    assert found.verdict is Verdict.FAIL
    assert "alembic current` failed (exit code 1): no ${DATABASE_URL}" in found.reason
    assert PASSWORD not in str(found)
    logs = [file.read_text() for file in (alembic.place.state / "logs").rglob("*.log")]
    assert PASSWORD not in "".join(logs)


@pytest.mark.soak
def test_a_job_that_is_killed_goes_on_where_it_was(alembic: Bench) -> None:
    migrator = by_alembic(alembic)
    advance(migrator, Stage.EXPAND, alembic.order(), until=lambda: "new_preference" in alembic.columns("users"))
    migrator.withdraw(Stage.EXPAND, alembic.order(), None)
    assert advance(migrator, Stage.EXPAND, alembic.order()).verdict is Verdict.PASS
    assert alembic.call(f"{ALEMBIC} current").split()[0] == "e3"
    assert stands(migrator)["e1", Stage.EXPAND] is Stand.DONE


# --- Django -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def of_django(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The database of version 41, as a template."""
    bench = Bench(cluster, tmp_path_factory.mktemp("django"), "django")
    bench.call(f"{DJANGO} migrate shop 0004")
    bench.run(ROWS.format("shop_user"))
    return bench.database


@pytest.fixture
def django(cluster: Cluster, tmp_path: Path, of_django: str) -> Bench:
    return Bench(cluster, tmp_path, "django", of_django)


def by_django(bench: Bench, **more: Any) -> DjangoMigrator:
    given = {"url": bench.url, "command": DJANGO, "soft_drop": 0, "evidence": ("code",), **more}
    return DjangoMigrator(DjangoSettings.model_validate(given), bench.place)


def test_django_from_the_plan_to_the_contract(django: Bench) -> None:
    assert [
        one.rule for one in by_django(django).judge(list(Stage), django.order()) if one.ruling is Ruling.REFUSE
    ] == ["opaque"]
    migrator = by_django(
        django, allow={"shop.0009_names_backfill": "500 rows (ann)"}, evidence_skip=["shop/migrations/**"]
    )
    ruled = migrator.judge(list(Stage), django.order())
    assert not [one for one in ruled if one.ruling is Ruling.REFUSE], ruled
    assert advance(migrator, Stage.EXPAND, django.order()).verdict is Verdict.PASS
    assert "new_preference" in django.columns("shop_user")
    assert django.rows("SELECT indisvalid FROM pg_index WHERE indexrelid = 'orders_user_idx'::regclass") == [(True,)]
    assert advance(migrator, Stage.BACKFILL, django.order()).verdict is Verdict.PASS
    assert django.rows("SELECT count(*) FROM shop_user WHERE new_preference IS NULL OR name IS NULL") == [(0,)]
    assert "[ ] 0010_old_preference_contract" in django.call(f"{DJANGO} showmigrations shop")
    found = advance(migrator, Stage.CONTRACT, django.order(LAST))
    assert found.verdict is Verdict.PASS, found
    assert "old_preference" not in django.columns("shop_user")
    assert "[ ]" not in django.call(f"{DJANGO} showmigrations shop")
    [(overrides,)] = django.rows("SELECT overrides FROM greenroom.migration WHERE name = 'shop.0009_names_backfill'")
    assert "500 rows (ann)" in overrides
    assert stands(migrator)["shop.0005_new_preference_expand", Stage.EXPAND] is Stand.DONE


def test_stages_of_django_may_stand_in_the_file_and_their_order_is_respected(django: Bench) -> None:
    migrator = by_django(django, stages={"shop.0006_coupon_expand": Stage.CONTRACT})
    found = advance(migrator, Stage.EXPAND, django.order())
    assert found.verdict is Verdict.FAIL
    assert "shop.0007_index_of_orders_expand (expand) comes after shop.0006_coupon_expand" in found.reason


def test_a_default_that_django_keeps_to_itself_is_refused(django: Bench) -> None:
    [file] = (django.artefact / "shop" / "migrations").glob("0005_*.py")
    file.write_text(file.read_text().replace("TextField(null=True)", 'TextField(default="dark")'))
    found = advance(by_django(django), Stage.EXPAND, django.order())
    assert found.verdict is Verdict.FAIL
    assert found.reason.startswith("shop.0005_new_preference_expand.sql:")
    assert "new_preference" not in django.columns("shop_user")


# --- three commands ---------------------------------------------------------------------------------------------

TOOL = """
import os, pathlib, sys
import psycopg
what, stage = sys.argv[1:3]
file = pathlib.Path(f"{stage}.sql")
with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as db:
    db.execute("CREATE TABLE IF NOT EXISTS done (stage text)")
    done = db.execute("SELECT 1 FROM done WHERE stage = %s", [stage]).fetchall()
    if what == "print" and file.exists() and not done:
        print(file.read_text())
    elif what == "apply":
        print("applies", stage, "of", sys.argv[3])
        with db.transaction():
            db.execute(file.read_text())
            db.execute("INSERT INTO done VALUES (%s)", [stage])
    elif what == "verify":
        sys.exit(0 if done else "it is not done")
"""


@pytest.fixture
def commands(cluster: Cluster, tmp_path: Path) -> Bench:
    bench = Bench(cluster, tmp_path, "")
    bench.run("CREATE TABLE users (id bigint PRIMARY KEY, old_preference text)", "CREATE TABLE done (stage text)")
    (bench.artefact / "tool.py").write_text(TOOL)
    (bench.artefact / "expand.sql").write_text("ALTER TABLE users ADD COLUMN new_preference text")
    (bench.artefact / "contract.sql").write_text("ALTER TABLE users DROP COLUMN old_preference")
    return bench


def by_commands(bench: Bench, **more: Any) -> CommandMigrator:
    tool = f"{sys.executable} tool.py"
    given = {
        "url": bench.url,
        "print": f"{tool} print {{stage}}",
        "apply": f"{tool} apply {{stage}} {{version}}",
        "verify": f"{tool} verify {{stage}}",
        "soft_drop": 0,
        "evidence": ("code",),
        "evidence_skip": ["*.sql"],
    }
    return CommandMigrator(CommandSettings.model_validate({**given, **more}), bench.place)


def test_three_commands_from_the_plan_to_the_contract(commands: Bench) -> None:
    migrator = by_commands(commands)
    assert [one.ruling for one in migrator.judge(list(Stage), commands.order()) if one.file.endswith(".sql")] == [
        Ruling.ALLOW,
        Ruling.ALLOW,
    ]
    assert advance(migrator, Stage.EXPAND, commands.order()).reason == "R42-expand: done"
    assert commands.columns("users") == {"id", "old_preference", "new_preference"}
    assert advance(migrator, Stage.EXPAND, commands.order()).reason == "nothing was left to do"
    found = advance(migrator, Stage.CONTRACT, commands.order())
    assert "[not-live]" in found.reason
    found = advance(migrator, Stage.CONTRACT, commands.order(LAST))
    assert found.verdict is Verdict.PASS, found
    assert commands.columns("users") == {"id", "new_preference"}
    assert migrator.hold(commands.order(), going_back=True).verdict is Verdict.FAIL
    assert stands(migrator) == {("R42-contract", Stage.CONTRACT): Stand.DONE, ("R42-expand", Stage.EXPAND): Stand.DONE}


def test_a_tool_waits_for_no_lock_for_long_and_tries_again(commands: Bench) -> None:
    migrator = by_commands(commands)
    log = commands.place.state / "logs" / "migrations" / "R42-expand.log"
    with commands.cluster.connect(commands.database) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT FROM users")
        waiting = advance(
            migrator, Stage.EXPAND, commands.order(), until=lambda: log.exists() and "attempt 2" in log.read_text()
        )
        assert waiting.verdict is Verdict.WAIT, waiting
    assert advance(migrator, Stage.EXPAND, commands.order()).reason == "R42-expand: done"


def test_a_tool_that_only_says_that_it_is_done(commands: Bench) -> None:
    found = advance(by_commands(commands, apply="true"), Stage.EXPAND, commands.order())
    assert found.verdict is Verdict.FAIL
    assert "it is not done" in found.reason
    assert commands.columns("users") == {"id", "old_preference"}


def test_a_tool_that_would_read_a_table_under_the_locks_of_other_statements(commands: Bench) -> None:
    commands.run("ALTER TABLE users ADD CONSTRAINT short CHECK (length(old_preference) < 9) NOT VALID")
    (commands.artefact / "expand.sql").write_text(
        "ALTER TABLE users ADD COLUMN new_preference text;\nALTER TABLE users VALIDATE CONSTRAINT short;\n"
    )
    found = advance(by_commands(commands), Stage.EXPAND, commands.order())
    assert found.verdict is Verdict.FAIL
    assert "one-transaction" in found.reason


def test_an_address_in_a_command_is_refused_when_the_file_is_read() -> None:
    with pytest.raises(ValueError, match="process list"):
        CommandSettings(url="postgresql://db/shop", print="tool ${DATABASE_URL}", apply="x", verify="y")
