"""How a command asks the resident engine: one line of JSON each way over a socket in the state folder.

Standard library only and cheap to import: `greenroom status` needs nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from greenroom import sockets

NAME = "engine.sock"
"""The socket's name in the state folder."""

IN_TROUBLE = "in trouble: "
"""So begins what an engine does that can decide nothing."""


def ask(state: Path, question: str = "status", timeout: float = 1.0) -> dict[str, Any] | None:
    """The engine's answer; None if no engine answers in time. Questions: `status`, `poke` (look at the journal now)."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(timeout)
            link.connect(sockets.address(state, NAME))
            if not _ours(link):
                return None
            link.sendall(json.dumps({"question": question}).encode() + b"\n")
            with link.makefile("rb") as answer:
                return _object(json.loads(answer.readline()))
    except (OSError, ValueError):
        return None


def _ours(link: socket.socket) -> bool:
    """The other end runs as us, or as root. A folder in /tmp could be a stranger's."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    peer = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(peer[4:8], "little") in (os.getuid(), 0)


def _object(value: Any) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None


class Desk:
    """Answers questions in a thread of its own, one at a time. `answers` by question; an error becomes an answer."""

    def __init__(self, state: Path, answers: dict[str, Callable[[], dict[str, Any]]]) -> None:
        self._path, self._answers = sockets.address(state, NAME), answers
        self._link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._thread = threading.Thread(target=self._serve, name="greenroom-enquiry", daemon=True)

    def open(self) -> None:
        sockets.make_folder(self._path)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        self._link.bind(self._path)
        os.chmod(self._path, 0o600)
        self._link.listen(16)
        self._thread.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._link.shutdown(socket.SHUT_RDWR)
        self._link.close()
        sockets.forget(self._path)

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self._link.accept()
            except OSError:
                return
            with link, contextlib.suppress(OSError, ValueError):
                link.settimeout(1.0)
                with link.makefile("rwb") as stream:
                    stream.write(json.dumps(self._answer(stream.readline())).encode() + b"\n")

    def _answer(self, line: bytes) -> dict[str, Any]:
        question = (_object(json.loads(line)) or {}).get("question")
        answer = self._answers.get(str(question))
        if answer is None:
            return {"error": f"no such question: {question}"}
        try:
            return answer()
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}
