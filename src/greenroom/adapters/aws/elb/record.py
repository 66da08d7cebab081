"""What was told, in tags of the listeners and rules: read back by whoever comes next.

    greenroom:service   shop                     greenroom:route   100/0 test=green
    greenroom:epoch     7                        greenroom:blue    8000 r-0003 2.1    (port, release, version)
    greenroom:revision  1790000000123-9f…        greenroom:green   -
    greenroom:state     telling 1790000000 from 0/100

`telling` is written before a listener is changed, `told` afterwards: who finds the former finishes it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from greenroom.adapters.told import compact, digest
from greenroom.domain.model import Backend, Colour, Endpoint, RoutingSpec, Split
from greenroom.errors import Permanent

PREFIX = "greenroom:"
KEYS = tuple(PREFIX + name for name in ("service", "epoch", "revision", "route", "blue", "green", "state"))
LONGEST = 256
"""Of a tag's value, in characters."""

_PLAIN = re.compile(r"[A-Za-z0-9+\-=._:/@]+")
_ROUTE = re.compile(r"(\d+)/(\d+)(?: test=(blue|green))?")
_STATE = re.compile(r"(telling|told) (\d+)(?: from (\d+)/(\d+))?")


@dataclass(frozen=True, slots=True)
class Record:
    """`finished`: all that was to be changed was. `at`: when it was told, seconds since 1970, by the teller's clock.

    `before`: the split that the listeners had then, None if they had none of ours.
    """

    service: str
    spec: RoutingSpec
    epoch: int
    sequence: int
    essence: str
    finished: bool
    at: int = 0
    before: Split | None = field(default=None)

    @property
    def revision(self) -> str:
        return f"{self.sequence}-{self.essence}"


def essence(spec: RoutingSpec, sticky: float | None) -> str:
    """The same for the same content."""
    backends = [[[str(e) for e in b.endpoints], b.version, b.release] for b in (spec.blue, spec.green)]
    return digest(compact([spec.split.blue, spec.split.green, spec.test, sticky, backends]))


def tags(record: Record) -> dict[str, str]:
    spec, split = record.spec, record.spec.split
    before = f" from {record.before.blue}/{record.before.green}" if record.before else ""
    found = {
        "service": record.service,
        "epoch": str(record.epoch),
        "revision": record.revision,
        "route": f"{split.blue}/{split.green}" + (f" test={spec.test}" if spec.test else ""),
        "blue": _backend(spec.blue),
        "green": _backend(spec.green),
        "state": f"{'told' if record.finished else 'telling'} {record.at}{before}",
    }
    for name, value in found.items():
        if len(value) > LONGEST:
            raise Permanent(f"{value[:60]}… is too long to be kept as the tag {PREFIX}{name}")
    return {PREFIX + name: value for name, value in found.items()}


def read(given: Mapping[str, str], groups: Mapping[Colour, str]) -> Record | None:
    """The inverse; `groups`: their names. None where no tag is ours. `ValueError` where they are not what we wrote."""
    own = {key.removeprefix(PREFIX): value for key, value in given.items() if key in KEYS}
    if not own:
        return None
    route, state = _ROUTE.fullmatch(own.get("route", "")), _STATE.fullmatch(own.get("state", ""))
    sequence, _, mark = own.get("revision", "").partition("-")
    if route is None or state is None or not mark or "epoch" not in own:
        raise ValueError("the tags greenroom:… are not those that Greenroom wrote")
    spec = RoutingSpec(
        Split(int(route[1]), int(route[2])),
        _read_backend(own.get("blue", "-"), groups[Colour.BLUE]),
        _read_backend(own.get("green", "-"), groups[Colour.GREEN]),
        Colour(route[3]) if route[3] else None,
    )
    before = Split(int(state[3]), int(state[4])) if state[3] else None
    told = state[1] == "told"
    return Record(own.get("service", ""), spec, int(own["epoch"]), int(sequence), mark, told, int(state[2]), before)


def _backend(backend: Backend) -> str:
    if backend == Backend():
        return "-"
    port = str(backend.endpoints[0].port) if backend.endpoints else "0"
    return " ".join([port, _word(backend.release), _word(backend.version)])


def _read_backend(text: str, group: str) -> Backend:
    if text == "-":
        return Backend()
    port, release, version = text.split(" ")
    endpoints = (Endpoint(group, int(port)),) if int(port) else ()
    return Backend(endpoints, _unword(version), _unword(release))


def _word(text: str) -> str:
    """A tag's value takes few characters, and ours have no blanks in them."""
    if _PLAIN.fullmatch(text) and not text.startswith("="):
        return text
    return "=" + base64.urlsafe_b64encode(text.encode()).decode()


def _unword(text: str) -> str:
    return base64.urlsafe_b64decode(text[1:]).decode() if text.startswith("=") else text
