"""The client's own log of requests: one JSON object a line, written as it happens, the source of every figure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO


@dataclass(frozen=True, slots=True)
class Request:
    """One request as its client saw it. `at`, `took`: seconds on this machine's steady clock (`time.monotonic`).

    `error` says why there was no valid answer: no connection, cut, too late, or an answer that is not the shop's own.
    Then the request is lost. An answer with status 500 by a release that says its name is bad, but not lost.
    """

    number: int
    at: float
    took: float
    kind: str
    fresh: bool
    status: int = 0
    colour: str = ""
    version: str = ""
    error: str = ""

    @property
    def lost(self) -> bool:
        return bool(self.error)

    @property
    def bad(self) -> bool:
        return not self.lost and self.status >= 400

    @property
    def good(self) -> bool:
        return not self.lost and self.status < 400

    @property
    def answered(self) -> float:
        return self.at + self.took

    def line(self) -> str:
        return json.dumps({**asdict(self), "lost": self.lost})


@dataclass(frozen=True, slots=True)
class Log:
    """A whole log. `complete`: the client ended by itself and wrote down how many requests it had sent.

    `unix`: add it to a request's `at` for seconds since 1970. `behind`: how often the client could not keep its rate.
    """

    requests: tuple[Request, ...]
    unix: float = 0.0
    complete: bool = False
    behind: int = 0


class Writer:
    """Appends to the log; every line is on its way to the disk before the next request counts."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.count = 0

    def head(self, **facts: Any) -> None:
        self._put(json.dumps({"begin": facts}))

    def add(self, request: Request) -> None:
        self.count += 1
        self._put(request.line())

    def foot(self, **facts: Any) -> None:
        self._put(json.dumps({"end": {"logged": self.count, **facts}}))

    def _put(self, line: str) -> None:
        self._file.write(line + "\n")
        self._file.flush()


class Tail:
    """Reads a log while it grows: each call of `new` gives what was added since the last."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self.unix = 0.0
        self.end: dict[str, Any] | None = None

    def new(self) -> Iterator[Request]:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                request = self._read(json.loads(line))
                if request:
                    yield request

    def _read(self, document: dict[str, Any]) -> Request | None:
        if "begin" in document:
            self.unix = float(document["begin"].get("unix", 0.0))
            return None
        if "end" in document:
            self.end = document["end"]
            return None
        document.pop("lost", None)
        return Request(**document)


def read(path: Path) -> Log:
    """The whole log, in the order in which the requests were sent."""
    tail = Tail(path)
    requests = sorted(tail.new(), key=lambda r: r.number)
    end = tail.end or {}
    complete = bool(end) and end.get("sent") == len(requests) == end.get("logged")
    return Log(tuple(requests), tail.unix, complete, int(end.get("behind", 0)))
