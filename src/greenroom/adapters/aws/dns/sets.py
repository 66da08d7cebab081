"""Record sets, as Route 53 has them: which colour gets what share of a name, and what a name shall say. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from greenroom.adapters.aws.dns.names import canonical, same
from greenroom.adapters.aws.dns.settings import ALIAS_TTL, Targets
from greenroom.domain.model import Colour, Split

RecordSet: TypeAlias = Mapping[str, Any]
OWNER = "_greenroom"
HEAVIEST = 255
"""The largest weight that Route 53 takes; ours are percents."""
_POLICIES = ("Region", "GeoLocation", "Failover", "MultiValueAnswer", "CidrRoutingConfig", "GeoProximityLocation")


@dataclass(frozen=True, slots=True)
class Site:
    """A name in a zone, of one type. `zone`: its id."""

    zone: str
    name: str
    type: str
    targets: Targets
    ttl: int
    identifiers: tuple[tuple[Colour, str], ...]

    def __str__(self) -> str:
        return f"{self.name.rstrip('.')} {self.type}"

    @property
    def key(self) -> tuple[str, str, str]:
        return self.zone, self.name, self.type

    @property
    def remembered(self) -> int:
        """For how many seconds an answer may be, once it says what the file does."""
        return int(ALIAS_TTL) if self.targets.aliases else self.ttl

    @property
    def owner(self) -> tuple[str, str]:
        """Zone and name of the TXT record that says what was told."""
        return self.zone, owner_of(self.name)


def owner_of(name: str) -> str:
    """A star may stand at the beginning only."""
    return f"{OWNER}.{'_any' + name[1:] if name.startswith('*') else name}"


def wanted(site: Site, split: Split) -> dict[Colour, dict[str, Any]]:
    """By colour. Nothing where nobody is to be sent anywhere: with weights of 0 alone, all would get the same."""
    if split == Split.none():
        return {}
    if min(split.blue, split.green) < 0 or split.blue + split.green != 100:
        raise ValueError(f"{split} are no weights")
    return {colour: _set(site, colour, name, split.of(colour)) for colour, name in site.identifiers}


def _set(site: Site, colour: Colour, identifier: str, weight: int) -> dict[str, Any]:
    target = site.targets.of(colour)
    found: dict[str, Any] = {
        "Name": site.name,
        "Type": site.type,
        "SetIdentifier": identifier,
        "Weight": weight,
    }
    if target.alias:
        found["AliasTarget"] = {
            "HostedZoneId": target.zone,
            "DNSName": canonical(target.alias),
            "EvaluateTargetHealth": target.evaluate_target_health,
        }
    else:
        found |= {"TTL": site.ttl, "ResourceRecords": [{"Value": value} for value in target.values]}
    return found | ({"HealthCheckId": target.health_check} if target.health_check else {})


def own(site: Site, sets: Sequence[RecordSet]) -> dict[Colour, RecordSet]:
    """Those with our identifiers."""
    known = {name: colour for colour, name in site.identifiers}
    return {known[s["SetIdentifier"]]: s for s in sets if "Weight" in s and s.get("SetIdentifier") in known}


def foreign(site: Site, sets: Sequence[RecordSet]) -> list[RecordSet]:
    """Those that get something beside ours, or keep ours from being made."""
    ours = [id(one) for one in own(site, sets).values()]
    return [one for one in sets if id(one) not in ours and one.get("Weight") != 0]


def led_elsewhere(site: Site, sets: Sequence[RecordSet]) -> str:
    """Why users are led to something that is neither colour's; "" if they are not."""
    for one in foreign(site, sets):
        return f"{site} has {described(one)}, which is not Greenroom's"
    for colour, one in own(site, sets).items():
        if place(one) != site.targets.of(colour).place:
            return f"{site} leads to {shown(one)} for {colour}, and not to what the file says"
    return ""


def split(site: Site, sets: Sequence[RecordSet]) -> Split | None:
    """Shares in whole percent; None where something else gets some. What gets something is never 0."""
    found = own(site, sets)
    if led_elsewhere(site, sets):
        return None
    if not found:
        return Split.none()
    weights = {colour: int(found[colour]["Weight"]) if colour in found else None for colour in Colour}
    if not any(weights.values()):  # all 0: all that are there get the same
        weights = {colour: None if weight is None else 1 for colour, weight in weights.items()}
    blue, green = (weights[colour] or 0 for colour in Colour)
    if not blue or not green:
        return Split.all_to(Colour.BLUE if blue else Colour.GREEN)
    share = min(99, max(1, round(100 * blue / (blue + green))))
    return Split(share, 100 - share)


def exact(one: RecordSet, other: RecordSet) -> bool:
    """Nothing is left to be done to make the one the other."""
    return _essence(one) == _essence(other)


def place(one: RecordSet) -> tuple[str, ...]:
    """Where it leads, as `Target.place` has it."""
    if alias := one.get("AliasTarget"):
        return ("alias", canonical(alias["DNSName"]).removeprefix("dualstack."), str(alias["HostedZoneId"]))
    return tuple(sorted(same(each["Value"]) for each in one.get("ResourceRecords", ())))


def ttl(sets: Sequence[RecordSet]) -> int:
    """The longest for which one of them may be remembered; 0 where there is none."""
    return max((int(s.get("TTL", ALIAS_TTL)) for s in sets), default=0)


def described(one: RecordSet) -> str:
    """Of which kind it is, for people."""
    for policy in _POLICIES:
        if policy in one:
            return f"a record of the routing policy {policy} ({one.get('SetIdentifier', '')})"
    if "Weight" in one:
        return f"a weighted record {one.get('SetIdentifier', '')!r} to {shown(one)}"
    return f"a simple record to {shown(one)}"


def shown(one: RecordSet) -> str:
    where = place(one)
    return where[1].rstrip(".") if "AliasTarget" in one else ", ".join(each.rstrip(".") for each in where)


def _essence(one: RecordSet) -> tuple[Any, ...]:
    alias = one.get("AliasTarget") or {}
    weight = one.get("Weight")
    return (
        place(one),
        None if weight is None else int(weight),
        None if alias else int(one.get("TTL", 0)),
        bool(alias.get("EvaluateTargetHealth")),
        one.get("HealthCheckId", ""),
    )
