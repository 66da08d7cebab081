"""Names without a schema, under the search_path of whoever migrates: the judge is held against what happens to the version
that runs, on a PostgreSQL with the same names in several schemas.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from greenroom.adapters.database.checking import check
from greenroom.adapters.database.contracting import ContractSettings
from greenroom.adapters.database.judgement import judged
from greenroom.adapters.database.judging import Context, Schema, created, judge, tables
from greenroom.adapters.database.probing import Premise, probe
from greenroom.adapters.database.reading import split
from greenroom.adapters.database.running import rights
from greenroom.adapters.database.schemas import SearchPath, of_session, of_statements
from greenroom.adapters.database.settings import SqlSettings
from greenroom.adapters.database.shadow.rehearsal import Shadow
from greenroom.adapters.database.shadow.schema import Source, of_target
from greenroom.adapters.database.target import of
from greenroom.domain.model import Verdict
from greenroom.domain.schema import Dialect, Migration, Order, Ruled, Ruling, Script, Stage
from greenroom.errors import UsageError
from tests.database.old_column import expanded_in, migration, opened
from tests.rigs import postgres
from tests.rigs.postgres import PASSWORD, Cluster

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("postgres")]

SCHEMA = """
CREATE SCHEMA app; CREATE SCHEMA path_own;
CREATE TABLE app.users (id bigint PRIMARY KEY, name text, old text);
CREATE TABLE public.users (id bigint PRIMARY KEY, name text);
CREATE TABLE public.orders (id bigint PRIMARY KEY, note text);
CREATE TABLE public.notes (id bigint, text text);
CREATE TABLE path_own.notes (id bigint, text text);
CREATE FUNCTION public.greet() RETURNS text LANGUAGE sql AS $$ SELECT 'hello' $$;
INSERT INTO app.users VALUES (1, 'ann', 'x'); INSERT INTO public.users VALUES (2, 'bob');
INSERT INTO public.orders VALUES (1, 'first'); INSERT INTO path_own.notes VALUES (1, 'mine');
"""
PATHS = {"path_both": "app, public", "path_app": "app", "path_own": "", "path_new": "", "path_none": "nowhere"}
"""Of the roles that migrate; "" for the server's own, `"$user", public`."""
RUNNING = {
    "path_both": [
        "SELECT name, old FROM users",
        "SELECT note FROM orders",
        "INSERT INTO orders (id, note) VALUES (9, 'x')",
        "SELECT name FROM public.users",
        "SELECT greet()",
    ],
    "path_own": ["SELECT text FROM notes", "SELECT note FROM orders", "INSERT INTO orders (id, note) VALUES (9, 'x')"],
    "path_new": ["SELECT note FROM orders", "SELECT name FROM users"],
}
"""By role, what the running version says: each from sessions of its own role."""


@dataclass(frozen=True)
class Case:
    """`rule`: that refuses it, "" where it may run. `opaque`: nobody can read it unrehearsed. `alike`: rehearsed as
    others of its kind are.
    """

    role: str
    sql: str
    rule: str = ""
    stage: Stage = Stage.EXPAND
    before: str = ""
    opaque: bool = False
    alike: bool = False


