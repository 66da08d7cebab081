"""A server over HTTP/1.1 whose every answer a test decides, in a thread of its own."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Received:
    """One request. `number`: of all, from 0 on; `turn`: of its connection, from 0 on."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    number: int
    turn: int


@dataclass(frozen=True, slots=True)
class Reply:
    """`after`: seconds, in which others are answered. `raw`: instead of a proper answer. `hang_up`: without a word of it."""

    status: int = 200
    body: bytes = b"ok"
    after: float = 0.0
    headers: Mapping[str, str] | None = None
    raw: bytes | None = None
    hang_up: bool = False


Behaviour = Callable[[Received], Reply]


class Answering:
    """`received` and `connections` are the witness. What `behave` does before it returns stops the whole server."""

    def __init__(self, behave: Behaviour) -> None:
        self.behave = behave
        self.received: list[Received] = []
        self.connections = 0
        self.url = ""

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        turn = 0
        try:
            while await self._exchange(reader, writer, turn):
                turn += 1
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, turn: int) -> bool:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        request = Received(method, path, headers, body, len(self.received), turn)
        self.received.append(request)
        reply = self.behave(request)
        if reply.after:
            await asyncio.sleep(reply.after)
        writer.write(_bytes(reply, method))
        await writer.drain()
        return not reply.hang_up


def _bytes(reply: Reply, method: str) -> bytes:
    if reply.raw is not None:
        return reply.raw
    head = [f"HTTP/1.1 {reply.status} As-Asked", f"Content-Length: {len(reply.body)}"]
    head += [f"{name}: {value}" for name, value in (reply.headers or {}).items()]
    return ("\r\n".join(head) + "\r\n\r\n").encode() + (b"" if method == "HEAD" else reply.body)


@contextmanager
def answering(behave: Behaviour = lambda request: Reply(), tls: ssl.SSLContext | None = None) -> Iterator[Answering]:
    server = Answering(behave)
    loop = asyncio.new_event_loop()
    listening = loop.run_until_complete(asyncio.start_server(server.talk, "127.0.0.1", 0, ssl=tls, backlog=1000))
    port = listening.sockets[0].getsockname()[1]
    server.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        listening.close()
        loop.run_until_complete(_ended(asyncio.all_tasks(loop)))
        loop.close()


async def _ended(tasks: set[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)  # the transports close their sockets


def own_certificate(folder: Path) -> ssl.SSLContext:
    """A server's context with a certificate for 127.0.0.1 and shop.example, which stays in `folder` as cert.pem."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "shop.example")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(
        now + datetime.timedelta(days=2)
    )
    names = x509.SubjectAlternativeName(
        [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("shop.example")]
    )
    made = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "cert.pem").write_bytes(made.public_bytes(pem))
    (folder / "key.pem").write_bytes(private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context
