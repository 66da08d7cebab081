"""What the generator is told: a document in a file that only its owner may read, and that it removes."""

from __future__ import annotations

import heapq
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import gcd
from pathlib import Path
from typing import Any

from greenroom.adapters.load.schedule import Schedule, Stretch

_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})


@dataclass(frozen=True, slots=True)
class Shot:
    """One kind of request. `target`: as it stands in the first line; `weight`: its share in the mix."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: str | None
    weight: int = 1

    @property
    def bodiless(self) -> bool:
        """Whether its answer has no body."""
        return self.method == "HEAD"

    @property
    def repeatable(self) -> bool:
        """Whether it may be sent twice."""
        return self.method in _REPEATABLE

    def rendered(self, host: str) -> bytes:
        body = None if self.body is None else self.body.encode()
        headers = dict(self.headers)
        given = {name.lower() for name in headers}
        fixed = {"Host": host, "User-Agent": "greenroom-load", "Accept": "*/*"}
        if body is not None or self.method in ("POST", "PUT", "PATCH"):
            fixed["Content-Length"] = str(len(body or b""))
        headers.update({name: value for name, value in fixed.items() if name.lower() not in given})
        lines = [f"{self.method} {self.target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + (body or b"")


@dataclass(frozen=True, slots=True)
class Plan:
    """`good`: ranges of statuses. `most_errors`: more than these are more than the limits allow.

    `secure`: TLS, with `verify`, the authorities `ca` ("": the system's) and the certificate's `name`.
    """

    host: str
    port: int
    authority: str
    shots: tuple[Shot, ...]
    stretches: tuple[Stretch, ...]
    timeout: float
    connections: int
    good: tuple[tuple[int, int], ...]
    most_errors: int
    secure: bool = False
    verify: bool = True
    ca: str = ""
    name: str = ""

    @property
    def schedule(self) -> Schedule:
        return Schedule(self.stretches)

    def write(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(handle, "w", encoding="utf-8") as file:
            json.dump(asdict(self), file)

    @classmethod
    def read(cls, path: Path) -> Plan:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        document["shots"] = tuple(Shot(**shot) for shot in document["shots"])
        document["stretches"] = tuple(Stretch(**stretch) for stretch in document["stretches"])
        document["good"] = tuple((low, high) for low, high in document["good"])
        return cls(**document)


def mixed(weights: Sequence[int]) -> Iterator[int]:
    """Which request is next, for ever: shares are exact in each round, and the rare ones lie evenly among the others."""
    common = gcd(*weights)
    shares = [weight // common for weight in weights]
    order: list[int] = []
    ahead = [(0.5 / share, number) for number, share in enumerate(shares)]
    heapq.heapify(ahead)
    for _ in range(sum(shares)):
        at, number = ahead[0]
        order.append(number)
        heapq.heapreplace(ahead, (at + 1 / shares[number], number))
    while True:
        yield from order
