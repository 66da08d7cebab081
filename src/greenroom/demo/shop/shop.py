"""A small shop, as many are: pages, orders, a health page. Python's standard library only.

It needs nothing of Greenroom but good manners, which every web application should have: it listens where PORT says,
answers /health when it can serve, keeps connections open, and on SIGTERM finishes what it has begun before it goes.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

VERSION = os.environ.get("GREENROOM_VERSION", "0")
COLOUR = os.environ.get("GREENROOM_COLOUR", "")
DATA = Path(os.environ.get("SHOP_DATA") or Path.home() / ".cache" / "greenroom-shop")

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>The shop</title></head>
<body style="font-family: sans-serif; margin: 4em; border-left: 2em solid {colour}; padding-left: 2em">
<h1>{title}</h1>
<p>Release <b>{version}</b>, on <b>{colour}</b>.</p>
<p><small>{mark}</small></p>
</body></html>
"""


class Visitors:
    """When the latest visitors came: a ring of so many places."""

    def __init__(self, places: int = 60) -> None:
        self.times = [0.0] * places
        self.place = 0

    def note(self) -> None:
        self.place = (self.place + 1) % len(self.times)
        self.times[self.place] = time.time()


class Shop(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int]) -> None:
        self.visitors = Visitors()
        self.closing = False
        self.busy = 0
        self.idle = threading.Condition()
        super().__init__(address, Handler)

    def close_gracefully(self) -> None:
        """No new connections; every answer that has been begun is finished, and says that it is the last one."""
        self.closing = True
        threading.Thread(target=self.shutdown).start()

    def wait_until_idle(self, within: float) -> None:
        with self.idle:
            self.idle.wait_for(lambda: self.busy == 0, within)


class Handler(BaseHTTPRequestHandler):
    server: Shop
    protocol_version = "HTTP/1.1"
    timeout = 75
    wbufsize = -1  # head and body leave in one packet
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self.begin(b"")

    def do_POST(self) -> None:
        self.begin(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def begin(self, body: bytes) -> None:
        with self.server.idle:
            self.server.busy += 1
        try:
            self.route(body)
            self.wfile.flush()
        finally:
            with self.server.idle:
                self.server.busy -= 1
                self.server.idle.notify_all()

    def route(self, body: bytes) -> None:
        url = urlsplit(self.path)
        if url.path == "/health":
            return self.answer(200, "text/plain", f"fine: version {VERSION} on {COLOUR}\n")
        number = (parse_qs(url.query).get("request") or ["0"])[0]
        try:
            self.server.visitors.note()
            self.serve(url.path, number, body)
        except Exception as error:
            print(f"{self.command} {url.path}: {type(error).__name__}: {error}", flush=True)
            self.page(500, "Sorry, something went wrong", mark(number))

    def serve(self, path: str, number: str, body: bytes) -> None:
        if path == "/orders" and self.command == "POST":
            save_order(number)
            return self.page(200, "Thank you for your order", mark(number, hashlib.sha256(body).hexdigest()))
        if path == "/slow":
            time.sleep(0.3)
        if path in ("/", "/slow"):
            return self.page(200, "Welcome to the shop", mark(number))
        self.page(404, "There is no such page", mark(number))

    def page(self, status: int, title: str, text: str) -> None:
        self.answer(status, "text/html", PAGE.format(title=title, version=VERSION, colour=COLOUR or "grey", mark=text))

    def answer(self, status: int, kind: str, text: str) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        if self.server.closing:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: the router keeps the access log."""


def mark(number: str, digest: str = "") -> str:
    """By this a client knows who answered, and that it is the answer to its own request."""
    proof = f" sha256={digest}" if digest else ""
    return f"[shop version={VERSION} colour={COLOUR} request={int(number)}{proof}]"


def database() -> sqlite3.Connection:
    """Both colours share it, as they would share a database server."""
    DATA.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(DATA / "orders.db", timeout=10, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, number INTEGER, version TEXT, at REAL)")
    db.execute("CREATE TABLE IF NOT EXISTS packed (order_id INTEGER, version TEXT, worker INTEGER, at REAL)")
    return db


def save_order(number: str) -> None:
    db = database()
    try:
        db.execute("INSERT INTO orders (number, version, at) VALUES (?, ?, ?)", (int(number), VERSION, time.time()))
    finally:
        db.close()


def main() -> None:
    database().close()
    shop = Shop(("127.0.0.1", int(os.environ.get("PORT", "8000"))))
    signal.signal(signal.SIGTERM, lambda *_: shop.close_gracefully())
    print(f"version {VERSION} listens on port {shop.server_port}", flush=True)
    shop.serve_forever(poll_interval=0.05)
    shop.server_close()
    shop.wait_until_idle(10.0)
    print("closed", flush=True)


if __name__ == "__main__":
    main()
