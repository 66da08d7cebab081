"""The contract on PostgreSQL: when it may not be, the soft drop, the real one, and the way back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from greenroom.adapters.database.contracting import ContractSettings, Going
from greenroom.adapters.database.contracting.excuses import FIXED, RULES
from greenroom.adapters.database.contracting.statements import look, reads_all
from greenroom.adapters.database.reading import split
from greenroom.adapters.database.writing import rename, retype
from greenroom.domain.model import Colour, Verdict
from greenroom.domain.opinion import Finding
from greenroom.domain.schema import Dialect, Stage, Stand
from greenroom.errors import Permanent, UsageError
from tests.database.old_column import (
    AT_ONCE,
    CONTRACT,
    EXPAND,
    LET,
    NAME,
    ORDER,
    START,
    Shop,
    expanded_in,
    migration,
    opened,
    written,
)
from tests.rigs import postgres
from tests.rigs.postgres import Cluster

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("postgres")]
SOFT = ContractSettings(soft_drop="1h", evidence=())


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with postgres.shared() as made:
        yield made


@pytest.fixture
def shop(cluster: Cluster) -> Shop:
    return opened(cluster)


def refused(found: Finding, rule: str, verdict: Verdict = Verdict.FAIL) -> str:
    assert found.verdict is verdict, found
    assert f"[{rule}]" in found.reason
    assert rule in RULES
    return found.reason


# --- the way to the end -----------------------------------------------------------------------------------------


def test_the_old_goes_and_the_new_stays(shop: Shop) -> None:
    assert shop.contract().verdict is Verdict.PASS
    assert shop.columns == {"id", "name", "new"}
    assert (shop.state, shop.stand()) == ("contracted", "done")
    assert shop.rows("SELECT count(*) FROM pg_proc WHERE proname = 'zzzz_greenroom_users'") == [(0,)]
    shop.run("INSERT INTO users (name, new) VALUES ('x', 'y')")
    assert "nothing is left" in shop.contract().reason


def test_why_it_was_let_is_kept(shop: Shop) -> None:
    shop.contract()
    [(overrides, by)] = shop.rows("SELECT overrides, by FROM greenroom.migration WHERE stage = 'contract'")
    assert overrides == '{"evidence": "the whole code was read by bob (ann)"}'
    assert by == "ann"


def test_a_reason_may_stand_in_the_file(cluster: Cluster) -> None:
    allowed = f"-- greenroom: allow evidence by bob: nothing reads it since 40{CONTRACT}"
    shop = opened(cluster, migration(allowed))
    assert shop.contract(overrides={}).verdict is Verdict.PASS


def test_a_later_release_may_bring_it(cluster: Cluster) -> None:
    later = migration("ALTER TABLE users DROP COLUMN name", "0008_name", expand="")
    shop = opened(cluster)
    shop.contract()
    changed = {"release": "r43", "version": "43", "running": "43", "colours": {"blue": "43", "green": ""}}
    assert shop.contract(later, **changed).verdict is Verdict.PASS
    assert shop.columns == {"id", "new"}


# --- what must hold ---------------------------------------------------------------------------------------------


def test_not_before_expand_is_done(shop: Shop) -> None:
    shop.run("UPDATE greenroom.migration SET state = 'running' WHERE stage = 'expand'")
    refused(shop.contract(), "not-expanded")
    assert "old" in shop.columns


def test_not_before_the_backfill_is_verified(shop: Shop) -> None:
    shop.run(
        "INSERT INTO greenroom.backfill (service, name, number, rows, of, batch, rate, state)"
        f" VALUES ('shop', '{NAME}', 1, 5, 5, 5, 1, 'done')"
    )
    assert "not verified" in refused(shop.contract(), "not-expanded")


@pytest.mark.parametrize("running", ["41", ""])
def test_not_before_the_new_version_is_live(shop: Shop, running: str) -> None:
    refused(shop.contract(running=running), "not-live")


def test_not_before_its_bake_is_over(shop: Shop) -> None:
    refused(shop.contract(baked=False), "not-baked", Verdict.WAIT)


def test_not_while_the_old_one_still_runs(shop: Shop) -> None:
    both = {"blue": "41", "green": "42"}
    reason = refused(shop.contract(colours=both), "rollback-window", Verdict.WAIT)
    assert "version 41 still runs on blue" in reason
    assert "greenroom retire" in reason
    assert shop.contract(colours=both, closed="ann: nobody wants it back").verdict is Verdict.PASS


def test_not_while_a_session_of_the_old_one_is_left(shop: Shop) -> None:
    with shop.connect(name="shop blue 41"):
        assert "shop blue 41" in refused(shop.contract(), "old-sessions", Verdict.WAIT)
    shop.alone()
    assert shop.contract().verdict is Verdict.PASS


def test_not_while_nobody_can_say_whose_a_session_is(shop: Shop) -> None:
    with shop.connect(name=""):
        reason = refused(shop.contract(), "old-sessions", Verdict.UNKNOWN)
        assert "PGAPPNAME" in reason
        assert "colours" in reason
        let = {**LET, "old-sessions": "it is my psql"}
        assert shop.contract(overrides=let).verdict is Verdict.PASS


def test_roles_tell_whose_a_session_is(shop: Shop) -> None:
    shop.settings = AT_ONCE.model_copy(update={"colours": {Colour.BLUE: "shop_blue", Colour.GREEN: "shop_green"}})
    with shop.connect("shop_green"), shop.connect(name="psql"):
        with shop.connect("shop_blue"):
            refused(shop.contract(), "old-sessions", Verdict.WAIT)
        assert shop.contract().verdict is Verdict.PASS


def test_a_role_that_sees_little_still_sees_sessions(cluster: Cluster, shop: Shop) -> None:
    """PostgreSQL hides the kind of others' sessions from such a role: they count all the same."""
    with shop.connect() as db:
        db.execute("DO $$ BEGIN CREATE ROLE dim LOGIN PASSWORD 'd'; EXCEPTION WHEN duplicate_object THEN END $$")
        db.execute(f"GRANT CREATE ON DATABASE {shop.name} TO dim; GRANT ALL ON SCHEMA public TO dim")
        db.execute("GRANT ALL ON SCHEMA greenroom TO dim; GRANT ALL ON ALL TABLES IN SCHEMA greenroom TO dim")
        db.execute("ALTER TABLE users OWNER TO dim; ALTER FUNCTION zzzz_greenroom_users() OWNER TO dim")
    shop.target = type(shop.target)(cluster.url(shop.name, "dim", "d"))  # type: ignore[call-arg]
    with shop.connect("shop_blue", name="shop blue 41"):
        refused(shop.contract(), "old-sessions", Verdict.WAIT)
    shop.alone()
    assert shop.contract().verdict is Verdict.PASS


