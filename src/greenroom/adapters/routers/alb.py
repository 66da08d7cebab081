"""Router `alb`: the listeners or rules of an Application Load Balancer, told by weights, seen by requests through them.

What was told stands in tags of the listeners, with the lease's epoch; what they really say is read from AWS at every look.
An answer of AWS that a listener was changed is no sight of it: only requests (`observe:`) or, without them, time
(`settle:`) and healthy targets make a route live.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import ClassVar

from greenroom.adapters.aws.client import Client
from greenroom.adapters.aws.elb import examine, judging, record
from greenroom.adapters.aws.elb.asking import Asking, understood
from greenroom.adapters.aws.elb.balancer import Balancer, Group, Target
from greenroom.adapters.aws.elb.judging import Terms, World
from greenroom.adapters.aws.elb.reaching import Reach
from greenroom.adapters.aws.elb.record import Record
from greenroom.adapters.aws.elb.settings import AlbSettings
from greenroom.adapters.aws.elb.telling import Teller, fence, refuse
from greenroom.adapters.aws.glance import PACE, Glance
from greenroom.domain.model import Colour, Routing, RoutingSpec, Split
from greenroom.errors import Permanent
from greenroom.ports import ActionKey, Capability, Facts, Place

CALM_AFTER, CALM_PACE = 900.0, 60.0
"""Seconds after the last telling, and then between two looks: an account has ten tokens a second for all that look."""


class AlbRouter:
    """`ports.Router`, `Paced`."""

    Settings: ClassVar[type[AlbSettings]] = AlbSettings
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.WEIGHTS, Capability.TEST_ROUTE, Capability.PARITY}
    )

    def __init__(
        self,
        settings: AlbSettings,
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
        self._met: tuple[str, frozenset[Colour]] = ("", frozenset())

    # observing

    def observe(self) -> Routing:
        """By requests at every look; by AWS, where nothing was told for long and all is as it was told, not as often."""
        world = (self._calm if self._is_calm else self._glance).see()
        seen = self._judged(world)
        told = world.record.at if world.record else 0
        calm = self._now() >= told + CALM_AFTER and (seen.settled or not seen.running)
        if not calm:
            self._calm.anew()
        self._is_calm = calm
        return seen

    def _judged(self, world: World) -> Routing:
        known = world.record
        if known is None or self._settings.observe is None:
            return judging.routing(world, self._terms, None, self._now(), frozenset())
        heard = Asking(self._settings.observe, self._reach.asked()).hear()
        evidence = understood(heard, known.spec)
        met = self._met[1] if self._met[0] == known.revision else frozenset()
        self._met = known.revision, met | frozenset(evidence.colours)
        return judging.routing(world, self._terms, evidence, self._now(), self._met[1])

    def anew(self) -> None:
        """The next look asks AWS."""
        self._is_calm = False
        self._glance.anew()

    def _look(self) -> World:
        world = self._world()
        sent = {arn for door in world.public for arn in door.forward.sent}
        groups = {colour: group for colour, group in self._groups.items() if group.arn in sent}
        targets = {colour: self._balancer.targets(group) for colour, group in groups.items()}
        return World(world.public, world.test, world.records, _there(targets), world.damaged)

    def _world(self) -> World:
        """Listeners, rules and their tags; no targets."""
        settings = self._settings
        doors = self._balancer.doors([*settings.public, *([settings.test] if settings.test else [])])
        absent = [arn for arn in (*settings.public, settings.test) if arn and arn not in doors]
        if absent:
            raise Permanent(f"AWS in {self._client.region} has no {examine.kind(absent[0])} {absent[0]}.")
        names = {colour: group.name for colour, group in self._groups.items()}
        records: dict[str, Record | None] = dict.fromkeys(settings.public)
        damaged = ""
        for arn, tags in self._balancer.tags(settings.public).items():
            try:
                records[arn] = record.read(tags, names)
            except ValueError as error:
                damaged = f"what {doors[arn]} was told cannot be read: {error}"
        public = tuple(doors[arn] for arn in settings.public)
        return World(public, doors.get(settings.test), records, damaged=damaged)

    # telling

    def apply(self, spec: RoutingSpec, key: ActionKey) -> None:
        self._balancer.confirm()
        refuse(spec, self._groups)
        try:
            world = self._world()
            fence(world, self._terms, key.epoch)
            teller = Teller(self._balancer, self._terms, world)
            teller.leaves_others_alone(spec)
            teller.healthy(spec)
            teller.tell(spec, key.epoch, self._now(), self._service)
        finally:
            self.anew()

    def remove(self) -> None:
        """Users are sent to nobody; the groups stay where they are."""
        try:
            world = self._world()
            known = world.record
            if known is None and not world.damaged:
                return
            epoch = known.epoch if known else 0
            fence(world, self._terms, epoch)
            teller = Teller(self._balancer, self._terms, world)
            teller.tell(RoutingSpec(Split.none()), epoch, self._now(), self._service)
            self._balancer.untag(self._settings.public, record.KEYS)
        finally:
            self.anew()

    # asking

    def reach(self, test: bool = False) -> tuple[str, Mapping[str, str]]:
        return self._reach.test() if test else (self._reach.public(), {})

    # what is made when it is needed: the way back must not depend on it before

    @cached_property
    def _client(self) -> Client:
        return self._given or Client(self._settings)

    @cached_property
    def _balancer(self) -> Balancer:
        return Balancer(self._client, self._settings)

    @cached_property
    def _reach(self) -> Reach:
        return Reach(self._balancer, self._settings)

    @property
    def _groups(self) -> Mapping[Colour, Group]:
        return self._balancer.groups()

    @property
    def _terms(self) -> Terms:
        settings = self._settings
        return Terms(self._service, self._groups, settings.stickiness, settings.settle, settings.drain)

    def inspect(self, colour: Colour) -> Mapping[str, Facts]:
        """What AWS has for the colour's target group: port, health check, attributes."""
        return {"upstream": Facts(self._balancer.facts(colour))}

    @staticmethod
    def problems(settings: AlbSettings, place: Place) -> list[str]:
        """What would keep the router from working, each with its way out."""
        return examine.problems(settings, place)

    @staticmethod
    def hazards(settings: AlbSettings, place: Place) -> list[str]:
        """What users would notice of a deploy that works."""
        return examine.hazards(settings)


def _there(targets: Mapping[Colour, tuple[Target, ...]]) -> dict[Colour, tuple[Target, ...]]:
    """Without those that are leaving: they get nothing new."""
    return {c: tuple(t for t in found if t.state != "draining") for c, found in targets.items()}
