"""How a command of the file is executed: directly where it is plain words, else by the shell."""

from __future__ import annotations

import re
import shlex

_SHELL = re.compile(r"[|&;<>()$`*?\[\]#~!\\\n]|^\s*[A-Za-z_][A-Za-z0-9_]*=")


def words(command: str) -> tuple[str, ...]:
    """`python -m shop` is executed as it is and gets the stop signal itself; `A=1 x | y` is `sh -c`, and its whole
    process group gets the signal, because a shell passes none on."""
    if not _SHELL.search(command):
        try:
            split = shlex.split(command)
        except ValueError:  # an open quote: the shell says it better
            split = []
        if split:
            return tuple(split)
    return ("/bin/sh", "-c", command)
