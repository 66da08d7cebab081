"""What is wrong with the zones, before anything is touched: each with its way out. Changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from greenroom.adapters.aws.client import Client
from greenroom.adapters.aws.dns import sets
from greenroom.adapters.aws.dns.names import canonical
from greenroom.adapters.aws.dns.sets import RecordSet, Site
from greenroom.adapters.aws.dns.settings import LONGEST_TTL, RecordSettings, Route53Settings
from greenroom.adapters.aws.dns.zones import REFUSED, World, Zone, Zones
from greenroom.adapters.aws.troubles import Refusal
from greenroom.domain.model import Colour
from greenroom.errors import Permanent, PortError
from greenroom.ports import Place
from greenroom.units import show_duration

_MAY_I = '"greenroom asks whether it may"'
_NO_CHANGE = "C0GREENROOM"
_CNAME = "CNAME"


def problems(settings: Route53Settings, place: Place) -> list[str]:
    if settings.observe is not None and find_spec("dns") is None:
        return ["router.observe: needs dnspython: `pip install 'greenroom[dns]'`, or leave `observe` out"]
    try:
        zones = Zones(Client(settings), settings, place.service)
        zones.confirm()
        found = _zones(settings, zones)
        if found:
            return found
        found = _twice(zones.sites) or _checks(settings, zones)
        world = zones.look()
        for number, site in enumerate(zones.sites):
            found += [f"router.records.{number}: {text}" for text in _record(site, world, zones)]
        return found + _owned(world, place) + ([] if found else _rights(zones, world))
    except PortError as error:
        return [f"router: {error.message} {error.hint}".strip()]


def hazards(settings: Route53Settings, place: Place) -> list[str]:
    found = []
    if settings.observe is None and not all(one.private for one in settings.records):
        found.append(
            "router.observe: is not given, so that the name servers answer what they were told is not seen but taken from "
            "Route 53's word (INSYNC): give `observe: {}` where this machine may ask them (port 53)"
        )
    if settings.test_route is None:
        found.append(
            "router.test_route: is not given, so the idle colour cannot be asked before users reach it: give an address "
            "for each colour, like `test_route: {blue: https://blue.shop.example, green: …}`"
        )
    checked = [t for one in settings.records for t in map(settings.targets_of(one).of, Colour)]
    if any(target.health_check or target.evaluate_target_health for target in checked):
        found.append(
            "router.targets: have health checks: where none of the live colour's passes, Route 53 gives users the other "
            "colour although its share is 0, whatever runs there"
        )
    try:
        zones = Zones(Client(settings), settings, place.service)
        return found + _lowering(zones.look())
    except PortError:
        return found  # `problems` says why


def _zones(settings: Route53Settings, zones: Zones) -> list[str]:
    """Are they there, and may they hold what the file wants in them?"""
    known: dict[str, Zone] = {}
    found = []
    for number, one in enumerate(settings.records):
        try:
            identifier = zones.id_of(one)
            if identifier not in known:
                known[identifier] = zones.zone(identifier)
        except Refusal as error:
            if error.code != "NoSuchHostedZone":
                raise
            text = f"there is no hosted zone {one.zone} in this account: see `aws route53 list-hosted-zones`"
            found.append(f"router.records.{number}.zone: {text}")
            continue
        except Permanent as error:
            if isinstance(error, Refusal):
                raise
            found.append(f"router.records.{number}.zone: {error.message} {error.hint}")
            continue
        found += [f"router.records.{number}.{text}" for text in _fitting(settings, one, known[identifier])]
    return found


def _fitting(settings: Route53Settings, one: RecordSettings, zone: Zone) -> list[str]:
    name, shown = canonical(one.name), zone.name.rstrip(".")
    if not zone.holds(name):
        return [
            f"name: {one.name} is not in the hosted zone {zone.id}, which is for {shown}: give the zone that holds it"
        ]
    if zone.private and not one.private:
        return [
            f"zone: {zone.id} ({shown}) is private: only its VPCs ask it, and users do not; give the public one, or say "
            "`private: true` if that is meant"
        ]
    if one.private and not zone.private:
        return [f"private: {zone.id} ({shown}) is public: leave `private` out"]
    if zone.private and settings.observe is not None and not settings.observe.servers:
        return [
            f"private: {zone.id} has no name servers that could be asked from here: leave `observe` out, or give its "
            "`servers` (a resolver endpoint of its VPC)"
        ]
    if one.type == _CNAME and name == zone.name:
        return [f"type: {one.name} is the zone's own name, which takes no CNAME: make it an A with an `alias`"]
    return []


def _twice(sites: Sequence[Site]) -> list[str]:
    """A zone given by name and by id is one zone."""
    keys = [site.key for site in sites]
    return [
        f"router.records.{number}: {site} in {site.zone} is given twice: leave one out"
        for number, site in enumerate(sites)
        if keys.index(site.key) < number
    ]


def _checks(settings: Route53Settings, zones: Zones) -> list[str]:
    targets = [t for one in settings.records for t in map(settings.targets_of(one).of, Colour)]
    wanted = dict.fromkeys(target.health_check for target in targets if target.health_check)
    return [
        f"router.targets: there is no health check {identifier}: see `aws route53 list-health-checks`"
        for identifier in wanted
        if not zones.has_health_check(identifier)
    ]


def _record(site: Site, world: World, zones: Zones) -> list[str]:
    """What stands at this name already."""
    found = world.sets[site.key]
    for one in sets.foreign(site, found):
        if "SetIdentifier" not in one:
            return [_simple(site, one)]
        return [
            f"{site} has {sets.described(one)}: records of other policies, or more weighted ones, cannot stand beside "
            "Greenroom's; give Greenroom a name of its own, and let that record be an alias of it"
        ]
    too_long = [s for s in found if int(s.get("TTL", 0)) > LONGEST_TTL]
    if too_long:
        ttl = sets.ttl(too_long)
        return [
            f"{site} has a TTL of {show_duration(ttl)}: a switch, and the way back, would reach users only after that; "
            f"lower it to {site.ttl}s in Route 53, and deploy {show_duration(ttl)} later"
        ]
    if found:
        return []
    clash = [s for s in zones.others(site) if _CNAME in (s["Type"], site.type) and s["Type"] != site.type]
    if clash:
        return [f"{site.name.rstrip('.')} has a record {clash[0]['Type']}, and a CNAME stands alone: remove the one"]
    return []


def _simple(site: Site, one: RecordSet) -> str:
    names = dict(site.identifiers)
    live = next((c for c in Colour if site.targets.of(c).place == sets.place(one)), None)
    whose = f"{live}'s, with the weight 100, and the other's with 0" if live else "those of the live colour, weight 100"
    return (
        f"{site} is a simple record to {sets.shown(one)}, beside which no weighted ones can stand: give Greenroom a name of "
        f"its own, and lead this one there once that is live; or, if what runs is taken over, replace it in one batch by a "
        f"DELETE of it and a CREATE of the weighted records {names[Colour.BLUE]!r} and {names[Colour.GREEN]!r} ({whose}): "
        "docs/guides/route53.md shows both"
    )


def _owned(world: World, place: Place) -> list[str]:
    known = world.record
    if known is None or known.service == place.service:
        return []
    owner = next(name for (_, name), told in world.told.items() if told.record == known)
    return [
        f"router.records: belong to the service {known.service}: give each service names of its own; if that service is "
        f"gone, remove the TXT record {owner.rstrip('.')}"
    ]


def _lowering(world: World) -> list[str]:
    found = []
    for number, site in enumerate(world.sites):
        ttl = sets.ttl(world.sets[site.key])
        if ttl > site.remembered:
            found.append(
                f"router.records.{number}: {site} has a TTL of {show_duration(ttl)}; it is lowered to {site.remembered}s as "
                f"soon as anything is told, but answers from before are remembered for {show_duration(ttl)} more: a switch "
                "in that time takes so long"
            )
    return found


def _rights(zones: Zones, world: World) -> list[str]:
    """To take away something that is not there is refused in any case: for that reason, or because we may not."""
    found = []
    for zone, name in {zone: (zone, name) for zone, name in world.told}.values():
        nothing = {"Name": name, "Type": "TXT", "TTL": 1, "ResourceRecords": [{"Value": _MAY_I}]}
        try:
            zones.change(zone, [{"Action": "DELETE", "ResourceRecordSet": nothing}])
        except Refusal as error:
            if error.code != REFUSED:
                found.append(f"router.records: {error.message} {error.hint}".strip())
        except PortError:
            continue  # asked again when it matters
    try:
        zones.in_sync(_NO_CHANGE)
    except Refusal as error:
        if error.code != "NoSuchChange":
            found.append(f"router.records: {error.message} {error.hint}".strip())
    return found
