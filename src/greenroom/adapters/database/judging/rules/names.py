"""Rules about names without a schema, on PostgreSQL."""

from __future__ import annotations

from greenroom.adapters.database.judging.rule import Example, Rule

TWO = """
CREATE SCHEMA app;
SET search_path = app, public;
CREATE TABLE app.users (id bigint PRIMARY KEY, email text);
CREATE TABLE public.users (id bigint PRIMARY KEY, email text);
CREATE TABLE public.orders (id bigint PRIMARY KEY, note text);
"""
"""What a schema's file may say of the search_path."""

RULES = (
    Rule(
        "ambiguous-name",
        "It is not sure what a name means",
        "{what}.",
        "write the schema out: {to}",
        Example("ALTER TABLE users ADD COLUMN nick text", schema=TWO),
        Example("ALTER TABLE app.users ADD COLUMN nick text", schema=TWO),
    ),
    Rule(
        "hides-another",
        "Something new takes the place of what is found by the same name",
        "with the search_path {path}, `{name}` means `{to}`; once `{table}` is there it means that, and {running} finds"
        " another than it knows.",
        "take another name, or a schema that is in nobody's search_path",
        Example("CREATE TABLE orders (id bigint PRIMARY KEY)", schema=TWO),
        Example("CREATE TABLE carts (id bigint PRIMARY KEY)", schema=TWO),
    ),
)
