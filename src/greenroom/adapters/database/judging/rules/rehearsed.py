"""Rules that only a rehearsal on a shadow database finds a case of; it finds cases of most other rules, too."""

from __future__ import annotations

from greenroom.adapters.database.judging.rule import Example, Rule
from greenroom.domain.schema import Stage

RULES = (
    Rule(
        "scan-under-lock",
        "A table is read whole under a lock",
        "The rehearsal saw that `{table}` is read whole under {mode}, which keeps {out} of {running} out meanwhile.",
        "add constraints NOT VALID and VALIDATE them in a statement of their own; build indexes CONCURRENTLY",
        Example("DO $$ BEGIN EXECUTE 'ALTER TABLE orders ADD CHECK (id > 0)'; END $$", Stage.CONTRACT),
        Example("DO $$ BEGIN EXECUTE 'ALTER TABLE orders ADD COLUMN code text'; END $$"),
    ),
    Rule(
        "takes-more",
        "More goes than is named",
        "The rehearsal saw that the {thing} goes too, which the statement does not name.",
        "name each of them in a statement of its own",
        Example("DO $$ BEGIN EXECUTE 'DROP TABLE us' || 'ers CASCADE'; END $$", Stage.CONTRACT),
        Example("DO $$ BEGIN EXECUTE 'DROP TABLE orders'; END $$", Stage.CONTRACT),
    ),
    Rule(
        "depends-on-place",
        "What it does is decided where it runs",
        "{what}, and the rehearsal cannot answer for it: {name} decides what it does, which is another on a shadow.",
        "write it as plain statements; a block may look into the catalogue, not at rows, roles or the time",
        Example("DO $$ BEGIN IF EXISTS (SELECT FROM users) THEN EXECUTE 'DROP TABLE orders'; END IF; END $$"),
        Example("DO $$ BEGIN IF to_regclass('carts') IS NULL THEN CREATE TABLE carts (id int); END IF; END $$"),
    ),
)

REHEARSED = frozenset(rule.id for rule in RULES)
"""Their examples need a server."""
