"""The Terraform module: written well, refusing bad input, and its next `apply` leaves alone what a release has moved."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.rigs.aws_front import REGION, moto
from tests.rigs.terraform import INFRA, Complete, Terraform, complete, copied, need_provider, need_terraform

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("terraform")]
STAGE = Path(__file__).with_name("stage")


def test_it_is_formatted(tmp_path: Path) -> None:
    need_terraform()
    terraform = Terraform(tmp_path)
    said = [terraform.run("fmt", "-check", "-recursive", str(folder)) for folder in (INFRA, STAGE)]
    assert said == ["", ""]


@pytest.mark.parametrize("example", ["ecs", "asg"])
def test_an_example_is_valid(tmp_path: Path, example: str) -> None:
    need_provider()
    terraform = Terraform(copied(tmp_path / "terraform") / "examples" / example)
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
    with moto() as upstream:
        for front in complete(upstream):
            terraform = Terraform(folder / "stage", front.url, begun(front.url))
            terraform.init()
            terraform.apply()
            yield Account(terraform, front, **terraform.output())


def test_the_second_plan_is_empty(account: Account) -> None:
    assert account.terraform.plan() == ""