def test_a_column_that_was_never_there(cluster: Cluster) -> None:
    shop = opened(cluster, migration("ALTER TABLE users DROP COLUMN older"))
    refused(shop.contract(), "not-there")


def test_all_that_is_wrong_is_said_at_once(shop: Shop) -> None:
    found = shop.contract(running="41", overrides={}, colours={"blue": "41", "green": "42"})
    assert found.verdict is Verdict.FAIL
    assert len(found.evidence) == 2
    assert all(rule in found.reason for rule in ("not-live", "rollback-window"))


def test_an_older_lease_does_nothing(shop: Shop) -> None:
    shop.hold(going_back=False, epoch=5)
    for act in (shop.contract, shop.hold, shop.restore):
        with pytest.raises(Permanent, match="epoch 5"):
            act()
    assert "old" in shop.columns


def test_who_takes_over_is_known_to_the_ledger_at_once_and_an_announced_way_back_stays(shop: Shop) -> None:
    """Though it waits, and writes nothing else: the late leader must not go on."""
    shop.hold()
    assert "[going-back]" in shop.contract(epoch=2).reason
    assert shop.state == "going_back"
    with pytest.raises(Permanent, match="epoch 2"):
        shop.contract()
    assert "old" in shop.columns


GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "contract.md").read_text()


@pytest.mark.parametrize("rule", RULES)
def test_every_demand_is_in_the_guide(rule: str) -> None:
    assert f"`{rule}`" in GUIDE


def test_the_guide_says_what_nobody_may_let_go() -> None:
    sentence = " ".join(GUIDE.split()).partition("the ledger keeps who and why. Not ")[2].partition(":")[0]
    assert {word.strip("`,") for word in sentence.split() if word != "and"} == FIXED


