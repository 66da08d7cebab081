"""Rules about sessions, transactions, the server, and what nobody can read."""

from __future__ import annotations

from greenroom.adapters.database.judging.rule import Example, Rule
from greenroom.domain.schema import Stage

RULES = (
    Rule(
        "not-understood",
        "What it does cannot be told by reading it",
        "{what}. What nobody understands may do anything to {running}.",
        "write it as plain statements{rehearse}",
        Example("DO $$ BEGIN EXECUTE 'DROP TABLE orders'; END $$"),
        Example("ALTER TABLE orders ADD COLUMN code text"),
    ),
    Rule(
        "unknown-function",
        "A function is called whose effects nobody knows",
        "{name} is not built in, or has effects: it may write, lock or end sessions of {running}.",
        "write out what it does{rehearse}",
        Example("SELECT tidy_up()"),
        Example("SELECT count(*) FROM orders"),
    ),
    Rule(
        "server-refuses",
        "The server does not take the statement",
        "{what}",
        "correct the statement",
        Example("ALTER TABLE orders ADD COLUMN"),
        Example("ALTER TABLE orders ADD COLUMN code text"),
    ),
    Rule(
        "unknown-object",
        "What it is about is not there",
        "`{name}` is neither in the schema nor in what ran before: it never was expanded, has gone already, or has another"
        " name.",
        "look at its name; IF EXISTS only if it may be gone",
        Example("ALTER TABLE users DROP COLUMN older_preference", Stage.CONTRACT),
        Example("ALTER TABLE users DROP COLUMN old_preference", Stage.CONTRACT),
    ),
    Rule(
        "already-there",
        "There is one of this name",
        "`{name}` is there already, and nobody knows whether it is the same.",
        "take another name; IF NOT EXISTS only if it is sure to be the same",
        Example("ALTER TABLE users ADD COLUMN age integer"),
        Example("ALTER TABLE users ADD COLUMN height integer"),
    ),
    Rule(
        "session-setting",
        "The session is Greenroom's",
        "{what} would change how the statements behind it run: lock and statement timeouts protect {running} from this"
        " migration.",
        "leave it out; the times are settings of `migrations:` in greenroom.yaml",
        Example("SET lock_timeout = 0"),
        Example("ALTER TABLE orders ADD COLUMN code text"),
    ),
    Rule(
        "transaction-control",
        "Transactions are Greenroom's",
        "{what} would end or begin a transaction: Greenroom runs each statement in one of its own, so that locks"
        " are short and a"
        " crash loses nothing.",
        "leave it out",
        Example("BEGIN; ALTER TABLE orders ADD COLUMN code text; COMMIT"),
        Example("ALTER TABLE orders ADD COLUMN code text"),
    ),
    Rule(
        "lock-table",
        "A table is locked",
        "{what}: {running} waits, and the lock is gone with the statement's own transaction.",
        "leave it out: each statement takes the locks that it needs",
        Example("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE"),
        Example("ALTER TABLE orders ADD COLUMN code text"),
    ),
    Rule(
        "lock-rows",
        "Rows are locked",
        "FOR UPDATE or FOR SHARE: writes of {running} to these rows wait.",
        "leave it out",
        Example("SELECT * FROM orders FOR UPDATE"),
        Example("SELECT count(*) FROM orders"),
    ),
    Rule(
        "maintenance",
        "Maintenance within a release",
        "{what} is no change of the schema; it may keep {running} out of a table for as long as it takes.",
        "do it outside of a release",
        Example("VACUUM FULL orders"),
        Example("ANALYZE orders"),
    ),
    Rule(
        "server-wide",
        "It reaches beyond this database's tables",
        "{what}: roles, databases, extensions, settings, files and programs of the server belong to more than"
        " this release, and"
        " no rollback takes it back.",
        "do it by hand, before the release",
        Example("ALTER SYSTEM SET work_mem = '1GB'"),
        Example("CREATE SCHEMA reports"),
    ),
)
