"""Writes the progress down, in a process of its own: whoever writes to a busy disk may have to wait for it."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from greenroom.adapters.load.tally import put


class Scribe:
    """Keeps one file up to date. To be made while there is one thread."""

    def __init__(self, path: Path) -> None:
        read, self._pipe = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.close(self._pipe)
                _write_down(read, path)
            finally:
                os._exit(0)
        os.close(read)
        os.set_blocking(self._pipe, False)

    def tell(self, document: dict[str, Any]) -> None:
        """Never waits: what finds the pipe full is left out."""
        with suppress(BlockingIOError, BrokenPipeError):
            os.write(self._pipe, json.dumps(document).encode() + b"\n")

    def close(self) -> None:
        """It has ended when this returns."""
        os.close(self._pipe)
        with suppress(ChildProcessError):
            os.waitpid(self._pid, 0)


def _write_down(pipe: int, path: Path) -> None:
    with open(pipe, encoding="utf-8") as lines:
        for line in lines:
            with suppress(OSError, ValueError):  # the next one will come
                put(path, json.loads(line))
