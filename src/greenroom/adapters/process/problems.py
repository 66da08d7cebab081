"""What is wrong with the file's processes, seen before anything is touched."""

from __future__ import annotations

import difflib
import os
import pwd
import re
import shutil
from pathlib import Path

from greenroom.adapters.process.commands import words
from greenroom.adapters.process.settings import EnvironmentSettings, ProcessSettings
from greenroom.ports import Place

FILLED = ("port", "colour", "version", "release")
"""What `{name}` in a command may be."""
_BRACES = re.compile(r"(?<!\$)\{([a-z_]+)\}")


def problems(settings: EnvironmentSettings, place: Place) -> list[str]:
    """One sentence each, with the way out. What `prepare` may create is not missed."""
    source, state = place.file.absolute().parent / settings.source, place.state.absolute()
    if not source.is_dir():
        return [f"environment.source: {source} is not a folder; create it, or name the folder with the program"]
    if state == source or state in source.parents:
        return [f"environment.source: is inside Greenroom's own folder {state}; name another folder"]
    if not os.access(source, os.R_OK | os.X_OK):
        return [f"environment.source: {source} cannot be read; give yourself the permission"]
    found = []
    for name, process in settings.processes.items():
        where = f"environment.processes.{name}"
        found += [
            f"{where}.{text}"
            for text in (_user(process), _place(process, settings, source), _unfilled(process))
            if text
        ]
    return found


def hazards(settings: EnvironmentSettings) -> list[str]:
    """Facts for which users would notice a deploy that works, each with the way out."""
    name = settings.routed
    health = settings.processes[name].health if name else None
    if health is None or health.path or health.command:
        return []
    return [
        f"environment.processes.{name}.health: is not given, so a replica gets requests as soon as it listens, ready to "
        f"answer or not; give it `health: {{path: /}}`"
    ]


def _user(process: ProcessSettings) -> str:
    if not process.user:
        return ""
    try:
        entry = pwd.getpwnam(process.user)
    except KeyError:
        return f"user: there is no user {process.user!r} on this machine; create it, or leave `user` out"
    if os.geteuid() not in (0, entry.pw_uid):
        return f"user: only root may run a process as {process.user!r}; run Greenroom as root or as that user"
    return ""


def _place(process: ProcessSettings, settings: EnvironmentSettings, source: Path) -> str:
    directory = source / process.directory
    if not directory.is_dir():
        return "" if settings.prepare else f"directory: {directory} is not a folder; create it, or correct `directory`"
    split = words(process.command)
    if split[:2] == ("/bin/sh", "-c"):
        return ""
    program = split[0]
    if "{" in program:
        return ""
    if "/" in program:
        return "" if settings.prepare and not program.startswith("/") else _file(directory / program, source)
    path = process.env.get("PATH", settings.env.get("PATH"))
    if path is None and not shutil.which(program):
        return f"command: {program} is not found in PATH; install it, or write where it is"
    return ""


def _unfilled(process: ProcessSettings) -> str:
    """Braces that are no name of ours may be the program's own; not those that nearly are one."""
    for name in _BRACES.findall(process.command):
        near = difflib.get_close_matches(name, FILLED, n=1, cutoff=0.7)
        if name not in FILLED and near and f"{{{near[0]}}}" not in process.command:
            return f"command: `{{{name}}}` is not filled in; did you mean `{{{near[0]}}}`?"
    return ""


def _file(program: Path, source: Path) -> str:
    if not program.exists():
        return f"command: {program} does not exist; correct the path, or create it in `prepare`"
    if program.is_dir() or not os.access(program, os.X_OK):
        return f"command: {program} is not executable; chmod +x it, or start it by its interpreter"
    above = [folder for folder in program.parents if folder != source and source in folder.parents]
    if any((folder / "pyvenv.cfg").exists() for folder in above):
        return (
            f"command: {program} is in a virtual environment, which is not copied because it holds absolute paths; "
            f"create it in `prepare`, for example `python3 -m venv venv`"
        )
    return ""
