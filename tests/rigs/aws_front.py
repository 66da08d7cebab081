"""AWS as moto serves it, behind a front that counts the calls, tells the time and, when told to, fails in AWS's ways.

The front lets one request through at a time: moto undoes a refused transaction by putting all tables back as they were.
"""

from __future__ import annotations

import html
import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any

import pytest

from greenroom.adapters.aws.access import Access

REGION, ACCOUNT = "eu-central-1", "123456789012"
_OF_DYNAMODB = "com.amazonaws.dynamodb.v20120810#"


@dataclass
class Fault:
    """What happens to the next call of this operation ("": of any), after `skip` others; `times` times, with so many
    others between.

    `kind`: throttle · denied · refused · error · canned · hang · reset (not done), error-after · hang-after ·
    reset-after · garbage-after (done, but the answer is not moto's), stale (what the same request got before); "": nothing.
    Of APIs that speak XML: not canned.
    """

    kind: str
    operation: str = ""
    skip: int = 0
    times: int = 1
    between: int = 0
    body: dict[str, Any] = field(default_factory=dict)
    """Of `canned`, the answer (200); of `refused` too (400); of `denied`, its `Message`."""
    meanwhile: Callable[[], object] = lambda: None
    """Done before there is an answer, or none. It must not come through this front."""

    def strikes(self, operation: str) -> bool:
        if self.operation not in ("", operation) or not self.times:
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times, self.skip = self.times - 1, self.between
        return True


class Front:
    """`url` is for clients, `upstream` moto's address. `clock`: the time that answers tell; None: they tell none."""

    def __init__(self, upstream: tuple[str, int], clock: Callable[[], float] | None) -> None:
        self.clock = clock
        self.calls: list[str] = []
        self.faults: list[Fault] = []
        self.upstream, self._lock, self._over = upstream, Lock(), Event()
        self._before: dict[bytes, tuple[int, bytes]] = {}
        front = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                front.answer(self)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def access(self, **more: str) -> Access:
        return Access(region=REGION, endpoint=self.url, **more)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        operation = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
        operation = operation or body.decode().partition("Action=")[2].partition("&")[0]
        with self._lock:
            self.calls.append(operation)
            fault = next((fault for fault in self.faults if fault.strikes(operation)), None)
            kind = fault.kind if fault else ""
            said = _instead(kind, operation, fault.body if fault else {})
            if said is None and kind == "stale":
                said = self._before.get(body)
            if said is None and kind not in ("hang", "reset"):
                said = self._before[body] = self._forwarded(request, body)
            if fault:
                fault.meanwhile()
        if kind == "error-after":
            said = _instead("error", operation, {})
        if kind == "garbage-after":
            said = 200, b"<html>Sign in to this network</html>"
        if body.startswith(b"Action=") and said is not None and said[1].startswith(b"{"):
            said = said[0], _as_xml(said[1])
        if kind.startswith("hang"):
            self._over.wait(20)
        if kind.startswith(("hang", "reset")) or said is None:
            request.close_connection = True
            return
        self._say(request, *said)

    def close(self) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def _forwarded(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(*self.upstream, timeout=20)
        try:
            headers = {name: value for name, value in request.headers.items() if name.lower() != "connection"}
            connection.request("POST", request.path, body, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def _say(self, request: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
        request.send_response_only(status)
        request.send_header("Content-Type", "text/xml" if body[:1] == b"<" else "application/x-amz-json-1.0")
        if b"<html>" not in body:
            request.send_header("x-amzn-RequestId", f"request-{len(self.calls)}")
        request.send_header("Content-Length", str(len(body)))
        if self.clock is not None:
            request.send_header("Date", formatdate(int(self.clock()), usegmt=True))
        request.end_headers()
        request.wfile.write(body)


def _instead(kind: str, operation: str, body: dict[str, Any]) -> tuple[int, bytes] | None:
    """What is said in place of moto's answer."""
    match kind:
        case "throttle":
            code = f"{_OF_DYNAMODB}ProvisionedThroughputExceededException"
            return 400, json.dumps({"__type": code, "message": "slow down"}).encode()
        case "error":
            return 500, json.dumps({"__type": f"{_OF_DYNAMODB}InternalServerError", "message": "oh"}).encode()
        case "denied":
            code = f"{_OF_DYNAMODB}AccessDeniedException"
            return 400, json.dumps({"__type": code, **body}).encode()
        case "refused":
            return 400, json.dumps(body).encode()
        case "canned":
            return 200, json.dumps(body).encode()
        case _:
            return None


def _as_xml(said: bytes) -> bytes:
    """As APIs say it that speak XML (elasticloadbalancing, autoscaling, cloudformation)."""
    error = json.loads(said)
    code = str(error.get("__type", "")).rpartition("#")[2]
    code = {"ProvisionedThroughputExceededException": "Throttling", "AccessDeniedException": "AccessDenied"}.get(
        code, code
    )
    text = html.escape(str(error.get("message") or error.get("Message") or ""))
    inner = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{text}</Message></Error>"
    return f"<ErrorResponse>{inner}<RequestId>refused</RequestId></ErrorResponse>".encode()


@contextmanager
def moto() -> Iterator[tuple[str, int]]:
    """Its address."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield server.get_host_and_port()
    finally:
        server.stop()


def nobody(patch: pytest.MonkeyPatch) -> None:
    """No credentials that could be anybody's, and none but these; nothing of this machine's own settings."""
    patch.setenv("AWS_ACCESS_KEY_ID", "test")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        patch.setenv(name, "/dev/null")
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        patch.delenv(name, raising=False)
