"""What was told, in a TXT record beside each name: `_greenroom.shop.example`, read back by whoever comes next.

    greenroom=1 service=shop epoch=7 revision=1790000000123-9f… moved=1790000000123 route=100/0 before=0/100
    at=1790000000 stale=60 held=1790000000 lowered=0 blue=r-0003,2.1,blue-group|8000| green=-

It is changed in the same batch as the records themselves, so it says what they say; and the batch takes away exactly the
text that was read before: of two tellers one is refused.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from greenroom.adapters.told import compact, digest
from greenroom.domain.model import Backend, Colour, Endpoint, RoutingSpec, Split
from greenroom.errors import Permanent

LONGEST = 3900
"""Of a TXT record of Route 53, in characters, less some for the quotes."""
_STRING = 240

_PLAIN = re.compile(r"[A-Za-z0-9+\-._:/@]*")
_SPLIT = re.compile(r"(\d+)/(\d+)")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Record:
    """`moved`: the sequence of the last telling that changed where users go; `at`: when that was, seconds since 1970, by the
    teller's clock; `before`: the split until then, None if there was none.

    `stale`: for how long answers from before may be remembered. `held`: until when those from before that may be.
    `lowered`: until when answers with a longer TTL may be remembered that lead where this one leads.
    """

    service: str
    spec: RoutingSpec
    epoch: int
    sequence: int
    essence: str
    moved: int
    at: float
    before: Split | None = None
    stale: int = 0
    held: float = 0.0
    lowered: float = 0.0

    @property
    def revision(self) -> str:
        return f"{self.sequence}-{self.essence}"

    def until(self, settle: float) -> float:
        """When the last answer from before has been forgotten, for all that can be known from here."""
        return max(self.at + settle + self.stale, self.held)


def essence(spec: RoutingSpec) -> str:
    """The same for the same content."""
    backends = [[[str(e) for e in b.endpoints], b.version, b.release] for b in (spec.blue, spec.green)]
    return digest(compact([spec.split.blue, spec.split.green, spec.test, backends]))


def text(record: Record) -> str:
    """As a value of a TXT record: quoted, in strings of a length that DNS takes."""
    spec = record.spec
    found = {
        "greenroom": "1",
        "service": _word(record.service),
        "epoch": str(record.epoch),
        "revision": record.revision,
        "moved": str(record.moved),
        "route": _shares(spec.split),
        "before": _shares(record.before),
        "test": str(spec.test) if spec.test else "-",
        "at": f"{record.at:.3f}",
        "stale": str(record.stale),
        "held": f"{record.held:.3f}",
        "lowered": f"{record.lowered:.3f}",
        "blue": _backend(spec.blue),
        "green": _backend(spec.green),
    }
    whole = " ".join(f"{key}={value}" for key, value in found.items())
    if len(whole) > LONGEST:
        raise Permanent(
            f"what is told does not fit into a TXT record: {len(whole)} characters, {LONGEST} at most",
            hint="Let the environment give one endpoint a colour, its load balancer.",
        )
    return " ".join(f'"{whole[start : start + _STRING]}"' for start in range(0, len(whole), _STRING))


def read(value: str) -> Record:
    """The inverse. `ValueError` where it is not what we wrote."""
    whole = "".join(_QUOTED.findall(value))
    own = dict(part.partition("=")[::2] for part in whole.split(" "))
    try:
        if own["greenroom"] != "1":
            raise ValueError("another version of Greenroom wrote it")
        route = _read_shares(own["route"])
        if route is None:
            raise ValueError("no route")
        test = None if own["test"] == "-" else Colour(own["test"])
        spec = RoutingSpec(route, _read_backend(own["blue"]), _read_backend(own["green"]), test)
        sequence, _, mark = own["revision"].partition("-")
        before = _read_shares(own["before"])
        told = (_unword(own["service"]), spec, int(own["epoch"]), int(sequence), mark, int(own["moved"]))
        return Record(*told, float(own["at"]), before, int(own["stale"]), float(own["held"]), float(own["lowered"]))
    except KeyError as error:
        raise ValueError(f"it is not what Greenroom wrote: {error} is missing") from error


def _shares(split: Split | None) -> str:
    return f"{split.blue}/{split.green}" if split else "-"


def _read_shares(text: str) -> Split | None:
    if text == "-":
        return None
    match = _SPLIT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} are no shares")
    return Split(int(match[1]), int(match[2]))


def _backend(backend: Backend) -> str:
    if backend == Backend():
        return "-"
    endpoints = (f"{_word(e.host)}|{e.port}|{_word(e.machine)}" for e in backend.endpoints)
    return f"{_word(backend.release)},{_word(backend.version)},{';'.join(endpoints)}"


def _read_backend(text: str) -> Backend:
    if text == "-":
        return Backend()
    release, version, rest = text.split(",")
    parts = [one.split("|") for one in rest.split(";") if one]
    endpoints = tuple(Endpoint(_unword(host), int(port), _unword(machine)) for host, port, machine in parts)
    return Backend(endpoints, _unword(version), _unword(release))


def _word(text: str) -> str:
    """Without blanks, quotes and what holds the parts apart."""
    if _PLAIN.fullmatch(text):
        return text
    return "~" + base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _unword(text: str) -> str:
    if not text.startswith("~"):
        return text
    return base64.urlsafe_b64decode(text[1:] + "=" * (-len(text[1:]) % 4)).decode()
