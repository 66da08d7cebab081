"""Actions of listeners and rules: where they send requests, read from every shape that AWS gives, and written in one.

AWS gives a forward as `TargetGroupArn`, as `ForwardConfig`, or as both. Before it may stand actions that sign users in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from greenroom.domain.model import Colour, Split

Action: TypeAlias = Mapping[str, Any]
HEAVIEST = 999
"""The largest weight that AWS takes."""
NOBODY = 503


@dataclass(frozen=True, slots=True)
class Forward:
    """`weights` by group's ARN, 0 included. `sticky`: seconds, 0 for not. `other`: what is done in place of forwarding."""

    weights: Mapping[str, int] = field(default_factory=dict)
    sticky: int = 0
    other: str = ""

    @property
    def sent(self) -> frozenset[str]:
        """Groups that get something."""
        return frozenset(arn for arn, weight in self.weights.items() if weight)

    @property
    def to_nobody(self) -> bool:
        return self.other.startswith("fixed-response") if self.other else not self.sent

    def __str__(self) -> str:
        if self.other:
            return self.other
        return ", ".join(f"{name(arn)} {weight}" for arn, weight in self.weights.items()) or "nothing"


def read(actions: Sequence[Action]) -> Forward:
    """Where these actions send a request in the end."""
    last = max(actions, key=lambda action: int(action.get("Order", 0)), default=None)
    last = next((one for one in actions if one.get("Type") in ("forward", "fixed-response", "redirect")), last)
    if last is None:
        return Forward(other="nothing")
    if last.get("Type") == "fixed-response":
        return Forward(other=f"fixed-response {last.get('FixedResponseConfig', {}).get('StatusCode', '')}".rstrip())
    if last.get("Type") != "forward":
        return Forward(other=str(last.get("Type")))
    config = last.get("ForwardConfig") or {}
    named = {one["TargetGroupArn"]: int(one.get("Weight", 1)) for one in config.get("TargetGroups") or ()}
    if len(named) <= 1:  # alone, a group gets everything, whatever weight it has
        named = dict.fromkeys(named or ([last["TargetGroupArn"]] if last.get("TargetGroupArn") else []), 1)
    stickiness = config.get("TargetGroupStickinessConfig") or {}
    return Forward(named, int(stickiness.get("DurationSeconds") or 0) if stickiness.get("Enabled") else 0)


def write(before: Sequence[Action], wanted: Forward) -> list[Action]:
    """The actions that send there, with what signs users in before them."""
    if any(not 0 <= weight <= HEAVIEST for weight in wanted.weights.values()):
        raise ValueError(f"{wanted} holds a weight that AWS does not take")
    first = [_kept(one) for one in before if str(one.get("Type")).startswith(("authenticate-", "jwt-"))]
    last: dict[str, Any]
    if wanted.other:
        text = {"StatusCode": str(NOBODY), "ContentType": "text/plain", "MessageBody": "Nothing is released here."}
        last = {"Type": "fixed-response", "FixedResponseConfig": text}
    else:
        groups = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in wanted.weights.items()]
        sticky: dict[str, Any] = {"Enabled": bool(wanted.sticky)}
        if wanted.sticky:
            sticky["DurationSeconds"] = wanted.sticky
        last = {"Type": "forward", "ForwardConfig": {"TargetGroups": groups, "TargetGroupStickinessConfig": sticky}}
    if not first:
        return [last]
    return [{**one, "Order": number} for number, one in enumerate([*first, last], start=1)]


def _kept(action: Action) -> Action:
    """AWS does not tell a client's secret; it takes the action back with the word that it stays."""
    if action.get("Type") != "authenticate-oidc":
        return action
    config = {key: value for key, value in action["AuthenticateOidcConfig"].items() if key != "ClientSecret"}
    return {**action, "AuthenticateOidcConfig": {**config, "UseExistingClientSecret": True}}


def split(forward: Forward, groups: Mapping[Colour, str]) -> Split | None:
    """Shares in whole percent; None where anything but the two groups gets something. What gets something is never 0."""
    if forward.to_nobody:
        return Split.none()
    if forward.other or forward.sent - set(groups.values()):
        return None
    weights = {colour: forward.weights.get(arn, 0) for colour, arn in groups.items()}
    total = sum(weights.values())
    for colour in Colour:
        if weights[colour] == total:
            return Split.all_to(colour)
    blue = min(99, max(1, round(100 * weights[Colour.BLUE] / total)))
    return Split(blue, 100 - blue)


def wanted(shares: Split, groups: Mapping[Colour, str], sticky: float | None = None) -> Forward:
    """With both groups in it: AWS checks the health of those that are, and of no others.

    Stickiness only while both have a share: a client's cookie goes before the weights, and would keep it on a colour that
    has none.
    """
    mixed = min(shares.blue, shares.green) > 0
    return Forward({groups[c]: shares.of(c) for c in Colour}, round(sticky) if sticky and mixed else 0)


def same(one: Forward, other: Forward, groups: Mapping[Colour, str]) -> bool:
    """Whether both send alike. That a group is in it with no weight counts too; stickiness only where both have a share."""
    if one.to_nobody and other.to_nobody:
        return True
    exact = (one.other, dict(one.weights)) == (other.other, dict(other.weights))
    alike = split(one, groups) is not None and split(one, groups) == split(other, groups)
    return (exact or (alike and one.weights.keys() == other.weights.keys())) and one.sticky == other.sticky


def name(arn: str) -> str:
    """A group's or load balancer's name, for people; a listener's is its end."""
    parts = arn.split("/")
    if ":targetgroup/" in arn:
        return parts[1]
    return "/".join(parts[2:]) if len(parts) > 2 else arn
