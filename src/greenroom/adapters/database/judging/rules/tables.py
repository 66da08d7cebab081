"""Rules about whole tables and their rows."""

from __future__ import annotations

from greenroom.adapters.database.judging.rule import Example, Rule
from greenroom.domain.schema import Ruling, Stage

RULES = (
    Rule(
        "drop-table",
        "A table is dropped while the running version may use it",
        "{uses} `{table}`: every statement that names it fails from this moment on, and its rows are lost to a"
        " rollback.",
        "put `DROP TABLE {table};` into contract.sql",
        Example("DROP TABLE orders"),
        Example("DROP TABLE orders", Stage.CONTRACT),
    ),
    Rule(
        "rename-table",
        "A table or view gets another name or schema",
        "{uses} `{table}`: whichever version serves, the other one needs the other name.",
        "keep the name; a view `{to}` can give the table to the new version: CREATE VIEW {to} AS SELECT * FROM"
        " {table};",
        Example("ALTER TABLE orders RENAME TO purchases"),
        Example("CREATE VIEW purchases AS SELECT * FROM orders"),
    ),
    Rule(
        "rewrite-table",
        "A table is written anew",
        "{what}: every row of `{table}` is copied, and nobody can read or write the table meanwhile.",
        "a new table with that storage, filled by backfill.sql",
        Example("ALTER TABLE orders SET UNLOGGED"),
        Example("CREATE UNLOGGED TABLE carts (id bigint PRIMARY KEY)"),
    ),
    Rule(
        "partition",
        "Partitions of a table change",
        "{what} locks `{table}`, may read a whole partition under the lock, and decides where rows of {running}"
        " can go.",
        "CREATE TABLE … PARTITION OF for ranges that nobody has rows in yet; the rest outside of a release",
        Example("ALTER TABLE orders ATTACH PARTITION orders_2027 FOR VALUES FROM (1) TO (2)"),
        Example("CREATE TABLE months (id bigint) PARTITION BY RANGE (id)"),
    ),
    Rule(
        "table-action",
        "An action of ALTER TABLE that no rule knows to be harmless",
        "{what} on `{table}`: nobody has said that {running} can live with it, and for how long it locks.",
        "do it outside of a release, or override with the reason why it is harmless",
        Example("ALTER TABLE orders REPLICA IDENTITY NOTHING"),
        Example("ALTER TABLE orders SET (fillfactor = 90)"),
    ),
    Rule(
        "temporary-table",
        "A temporary table in a migration",
        "Every statement is a transaction of its own, maybe on another connection: `{table}` would not be there"
        " for the next one"
        " and would hide a table of that name until then.",
        "a table with a name of its own, dropped in contract.sql",
        Example("CREATE TEMPORARY TABLE chosen (id bigint)"),
        Example("CREATE TABLE chosen (id bigint)"),
    ),
    Rule(
        "rows-in-expand",
        "Rows of the running version are changed in expand",
        "{what} on `{table}` changes what {running} reads while it works, and locks all rows at once until it ends.",
        "put it into backfill.sql, where it is done in small batches",
        Example("UPDATE users SET old_preference = 'none' WHERE old_preference IS NULL"),
        Example("CREATE TABLE themes (name text PRIMARY KEY); INSERT INTO themes VALUES ('dark'), ('light')"),
    ),
    Rule(
        "seed-rows",
        "Rows are added to a table of the running version",
        "{reads} `{table}`, and finds rows that it may not know.",
        "rows that only the new version knows belong into a table of this release",
        Example("INSERT INTO orders (user_id, status) VALUES (1, 'sample')"),
        Example("CREATE TABLE themes (name text PRIMARY KEY); INSERT INTO themes (name) VALUES ('dark')"),
        Ruling.WARN,
    ),
    Rule(
        "truncate",
        "A table is emptied",
        "{reads} `{table}`: all its rows are gone at once, for a rollback too.",
        "leave the rows; contract.sql may drop the table",
        Example("TRUNCATE orders"),
        Example("CREATE TABLE carts (id bigint); TRUNCATE carts"),
    ),
    Rule(
        "cascade",
        "CASCADE takes what nobody named",
        "Whatever depends on `{name}` goes with it: views, foreign keys, functions that {running} may use, and"
        " no file says"
        " which.",
        "name each of them in a statement of its own, without CASCADE",
        Example("DROP TABLE orders CASCADE", Stage.CONTRACT),
        Example("DROP VIEW mails; DROP TABLE orders", Stage.CONTRACT),
    ),
)