CASES = [
    Case("path_both", "ALTER TABLE app.users ADD COLUMN nick text"),
    Case("path_both", "ALTER TABLE users ADD COLUMN nick text", "ambiguous-name"),
    Case("path_both", "ALTER TABLE app.users DROP COLUMN old", "drop-column"),
    Case("path_both", "ALTER TABLE users DROP COLUMN old", "ambiguous-name", alike=True),
    Case("path_both", "ALTER TABLE public.users RENAME COLUMN name TO called", "rename-column", alike=True),
    Case("path_both", "ALTER TABLE orders ADD COLUMN x int"),
    Case("path_both", "ALTER TABLE orders ADD COLUMN x int NOT NULL", "add-not-null-column"),
    Case("path_both", "ALTER TABLE orders RENAME TO bought", "rename-table", alike=True),
    Case("path_both", "CREATE TABLE orders (id bigint, note text)", "hides-another"),
    Case("path_both", "CREATE TABLE IF NOT EXISTS orders (id bigint, note text)", "hides-another", alike=True),
    Case("path_both", "CREATE VIEW orders AS SELECT 1 AS note", "hides-another", alike=True),
    Case("path_both", "CREATE TABLE fresh (id bigint); ALTER TABLE fresh RENAME TO orders", "hides-another"),
    Case("path_both", "CREATE TABLE public.fresh (id bigint); ALTER TABLE public.fresh SET SCHEMA app"),
    Case(
        "path_both",
        "CREATE FUNCTION greet() RETURNS text LANGUAGE sql AS 'SELECT 1::text'",
        "hides-another",
        alike=True,
    ),
    Case("path_both", "CREATE TABLE carts (id bigint); ALTER TABLE app.carts ADD COLUMN n int NOT NULL"),
    Case("path_both", "CREATE TABLE public.carts (id bigint); ALTER TABLE carts ADD COLUMN n int NOT NULL"),
    Case(
        "path_both",
        "CREATE TABLE carts (user_id bigint REFERENCES users ON DELETE CASCADE)",
        "ambiguous-name",
        alike=True,
    ),
    Case("path_both", "CREATE INDEX i ON public.carts (id); DROP INDEX i", before="CREATE TABLE public.carts (id int)"),
    Case("path_both", "DO $$ BEGIN CREATE TABLE orders (id bigint); END $$", "hides-another", opaque=True),
    Case("path_both", "DO $$ BEGIN ALTER TABLE users DROP COLUMN old; END $$", "drop-column", opaque=True),
    Case("path_both", "DO $$ BEGIN ALTER TABLE orders ADD COLUMN x int; END $$", opaque=True),
    Case("path_both", "SET search_path = public; ALTER TABLE users ADD COLUMN x int", "session-setting"),
    Case(
        "path_both",
        "UPDATE orders SET x = 'none'",
        "",
        Stage.BACKFILL,
        "ALTER TABLE public.orders ADD COLUMN x text DEFAULT 'none'",
    ),
    Case(
        "path_both",
        "ALTER TABLE orders DROP COLUMN IF EXISTS x",
        "contract-drops-new",
        Stage.CONTRACT,
        "ALTER TABLE public.orders ADD COLUMN x text",
    ),
    Case("path_own", "ALTER TABLE notes ADD COLUMN x int", "ambiguous-name", alike=True),
    Case("path_own", "ALTER TABLE path_own.notes DROP COLUMN text", "drop-column", alike=True),
    Case("path_own", "ALTER TABLE public.notes ADD COLUMN x int"),
    Case("path_own", "CREATE TABLE orders (id bigint)", "hides-another", alike=True),
    Case("path_own", "CREATE TABLE path_own.fresh (id bigint); ALTER TABLE fresh ADD COLUMN n int NOT NULL"),
    Case("path_new", "CREATE SCHEMA path_new; CREATE TABLE orders (id bigint)", "ambiguous-name"),
    Case("path_new", "CREATE SCHEMA path_new; CREATE TABLE path_new.orders (id bigint)", "hides-another", alike=True),
    Case("path_new", "CREATE SCHEMA path_new; CREATE TABLE path_new.fresh (id bigint)"),
    Case("path_new", "ALTER TABLE users ADD COLUMN x int"),
    Case(
        "path_new", "CREATE TABLE app.orders (id bigint)", "hides-another", alike=True
    ),  # of path_both, which others have
    Case("path_app", "ALTER TABLE users ADD COLUMN nick text"),
    Case("path_app", "ALTER TABLE users DROP COLUMN old", "drop-column"),
    Case("path_app", "ALTER TABLE orders ADD COLUMN x int", "unknown-object"),
    Case("path_none", "ALTER TABLE orders ADD COLUMN x int", "ambiguous-name"),
    Case("path_none", "ALTER TABLE public.orders ADD COLUMN x int"),
]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with postgres.shared() as made:
        yield made


