"""A backend that answers everything with 500, until it is told to be well."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from greenroom.domain.model import Backend, Colour, Endpoint
from greenroom.testing.contracts.router import Failing


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.received[self.command] += 1  # type: ignore[attr-defined]
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(500)
        self.send_header("x-served-by", self.server.colour)  # type: ignore[attr-defined]
        self.send_header("content-length", "0")
        self.end_headers()

    do_HEAD = do_POST = do_OPTIONS = do_GET

    def log_message(self, *args: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *args: Any) -> None:
        """A proxy that asks somebody else breaks off here."""


@contextmanager
def failing(colour: Colour) -> Iterator[Failing]:
    server = _Server(("127.0.0.1", 0), _Handler)
    made = Failing(Backend((Endpoint("127.0.0.1", server.server_port),), "bad", "r-bad"), Counter())
    server.received, server.colour = made.received, str(colour)  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join(30)
