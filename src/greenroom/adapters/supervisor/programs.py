"""A program as a file of the supervisor's folder, and back."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import uuid
from dataclasses import asdict
from pathlib import Path

from greenroom.adapters.supervisor import runfiles
from greenroom.adapters.supervisor.runfiles import Record
from greenroom.errors import Permanent
from greenroom.ports import Program

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.~-]*")


def check(program: Program) -> None:
    if not _NAME.fullmatch(program.name):
        raise Permanent(f"{program.name!r} cannot name a program: letters, digits, '_', '.', '-' only")
    if not program.command:
        raise Permanent(f"{program.name} has no command")
    with contextlib.suppress(KeyError):
        runfiles.signal_number(program.stop_signal)
        return
    raise Permanent(f"{program.name}: there is no signal {program.stop_signal!r}", hint="TERM, INT, QUIT, HUP, USR1, …")


def spec_of(program: Program) -> Record:
    document = asdict(program)
    document["directory"] = str(program.directory)
    document["output"] = str(program.output) if program.output else ""
    for name in ("environment", "secrets", "labels"):
        document[name] = dict(document[name])
    document["command"] = list(program.command)
    document["stop_signal"] = program.stop_signal.upper().removeprefix("SIG")
    document["stop_group"] = program.command[0].rsplit("/", 1)[-1] == "sh" and program.command[1:2] == ("-c",)
    text = json.dumps(document, sort_keys=True)
    document["fingerprint"] = hashlib.sha256(text.encode()).hexdigest()
    document["applied"] = uuid.uuid4().hex
    return document


def program_of(name: str, spec: Record | None, record: Record | None) -> Program:
    """As it was applied, without its secrets; of an orphan that nobody wants any more, what its run file knows."""
    if spec is None or "command" not in spec:
        known = record or {}
        labels, port = known.get("labels", {}), int(known.get("port", 0))
        return Program(name=name, command=(), directory=Path("/"), labels=labels, port=port)
    return Program(
        name=name,
        command=tuple(spec["command"]),
        directory=Path(spec["directory"]),
        environment=spec["environment"],
        output=Path(spec["output"]) if spec["output"] else None,
        user=spec["user"],
        stop_signal=spec["stop_signal"],
        stop_timeout=spec["stop_timeout"],
        port=spec["port"],
        keep=spec["keep"],
        labels=spec["labels"],
    )
