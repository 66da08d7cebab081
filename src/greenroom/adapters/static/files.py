"""The files of one version: which they are, what they hold, and which of them are named after their content."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from greenroom.adapters.static.settings import MARK

INDEX = "index.html"
_PIECE = re.compile(r"[-._~]([A-Za-z0-9_-]{8,})(?=\.)")
_HEXADECIMAL = re.compile(r"[0-9a-f]{8,}")
_WHOLE_FOLDERS = ("/_next/static/", "/_app/immutable/")
"""Where a bundler writes nothing but what changes its path with its content."""
_BUNDLED = frozenset({"assets", "static", "_astro", "_nuxt", "build", "chunks"})
"""Where bundlers write names with hashes in letters of all kinds."""


class Unfit(Exception):
    """This folder cannot be published; the text says why, and the way out."""


@dataclass(frozen=True, slots=True)
class File:
    """`path`: below the published folder, with `/`. `real`: where its content is, if it is a link inside."""

    path: str
    real: Path
    size: int
    sha256: str
    md5: str
    hashed: bool


@dataclass(frozen=True, slots=True)
class Survey:
    files: tuple[File, ...]

    @property
    def digest(self) -> str:
        """The same for the same content."""
        told = hashlib.sha256()
        for file in self.files:
            told.update(f"{file.path}\0{file.sha256}\0".encode())
        return told.hexdigest()[:10]


def survey(folder: Path, hashed: Sequence[str]) -> Survey:
    """Every file of it, in order. `Unfit` for what must not or cannot be published."""
    if not folder.is_dir():
        raise Unfit(f"{folder.name} is not a folder after `prepare`: correct `publish`, or what `prepare` writes")
    inside = folder.resolve()
    files = [_file(folder, path, hashed) for path in _paths(folder, inside)]
    names = {file.path for file in files}
    if INDEX not in names:
        raise Unfit(f"there is no {INDEX} in what is to be published: name its folder in `publish`")
    if MARK in names:
        raise Unfit(f"{MARK} is there already, which Greenroom writes: rename yours")
    return Survey(tuple(sorted(files, key=lambda file: file.path)))


def is_hashed(path: str, patterns: Sequence[str]) -> bool:
    if patterns:
        return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)
    if any(folder in f"/{path}" for folder in _WHOLE_FOLDERS):
        return True
    *folders, name = path.split("/")
    bundled = not _BUNDLED.isdisjoint(folders)
    return any(_is_hash(piece, bundled) for piece in _PIECE.findall(name))


def _is_hash(piece: str, bundled: bool) -> bool:
    last = re.split("[-_]", piece)[-1]
    if _HEXADECIMAL.fullmatch(last) and not last.isdigit() and any(c.isdigit() for c in last):
        return True
    return bundled and (len(piece) == 8 or piece[-9] in "-_") and _mixed(piece[-8:])


def _mixed(text: str) -> bool:
    """No word: small and capital letters within it, or letters and digits mixed."""
    inner = text[1:]
    capitals, small = any(c.isupper() for c in inner), any(c.islower() for c in inner)
    letters, digits = any(c.isalpha() for c in text), any(c.isdigit() for c in text[:-1])
    return (capitals and small) or (letters and digits)


def _paths(folder: Path, inside: Path) -> list[Path]:
    found: list[Path] = []
    for at, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            path = Path(at, name)
            if path.is_symlink():
                _kept_inside(path, folder, inside)
                if path.is_dir():
                    raise Unfit(f"{path.relative_to(folder)} is a link to a folder: publish the folder itself")
        found += [Path(at, name) for name in names]
    return found


def _kept_inside(path: Path, folder: Path, inside: Path) -> None:
    where = path.relative_to(folder)
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):
        raise Unfit(f"{where} is a link that leads nowhere: remove it") from None
    if inside not in target.parents:
        raise Unfit(f"{where} is a link out of the published folder, which would publish something else: remove it")


def _file(folder: Path, path: Path, hashed: Sequence[str]) -> File:
    name = path.relative_to(folder).as_posix()
    if not name.isprintable() or len(name.encode("utf-8", "replace")) > 700:
        raise Unfit(f"{name!r} cannot be a name in an address: rename it")
    if not path.is_file():
        raise Unfit(f"{name} is neither a file nor a folder: remove it")
    sha, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    with path.open("rb") as content:
        while piece := content.read(1 << 20):
            sha.update(piece)
            md5.update(piece)
            size += len(piece)
    return File(name, path.resolve(), size, sha.hexdigest(), md5.hexdigest(), is_hashed(name, hashed))