# --- the pitfalls -----------------------------------------------------------------------------------------------


def test_pitfall_4_column_and_trigger_go_in_one_transaction(shop: Shop) -> None:
    """CONTRACT drops the column first. Whoever writes meanwhile sees both, or neither."""
    with shop.connect(name="shop green 42") as writer, shop.connect(name="shop green 42") as reader:
        writer.execute("BEGIN; INSERT INTO users (name, new) VALUES ('a', 'b')")
        found = shop.contract()
        assert found.verdict is Verdict.WAIT
        assert "shop green 42" in found.reason  # who is in the way
        assert shop.columns == {"id", "name", "old", "new"}
        reader.execute("INSERT INTO users (name, new) VALUES ('c', 'd')")
        writer.execute("COMMIT")
        assert shop.contract().verdict is Verdict.PASS
        writer.execute("INSERT INTO users (name, new) VALUES ('e', 'f')")
    assert shop.rows("SELECT new FROM users ORDER BY id DESC LIMIT 3") == [("f",), ("d",), ("b",)]


def test_pitfall_4_a_trigger_that_stays_is_refused(cluster: Cluster) -> None:
    shop = opened(cluster, migration("ALTER TABLE users DROP COLUMN old"))
    assert "every write" in RULES["sync-trigger"]
    refused(shop.contract(), "sync-trigger")
    assert "old" in shop.columns


def test_pitfall_4_nothing_that_takes_long_stands_between(cluster: Cluster) -> None:
    between = CONTRACT.replace("DROP TRIGGER", "ALTER TABLE users ALTER new SET NOT NULL; DROP TRIGGER", 1)
    shop = opened(cluster, migration(between))
    with pytest.raises(Permanent, match="stands between"):
        shop.contract()
    assert "old" in shop.columns


def test_pitfall_12_what_the_same_release_made_stays(cluster: Cluster) -> None:
    shop = opened(cluster, migration("ALTER TABLE users DROP COLUMN new"))
    refused(shop.contract(overrides={**LET, "sync-trigger": "x"}), "same-release")
    assert "new" in shop.columns


def test_pitfall_12_nor_what_another_migration_of_it_made(cluster: Cluster) -> None:
    other = migration("DROP TABLE extra", "0008_x", expand="")
    shop = opened(cluster, migration(expand=EXPAND + "CREATE TABLE extra (id int);"), other)
    shop.run("CREATE TABLE extra (id int)")
    assert "0007_new/expand.sql" in refused(shop.contract(other), "same-release")


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ("CREATE VIEW seen AS SELECT old FROM users", "view seen"),
        ("CREATE INDEX two ON users (name, old)", "index two"),
        ("ALTER TABLE users ADD CONSTRAINT differ CHECK (old <> name)", "constraint differ"),
        ("ALTER TABLE users ADD UNIQUE (old); CREATE TABLE x (old text REFERENCES users (old))", "x_old_fkey"),
        ("ALTER TABLE users ADD shout text GENERATED ALWAYS AS (upper(old)) STORED", "shout"),
    ],
)
def test_pitfall_12_no_more_goes_than_is_named(cluster: Cluster, more: str, what: str) -> None:
    cascading = CONTRACT.replace("DROP COLUMN old", "DROP COLUMN old CASCADE")
    shop = opened(cluster, migration(cascading))
    shop.run(more)
    assert what in refused(shop.contract(), "takes-more")
    assert "old" in shop.columns


def test_what_belongs_to_the_column_alone_goes_with_it(cluster: Cluster) -> None:
    shop = opened(cluster)
    shop.run("CREATE INDEX one ON users (old)", "ALTER TABLE users ADD CHECK (old <> ''), ALTER old SET DEFAULT 'x'")
    shop.run("CREATE VIEW others AS SELECT id, new FROM users")
    assert shop.contract().verdict is Verdict.PASS


def test_a_view_that_is_named_goes_too(cluster: Cluster) -> None:
    shop = opened(cluster, migration(f"DROP VIEW seen; {CONTRACT}"))
    shop.run("CREATE VIEW seen AS SELECT old FROM users")
    assert shop.contract().verdict is Verdict.PASS


# --- the soft drop ----------------------------------------------------------------------------------------------

