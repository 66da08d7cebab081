"""The Terraform module: written well, refusing bad input, and its next `apply` leaves alone what a release has moved."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from greenroom.adapters.aws.ecs.settings import EcsSettings
from greenroom.adapters.aws.elb.settings import AlbSettings
from greenroom.adapters.aws.rights import policy
from greenroom.adapters.environments.ecs import EcsEnvironment
from greenroom.adapters.routers.alb import AlbRouter
from greenroom.config.starter import create, detect
from greenroom.config.starter_aws import infrastructure
from greenroom.ports import Place
from tests.rigs.aws_front import REGION, moto, nobody
from tests.rigs.terraform import INFRA, Complete, Terraform, complete, copied, need_provider, need_terraform

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("terraform"), pytest.mark.timeout(600)]
STAGE = Path(__file__).with_name("stage")


def test_it_is_formatted(tmp_path: Path) -> None:
    need_terraform()
    terraform = Terraform(tmp_path)
    said = [terraform.run("fmt", "-check", "-recursive", str(folder)) for folder in (INFRA, STAGE)]
    assert said == ["", ""]


def test_the_examples_are_valid_and_what_init_writes(tmp_path: Path) -> None:
    """All in one command: to start the provider is what takes its time."""
    need_provider()
    folder = copied(tmp_path / "terraform")
    found = detect(tmp_path / "terraform", "ecs")
    for path, text in infrastructure(found, REGION).items():
        create(folder / "init" / path, text)
    network = 'vpc_id = "vpc-1"\n  subnets = ["subnet-1", "subnet-2"]'
    calls = {"examples/ecs": network, "examples/asg": f'{network}\n  ami = "ami-1"', "init/infra": ""}
    texts = [f'module "{Path(at).name}" {{\n  source = "./{at}"\n  {given}\n}}\n' for at, given in calls.items()]
    (folder / "all.tf").write_text("".join(texts))
    terraform = Terraform(folder)
    assert terraform.run("fmt", "-check", "-recursive", "init") == ""
    terraform.init()
    assert "The configuration is valid" in terraform.run("validate", "-no-color")


def test_what_it_makes_and_what_it_refuses(tmp_path: Path) -> None:
    """`tests/*.tftest.hcl` of the module, which whoever uses it can run too."""
    need_provider()
    terraform = Terraform(copied(tmp_path / "terraform") / "modules" / "greenroom")
    terraform.init()
    assert "0 failed" in terraform.run("test", "-no-color")


@dataclass
class Account:
    """moto, with a network, two load balancers and a cluster, in which the module was applied for both platforms."""

    terraform: Terraform
    front: Complete
    shop: dict[str, Any]
    api: dict[str, Any]

    def client(self, service: str) -> Any:
        return client(self.front.url, service)

    def weights(self, listener: str) -> dict[str, int]:
        said = self.client("elbv2").describe_listeners(ListenerArns=[listener])["Listeners"][0]
        groups = said["DefaultActions"][0]["ForwardConfig"]["TargetGroups"]
        return {group["TargetGroupArn"].split("/")[1]: group["Weight"] for group in groups}


def client(url: str, service: str) -> Any:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client(service, endpoint_url=url, region_name=REGION, **keys)


def begun(url: str) -> dict[str, Any]:
    ec2, elb, ecs = (client(url, name) for name in ("ec2", "elbv2", "ecs"))
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    zones = [f"{REGION}a", f"{REGION}b"]
    made = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=zone) for n, zone in enumerate(zones)
    ]
    subnets = [subnet["Subnet"]["SubnetId"] for subnet in made]
    balancers = {
        name: elb.create_load_balancer(Name=f"{name}-theirs", Subnets=subnets)["LoadBalancers"][0]["LoadBalancerArn"]
        for name in ("shop", "api")
    }
    cluster = ecs.create_cluster(clusterName="theirs")["cluster"]["clusterArn"]
    return {"vpc_id": vpc, "subnets": subnets, "balancers": balancers, "cluster": cluster}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    need_provider()
    folder = copied(tmp_path_factory.mktemp("stage") / "terraform")
    shutil.copytree(STAGE, folder / "stage")
    shutil.copy(STAGE / "overrides" / "moto_override.tf", folder / "modules" / "greenroom")
    with moto() as upstream:
        for front in complete(upstream):
            terraform = Terraform(folder / "stage", front.url, begun(front.url))
            terraform.init()
            terraform.apply()
            yield Account(terraform, front, **terraform.output())


def test_the_second_plan_is_empty(account: Account) -> None:
    assert account.terraform.plan() == ""


def test_what_it_makes_is_what_the_adapters_want(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """What they look at before a deploy, of the outputs as people put them into the file."""
    nobody(monkeypatch)
    account.client("ecr").create_repository(repositoryName="shop")
    access = {"region": REGION, "endpoint": account.front.url, "account": Complete.account}
    shop, place = account.shop, Place("shop", Path("greenroom.yaml"), Path(".greenroom"))
    router = AlbSettings(
        **access,
        listeners=shop["listeners"],
        target_groups=shop["target_groups"],
        test_route={"listener": shop["test_listener"]},
    )
    assert AlbRouter.problems(router, place) == []
    environment = EcsSettings(
        **access,
        cluster=shop["cluster"],
        services=shop["services"],
        task_definition=shop["task_definition"],
        image=f"{Complete.account}.dkr.ecr.{REGION}.amazonaws.com/shop:{{version}}",
    )
    assert EcsEnvironment.problems(environment, place) == []


def test_the_role_of_ci_may_do_what_is_asked_for_and_no_more(account: Account) -> None:
    iam = account.client("iam")
    [attached] = iam.list_attached_role_policies(RoleName="shop-ci")["AttachedPolicies"]
    found = iam.get_policy_version(PolicyArn=attached["PolicyArn"], VersionId="v1")["PolicyVersion"]["Document"]
    doors = [arn.partition("listener/app/")[2] for arn in [*account.shop["listeners"], account.shop["test_listener"]]]
    names = {
        "region": REGION,
        "account": Complete.account,
        "table": "greenroom",
        "listener": doors,
        "rule": [],
        "cluster": "theirs",
        "service": ["shop-blue", "shop-green"],
        "family": "shop",
        "repository": "shop",
        "log_group": "/greenroom/shop",
        "role": ["shop-application", "shop-execution"],
        "parameter": "/greenroom/shop/live",
    }
    wanted = policy(["journal", "cloudwatch", "alb", "ecs", "live"], names)
    assert told(found) == told(wanted)
    [trust] = iam.get_role(RoleName="shop-ci")["Role"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert trust["Condition"]["StringLike"] == {
        "token.actions.githubusercontent.com:sub": "repo:example/shop:ref:refs/tags/v*"
    }


def told(document: dict[str, Any]) -> dict[str, Any]:
    """By name, without the order of what stands in lists."""
    return {said.pop("Sid"): {key: _sorted(value) for key, value in said.items()} for said in document["Statement"]}


def _sorted(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) else [value]


def test_ft_21_what_a_release_has_moved_is_left_alone(account: Account) -> None:
    """Users are on green, more tasks run than were said, autoscaling is held: neither the next plan sees anything to do,
    nor does the next change of something else move any of it."""
    release_on_ecs(account)
    release_on_groups(account)
    assert account.terraform.plan() == ""
    before = moved(account)
    assert before["shop"] == {"shop-blue": 0, "shop-green": 100}

    account.terraform.apply(drain=45)
    elb = account.client("elbv2")
    attributes = elb.describe_target_group_attributes(TargetGroupArn=account.shop["target_groups"]["green"])
    assert {"Key": "deregistration_delay.timeout_seconds", "Value": "45"} in attributes["Attributes"]
    assert moved(account) == before


def moved(account: Account) -> dict[str, Any]:
    """All that a release moves, as AWS says that it is."""
    ecs, elb, groups = (account.client(name) for name in ("ecs", "elbv2", "autoscaling"))
    doors = [*account.shop["listeners"], account.shop["test_listener"], *account.api["listeners"]]
    services = ecs.describe_services(cluster="theirs", services=["shop-blue", "shop-green"], include=["TAGS"])
    targets = account.client("application-autoscaling").describe_scalable_targets(ServiceNamespace="ecs")
    sizes = ("MinSize", "MaxSize", "DesiredCapacity", "LaunchTemplate", "SuspendedProcesses", "Tags")
    return {
        "shop": account.weights(account.shop["listeners"][0]),
        "test": account.weights(account.shop["test_listener"]),
        "api": account.weights(account.api["listeners"][0]),
        "marks": elb.describe_tags(ResourceArns=doors)["TagDescriptions"],
        "services": [(s["desiredCount"], s["taskDefinition"], s["tags"]) for s in services["services"]],
        "held": [target.get("SuspendedState") for target in targets["ScalableTargets"]],
        "groups": [
            {size: group.get(size) for size in sizes}
            for group in groups.describe_auto_scaling_groups()["AutoScalingGroups"]
        ],
        "live": account.client("ssm").get_parameter(Name="/greenroom/shop/live")["Parameter"]["Value"],
    }


def forward(account: Account, listener: str, groups: dict[str, str], blue: int, green: int) -> None:
    weights = [
        {"TargetGroupArn": groups["blue"], "Weight": blue},
        {"TargetGroupArn": groups["green"], "Weight": green},
    ]
    sticky = {"Enabled": True, "DurationSeconds": 600}
    config = {"TargetGroups": weights, "TargetGroupStickinessConfig": sticky}
    elb = account.client("elbv2")
    elb.modify_listener(ListenerArn=listener, DefaultActions=[{"Type": "forward", "ForwardConfig": config}])
    elb.add_tags(ResourceArns=[listener], Tags=[{"Key": "greenroom:epoch", "Value": "7"}])


def release_on_ecs(account: Account) -> None:
    """What a release writes, by boto3: a new task definition, counts, tags, the weights, the copy."""
    forward(account, account.shop["listeners"][0], account.shop["target_groups"], 0, 100)
    forward(account, account.shop["test_listener"], account.shop["target_groups"], 100, 0)
    ecs = account.client("ecs")
    container = {"name": "web", "image": "registry.example/shop:2", "memory": 512}
    made = ecs.register_task_definition(family="shop", containerDefinitions=[container])["taskDefinition"]
    for service, count in {"shop-blue": 2, "shop-green": 3}.items():
        said = ecs.update_service(
            cluster="theirs", service=service, desiredCount=count, taskDefinition=made["taskDefinitionArn"]
        )
        tags = [{"key": "greenroom:role", "value": "active"}, {"key": "greenroom:epoch", "value": "7"}]
        ecs.tag_resource(resourceArn=said["service"]["serviceArn"], tags=tags)
        account.client("application-autoscaling").register_scalable_target(
            ServiceNamespace="ecs",
            ResourceId=f"service/theirs/{service}",
            ScalableDimension="ecs:service:DesiredCount",
            SuspendedState={"DynamicScalingInSuspended": True, "ScheduledScalingSuspended": True},
        )
    account.client("ssm").put_parameter(Name="/greenroom/shop/live", Value="green", Type="String", Overwrite=True)


def release_on_groups(account: Account) -> None:
    """The same on Auto Scaling groups: a version of the template, sizes, tags, processes held, the weights."""
    forward(account, account.api["listeners"][0], account.api["target_groups"], 0, 100)
    template = account.api["launch_template"]
    ec2 = account.client("ec2")
    [before] = ec2.describe_launch_template_versions(LaunchTemplateName=template)["LaunchTemplateVersions"]
    # The whole: AWS takes the rest from `SourceVersion`, moto does not.
    data = {**before["LaunchTemplateData"], "ImageId": "ami-12c6146b", "UserData": "IyEvYmluL3NoCg=="}
    ec2.create_launch_template_version(LaunchTemplateName=template, VersionDescription="2.0", LaunchTemplateData=data)
    groups = account.client("autoscaling")
    for group, count in {"api-blue": 2, "api-green": 3}.items():
        # Apart: moto cannot start instances that have user data.
        groups.update_auto_scaling_group(AutoScalingGroupName=group, MinSize=count, MaxSize=9, DesiredCapacity=count)
        version = {"LaunchTemplateName": template, "Version": "2"}
        groups.update_auto_scaling_group(AutoScalingGroupName=group, LaunchTemplate=version)
        tag = {"ResourceType": "auto-scaling-group", "ResourceId": group, "PropagateAtLaunch": False}
        groups.create_or_update_tags(Tags=[{**tag, "Key": "greenroom:epoch", "Value": "7"}])
        groups.suspend_processes(AutoScalingGroupName=group, ScalingProcesses=["AlarmNotification"])


def test_ft_21_what_must_be_left_alone_is_named() -> None:
    """Also where Terraform's provider is not: the attributes that releases write stand in `ignore_changes`."""
    text = "\n".join(path.read_text() for path in sorted((INFRA / "modules" / "greenroom").glob("*.tf")))
    found = {}
    for kind, name, body in re.findall(r'^resource "(\w+)" "(\w+)" \{\n(.*?)^\}', text, re.M | re.S):
        ignored = re.search(r"ignore_changes = \[([^\]]*)\]", body)
        if ignored:
            found[f"{kind}.{name}"] = set(re.split(r",\s*", ignored[1].strip()))
    tags = {"tags", "tags_all"}
    sizes = {"min_size", "max_size", "desired_capacity"}
    assert found == {
        "aws_lb_listener.public": {"default_action"} | tags,
        "aws_lb_listener.test": {"default_action"} | tags,
        "aws_ecs_service.colour": {"task_definition", "desired_count"} | tags,
        "aws_appautoscaling_target.colour": {"suspended_state"},
        "aws_launch_template.both": {"image_id", "user_data", "description", "default_version"} | tags,
        "aws_autoscaling_group.colour": {"launch_template", "suspended_processes", "tag"} | sizes,
        "aws_ssm_parameter.live": {"value", "description"} | tags,
    }
