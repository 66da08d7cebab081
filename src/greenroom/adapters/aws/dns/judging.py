"""What all that was seen comes to: what the records were told, by whom, and what users get by now. Pure.

A change of DNS has three times: Route 53 has taken it; all its servers know it (INSYNC); the last answer from before has
been forgotten (the TTL has passed). Only then is it live.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from greenroom.adapters.aws.dns import sets
from greenroom.adapters.aws.dns.record import Record
from greenroom.adapters.aws.dns.sets import Site
from greenroom.adapters.aws.dns.zones import World
from greenroom.adapters.told import compact, digest
from greenroom.domain.model import Colour, Routing, RoutingSpec, Split


@dataclass(frozen=True, slots=True)
class Terms:
    """By what it is judged."""

    service: str
    settle: float
    drain: float


@dataclass(frozen=True, slots=True)
class Answered:
    """What one name server says. `record`: of the TXT beside a name. `leads`: where the name leads, as it answered."""

    server: str
    site: Site
    record: Record | None = None
    leads: tuple[str, ...] = ()
    silent: str = ""


@dataclass(frozen=True, slots=True)
class _Told:
    """What the zones say. `lacking`: telling it again mends it."""

    spec: RoutingSpec | None
    revision: str
    detail: str = ""
    lacking: bool = False


@dataclass(frozen=True, slots=True)
class _Live:
    """`until`: when the last answer from before is forgotten, as far as that can be said."""

    split: Split | None
    why: str = ""
    until: float | None = None


def routing(world: World, terms: Terms, heard: Sequence[Answered] | None, now: float) -> Routing:
    """`heard`: what name servers answered; None: they were not asked."""
    record = world.record
    if world.damaged:
        return Routing(running=True, detail=world.damaged)
    if record is None:
        return _untold(world)
    if record.service != terms.service:
        name = world.sites[0].name.rstrip(".")
        detail = f"{name} belongs to the service {record.service}"
        return Routing(running=True, epoch=record.epoch, detail=detail)
    told = _told(world, record)
    live = _Live(None) if told.spec is None or told.lacking else _live(world, terms, heard, now)
    if told.spec is not None and told.spec.split != record.spec.split:
        live = _Live(None)  # since when somebody else has done that cannot be known
    good = told.spec is not None and live.split == told.spec.split and not told.lacking
    return Routing(
        running=True,
        told=told.spec,
        live=live.split,
        live_revision=told.revision if good else "",
        revision=told.revision,
        epoch=record.epoch,
        holding=_holding(record, terms, world, now),
        settles_at=live.until,
        unfinished=told.lacking,
        detail="; ".join(part for part in (told.detail, live.why) if part),
    )


def _untold(world: World) -> Routing:
    """Nothing of ours was ever told: it is somebody else's, if it leads anybody anywhere."""
    for site in world.sites:
        if found := world.sets[site.key]:
            detail = f"{site} has {sets.described(found[0])}, of which Greenroom told nothing"
            return Routing(running=True, detail=detail)
    return Routing(running=False)


def _told(world: World, record: Record) -> _Told:
    """Every zone is held against what its own TXT says: the batch that changed the one changed the other."""
    lacking, detail = "", ""
    for site in world.sites:
        found, here = world.sets[site.key], world.told[site.owner].record
        shares = sets.split(site, found)
        if here is not None and shares != here.spec.split:
            return _moved(world, record, site, here, shares)
        if here is None and shares not in (record.spec.split, Split.none()):
            return _moved(world, record, site, record, shares)
        if here != record:
            lacking = lacking or f"{site} was not told yet"
        elif not _exact(site, world, record):
            lacking = lacking or f"{site} is not as the file says (TTL, health check, or both colours)"
    if lacking:
        detail = f"not all of it was told: {lacking}; tell it again"
    return _Told(record.spec, record.revision, detail, bool(lacking))


def _exact(site: Site, world: World, record: Record) -> bool:
    there, wanted = sets.own(site, world.sets[site.key]), sets.wanted(site, record.spec.split)
    return there.keys() == wanted.keys() and all(sets.exact(there[colour], wanted[colour]) for colour in wanted)


def _moved(world: World, record: Record, site: Site, here: Record, shares: Split | None) -> _Told:
    """Somebody else has changed where users go."""
    found = [[*site_.key, *(str(sorted(s.items())) for s in world.sets[site_.key])] for site_ in world.sites]
    revision = f"{record.revision}~{digest(compact(found))}"
    if shares is None:
        said = sets.led_elsewhere(site, world.sets[site.key])
        return _Told(None, revision, f"{said}: somebody else has changed it")
    spec = replace(record.spec, split=shares)
    return _Told(spec, revision, f"{site} was changed by somebody else: {shares}, and was told {here.spec.split}")


def _live(world: World, terms: Terms, heard: Sequence[Answered] | None, now: float) -> _Live:
    record = world.record
    assert record is not None
    until = _until(record, terms, world)
    if world.pending:
        why = "Route 53 has not brought it to all its name servers yet (PENDING)"
        return _contradicted(record, terms, heard, now) or _Live(None, f"{why}{_rest(record, until)}", until)
    if heard is not None and (other := _contradicted(record, terms, heard, now)):
        return replace(other, until=until)
    if now < until:
        return _Live(None, _rest(record, until).removeprefix("; "), until)
    return _Live(record.spec.split, _silent(heard))


def _until(record: Record, terms: Terms, world: World) -> float:
    if world.synced is not None:
        return max(world.synced + record.stale, record.held)
    return record.until(terms.settle)


def _contradicted(record: Record, terms: Terms, heard: Sequence[Answered] | None, now: float) -> _Live | None:
    """Name servers say something else, or nothing."""
    answers = [one for one in heard or () if not one.silent]
    if heard and not answers:
        return _Live(None, f"no name server answers: {heard[0].server}: {heard[0].silent}")
    late = [one for one in answers if one.record is None or one.record.moved != record.moved]
    if late:
        said = {one.record for one in late}
        older = said.pop() if len(said) == 1 and len(late) == len(answers) else None
        why = f"the name server {late[0].server} does not say yet what {late[0].site} was told"
        whole = older is not None and now >= older.until(terms.settle)
        return _Live(older.spec.split if older and whole else None, why)
    for one in answers:
        for colour in Colour:
            target = one.site.targets.of(colour)
            if record.spec.split.of(colour) == 0 and target.values and one.leads and one.leads == target.place:
                why = f"the name server {one.server} gives users {colour} for {one.site}, which has no share"
                return _Live(None, f"{why}: are the health checks of {colour.other} failing?")
    return None


def _rest(record: Record, until: float) -> str:
    """Who may still come to what has no share any more."""
    left = [c for c in Colour if record.before and record.before.of(c) > record.spec.split.of(c)]
    if not left:
        return ""
    shown = f"{datetime.fromtimestamp(until, UTC):%H:%M:%S} UTC"
    return (
        f"; resolvers may lead users to {left[0]} by older answers until {shown}, those that ignore the TTL for longer: "
        f"its own requests show it"
    )


def _silent(heard: Sequence[Answered] | None) -> str:
    lost = [one for one in heard or () if one.silent]
    return f"the name server {lost[0].server} does not answer: {lost[0].silent}" if lost else ""


def _holding(record: Record, terms: Terms, world: World, now: float) -> dict[Colour, int]:
    """DNS does not say who still comes. While it may be somebody, it counts as one."""
    if now >= _until(record, terms, world) + terms.drain or record.before is None:
        return {}
    return {c: 1 for c in Colour if record.spec.split.of(c) == 0 and record.before.of(c) > 0}
