"""The status document the thorough way: by the engine if one answers, else by what this process can see itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from greenroom.cli.context import Context, Installation, Tools
from greenroom.cli.quick import gone, merged, state_folder
from greenroom.domain.observation import Seen
from greenroom.domain.release import Service
from greenroom.domain.status import lock_document, status_document
from greenroom.errors import GreenroomError, JournalError, JournalMissing, UsageError

ASLEEP = "the resident engine does not answer: nobody watches, nothing is restarted; `greenroom reconcile` wakes it"

UNWATCHED = "no command is at work: nobody watches the release; the same `greenroom deploy` again goes on with it"


def status(context: Context) -> dict[str, Any]:
    """Never raises for what is broken on this machine: each thing that is, is one of `problems`."""
    problems: list[str] = []
    installed = _find(context, problems)
    told = context.tools.enquire(installed.state)
    if told is not None and isinstance(told.get("status"), dict):
        return merged(told, problems)
    return own_look(installed, problems)


def _find(context: Context, problems: list[str]) -> Installation:
    """By the file if it is good; else by what can be guessed of it. `UsageError` if there is nothing to look at."""
    try:
        return context.tools.open(context.file, os.environ)
    except UsageError as error:
        state = _state(context.file)
        if state is None or not state.is_dir():
            raise
        first, *more = error.message.splitlines()
        problems.append(gone(context.file) if not context.file.exists() else first + (" …" if more else ""))
        return context.tools.reopen(_name(context, state), context.file.absolute(), state)


def _state(file: Path) -> Path | None:
    from greenroom.config.source import locate

    try:
        return locate(file)[1]
    except UsageError:
        return state_folder(file)


def _name(context: Context, state: Path) -> str:
    """As the last release was given it."""
    try:
        release = context.tools.reopen("", context.file.absolute(), state).control.state().release
    except GreenroomError:
        return ""
    return str(release.definition.get("service", "")) if release else ""


def own_look(installed: Installation, problems: list[str]) -> dict[str, Any]:
    """What this process sees, without the engine. Changes nothing."""
    journal, service, now, lease = "ok", Service(), 0.0, None
    try:
        if not installed.begun:
            raise JournalMissing("nothing was ever recorded here")  # and to look for it makes none
        control = installed.control
        service, now, lease = control.state(), control.now(), control.lease()
    except JournalMissing:
        journal = "missing"
    except JournalError as error:
        journal = "unreadable"
        problems.append(f"{error.message} {error.hint}".strip())
    if now == 0.0:
        now = _wall()
    seen, unseen = _see(installed, service, journal)
    problems += unseen
    lock = lock_document(service, lease.owner.text if lease else None, lease.expires if lease else None)
    document = status_document(installed.name, service, seen, now, lock=lock, problems=problems)
    if journal == "unreadable":  # there is nothing to compare the route with
        document = {**document, "route": "unknown", "drift": ""}
    if not installed.here:
        problems += [UNWATCHED] if service.running is not None and lease is None else []
    elif service.active is not None and not service.down:
        problems.append(ASLEEP)
    return {**document, "rates": None, "engine": None, "journal": journal}


def _wall() -> float:
    import time

    return time.time()


def _see(installed: Installation, service: Service, journal: str) -> tuple[Seen | None, list[str]]:
    if journal == "ok":
        return installed.seen()
    if journal == "missing" and not installed.state.exists():  # nothing was ever told to anybody
        return None, []
    return look_by_file(installed, service)


def look_by_file(installed: Installation, service: Service) -> tuple[Seen | None, list[str]]:
    """Where the journal cannot be read: by the file's own description of where things are."""
    from greenroom.engine.fanout import Threads
    from greenroom.engine.look import Looker, explain

    fan = Threads(4)
    try:
        made = installed.adapters_for(service)
        seen = Looker(fan, fan, Tools().clock).see(service, made, _wall())
    except Exception as error:  # a status that fails is worse than one that says what it cannot see
        return None, [explain(error)]
    finally:
        fan.close()
    return seen, [f"{need}: {why}" for need, why in sorted(seen.unseen.items())]
