"""The keys of `router: {type: route53, ...}`. Needs no boto3."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from greenroom.adapters.aws.access import Access
from greenroom.adapters.aws.dns.names import address_of, canonical, ip_of, is_name, same
from greenroom.adapters.listening import Section
from greenroom.domain.model import Colour
from greenroom.units import Seconds

_ZONE_ID = re.compile(r"[A-Z0-9]{4,32}")
_URL = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")
_PATTERN_NAMES = re.compile(r"\{([^}]*)\}")

LONGEST_TTL = 300.0
ALIAS_TTL = 60.0
"""What AWS gives for an alias of a load balancer; nobody can change it."""
MOST = 20
LONGEST_IDENTIFIER = 128


Name = Annotated[str, AfterValidator(is_name)]


class Target(Section):
    """What answers for a colour: a load balancer (`alias` and `zone`), or `values`."""

    alias: str = Field(default="", description="DNS name of the colour's load balancer.")
    zone: str = Field(
        default="", description="The hosted zone of that load balancer (`CanonicalHostedZoneId`), not of your name."
    )
    values: tuple[str, ...] = Field(default=(), description="Addresses, or for a CNAME one name.")
    health_check: str = Field(default="", description="The id of a health check of Route 53 that is attached.")
    evaluate_target_health: bool = Field(
        default=False,
        description="Of an alias: Route 53 asks the load balancer whether its targets are healthy. Where none of the "
        "live colour's is, users get the other colour, whose share is 0.",
    )

    @model_validator(mode="after")
    def _one(self) -> Target:
        if bool(self.alias) == bool(self.values):
            raise ValueError("give either `alias` (a load balancer) or `values`")
        if self.alias:
            is_name(self.alias)
            if not _ZONE_ID.fullmatch(self.zone):
                raise ValueError(
                    f"`zone`: {self.zone!r} is no id of a hosted zone: `aws elbv2 describe-load-balancers` shows it as "
                    "CanonicalHostedZoneId"
                )
        elif self.zone or self.evaluate_target_health:
            raise ValueError("`zone` and `evaluate_target_health` go with an `alias` only")
        if len(set(self.values)) < len(self.values):
            raise ValueError("names a value twice")
        return self

    @property
    def place(self) -> tuple[str, ...]:
        """Where it leads, for comparing."""
        if self.alias:
            return ("alias", canonical(self.alias).removeprefix("dualstack."), self.zone)
        return tuple(sorted(same(value) for value in self.values))


class Targets(Section):
    """Each colour has something of its own that answers."""

    blue: Target = Field(description="What answers for blue.")
    green: Target = Field(description="What answers for green.")

    @model_validator(mode="after")
    def _two(self) -> Targets:
        if self.blue.place == self.green.place:
            raise ValueError("blue and green lead to the same: nothing could be switched")
        if shared := set(self.blue.place) & set(self.green.place) if self.blue.values and self.green.values else None:
            raise ValueError(f"{min(shared)} is blue's and green's: nothing could be switched")
        return self

    def of(self, colour: Colour) -> Target:
        return self.blue if colour is Colour.BLUE else self.green

    @property
    def aliases(self) -> int:
        return sum(bool(target.alias) for target in (self.blue, self.green))


class RecordSettings(Section):
    """A name that users ask for, in a hosted zone."""

    zone: str = Field(description="The hosted zone, by id (`Z…`, the better way) or by name.")
    name: Name = Field(description="The name, like `shop.example`.")
    type: Literal["A", "AAAA", "CNAME"] = Field(default="A", description="The kind of record.")
    private: bool = Field(default=False, description="The zone is a private one: only its VPCs ask it.")
    targets: Targets | None = Field(default=None, description="Of this record alone. Default: those of the router.")

    @field_validator("zone")
    @classmethod
    def _is_zone(cls, value: str) -> str:
        value = value.removeprefix("/hostedzone/")
        return value if _ZONE_ID.fullmatch(value) else is_name(value)

    @property
    def by_id(self) -> bool:
        return bool(_ZONE_ID.fullmatch(self.zone))


class TestRoute(Section):
    """Where each colour is asked itself. A name that were switched for tests would be remembered by resolvers."""

    __test__ = False

    blue: str = Field(description="Address that always leads to blue, like `https://blue.shop.example`.")
    green: str = Field(description="Address that always leads to green.")

    @field_validator("blue", "green")
    @classmethod
    def _is_url(cls, value: str) -> str:
        return _url(value)

    @model_validator(mode="after")
    def _two(self) -> TestRoute:
        if self.blue == self.green:
            raise ValueError("blue and green have the same address")
        return self

    def of(self, colour: Colour) -> str:
        return self.blue if colour is Colour.BLUE else self.green


class Observe(Section):
    """Questions of our own to the zones' name servers; needs `greenroom[dns]`."""

    servers: tuple[str, ...] = Field(
        default=(),
        max_length=8,
        description="Who is asked: `192.0.2.53` or `127.0.0.1:5353`. Default: the zone's name servers.",
    )

    @field_validator("servers")
    @classmethod
    def _addresses(cls, servers: tuple[str, ...]) -> tuple[str, ...]:
        for server in servers:
            address_of(server)
        return servers


