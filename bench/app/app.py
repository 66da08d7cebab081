"""The application of `bench/overhead`: the smallest ASGI application there is."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

TEXT = b"Welcome from version " + os.environ.get("GREENROOM_VERSION", "0").encode() + b"\n"
PORT = os.environ.get("PORT", "").encode()


async def app(
    scope: MutableMapping[str, Any],
    _receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    if scope["type"] != "http":
        return
    text = PORT if scope["path"] == "/port" else TEXT
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(text))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": text})
