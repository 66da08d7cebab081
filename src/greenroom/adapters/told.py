"""What a router was told, as a file: read back by whoever comes next, and recognised when somebody else changed it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from greenroom.domain.model import Backend, Colour, Endpoint, First, Mirror, RoutingSpec, Split

_FORMAT = 2


class Unreadable(Exception):
    """What was told cannot be known; the text says why."""


@dataclass(frozen=True, slots=True)
class Told:
    """`sequence` grows with everything that is told. `essence`: the same for the same content. `extra`: an adapter's own."""

    spec: RoutingSpec
    epoch: int
    sequence: int
    essence: str = ""
    key: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def revision(self) -> str:
        """Never comes twice, and stays for as long as the content does."""
        return f"{self.sequence}-{self.essence}"


def dumps(told: Told) -> bytes:
    spec = told.spec
    colours = {
        str(colour): {
            "share": spec.split.of(colour),
            "version": spec.backend(colour).version,
            "release": spec.backend(colour).release,
            "endpoints": [[e.host, e.port, e.machine] for e in spec.backend(colour).endpoints],
        }
        for colour in Colour
    }
    document = {
        "format": _FORMAT,
        "sequence": told.sequence,
        "essence": told.essence,
        "epoch": told.epoch,
        "key": told.key,
        "spec": {**colours, "test": str(spec.test) if spec.test else None, **_extras(spec)},
        "extra": dict(told.extra),
    }
    return compact({**document, "check": digest(compact(document))})


def loads(raw: bytes, where: str) -> Told:
    """The inverse. `Unreadable` for anything that `dumps` did not write; `where` is for people."""
    try:
        document = json.loads(raw)
        check = document.pop("check")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unreadable(f"{where} is damaged") from error
    if document.get("format") != _FORMAT:
        raise Unreadable(f"{where} was written by another version of Greenroom")
    if check != digest(compact(document)):
        raise Unreadable(f"{where} was changed by somebody else")
    spec = document["spec"]
    blue, green = (
        Backend(tuple(Endpoint(*e) for e in spec[c]["endpoints"]), spec[c]["version"], spec[c]["release"])
        for c in ("blue", "green")
    )
    split = Split(spec["blue"]["share"], spec["green"]["share"])
    routing = RoutingSpec(split, blue, green, Colour(spec["test"]) if spec["test"] else None, **_read_extras(spec))
    return Told(
        routing, document["epoch"], document["sequence"], document["essence"], document["key"], document["extra"]
    )


def _extras(spec: RoutingSpec) -> dict[str, Any]:
    """Only where they are asked for, so that what was told before there were any reads the same."""
    found: dict[str, Any] = {}
    if spec.mirror is not None:
        found["mirror"] = [str(spec.mirror.colour), spec.mirror.percent]
    if spec.first is not None:
        found["first"] = [spec.first.header, spec.first.value, str(spec.first.colour)]
    if spec.shield is not None:
        found["shield"] = str(spec.shield)
    return found


def _read_extras(spec: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "mirror" in spec:
        found["mirror"] = Mirror(Colour(spec["mirror"][0]), spec["mirror"][1])
    if "first" in spec:
        found["first"] = First(spec["first"][0], spec["first"][1], Colour(spec["first"][2]))
    if "shield" in spec:
        found["shield"] = Colour(spec["shield"])
    return found


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
