"""supervisord's XML-RPC over its unix socket, as far as it is used here: a request, an answer, a timeout for both.

By hand, because `status` has to be quick and `xmlrpc.client` alone takes longer to import than the call.
"""

from __future__ import annotations

import socket
import time
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

NOT_RUNNING = 70
ALREADY_STARTED = 60
ALREADY_ADDED = 90
STILL_RUNNING = 91
BAD_NAME = 10


class Dead(Exception):
    """Nobody listens on the socket: no supervisor."""


class Silent(Exception):
    """Somebody listens, and does not answer in time or not sensibly."""


class Fault(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{text} ({code})")
        self.code = code


def call(path: str, method: str, *arguments: str | bool, timeout: float = 3.0) -> Any:
    """Raises `Dead`, `Silent`, `Fault`."""
    end = time.monotonic() + timeout
    body = _request(method, arguments)
    head = f"POST /RPC2 HTTP/1.0\r\nContent-Type: text/xml\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(timeout)
        try:
            link.connect(path)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise Dead(str(error)) from None
        except OSError as error:
            raise Silent(f"{path}: {error}") from None
        answer = b""
        try:
            link.sendall(head + body)
            while True:
                link.settimeout(max(0.001, end - time.monotonic()))
                if not (piece := link.recv(65536)):
                    break
                answer += piece
        except TimeoutError:
            raise Silent(f"the supervisor did not answer {method} within {timeout:g} s") from None
        except OSError as error:
            raise Dead(f"the supervisor ended while it answered {method}: {error}") from None
    return _answer(answer, method)


def _request(method: str, arguments: tuple[str | bool, ...]) -> bytes:
    parts = []
    for argument in arguments:
        if isinstance(argument, bool):
            parts.append(f"<param><value><boolean>{int(argument)}</boolean></value></param>")
        else:
            parts.append(f"<param><value><string>{escape(argument)}</string></value></param>")
    params = "".join(parts)
    return f"<methodCall><methodName>{method}</methodName><params>{params}</params></methodCall>".encode()


def _answer(raw: bytes, method: str) -> Any:
    head, _, body = raw.partition(b"\r\n\r\n")
    if not raw:
        raise Dead(f"the supervisor ended while it answered {method}")
    status = head.split(None, 2)[1:2]
    if status != [b"200"]:
        raise Silent(f"the supervisor answered {method} with {head[:60]!r}")
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError:
        raise Silent(f"the supervisor's answer to {method} was cut off") from None
    fault = root.find("fault/value")
    if fault is not None:
        told = _value(fault)
        raise Fault(int(told["faultCode"]), str(told["faultString"]))
    value = root.find("params/param/value")
    return None if value is None else _value(value)


def _value(element: ElementTree.Element) -> Any:
    inner = element[0] if len(element) else None
    if inner is None:
        return element.text or ""
    if inner.tag in ("int", "i4"):
        return int(inner.text or 0)
    if inner.tag == "boolean":
        return inner.text == "1"
    if inner.tag == "array":
        return [_value(value) for value in inner.iterfind("data/value")]
    if inner.tag == "struct":
        return {
            m.findtext("name") or "": _value(v) for m in inner.iterfind("member") if (v := m.find("value")) is not None
        }
    return inner.text or ""
