"""A short-lived private folder for sockets: short enough a path for them, gone with its process, however that ends."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_PLACE = "/tmp"
_NEW = 60.0
"""Seconds in which one that is being made is left alone."""


def make() -> tuple[str, Callable[[], None]]:
    """Its path, and what removes it. Those of processes that were killed are removed on the way."""
    prefix = f"greenroom-ssh-{os.geteuid()}-"
    _sweep(prefix)
    path = tempfile.mkdtemp(prefix=prefix, dir=_PLACE)  # made 0700
    held = os.open(f"{path}/held", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(held, fcntl.LOCK_EX)

    def remove() -> None:
        shutil.rmtree(path, ignore_errors=True)
        os.close(held)

    return path, remove


def _sweep(prefix: str) -> None:
    for folder in Path(_PLACE).glob(f"{prefix}*"):
        with suppress(OSError):  # held, or not ours
            if folder.lstat().st_uid != os.geteuid() or time.time() - folder.lstat().st_mtime < _NEW:
                continue
            handle = os.open(folder / "held", os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(handle)
