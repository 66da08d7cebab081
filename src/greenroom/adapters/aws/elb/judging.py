"""What all that was seen comes to: what the listeners were told, by whom, and what they really do. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from greenroom.adapters.aws.elb import actions
from greenroom.adapters.aws.elb.asking import Evidence
from greenroom.adapters.aws.elb.balancer import Door, Group, Target
from greenroom.adapters.aws.elb.record import Record
from greenroom.adapters.told import compact, digest
from greenroom.domain.model import Colour, Routing, RoutingSpec, Split

LAGS = 15.0
"""Seconds for which AWS may still show what was before it was told: longer, and somebody has put it back."""


@dataclass(frozen=True, slots=True)
class World:
    """One look at AWS. `public`: the doors that users come in by; `test`: that of the test route.

    `records` by door's ARN, None where there is none of ours. `damaged`: why some cannot be read.
    `targets`: of the groups that get something.
    """

    public: tuple[Door, ...]
    test: Door | None
    records: Mapping[str, Record | None]
    targets: Mapping[Colour, tuple[Target, ...]] = field(default_factory=dict)
    damaged: str = ""

    @property
    def record(self) -> Record | None:
        """The newest."""
        known = [record for record in self.records.values() if record is not None]
        return max(known, key=lambda record: (record.epoch, record.sequence), default=None)

    @property
    def finished(self) -> bool:
        newest = self.record
        return all(record == newest for record in self.records.values()) and newest is not None and newest.finished


@dataclass(frozen=True, slots=True)
class Terms:
    """By what it is judged."""

    service: str
    groups: Mapping[Colour, Group]
    sticky: float | None
    settle: float
    drain: float = 0.0

    @property
    def arns(self) -> dict[Colour, str]:
        return {colour: group.arn for colour, group in self.groups.items()}

    def shares(self, door: Door) -> Split | None:
        return actions.split(door.forward, self.arns)


@dataclass(frozen=True, slots=True)
class Told:
    """What the listeners say. `late`: they do not say yet what they were told. `lacking`: telling it again mends it.
    `moved`: somebody else has told them.
    """

    spec: RoutingSpec | None
    revision: str
    detail: str = ""
    lacking: bool = False
    late: bool = False
    moved: bool = False


def routing(world: World, terms: Terms, evidence: Evidence | None, now: float, met: frozenset[Colour]) -> Routing:
    """`evidence`: what own requests got, None where none were made. `met`: colours that have answered since it was told."""
    record = world.record
    if world.damaged:
        return Routing(running=True, live=_shown(world, terms), detail=world.damaged)
    if record is None:
        return untold(world, terms)
    if record.service != terms.service:
        detail = f"{world.public[0]} belongs to the service {record.service}"
        return Routing(running=True, live=_shown(world, terms), epoch=record.epoch, detail=detail)
    told = told_of(world, terms, record, now)
    live, why = _live(world, terms, evidence, now, met, told)
    ill = _ill(world, terms)
    good = told.spec is not None and live == told.spec.split and not (told.lacking or told.late or told.moved or ill)
    waits = told.late or (live is None and now < record.at + terms.settle)
    return Routing(
        running=True,
        told=told.spec,
        live=live,
        live_revision=told.revision if good else "",
        revision=told.revision,
        epoch=record.epoch,
        holding=_holding(record, terms, now),
        settles_at=record.at + (LAGS if told.late else terms.settle) if waits else None,
        unfinished=told.lacking,
        detail="; ".join(part for part in (told.detail, why, ill) if part),
    )


def _holding(record: Record, terms: Terms, now: float) -> dict[Colour, int]:
    """AWS does not say what a group still works on: for `drain` seconds, it is taken for something."""
    if record.before is None or now >= record.at + terms.drain:
        return {}
    return {c: 1 for c in Colour if record.before.of(c) and not record.spec.split.of(c)}


def untold(world: World, terms: Terms) -> Routing:
    """Nothing of ours was ever told: it is somebody else's, if it leads anybody anywhere."""
    shown = _shown(world, terms)
    if not any(world.targets.values()):
        return Routing(running=False)
    detail = f"{world.public[0]} forwards to {world.public[0].forward}, which Greenroom did not tell it"
    return Routing(running=True, live=shown, detail=detail)


