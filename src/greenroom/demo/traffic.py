"""A client that never stops asking, checks every answer and never asks twice: `python -m greenroom.demo.traffic`.

It runs in a process of its own, sends a fixed number of requests a second for a bounded time, partly over kept
connections and partly over fresh ones: pages, orders with a body, and pages that take 300 ms. An answer counts only if
it is whole and carries the number of its request and the name of the release that gave it; everything else is lost.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from greenroom.demo.log import Request, Tail, Writer

MARK = re.compile(rb"\[shop version=(\S+) colour=(\S*) request=(\d+)(?: sha256=([0-9a-f]{64}))?\]")
MOST_SECONDS = 3600.0
MOST_RATE = 2000.0
IN_FLIGHT = 256
KEPT = 32
PATIENCE = 10.0


class Lost(Exception):
    """There is no valid answer; the text says why."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked. Of every hundred requests `fresh` open a connection, `orders` send a body, `slow` take long."""

    host: str
    port: int
    rate: float = 150.0
    seconds: float = 60.0
    fresh: int = 30
    orders: int = 10
    slow: int = 4

    @classmethod
    def at(cls, url: str, rate: float, seconds: float, **mix: int) -> Load:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"{url}: an address like http://127.0.0.1:8080 is needed")
        if not 0 < rate <= MOST_RATE or not 0 < seconds <= MOST_SECONDS:
            raise ValueError(f"at most {MOST_RATE:.0f} requests a second for at most {MOST_SECONDS:.0f} s")
        return cls(parts.hostname, parts.port or 80, rate, seconds, **mix)

    @property
    def most(self) -> int:
        """No more requests than this, whatever happens."""
        return round(self.rate * self.seconds)

    def kind(self, number: int) -> str:
        place = number * 37 % 100  # 37 and 100 share no factor: each place once in a hundred, well spread
        if place < self.orders:
            return "order"
        return "slow" if place < self.orders + self.slow else "page"

    def is_fresh(self, number: int) -> bool:
        return number * 61 % 100 < self.fresh


@dataclass(slots=True)
class Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def close(self) -> None:
        self.writer.close()


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    keep: bool


async def ask(connection: Connection, data: bytes) -> Answer:
    """Send one request, read one whole answer. `Lost` for anything but that."""
    connection.writer.write(data)
    await connection.writer.drain()
    try:
        head = await connection.reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        raise Lost(f"cut: closed after {len(error.partial)} bytes of an answer") from error
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    parts = first.split(" ", 2)
    if len(parts) < 2 or not parts[0].startswith("HTTP/1.") or not parts[1].isdigit():
        raise Lost(f"not an answer: {first[:60]!r}")
    try:
        body = await _body(connection.reader, headers)
    except asyncio.IncompleteReadError as error:
        raise Lost("cut: the body ended early") from error
    return Answer(int(parts[1]), body, headers.get("connection", "").lower() != "close")


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        body = b""
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
        return body
    if "content-length" not in headers:
        raise Lost("an answer without a length")
    return await reader.readexactly(int(headers["content-length"]))


def judge(answer: Answer, number: int, sent: bytes) -> tuple[str, str]:
    """Version and colour of the release that gave this answer; `Lost` if it is not a true answer to this request."""
    mark = MARK.search(answer.body)
    if mark is None:
        text = " ".join(answer.body[:60].decode("utf-8", "replace").split())
        raise Lost(f"status {answer.status}, not by the shop: {text!r}")
    if int(mark[3]) != number:
        raise Lost(f"the answer to request {mark[3].decode()}")
    if sent and answer.status < 400 and mark[4] != hashlib.sha256(sent).hexdigest().encode():
        raise Lost("the body arrived altered")
    return mark[1].decode(), mark[2].decode()


