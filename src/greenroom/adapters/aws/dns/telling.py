"""Telling the zones: one batch for each, in which the records and the word of what was told change together.

What is changed is taken away exactly as it was read, and made anew: Route 53 refuses the whole batch if somebody has
changed any of it meanwhile. Killed between two zones, the newer TXT says what is meant, and whoever tells it again does
what is left.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from greenroom.adapters.aws.dns import record, sets
from greenroom.adapters.aws.dns.judging import Terms
from greenroom.adapters.aws.dns.record import Record
from greenroom.adapters.aws.dns.sets import RecordSet, Site
from greenroom.adapters.aws.dns.zones import REFUSED, World, Zones
from greenroom.adapters.aws.troubles import Refusal
from greenroom.domain.model import Colour, RoutingSpec, Split
from greenroom.errors import Permanent, Temporary

OWNER_TTL = 5
"""Seconds for which the TXT record may be remembered: nobody but us asks for it."""


def refuse(spec: RoutingSpec) -> None:
    """`Permanent` for what no record can be told. Endpoints are not looked at: the file says what answers for a colour."""
    shares = (spec.split.blue, spec.split.green)
    if min(shares) < 0 or sum(shares) not in (0, 100):
        raise Permanent(f"the shares {spec.split} do not sum to 100")
    if spec.mirror or spec.first or spec.shield:
        raise Permanent("DNS neither copies requests, nor lets some users go first, nor asks another colour again")
    for colour in Colour:
        if spec.split.of(colour) and not spec.backend(colour).endpoints:
            raise Permanent(f"{colour} shall get {spec.split.of(colour)} % of the traffic but has no endpoint")


def fence(world: World, terms: Terms, epoch: int) -> None:
    """Whoever holds a newer lease stands in the TXT record; that nobody comes between, Route 53 sees to."""
    known = world.record
    if known is None:
        return
    name = world.sites[0].name.rstrip(".")
    if known.service != terms.service:
        raise Permanent(
            f"{name} belongs to the service {known.service}",
            hint=f"Give each service names of its own; if that one is gone, remove the TXT record {sets.OWNER}.{name}.",
        )
    if epoch < known.epoch:
        raise Permanent(
            f"{name} was told something under a newer lease ({known.epoch}) than ours ({epoch})",
            hint="Another Greenroom is in charge now; this one has to stop.",
        )


class Teller:
    """Does one telling."""

    def __init__(self, zones: Zones, terms: Terms, world: World) -> None:
        self._zones, self._terms, self._world = zones, terms, world

    def tell(self, spec: RoutingSpec, epoch: int, now: float) -> tuple[Record, tuple[str, ...]]:
        """What stands there then, and what Route 53 calls the changes: none where all was so already."""
        self._theirs()
        self._takes_nobody_away(spec)
        changes = {site: self._changes(site, spec) for site in self._world.sites}
        wanted = self._record(spec, epoch, now, changes)
        batches = self._batches(changes, wanted)
        return wanted, tuple(self._send(zone, batch) for zone, batch in batches.items() if batch)

    def clear(self) -> None:
        """Take away all that we made."""
        batches: dict[str, list[Mapping[str, Any]]] = {}
        for owner, told in self._world.told.items():
            batches.setdefault(owner[0], []).extend([_delete(told.raw)] if told.raw else [])
        for site in self._world.sites:
            found = sets.own(site, self._world.sets[site.key])
            batches[site.zone] += [_delete(one) for one in found.values()]
        for zone, batch in batches.items():
            if batch:
                self._send(zone, batch)

    def _theirs(self) -> None:
        for site in self._world.sites:
            for one in sets.foreign(site, self._world.sets[site.key]):
                raise Permanent(
                    f"{site} has {sets.described(one)}, which Greenroom did not make: nothing was changed",
                    hint="Replace it by weighted records in one batch: docs/guides/route53.md.",
                )

    def _takes_nobody_away(self, spec: RoutingSpec) -> None:
        """A first release begins with nobody led anywhere; it must not take users from what Greenroom never told."""
        if self._world.record is not None or self._world.damaged or spec.split != Split.none():
            return
        for site in self._world.sites:
            if self._world.sets[site.key]:
                raise Permanent(
                    f"{site} leads users somewhere of which this journal knows nothing: a first release would send them to "
                    "nobody; nothing was changed",
                    hint="Take over what runs there (`greenroom adopt`), or release under a name of its own: docs/guides/"
                    "route53.md. If nobody needs these records, remove them.",
                )

    def _changes(self, site: Site, spec: RoutingSpec) -> list[Mapping[str, Any]]:
        there, wanted = sets.own(site, self._world.sets[site.key]), sets.wanted(site, spec.split)
        changed = [c for c in Colour if not _same(there.get(c), wanted.get(c))]
        gone = [_delete(there[colour]) for colour in changed if colour in there]
        return gone + [_create(wanted[colour]) for colour in changed if colour in wanted]

    def _batches(
        self, changes: Mapping[Site, list[Mapping[str, Any]]], wanted: Record
    ) -> dict[str, list[Mapping[str, Any]]]:
        batches: dict[str, list[Mapping[str, Any]]] = {site.zone: [] for site in changes}
        said = [{"Value": record.text(wanted)}]
        for (zone, name), told in self._world.told.items():
            if told.record != wanted:
                batches[zone] += [_delete(told.raw)] if told.raw else []
                batches[zone].append(_create({"Name": name, "Type": "TXT", "TTL": OWNER_TTL, "ResourceRecords": said}))
        for site, own in changes.items():
            batches[site.zone] += own
        return batches

    def _record(
        self, spec: RoutingSpec, epoch: int, now: float, changes: Mapping[Site, list[Mapping[str, Any]]]
    ) -> Record:
        known, world, settle = self._world.record, self._world, self._terms.settle
        essence = record.essence(spec)
        # Without a record, the count goes on from a number that was never reached.
        sequence = known.sequence if known else int(now * 1000)
        shown = {sets.split(site, world.sets[site.key]) for site in world.sites}
        moves = shown != {spec.split} or known is None or known.spec.split != spec.split
        if known is None or known.essence != essence or moves:
            sequence += 1
        stale = max((sets.ttl(world.sets[site.key]) for site in world.sites), default=0)
        service = self._terms.service
        if known is not None and not moves:
            lowered = known.lowered
            if stale > max(site.remembered for site in world.sites) and any(changes.values()):
                lowered = max(lowered, round(now + settle + stale, 3))
            kept = (known.moved, known.at, known.before, known.stale, known.held, lowered)
            return Record(service, spec, epoch, sequence, essence, *kept)
        before = shown.pop() if len(shown) == 1 else (known.before if known else None)
        held = max(known.held, known.lowered, round(known.until(settle), 3)) if known else 0.0
        return Record(service, spec, epoch, sequence, essence, sequence, round(now, 3), before, stale, held)

    def _send(self, zone: str, batch: list[Mapping[str, Any]]) -> str:
        try:
            return self._zones.change(zone, batch)
        except Refusal as error:
            if error.code != REFUSED or not self._overtaken(zone):
                raise
            raise Temporary(
                f"somebody else has changed the hosted zone {zone} just now: nothing was changed there",
                hint="It is looked at anew.",
            ) from error

    def _overtaken(self, zone: str) -> bool:
        """What was read is not what stands there."""
        seen, now = self._world, self._zones.look()
        raw = [(seen.sets[site.key], now.sets[site.key]) for site in seen.sites if site.zone == zone]
        told = [(seen.told[owner].raw, now.told[owner].raw) for owner in seen.told if owner[0] == zone]
        return any(one != other for one, other in (*raw, *told))


def _same(there: RecordSet | None, wanted: RecordSet | None) -> bool:
    if there is None or wanted is None:
        return there is wanted
    return sets.exact(there, wanted)


def _delete(one: RecordSet) -> Mapping[str, Any]:
    return {"Action": "DELETE", "ResourceRecordSet": dict(one)}


def _create(one: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"Action": "CREATE", "ResourceRecordSet": dict(one)}
