"""Rules about constraints and indexes of tables that the running version uses."""

from __future__ import annotations

from greenroom.adapters.database.judging.rule import Example, Rule
from greenroom.domain.schema import Ruling, Stage

ADD_AGE = "ALTER TABLE users ADD COLUMN grade integer"

RULES = (
    Rule(
        "check-locks",
        "A CHECK is proved while nobody can use the table",
        "The server reads the whole of `{table}`, and nobody can read or write it meanwhile.",
        "ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({condition}) NOT VALID; ALTER TABLE {table} VALIDATE"
        " CONSTRAINT {name};",
        Example(f"{ADD_AGE}; ALTER TABLE users ADD CONSTRAINT grade CHECK (grade > 0)"),
        Example(f"{ADD_AGE}; ALTER TABLE users ADD CONSTRAINT grade CHECK (grade > 0) NOT VALID"),
    ),
    Rule(
        "check-breaks-writes",
        "Rows that the running version writes may not satisfy a CHECK",
        "{writes} rows of `{table}` without knowing of `{condition}`: NOT VALID spares old rows only, every new"
        " one is checked,"
        " and its INSERT or UPDATE fails.",
        "put the CHECK into contract.sql, when only the new version writes",
        Example("ALTER TABLE users ADD CONSTRAINT grown CHECK (age > 17) NOT VALID"),
        Example("ALTER TABLE users ADD CONSTRAINT grown CHECK (age > 17) NOT VALID", Stage.CONTRACT),
    ),
    Rule(
        "unique-locks",
        "A unique index is built while nobody can write",
        "The index on `{table}` is built under a lock that keeps out everybody who wants to write, and maybe to read.",
        "CREATE UNIQUE INDEX CONCURRENTLY {name} ON {table} ({columns}); then ALTER TABLE {table} ADD CONSTRAINT"
        " {name} UNIQUE"
        " USING INDEX {name};",
        Example("ALTER TABLE users ADD COLUMN code text UNIQUE"),
        Example(
            "ALTER TABLE users ADD COLUMN code text; CREATE UNIQUE INDEX CONCURRENTLY users_code ON users"
            " (code); ALTER TABLE"
            " users ADD CONSTRAINT users_code UNIQUE USING INDEX users_code"
        ),
    ),
    Rule(
        "unique-breaks-writes",
        "The running version may write what is unique from now on",
        "{writes} `{table}` ({columns}) without knowing that it is to be unique: its INSERT or UPDATE fails as"
        " soon as two rows"
        " agree; if two do so now, this statement fails.",
        "put it into contract.sql, when only the new version writes",
        Example("CREATE UNIQUE INDEX CONCURRENTLY orders_user ON orders (user_id)"),
        Example("CREATE UNIQUE INDEX CONCURRENTLY orders_user ON orders (user_id)", Stage.CONTRACT),
    ),
    Rule(
        "primary-key-reads",
        "Columns of a primary key are proved not to be NULL while nobody can use the table",
        "A primary key by the index {name} makes its columns NOT NULL: the whole of `{table}` is read, and"
        " nobody can use it"
        " meanwhile.",
        "first a validated CHECK that they are not NULL, and SET NOT NULL, in contract.sql",
        Example(
            "CREATE UNIQUE INDEX CONCURRENTLY users_age ON users (age); ALTER TABLE users ADD CONSTRAINT"
            " users_by_age PRIMARY KEY"
            " USING INDEX users_age",
            Stage.CONTRACT,
        ),
        Example(
            "CREATE UNIQUE INDEX CONCURRENTLY users_mail ON users (email); ALTER TABLE users ADD CONSTRAINT"
            " users_by_mail UNIQUE"
            " USING INDEX users_mail",
            Stage.CONTRACT,
        ),
    ),
    Rule(
        "foreign-key-locks",
        "A foreign key is proved while nobody can write",
        "The server reads the whole of `{table}` and looks up every row; nobody can write to it or to the other"
        " table meanwhile.",
        "add it NOT VALID, then ALTER TABLE {table} VALIDATE CONSTRAINT …; as a statement of its own",
        Example("ALTER TABLE orders ADD CONSTRAINT buyer FOREIGN KEY (user_id) REFERENCES users (id)"),
        Example(
            "ALTER TABLE orders ADD CONSTRAINT buyer FOREIGN KEY (user_id) REFERENCES users (id) NOT VALID;"
            " ALTER TABLE orders"
            " VALIDATE CONSTRAINT buyer",
            Stage.CONTRACT,
        ),
    ),
    Rule(
        "foreign-key-breaks-writes",
        "The running version may write rows that a new foreign key refuses",
        "{writes} `{table}` ({columns}) and deletes from `{name}` without knowing of the key: what refers to"
        " nothing is refused"
        " from now on, also with NOT VALID, which spares old rows only.",
        "put it into contract.sql, when only the new version writes",
        Example("ALTER TABLE orders ADD CONSTRAINT buyer FOREIGN KEY (user_id) REFERENCES users (id) NOT VALID"),
        Example(
            "ALTER TABLE orders ADD CONSTRAINT buyer FOREIGN KEY (user_id) REFERENCES users (id) NOT VALID",
            Stage.CONTRACT,
        ),
    ),
    Rule(
        "foreign-key-at-once",
        "A new column refers to another table",
        "Two tables, `{table}` and `{name}`, are locked together, for a moment; and a row of `{name}` that a row"
        " of the new"
        " version refers to cannot be deleted by {running}, unless the key says ON DELETE.",
        "add the column alone, then the key NOT VALID, then VALIDATE CONSTRAINT",
        Example("ALTER TABLE orders ADD COLUMN buyer bigint REFERENCES users (id) ON DELETE SET NULL"),
        Example("ALTER TABLE orders ADD COLUMN buyer bigint"),
        Ruling.WARN,
    ),
    Rule(
        "reference-blocks-delete",
        "Rows of the running version may no longer be deleted",
        "Once a row of `{name}` refers to a row of `{table}`, {running} cannot delete that one any more: it"
        " knows nothing of"
        " `{name}`.",
        "say what is to happen: ON DELETE CASCADE or ON DELETE SET NULL; or add the key in contract.sql",
        Example("CREATE TABLE preferences (user_id bigint PRIMARY KEY REFERENCES users (id), theme text)"),
        Example(
            "CREATE TABLE preferences (user_id bigint PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE, theme text)"
        ),
        Ruling.WARN,
    ),
    Rule(
        "exclude-locks",
        "An exclusion constraint is built while nobody can use the table",
        "Its index cannot be built beside the work of others: nobody can read or write `{table}` meanwhile, and rows of"
        " {running} may collide afterwards.",
        "a new table with the constraint, filled by backfill.sql",
        Example("ALTER TABLE orders ADD CONSTRAINT one_each EXCLUDE USING gist (user_id WITH =)"),
        Example("CREATE TABLE bookings (room integer, at tsrange, EXCLUDE USING gist (at WITH &&))"),
    ),
    Rule(
        "validate-at-once",
        "A constraint is added and proved in one statement",
        "The lock of ADD CONSTRAINT is held while the whole of `{table}` is read for {name}: NOT VALID gains nothing.",
        "VALIDATE CONSTRAINT {name} as a statement of its own, which is a transaction of its own",
        Example(
            f"{ADD_AGE}; ALTER TABLE users ADD CONSTRAINT grade CHECK (grade > 0) NOT VALID, VALIDATE CONSTRAINT grade"
        ),
        Example(
            f"{ADD_AGE}; ALTER TABLE users ADD CONSTRAINT grade CHECK (grade > 0) NOT VALID; ALTER TABLE users VALIDATE"
            " CONSTRAINT grade"
        ),
    ),
    Rule(
        "drop-constraint",
        "A constraint goes while the running version may rely on it",
        "{uses} what `{name}` of `{table}` guards: an ON CONFLICT that names it fails, and rows that it never"
        " expected may come.",
        "put `ALTER TABLE {table} DROP CONSTRAINT {name};` into contract.sql",
        Example("ALTER TABLE users DROP CONSTRAINT users_pkey"),
        Example("ALTER TABLE users DROP CONSTRAINT users_pkey", Stage.CONTRACT),
    ),
    Rule(
        "rename-constraint",
        "A constraint gets another name",
        "{uses} it by its name, in ON CONFLICT ON CONSTRAINT or to tell one error from another.",
        "leave the name, or change it in contract.sql when nobody asks for it",
        Example("ALTER TABLE users RENAME CONSTRAINT users_pkey TO users_key"),
        Example("COMMENT ON CONSTRAINT users_pkey ON users IS 'the key'"),
    ),
    Rule(
        "index-locks",
        "An index is built while nobody can write",
        "{running} cannot write to `{table}` until the index is built.",
        "{written};",
        Example("CREATE INDEX orders_user_idx ON orders (user_id)"),
        Example("CREATE INDEX CONCURRENTLY orders_user_idx ON orders (user_id)"),
    ),
    Rule(
        "index-on-partitions",
        "An index on a partitioned table, built beside the work of others",
        "PostgreSQL cannot do it for the whole of `{table}` at once.",
        "CREATE INDEX {name} ON ONLY {table} ({columns}); then for each partition CREATE INDEX CONCURRENTLY, and ALTER INDEX"
        " {name} ATTACH PARTITION …;",
        Example(
            "CREATE INDEX CONCURRENTLY days_idx ON days (at)",
            schema="CREATE TABLE days (at date) PARTITION BY RANGE (at)",
        ),
        Example(
            "CREATE INDEX days_idx ON ONLY days (at)", schema="CREATE TABLE days (at date) PARTITION BY RANGE (at)"
        ),
    ),
    Rule(
        "index-can-fail",
        "An index on an expression that refuses some values",
        "`{what}` fails for some values: rows of {running} that hold one can no longer be written, though only"
        " the index fails.",
        "a new column that holds the value, filled by backfill.sql, and the index on it",
        Example("CREATE INDEX CONCURRENTLY orders_number ON orders ((note::integer))"),
        Example("CREATE INDEX CONCURRENTLY orders_note ON orders (lower(note))"),
    ),
    Rule(
        "drop-index",
        "An index goes while the running version may need it",
        "{running} may be slow without `{name}`, or fail, if it is unique and an ON CONFLICT asks for it.",
        "put `DROP INDEX CONCURRENTLY {name};` into contract.sql",
        Example("DROP INDEX CONCURRENTLY orders_status_idx"),
        Example("DROP INDEX CONCURRENTLY orders_status_idx", Stage.CONTRACT),
    ),
    Rule(
        "drop-index-locks",
        "An index is dropped under a lock",
        "Nobody can read or write the table while DROP INDEX waits for its turn and works.",
        "DROP INDEX CONCURRENTLY {name};",
        Example("DROP INDEX orders_status_idx", Stage.CONTRACT),
        Example("DROP INDEX CONCURRENTLY orders_status_idx", Stage.CONTRACT),
        Ruling.WARN,
    ),
    Rule(
        "rename-index",
        "An index gets another name",
        "{uses} it by its name, if it belongs to a constraint that ON CONFLICT ON CONSTRAINT names.",
        "leave the name",
        Example("ALTER INDEX orders_status_idx RENAME TO orders_by_status"),
        Example("ALTER INDEX orders_status_idx SET (fillfactor = 90)"),
        Ruling.WARN,
    ),
)
