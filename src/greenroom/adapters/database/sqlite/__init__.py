"""A file of SQLite under migrations: one writer at a time, and DDL that can be undone."""
