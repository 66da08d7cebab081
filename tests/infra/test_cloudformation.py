"""The CloudFormation template: right by cfn-lint, alike for both colours, and an update moves nothing of a release."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from greenroom.adapters.aws.rights import policy
from tests.rigs.aws_front import ACCOUNT, REGION, moto
from tests.rigs.terraform import Complete

FOLDER = Path(__file__).parents[2] / "infra" / "cloudformation"
TEMPLATE, STACK_POLICY = FOLDER / "greenroom.yaml", FOLDER / "stack-policy.json"
WRITTEN = {"TrafficRule", "TestRule", "BlueService", "GreenService", "Live"}
"""What releases write."""


class _Short(yaml.SafeLoader):
    """With `!Ref X` read as `{Ref: X}`, and its like."""


def _short(loader: yaml.SafeLoader, name: str, node: yaml.Node) -> dict[str, Any]:
    match node:
        case yaml.ScalarNode():
            value: Any = loader.construct_scalar(node)
        case yaml.SequenceNode():
            value = loader.construct_sequence(node, deep=True)
        case _:
            value = loader.construct_mapping(node, deep=True)  # type: ignore[arg-type]
    return {name if name in ("Ref", "Condition") else f"Fn::{name}": value}


yaml.add_multi_constructor("!", _short, Loader=_Short)


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    found: dict[str, Any] = yaml.load(TEMPLATE.read_text(encoding="utf-8"), _Short)
    return found


def test_cfn_lint_finds_nothing() -> None:
    lint = Path(sys.executable).with_name("cfn-lint")
    done = subprocess.run([lint, str(TEMPLATE)], capture_output=True, text=True, check=False, timeout=100)
    assert (done.returncode, done.stdout) == (0, "")


def test_both_colours_are_made_alike(template: dict[str, Any]) -> None:
    """CloudFormation knows no aliases, so it is written down twice; only the colour may differ."""
    made = template["Resources"]
    blue = {name: said for name, said in made.items() if name.startswith("Blue")}
    green = {name: said for name, said in made.items() if name.startswith("Green")}
    text = json.dumps(blue).replace("Blue", "Green").replace("-blue", "-green")
    assert len(blue) == 5
    assert json.loads(text) == green


def test_ft_21_nothing_can_change_in_what_a_release_moves(template: dict[str, Any]) -> None:
    """Only the template's own changes make CloudFormation write a resource; no parameter reaches the route."""
    for rule in ("TrafficRule", "TestRule"):
        named = _named(template["Resources"][rule]["Properties"])
        assert not named & set(template["Parameters"]), f"{rule} would be written when {named} change"
    for listener in ("HttpListener", "HttpsListener", "TestListener"):
        assert "Targets" not in json.dumps(template["Resources"][listener])
    for colour in ("Blue", "Green"):
        assert template["Resources"][f"{colour}Service"]["Properties"]["TaskDefinition"] == {"Ref": "Name"}


def _named(value: Any) -> set[str]:
    """What is referred to, but in conditions."""
    match value:
        case {"Ref": name}:
            return {name}
        case dict():
            return set().union(*map(_named, value.values()))
        case list():
            return set().union(*map(_named, value))
    return set()


def test_ft_21_the_stack_policy_protects_what_a_release_moves(template: dict[str, Any]) -> None:
    allowed, never, not_anew = json.loads(STACK_POLICY.read_text(encoding="utf-8"))["Statement"]
    assert (allowed["Effect"], allowed["Resource"]) == ("Allow", "*")
    assert (never["Effect"], never["Action"]) == ("Deny", "Update:*")
    assert {name.removeprefix("LogicalResourceId/") for name in never["Resource"]} == WRITTEN
    assert not_anew["Action"] == ["Update:Replace", "Update:Delete"]
    protected = {name.removeprefix("LogicalResourceId/") for name in [*never["Resource"], *not_anew["Resource"]]}
    assert protected <= set(template["Resources"])


