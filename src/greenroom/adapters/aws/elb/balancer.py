"""The calls of Elastic Load Balancing that the router makes: few, and each said once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

from greenroom.adapters.aws.client import Client
from greenroom.adapters.aws.elb.actions import Action, Forward, name, read
from greenroom.adapters.aws.elb.settings import AlbSettings, is_rule, name_of
from greenroom.adapters.aws.troubles import Refusal
from greenroom.domain.model import Colour
from greenroom.errors import Permanent

_ELB = "elbv2"
_TAGGED_AT_ONCE = 20
_EFFECTIVE = (
    "Protocol",
    "ProtocolVersion",
    "Port",
    "TargetType",
    "VpcId",
    "IpAddressType",
    "HealthCheckEnabled",
    "HealthCheckProtocol",
    "HealthCheckPort",
    "HealthCheckPath",
    "HealthCheckIntervalSeconds",
    "HealthCheckTimeoutSeconds",
    "HealthyThresholdCount",
    "UnhealthyThresholdCount",
)


@dataclass(frozen=True, slots=True)
class Group:
    """A target group. What is here does not change as long as it exists, but `balancers`: where it is attached."""

    name: str
    arn: str
    port: int
    protocol: str
    vpc: str
    kind: str
    balancers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """`state`: healthy, initial, unhealthy, draining, unused, unavailable. `why`: AWS's words for it."""

    address: str
    state: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Door:
    """A listener or a rule. `conditions`: of a rule. `protocol`, `port`: of a listener."""

    arn: str
    actions: Sequence[Action]
    protocol: str = ""
    port: int = 0
    conditions: Sequence[Mapping[str, Any]] = ()

    @property
    def forward(self) -> Forward:
        return read(self.actions)

    def __str__(self) -> str:
        return f"the {'rule' if is_rule(self.arn) else 'listener'} {name(self.arn)}"


