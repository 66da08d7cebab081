"""An error that nobody foresaw is a bug of ours: what is known of the route, and where the traceback is."""

from __future__ import annotations

import contextlib
import os
import time
import traceback
from pathlib import Path

from greenroom.cli.context import Context, complain
from greenroom.cli.quick import state_folder
from greenroom.domain.template import conceal


def report(context: Context, error: Exception) -> int:
    """Exit code 1. The traceback goes to a file, the sentence to the screen."""
    ours = not isinstance(error, OSError)  # a full disk or a folder that may not be written is no bug
    text = f"{type(error).__name__}: {error}" if ours else _said_by_the_system(error)
    place = _kept(context.file, "".join(traceback.format_exception(error)))
    known = _route(context)
    report = f"; please report it{f' with {place}' if place else ''}" if ours else ""
    hint = f"`greenroom status` says what runs{report}"
    message = f"{'this is a bug in Greenroom: ' if ours else ''}{conceal(text, dict(os.environ))}\n{known}"
    complain(message, hint)
    if context.json:
        context.result(1, message, hint=hint)
    return 1


def _said_by_the_system(error: Exception) -> str:
    name, why = getattr(error, "filename", None), getattr(error, "strerror", None)
    return f"{name}: {why}" if name and why else str(why or error)


def _route(context: Context) -> str:
    """What is known of the traffic; an engine's answer is all that may be asked for now."""
    with contextlib.suppress(Exception):
        state = state_folder(context.file)
        told = context.tools.enquire(state) if state else None
        if told is not None:
            status = told["status"]
            active = status["active"]
            live = f"{active['version']} is live on {active['colour']}" if active else "nothing is live"
            return f"The route is {status['route'].replace('_', ' ')}: {live}."
    return "What the route is, is not known here: the router goes on with what it was told last."


def _kept(file: Path, text: str) -> str:
    """Where the traceback was written, "" if it could not be. Readable for its owner only."""
    with contextlib.suppress(Exception):
        state = state_folder(file)
        if state is None or not state.is_dir():
            return ""
        folder = state / "logs"
        folder.mkdir(mode=0o700, exist_ok=True)
        path = folder / "command-errors.log"
        path.touch(mode=0o600, exist_ok=True)
        with path.open("a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}\n{text}\n")
        return str(path)
    return ""
