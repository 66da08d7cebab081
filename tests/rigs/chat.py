"""The other ends of notifiers: what Slack would refuse, and a server that answers byte by byte and never ends."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any

KNOWN = {"header", "section", "context", "divider"}


def refused(message: Mapping[str, Any]) -> list[str]:
    """Everything for which Slack answers `invalid_blocks` or cuts, by its documented limits; empty: it is taken."""
    wrong: list[str] = []
    blocks = message.get("blocks", [])
    if not message.get("text"):
        wrong.append("no text for notifications")
    if len(blocks) > 50:
        wrong.append(f"{len(blocks)} blocks")
    for number, block in enumerate(blocks):
        wrong += [f"block {number}: {text}" for text in _wrong(block)]
    return wrong


def _wrong(block: Mapping[str, Any]) -> list[str]:
    kind = block.get("type")
    match kind:
        case "header":
            return _text(block["text"], "plain_text", 150)
        case "section":
            fields = block.get("fields", [])
            wrong = _text(block["text"], "mrkdwn", 3000) if "text" in block else []
            wrong += [] if "text" in block or fields else ["a section with nothing in it"]
            wrong += [f"{len(fields)} fields"] if len(fields) > 10 else []
            return wrong + [text for field in fields for text in _text(field, "mrkdwn", 2000)]
        case "context":
            elements = block["elements"]
            wrong = [] if 1 <= len(elements) <= 10 else [f"{len(elements)} elements"]
            return wrong + [text for element in elements for text in _text(element, "mrkdwn", 2000)]
    return [] if kind in KNOWN else [f"{kind!r} is no block"]


def _text(text: Mapping[str, Any], kind: str, limit: int) -> list[str]:
    wrong = [] if text.get("type") == kind else [f"{text.get('type')} where {kind} belongs"]
    allowed = {"type", "text", "emoji"} if kind == "plain_text" else {"type", "text", "verbatim"}
    wrong += [f"unknown keys {sorted(text.keys() - allowed)}"] if text.keys() - allowed else []
    length = len(text.get("text", "").encode("utf-16-le")) // 2
    return wrong + ([] if 1 <= length <= limit else [f"{length} characters"])


class Dripping:
    """Accepts connections and sends one byte now and then, for ever; a context manager."""

    def __init__(self, greeting: bytes = b"HTTP/1.1 200 OK\r\nX-Endless: ", every: float = 0.05) -> None:
        self._greeting, self._every = greeting, every
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Dripping:
        self._threads[0].start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._drip, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _drip(self, connection: socket.socket) -> None:
        with connection:
            try:
                connection.sendall(self._greeting)
                while not self._ended.wait(self._every):
                    connection.sendall(b"x")
            except OSError:
                return
