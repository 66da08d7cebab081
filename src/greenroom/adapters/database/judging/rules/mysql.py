"""Rules about what MySQL and MariaDB can do while users write, and about DDL that cannot be undone."""

from __future__ import annotations

from greenroom.adapters.database.judging.rule import Example, Rule
from greenroom.domain.schema import Dialect, Ruling, Stage

_SHOP = """
CREATE TABLE users (id int PRIMARY KEY, age int, name varchar(20), e enum('a', 'b'));
CREATE TABLE notes (id int PRIMARY KEY);
CREATE TABLE tags (id int PRIMARY KEY);
CREATE TABLE other.users (id int PRIMARY KEY);
"""


def _example(sql: str, stage: Stage = Stage.EXPAND, schema: str = _SHOP) -> Example:
    return Example(sql, stage, schema, dialect=Dialect.MYSQL)


RULES = (
    Rule(
        "copies-table",
        "The server can do this only by copying the table",
        "{what}: while every row of `{table}` is copied, nobody can write to it, {running} neither.",
        "a new column or table beside the old one, filled by backfill.sql; contract.sql drops the old one. Or change"
        " `{table}` outside of a release by pt-online-schema-change or gh-ost",
        _example("ALTER TABLE users CONVERT TO CHARACTER SET utf8mb4"),
        _example("ALTER TABLE users ADD COLUMN nickname varchar(50) CHARACTER SET utf8mb4"),
    ),
    Rule(
        "rebuilds-table",
        "The table is built anew while users go on",
        "{what}: the server writes every row of `{table}` anew. Users can read and write meanwhile, but it needs the"
        " table's size on disk once more, replicas fall behind by as long as it takes, and if a long transaction is"
        " open at its end all was for nothing.",
        "do it at a quiet hour; a big table outside of a release, by pt-online-schema-change or gh-ost",
        _example("ALTER TABLE users ENGINE=InnoDB"),
        _example("ALTER TABLE users ADD COLUMN nickname varchar(50)"),
        Ruling.WARN,
    ),
    Rule(
        "keeps-writers-out",
        "Nobody can write while this is built",
        "{what}: the server builds it under a lock, and {running} cannot write to `{table}` meanwhile.",
        "a new table that holds the text or place beside the key, with this index, kept up by the new version and"
        " filled by INSERTs in batches; or do it outside of a release by gh-ost",
        _example("CREATE FULLTEXT INDEX words ON users (name)"),
        _example("CREATE INDEX by_name ON users (name)"),
    ),
    Rule(
        "asks-for-lock",
        "The statement itself asks for a copy or a lock",
        "`{what}` keeps everybody who writes to `{table}` waiting until it is done, {running} too.",
        "leave ALGORITHM and LOCK out: Greenroom asks for INSTANT, then for INPLACE with LOCK=NONE, and takes no other",
        _example("ALTER TABLE users ADD COLUMN nickname varchar(50), ALGORITHM=COPY"),
        _example("ALTER TABLE users ADD COLUMN nickname varchar(50), ALGORITHM=INPLACE, LOCK=NONE"),
    ),
    Rule(
        "redefines-unknown",
        "A definition is stated anew, and nobody knows what it was",
        "MODIFY and CHANGE replace all of `{table}.{column}`: what they leave out (NOT NULL, the default, the"
        " character set) is gone, and whether the table is copied depends on what it was.",
        "show the table by `--schema SCHEMA.sql` or the shadow; to change only the default: ALTER TABLE {table}"
        " ALTER COLUMN {column} SET DEFAULT …",
        _example("ALTER TABLE users MODIFY name varchar(60)", schema="CREATE TABLE users LIKE people"),
        _example("ALTER TABLE users MODIFY name varchar(60)"),
    ),
    Rule(
        "narrows-type",
        "Values that are there, or that the running version writes, do not fit any more",
        "`{table}.{column}` becomes {type}: {running} fails where it writes what does not fit, and the table is"
        " copied.",
        "add a column of that type beside it, and let contract.sql drop the old one",
        _example("ALTER TABLE users MODIFY name varchar(10)"),
        _example("ALTER TABLE users MODIFY name varchar(40)"),
    ),
    Rule(
        "changes-collation",
        "What counts as equal in a column changes",
        "`{table}.{column}` gets the collation {type}: {running} finds other rows for the same text, in another order, and"
        " a unique index takes or refuses others.",
        "add a column with that collation beside it, and let contract.sql drop the old one",
        _example("ALTER TABLE users MODIFY name varchar(20) COLLATE utf8mb4_bin"),
        _example("ALTER TABLE users ADD COLUMN plain varchar(20) COLLATE utf8mb4_bin"),
    ),
    Rule(
        "no-transactions",
        "A table whose changes cannot be undone",
        "{what} knows no transactions: what is half done when a server or a backfill dies stays half done, and"
        " nobody can see how far it came.",
        "leave ENGINE out, or say ENGINE=InnoDB",
        _example("CREATE TABLE drafts (id int PRIMARY KEY) ENGINE=MyISAM"),
        _example("CREATE TABLE drafts (id int PRIMARY KEY) ENGINE=InnoDB"),
    ),
    Rule(
        "several-at-once",
        "One statement changes several tables",
        "DDL cannot be undone here: if the server dies in the middle, one table is changed and the other is not.",
        "a statement for each table",
        _example("DROP TABLE notes, tags", Stage.CONTRACT),
        _example("DROP TABLE notes; DROP TABLE tags", Stage.CONTRACT),
    ),
    Rule(
        "table-from-query",
        "A table is made and filled by one statement",
        "The making commits by itself and the rows do not: after a crash there may be an empty table that looks"
        " done; and the rows that are read may be locked until the end.",
        "CREATE TABLE in expand.sql; fill it by the new version, or by an INSERT … SELECT of few rows",
        _example("CREATE TABLE names AS SELECT name FROM users"),
        _example("CREATE TABLE names (name varchar(20) PRIMARY KEY)"),
    ),
    Rule(
        "other-database",
        "A table of another database",
        "`{name}` is not in the database of `migrations.url`: what becomes of it cannot be seen there after a"
        " crash, and other services may use it.",
        "leave the database's name out; what belongs to another database belongs to its own migrations",
        _example("ALTER TABLE other.users ADD COLUMN nickname varchar(50)"),
        _example("ALTER TABLE users ADD COLUMN nickname varchar(50)"),
    ),
)
