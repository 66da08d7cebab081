"""What a helper has written: a migration's files, not yet on the disk, and what their reader should know."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from greenroom.adapters.database.concern import Concern
from greenroom.domain.schema import Migration, Ruling, Script, Stage
from greenroom.errors import Refused, UsageError

_NUMBERED = re.compile(r"(\d+)[_-]")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class Draft:
    """`concerns`: none of them refuses any more."""

    migration: Migration
    concerns: tuple[Concern, ...] = ()

    def save(self, folder: Path) -> list[Path]:
        """Write them, all or none; their paths. Nothing that is there is ever written over: `UsageError`."""
        home = folder / self.migration.name
        made: list[Path] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            os.mkdir(home)  # who comes second fails here
            for script in self.migration.scripts.values():
                path = home / Path(script.file).name
                made.append(path)
                with path.open("x", encoding="utf-8") as file:
                    file.write(script.text)
        except FileExistsError:
            raise UsageError(f"{home} exists already", hint="give the migration another name with --name") from None
        except OSError as error:
            for path in made:
                path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                home.rmdir()
            raise UsageError(
                f"cannot write {home}: {error.strerror or error}", hint="see to its folder's rights"
            ) from None
        return made


def draft(
    folder: Path, name: str, topic: str, files: Sequence[tuple[Stage, str, str]], concerns: Sequence[Concern]
) -> Draft:
    """`files`: stage, ending and text of each. `name`: "" for the next number of the folder and `topic`."""
    called = name or numbered(folder, topic)
    if not _NAME.fullmatch(called):
        raise UsageError(
            f"{called!r} is no name for a migration", hint="letters, digits, _, - and . only, as 0008_new_preference"
        )
    scripts = {
        stage: Script((Path(folder.name) / called / f"{stage}.{ending}").as_posix(), text)
        for stage, ending, text in files
    }
    return Draft(Migration(called, scripts), tuple(concerns))


def numbered(folder: Path, topic: str) -> str:
    """The number after the last one of the folder, in as many digits, four if there is none yet."""
    names = [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    numbers = [found[1] for name in names if (found := _NUMBERED.match(name))]
    last = max(numbers, key=int, default="")
    digits = len(last) or 4
    plain = re.sub(r"[^A-Za-z0-9]+", "_", topic).strip("_").lower() or "change"
    return f"{int(last or 0) + 1:0{digits}d}_{plain}"


def insist(
    concerns: Sequence[Concern], accept: Collection[str], acceptable: Collection[str], what: str
) -> list[Concern]:
    """What is left to be told. Raises `Refused` with all the reasons that nobody accepted, and `UsageError` for an
    acceptance of something that is not there.
    """
    known = {concern.key for concern in concerns if concern.ruling is Ruling.REFUSE and concern.rule in acceptable}
    for key in accept:
        if key not in known:
            raise UsageError(
                f"nothing here is called {key!r}",
                hint=f"what may be accepted: {', '.join(sorted(known))}" if known else "there is nothing to accept",
            )
    standing = [c for c in concerns if c.ruling is Ruling.REFUSE and c.key not in accept]
    if standing:
        reasons = "\n".join(f"- {c.reason} {c.instead} [{c.key}]" for c in standing)
        may = [c.key for c in standing if c.rule in acceptable]
        hint = f"What you know to be right you may accept: {' '.join(f'--accept {key}' for key in may)}" if may else ""
        raise Refused(f"{what} cannot be written as it is asked:\n{reasons}", hint=hint)
    return list(concerns)
