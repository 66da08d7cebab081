"""The folder of migrations: `NAME/expand.sql`, `NAME/backfill.sql` or `.yaml`, `NAME/contract.sql`; and what is wrong there.

Nothing here needs a server. All problems are found at once, each with its file, its line and the way out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path

from greenroom.adapters.database.reading import split
from greenroom.adapters.database.reading.tokens import Kind, Tokens
from greenroom.domain.schema import Dialect, Migration, Script, Stage
from greenroom.errors import GreenroomError

FILES = {
    "expand.sql": Stage.EXPAND,
    "backfill.sql": Stage.BACKFILL,
    "backfill.yaml": Stage.BACKFILL,
    "contract.sql": Stage.CONTRACT,
}
FOLDER = "migrations"
"""Where they are if nobody says so."""

LARGEST = 5_000_000
"""Bytes: more is data."""

_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,99}")
_BESIDE = re.compile(r"\..*|README.*|.*\.md", re.IGNORECASE)
"""What may lie beside the files and is not read."""
_MARKER = re.compile(
    r"--[-\s]*(?:\+goose|\+migrate|@|//\s*@?|migrate:|phase:?|stage:?|step:?|part:?)?\s*"
    r"(?P<stage>expand|backfill|contract|up|down|undo|rollback)\b[\s:.-]*",
    re.IGNORECASE,
)
_BACK = {"down", "undo", "rollback"}


@dataclass(frozen=True, slots=True)
class Found:
    """`migrations` in the order of names; those with `problems` may be missing parts."""

    migrations: tuple[Migration, ...]
    problems: tuple[str, ...]

    @property
    def checksums(self) -> dict[str, str]:
        """By name."""
        return {migration.name: migration.checksum for migration in self.migrations}


def read(folder: Path, shown: str, dialect: Dialect) -> Found:
    """`shown`: the folder as people call it."""
    if not folder.exists() and shown == FOLDER:
        return Found((), ())  # none yet, and no empty folder is kept by version control
    if not folder.is_dir():
        what = "is no folder" if folder.exists() else "there is no such folder"
        return Found((), (f"{shown}: {what}; make it, with a folder for each migration, or see migrations.folder",))
    reader = _Reader(dialect)
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        return Found((), (f"{shown}: cannot be read: {error.strerror}",))
    migrations = []
    for entry in entries:
        if entry.is_dir() and not entry.name.startswith((".", "_")):
            scripts = dict(reader.migration(entry, f"{shown}/{entry.name}"))
            migrations += [Migration(entry.name, scripts)] if scripts else []
        elif not entry.is_dir() and not _BESIDE.fullmatch(entry.name):
            way = "put it into a folder of its own, as NAME/expand.sql" if entry.suffix == ".sql" else "take it away"
            reader.problem(f"{shown}/{entry.name}", f"a file that belongs to no migration: {way}")
    reader.names(shown, [entry.name for entry in entries if entry.is_dir() and not entry.name.startswith((".", "_"))])
    return Found(tuple(migrations), tuple(reader.problems))


class _Reader:
    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.problems: list[str] = []

    def problem(self, place: str, text: str) -> None:
        self.problems.append(f"{place}: {text}")

    def names(self, shown: str, names: Sequence[str]) -> None:
        """Names say the order, to people as to us."""
        for name in names:
            if not _NAME.fullmatch(name):
                self.problem(
                    f"{shown}/{name}", "a migration's name is made of letters, digits, `.`, `_` and `-`: rename it"
                )
        lower = [name.lower() for name in names]
        for name in names:
            if lower.count(name.lower()) > 1:
                self.problem(f"{shown}/{name}", "another migration differs in capitals only: rename one of them")
        numbered = [(int(match[0]), name) for name in names if (match := re.match(r"\d+", name))]
        for (number, name), (following, after) in pairwise(numbered):
            if number > following:
                self.problem(
                    f"{shown}/{name}",
                    f"comes before {after} by name, and after it by number: write numbers with the same count of digits",
                )

    def migration(self, folder: Path, shown: str) -> Iterator[tuple[Stage, Script]]:
        try:
            entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
        except OSError as error:
            self.problem(shown, f"cannot be read: {error.strerror}")
            return
        found = [entry for entry in entries if entry.name in FILES and not entry.is_dir()]
        for entry in entries:
            if entry not in found and (entry.is_dir() or not _BESIDE.fullmatch(entry.name)):
                near = get_close_matches(entry.name.lower(), FILES, 1, 0.6)
                hint = f"did you mean {near[0]}?" if near else f"a migration is made of {', '.join(FILES)}"
                self.problem(f"{shown}/{entry.name}", f"nothing that is carried out: {hint}")
        if not found:
            self.problem(shown, f"holds no migration: give it one of {', '.join(FILES)}, or take it away")
        if {"backfill.sql", "backfill.yaml"} <= {entry.name for entry in found}:
            self.problem(f"{shown}/backfill.sql", "there is a backfill.yaml as well: keep one of them")
        for entry in found:
            text = self.text(entry, f"{shown}/{entry.name}")
            if text is not None and self.sound(text, f"{shown}/{entry.name}", FILES[entry.name]):
                yield FILES[entry.name], Script(f"{shown}/{entry.name}", text)

    def text(self, path: Path, shown: str) -> str | None:
        """A byte-order mark is not part of it."""
        try:
            if path.stat().st_size > LARGEST:
                self.problem(
                    shown,
                    f"larger than {LARGEST // 1_000_000} MB: load data outside of migrations, or fill it in a backfill",
                )
                return None
            content = path.read_bytes()
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            self.problem(f"{shown}:{line}", f"not UTF-8 (byte {content[error.start]:#04x}): save the file as UTF-8")
            return None
        except OSError as error:
            self.problem(shown, f"cannot be read: {error.strerror}")
            return None
        if "\0" in text:
            line = text.count("\n", 0, text.index("\0")) + 1
            self.problem(f"{shown}:{line}", "holds a NUL character: save the file as UTF-8 text")
            return None
        return text

    def sound(self, text: str, shown: str, stage: Stage) -> bool:
        """It can be cut into statements, holds one at least, and belongs to one stage."""
        before = len(self.problems)
        if not text.strip():
            self.problem(shown, "is empty: write its statements, or take the file away")
        elif shown.endswith(".sql"):
            try:
                if not split(text, self.dialect, shown):
                    self.problem(shown, "holds comments and no statement: write one, or take the file away")
                self.problems += [f"{shown}:{line}: {problem}" for line, problem in _mixed(text, self.dialect, stage)]
            except GreenroomError as error:
                self.problems.append(f"{error.message}{f'; {error.hint}' if error.hint else ''}")
        elif stage is Stage.BACKFILL:
            from greenroom.adapters.database.backfill.declared import declared

            try:
                declared(Script(shown, text), self.dialect)
            except GreenroomError as error:
                self.problems.append(f"{error.message}{f'; {error.hint}' if error.hint else ''}")
        return len(self.problems) == before


def _mixed(text: str, dialect: Dialect, stage: Stage) -> Iterator[tuple[int, str]]:
    """A comment that is a headline for another stage: as other tools have it, or as people do."""
    for token in Tokens(text, dialect):
        if token.kind is not Kind.COMMENT or not (match := _MARKER.fullmatch(token.text.strip())):
            continue
        word, line = match["stage"].lower(), text.count("\n", 0, token.start) + 1
        if word in _BACK:
            yield line, "a part that goes back: Greenroom never takes an expand back, so leave it out"
        elif word not in (str(stage), "up"):
            yield line, f"a part for {word} in a file of {stage}: move what follows to {word}.sql, beside this file"
