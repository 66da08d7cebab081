"""What is wrong with the load balancer, before anything is touched: each with its way out. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from greenroom.adapters.aws.client import Client
from greenroom.adapters.aws.elb import record
from greenroom.adapters.aws.elb.asking import Asking
from greenroom.adapters.aws.elb.balancer import Balancer, Door, Group, balancer_of, missing
from greenroom.adapters.aws.elb.reaching import Reach, asking_for
from greenroom.adapters.aws.elb.record import Record
from greenroom.adapters.aws.elb.settings import AlbSettings, is_rule
from greenroom.adapters.aws.troubles import Refusal
from greenroom.domain.model import Colour, Split
from greenroom.errors import PortError
from greenroom.ports import Place

DELAY = "deregistration_delay.timeout_seconds"


def kind(arn: str) -> str:
    return "rule" if is_rule(arn) else "listener"


def key_of(settings: AlbSettings, arn: str) -> str:
    """Where it stands in the file."""
    if arn == settings.test:
        return f"router.test_route.{kind(arn)}"
    return f"router.{kind(arn)}s"


def problems(settings: AlbSettings, place: Place) -> list[str]:
    try:
        client = Client(settings)
        if found := _elsewhere(settings, client):
            return found
        balancer = Balancer(client, settings)
        doors, found = _doors(settings, balancer)
        groups = balancer.groups_anew()
        if found:
            return found
        known, found = _tagged(settings, place, balancer, groups)
        found = [*_groups(groups), *_forwards(settings, doors, groups), *found]
        found = [*found, *_attached(balancer, groups), *_sticky(balancer, groups)]
        return found or _unheard(settings, balancer, known)
    except PortError as error:
        return [f"router: {error.message} {error.hint}".strip()]


def hazards(settings: AlbSettings) -> list[str]:
    found = []
    if settings.observe is None:
        found.append(
            "router.observe: is not given, so that the traffic has moved is not seen but taken from AWS's answer, "
            f"healthy targets and {settings.settle:g} s of waiting: let an answer hold its colour, like "
            "`observe: {header: x-greenroom-colour}`, which the application sets to GREENROOM_COLOUR"
        )
    if settings.test_route is None:
        found.append(
            "router.test_route: is not given, so the idle colour cannot be asked before users reach it: give it a "
            "listener or a rule of its own"
        )
    try:
        balancer = Balancer(Client(settings), settings)
        return found + [text for group in balancer.groups().values() for text in _delays(settings, balancer, group)]
    except PortError:
        return found  # `problems` says why


def _elsewhere(settings: AlbSettings, client: Client) -> list[str]:
    """Region and account, which every ARN names."""
    client.confirm()
    groups = (settings.target_groups.blue, settings.target_groups.green)
    for arn in (*settings.public, settings.test, *groups):
        if ":" not in arn:
            continue
        _, _, _, region, account, _ = arn.split(":", 5)
        if region != client.region:
            return [f"router.region: {arn} is in {region}, and we ask {client.region}: give `region: {region}`"]
        if account != client.account:
            return [
                f"router.account: {arn} is in the account {account}, and these are credentials of {client.account}: use "
                "those of that account"
            ]
    return []


def _doors(settings: AlbSettings, balancer: Balancer) -> tuple[dict[str, Door], list[str]]:
    """Those that are there, one after the other where AWS does not say which is not."""
    arns = [*settings.public, *([settings.test] if settings.test else [])]
    try:
        doors = balancer.doors(arns)
    except Refusal as error:
        if not missing(error):
            raise
        doors = {}
        for arn in arns:
            try:
                doors |= balancer.doors([arn])
            except Refusal as one:
                if not missing(one):
                    raise
    found = [
        f"{key_of(settings, arn)}: there is no {kind(arn)} {arn}: see `aws elbv2 describe-listeners`"
        for arn in arns
        if arn not in doors
    ]
    balancers = {balancer_of(arn) for arn in arns}
    if len(balancers) > 1:
        found.append(
            f"router.listeners: are of {len(balancers)} load balancers ({', '.join(sorted(balancers))}), and a target group "
            "can be behind one only: give those of one"
        )
    rule = doors.get(settings.test)
    if rule is not None and is_rule(rule.arn):
        try:
            asking_for(rule)
        except PortError as error:
            found.append(f"router.test_route.rule: {error.message}: {error.hint}")
    return doors, found


def _groups(groups: Mapping[Colour, Group]) -> list[str]:
    blue, green = groups[Colour.BLUE], groups[Colour.GREEN]
    if blue.arn == green.arn:
        return [f"router.target_groups: blue and green are the same group {blue.name}: nothing could be switched"]
    found = []
    for what, one, other in (
        ("protocol", blue.protocol, green.protocol),
        ("target type", blue.kind, green.kind),
        ("port", str(blue.port), str(green.port)),
    ):
        if one != other:
            found.append(
                f"router.target_groups: {blue.name} has the {what} {one} and {green.name} {other}: both colours run the "
                "same, so make their groups alike"
            )
    for group in (blue, green):
        if group.protocol not in ("HTTP", "HTTPS"):
            found.append(f"router.target_groups: {group.name} is for {group.protocol}, and an ALB needs HTTP or HTTPS")
    return found


def _forwards(settings: AlbSettings, doors: Mapping[str, Door], groups: Mapping[Colour, Group]) -> list[str]:
    """A listener that forwards to others is not ours to move."""
    ours, found = {group.arn for group in groups.values()}, []
    for door in doors.values():
        forward, key = door.forward, key_of(settings, door.arn)
        if strange := [arn for arn in forward.weights if arn not in ours]:
            found.append(
                f"{key}: {door} forwards to {strange[0]}, which is not in `target_groups`: it is not this service's, or "
                "that group has to be taken out of it first"
            )
        elif forward.other and not forward.to_nobody:
            found.append(
                f"{key}: {door} has the action {forward.other}, and would have to forward: give the {kind(door.arn)} that "
                "sends users to the groups (one that leads from HTTP to HTTPS stays as it is)"
            )
    return found


def _tagged(
    settings: AlbSettings, place: Place, balancer: Balancer, groups: Mapping[Colour, Group]
) -> tuple[Record | None, list[str]]:
    """What was told last, if anything was; and who by, if not by us."""
    names, known = {colour: group.name for colour, group in groups.items()}, None
    for arn, tags in balancer.tags(settings.public).items():
        try:
            known = record.read(tags, names) or known
        except ValueError:
            continue  # told anew, it is whole again
        if known is not None and known.service != place.service:
            return known, [
                f"{key_of(settings, arn)}: {arn} belongs to the service {known.service}: give each service a listener or a "
                "rule of its own; if that service is gone, remove the tags greenroom:… there"
            ]
    return known, []


def _unheard(settings: AlbSettings, balancer: Balancer, known: Record | None) -> list[str]:
    """What is live now has to tell its colour, or no switch could be seen."""
    if settings.observe is None or known is None or known.spec.split == Split.none():
        return []
    urls = Reach(balancer, settings).asked()
    heard = Asking(settings.observe, urls).hear()
    if heard.values:
        return []
    if heard.refused:
        statuses = ", ".join(map(str, sorted(heard.refused)))
        return [
            f"router.observe: answers of {', '.join(urls)} (status {statuses}) hold neither colour nor version where it "
            "says: correct it; or release once without it, if only the next version tells"
        ]
    return [
        f"router.observe: {'; '.join(heard.silent[:2]) or 'nothing answers'}: give in `url` an address that this machine "
        "reaches, or leave `observe` out"
    ]


def _attached(balancer: Balancer, groups: Mapping[Colour, Group]) -> list[str]:
    """A group that no listener knows is not checked, so nothing in it would ever become healthy."""
    described, found = balancer.described(), []
    arn, vpc = described["LoadBalancerArn"], described.get("VpcId")
    for colour, group in groups.items():
        if vpc and group.vpc and group.vpc != vpc:
            found.append(
                f"router.target_groups.{colour}: {group.name} is in {group.vpc}, and the load balancer in {vpc}: it can "
                "only forward to groups of its own VPC"
            )
        elif arn not in group.balancers:
            elsewhere = f"it is behind {group.balancers[0]}" if group.balancers else "it is in none of its listeners"
            found.append(
                f"router.target_groups.{colour}: AWS does not check {group.name} at this load balancer ({elsewhere}), so "
                f"nothing in it would become healthy: put it into the listener's forward with the weight 0, or into the "
                "test route's"
            )
    return found


def _sticky(balancer: Balancer, groups: Mapping[Colour, Group]) -> list[str]:
    """AWS then wants the forward to be sticky too, and its cookie goes before the weights."""
    return [
        f"router.target_groups.{colour}: {group.name} has stickiness of its own (stickiness.enabled), which would hold "
        "clients on the old colour whatever the weights are: switch it off, and keep sessions where both colours find them"
        for colour, group in groups.items()
        if balancer.attributes(group).get("stickiness.enabled") == "true"
    ]


def _delays(settings: AlbSettings, balancer: Balancer, group: Group) -> Sequence[str]:
    """How long a target that leaves may finish what it began."""
    delay = float(balancer.attributes(group).get(DELAY, 300) or 0)
    if delay < settings.drain:
        return [
            f"router.drain: is {settings.drain:g} s, but {group.name} cuts what a leaving target still does after "
            f"{delay:g} s ({DELAY}): requests that take longer than that fail when the old colour is scaled in; let it "
            "be at least the time of your slowest requests (p99), better as long as `drain`"
        ]
    return []
