"""The smallest useful ASGI application: a page, and a health page."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
PAGES = {
    "/": f"Hello from version {os.environ.get('GREENROOM_VERSION', '0')}\n".encode(),
    "/health": b"fine\n",
}


async def app(scope: Message, _: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]) -> None:
    if scope["type"] != "http":
        return
    text = PAGES.get(scope["path"])
    body = text or b"There is no such page.\n"
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200 if text else 404, "headers": headers})
    await send({"type": "http.response.body", "body": body})
