"""Rules of backfill and contract alone."""

from __future__ import annotations

from greenroom.adapters.database.judging.rule import Example, Rule
from greenroom.domain.schema import Stage

NEW = "ALTER TABLE users ADD COLUMN preference text"
FILL = "UPDATE users SET preference = old_preference WHERE preference IS NULL"


def _kept(value: str) -> str:
    """The new column, and the trigger that keeps it in step."""
    return (
        f"{NEW}; CREATE FUNCTION sync() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.preference := {value};"
        " RETURN NEW; END $$; CREATE TRIGGER sync BEFORE INSERT OR UPDATE ON users FOR EACH ROW EXECUTE FUNCTION sync()"
    )


TRIGGER = _kept("NEW.old_preference")
CARTS = "CREATE TABLE codes (name text PRIMARY KEY, code text); CREATE TABLE carts (name text, short text)"


def _backfill(sql: str, before: str = TRIGGER) -> Example:
    return Example(sql, Stage.BACKFILL, before=before)


def _contract(sql: str, before: str = "") -> Example:
    return Example(sql, Stage.CONTRACT, before=before)


RULES = (
    Rule(
        "backfill-ddl",
        "The schema is changed in backfill",
        "{what}: between checks and switch rows are moved, in batches that can be repeated; the schema changes"
        " in expand and"
        " contract.",
        "put what adds into expand.sql, what removes into contract.sql",
        _backfill("CREATE INDEX CONCURRENTLY users_preference ON users (preference)"),
        _backfill(FILL),
    ),
    Rule(
        "backfill-other",
        "No UPDATE",
        "{what} moves no rows.",
        "leave it out",
        _backfill("SELECT 1"),
        _backfill(FILL),
    ),
    Rule(
        "backfill-deletes",
        "Rows are deleted in backfill",
        "{what} on `{table}`: {running} still serves and may read these rows, and no rollback brings them back.",
        "leave the rows; contract.sql may drop the table",
        _backfill("DELETE FROM orders WHERE status = 'old'"),
        _backfill(FILL),
    ),
    Rule(
        "backfill-inserts",
        "Rows are added in backfill",
        "An INSERT into `{table}` is no UPDATE that goes through a table by ranges of its key: it cannot be cut"
        " into batches, and"
        " a repetition after a crash adds the rows twice.",
        "insert few, fixed rows in expand.sql into a table of this release; let the new version or a trigger"
        " make the others",
        _backfill("INSERT INTO orders SELECT id, id, 'new' FROM users"),
        _backfill(FILL),
    ),
    Rule(
        "backfill-joins",
        "An UPDATE of more than one table, or of so many rows",
        "FROM, JOIN and LIMIT cannot be kept to a range of keys of `{table}`: a batch would lock more than it changes.",
        "a subquery: SET column = (SELECT o.name FROM other o WHERE o.id = {table}.other_id)",
        _backfill("UPDATE users SET preference = o.note FROM orders o WHERE o.user_id = users.id"),
        _backfill("UPDATE carts SET short = (SELECT c.code FROM codes c WHERE c.name = carts.name)", CARTS),
    ),
    Rule(
        "backfill-existing",
        "A column that the running version knows is changed",
        "{reads} `{table}.{column}` while the backfill runs, and writes it: it would read other values than it"
        " wrote, and a"
        " rollback would not bring them back.",
        "a new column for the new values: ALTER TABLE {table} ADD COLUMN …; in expand.sql",
        _backfill("UPDATE users SET email = lower(email)"),
        _backfill(FILL),
    ),
    Rule(
        "backfill-not-in-step",
        "Nothing keeps in step what is filled",
        "{writes} `{name}` once the backfill is verified, and {what}: the new version finds an old value there, or none.",
        "a trigger in expand.sql that gives the column its value, or a default where it depends on nothing",
        _backfill(FILL, NEW),
        _backfill(FILL),
    ),
    Rule(
        "backfill-not-repeatable",
        "Done twice it gives something else",
        "`{column} = {what}` gives another value each time: after a crash nobody can tell which rows are done,"
        " and the backfill is"
        " never verified.",
        "derive it from columns that do not change; or backfill.yaml with `verify: {column} IS NOT NULL`",
        _backfill("UPDATE users SET preference = preference || '!'"),
        _backfill("UPDATE users SET preference = old_preference || '!'", _kept("NEW.old_preference || '!'")),
    ),
    Rule(
        "contract-adds",
        "Something is added in contract",
        "{what} {name}: the version that serves was started without it; contract only removes.",
        "put it into expand.sql of the release that needs it",
        _contract("ALTER TABLE users ADD COLUMN nickname text"),
        _contract("ALTER TABLE users DROP COLUMN old_preference"),
    ),
    Rule(
        "contract-rows",
        "Rows are changed or deleted in contract",
        "{what} on `{table}`: {running} serves from these rows, and what is deleted or overwritten cannot be restored.",
        "drop the column or table as a whole; change rows in backfill.sql of a release",
        _contract("DELETE FROM orders"),
        _contract("DROP TABLE orders"),
    ),
    Rule(
        "contract-drops-new",
        "Contract drops what the same release made",
        "`{name}` was made by this release's expand, and {running} uses it.",
        "drop the old one; was it a slip of names?",
        _contract("ALTER TABLE users DROP COLUMN preference", NEW),
        _contract("ALTER TABLE users DROP COLUMN old_preference", NEW),
    ),
    Rule(
        "column-before-trigger",
        "A column goes before the trigger that writes it",
        "The trigger {name} writes `{table}.{column}`: from the moment that the column has gone until the"
        " trigger has, every write"
        " of {running} fails.",
        "ALTER TABLE {table} DISABLE TRIGGER {name}, DROP COLUMN {column}; then DROP TRIGGER {name} ON {table};",
        _contract("ALTER TABLE users DROP COLUMN old_preference; DROP TRIGGER sync ON users", TRIGGER),
        _contract("DROP TRIGGER sync ON users; ALTER TABLE users DROP COLUMN old_preference", TRIGGER),
    ),
    Rule(
        "not-null-unproved",
        "NOT NULL without a proof",
        "The server reads the whole of `{table}`, and nobody can use it meanwhile; if one row is NULL, it fails.",
        "ALTER TABLE {table} ADD CONSTRAINT {table}_{column}_set CHECK ({column} IS NOT NULL) NOT VALID; ALTER"
        " TABLE {table}"
        " VALIDATE CONSTRAINT {table}_{column}_set; then SET NOT NULL reads no row",
        _contract("ALTER TABLE users ALTER COLUMN age SET NOT NULL"),
        _contract(
            "ALTER TABLE users ADD CONSTRAINT set CHECK (age IS NOT NULL) NOT VALID; ALTER TABLE users VALIDATE"
            " CONSTRAINT set;"
            " ALTER TABLE users ALTER COLUMN age SET NOT NULL"
        ),
    ),
)
