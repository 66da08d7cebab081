"""Router `route53`: weighted records of Route 53; live when all name servers know it and the TTL has passed.

What was told stands in a TXT record beside each name, changed in one batch with the records; what they really say is read
from AWS at every look. An answer of AWS that a change was taken is no sight of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from threading import Lock
from typing import ClassVar

from greenroom.adapters.aws.client import Client
from greenroom.adapters.aws.dns import examine, judging
from greenroom.adapters.aws.dns.judging import Answered, Terms
from greenroom.adapters.aws.dns.settings import Route53Settings
from greenroom.adapters.aws.dns.telling import Teller, fence, refuse
from greenroom.adapters.aws.dns.zones import World, Zones
from greenroom.adapters.aws.glance import PACE, Glance
from greenroom.domain.model import Routing, RoutingSpec
from greenroom.errors import Permanent
from greenroom.ports import ActionKey, Capability, Place

CALM_AFTER, CALM_PACE = 900.0, 60.0
"""Seconds after the last move, and then between two looks: an account has five requests a second for all that look."""
_HEARD_FOR = 1.0
"""Seconds: name servers are asked no more often than that."""


@dataclass(frozen=True, slots=True)
class _Made:
    """The last move that this process told. `waited`: changes that are not everywhere yet; `synced`: since when all are."""

    moved: int = 0
    waited: frozenset[str] = frozenset()
    synced: float | None = None


class Route53Router:
    """`ports.Router`, `Paced`. What an endpoint of a colour is does not matter here: `targets` says what answers for it."""

    Settings: ClassVar[type[Route53Settings]] = Route53Settings
    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.WEIGHTS, Capability.TEST_ROUTE})

    def __init__(
        self,
        settings: Route53Settings,
        place: Place,
        *,
        pace: float = PACE,
        now: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
        client: Client | None = None,
    ) -> None:
        self._settings, self._service, self._now, self._given = settings, place.service, now, client
        self._glance: Glance[World] = Glance(self._look, pace, steady=steady)
        self._calm: Glance[World] = Glance(self._glance.see, CALM_PACE, steady=steady)
        self._is_calm = False
        self._heard: Glance[Sequence[Answered]] = Glance(self._hear, min(pace, _HEARD_FOR), steady=steady)
        self._made, self._lock = _Made(), Lock()

    # observing

    def observe(self) -> Routing:
        """By name servers at every look; by AWS not as often, where nothing was moved for long and all is as it was told."""
        world = (self._calm if self._is_calm else self._glance).see()
        heard = self._heard.see() if self._settings.observe is not None and world.record is not None else None
        seen = judging.routing(world, self._terms, heard, self._now())
        moved = world.record.at if world.record else 0.0
        calm = self._now() >= moved + CALM_AFTER and (seen.settled or not seen.running)
        if not calm:
            self._calm.anew()
        self._is_calm = calm
        return seen

    def anew(self) -> None:
        """The next look asks AWS."""
        self._is_calm = False
        self._glance.anew()
        self._heard.anew()

    def _look(self) -> World:
        world = self._zones.look()
        made = self._made
        if world.record is None or world.record.moved != made.moved:
            return world
        left = frozenset(change for change in made.waited if not self._zones.in_sync(change))
        synced = self._now() if made.synced is None and not left else made.synced
        with self._lock:
            if self._made is made:  # else something was told meanwhile
                self._made = _Made(made.moved, left, synced)
        return replace(world, pending=bool(left), synced=synced)

    def _hear(self) -> Sequence[Answered]:
        from greenroom.adapters.aws.dns.asking import hear

        assert self._settings.observe is not None
        given = self._settings.observe.servers
        sites = self._zones.sites
        return hear(sites, {site.zone: given or self._servers[site.zone] for site in sites})

    # telling

    def apply(self, spec: RoutingSpec, key: ActionKey) -> None:
        self._zones.confirm()
        refuse(spec)
        try:
            world = self._zones.look()
            fence(world, self._terms, key.epoch)
            told, changes = Teller(self._zones, self._terms, world).tell(spec, key.epoch, self._now())
            if changes and (world.record is None or told.moved != world.record.moved):
                with self._lock:
                    self._made = _Made(told.moved, frozenset(changes))
        finally:
            self.anew()

    def remove(self) -> None:
        """Take away what we made: the names then lead nobody anywhere."""
        try:
            world = self._zones.look()
            known = world.record
            if known is None and not world.damaged:
                return
            fence(world, self._terms, known.epoch if known else 0)
            Teller(self._zones, self._terms, world).clear()
        finally:
            self.anew()

    # asking

    def reach(self, test: bool = False) -> tuple[str, Mapping[str, str]]:
        if not test:
            return self._settings.url or f"https://{self._settings.records[0].name.rstrip('.')}", {}
        way = self._settings.test_route
        if way is None:
            raise Permanent(
                "the idle environment cannot be asked: `router` has no `test_route`",
                hint="Give an address for each colour: `test_route: {blue: https://blue.shop.example, green: …}`.",
            )
        known = self._glance.see().record
        return (way.of(known.spec.test), {}) if known is not None and known.spec.test else ("", {})

    # what is made when it is needed: the way back must not depend on it before

    @cached_property
    def _zones(self) -> Zones:
        return Zones(self._given or Client(self._settings), self._settings, self._service)

    @cached_property
    def _servers(self) -> Mapping[str, tuple[str, ...]]:
        """By zone's id; asked once."""
        return {zone: self._zones.zone(zone).servers for zone in {site.zone for site in self._zones.sites}}

    @property
    def _terms(self) -> Terms:
        return Terms(self._service, self._settings.settle, self._settings.drain)

    @staticmethod
    def problems(settings: Route53Settings, place: Place) -> list[str]:
        """What would keep the router from working, each with its way out."""
        return examine.problems(settings, place)

    @staticmethod
    def hazards(settings: Route53Settings, place: Place) -> list[str]:
        """What users would notice of a deploy that works."""
        return examine.hazards(settings, place)
