"""Whether the live version's code still names what goes: its artefact is searched, word by word and within bounds."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

MOST_FILES, MOST_BYTES, LARGEST, LONGEST = 50_000, 1 << 30, 8 << 20, 30.0
"""Files, bytes of all, bytes of one, seconds. Beyond them nothing is proved."""

MOST_HITS = 50
SKIPPED = frozenset({".git", ".hg", ".svn", "__pycache__", "node_modules", "site-packages", ".tox", ".greenroom"})
"""Folders of other people's code, and of none."""
_PARTS = re.compile(r"[^_\W]+")


@dataclass(frozen=True, slots=True)
class Found:
    """`hits`: `FILE:LINE: the line`. `files`: how many were read. `unseen`: why nothing is proved, "" if all was read."""

    hits: tuple[str, ...] = ()
    files: int = 0
    unseen: str = ""


def search(artefact: str, names: Sequence[str], skip: Sequence[str] = (), longest: float = LONGEST) -> Found:
    """Where these identifiers stand in the files of a folder, in any of the spellings that mappers make of them."""
    root = Path(artefact)
    if not artefact or not root.is_absolute() or not root.is_dir():
        what = f"{artefact} is no folder on this machine" if artefact else "the release has no folder"
        return Found(unseen=f"the code cannot be searched: {what}")
    pattern = spellings(names)
    hits: list[str] = []
    files, size, end = 0, 0, time.monotonic() + longest
    for path in _files(root, skip):
        if files >= MOST_FILES or size >= MOST_BYTES or time.monotonic() > end:
            return Found(
                tuple(hits), files, f"the code is too much to search: {files} files were read, and more are left"
            )
        try:
            content = _text(path)
        except OSError as error:
            return Found(tuple(hits), files, f"the code cannot be searched: {path.relative_to(root)}: {error.strerror}")
        if content is None:
            continue
        if len(content) > LARGEST:
            why = f"{path.relative_to(root)} is a text of more than {LARGEST >> 20} MiB (evidence_skip leaves it out)"
            return Found(tuple(hits), files, f"the code cannot be searched: {why}")
        files, size = files + 1, size + len(content)
        if pattern.search(content):
            hits += _lines(path.relative_to(root), content, pattern)
        if len(hits) > MOST_HITS:
            return Found((*hits[:MOST_HITS], "and more"), files)
    return Found(tuple(hits), files, "" if files else f"the code cannot be searched: {root} holds no text")


def spellings(names: Sequence[str]) -> re.Pattern[bytes]:
    """`old_preference` as a word of its own, also `OLD_PREFERENCE`, `oldPreference`, `getOldPreference`."""
    found = []
    for name in names:
        word = re.escape(name)
        found.append(rf"(?<!\w)(?i:{word})(?!\w)")
        parts = _PARTS.findall(name)
        if len(parts) > 1:
            camel = "".join(part[:1].upper() + part[1:] for part in parts)
            found += [rf"(?<!\w){re.escape(camel[:1].lower() + camel[1:])}(?!\w)", rf"{re.escape(camel)}(?![a-z0-9_])"]
    return re.compile("|".join(found).encode() if found else rb"(?!)")


def allowed(hit: str, overrides: Mapping[str, str]) -> bool:
    """`FILE:LINE`, or all of them by the rule."""
    file, line, *_ = (*hit.split(":", 2), "")
    return bool(overrides.get("code") or overrides.get(f"{file}:{line}"))


def _files(root: Path, skip: Sequence[str]) -> Iterator[Path]:
    for folder, below, names in os.walk(root):
        inside = Path(folder).relative_to(root)
        below[:] = sorted(
            name for name in below if name not in SKIPPED and not _skips(skip, (inside / name).as_posix())
        )
        if "pyvenv.cfg" in names:
            below.clear()
            continue
        for name in sorted(names):
            path = Path(folder, name)
            if not _skips(skip, (inside / name).as_posix()) and path.is_file():
                yield path


def _skips(patterns: Sequence[str], name: str) -> bool:
    """`docs/**` is the folder and all below it; `*.md` is so called anywhere."""
    base = name.rpartition("/")[2]
    return any(
        fnmatchcase(name, pattern) or fnmatchcase(name, pattern.removesuffix("/**")) or fnmatchcase(base, pattern)
        for pattern in patterns
    )


def _text(path: Path) -> bytes | None:
    """None for what is no text; one byte more than the largest of a text that is larger."""
    with path.open("rb") as file:
        first = file.read(8192)
        return None if b"\0" in first else first + file.read(LARGEST + 1 - len(first))


def _lines(name: Path, content: bytes, pattern: re.Pattern[bytes]) -> list[str]:
    return [
        f"{name.as_posix()}:{number}: {line.decode('utf-8', 'replace').strip()[:160]}"
        for number, line in enumerate(content.splitlines(), 1)
        if pattern.search(line)
    ]