NEW_VERSION = (
    "SELECT id, name, new FROM users WHERE id = 1",
    "SELECT * FROM users WHERE id = 1",
    "INSERT INTO users (name, new) VALUES ('x', 'y') RETURNING *",
    "UPDATE users SET new = 'z' WHERE id = 2",
    "DELETE FROM users WHERE id = 3",
)
OLD_VERSION = (
    "SELECT old FROM users WHERE id = 1",
    "INSERT INTO users (name, old) VALUES ('x', 'y')",
    "UPDATE users SET old = 'z' WHERE id = 4",
)


def errors(connection: psycopg.Connection[Any], statements: tuple[str, ...]) -> list[str]:
    found = []
    for sql in statements:
        try:
            connection.execute(sql)
            found.append("")
        except psycopg.Error as error:
            found.append(type(error).__name__)
    return found


def test_what_is_hidden_fails_as_if_it_were_dropped(shop: Shop) -> None:
    shop.settings = SOFT
    found = shop.contract()
    assert found.verdict is Verdict.WAIT
    assert "users.old (now greenroom_gone_old) is hidden for 1h more" in found.reason
    assert f"greenroom db restore {NAME}" in found.reason
    assert (shop.state, shop.stand()) == ("contracting", "soft")
    assert f"the contract of {NAME} has hidden users.old (by ann)" in shop.hold().reason
    [part] = [part for part in shop.seen().parts if part.stand is Stand.SOFT]
    assert part.detail.startswith("out of reach: users.old (now greenroom_gone_old); `greenroom db restore")
    with shop.connect("shop_green", name="shop green 42") as live:
        hidden = errors(live, OLD_VERSION), errors(live, NEW_VERSION)
        assert hidden == (["UndefinedColumn"] * 3, [""] * 5)
        assert shop.contract(now=ORDER.now + 3601).verdict is Verdict.PASS
        assert (errors(live, OLD_VERSION), errors(live, NEW_VERSION)) == hidden
    assert shop.columns == {"id", "name", "new"}
    assert shop.rows("SELECT count(*) FROM greenroom.hidden") == [(0,)]


def test_it_is_put_back_at_once_and_nothing_was_lost(shop: Shop) -> None:
    """What was written while it was hidden is in it, too."""
    shop.settings = SOFT
    function = "SELECT prosrc FROM pg_proc WHERE proname = 'zzzz_greenroom_users'"
    before = shop.rows(function)
    shop.contract()
    shop.run(*NEW_VERSION)
    assert shop.restore().verdict is Verdict.PASS
    assert shop.rows("SELECT count(*) FROM users WHERE old IS DISTINCT FROM new AND new IS NOT NULL") == [(0,)]
    assert shop.rows("SELECT old FROM users WHERE id = 2") == [("z",)]
    with shop.connect() as old:
        assert errors(old, OLD_VERSION) == [""] * 3
    assert shop.rows(function) == before
    assert (shop.state, shop.stand()) == ("open", "pending")
    assert shop.restore().verdict is Verdict.PASS
    assert shop.contract().verdict is Verdict.WAIT  # it can begin anew


def test_who_is_in_the_way_of_hiding_is_named(shop: Shop) -> None:
    shop.settings = SOFT
    with shop.connect(name="shop green 42") as reader:
        reader.execute("BEGIN; SELECT count(*) FROM users")
        found = shop.contract()
        assert found.verdict is Verdict.WAIT
        assert "nothing is hidden yet" in found.reason
        assert "shop green 42" in found.reason
        assert (shop.stand(), "old" in shop.columns) == ("pending", True)
        reader.execute("COMMIT")
        assert "is hidden for 1h" in shop.contract().reason


def test_after_the_real_drop_nothing_can_be_put_back(shop: Shop) -> None:
    shop.contract()
    found = shop.restore()
    assert found.verdict is Verdict.FAIL
    assert "has dropped" in found.reason
    assert shop.restore("0001_other").verdict is Verdict.FAIL


def test_while_it_is_hidden_it_is_not_dropped_too_early(shop: Shop) -> None:
    shop.settings = SOFT
    shop.contract()
    found = shop.contract(now=ORDER.now + 3000)
    assert found.verdict is Verdict.WAIT
    assert "for 10m more" in found.reason
    assert "greenroom_gone_old" in shop.columns
    refused(shop.contract(now=ORDER.now + 9999, running="41"), "not-live")
    assert "greenroom_gone_old" in shop.columns


