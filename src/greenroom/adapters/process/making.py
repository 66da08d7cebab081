"""Makes one artefact, as a process of its own: copies the source, prepares the copy where it will run, says READY.

Started in the background with the artefact's folder, in which `making.json` says what to do. It may be killed at any
instant: without READY the folder counts for nothing.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from greenroom.adapters.supervisor import runfiles

NEVER = frozenset({".git", ".hg", ".svn", ".greenroom", "__pycache__"})


def make(folder: Path) -> None:
    """`SystemExit` with the reason where it cannot be made."""
    order = runfiles.read_json(str(folder / "making.json"))
    if order is None:
        raise SystemExit("making.json cannot be read")
    target = folder / order["attempt"]
    for older in folder.iterdir():
        if older.name.isdigit() and older != target:
            shutil.rmtree(older, ignore_errors=True)
    try:
        copy(Path(order["source"]), target, order["exclude"], Path(order["state"]))
        prepare(target, order["prepare"])
        runfiles.write_json(str(folder / "READY"), {"reference": order["attempt"]})
    except BaseException:
        # First of all: on a full disk there is no room for the reason otherwise.
        shutil.rmtree(target, ignore_errors=True)
        raise


def prepare(target: Path, commands: Iterable[str]) -> None:
    for command in commands:
        print(f"$ {command}", flush=True)
        code = subprocess.run(["/bin/sh", "-c", command], cwd=target, check=False).returncode
        if code:
            raise SystemExit(f"exit status {code} of: {command}")


def copy(source: Path, target: Path, exclude: Iterable[str], state: Path) -> None:
    """The files as they are, links as links. Not copied: version control, caches, our own state, sockets and pipes,
    virtual environments (they hold absolute paths and would go on using the original)."""
    try:
        shutil.copytree(source, target, symlinks=True, ignore=_ignore(source, tuple(exclude), state))
    except shutil.Error as error:
        # What vanished while it was copied (a temporary file of somebody else) is not missed.
        reasons = [f"{name}: {why}" for name, _, why in error.args[0] if os.path.lexists(name)][:10]
        if not reasons:
            return
        raise SystemExit("\n".join(["the source cannot be copied:", *reasons])) from None
    except OSError as error:
        raise SystemExit(f"the source cannot be copied: {error.strerror}: {error.filename}") from None


def _ignore(source: Path, exclude: tuple[str, ...], state: Path) -> Callable[[str, list[str]], set[str]]:
    patterns = [pattern.strip("/") for pattern in exclude]

    def ignored(folder: str, names: list[str]) -> set[str]:
        left_out = set()
        for name in names:
            path = Path(folder, name)
            below = path.relative_to(source).as_posix()
            matched = any(fnmatch.fnmatch(name, p) or fnmatch.fnmatch(below, p) for p in patterns)
            if name in NEVER or matched or path == state or not _copyable(path):
                left_out.add(name)
        return left_out

    return ignored


def _copyable(path: Path) -> bool:
    with contextlib.suppress(OSError):
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            return not (path / "pyvenv.cfg").exists()
        return stat.S_ISREG(mode) or stat.S_ISLNK(mode)
    return True  # copying it says what is wrong with it


def main() -> None:
    os.umask(0o022)
    make(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
