"""Which image a release is made of: written down once, on the machine itself, and never asked again.

`.greenroom/images/RELEASE.json`. The tag may move afterwards; what was pinned is what serves and what a rollback returns
to.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import Literal

from greenroom.adapters.docker.client import host_of
from greenroom.adapters.hosts.fenced import Command, Gone, Write, put
from greenroom.errors import Permanent, Temporary
from greenroom.ports import Place

Origin = Literal["registry", "local", "built", "adopted"]
ADOPTED = "adopted"
"""The reference of what is no image: an upstream that was taken over."""
_TAKEN = "was pinned meanwhile"


@dataclass(frozen=True, slots=True)
class Pin:
    """`image`: as it was written. `reference`: exactly this one. `identity`: its id, where we built it here."""

    image: str
    reference: str
    origin: Origin
    identity: str = ""


class Pins:
    def __init__(self, place: Place) -> None:
        self._host = host_of(place)
        state = str(place.state) if self._host.name else os.path.abspath(place.state)
        self._folder = f"{state}/images"

    def read(self, release: str) -> Pin | None:
        content = self._host.read(f"{self._folder}/{release}.json")
        if content is None:
            return None
        try:
            match json.loads(content):
                case {"image": str(i), "reference": str(r), "origin": str(o), "identity": str(n)} if r:
                    return Pin(i, r, _origin(o), n)
        except ValueError:
            pass
        path = f"{self._folder}/{release}.json"
        raise Permanent(f"{path} cannot be read: it does not say which image {release} is", hint="release anew")

    def keep(self, release: str, pin: Pin, epoch: int) -> Pin:
        """What counts from now on: this one, or the one that was there before."""
        name = f"{release}.json"
        first = Command(("sh", "-c", f'[ ! -e "$1" ] || {{ echo "$1 {_TAKEN}" >&2; exit 1; }}', "sh", name))
        try:
            put(self._host, self._folder, epoch, first, Write(name, json.dumps(asdict(pin)).encode()))
        except Temporary as error:
            before = self.read(release) if _TAKEN in error.message else None
            if before is None:
                raise
            return before
        return pin

    def forget(self, release: str, epoch: int) -> None:
        put(self._host, self._folder, epoch, Gone(f"{release}.json"))


def _origin(text: str) -> Origin:
    match text:
        case "registry" | "local" | "built" | "adopted":
            return text
    raise ValueError(text)
