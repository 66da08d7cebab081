"""What one pointer can be told, whatever it is made of."""

from __future__ import annotations

import time

from greenroom.adapters.static.versions import Mark
from greenroom.adapters.told import Told, compact, digest, dumps
from greenroom.domain.model import Colour, RoutingSpec
from greenroom.errors import Permanent
from greenroom.ports import ActionKey


def refuse(spec: RoutingSpec) -> None:
    """`Permanent`, before anything is told, for what one pointer cannot do."""
    shares = (spec.split.blue, spec.split.green)
    if set(shares) - {0, 100} or sum(shares) > 100:
        raise Permanent(
            f"a static front end shows one version to all: {spec.split} is not to be had", hint="leave `shift` out"
        )
    for colour in Colour:
        if needed(spec, colour) and not spec.backend(colour).endpoints:
            raise Permanent(f"{colour} shall be shown but holds nothing")


def needed(spec: RoutingSpec, colour: Colour) -> bool:
    """Somebody is shown it."""
    return spec.split.of(colour) > 0 or spec.test is colour


def compose(spec: RoutingSpec, key: ActionKey, before: Told | None) -> Told:
    """Without a record, the count goes on from a number that was never reached."""
    sequence = before.sequence if before else time.time_ns() // 1_000_000
    essence = digest(compact([digest(dumps(Told(spec, 0, 0)))]))
    if before is None or before.essence != essence:
        sequence += 1
    return Told(spec, key.epoch, sequence, essence, str(key))


def is_of(told: Told, colour: Colour, seen: Mark) -> bool:
    """What was seen is what was told of this colour."""
    return any(endpoint.host == seen.id for endpoint in told.spec.backend(colour).endpoints)
