"""`greenroom status`, the quick way: ask the resident engine, print its answer. Standard library only.

Whatever is unusual (no engine, another option, a `state_dir` that is not plain) is left to the thorough way: None.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from greenroom import __version__, enquiry
from greenroom.cli.sheet import exit_code, sheet
from greenroom.cli.text import ink_for, width_of

FILE = "greenroom.yaml"

_STATE = re.compile(r"^state_dir[ \t]*:[ \t]*(?P<value>[^\n]*)$", re.MULTILINE)
_PLAIN = re.compile(r"[\w./~@+-]+")


class Question(NamedTuple):
    file: Path
    json: bool


def version() -> str:
    return __version__


def read(arguments: Sequence[str]) -> Question | None:
    """`status` with nothing but `--file` and `--json`."""
    file, as_json, asked = FILE, False, False
    rest = iter(arguments)
    for word in rest:
        if word == "status" and not asked:
            asked = True
        elif word == "--json":
            as_json = True
        elif word in ("--file", "-f"):
            file = next(rest, "")
        elif word.startswith("--file="):
            file = word.removeprefix("--file=")
        else:
            return None
    return Question(Path(file), as_json) if asked and file else None


def state_folder(file: Path) -> Path | None:
    """Where the state is, by a look at one line of the file. None: not to be told without reading it properly."""
    folder = Path(os.path.abspath(file)).parent
    try:
        found = _STATE.findall(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return folder / ".greenroom"
    except (OSError, ValueError):
        return None
    if not found:
        return folder / ".greenroom"
    value = str(found[0]).split(" #")[0].strip().strip("\"'")
    if len(found) > 1 or not _PLAIN.fullmatch(value):
        return None
    return Path(os.path.abspath(folder / os.path.expanduser(value)))


def answer(question: Question) -> int | None:
    """Print the engine's answer; the exit code. None: no engine answered."""
    state = state_folder(question.file)
    told = enquiry.ask(state, timeout=2.0) if state else None
    if told is None or not isinstance(told.get("status"), dict):
        return None
    document = merged(told, [] if question.file.exists() else [gone(question.file)])
    show(document, question.json)
    return exit_code(document)


def gone(file: Path) -> str:
    return f"{file} is not there; what runs does not need it, the next deploy does"


def merged(told: Mapping[str, Any], problems: Sequence[str] = ()) -> dict[str, Any]:
    """The document of `status --json`, from an engine's answer."""
    status = told["status"]
    return {
        **status,
        "problems": [*(status.get("problems") or ()), *problems],
        "rates": told.get("rates"),
        "engine": told.get("engine"),
        "journal": told.get("journal", "ok"),
    }


def show(document: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(finite(document), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        print("\n".join(sheet(document, width_of(sys.stdout), ink_for(sys.stdout))))


def finite(value: Any) -> Any:
    """JSON has no infinity: null stands for it."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value
