"""Telling the listeners: first what is meant (in their tags), then each listener, then that it is done.

Killed anywhere in between, what is meant stands there, and whoever tells it again does what is left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from greenroom.adapters.aws.elb import actions, record
from greenroom.adapters.aws.elb.actions import Forward
from greenroom.adapters.aws.elb.balancer import Balancer, Door, Group
from greenroom.adapters.aws.elb.judging import OPEN, Terms, World, reasons
from greenroom.adapters.aws.elb.record import Record
from greenroom.adapters.aws.troubles import Refusal
from greenroom.domain.model import Colour, RoutingSpec, Split
from greenroom.errors import Permanent, Temporary

CHECKED_AFTER = 5.0
"""Seconds until it is worth looking again whether a target is healthy."""

_NO_WEIGHT = {"ValidationError", "InvalidConfigurationRequest", "InvalidLoadBalancerAction"}
"""How AWS says that it does not take a forward in which every weight is 0."""


def refuse(spec: RoutingSpec, groups: Mapping[Colour, Group]) -> None:
    """`Permanent` for what no listener can be told."""
    shares = (spec.split.blue, spec.split.green)
    if min(shares) < 0 or sum(shares) not in (0, 100):
        raise Permanent(f"the shares {spec.split} do not sum to 100")
    if spec.mirror or spec.first or spec.shield:
        raise Permanent("an ALB neither copies requests, nor lets some users go first, nor asks another colour again")
    for colour in Colour:
        group, endpoints = groups[colour], spec.backend(colour).endpoints
        if spec.split.of(colour) and not endpoints:
            raise Permanent(f"{colour} shall get {spec.split.of(colour)} % of the traffic but has no endpoint")
        for endpoint in endpoints:
            if endpoint.host != group.name:
                raise Permanent(
                    f"{colour}: {endpoint} is not behind its target group {group.name}",
                    hint="The environment registers its targets in a group: give it the same `target_groups` as the router.",
                )
        if len(endpoints) > 1:
            raise Permanent(f"{colour}: an ALB knows one endpoint for a colour, its target group, not {len(endpoints)}")


def fence(world: World, terms: Terms, epoch: int) -> None:
    """Read, compare, and then write: AWS has no condition for it."""
    if world.damaged:
        return  # told anew, it is whole again
    known = world.record
    if known is None:
        return
    if known.service != terms.service:
        raise Permanent(
            f"{world.public[0]} belongs to the service {known.service}",
            hint="Give each service a listener or a rule of its own; if that one is gone, remove its tags greenroom:….",
        )
    if epoch < known.epoch:
        raise Permanent(
            f"{world.public[0]} was told something under a newer lease ({known.epoch}) than ours ({epoch})",
            hint="Another Greenroom is in charge now; this one has to stop.",
        )


class Teller:
    """Does one telling."""

    def __init__(self, balancer: Balancer, terms: Terms, world: World) -> None:
        self._balancer, self._terms, self._world = balancer, terms, world

    def tell(self, spec: RoutingSpec, epoch: int, now: float, service: str) -> None:
        """Nothing is written where all is so already."""
        changes = self._changes(spec)
        wanted = self._record(spec, epoch, now, service, moves=bool(changes))
        arns = [door.arn for door in self._world.public]
        if not changes:
            if any(known is None or known != wanted for known in self._world.records.values()):
                self._balancer.tag(arns, record.tags(wanted))
            return
        self._balancer.tag(arns, record.tags(replace(wanted, finished=False)))
        for door, forward in changes:
            self._send(door, forward)
        self._balancer.tag(arns, record.tags(wanted))

    def leaves_others_alone(self, spec: RoutingSpec) -> None:
        """`Permanent` where users come to something that Greenroom never told, and would be sent to nobody."""
        if self._world.record is not None or spec.split != Split.none():
            return
        for colour, group in self._terms.groups.items():
            served = any(group.arn in door.forward.sent for door in self._world.public)
            if not served or colour is spec.test:
                continue
            if any(target.state == "healthy" for target in self._balancer.targets(group)):
                raise Permanent(
                    f"users reach healthy targets in the target group {group.name}, of which this journal knows nothing: a "
                    "first release would send them to nobody",
                    hint=f"Take over what runs there (`greenroom adopt`), or, if nobody needs it, give {group.name} the "
                    "weight 0 in the listeners.",
                )

    def healthy(self, spec: RoutingSpec) -> None:
        """`Temporary` where a colour is to get more than it has now, and nothing in its group is well."""
        known = self._world.record
        for colour in Colour:
            now = [self._terms.shares(door) or Split.none() for door in self._world.public]
            if spec.split.of(colour) <= min(one.of(colour) for one in now) and known is not None:
                continue
            if spec.split.of(colour) == 0:
                continue
            self._well(colour)

    def _well(self, colour: Colour) -> None:
        group = self._terms.groups[colour]
        targets = self._balancer.targets(group)
        if any(target.state == "healthy" for target in targets):
            return
        kept = "nothing was switched"
        if not targets:
            raise Temporary(
                f"the target group {group.name} of {colour} has no target: users would get 503; {kept}",
                retry_after=CHECKED_AFTER,
                hint="See that the environment registers its targets in this group.",
            )
        if all(target.state == "unused" for target in targets) and self._attach(group):
            raise Temporary(
                f"the target group {group.name} of {colour} was in none of the listeners, so its targets were not checked; "
                f"it is now, with no weight; {kept}",
                retry_after=CHECKED_AFTER,
            )
        raise Temporary(
            f"the target group {group.name} of {colour} has no healthy target ({reasons(targets)}): {OPEN}; {kept}",
            retry_after=CHECKED_AFTER,
            hint="See why its health check fails: path, port, security group.",
        )

    def _attach(self, group: Group) -> bool:
        """Put it into a listener's forward, with no weight: AWS checks what is in one, and only that."""
        for door in self._world.public:
            forward = door.forward
            if forward.other or group.arn in forward.weights or not forward.sent:
                continue
            weights = {**forward.weights, group.arn: 0}
            self._balancer.tell(door, actions.write(door.actions, Forward(weights, forward.sticky)))
            return True
        return False

    def _changes(self, spec: RoutingSpec) -> Sequence[tuple[Door, Forward]]:
        """What has to be changed, the test route first."""
        arns, found = self._terms.arns, []
        if self._world.test is not None:
            shares = Split.all_to(spec.test) if spec.test else Split.none()
            if self._terms.shares(self._world.test) != shares:
                found.append((self._world.test, actions.wanted(shares, arns)))
        wanted = actions.wanted(spec.split, arns, self._terms.sticky)
        found += [(door, wanted) for door in self._world.public if not actions.same(door.forward, wanted, arns)]
        return found

    def _record(self, spec: RoutingSpec, epoch: int, now: float, service: str, *, moves: bool) -> Record:
        known = self._world.record
        essence = record.essence(spec, self._terms.sticky)
        # Without a record, the count goes on from a number that was never reached.
        sequence = known.sequence if known else int(now * 1000)
        if known is None or known.essence != essence:
            sequence += 1
        if known is not None and not moves:
            return Record(service, spec, epoch, sequence, essence, True, known.at, known.before)
        shown = {self._terms.shares(door) for door in self._world.public} - {spec.split}
        before = shown.pop() if len(shown) == 1 else (None if shown else spec.split)
        return Record(service, spec, epoch, sequence, essence, True, int(now), before)

    def _send(self, door: Door, forward: Forward) -> None:
        try:
            self._balancer.tell(door, actions.write(door.actions, forward))
        except Refusal as error:
            if not forward.to_nobody or error.code not in _NO_WEIGHT or "stickiness" in error.message:
                raise
            # With a fixed answer nobody is sent anywhere either; but then the groups are in no listener.
            nobody = Forward(other=f"fixed-response {actions.NOBODY}")
            self._balancer.tell(door, actions.write(door.actions, nobody))
