"""The calls of Route 53 that the router makes: few, and each said once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import Any

from greenroom.adapters.aws.client import Client
from greenroom.adapters.aws.dns import record
from greenroom.adapters.aws.dns.names import canonical
from greenroom.adapters.aws.dns.record import Record
from greenroom.adapters.aws.dns.sets import RecordSet, Site
from greenroom.adapters.aws.dns.settings import RecordSettings, Route53Settings
from greenroom.adapters.aws.troubles import Refusal
from greenroom.errors import Permanent

_ROUTE53 = "route53"
_PAGE = 100
REFUSED = "InvalidChangeBatch"
"""Route 53's word for a batch that does not fit what is there, among other things."""


@dataclass(frozen=True, slots=True)
class Zone:
    """`servers`: the names of its name servers; none for a private one."""

    id: str
    name: str
    private: bool
    servers: tuple[str, ...] = ()

    def holds(self, name: str) -> bool:
        return name == self.name or name.endswith("." + self.name)


@dataclass(frozen=True, slots=True)
class Told:
    """The TXT record beside a name. `raw` None: there is none. `damaged`: why it cannot be read."""

    raw: RecordSet | None = None
    record: Record | None = None
    damaged: str = ""


@dataclass(frozen=True, slots=True)
class World:
    """One look at the zones. `sets` by `Site.key`: all of that name and type, whoever made them. `told` by `Site.owner`.

    `pending`: Route 53 has not brought our last change everywhere. `synced`: when it was first seen to have, None where
    that cannot be known: another process made it.
    """

    sites: tuple[Site, ...]
    sets: Mapping[tuple[str, str, str], tuple[RecordSet, ...]]
    told: Mapping[tuple[str, str], Told]
    pending: bool = False
    synced: float | None = field(default=None)

    @property
    def record(self) -> Record | None:
        """The newest."""
        known = [told.record for told in self.told.values() if told.record is not None]
        return max(known, key=lambda record: (record.epoch, record.sequence), default=None)

    @property
    def damaged(self) -> str:
        return next((told.damaged for told in self.told.values() if told.damaged), "")

    @property
    def finished(self) -> bool:
        newest = self.record
        return newest is not None and all(told.record == newest for told in self.told.values())


