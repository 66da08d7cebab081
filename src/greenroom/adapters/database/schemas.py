"""Where names without a schema are sought on PostgreSQL: the search_path as it works out, and names as it makes them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from greenroom.adapters.database.reading import Statement
from greenroom.adapters.database.target import Broken, Session
from greenroom.domain.schema import Dialect
from greenroom.errors import UsageError

_ASKED = "SELECT current_setting('search_path'), current_schemas(false)::text[], current_user::text"
_OF_ROLES = """
SELECT coalesce(r.rolname, current_user)::text, pg_catalog.substr(c, pg_catalog.length('search_path=') + 1)
FROM pg_catalog.pg_db_role_setting s LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole,
    pg_catalog.unnest(s.setconfig) c
WHERE s.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
    AND c LIKE 'search!_path=%' ESCAPE '!'
UNION SELECT rolname::text, '"$user", public' FROM pg_catalog.pg_roles WHERE rolcanlogin
"""
_ENTRY = re.compile(r""""((?:[^"]|"")+)"|'((?:[^']|'')+)'|([^\s,"']+)""")
_FLAGS = re.IGNORECASE | re.DOTALL
_SETS = re.compile(r"SET\s+(?:SESSION\s+)?search_path\s*(?:=|\bTO\b)\s*(.*)", _FLAGS)
_CONFIGURES = re.compile(
    r"SELECT\s+(?:pg_catalog\s*\.\s*)?set_config\s*\(\s*'search_path'\s*,\s*'((?:[^']|'')*)'.*", _FLAGS
)
_MAKES = re.compile(r'CREATE\s+SCHEMA\s+(?:IF\s+NOT\s+EXISTS\s+)?("(?:[^"]|"")+"|\w+).*', _FLAGS)


@dataclass(frozen=True, slots=True)
class SearchPath:
    """`schemas`: those that are there and may be used, in their order; what is made without a schema lands in the first,
    its home, which names of ours leave out. `later`: others that the search_path names, which would come in between once
    they are there. `told`: a session or a file has told it. `others`: whole paths of other roles, and of this one, if some
    of it is not there.
    """

    schemas: tuple[str, ...] = ("public",)
    later: tuple[str, ...] = ()
    told: bool = False
    others: tuple[tuple[str, ...], ...] = ()

    @property
    def home(self) -> str:
        return self.schemas[0] if self.schemas else ""

    @property
    def setting(self) -> str:
        """As the value of search_path."""
        return ", ".join('"' + schema.replace('"', '""') + '"' for schema in self.schemas)

    def short(self, name: str) -> str:
        """Of a name as it is written."""
        return name.removeprefix(f"{self.home}.") if self.home else name

    def full(self, name: str) -> str:
        """Of a name of ours."""
        return f"{self.home}.{name}" if self.home and "." not in name else name

    def places(self, name: str) -> list[str]:
        """What a name without a schema may mean, the first one first."""
        return [self.short(f"{schema}.{name}") if schema else name for schema in self.schemas]

    def made(self, kind: str, name: str) -> str:
        """`naming.Names`, for who does not know what is there."""
        return self.short(name)

    def meant(self, kind: str, name: str) -> str:
        return self.short(name)


USUAL = SearchPath()
FLAT = SearchPath(("",))
"""Of servers that have no search_path."""


def of_session(session: Session) -> SearchPath:
    """As it is for this one, whose role and database may have one of their own."""
    if session.dialect is not Dialect.POSTGRES:
        return FLAT
    [(raw, schemas, role)] = session.rows(_ASKED)
    try:
        others = {_entries(path, who) for who, path in session.rows(_OF_ROLES)}
    except Broken:  # a server that hides its settings
        others = set()
    return _path(_entries(raw, role), schemas, others)


def of_statements(statements: Iterable[Statement]) -> SearchPath:
    """Of a file that makes a schema: what it sets itself, but for the empty one that pg_dump sets; else the usual one."""
    texts = [statement.sql for statement in statements]
    found = dict.fromkeys(entries for text in texts if (entries := _set(text)))
    if not found:
        return USUAL
    if len(found) > 1:
        raise UsageError(
            "--schema: the file sets more than one search_path, so that nobody can say where its names belong",
            hint="write it by pg_dump --schema-only, which names every schema",
        )
    made = {"public", *(_entries(match[1], "")[0] for text in texts if (match := _MAKES.fullmatch(text)))}
    [path] = found
    return _path(path, [one for one in path if one in made], set())


def _path(written: tuple[str, ...], there: Sequence[str], others: set[tuple[str, ...]]) -> SearchPath:
    others = {path for path in (written, *others) if len(path) > 1 and path != tuple(there)}
    later = tuple(one for one in written if one not in there)
    return SearchPath(tuple(there), later, True, tuple(sorted(others)))


def _set(text: str) -> tuple[str, ...]:
    if match := _SETS.fullmatch(text):
        return () if match[1].strip().upper() == "DEFAULT" else _entries(match[1], "")
    if match := _CONFIGURES.fullmatch(text):
        return _entries(match[1].replace("''", "'"), "")
    return ()


def _entries(path: str, role: str) -> tuple[str, ...]:
    """Of the setting, each once. `role`: for `$user`, "" leaves that out."""
    found = [
        quoted.replace('""', '"') or text.replace("''", "'") or bare.lower()
        for quoted, text, bare in _ENTRY.findall(path)
    ]
    return tuple(dict.fromkeys(name for one in found if (name := role if one == "$user" else one)))