@pytest.fixture(scope="module")
def name(cluster: Cluster) -> Iterator[str]:
    """A database that belongs to all of these roles."""
    made = cluster.database()
    with cluster.connect(made) as db:
        db.execute("CREATE ROLE path_owner NOLOGIN")
        db.execute(f"GRANT ALL ON DATABASE {made} TO path_owner")
        for role, path in PATHS.items():
            db.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}' IN ROLE path_owner".encode())
            if path:
                db.execute(f"ALTER ROLE {role} IN DATABASE {made} SET search_path = {path}".encode())
        db.execute("GRANT ALL ON SCHEMA public TO path_owner; SET ROLE path_owner")
        db.execute(SCHEMA.encode())
    yield made
    cluster.drop(made)  # its roles stay: the shadow's templates name them, and all of it ends with the cluster


@pytest.fixture(scope="module")
def shadow(cluster: Cluster) -> Iterator[Shadow]:
    with Shadow(cluster.url("postgres")) as made:
        yield made


@pytest.fixture(scope="module")
def sources(cluster: Cluster, name: str) -> dict[str, Source]:
    found = {}
    for role in PATHS:
        url = cluster.url(name, role)
        with closing(of(url).open("judge")) as session:
            found[role] = of_target(url, session, "there")
    return found


def rulings(case: Case, source: Source, shadow: Shadow | None) -> list[Ruled]:
    dialect = Dialect.POSTGRES
    statements, before = split(case.sql, dialect, "file.sql"), split(case.before, dialect, "expand.sql")
    schema = Schema(split(source.text, dialect))
    facts = shadow.rehearse(statements, source, before) if shadow is not None else []
    known = tables(schema, dialect, source.path)
    return judge(
        statements,
        case.stage,
        Context(
            dialect,
            "41",
            schema,
            before,
            {one.number: one for one in facts},
            created(before, dialect, source.path, known),
            path=source.path,
        ),
    )


def harmed(cluster: Cluster, name: str, case: Case) -> list[str]:
    """Which statements of any running version fail or answer otherwise, once this has run; it is undone afterwards."""
    found = []
    with cluster.connect(name) as db:
        was = {(role, sql): _told(db, role, sql) for role, asked in RUNNING.items() for sql in asked}
        with db.transaction(force_rollback=True):
            for sql in [one.sql for text in (case.before, case.sql) for one in split(text, Dialect.POSTGRES)]:
                _become(db, case.role)
                if sql == case.sql or not sql.startswith("SET"):
                    db.execute(sql.encode())
                db.execute("RESET SESSION AUTHORIZATION")
            for (role, sql), told in was.items():
                if _told(db, role, sql) != told:
                    found.append(f"{role}: {sql}")
    return found


def _become(db: psycopg.Connection[Any], role: str) -> None:
    db.execute(f"SET SESSION AUTHORIZATION {role}; SET ROLE path_owner; SET ROLE {role}".encode())
    db.execute(f"""SET search_path = {PATHS[role] or '"$user", public'}""".encode())


def _told(db: psycopg.Connection[Any], role: str, sql: str) -> object:
    try:
        with db.transaction(force_rollback=True):
            _become(db, role)
            found = db.execute(sql.encode())
            return found.fetchall() if found.description else found.rowcount
    except psycopg.Error as error:
        return error.sqlstate


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.role}: {case.sql[:60]}")
def test_the_judge_is_right_about_names(
    case: Case, cluster: Cluster, name: str, sources: dict[str, Source], shadow: Shadow
) -> None:
    """What harms is refused, read or rehearsed; what is said not to harm does not, and is not refused."""
    read = rulings(case, sources[case.role], None)
    rehearsed = read if case.alike else rulings(case, sources[case.role], shadow)
    if not case.rule:
        assert harmed(cluster, name, case) == []
    for found in [rehearsed] if case.opaque else [read, rehearsed]:
        refused = {one.rule for one in found if one.ruling is Ruling.REFUSE}
        told = [(one.ruling, one.rule, one.reason) for one in found]
        assert case.rule in refused if case.rule else not refused, told
    if case.opaque:
        assert "not-understood" in {one.rule for one in read}


