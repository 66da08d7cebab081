"""What is not run even on a shadow's server: it would reach beyond the shadow, which is dropped afterwards.

The role that rehearses has few rights, so this is the first of two fences. It reads words, not grammar. In a statement
that may build SQL and run it (`DO`, functions, queries) every word counts, those in strings too.
"""

from __future__ import annotations

import re

from greenroom.adapters.database.reading import Statement
from greenroom.adapters.database.reading.tokens import Kind, Token, Tokens
from greenroom.domain.schema import Dialect

_STATEMENTS = {
    "changes the settings of the whole server": r"ALTER SYSTEM",
    "belongs to the whole server, not to this database": r"(?:CREATE|ALTER|DROP) (?:ROLE|USER(?! MAPPING)|GROUP|DATABASE"
    r"|TABLESPACE|SUBSCRIPTION)|(?:REASSIGN|DROP) OWNED|CHECKPOINT",
    "becomes another role": r"SET (?:(?:SESSION|LOCAL) )?(?:ROLE|SESSION AUTHORIZATION|AUTHORIZATION)"
    r"|RESET (?:ROLE|SESSION AUTHORIZATION)",
    "moves data between the database and files, programs or the client": r"COPY",
    "reaches other servers": r"IMPORT FOREIGN SCHEMA",
    "loads code into the server": r"LOAD",
}
"""How a statement begins; words are divided by one space."""

_ANYWHERE = {
    "becomes another role": r"\bset_config \( E?'(?:role|session_authorization)'",
    "reads or writes files of the server": r"\b(?:lo_import|lo_export|pg_read_file|pg_read_binary_file|pg_ls_\w+"
    r"|pg_stat_file|pg_file_\w+|pg_current_logfile)\b",
    "reaches other servers": r"\b(?:dblink\w*|postgres_fdw_\w+) \(",
    "acts on the whole server": r"\bpg_(?:reload_conf|rotate_logfile|switch_wal|promote|terminate_backend|cancel_backend"
    r"|create_restore_point|\w*replication_slot\w*|replication_origin_\w+|stat_reset\w*|wal_replay_\w+|backup_\w+"
    r"|start_backup|stop_backup)\b",
    "loads code into the server": r"\bLANGUAGE '?(?:c|internal)\b",
}
_FLAGS = re.IGNORECASE | re.DOTALL
_BEGINS = {why: re.compile(rf"(?:{pattern})\b", _FLAGS) for why, pattern in _STATEMENTS.items()}
_WITHIN = {why: re.compile(rf"\b(?:{pattern})\b", _FLAGS) for why, pattern in _STATEMENTS.items()}
_CALLS = {why: re.compile(pattern, _FLAGS) for why, pattern in _ANYWHERE.items()}
_ROUTINES = {"FUNCTION", "PROCEDURE", "RULE"}
_PLAIN = {
    "ALTER",
    "ANALYZE",
    "CLUSTER",
    "COMMENT",
    "CREATE",
    "DELETE",
    "DROP",
    "GRANT",
    "INSERT",
    "LOCK",
    "MERGE",
    "REFRESH",
    "REINDEX",
    "REVOKE",
    "TRUNCATE",
    "UPDATE",
    "VACUUM",
}
"""Their strings are values, and their words are names: a column may be called `role`."""


def why_not(statement: Statement) -> str:
    """What it does that no shadow can hold, "" for nothing."""
    tokens = [token for token in Tokens(statement.sql, Dialect.POSTGRES) if token.kind is not Kind.COMMENT]
    plain = _plain(tokens)
    text = " ".join("''" if plain and token.kind is Kind.STRING else token.text for token in tokens)
    text = " ".join(re.sub(r"/\*.*?\*/|--[^\n]*", " ", text, flags=re.DOTALL).replace("(", " ( ").split())
    found = [why for why, begins in _BEGINS.items() if begins.match(text)]
    found += [why for why, calls in _CALLS.items() if calls.search(text)]
    if not plain:
        found += [why for why, within in _WITHIN.items() if within.search(text)]
    return next(iter(found), "")


def _plain(tokens: list[Token]) -> bool:
    words = [token.word for token in tokens[:4]]
    return bool(words) and words[0] in _PLAIN and _ROUTINES.isdisjoint(words)
