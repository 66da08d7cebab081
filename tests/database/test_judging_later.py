"""Backfill and contract, and harmless files of all phases: whole lists of both kinds."""

from __future__ import annotations

import pytest

from greenroom.adapters.database.judging import Example
from greenroom.adapters.database.judging.rule import SHOP
from greenroom.domain.schema import Ruling, Stage
from tests.database.examples import judged

NEW = "ALTER TABLE users ADD COLUMN preference text"
TRIGGER = (
    f"{NEW}; CREATE FUNCTION sync() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.preference := NEW.old_preference;"
    " RETURN NEW; END $$; CREATE TRIGGER sync BEFORE INSERT OR UPDATE ON users FOR EACH ROW EXECUTE FUNCTION sync()"
)


@pytest.mark.parametrize(
    ("stage", "sql", "before"),
    [
        (Stage.BACKFILL, "UPDATE users SET age = 1", NEW),
        (Stage.BACKFILL, "UPDATE users SET age = -age", NEW),
        (Stage.BACKFILL, "UPDATE users SET preference = email, email = 'x'", NEW),
        (Stage.BACKFILL, "UPDATE users SET preference = f(email)", NEW),
        (Stage.BACKFILL, "UPDATE users SET preference = (SELECT setval('tickets', 1))::text", NEW),
        (Stage.BACKFILL, "UPDATE users u SET preference = o.note FROM orders o WHERE o.user_id = u.id", NEW),
        (Stage.BACKFILL, "UPDATE users SET preference = preference || 'x'", NEW),
        (Stage.BACKFILL, "UPDATE users SET preference = random()::text", NEW),
        (Stage.BACKFILL, "UPDATE users SET preference = now()::text", NEW),
        (Stage.BACKFILL, "UPDATE users SET preference = CURRENT_TIMESTAMP", NEW),
        (Stage.BACKFILL, "UPDATE users SET preference = nextval('tickets')::text", NEW),
        (Stage.BACKFILL, "UPDATE users SET preference = (WITH d AS (DELETE FROM orders RETURNING 1) SELECT 1)", NEW),
        (Stage.BACKFILL, "WITH d AS (DELETE FROM orders) UPDATE users SET preference = 'x'", NEW),
        (Stage.BACKFILL, "DELETE FROM users", NEW),
        (Stage.BACKFILL, "TRUNCATE orders", NEW),
        (Stage.BACKFILL, "INSERT INTO orders (id, user_id) SELECT id, id FROM users", NEW),
        (Stage.BACKFILL, "ALTER TABLE users ADD COLUMN x int", NEW),
        (Stage.BACKFILL, "CREATE INDEX i ON users (preference)", NEW),
        (Stage.BACKFILL, "DROP TABLE orders", NEW),
        (Stage.BACKFILL, "DO $$ BEGIN END $$", NEW),
        (Stage.BACKFILL, "SET work_mem = '1GB'", NEW),
        (Stage.BACKFILL, "COMMIT", NEW),
        (Stage.BACKFILL, "VACUUM users", NEW),
        (Stage.BACKFILL, "SELECT f()", NEW),
        (Stage.BACKFILL, "MERGE INTO users USING orders ON true WHEN MATCHED THEN DELETE", NEW),
        (Stage.BACKFILL, "COPY users FROM '/tmp/x'", NEW),
        (Stage.BACKFILL, "UPDATE orders SET status = 'x'", NEW),
        (Stage.BACKFILL, "UPDATE users SET (preference, age) = ('x', 1)", NEW),
        (Stage.BACKFILL, "LOCK TABLE users", NEW),
        (Stage.BACKFILL, "CALL fill()", NEW),
        (Stage.BACKFILL, "GRANT ALL ON users TO x", NEW),
        (Stage.BACKFILL, "COMMENT ON TABLE users IS 'x'", NEW),
        (Stage.BACKFILL, "ANALYZE users", NEW),
        (Stage.CONTRACT, "ALTER TABLE users DROP COLUMN preference", NEW),
        (Stage.CONTRACT, "DROP TABLE users CASCADE", ""),
        (Stage.CONTRACT, "ALTER TABLE users DROP COLUMN age CASCADE", ""),
        (Stage.CONTRACT, "DROP TABLE carts", "CREATE TABLE carts (id int)"),
        (Stage.CONTRACT, "DROP TABLE carts", "CREATE TABLE IF NOT EXISTS carts (id int)"),
        (Stage.CONTRACT, "ALTER TABLE users DROP COLUMN old_preference", TRIGGER),
        (
            Stage.CONTRACT,
            "ALTER TABLE users DROP COLUMN old_preference; DROP TRIGGER sync ON users; DROP FUNCTION sync()",
            TRIGGER,
        ),
        (Stage.CONTRACT, "DELETE FROM users", ""),
        (Stage.CONTRACT, "TRUNCATE users", ""),
        (Stage.CONTRACT, "UPDATE users SET age = 1", ""),
        (Stage.CONTRACT, "INSERT INTO users (id) VALUES (1)", ""),
        (Stage.CONTRACT, "ALTER TABLE users ALTER age SET NOT NULL", ""),
        (
            Stage.CONTRACT,
            (
                "ALTER TABLE users ADD CONSTRAINT c CHECK (age IS NOT NULL) NOT VALID; ALTER TABLE users ALTER "
                "age SET NOT NULL"
            ),
            "",
        ),
        (Stage.CONTRACT, "ALTER TABLE users ADD CONSTRAINT c CHECK (age IS NOT NULL)", ""),
        (
            Stage.CONTRACT,
            (
                "ALTER TABLE users ADD CONSTRAINT c CHECK (age IS NOT NULL OR id > 0) NOT VALID; ALTER TABLE "
                "users VALIDATE CONSTRAINT c; ALTER TABLE users ALTER age SET NOT NULL"
            ),
            "",
        ),
        (Stage.CONTRACT, "ALTER TABLE users ADD COLUMN x int", ""),
        (Stage.CONTRACT, "CREATE TABLE x (id int)", ""),
        (Stage.CONTRACT, "CREATE VIEW x AS SELECT 1", ""),
        (Stage.CONTRACT, "CREATE TRIGGER t BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION f()", ""),
        (Stage.CONTRACT, "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'select 1'", ""),
        (Stage.CONTRACT, "CREATE OR REPLACE FUNCTION greet(text) RETURNS int LANGUAGE sql AS 'select 1'", ""),
        (Stage.CONTRACT, "ALTER TABLE users RENAME COLUMN age TO years", ""),
        (Stage.CONTRACT, "ALTER TABLE users RENAME TO people", ""),
        (Stage.CONTRACT, "ALTER TABLE users ALTER age TYPE bigint", ""),
        (Stage.CONTRACT, "CREATE INDEX i ON users (age)", ""),
        (Stage.CONTRACT, "CREATE UNIQUE INDEX i ON users (age)", ""),
        (Stage.CONTRACT, "ALTER TABLE users ADD UNIQUE (age)", ""),
        (Stage.CONTRACT, "ALTER TABLE users ADD FOREIGN KEY (age) REFERENCES orders (id)", ""),
        (Stage.CONTRACT, "ALTER TABLE users ADD CONSTRAINT c CHECK (age > 0) NOT VALID, VALIDATE CONSTRAINT c", ""),
        (Stage.CONTRACT, "DROP SCHEMA public", ""),
        (Stage.CONTRACT, "DROP OWNED BY x", ""),
        (Stage.CONTRACT, "DROP DATABASE x", ""),
        (Stage.CONTRACT, "DROP EXTENSION x", ""),
        (Stage.CONTRACT, "DROP TRIGGER sync ON users CASCADE", TRIGGER),
        (Stage.CONTRACT, "DROP FUNCTION greet CASCADE", ""),
        (Stage.CONTRACT, "DROP VIEW mails CASCADE", ""),
        (Stage.CONTRACT, "DROP TYPE mood CASCADE", ""),
        (Stage.CONTRACT, "DROP INDEX users_email_idx CASCADE", ""),
        (Stage.CONTRACT, "ALTER TABLE users DROP CONSTRAINT users_pkey CASCADE", ""),
        (Stage.CONTRACT, "DO $$ BEGIN END $$", ""),
        (Stage.CONTRACT, "SET x = 1", ""),
        (Stage.CONTRACT, "BEGIN", ""),
        (Stage.CONTRACT, "VACUUM FULL users", ""),
        (Stage.CONTRACT, "ALTER TABLE nothing DROP COLUMN x", ""),
        (Stage.CONTRACT, "DROP TABLE nothing", ""),
        (Stage.CONTRACT, "DROP INDEX CONCURRENTLY nothing", ""),
        (Stage.CONTRACT, "DROP VIEW nothing", ""),
        (Stage.CONTRACT, "ALTER TABLE users ENABLE ROW LEVEL SECURITY", ""),
        (Stage.CONTRACT, "ALTER TABLE users SET UNLOGGED", ""),
        (Stage.CONTRACT, "REVOKE ALL ON users FROM shop", ""),
        (Stage.CONTRACT, "ALTER TYPE mood RENAME VALUE 'sad' TO 'x'", ""),
        (Stage.CONTRACT, "ALTER TABLE users OWNER TO x", ""),
    ],
)
def test_refused(stage: Stage, sql: str, before: str) -> None:
    assert Ruling.REFUSE in {ruled.ruling for ruled in judged(Example(sql, stage, SHOP, before))}


