"""What is known of a version beside its files: the mark that it carries, and the list of what it keeps for open pages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Mark:
    """Stands in each version, for everybody to read. `id`: of the version's folder, the same for no other content."""

    service: str
    release: str
    version: str
    id: str

    def dumps(self) -> bytes:
        document = {"service": self.service, "release": self.release, "version": self.version, "id": self.id}
        return json.dumps(document).encode() + b"\n"


def read_mark(raw: bytes | None) -> Mark | None:
    """None for anything else."""
    match _document(raw):
        case {"service": str(service), "release": str(release), "version": str(version), "id": str(name)}:
            return Mark(service, release, version, name)
    return None


@dataclass(frozen=True, slots=True)
class Manifest:
    """`number`: how many versions were published before. `own`, `kept`: hashed files by path, with the number of the last
    version that they belong to.
    """

    id: str
    release: str
    number: int
    own: frozenset[str] = frozenset()
    kept: Mapping[str, int] = field(default_factory=dict)

    def dumps(self) -> bytes:
        document = {
            "id": self.id,
            "release": self.release,
            "number": self.number,
            "own": sorted(self.own),
            "kept": dict(self.kept),
        }
        return json.dumps(document).encode()


def read_manifest(raw: bytes | None) -> Manifest | None:
    match _document(raw):
        case {"id": str(name), "release": str(release), "number": int(n), "own": list(own), "kept": dict(kept)}:
            return Manifest(name, release, n, frozenset(own), kept)
    return None


def to_keep(before: Iterable[Manifest], number: int, limit: int) -> dict[str, tuple[str, int]]:
    """Hashed files of the `limit` versions before version `number`, by path: in whose folder each is, and the number of
    the last version that it belonged to.
    """
    found: dict[str, tuple[str, int]] = {}
    for manifest in sorted(before, key=lambda one: one.number):
        theirs = {**manifest.kept, **dict.fromkeys(manifest.own, manifest.number)}
        for path, owner in theirs.items():
            if number - limit <= owner < number and owner >= found.get(path, ("", 0))[1]:
                found[path] = (manifest.id, owner)
    return found


def too_many(known: Iterable[Manifest], limit: int, held: Iterable[str]) -> list[Manifest]:
    """The oldest beyond `limit`, without those that a colour holds."""
    newest_first = sorted(known, key=lambda one: one.number, reverse=True)
    return [one for one in newest_first[limit:] if one.id not in set(held)]


def _document(raw: bytes | None) -> Any:
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return None