def told_of(world: World, terms: Terms, record: Record, now: float) -> Told:
    spec, strange, back = record.spec, [], []
    lacking = not world.finished
    for door in world.public:
        shares = terms.shares(door)
        if shares == spec.split:
            lacking |= not actions.same(door.forward, actions.wanted(spec.split, terms.arns, terms.sticky), terms.arns)
        elif shares is not None and (shares == record.before or (record.before is None and not world.finished)):
            back.append(door)
        else:
            strange.append(door)
    if strange or (back and world.finished and now >= record.at + LAGS):
        return _moved(world, terms, record, (strange or back)[0])
    if back and world.finished:
        return Told(spec, record.revision, "AWS does not show yet what it was told", late=True)
    if back or lacking:
        left = f": {back[0]} still forwards to {back[0].forward}" if back else ""
        return Told(spec, record.revision, f"not all of it was told{left}; tell it again", lacking=True)
    return _tested(world, terms, record, now)


def _moved(world: World, terms: Terms, record: Record, door: Door) -> Told:
    """Somebody else has changed where users go."""
    shares = terms.shares(door)
    detail = f"{door} was changed by somebody else: it forwards to {door.forward}, and was told {record.spec.split}"
    spec = None if shares is None else replace(record.spec, split=shares)
    return Told(spec, _revision(world, record), detail, moved=True)


def _tested(world: World, terms: Terms, record: Record, now: float) -> Told:
    """Users go where they were told to; and the test route?"""
    spec, door = record.spec, world.test
    if door is None:
        return Told(spec, record.revision)
    shares = terms.shares(door)
    wanted = Split.all_to(spec.test) if spec.test else Split.none()
    if shares == wanted:
        return Told(spec, record.revision)
    if now < record.at + LAGS:
        return Told(spec, record.revision, "AWS does not show the test route yet", late=True)
    detail = f"the test route, {door}, was changed by somebody else: it forwards to {door.forward}"
    found = next((colour for colour in Colour if shares == Split.all_to(colour)), None)
    if found is spec.test:  # neither the one nor the other colour, or both
        return Told(spec, record.revision, detail, lacking=True)
    return Told(replace(spec, test=found), _revision(world, record), detail, moved=True)


def _revision(world: World, record: Record) -> str:
    """Another one with everything that somebody else does."""
    doors = [*world.public, *([world.test] if world.test else [])]
    return f"{record.revision}~{digest(compact([[door.arn, str(door.forward)] for door in doors]))}"


def _shown(world: World, terms: Terms) -> Split | None:
    """What all doors say; None where they do not agree."""
    found = {terms.shares(door) for door in world.public}
    return found.pop() if len(found) == 1 else None


def _live(
    world: World, terms: Terms, evidence: Evidence | None, now: float, met: frozenset[Colour], told: Told
) -> tuple[Split | None, str]:
    """What serves, and what is to be said of it."""
    shown, record = _shown(world, terms), world.record
    assert record is not None
    over = now >= record.at + terms.settle
    if evidence is None or evidence.both:
        return (shown if over and not told.late else None), ""
    silent = f"requests through the load balancer fail: {'; '.join(evidence.silent[:2])}" if evidence.silent else ""
    if evidence.strange:
        return None, f"answers hold {', '.join(map(repr, evidence.strange[:3]))}, which is neither colour nor version"
    seen = evidence.split
    if seen is None or (evidence.nothing and shown != Split.none()):
        statuses = ", ".join(map(str, evidence.refused))
        return None, silent or f"answers through the load balancer ({statuses}) hold neither colour nor version"
    if shown is None or told.late or any(shown.of(colour) == 0 for colour in evidence.colours):
        return seen, silent
    if shown == Split.none():
        return seen, ""
    if silent:
        return None, silent
    # Between two whole colours every answer tells. Where one has a part, the same answers may come before and after.
    whole = 100 in (shown.blue, shown.green) and _whole(record.before)
    both = {colour for colour in Colour if shown.of(colour)} <= met and _whole(record.before) and not whole
    return (shown if whole or both or over else None), ""


def _whole(split: Split | None) -> bool:
    return split is None or 0 in (split.blue, split.green)


def _ill(world: World, terms: Terms) -> str:
    """A group gets traffic, and nothing in it is healthy. The load balancer sends to it all the same."""
    for colour, targets in world.targets.items():
        group = terms.groups[colour]
        if not targets:
            return f"the group {group.name} gets traffic and has no target: users get 503"
        if not any(target.state == "healthy" for target in targets):
            return f"the group {group.name} gets traffic and has no healthy target ({reasons(targets)}): {OPEN}"
    return ""


OPEN = "the load balancer then sends to all of them, well or not"


def reasons(targets: tuple[Target, ...]) -> str:
    said = [f"{target.address} is {target.state}" + (f" ({target.why})" if target.why else "") for target in targets]
    return ", ".join(said[:3]) + (f", and {len(said) - 3} more" if len(said) > 3 else "")
