"""What Greenroom must be allowed to do in an account: every operation that its source asks for, on which resources.

The table below is held against the source by a test: an operation that is not in it, or is in it and asked for nowhere,
fails. From it come the policies: of `greenroom init`, of the Terraform module (`rights.json`) and in the guide.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

PARTS = {
    "journal": "the record and the lock, in DynamoDB",
    "create": "to make that table: `create: true`",
    "cloudwatch": "metrics and alarms",
    "alb": "the router `alb`",
    "route53": "the router `route53`",
    "ecs": "the environment `ecs`",
    "live": "the notifier `ssm`: who is live, for other tools",
    "kept": "the notifier `s3`: what is left of a release",
    "static": "the router `static` with `bucket:`",
}
"""What may be used apart; a policy is made of some of them."""

PLACES = {
    "*": "*",
    "table": "arn:{partition}:dynamodb:{region}:{account}:table/{table}",
    "listeners": "arn:{partition}:elasticloadbalancing:{region}:{account}:listener/app/{listener}",
    "rules": "arn:{partition}:elasticloadbalancing:{region}:{account}:listener-rule/app/{rule}",
    "zones": "arn:{partition}:route53:::hostedzone/{zone}",
    "changes": "arn:{partition}:route53:::change/*",
    "health checks": "arn:{partition}:route53:::healthcheck/*",
    "services": "arn:{partition}:ecs:{region}:{account}:service/{cluster}/{service}",
    "tasks": "arn:{partition}:ecs:{region}:{account}:task/{cluster}/*",
    "machines": "arn:{partition}:ecs:{region}:{account}:container-instance/{cluster}/*",
    "task definitions": "arn:{partition}:ecs:{region}:{account}:task-definition/{family}:*",
    "scaling": "arn:{partition}:application-autoscaling:{region}:{account}:scalable-target/*",
    "images": "arn:{partition}:ecr:{region}:{account}:repository/{repository}",
    "output": "arn:{partition}:logs:{region}:{account}:log-group:{log_group}:*",
    "roles": "arn:{partition}:iam::{account}:role/{role}",
    "parameter": "arn:{partition}:ssm:{region}:{account}:parameter{parameter}",
    "bucket": "arn:{partition}:s3:::{bucket}",
    "files": "arn:{partition}:s3:::{bucket}/*",
    "distribution": "arn:{partition}:cloudfront::{account}:distribution/{distribution}",
}
"""Where something may be done, as policies write it."""

_PREFIXES = {"elbv2": "elasticloadbalancing"}
_OTHERWISE = {
    "dynamodb.transact_write_items": ("dynamodb:PutItem", "dynamodb:UpdateItem"),
    "ecs.register_task_definition": ("ecs:RegisterTaskDefinition", "ecs:TagResource"),
    "s3.copy_object": ("s3:GetObject", "s3:PutObject"),
    "s3.delete_objects": ("s3:DeleteObject",),
    "s3.list_objects_v2": ("s3:ListBucket",),
}
"""Operations that policies call otherwise, or that need more than one action."""


@dataclass(frozen=True, slots=True)
class Right:
    """`operation`: as boto3 names it, `service.operation`; "": AWS asks for it on behalf of another one."""

    part: str
    operation: str
    on: str
    actions: tuple[str, ...] = ()
    passed_to: str = ""


def _rights(part: str, on: str, *operations: str) -> tuple[Right, ...]:
    return tuple(Right(part, operation, on, _actions(operation)) for operation in operations)


def _actions(operation: str) -> tuple[str, ...]:
    service, _, name = operation.partition(".")
    plain = f"{_PREFIXES.get(service, service)}:{name.title().replace('_', '')}"
    return _OTHERWISE.get(operation, (plain,))


RIGHTS: tuple[Right, ...] = (
    *_rights("journal", "table", "dynamodb.get_item", "dynamodb.put_item", "dynamodb.query", "dynamodb.update_item"),
    *_rights("journal", "table", "dynamodb.transact_write_items"),
    *_rights("create", "table", "dynamodb.create_table", "dynamodb.describe_table"),
    *_rights("create", "table", "dynamodb.update_continuous_backups"),
    # The first knows no resources; the second hides composite alarms, unless it may read all.
    *_rights("cloudwatch", "*", "cloudwatch.get_metric_data", "cloudwatch.describe_alarms"),
    *_rights("alb", "*", "elbv2.describe_listeners", "elbv2.describe_rules", "elbv2.describe_load_balancers"),
    *_rights("alb", "*", "elbv2.describe_target_groups", "elbv2.describe_target_group_attributes"),
    *_rights("alb", "*", "elbv2.describe_target_health", "elbv2.describe_tags"),
    *_rights("alb", "listeners", "elbv2.modify_listener", "elbv2.add_tags", "elbv2.remove_tags"),
    *_rights("alb", "rules", "elbv2.modify_rule", "elbv2.add_tags", "elbv2.remove_tags"),
    *_rights("route53", "zones", "route53.list_resource_record_sets", "route53.change_resource_record_sets"),
    *_rights("route53", "zones", "route53.get_hosted_zone"),
    *_rights("route53", "changes", "route53.get_change"),
    *_rights("route53", "health checks", "route53.get_health_check"),
    *_rights("route53", "*", "route53.list_hosted_zones_by_name"),
    *_rights("ecs", "services", "ecs.describe_services", "ecs.update_service", "ecs.tag_resource"),
    *_rights("ecs", "tasks", "ecs.describe_tasks"),
    *_rights("ecs", "machines", "ecs.list_tasks", "ecs.describe_container_instances"),
    *_rights("ecs", "task definitions", "ecs.register_task_definition"),
    *_rights("ecs", "*", "ecs.describe_task_definition", "ecs.list_task_definitions", "ecs.deregister_task_definition"),
    *_rights("ecs", "*", "elbv2.describe_target_groups", "elbv2.describe_target_health"),
    *_rights("ecs", "*", "application-autoscaling.describe_scalable_targets"),
    *_rights("ecs", "scaling", "application-autoscaling.register_scalable_target"),
    *_rights("ecs", "images", "ecr.describe_images"),
    *_rights("ecs", "output", "logs.get_log_events"),
    # A task definition names the roles that its tasks work as.
    Right("ecs", "", "roles", ("iam:PassRole",), passed_to="ecs-tasks.amazonaws.com"),
    *_rights("live", "parameter", "ssm.get_parameter", "ssm.put_parameter"),
    *_rights("kept", "bucket", "s3.get_bucket_location"),
    *_rights("kept", "files", "s3.put_object"),
    *_rights("static", "bucket", "s3.list_objects_v2"),
    *_rights("static", "files", "s3.get_object", "s3.put_object", "s3.copy_object", "s3.delete_objects"),
    *_rights("static", "distribution", "cloudfront.get_distribution", "cloudfront.update_distribution"),
    *_rights("static", "distribution", "cloudfront.create_invalidation", "cloudfront.get_invalidation"),
)


@dataclass
class Statement:
    """What one part may do on one place."""

    part: str
    on: str
    passed_to: str = ""
    actions: set[str] = field(default_factory=set)

    @property
    def sid(self) -> str:
        words = self.part.split() + ([] if self.on == "*" else self.on.split())
        return "".join(word.capitalize() for word in words) + ("Pass" if self.passed_to else "")


def statements(parts: Iterable[str]) -> list[Statement]:
    """What these parts need, in the order of the table. `ValueError` for a part that there is not."""
    wanted = list(parts)
    for part in wanted:
        if part not in PARTS:
            raise ValueError(f"{part!r} is no part of Greenroom; there is {', '.join(PARTS)}")
    found: dict[tuple[str, str, str], Statement] = {}
    for right in (right for right in RIGHTS if right.part in wanted):
        where = (right.part, right.on, right.passed_to)
        found.setdefault(where, Statement(*where)).actions.update(right.actions)
    return list(found.values())


def policy(parts: Iterable[str], names: Mapping[str, str | Sequence[str]]) -> dict[str, Any]:
    """A policy document. `names`: what fills the places, each of several in its turn; what there is none of is left out.

    `ValueError` if one is missing.
    """
    written = [_written(said, _filled(said, names)) for said in statements(parts)]
    return {"Version": "2012-10-17", "Statement": [statement for statement in written if statement["Resource"]]}


def _written(said: Statement, resources: Sequence[str]) -> dict[str, Any]:
    statement: dict[str, Any] = {"Sid": said.sid, "Effect": "Allow", "Action": sorted(said.actions)}
    statement["Resource"] = resources[0] if len(resources) == 1 else list(resources)
    if said.passed_to:
        statement["Condition"] = {"StringEquals": {"iam:PassedToService": said.passed_to}}
    return statement


def _filled(said: Statement, names: Mapping[str, str | Sequence[str]]) -> list[str]:
    place, given = PLACES[said.on], {"partition": "aws", **names}
    wanted = re.findall(r"\{(\w+)\}", place)
    for name in wanted:
        if name not in given:
            raise ValueError(f"what is {name!r}? `{said.part}` needs it")
    several = [[value] if isinstance(value, str) else value for value in (given[name] for name in wanted)]
    return [place.format_map(dict(zip(wanted, values, strict=True))) for values in product(*several)]


def table() -> str:
    """The same for what knows its resources itself (the Terraform module), as JSON."""
    rows = [
        {"sid": said.sid, "for": said.part, "on": said.on, "passed_to": said.passed_to, "actions": sorted(said.actions)}
        for said in statements(PARTS)
    ]
    return json.dumps(rows, indent=2) + "\n"


if __name__ == "__main__":
    print(table(), end="")