class Zones:
    """Asks and tells AWS. Remembers only which zones there are."""

    def __init__(self, client: Client, settings: Route53Settings, service: str) -> None:
        self._client, self._settings = client, settings
        self._identifiers = tuple(settings.identifiers(service).items())
        self._lock = Lock()
        self._named: dict[tuple[str, bool], str] = {}

    # asking

    @cached_property
    def sites(self) -> tuple[Site, ...]:
        """The records of the file, with the ids of their zones."""
        return tuple(self.site(one) for one in self._settings.records)

    def site(self, one: RecordSettings) -> Site:
        targets = self._settings.targets_of(one)
        return Site(self.id_of(one), canonical(one.name), one.type, targets, int(self._settings.ttl), self._identifiers)

    def look(self) -> World:
        """One call for each name, mostly."""
        sets: dict[tuple[str, str, str], tuple[RecordSet, ...]] = {}
        told: dict[tuple[str, str], Told] = {}
        for zone, name in dict.fromkeys((site.zone, site.name) for site in self.sites):
            here = [site for site in self.sites if (site.zone, site.name) == (zone, name)]
            found, rest = self._listed(zone, name)
            for site in here:
                sets[site.key] = tuple(s for s in found if (canonical(s["Name"]), s["Type"]) == (name, site.type))
            told[here[0].owner] = _told(here[0].owner[1], found) or (self._owner(*here[0].owner) if rest else Told())
        return World(self.sites, sets, told)

    def others(self, site: Site) -> list[RecordSet]:
        """Records of that name, of any type."""
        return [s for s in self._listed(site.zone, site.name)[0] if canonical(s["Name"]) == site.name]

    def zone(self, zone: str) -> Zone:
        said = self._client.read(_ROUTE53, "get_hosted_zone", f"the hosted zone {zone}", Id=zone)
        raw = said["HostedZone"]
        private = bool((raw.get("Config") or {}).get("PrivateZone"))
        servers = tuple((said.get("DelegationSet") or {}).get("NameServers") or ())
        return Zone(zone, canonical(raw["Name"]), private, () if private else servers)

    def id_of(self, one: RecordSettings) -> str:
        """Of a zone that is given by name, asked once."""
        if one.by_id:
            return one.zone
        key = canonical(one.zone), one.private
        with self._lock:
            if key not in self._named:
                self._named[key] = self._by_name(*key)
            return self._named[key]

    def in_sync(self, change: str) -> bool:
        """All name servers know it."""
        said = self._client.read(_ROUTE53, "get_change", f"the change {change}", Id=change)
        return str(said["ChangeInfo"]["Status"]) == "INSYNC"

    def has_health_check(self, identifier: str) -> bool:
        try:
            self._client.read(_ROUTE53, "get_health_check", f"the health check {identifier}", HealthCheckId=identifier)
        except Refusal as error:
            if error.code != "NoSuchHealthCheck":
                raise
            return False
        return True

    def confirm(self) -> None:
        self._client.confirm()

    # telling

    def change(self, zone: str, changes: Sequence[Mapping[str, Any]]) -> str:
        """All of it or nothing; what it is called. As it is answered it is not yet everywhere."""
        batch = {"Comment": "greenroom", "Changes": list(changes)}
        about = f"the hosted zone {zone}"
        said = self._client.write(_ROUTE53, "change_resource_record_sets", about, HostedZoneId=zone, ChangeBatch=batch)
        return str(said["ChangeInfo"]["Id"]).removeprefix("/change/")

    def _listed(self, zone: str, name: str) -> tuple[list[RecordSet], bool]:
        """From this name on; whether there are more."""
        said = self._client.read(
            _ROUTE53,
            "list_resource_record_sets",
            f"the hosted zone {zone}",
            HostedZoneId=zone,
            StartRecordName=name,
            MaxItems=str(_PAGE),
        )
        return list(said["ResourceRecordSets"]), bool(said.get("IsTruncated"))

    def _owner(self, zone: str, name: str) -> Told:
        found, _ = self._listed(zone, name)
        return _told(name, found) or Told()

    def _by_name(self, name: str, private: bool) -> str:
        said = self._client.read(_ROUTE53, "list_hosted_zones_by_name", f"the hosted zone {name}", DNSName=name)
        found = [zone for zone in said["HostedZones"] if canonical(zone["Name"]) == name]
        fitting = [one for one in found if bool((one.get("Config") or {}).get("PrivateZone")) is private]
        if len(fitting) == 1:
            return str(fitting[0]["Id"]).removeprefix("/hostedzone/")
        kind, shown = "private" if private else "public", name.rstrip(".")
        if fitting:
            raise Permanent(
                f"There are {len(fitting)} {kind} hosted zones {shown}.", hint="Give the id of the one that is meant."
            )
        if found:
            other = "leave `private` out" if private else "say `private: true` if it is meant"
            raise Permanent(f"The hosted zone {shown} is not {kind}.", hint=f"Give another zone, or {other}.")
        raise Permanent(
            f"There is no hosted zone {shown} in this account.", hint="See `aws route53 list-hosted-zones`."
        )


def _told(name: str, found: Sequence[RecordSet]) -> Told | None:
    for one in found:
        if canonical(one["Name"]) == name and one["Type"] == "TXT":
            values = [str(each["Value"]) for each in one.get("ResourceRecords", ())]
            try:
                return Told(one, record.read(values[0] if len(values) == 1 else ""))
            except ValueError as error:
                return Told(one, None, f"the TXT record {name.rstrip('.')} cannot be read: {error}")
    return None