class Client:
    """Asks at the load's rate until its time is over or `stop` is called."""

    def __init__(self, load: Load, writer: Writer) -> None:
        self._load = load
        self._writer = writer
        self._kept: list[Connection] = []
        self._stop = asyncio.Event()
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self.sent = 0
        self.behind = 0

    def stop(self) -> None:
        self._stop.set()

    async def run(self) -> None:
        clock = time.monotonic
        self._writer.head(unix=time.time() - clock(), rate=self._load.rate, seconds=self._load.seconds)
        parent, due, end = os.getppid(), clock(), clock() + self._load.seconds
        running: set[asyncio.Task[None]] = set()
        while self.sent < self._load.most and clock() < end and not self._stop.is_set() and os.getppid() == parent:
            await self._slots.acquire()
            self.sent += 1
            task = asyncio.create_task(self._one(self.sent))
            running.add(task)
            task.add_done_callback(running.discard)
            due += 1 / self._load.rate
            if clock() - due > 0.25:  # never make up for lost time by a burst
                self.behind += 1
                due = clock()
            await self._until(due)
        await asyncio.gather(*running)
        for connection in self._kept:
            connection.close()
        self._writer.foot(sent=self.sent, behind=self.behind)

    async def _until(self, due: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), max(0.0, due - time.monotonic()))

    async def _one(self, number: int) -> None:
        kind, fresh, at = self._load.kind(number), self._load.is_fresh(number), time.monotonic()
        status, version, colour, error = 0, "", "", ""
        try:
            async with asyncio.timeout(PATIENCE):
                status, version, colour = await self._exchange(number, kind, fresh)
        except Lost as lost:
            error = str(lost)
        except TimeoutError:
            error = f"no answer within {PATIENCE:.0f} s"
        except (OSError, ValueError, asyncio.LimitOverrunError) as problem:
            error = f"{type(problem).__name__}: {problem}"
        finally:
            self._slots.release()
        took = time.monotonic() - at
        self._writer.add(Request(number, at, round(took, 6), kind, fresh, status, colour, version, error))

    async def _exchange(self, number: int, kind: str, fresh: bool) -> tuple[int, str, str]:
        sent = hashlib.sha256(b"%d" % number).hexdigest().encode() * (number % 64 + 1) if kind == "order" else b""
        connection = await self._connection(fresh)
        try:
            answer = await ask(connection, self._text(number, kind, sent, fresh))
            version, colour = judge(answer, number, sent)
        except BaseException:
            connection.close()
            raise
        if fresh or not answer.keep or len(self._kept) >= KEPT:
            connection.close()
        else:
            self._kept.append(connection)
        return answer.status, version, colour

    async def _connection(self, fresh: bool) -> Connection:
        while self._kept and not fresh:
            connection = self._kept.pop()
            if not connection.reader.at_eof() and not connection.writer.is_closing():
                return connection
            connection.close()
        return Connection(*await asyncio.open_connection(self._load.host, self._load.port))

    def _text(self, number: int, kind: str, sent: bytes, fresh: bool) -> bytes:
        method, path = {"order": ("POST", "/orders"), "slow": ("GET", "/slow")}.get(kind, ("GET", "/"))
        lines = [
            f"{method} {path}?request={number} HTTP/1.1",
            f"Host: {self._load.host}:{self._load.port}",
            "User-Agent: greenroom-demo",
            f"Content-Length: {len(sent)}",
            f"Connection: {'close' if fresh else 'keep-alive'}",
        ]
        return "\r\n".join([*lines, "", ""]).encode() + sent


async def _main(load: Load, log: Path) -> int:
    with log.open("w", encoding="utf-8") as file:
        client = Client(load, Writer(file))
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, client.stop)
        await client.run()
    return 0


class Traffic:
    """The client as a process of its own; `stop` lets it finish what is in flight."""

    def __init__(self, url: str, log: Path, *, rate: float = 150.0, seconds: float = 120.0) -> None:
        Load.at(url, rate, seconds)
        self.log = log
        self.tail = Tail(log)
        self.seen: list[Request] = []
        log.unlink(missing_ok=True)
        command = [sys.executable, "-m", "greenroom.demo.traffic", "--url", url, "--log", str(log)]
        command += ["--rate", str(rate), "--seconds", str(seconds)]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)

    def wait_for(self, found: Callable[[Request], bool], within: float = 30.0) -> Request:
        """The first request (also of those already seen) for which `found`; `TimeoutError` if there is none in time."""
        deadline, looked = time.monotonic() + within, 0
        while True:
            ended = self._process.poll() is not None
            self.seen.extend(self.tail.new())
            for request in self.seen[looked:]:
                if found(request):
                    return request
            looked = len(self.seen)
            if time.monotonic() > deadline:
                raise TimeoutError(f"the client saw nothing of the kind within {within:.0f} s")
            if ended:
                raise TimeoutError("the client has ended")
            time.sleep(0.02)

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(PATIENCE + 10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Traffic:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m greenroom.demo.traffic", description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--log", required=True, type=Path)
    parser.add_argument("--rate", type=float, default=150.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=60.0, help="at most so long")
    given = parser.parse_args(argv)
    try:
        load = Load.at(given.url, given.rate, given.seconds)
    except ValueError as error:
        parser.error(str(error))
    return asyncio.run(_main(load, given.log))


if __name__ == "__main__":
    sys.exit(main())
