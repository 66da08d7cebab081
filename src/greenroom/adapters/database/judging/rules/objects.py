"""Rules about functions, triggers, views, types, sequences, policies and privileges."""

from __future__ import annotations

from greenroom.adapters.database.judging.rule import Example, Rule
from greenroom.domain.schema import Ruling, Stage

RULES = (
    Rule(
        "create-trigger",
        "A trigger on a table that the running version writes",
        "The trigger {name} runs within every write of {running} to `{table}`: what it does to them cannot be"
        " read here, and if it"
        " fails, they fail.",
        "a BEFORE trigger that does nothing but `NEW.new_column := …;` for columns that this release adds, its"
        " function made in"
        " the same file; or `greenroom db rename`, which writes one",
        Example("CREATE TRIGGER log BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION note_it()"),
        Example(
            "ALTER TABLE users ADD COLUMN mail text; CREATE FUNCTION fill_mail() RETURNS trigger LANGUAGE"
            " plpgsql AS $$ BEGIN"
            " NEW.mail := lower(NEW.email); RETURN NEW; END $$; CREATE TRIGGER fill_mail BEFORE INSERT OR UPDATE"
            " ON users FOR EACH"
            " ROW EXECUTE FUNCTION fill_mail()"
        ),
    ),
    Rule(
        "switch-trigger",
        "Triggers or rules of a table are switched on or off",
        "{what} on `{table}`: writes of {running} do more, or less, than it relies on.",
        "leave it; contract.sql may drop the trigger",
        Example("ALTER TABLE orders DISABLE TRIGGER ALL"),
        Example("COMMENT ON TABLE orders IS 'bought'"),
    ),
    Rule(
        "drop-trigger",
        "A trigger goes while the running version may rely on it",
        "{writes} `{table}` and relies on what {name} does then.",
        "put `DROP TRIGGER {name} ON {table};` into contract.sql",
        Example("DROP TRIGGER note ON orders"),
        Example("DROP TRIGGER note ON orders", Stage.CONTRACT),
    ),
    Rule(
        "create-rule",
        "A rewrite rule on a table that the running version uses",
        "The rule {name} makes other statements of what {running} says to `{table}`.",
        "a view with another name for the new version",
        Example("CREATE RULE quiet AS ON DELETE TO orders DO INSTEAD NOTHING"),
        Example("CREATE VIEW purchases AS SELECT * FROM orders"),
    ),
    Rule(
        "replace-function",
        "A function is replaced while the running version may call it",
        "{calls} {name}(), itself or by a trigger, and would get other answers in the middle of its work.",
        "CREATE FUNCTION with another name, which the new version calls; contract.sql drops the old one",
        Example("CREATE OR REPLACE FUNCTION greet(text) RETURNS text LANGUAGE sql AS 'SELECT upper($1)'"),
        Example("CREATE FUNCTION greet_loudly(text) RETURNS text LANGUAGE sql AS 'SELECT upper($1)'"),
    ),
    Rule(
        "drop-function",
        "A function goes while the running version may call it",
        "{calls} {name}(), itself or by a trigger, a default or an index.",
        "put the DROP into contract.sql",
        Example("DROP FUNCTION greet(text)"),
        Example("DROP FUNCTION greet(text)", Stage.CONTRACT),
    ),
    Rule(
        "replace-view",
        "A view is replaced while the running version may read it",
        "{reads} `{name}` and would get other rows or columns in the middle of its work.",
        "CREATE VIEW with another name, which the new version reads; contract.sql drops the old one",
        Example("CREATE OR REPLACE VIEW mails AS SELECT id, lower(email) AS email FROM users"),
        Example("CREATE VIEW low_mails AS SELECT id, lower(email) AS email FROM users"),
    ),
    Rule(
        "drop-view",
        "A view goes while the running version may read it",
        "{reads} `{name}`.",
        "put `DROP VIEW {name};` into contract.sql",
        Example("DROP VIEW mails"),
        Example("DROP VIEW mails", Stage.CONTRACT),
    ),
    Rule(
        "drop-type",
        "A type or domain goes while the running version may use it",
        "{uses} the type {name}, in casts and in what it writes.",
        "put the DROP into contract.sql",
        Example("DROP TYPE mood"),
        Example("DROP TYPE mood", Stage.CONTRACT),
    ),
    Rule(
        "enum-value",
        "An enumeration gets another value",
        "{reads} values of {name}, and may not know the new one once the new version writes it. It cannot be"
        " taken away again.",
        "let the new version write it only when {running} has gone",
        Example("ALTER TYPE mood ADD VALUE 'bored'"),
        Example("CREATE TYPE temper AS ENUM ('hot', 'cold')"),
        Ruling.WARN,
    ),
    Rule(
        "change-type-definition",
        "A type or domain is changed",
        "{uses} {name}: {what} changes what its values are called, or which are good; every table with it may be"
        " read under a"
        " lock.",
        "a new type, and a new column of it",
        Example("ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'"),
        Example("CREATE TYPE temper AS ENUM ('hot', 'cold')"),
    ),
    Rule(
        "change-sequence",
        "A sequence is changed",
        "{uses} numbers of {name}: {what} can give a number twice, or none.",
        "a sequence of its own for the new version",
        Example("ALTER SEQUENCE tickets RESTART WITH 1"),
        Example("CREATE SEQUENCE bills"),
    ),
    Rule(
        "drop-sequence",
        "A sequence goes while the running version may draw from it",
        "{uses} numbers of {name}, itself or by a default.",
        "put `DROP SEQUENCE {name};` into contract.sql",
        Example("DROP SEQUENCE tickets"),
        Example("DROP SEQUENCE tickets", Stage.CONTRACT),
    ),
    Rule(
        "row-security",
        "Who may see which rows is changed",
        "{what} on `{table}`: {running} may see fewer rows from now on, or none, without any error.",
        "make policies on tables of this release; on others, in contract.sql or outside of a release",
        Example("ALTER TABLE orders ENABLE ROW LEVEL SECURITY"),
        Example("CREATE TABLE carts (id bigint); ALTER TABLE carts ENABLE ROW LEVEL SECURITY"),
    ),
    Rule(
        "alter-object",
        "Something that is there is changed",
        "{what}: {uses} {name} as it is.",
        "make another one for the new version; contract.sql drops the old one",
        Example("ALTER FUNCTION greet(text) STRICT"),
        Example("CREATE FUNCTION welcome(text) RETURNS text LANGUAGE sql STRICT AS 'SELECT $1'"),
    ),
    Rule(
        "drop-object",
        "Something goes with more than its name says",
        "{what} {name}: {uses} what is in it or depends on it.",
        "drop one by one, in contract.sql, what you mean",
        Example("DROP SCHEMA shop", Stage.CONTRACT),
        Example("DROP TABLE orders", Stage.CONTRACT),
    ),
    Rule(
        "revoke",
        "Privileges are taken away",
        "REVOKE {what}: statements of {running} that need them fail from this moment on.",
        "take them away when {running} has gone, outside of a release",
        Example("REVOKE SELECT ON orders FROM shop"),
        Example("GRANT SELECT ON orders TO reports"),
    ),
    Rule(
        "change-owner",
        "Something gets another owner",
        "{running} may act as the owner of {name}, or have its privileges by that.",
        "GRANT what the other role needs",
        Example("ALTER TABLE orders OWNER TO reports"),
        Example("GRANT SELECT ON orders TO reports"),
    ),
)