def test_what_these_cases_harm(cluster: Cluster, name: str) -> None:
    """They are no invention: most of what is refused breaks, or silently changes, what is said."""
    hides = [case for case in CASES if case.rule == "hides-another"]
    assert all(harmed(cluster, name, case) for case in hides if "IF NOT" not in case.sql), hides
    dropped = [case for case in CASES if case.rule in ("drop-column", "rename-column", "rename-table")]
    assert all(harmed(cluster, name, case) for case in dropped)


# --- the whole way, from the address of the database ---------------------------------------------------------------


@pytest.mark.parametrize("rehearsed", [False, True])
def test_a_plan_asks_the_database_for_its_search_path(cluster: Cluster, name: str, rehearsed: bool) -> None:
    text = (
        "ALTER TABLE orders ADD COLUMN a int;\nALTER TABLE users ADD COLUMN a int;\nCREATE TABLE orders (id int);\n"
        "ALTER TABLE app.users DROP COLUMN old;\nUPDATE public.orders SET note = 'x';"
    )
    shadow = cluster.url("postgres") if rehearsed else ""
    settings = SqlSettings.model_validate({"url": cluster.url(name, "path_both"), "shadow": shadow})
    files = [Migration("1", {Stage.EXPAND: Script("migrations/1/expand.sql", text)})]
    found = judged(settings, [Stage.EXPAND], Order("shop", "r1", "2", "ann", 1, 0.0), files)
    rules = {(one.line, one.rule) for one in found if one.ruling is Ruling.REFUSE}
    assert rules == {(2, "ambiguous-name"), (3, "hides-another"), (4, "drop-column"), (5, "rows-in-expand")}
    [first] = [one for one in found if one.line == 1]
    assert (first.bytes or 0) > 0, "of public.orders"


def test_what_the_running_version_asks_is_of_the_table_that_is_meant(cluster: Cluster, name: str) -> None:
    with cluster.connect(name) as application, closing(of(cluster.url(name, "path_both")).open("probe")) as session:
        application.execute("GRANT pg_read_all_stats TO path_both")
        application.execute("SELECT * FROM app.users")
        found = {table: [one.rule for one in probe(session, Premise([table]))] for table in ("users", "public.users")}
        assert {table: "select-star" in rules for table, rules in found.items()} == {
            "users": True,
            "public.users": False,
        }


def test_rights_are_asked_of_the_table_that_is_meant(cluster: Cluster, name: str) -> None:
    with cluster.connect(name) as db:
        db.execute("CREATE TABLE public.theirs (id int); SET ROLE path_owner; CREATE TABLE app.theirs (id int)")
    with closing(of(cluster.url(name, "path_both")).open("run")) as session:
        own, other = (
            rights.missing(session, split(f"ALTER TABLE {table} ADD COLUMN x int", Dialect.POSTGRES))
            for table in ("theirs", "public.theirs")
        )
    with cluster.connect(name) as db:
        db.execute("DROP TABLE public.theirs, app.theirs")
    assert own == []
    assert "may not change public.theirs" in other[0]