class Route53Settings(Access):
    """Weighted records in hosted zones that exist already: Greenroom makes and changes its own two of each name."""

    type: Literal["route53"] = "route53"
    records: tuple[RecordSettings, ...] = Field(
        min_length=1, max_length=MOST, description="The names that lead users to the colours; they move together."
    )
    targets: Targets | None = Field(default=None, description="What answers for each colour.")
    ttl: Seconds = Field(
        default=60.0,
        ge=0,
        le=LONGEST_TTL,
        description="How long an answer may be remembered: whole seconds, at most 5m. An alias of a load balancer has 60s.",
    )
    set_identifier: str = Field(
        default="greenroom-{service}-{colour}", description="What the two records of a name are called in the zone."
    )
    drain: Seconds = Field(
        default_factory=lambda given: max(ALIAS_TTL, given.get("ttl", 0.0)),
        ge=0,
        description="How long the old colour is kept for clients whose resolvers ignore the TTL, and for open connections, "
        "once the TTL has passed. Default: the TTL, at least 60s.",
        json_schema_extra={"default": "60s"},
    )
    test_route: TestRoute | None = Field(default=None, description="How the idle environment is reached.")
    url: str = Field(
        default="", description="How the public route is asked from here. Default: `https://` and the first name."
    )
    observe: Observe | None = Field(
        default=None,
        description="Ask the zones' name servers what they really say. Without it, Route 53's word (INSYNC) counts.",
    )
    settle: Seconds = Field(
        default=60.0,
        ge=0,
        le=300,
        description="How long Route 53 may take until all its name servers know a change, where it cannot be asked for "
        "this change any more: whoever made it died.",
    )

    @field_validator("ttl")
    @classmethod
    def _whole(cls, value: float) -> float:
        if value != int(value):
            raise ValueError("a TTL has whole seconds")
        return value

    @field_validator("url")
    @classmethod
    def _is_url(cls, value: str) -> str:
        return _url(value) if value else value

    @field_validator("set_identifier")
    @classmethod
    def _is_pattern(cls, value: str) -> str:
        names = set(_PATTERN_NAMES.findall(value))
        if "colour" not in names or names - {"colour", "service"} or not value.isprintable() or len(value) > 100:
            raise ValueError("must hold {colour}, and may hold {service}, like greenroom-{service}-{colour}")
        return value

    @model_validator(mode="after")
    def _complete(self) -> Route53Settings:
        seen: set[tuple[str, str, str]] = set()
        for record in self.records:
            what = f"{record.name} {record.type}"
            if record.targets is None and self.targets is None:
                raise ValueError(f"{what} has no targets: give `targets` to the router, or to each record")
            key = (canonical(record.zone), canonical(record.name), record.type)
            if key in seen:
                raise ValueError(f"{what} is given twice")
            seen.add(key)
            _fits(record, self.targets_of(record), self.ttl)
        return self

    def targets_of(self, record: RecordSettings) -> Targets:
        found = record.targets or self.targets
        assert found is not None
        return found

    def identifiers(self, service: str) -> Mapping[Colour, str]:
        return {c: self.set_identifier.replace("{service}", service).replace("{colour}", c) for c in Colour}


def _fits(record: RecordSettings, targets: Targets, ttl: float) -> None:
    """A type takes some values only."""
    what = f"{record.name} {record.type}"
    if targets.aliases == 1 and ttl != ALIAS_TTL:
        raise ValueError(f"{what}: one colour is an alias, whose TTL is 60s; give `ttl: 60s`, both must have the same")
    if record.type == "CNAME":
        if targets.aliases:
            raise ValueError(f"{what}: a CNAME is no alias; make it an A (and AAAA) with `alias`, or give `values`")
        if any(len(targets.of(c).values) > 1 for c in Colour):
            raise ValueError(f"{what}: a CNAME leads to one name")
        for colour in Colour:
            is_name(targets.of(colour).values[0])
        return
    version: Any = IPv4Address if record.type == "A" else IPv6Address
    for colour in Colour:
        for value in targets.of(colour).values:
            if not isinstance(ip_of(value), version):
                raise ValueError(
                    f"{what}: {value[:60]!r} is no address for a record {record.type}; where A and AAAA have values, give "
                    "each of the records its own `targets`"
                )


def _url(value: str) -> str:
    if not _URL.fullmatch(value):
        raise ValueError(f"{value!r} is no address of a site: write it like https://shop.example")
    return value.rstrip("/")
