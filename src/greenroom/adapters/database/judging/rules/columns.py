"""Rules about columns of tables that the running version uses."""

from __future__ import annotations

from greenroom.adapters.database.judging.rule import Example, Rule
from greenroom.domain.schema import Ruling, Stage

RULES = (
    Rule(
        "drop-column",
        "A column is dropped while the running version may use it",
        "{uses} `{table}.{column}`: every statement that names it fails from this moment on, and a rollback"
        " finds no column.",
        "put `ALTER TABLE {table} DROP COLUMN {column};` into contract.sql",
        Example("ALTER TABLE users DROP COLUMN old_preference"),
        Example("ALTER TABLE users DROP COLUMN old_preference", Stage.CONTRACT),
    ),
    Rule(
        "rename-column",
        "A column gets another name",
        "{uses} `{table}.{column}`: whichever version serves, the other one needs the other name.",
        "`greenroom db rename {table}.{column} {to}`: both columns are there, kept equal by a trigger, until contract",
        Example("ALTER TABLE users RENAME COLUMN old_preference TO preference"),
        Example("ALTER TABLE users ADD COLUMN preference text"),
    ),
    Rule(
        "change-type",
        "A column gets another type",
        "The table is written anew while nobody can read or write it, or values change for {running}; statements"
        " that it has"
        " prepared fail. {uses} `{table}.{column}` as it was.",
        "`greenroom db retype {table}.{column} {type}`: a second column of the new type, filled in batches",
        Example("ALTER TABLE orders ALTER COLUMN id TYPE numeric"),
        Example("ALTER TABLE orders ADD COLUMN number numeric"),
    ),
    Rule(
        "widen-type",
        "A column's type gets wider",
        "No row is written anew, but statements that {running} has prepared may fail once with `cached plan must"
        " not change"
        " result type`, and it may read values that are longer than it expects.",
        "deploy at a quiet hour, or let {running} prepare nothing on the server",
        Example("ALTER TABLE users ALTER COLUMN nick TYPE varchar(200)"),
        Example("ALTER TABLE users ALTER COLUMN email SET STATISTICS 500"),
        Ruling.WARN,
    ),
    Rule(
        "add-not-null-column",
        "A new column may not be NULL and has no default",
        "{running} does not know `{table}.{column}`: its INSERTs leave it NULL and fail; and so does this"
        " statement if there are"
        " rows.",
        "ALTER TABLE {table} ADD COLUMN {column} {type}; and in contract.sql a validated CHECK, then SET NOT NULL",
        Example("ALTER TABLE users ADD COLUMN plan text NOT NULL"),
        Example("ALTER TABLE users ADD COLUMN plan text NOT NULL DEFAULT 'free'"),
    ),
    Rule(
        "volatile-default",
        "A new column's default differs from row to row",
        "`{default}` is worked out for every row: the whole of `{table}` is written anew, and nobody can read or"
        " write it"
        " meanwhile.",
        "ALTER TABLE {table} ADD COLUMN {column} {type}; ALTER TABLE {table} ALTER COLUMN {column} SET DEFAULT"
        " {default}; and"
        " fill the old rows in backfill.sql",
        Example("ALTER TABLE users ADD COLUMN token uuid DEFAULT gen_random_uuid()"),
        Example("ALTER TABLE users ADD COLUMN seen timestamptz DEFAULT now()"),
    ),
    Rule(
        "add-generated",
        "A new column is computed and stored",
        "Every row of `{table}` is written anew to hold `{column}`, and nobody can read or write the table meanwhile.",
        "ALTER TABLE {table} ADD COLUMN {column} {type}; with a trigger that fills it, and backfill.sql for the"
        " old rows",
        Example("ALTER TABLE users ADD COLUMN mail text GENERATED ALWAYS AS (lower(email)) STORED"),
        Example("ALTER TABLE users ADD COLUMN mail text"),
    ),
    Rule(
        "add-identity",
        "A new column counts by itself",
        "Every row of `{table}` gets its number: the table is written anew, and nobody can read or write it meanwhile.",
        "ALTER TABLE {table} ADD COLUMN {column} bigint; with a sequence as its default, and backfill.sql for"
        " the old rows",
        Example("ALTER TABLE users ADD COLUMN number bigserial"),
        Example("ALTER TABLE users ADD COLUMN number bigint"),
    ),
    Rule(
        "domain-column",
        "A new column's type is a domain, or not known",
        "`{type}` may be a domain with a condition: then the whole of `{table}` is written anew while nobody can"
        " use it, and"
        " INSERTs of {running} may not satisfy it.",
        "use the type below the domain; or show the type's making by `--schema`",
        Example("ALTER TABLE users ADD COLUMN zip zip_code"),
        Example("ALTER TABLE users ADD COLUMN mood mood"),
    ),
    Rule(
        "json-column",
        "A new column of type json",
        "Two values of json cannot be compared: a SELECT DISTINCT, GROUP BY or UNION of {running} over all columns of"
        " `{table}` fails from now on.",
        "ALTER TABLE {table} ADD COLUMN {column} jsonb;",
        Example("ALTER TABLE users ADD COLUMN extra json"),
        Example("ALTER TABLE users ADD COLUMN extra jsonb"),
        Ruling.WARN,
    ),
    Rule(
        "drop-default",
        "A column loses its default",
        "INSERTs of {running} that leave `{table}.{column}` out get NULL from now on, or fail if it may not be NULL.",
        "put `ALTER TABLE {table} ALTER COLUMN {column} DROP DEFAULT;` into contract.sql",
        Example(
            "ALTER TABLE users ADD COLUMN plan text NOT NULL DEFAULT 'free'; ALTER TABLE users ALTER COLUMN plan"
            " DROP DEFAULT"
        ),
        Example("ALTER TABLE users ADD COLUMN plan text NOT NULL DEFAULT 'free'"),
    ),
    Rule(
        "change-default",
        "A column gets another default",
        "INSERTs of {running} that leave `{table}.{column}` out get {default} from now on, which it may not know.",
        "let the new version name the column in its INSERTs, and change the default in contract.sql",
        Example("ALTER TABLE orders ALTER COLUMN status SET DEFAULT 'open'"),
        Example("ALTER TABLE orders ALTER COLUMN status SET DEFAULT 'open'", Stage.CONTRACT),
    ),
    Rule(
        "set-not-null",
        "A column may no longer be NULL",
        "{running} may still write NULL into `{table}.{column}`, or leave it out, and would fail; and the server"
        " reads the whole"
        " table while nobody can use it.",
        "in contract.sql: ALTER TABLE {table} ADD CONSTRAINT {table}_{column}_set CHECK ({column} IS NOT NULL)"
        " NOT VALID; ALTER"
        " TABLE {table} VALIDATE CONSTRAINT {table}_{column}_set; ALTER TABLE {table} ALTER COLUMN {column} SET"
        " NOT NULL;",
        Example("ALTER TABLE users ALTER COLUMN age SET NOT NULL"),
        Example(
            "ALTER TABLE users ADD CONSTRAINT age_set CHECK (age IS NOT NULL) NOT VALID; ALTER TABLE users"
            " VALIDATE CONSTRAINT"
            " age_set; ALTER TABLE users ALTER COLUMN age SET NOT NULL",
            Stage.CONTRACT,
        ),
    ),
    Rule(
        "drop-not-null",
        "A column may be NULL from now on",
        "{reads} `{table}.{column}`, and may not expect NULL once the new version writes it.",
        "let the new version write NULL only when {running} has gone",
        Example("ALTER TABLE users ALTER COLUMN email DROP NOT NULL"),
        Example("ALTER TABLE users ALTER COLUMN email DROP NOT NULL", Stage.CONTRACT),
        Ruling.WARN,
    ),
    Rule(
        "column-action",
        "A column's identity, storage or expression is changed",
        "{what} on `{table}` changes what INSERTs of {running} get, or writes the table anew.",
        "add another column; contract.sql drops the old one",
        Example("ALTER TABLE users ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY"),
        Example("ALTER TABLE users ALTER COLUMN email SET STATISTICS 500"),
    ),
)