class Balancer:
    """Asks and tells AWS. Remembers only what does not change: groups, the load balancer's name."""

    def __init__(self, client: Client, settings: AlbSettings) -> None:
        self._client, self._settings = client, settings
        self._lock = Lock()
        self._groups: dict[Colour, Group] = {}
        self._described: Mapping[str, Any] = {}

    # asking

    def groups(self) -> Mapping[Colour, Group]:
        """By colour; asked once."""
        with self._lock:
            if not self._groups:
                self._groups = self.groups_anew()
            return self._groups

    def groups_anew(self) -> dict[Colour, Group]:
        given = {Colour.BLUE: self._settings.target_groups.blue, Colour.GREEN: self._settings.target_groups.green}
        by_arn = {one for one in given.values() if ":" in one}
        found: list[Mapping[str, Any]] = []
        for parameter, names in (("TargetGroupArns", by_arn), ("Names", set(given.values()) - by_arn)):
            if names:
                about = "the target groups " + ", ".join(sorted(map(name_of, names)))
                found += self._all("describe_target_groups", "TargetGroups", about, **{parameter: sorted(names)})
        known = {raw["TargetGroupName"]: raw for raw in found}
        absent = [name_of(one) for one in given.values() if name_of(one) not in known]
        if absent:
            raise Permanent(f"AWS in {self._client.region} has no target group {absent[0]}.")
        return {colour: _group(known[name_of(one)]) for colour, one in given.items()}

    def doors(self, arns: Iterable[str]) -> dict[str, Door]:
        """Listeners and rules by ARN, those that are there."""
        arns = list(arns)
        rules, listeners = [arn for arn in arns if is_rule(arn)], [arn for arn in arns if not is_rule(arn)]
        found: dict[str, Door] = {}
        if listeners:
            for raw in self._all("describe_listeners", "Listeners", _about(listeners), ListenerArns=listeners):
                port, protocol = int(raw.get("Port", 0)), str(raw.get("Protocol", ""))
                found[raw["ListenerArn"]] = Door(raw["ListenerArn"], raw.get("DefaultActions", ()), protocol, port)
        if rules:
            for raw in self._all("describe_rules", "Rules", _about(rules), RuleArns=rules):
                conditions = raw.get("Conditions", ())
                found[raw["RuleArn"]] = Door(raw["RuleArn"], raw.get("Actions", ()), conditions=conditions)
        return found

    def tags(self, arns: Sequence[str]) -> dict[str, dict[str, str]]:
        said = self._client.read(_ELB, "describe_tags", _about(arns), ResourceArns=list(arns[:_TAGGED_AT_ONCE]))
        return {
            one["ResourceArn"]: {tag["Key"]: str(tag.get("Value", "")) for tag in one.get("Tags", ())}
            for one in said["TagDescriptions"]
        }

    def targets(self, group: Group) -> tuple[Target, ...]:
        """With what is leaving it, too."""
        about = f"the target group {group.name}"
        try:
            said = self._client.read(_ELB, "describe_target_health", about, TargetGroupArn=group.arn)
        except Refusal as error:
            if missing(error):  # made anew, perhaps, under the same name
                self._groups = {}
            raise
        return tuple(
            Target(
                str(one["Target"]["Id"]),
                str(one["TargetHealth"].get("State", "")),
                str(one["TargetHealth"].get("Description") or one["TargetHealth"].get("Reason") or ""),
            )
            for one in said["TargetHealthDescriptions"]
        )

    def attributes(self, group: Group) -> dict[str, str]:
        about = f"the target group {group.name}"
        said = self._client.read(_ELB, "describe_target_group_attributes", about, TargetGroupArn=group.arn)
        return {one["Key"]: str(one.get("Value", "")) for one in said["Attributes"]}

    def facts(self, colour: Colour) -> dict[str, str]:
        """All of a group that must not differ between the colours, in AWS's words."""
        group = self.groups()[colour]
        about = f"the target group {group.name}"
        [raw] = self._all("describe_target_groups", "TargetGroups", about, TargetGroupArns=[group.arn])
        found = {key: str(raw[key]) for key in _EFFECTIVE if raw.get(key) is not None}
        found |= {f"Matcher.{key}": str(value) for key, value in (raw.get("Matcher") or {}).items()}
        return found | self.attributes(group)

    def described(self) -> Mapping[str, Any]:
        """The load balancer of the first listener or rule: its DNS name, VPC, state. Asked once."""
        with self._lock:
            if not self._described:
                arn = balancer_of(self._settings.public[0])
                about = f"the load balancer {name(arn)}"
                [self._described] = self._all("describe_load_balancers", "LoadBalancers", about, LoadBalancerArns=[arn])
            return self._described

    def confirm(self) -> None:
        self._client.confirm()

    # telling

    def tell(self, door: Door, actions: Sequence[Action]) -> None:
        if is_rule(door.arn):
            self._client.write(_ELB, "modify_rule", str(door), RuleArn=door.arn, Actions=list(actions))
        else:
            self._client.write(_ELB, "modify_listener", str(door), ListenerArn=door.arn, DefaultActions=list(actions))

    def tag(self, arns: Sequence[str], tags: Mapping[str, str]) -> None:
        given = [{"Key": key, "Value": value} for key, value in tags.items()]
        self._client.write(_ELB, "add_tags", _about(arns), ResourceArns=list(arns), Tags=given)

    def untag(self, arns: Sequence[str], keys: Sequence[str]) -> None:
        self._client.write(_ELB, "remove_tags", _about(arns), ResourceArns=list(arns), TagKeys=list(keys))

    def _all(self, operation: str, key: str, about: str, **parameters: Any) -> list[Mapping[str, Any]]:
        pages = self._client.pages(_ELB, operation, about, **parameters)
        return [raw for page in pages for raw in page.get(key, ())]


def missing(error: Refusal) -> bool:
    """AWS says that something that was named is not there."""
    return error.code in {"ListenerNotFound", "RuleNotFound", "TargetGroupNotFound", "LoadBalancerNotFound"}


def balancer_of(arn: str) -> str:
    """The load balancer's ARN, of a listener's or a rule's."""
    head, _, rest = arn.partition(":listener-rule/" if is_rule(arn) else ":listener/")
    return f"{head}:loadbalancer/{'/'.join(rest.split('/')[:3])}"


def _group(raw: Mapping[str, Any]) -> Group:
    return Group(
        raw["TargetGroupName"],
        raw["TargetGroupArn"],
        int(raw.get("Port") or 0),
        str(raw.get("Protocol") or ""),
        str(raw.get("VpcId") or ""),
        str(raw.get("TargetType") or "instance"),
        tuple(raw.get("LoadBalancerArns") or ()),
    )


def _about(arns: Sequence[str]) -> str:
    kind = "rule" if all(map(is_rule, arns)) else "listener"
    if len(arns) == 1:
        return f"the {kind} {name(arns[0])}"
    return f"{len(arns)} {kind}s of the load balancer {name(balancer_of(arns[0])).partition('/')[0]}"