@pytest.mark.parametrize("schema", [SHOP, ""], ids=["schema", "none"])
@pytest.mark.parametrize(
    ("stage", "sql", "before"),
    [
        (Stage.BACKFILL, "UPDATE users SET preference = old_preference", TRIGGER),
        (Stage.BACKFILL, "UPDATE users SET age = (users.age) WHERE age IS NOT NULL", NEW),
        (Stage.BACKFILL, "UPDATE users SET preference = lower(trim(email)) WHERE preference IS NULL", TRIGGER),
        (
            Stage.BACKFILL,
            (
                "UPDATE users u SET preference = (SELECT max(o.note) FROM orders o WHERE o.user_id = u.id) WHERE "
                "u.preference IS DISTINCT FROM 'x'"
            ),
            (
                f"{TRIGGER}; CREATE FUNCTION onto() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE users SET "
                "preference = NEW.note WHERE id = NEW.user_id; RETURN NULL; END $$; CREATE TRIGGER onto AFTER INSERT OR "
                "UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION onto()"
            ),
        ),
        (
            Stage.BACKFILL,
            (
                "UPDATE public.users AS u SET preference = CASE WHEN u.age > 1 THEN 'a' ELSE "
                "coalesce(old_preference, 'b') END"
            ),
            TRIGGER,
        ),
        (
            Stage.BACKFILL,
            "UPDATE users SET preference = replace(email, 'a', 'b'), x = NULL",
            f"{TRIGGER}; ALTER TABLE users ADD COLUMN x text",
        ),
        (
            Stage.CONTRACT,
            "DROP TRIGGER sync ON users; DROP FUNCTION sync(); ALTER TABLE users DROP COLUMN old_preference",
            TRIGGER,
        ),
        (
            Stage.CONTRACT,
            (
                "ALTER TABLE users DISABLE TRIGGER sync, DROP COLUMN old_preference; DROP TRIGGER sync ON users; "
                "DROP FUNCTION sync()"
            ),
            TRIGGER,
        ),
        (Stage.CONTRACT, "DROP TABLE orders", ""),
        (Stage.CONTRACT, "DROP VIEW mails; DROP FUNCTION greet(text); DROP TYPE mood; DROP SEQUENCE tickets", ""),
        (Stage.CONTRACT, "DROP INDEX CONCURRENTLY IF EXISTS orders_status_idx", ""),
        (Stage.CONTRACT, "ALTER TABLE users DROP COLUMN old_preference, DROP COLUMN age", ""),
        (
            Stage.CONTRACT,
            (
                "ALTER TABLE orders ADD CONSTRAINT c CHECK (note IS NOT NULL) NOT VALID; ALTER TABLE orders "
                "VALIDATE CONSTRAINT c; ALTER TABLE orders ALTER COLUMN note SET NOT NULL; ALTER TABLE orders "
                "DROP CONSTRAINT c"
            ),
            "",
        ),
        (
            Stage.CONTRACT,
            (
                "CREATE UNIQUE INDEX CONCURRENTLY i ON users (preference); ALTER TABLE users ADD CONSTRAINT i "
                "UNIQUE USING INDEX i"
            ),
            NEW,
        ),
        (Stage.CONTRACT, "ALTER TABLE users ALTER COLUMN preference SET DEFAULT 'x'", NEW),
        (Stage.CONTRACT, "ALTER TABLE users ALTER COLUMN email DROP NOT NULL", ""),
        (Stage.CONTRACT, "COMMENT ON TABLE users IS 'x'; ANALYZE users", ""),
        (
            Stage.EXPAND,
            (
                "CREATE TABLE t (id bigserial PRIMARY KEY, a text NOT NULL DEFAULT '', b jsonb, UNIQUE (a), CHECK "
                "(id > 0)); CREATE INDEX ON t (b); COMMENT ON TABLE t IS 'x'; GRANT ALL ON t TO shop"
            ),
            "",
        ),
        (Stage.EXPAND, "ALTER TABLE users ADD COLUMN IF NOT EXISTS tz text DEFAULT 'UTC' NOT NULL", ""),
        (
            Stage.EXPAND,
            (
                "ALTER TABLE users ADD COLUMN a uuid, ADD COLUMN b timestamptz DEFAULT CURRENT_TIMESTAMP, ADD "
                "COLUMN c numeric(10,2) DEFAULT 0.00, ADD COLUMN d boolean DEFAULT false NOT NULL"
            ),
            "",
        ),
        (
            Stage.EXPAND,
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON users USING gin (to_tsvector('english', email))",
            "",
        ),
        (Stage.EXPAND, "CREATE INDEX CONCURRENTLY i ON users (email text_pattern_ops) WHERE age > 1", ""),
        (Stage.EXPAND, "CREATE MATERIALIZED VIEW mv AS SELECT count(*) FROM users", ""),
        (
            Stage.EXPAND,
            "CREATE SCHEMA shop; CREATE TABLE shop.x (id int); ALTER TABLE shop.x ADD COLUMN b int NOT NULL",
            "",
        ),
        (
            Stage.EXPAND,
            (
                "CREATE TABLE p (id int, at date) PARTITION BY RANGE (at); CREATE TABLE p1 PARTITION OF p FOR "
                "VALUES FROM ('2020-01-01') TO ('2021-01-01')"
            ),
            "",
        ),
        (
            Stage.EXPAND,
            (
                "ALTER TABLE users ADD COLUMN o bigint; ALTER TABLE users ADD CONSTRAINT f FOREIGN KEY (o) "
                "REFERENCES orders (id) ON DELETE SET NULL NOT VALID; ALTER TABLE users VALIDATE CONSTRAINT f; "
                "CREATE INDEX CONCURRENTLY i ON users (o)"
            ),
            "",
        ),
        (
            Stage.EXPAND,
            (
                "ALTER TABLE users SET (fillfactor = 80); ALTER TABLE users ALTER COLUMN email SET STATISTICS "
                "100; CREATE STATISTICS s ON age, email FROM users"
            ),
            "",
        ),
        (Stage.EXPAND, "CREATE DOMAIN d AS text CHECK (VALUE <> ''); CREATE TABLE x (a d)", ""),
        (Stage.EXPAND, "CREATE EXTENSION IF NOT EXISTS plpgsql", ""),
        (Stage.EXPAND, "VALUES (1); TABLE users; SHOW search_path; EXPLAIN SELECT 1", ""),
    ],
)
def test_allowed(stage: Stage, sql: str, before: str, schema: str) -> None:
    assert {ruled.ruling for ruled in judged(Example(sql, stage, schema, before))} == {Ruling.ALLOW}
