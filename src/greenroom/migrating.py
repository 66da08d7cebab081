"""What is asked of migrations without a release: one file judged, three files written. Reads databases, changes none."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greenroom.domain.schema import Dialect, Ruled, Stage
from greenroom.errors import PortError, Unobservable, UsageError

if TYPE_CHECKING:
    from greenroom.adapters.database.writing import Draft
    from greenroom.config.loader import Loaded


def text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 (byte {error.start})", hint="save it as UTF-8") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None


def judged(
    sql: Path, stage: Stage, dialect: Dialect, schema: Path | None, applied: Sequence[Path], shadow: str
) -> Sequence[Ruled]:
    """Each statement of one file. `UsageError` where the file cannot be read as SQL; `Unobservable` without the shadow."""
    from greenroom.adapters.database.checking import check

    before = [(str(path), text_of(path)) for path in applied]
    known = None if schema is None else text_of(schema)
    try:
        return check(text_of(sql), str(sql), stage, dialect, schema=known, applied=before, shadow=shadow)
    except PortError as error:
        raise Unobservable(error.message, hint=error.hint) from error


def place_of(loaded: Loaded | None, url: str, folder: Path | None, home: Path) -> tuple[str, Path]:
    """The database and the folder: as given, else as the file says, whose folder is `home`."""
    from greenroom.adapters.database.target import beside

    settings = loaded.sections.migrator.settings if loaded is not None and loaded.sections.migrator else None
    said = str(getattr(settings, "url", ""))
    found = url or (beside(said, home) if said else "")
    if not found:
        hint = "give `--url`, or write `migrations: {url: ${DATABASE_URL}}` into the file"
        raise UsageError("it is not known which database this is about", hint=hint)
    named = str(getattr(settings, "folder", "migrations"))
    return found, folder if folder is not None else home / named


def written(
    what: str, url: str, folder: Path, name: str, accept: Collection[str], arguments: Mapping[str, Any]
) -> tuple[list[Path], list[str]]:
    """The files that a helper wrote, and what to know of them. `Refused` with every reason why it cannot be right."""
    from greenroom.adapters.database.target import of

    try:
        session = of(url).open(f"db {what}")
    except PortError as error:
        raise Unobservable(error.message, hint=error.hint) from error
    try:
        draft = _draft(session, what, folder, name, accept, arguments)
    except PortError as error:
        raise Unobservable(error.message, hint=error.hint) from error
    finally:
        session.close()
    return draft.save(folder), [f"{c.reason} {c.instead}".strip() for c in draft.concerns]


def _draft(
    session: Any, what: str, folder: Path, name: str, accept: Collection[str], arguments: Mapping[str, Any]
) -> Draft:
    from greenroom.adapters.database import writing

    given = dict(arguments)
    column = given.pop("column")
    shared: dict[str, Any] = {"folder": folder, "name": name, "accept": accept}
    match what:
        case "rename":
            return writing.rename(session, column, given.pop("new"), **shared)
        case "retype":
            return writing.retype(session, column, given.pop("type"), **given, **shared)
        case "split":
            return writing.split(session, column, given.pop("into"), **given, **shared)
        case "move":
            return writing.move(session, column, given.pop("to"), **given, **shared)
    raise ValueError(f"nothing writes a {what}")