def test_a_contract_takes_the_table_that_it_names(cluster: Cluster) -> None:
    """Out of reach, and gone: of two of the same name; and never what its own expand has made, however that is named."""
    goes = migration("ALTER TABLE public.users DROP COLUMN name", expand="")
    added = "ALTER TABLE public.users ADD COLUMN new text"
    own = migration("ALTER TABLE users DROP COLUMN new", "0008_own", expand=added)
    shop = opened(cluster, goes)
    asked = "SELECT array_agg(attname::text) FROM pg_attribute WHERE attnum > 0 AND attrelid = '{}.users'::regclass"
    shop.run("CREATE SCHEMA stock; CREATE TABLE stock.users (id bigint PRIMARY KEY, name text)")
    shop.run(f"ALTER DATABASE {shop.name} SET search_path = stock, public")
    try:
        shop.settings = ContractSettings(soft_drop="1h", evidence=())
        hidden = shop.contract(goes)
        assert hidden.verdict is Verdict.WAIT, hidden
        assert "greenroom_gone_name" in shop.rows(asked.format("public"))[0][0]
        assert shop.contract(goes, now=shop.order.now + 3601).verdict is Verdict.PASS
        assert shop.rows(asked.format("stock")) == [(["id", "name"],)]
        shop.run("DROP TABLE stock.users")
        expanded_in(shop.target, own)
        refused = shop.contract(own)
        assert (refused.verdict, "[same-release]" in refused.reason) == (Verdict.FAIL, True), refused
    finally:
        shop.run(f"ALTER DATABASE {shop.name} RESET search_path")


def test_the_search_path_of_a_session(cluster: Cluster, name: str) -> None:
    found = {}
    for role in PATHS:
        with closing(of(cluster.url(name, role)).open("judge")) as session:
            found[role] = of_session(session)
    assert {role: (path.schemas, path.later, path.home) for role, path in found.items()} == {
        "path_both": (("app", "public"), (), "app"),
        "path_app": (("app",), (), "app"),
        "path_own": (("path_own", "public"), (), "path_own"),
        "path_new": (("public",), ("path_new",), "public"),
        "path_none": ((), ("nowhere",), ""),
    }
    assert ("app", "public") in found["path_new"].others
    assert SearchPath(('a "b"', "c")).setting == '"a ""b""", "c"'


# --- a file --------------------------------------------------------------------------------------------------------

TWO = "CREATE TABLE app.users (id int, old text); CREATE TABLE public.users (id int);"


@pytest.mark.parametrize(
    ("sets", "schemas", "refused"),
    [
        ("SELECT pg_catalog.set_config('search_path', '', false);", ("public",), {"unknown-object", "drop-column"}),
        ('SET search_path = "$user", app, elsewhere;', ("app",), {"drop-column"}),
        (
            "SELECT set_config('search_path', '\"app\", public', false);",
            ("app", "public"),
            {"ambiguous-name", "drop-column"},
        ),
        ("SET search_path TO public, app;", ("public", "app"), {"ambiguous-name", "unknown-object", "drop-column"}),
    ],
)
def test_a_file_of_a_schema_may_say_where_names_are_sought(
    sets: str, schemas: tuple[str, ...], refused: set[str], cluster: Cluster
) -> None:
    schema = f"CREATE SCHEMA app;\n{sets}\n{TWO}"
    assert of_statements(split(schema, Dialect.POSTGRES)).schemas == schemas
    sql = "ALTER TABLE users DROP COLUMN old"
    for shadow in ("", cluster.url("postgres")):
        found = check(sql, "expand.sql", Stage.EXPAND, Dialect.POSTGRES, schema=schema, shadow=shadow)
        rules = {one.rule.replace("server-refuses", "unknown-object") for one in found if one.ruling is Ruling.REFUSE}
        assert rules == refused, shadow


def test_a_file_that_sets_two_search_paths_is_refused() -> None:
    schema = "SET search_path = a;\nSET search_path = b;"
    with pytest.raises(UsageError, match="more than one search_path"):
        check("SELECT 1", "f.sql", Stage.EXPAND, Dialect.POSTGRES, schema=schema)