def test_a_contract_that_failed_in_the_middle_can_put_back_what_it_hid(cluster: Cluster) -> None:
    """But not what it has done besides, so that there is no way back."""
    more = CONTRACT.replace("COLUMN old", "COLUMN old, DROP CONSTRAINT no")
    wrong = f"ALTER TABLE users ALTER new SET DEFAULT 'x'; {more}"
    shop = opened(cluster, migration(wrong))
    shop.settings = SOFT
    shop.contract()
    with pytest.raises(Permanent, match=r"0007_new/contract.sql:2"):
        shop.contract(now=ORDER.now + 9999)
    assert shop.stand() == "running"
    assert shop.restore().verdict is Verdict.PASS
    assert "old" in shop.columns
    assert "is dropping" in shop.hold().reason
    shop.run("ALTER TABLE users ADD CONSTRAINT no CHECK (id > 0)")
    assert shop.contract(now=ORDER.now + 9999).verdict is Verdict.PASS
    assert shop.columns == {"id", "name", "new"}


HELPED = (
    "CREATE TABLE people (id int PRIMARY KEY, old varchar(40) NOT NULL DEFAULT 'd' UNIQUE CHECK (old <> ''), n int)"
)


@pytest.mark.parametrize(("column", "helper"), [("old", "rename"), ("n", "retype")])
def test_what_the_helpers_write_is_hidden_and_dropped(cluster: Cluster, column: str, helper: str) -> None:
    shop = opened(cluster, start=(HELPED, "INSERT INTO people (id, n) VALUES (1, 1)"))
    shop.run("DELETE FROM greenroom.migration")
    session = shop.target.open("test")
    try:
        of_old = {"rename": lambda: rename(session, "people.old", "new", folder=Path("m"))}
        drafted = of_old.get(helper, lambda: retype(session, "people.n", "bigint", folder=Path("m")))().migration
        for stage, script in drafted.scripts.items():
            if stage is not Stage.CONTRACT and script.file.endswith(".sql"):
                for statement in split(script.text, Dialect.POSTGRES):
                    session.run(statement.sql)
    finally:
        session.close()
    shop.run("UPDATE people SET n = n")
    expanded_in(shop.target, drafted, release="r41")
    shop.run("UPDATE greenroom.migration SET state = 'done' WHERE stage <> 'contract'")
    shop.settings = SOFT
    there = f"SELECT count(*) FROM pg_attribute WHERE attrelid = 'people'::regclass AND attname = '{column}'"
    for _ in range(2):
        assert shop.contract().verdict is Verdict.WAIT
        shop.run("UPDATE people SET id = id + 1")
        assert shop.rows(there) == [(0,)]
        shop.restore(drafted.name)
        assert shop.rows(there) == [(1,)]
    shop.contract()
    assert shop.contract(now=ORDER.now + 9999).verdict is Verdict.PASS
    shop.run("UPDATE people SET id = id + 1")
    assert shop.rows("SELECT count(*) FROM pg_proc WHERE proname LIKE 'zzzz%'") == [(0,)]


def test_tables_and_views_are_hidden_too(cluster: Cluster) -> None:
    both = migration('DROP VIEW seen; DROP TABLE "Old Users"; DROP TABLE stock.old', expand="")
    shop = opened(cluster, both)
    shop.run('CREATE TABLE "Old Users" (id int)', 'CREATE VIEW seen AS SELECT id FROM "Old Users"')
    shop.run("CREATE SCHEMA stock", "CREATE TABLE stock.old (id int)")
    shop.settings = SOFT
    assert shop.contract().verdict is Verdict.WAIT
    there = "SELECT to_regclass('seen'), to_regclass('\"Old Users\"'), to_regclass('stock.old')"
    assert shop.rows(there) == [(None, None, None)]
    shop.restore()
    assert None not in shop.rows(there)[0]
    shop.contract()
    assert shop.contract(now=ORDER.now + 9999).verdict is Verdict.PASS
    assert shop.rows(there) == [(None, None, None)]
    assert shop.rows("SELECT count(*) FROM pg_class WHERE relname LIKE 'greenroom_gone%'") == [(0,)]


