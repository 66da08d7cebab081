"""`greenroom db rename`, `retype`, `split`, `move`: three files, written from what the database says of itself."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from greenroom import migrating
from greenroom.cli.context import Context


def write(
    context: Context, what: str, folder: Path | None, name: str, url: str, accept: Collection[str], **arguments: Any
) -> int:
    loaded = None if url and folder is not None else context.open().loaded
    found, where = migrating.place_of(loaded, url, folder, context.file.absolute().parent)
    paths, remarks = migrating.written(what, found, where, name, accept, arguments)
    shown = [_short(path) for path in paths]
    text = f"written: {', '.join(shown)}"
    hint = "read them, then `greenroom db plan` judges them; the next `greenroom deploy VERSION` brings them along"
    if context.json:
        context.document(
            {"verb": context.verb, "exit": 0, "files": shown, "remarks": remarks, "text": text, "hint": hint}
        )
        return 0
    context.say(text)
    for remark in remarks:
        context.say(f"  ! {remark}")
    context.say(hint)
    return 0


def _short(path: Path) -> str:
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
