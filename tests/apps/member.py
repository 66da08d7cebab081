"""A small application with a login, sessions in a store of your choice, and a cache, by the store's own client.

    python -m tests.apps.member --port 8000 --store redis:127.0.0.1:6379 --version 2

Stores: `memory`, `signed:KEY` (all of the session in the cookie), `redis:HOST:PORT`, `memcached:HOST:PORT`,
`dynamodb:URL` (table `sessions`). `--format`: how a value stands in the store: `json`, `renamed` (the same with another
name for the field), `pickle`. `--reading`: which formats it can read; by default its own.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import pickle
import secrets
from collections.abc import Callable
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

PASSWORD = "open-sesame"


class Store(Protocol):
    def put(self, key: str, value: bytes) -> str:
        """What the cookie holds."""

    def get(self, key: str) -> bytes | None: ...


class InMemory:
    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def put(self, key: str, value: bytes) -> str:
        self._kept[key] = value
        return key

    def get(self, key: str) -> bytes | None:
        return self._kept.get(key)


class Signed:
    """The cookie is the session; nothing is kept."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def put(self, key: str, value: bytes) -> str:
        body = base64.urlsafe_b64encode(value).decode().rstrip("=")
        return f"{body}.{key[:6]}.{self._signature(body)}"

    def get(self, key: str) -> bytes | None:
        body, _, rest = key.partition(".")
        if not hmac.compare_digest(rest.partition(".")[2], self._signature(body)):
            return None
        return base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))

    def _signature(self, body: str) -> str:
        return hmac.new(self._secret, body.encode(), hashlib.sha256).hexdigest()[:32]


class InRedis:
    def __init__(self, host: str, port: int) -> None:
        import redis

        self._client = redis.Redis(host=host, port=port, socket_timeout=5)

    def put(self, key: str, value: bytes) -> str:
        self._client.set(key, value, ex=600)
        return key

    def get(self, key: str) -> bytes | None:
        found: Any = self._client.get(key)
        return found if isinstance(found, bytes) else None


class InMemcached:
    def __init__(self, host: str, port: int) -> None:
        from pymemcache.client.base import PooledClient

        self._client = PooledClient((host, port), timeout=5, connect_timeout=5)

    def put(self, key: str, value: bytes) -> str:
        self._client.set(key, value, expire=600)
        return key

    def get(self, key: str) -> bytes | None:
        found: Any = self._client.get(key)
        return found if isinstance(found, bytes) else None


class InDynamoDB:
    def __init__(self, url: str) -> None:
        import boto3

        options = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "eu-central-1"}
        self._table: Any = boto3.resource("dynamodb", endpoint_url=url, **options).Table("sessions")

    def put(self, key: str, value: bytes) -> str:
        self._table.put_item(Item={"id": key, "value": value})
        return key

    def get(self, key: str) -> bytes | None:
        item = self._table.get_item(Key={"id": key}, ConsistentRead=True).get("Item")
        return bytes(item["value"].value) if item else None


def store_of(text: str) -> Store:
    kind, _, rest = text.partition(":")
    host, _, port = rest.rpartition(":")
    match kind:
        case "memory":
            return InMemory()
        case "signed":
            return Signed(rest)
        case "redis":
            return InRedis(host, int(port))
        case "memcached":
            return InMemcached(host, int(port))
        case "dynamodb":
            return InDynamoDB(rest)
    raise SystemExit(f"no such store: {text}")


WRITERS: dict[str, Callable[[str], bytes]] = {
    "json": lambda value: json.dumps({"value": value}).encode(),
    "renamed": lambda value: json.dumps({"content": value}).encode(),
    "pickle": lambda value: pickle.dumps({"value": value}),
}
READERS: dict[str, Callable[[bytes], str]] = {
    "json": lambda raw: str(json.loads(raw)["value"]),
    "renamed": lambda raw: str(json.loads(raw)["content"]),
    "pickle": lambda raw: str(pickle.loads(raw)["value"]),
}


class App:
    """`rewrites`: it stores a session anew at every request, in its own format. `attributes`: of the cookie."""

    def __init__(
        self,
        store: Store,
        version: str = "1",
        form: str = "json",
        reading: tuple[str, ...] = (),
        attributes: str = "Path=/; HttpOnly",
        rewrites: bool = False,
    ) -> None:
        self.store, self.version, self.form = store, version, form
        self.reading = reading or (form,)
        self.attributes, self.rewrites = attributes, rewrites

    def write(self, key: str, value: str) -> str:
        return self.store.put(key, WRITERS[self.form](value))

    def read(self, key: str) -> str | None:
        """Breaks over what it cannot read, as applications do."""
        raw = self.store.get(key)
        if raw is None:
            return None
        problem: Exception | None = None
        for form in self.reading:
            try:
                return READERS[form](raw)
            except Exception as error:
                problem = error
        raise problem or ValueError("no format")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def do_PUT(self) -> None:
        self.answer()

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        path = urlsplit(self.path).path
        self.server.seen.append((self.command, path, dict(self.headers)))
        try:
            self.route(path, body)
        except Exception as error:
            self.say(500, f"{type(error).__name__}: {error}\n")

    def route(self, path: str, body: bytes) -> None:
        app = self.server.app
        match self.command, path.strip("/").split("/"):
            case "GET", ["health"]:
                self.say(200, "ok\n")
            case "POST", ["login"]:
                self.login(parse_qs(body.decode()))
            case "POST", ["token"]:
                token = app.write(secrets.token_hex(16), str(json.loads(body)["user"]))
                self.say(200, json.dumps({"data": {"token": token}}), ("content-type", "application/json"))
            case "GET", ["account"]:
                self.account()
            case (("PUT" | "POST"), ["cache", key]):
                app.write(key, body.decode())
                self.say(201, "stored\n")
            case "GET", ["cache", key]:
                value = app.read(key)
                found = json.dumps({"value": value, "version": app.version})
                self.say(200, found) if value is not None else self.say(404, "no such key\n")
            case _:
                self.say(404, "no such page\n")

    def login(self, form: dict[str, list[str]]) -> None:
        if form.get("password") != [PASSWORD]:
            self.say(401, "wrong password\n")
            return
        sid = self.server.app.write(secrets.token_hex(16), form["user"][0])
        self.say(303, "", ("location", "/account"), ("set-cookie", f"sid={sid}; {self.server.app.attributes}"))

    def account(self) -> None:
        app = self.server.app
        bearer = self.headers.get("authorization", "").removeprefix("Bearer ")
        cookie = SimpleCookie(self.headers.get("cookie", "")).get("sid")
        sid = bearer or (cookie.value if cookie else "")
        user = app.read(sid) if sid else None
        if user is None:
            fresh = f"sid={secrets.token_hex(16)}; {app.attributes}"
            self.say(401, "please log in\n", *([("set-cookie", fresh)] if sid else []))
            return
        if app.rewrites:
            app.write(sid, user)
        self.say(200, f"Hello {user}\n")

    def say(self, status: int, body: str, *headers: tuple[str, str]) -> None:
        content = body.encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    """`seen`: method, path and headers of each request."""

    daemon_threads = True

    def __init__(self, app: App, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.app = app
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *args: Any) -> None:
        """Clients may break off."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--store", default="memory")
    parser.add_argument("--version", default="1")
    parser.add_argument("--format", default="json", choices=sorted(WRITERS))
    parser.add_argument("--reading", default="")
    asked = parser.parse_args()
    reading = tuple(word for word in asked.reading.split(",") if word)
    Server(App(store_of(asked.store), asked.version, asked.format, reading), asked.port).serve_forever()


if __name__ == "__main__":
    main()