def test_a_long_name_is_hidden_under_a_short_one(cluster: Cluster) -> None:
    long = "x" * 63
    shop = opened(cluster, migration(f"ALTER TABLE users DROP COLUMN {long}", expand=""))
    shop.run(f"ALTER TABLE users ADD {long} int")
    shop.settings = SOFT
    assert shop.contract().verdict is Verdict.WAIT
    assert long not in shop.columns
    shop.restore()
    assert long in shop.columns


@pytest.mark.parametrize(
    ("function", "why"),
    [
        ("BEGIN EXECUTE 'SELECT old FROM users'; RETURN NEW; END", "within a string"),
        ("BEGIN INSERT INTO log (old) VALUES (NEW.old); RETURN NEW; END", "in other ways"),
    ],
)
def test_a_function_that_cannot_be_rewritten_is_not_touched(cluster: Cluster, function: str, why: str) -> None:
    dropping = "DROP TRIGGER t ON users; DROP FUNCTION f(); ALTER TABLE users DROP COLUMN old;"
    making = f"CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $f$ {function} $f$;"
    trigger = "CREATE TRIGGER t BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION f()"
    shop = opened(cluster, migration(dropping, expand=""), start=(START, making, trigger))
    shop.settings = SOFT
    assert why in refused(shop.contract(), "soft-drop")
    assert "old" in shop.columns
    let = {**LET, "soft-drop": "it is an audit log"}
    assert shop.contract(overrides=let).verdict is Verdict.PASS


def test_far_more_failures_than_usual_put_it_back(shop: Shop) -> None:
    shop.settings = SOFT
    shop.contract()
    with shop.connect("shop_green", name="shop green 42") as live:
        for _ in range(60):
            errors(live, OLD_VERSION[:1])
    shop.alone()
    found = shop.contract(now=ORDER.now + 10)
    assert "transactions failed" in refused(found, "soft-drop")
    assert "old" in shop.columns
    assert (shop.state, shop.stand()) == ("open", "pending")


def test_a_few_failures_are_none(shop: Shop) -> None:
    shop.settings = SOFT
    shop.contract()
    with shop.connect("shop_green", name="shop green 42") as live:
        errors(live, OLD_VERSION)
    assert shop.contract(now=ORDER.now + 10).verdict is Verdict.WAIT


def test_indexes_and_constraints_are_not_hidden(cluster: Cluster) -> None:
    shop = opened(cluster, migration("DROP INDEX CONCURRENTLY slow; ALTER TABLE users DROP CONSTRAINT c", expand=""))
    shop.run("CREATE INDEX slow ON users (name)", "ALTER TABLE users ADD CONSTRAINT c CHECK (id > 0)")
    shop.settings = SOFT
    assert shop.contract().verdict is Verdict.PASS
    assert shop.rows("SELECT to_regclass('slow')") == [(None,)]


def test_what_the_file_does_before_and_after_has_transactions_of_its_own(cluster: Cluster) -> None:
    around = (
        "ALTER TABLE users ADD CONSTRAINT n CHECK (new IS NOT NULL) NOT VALID; ALTER TABLE users VALIDATE CONSTRAINT n;"
        f"{CONTRACT} CREATE INDEX CONCURRENTLY by_new ON users (new);"
    )
    shop = opened(cluster, migration(around))
    shop.run("UPDATE users SET new = old")
    shop.settings = SOFT
    shop.contract()
    assert shop.contract(now=ORDER.now + 9999).verdict is Verdict.PASS
    assert shop.columns == {"id", "name", "new"}
    assert shop.rows("SELECT convalidated FROM pg_constraint WHERE conname = 'n'") == [(True,)]
    assert shop.rows("SELECT indisvalid FROM pg_index WHERE indexrelid = 'by_new'::regclass") == [(True,)]
    assert (shop.state, shop.stand()) == ("contracted", "done")


# --- rollback ---------------------------------------------------------------------------------------------------


def test_after_contract_there_is_no_way_back(shop: Shop) -> None:
    shop.contract()
    found = shop.hold()
    assert found.verdict is Verdict.FAIL
    assert f"the contract of {NAME} has dropped users.old" in found.reason
    assert "by ann" in found.reason
    assert "go forward" in found.reason
    assert shop.state == "contracted"