def test_the_rights_are_those_that_are_asked_for(template: dict[str, Any]) -> None:
    values = {
        "AWS::Partition": "aws",
        "AWS::Region": REGION,
        "AWS::AccountId": ACCOUNT,
        "JournalTable": "greenroom",
        "Name": "shop",
        "Images": "shop",
        "Balancer.LoadBalancerFullName": "app/shop/50dc6c495c0c9188",
    }
    names = {
        "region": REGION,
        "account": ACCOUNT,
        "table": "greenroom",
        "listener": [],
        "rule": "shop/50dc6c495c0c9188/*",
        "cluster": "shop",
        "service": ["shop-blue", "shop-green"],
        "family": "shop",
        "repository": "shop",
        "log_group": "/greenroom/shop",
        "role": ["shop-application", "shop-execution"],
        "parameter": "/greenroom/shop/live",
    }
    found = template["Resources"]["Rights"]["Properties"]["PolicyDocument"]["Statement"]
    wanted = policy(["journal", "cloudwatch", "alb", "ecs", "live"], names)["Statement"]
    for said in wanted:
        said["Resource"] = said["Resource"] if isinstance(said["Resource"], list) else [said["Resource"]]
    for said in found:
        resources = said["Resource"] if isinstance(said["Resource"], list) else [said["Resource"]]
        said["Resource"] = [_filled(resource, values) for resource in resources]
    assert found == wanted


def _filled(resource: Any, values: dict[str, str]) -> str:
    text = resource["Fn::Sub"] if isinstance(resource, dict) else resource
    for name, value in values.items():
        text = text.replace(f"${{{name}}}", value)
    assert "$" not in text, text
    return str(text)


class Elsewhere(Complete):
    account = "321098765432"


@pytest.fixture
def account() -> Iterator[str]:
    with moto() as upstream:
        front = Elsewhere(upstream, None)
        yield front.url
        front.close()


def client(url: str, service: str) -> Any:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client(service, endpoint_url=url, region_name=REGION, **keys)


def given(url: str, **more: str) -> list[dict[str, str]]:
    ec2 = client(url, "ec2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    subnets = ",".join(subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"][:2])
    said = {"Name": "shop", "Images": "shop", "VpcId": vpc, "Subnets": subnets, "BalancerSubnets": subnets}
    said |= {"TestFrom": "203.0.113.0/24", "Repository": "example/shop"} | more
    return [{"ParameterKey": key, "ParameterValue": value} for key, value in said.items()]


@pytest.mark.filterwarnings("ignore:Tried to parse")
def test_ft_21_an_update_of_the_stack_moves_no_traffic(account: str) -> None:
    stacks, elb, ecs = (client(account, name) for name in ("cloudformation", "elbv2", "ecs"))
    body, rights = TEMPLATE.read_text(encoding="utf-8"), ["CAPABILITY_NAMED_IAM"]
    stacks.create_stack(StackName="shop", TemplateBody=body, Parameters=given(account), Capabilities=rights)
    made = {
        one["LogicalResourceId"]: one["PhysicalResourceId"]
        for one in stacks.describe_stack_resources(StackName="shop")["StackResources"]
        if "LogicalResourceId" in one  # moto leaves out what it does not know: alarms, autoscaling
    }
    weights = [(made["BlueTargets"], 0), (made["GreenTargets"], 100)]
    forward = {"TargetGroups": [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in weights]}
    elb.modify_rule(RuleArn=made["TrafficRule"], Actions=[{"Type": "forward", "ForwardConfig": forward}])
    container = {"name": "web", "image": "registry.example/shop:2", "memory": 512}
    release = ecs.register_task_definition(family="shop", containerDefinitions=[container])["taskDefinition"]
    for service in ("shop-blue", "shop-green"):
        ecs.update_service(cluster="shop", service=service, desiredCount=3, taskDefinition=release["taskDefinitionArn"])
    before = moved(account, made)
    assert before["weights"] == [0, 100]

    changed = given(account, Drain="45", Memory="1024", Most="9", Errors="9", OpenTo="198.51.100.0/24")
    stacks.update_stack(StackName="shop", TemplateBody=body, Parameters=changed, Capabilities=rights)
    revisions = ecs.list_task_definitions(familyPrefix="shop")["taskDefinitionArns"]
    found = [ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"] for arn in revisions]
    assert "1024" in [one.get("memory") for one in found], "the stack was updated"
    assert moved(account, made) == before


def moved(url: str, made: dict[str, str]) -> dict[str, Any]:
    [rule] = client(url, "elbv2").describe_rules(RuleArns=[made["TrafficRule"]])["Rules"]
    services = client(url, "ecs").describe_services(cluster="shop", services=["shop-blue", "shop-green"])
    return {
        "weights": [group["Weight"] for group in rule["Actions"][0]["ForwardConfig"]["TargetGroups"]],
        "services": [(said["desiredCount"], said["taskDefinition"]) for said in services["services"]],
    }
