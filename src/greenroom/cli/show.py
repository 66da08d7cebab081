"""What is known of a release beside its records: numbers, picture, and what a failed candidate left behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TextIO

from greenroom.cli.show_why import left, numbers, told
from greenroom.cli.text import Ink
from greenroom.domain.records import Entry
from greenroom.domain.release import Release
from greenroom.engine.album import Shown, shown, written
from greenroom.engine.inspection import folder_of, inspection


@dataclass(frozen=True)
class Evidence:
    """`numbers`: by colour. The picture's file is written when it is asked for."""

    state: Path
    release: Release
    numbers: dict[str, Any]
    picture: Shown

    @cached_property
    def file(self) -> Path | None:
        return written(self.state, self.release.id, self.picture)

    def lines(self, width: int, stream: TextIO, ink: Ink) -> list[str]:
        """Numbers and picture, with an empty line before each; nothing where nothing was measured."""
        found: list[str] = []
        for part in (told(self.numbers, width, ink), self.picture.lines(width, stream, ink)):
            found += ["", *part] if part else []
        if self.file is not None:
            found += [ink(f"The picture: {self.file}", "dim")]
        return found

    def left(self, width: int, ink: Ink) -> list[str]:
        lines = left(self.state, self.release, width, ink)
        return ["", *lines] if lines else []

    def document(self) -> dict[str, Any]:
        """The fields that `show --json` has of it."""
        kept = inspection(self.state, self.release.id)
        return {
            "numbers": self.numbers,
            "picture": str(self.file) if self.file else None,
            "left": {**kept, "folder": str(folder_of(self.state, self.release.id))} if kept else None,
        }


def evidence(name: str, state: Path, release: Release, entries: Sequence[Entry]) -> Evidence:
    """`entries`: the release's own."""
    return Evidence(state, release, numbers(release, entries), shown(state, name, release, entries))