def test_while_it_is_hidden_it_must_be_put_back_first(shop: Shop) -> None:
    shop.settings = SOFT
    shop.contract()
    found = shop.hold()
    assert found.verdict is Verdict.FAIL
    assert f"`greenroom db restore {NAME}`" in found.reason
    shop.restore()
    assert shop.hold().verdict is Verdict.PASS


def test_a_rollback_that_has_announced_itself_is_respected(shop: Shop) -> None:
    assert shop.hold().verdict is Verdict.PASS
    refused(shop.contract(), "going-back", Verdict.WAIT)
    with pytest.raises(UsageError, match="nobody can let `going-back` go"):
        shop.contract(overrides={**LET, "going-back": "never mind"})
    assert "old" in shop.columns
    assert shop.hold(going_back=False).verdict is Verdict.PASS
    assert shop.contract().verdict is Verdict.PASS


def test_the_next_release_may_go_back(shop: Shop) -> None:
    """To the version that was live when the old went. What it announces does not undo what is known of the contract."""
    shop.contract()
    assert shop.hold(release="r43", version="43").verdict is Verdict.PASS
    assert shop.hold(release="r43", version="43", going_back=False).verdict is Verdict.PASS
    assert shop.hold().verdict is Verdict.FAIL


def test_where_no_migration_ran_there_is_nothing_to_hold(cluster: Cluster) -> None:
    name = cluster.database()
    target = type(opened(cluster).target)(cluster.url(name))  # type: ignore[call-arg]
    assert Shop(cluster, name, target).hold().verdict is Verdict.PASS


# --- evidence ---------------------------------------------------------------------------------------------------


def test_code_that_names_it(shop: Shop, tmp_path: Path) -> None:
    shop.settings = ContractSettings(soft_drop=0, evidence=("code",))
    artefact = written(tmp_path, {"app.py": "import db\ndb.run('SELECT old FROM users')\n", "migrations/1.sql": "old"})
    reason = refused(shop.contract(artefact=artefact, overrides={}), "code")
    assert "app.py:2" in reason
    assert shop.foreseen(artefact, {}) == shop.foreseen(artefact, {"app.py:3": "slipped"}) != []
    assert shop.foreseen(artefact, {"app.py:2": "never called"}) == []
    assert shop.contract(artefact=artefact, overrides={"app.py:2": "never called"}).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("cod", "there is no rule `cod`"),
        ("rename-colum", "there is no rule"),
        ("not-live", "nobody can let `not-live` go"),
    ],
)
def test_a_name_that_is_no_rule_is_told(shop: Shop, name: str, says: str) -> None:
    for ask in (lambda: shop.contract(overrides={name: "now"}), lambda: shop.foreseen("", {name: "now"})):
        with pytest.raises(UsageError, match=says):
            ask()
    assert "old" in shop.columns


def test_code_that_does_not_name_it_is_enough(shop: Shop, tmp_path: Path) -> None:
    artefact = written(tmp_path, {"app.py": "db.run('SELECT new FROM users')\n"})
    shop.settings = ContractSettings(soft_drop=0, evidence_for=0)
    assert shop.contract(artefact=artefact, overrides={}).verdict is Verdict.PASS


def test_without_any_evidence_it_is_unknown(shop: Shop) -> None:
    shop.settings = ContractSettings(soft_drop=0, evidence_for=0)
    reason = refused(shop.contract(artefact="sha256:12", overrides={}), "evidence", Verdict.UNKNOWN)
    assert "sha256:12 is no folder" in reason
    assert "--allow evidence" in reason
    assert "old" in shop.columns


WATCHING = ContractSettings(soft_drop=0, evidence=("statements",), evidence_for="10m")


@pytest.fixture
def counted(shop: Shop) -> Shop:
    """Its server counts statements, and nothing lets it go without."""
    if not shop.rows("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_stat_statements'"):
        pytest.skip("pg_stat_statements is not installed")
    shop.run("CREATE EXTENSION pg_stat_statements", "SELECT pg_stat_statements_reset()")
    shop.settings, shop.order = WATCHING, ORDER
    return shop


def live(shop: Shop, *statements: str) -> None:
    with shop.connect("shop_green", name="shop green 42") as connection:
        for sql in statements:
            connection.execute(sql)
    shop.alone()


def test_statements_are_watched_first(counted: Shop) -> None:
    live(counted, "SELECT old FROM users")  # of the time before
    found = counted.contract()
    assert found.verdict is Verdict.WAIT
    assert "watched for 10m more" in found.reason
    live(counted, "SELECT id, new FROM users", "UPDATE users SET new = 'x' WHERE id = 1")
    assert counted.contract(now=ORDER.now + 599).verdict is Verdict.WAIT
    assert counted.contract(now=ORDER.now + 601).verdict is Verdict.PASS


def test_a_statement_that_names_it(counted: Shop) -> None:
    counted.contract()
    live(counted, "SELECT id, u.old FROM users u WHERE name = 'secret'")
    reason = refused(counted.contract(now=ORDER.now + 5), "statements")
    assert "shop_green: SELECT id, u.old FROM users u WHERE name = $1 (1 times)" in reason
    assert "secret" not in reason
    assert counted.contract(now=ORDER.now + 601, overrides={"statements": "a report"}).verdict is Verdict.PASS


def test_a_statement_that_reads_all_columns(counted: Shop) -> None:
    counted.contract()
    live(counted, "SELECT * FROM users")
    refused(counted.contract(now=ORDER.now + 601), "select-star")
    let = {"select-star": "it is never prepared"}
    assert counted.contract(now=ORDER.now + 601, overrides=let).verdict is Verdict.PASS


def test_where_nothing_ran_at_all_nothing_is_proved(counted: Shop) -> None:
    counted.contract()
    reason = refused(counted.contract(now=ORDER.now + 601), "evidence", Verdict.UNKNOWN)
    assert "no statement on these tables was seen" in reason


def test_a_server_that_counts_anew_is_watched_anew(counted: Shop) -> None:
    counted.contract()
    counted.run("SELECT pg_stat_statements_reset()")
    live(counted, "SELECT new FROM users")
    assert counted.contract(now=ORDER.now + 601).verdict is Verdict.WAIT
    live(counted, "SELECT new FROM users")
    assert counted.contract(now=ORDER.now + 1202).verdict is Verdict.PASS


def test_another_version_is_watched_anew(counted: Shop) -> None:
    counted.contract()
    live(counted, "SELECT new FROM users")
    next_one = {"version": "43", "running": "43", "colours": {"blue": "43", "green": ""}, "release": "r43"}
    assert counted.contract(now=ORDER.now + 601, **next_one).verdict is Verdict.WAIT


def test_who_may_not_see_the_statements_proves_nothing(counted: Shop) -> None:
    live(counted, "SELECT new FROM users")
    session = counted.target.open("test")
    try:
        session.run("GRANT ALL ON SCHEMA public TO shop_blue")
        session.run("SET ROLE shop_blue")
        assert "pg_read_all_stats" in look(session, [Going("column", "users", "old")]).counted.unseen
    finally:
        session.close()


def test_without_the_extension_nothing_is_proved(shop: Shop) -> None:
    shop.settings = WATCHING
    assert "pg_stat_statements" in refused(shop.contract(overrides={}), "evidence", Verdict.UNKNOWN)


def test_a_table_that_is_still_used_is_seen_without_the_extension(cluster: Cluster) -> None:
    shop = opened(cluster, migration("DROP TABLE extra; DROP INDEX slow", expand=""))
    shop.run("CREATE TABLE extra (id int)", "CREATE INDEX slow ON users (name)")
    shop.settings = WATCHING
    assert shop.contract().verdict is Verdict.WAIT
    live(shop, "INSERT INTO users (name, old) VALUES ('x', 'y')")
    shop.run("SELECT count(*) FROM extra", "SELECT pg_stat_force_next_flush()")
    assert "table extra was used 1 times" in refused(shop.contract(now=ORDER.now + 601), "statements")


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("SELECT * FROM users", True),
        ("select u.*, o.id from users u join orders o on true", True),
        ("SELECT id, users.* FROM users", True),
        ("INSERT INTO users (a) VALUES ($1) RETURNING *", True),
        ("SELECT count(*) FROM users", False),
        ("SELECT a * b FROM users", False),
        ("SELECT * FROM orders", False),
    ],
)
def test_who_reads_all_columns(text: str, reads: bool) -> None:
    assert reads_all(text, Going("column", "public.users", "old")) is reads
