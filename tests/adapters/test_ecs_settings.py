"""`environment:` of `type: ecs`: what is refused when the file is read, what before a deploy, and what is made of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from greenroom.adapters.aws.ecs import cost, foresight
from greenroom.adapters.aws.ecs.fargate import PRICES, SIZES, estimate, unplaceable
from greenroom.adapters.aws.ecs.names import EcrImage, Reference, at
from greenroom.adapters.aws.ecs.settings import EcsSettings
from greenroom.domain.model import Colour, Making, Role
from greenroom.errors import Permanent
from tests.ecs_kit import KEY, Kit
from tests.rigs.aws_front import ACCOUNT, REGION, Fault, Front, moto, nobody
from tests.rigs.ecs import Cluster, registry

SERVICES = {"blue": "shop-blue", "green": "shop-green"}
SMALL: dict[str, Any] = {"cluster": "shop", "services": SERVICES, "image": "shop:{version}", "task_definition": "shop"}
ROLE = "arn:aws:iam::123456789012:role/shop"
ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:shop/database"

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"services": {"blue": "a", "green": "a"}}, "blue and green are the same service, a"),
    ({"services": {"blue": "a b", "green": "c"}}, "'a b' is no name of an ECS service"),
    ({"task_definition": ""}, "needs `task_definition` (a pattern) or `task`"),
    ({"task": {}}, "needs `task_definition` (a pattern) or `task`"),
    ({"task_definition": "", "task": {"network": "bridge"}}, "on Fargate the network is awsvpc, not bridge"),
    ({"task_definition": "", "task": {"role": "${ROLE}"}}, "${ROLE} is not filled in here"),
    ({"env": {"KEY": "${KEY}"}}, "KEY holds ${KEY}, which everybody could read"),
    ({"env": {"HERE": "{colour}"}}, "HERE holds {colour}: a task definition is made once"),
    ({"env": {"PORT": "1"}}, "PORT is given by Greenroom"),
    ({"secrets": {"KEY": "swordfish"}}, "KEY: write where the value is: arn:aws:secretsmanager:"),
    ({"desired": 0}, "`desired` is 0, less than 1"),
    ({"desired": 2, "idle": 3}, "`desired` is 2, less than `idle`"),
    ({"image": "Shop of mine"}, "is no image"),
    ({"workers": {"web": {"services": {"blue": "x", "green": "y"}}}}, "workers.web has the name of `container`"),
    ({"workers": {"w": {"services": {"blue": "x", "green": "shop-blue"}}}}, "the ECS service shop-blue stands twice"),
    ({"account": "12"}, "String should match"),
    ({"colour": "blue"}, "Extra inputs are not permitted"),
]


@pytest.mark.parametrize(("more", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_what_is_refused_when_the_file_is_read(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as error:
        EcsSettings.model_validate({**SMALL, **more})
    assert said in str(error.value)


def test_sizes_of_fargate() -> None:
    assert not unplaceable(512, 3072)
    assert unplaceable(512, 512) == "Fargate has no tasks with 512 CPU units and 512 MiB; the nearest is 1024 MiB"
    assert unplaceable(300, 512).startswith("Fargate has no tasks with 300 CPU units; it has 256, 512, 1024")
    assert all(not unplaceable(cpu, memory) for cpu, sizes in SIZES.items() for memory in sizes)


def test_what_keep_warm_costs_is_estimated_or_not_known() -> None:
    vcpu, gigabyte = PRICES["eu-west-1"]
    assert estimate(1024, 2048, 3, 24, "eu-west-1") == pytest.approx(72 * (vcpu + 2 * gigabyte))
    arm, x86 = (estimate(256, 512, 1, 1, "us-east-1", arm=arm) or 0 for arm in (True, False))
    assert 0 < arm < x86
    assert estimate(256, 512, 1, 1, "mars-north-1") is None


def test_names_of_images_and_references() -> None:
    digest = "sha256:" + "a" * 64
    image = f"{registry()}/team/shop:v1"
    assert EcrImage.of(image) == EcrImage(ACCOUNT, REGION, "team/shop", "v1", "")
    assert EcrImage.of(f"{registry()}/shop") == EcrImage(ACCOUNT, REGION, "shop", "latest", "")
    assert EcrImage.of("docker.io/shop:1") is None
    assert at("registry.example:5000/shop:1", digest) == f"registry.example:5000/shop@{digest}"
    reference = Reference("arn:aws:ecs:x:1:task-definition/shop:7", digest, {"worker": "arn:…/shop-worker:3"})
    assert Reference.parse(str(reference)) == reference
    assert Reference.parse("arn:x") == Reference("arn:x")
    with pytest.raises(Permanent, match="without a task definition for mailer"):
        reference.of("mailer")


# --- before a deploy


@pytest.fixture(scope="module")
def upstream() -> Iterator[tuple[str, int]]:
    with moto() as address:
        yield address


@pytest.fixture
def kit(upstream: tuple[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kit]:
    """No task is ever started here."""
    nobody(monkeypatch)
    front = Front(upstream, None)
    try:
        yield Kit(Cluster(upstream, tmp_path), front, tmp_path)
    finally:
        front.close()


real = pytest.mark.real
on_moto = pytest.mark.xdist_group("ecs")


@real
@on_moto
def test_a_sound_file_has_no_problems_and_no_hazards(kit: Kit) -> None:
    assert foresight.problems(kit.settings(), kit.place) == []
    assert foresight.hazards(kit.settings(), kit.place) == []


@real
@on_moto
@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"services": {"blue": "shop-blue", "green": "nowhere"}}, "there is no ECS service nowhere in the cluster"),
        ({"cluster": "elsewhere"}, "Cluster not found"),
        ({"account": "999999999999"}, "the file wants 999999999999: nothing was done"),
        ({"container": "app"}, "goes to the container web, not app"),
        ({"port": 9000}, "goes to the port 8080, not 9000"),
        ({"task_definition": "unheard-of"}, "environment.task_definition: "),
        (
            {"task_definition": None, "task": {"cpu": 256, "memory": 4096}},
            "environment.task.memory: Fargate has no tasks with 256 CPU units and 4096 MiB; the nearest is 2048 MiB",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_would_not_work_is_said_before_anything_is_touched(kit: Kit, more: dict[str, Any], said: str) -> None:
    found = foresight.problems(kit.settings(**more), kit.place)
    assert said in "\n".join(found)
    assert all(text.startswith("environment") for text in found)
    assert not [call for call in kit.front.calls if not call.startswith(("Describe", "List", "GetCallerIdentity"))]


@real
@on_moto
def test_what_the_infrastructure_has_wrong(kit: Kit) -> None:
    blue, green = (kit.cluster.of(f"shop-{colour}") for colour in ("blue", "green"))
    kept = green.load_balancers
    green.load_balancers = blue.load_balancers
    assert "both colours are behind the target group" in "\n".join(foresight.problems(kit.settings(), kit.place))
    elsewhere = kit.cluster.group(f"{kit.cluster.name}-far", "10.9.0.0/16")
    green.load_balancers = [{**kept[0], "targetGroupArn": elsewhere}]
    assert "the target groups are in different VPCs" in "\n".join(foresight.problems(kit.settings(), kit.place))
    green.load_balancers = []
    assert "shop-green is behind no target group" in "\n".join(foresight.problems(kit.settings(), kit.place))
    green.load_balancers, green.deployment_controller = kept, {"type": "CODE_DEPLOY"}
    assert "shop-green has the deployment controller CODE_DEPLOY" in foresight.problems(kit.settings(), kit.place)[0]
    green.deployment_controller = {"type": "ECS"}
    green.deployment_configuration = {"minimumHealthyPercent": 0}
    assert "may stop all of its tasks" in foresight.hazards(kit.settings(), kit.place)[0]


@real
@on_moto
def test_a_right_that_is_missing_is_named(kit: Kit) -> None:
    text = "User: arn:aws:iam::1:user/ci is not authorized to perform: ecs:DescribeServices on resource: service/shop"
    kit.front.faults.append(Fault("denied", "DescribeServices", body={"Message": text}))
    [found] = foresight.problems(kit.settings(), kit.place)
    assert "denies ecs:DescribeServices on service/shop to arn:aws:iam::1:user/ci" in found


@real
@on_moto
def test_what_a_warm_colour_costs_is_said_of_fargate_only(kit: Kit) -> None:
    more: dict[str, Any] = {"workers": {}, "desired": 3, "task_definition": None}
    more["task"] = {"family": f"{kit.family}-own", "cpu": 512, "memory": 1024}
    assert cost.warm(kit.settings(**more), kit.place, 3600) == "", "nothing is live"
    spec = kit.spec("1", Role.ACTIVE, **more)
    kit.open(**more).apply(Colour.BLUE, spec, KEY)
    assert cost.warm(kit.settings(**more), kit.place, 3600) == "", "on machines of their own"
    kit.cluster.of("shop-blue").launch_type = "FARGATE"
    told = cost.warm(kit.settings(**more), kit.place, 7200)
    assert told.startswith("about 0.17 US$ on Fargate: 3 tasks of 0.5 vCPU and 1 GB for 2 h, by list prices of ")
    assert cost.warm(kit.settings(**more), kit.place, 0) == ""


# --- what is registered


def registered(kit: Kit, **more: Any) -> dict[str, Any]:
    kit.push("1")
    artefact, spec = kit.artefact(**more), kit.artefact_spec("1", **more)
    artefact.apply(spec, KEY)
    made = artefact.observe(spec)
    assert made.state is Making.READY, made.detail
    name = Reference.parse(made.reference).main
    told = kit.cluster.api["ecs"].describe_task_definition(taskDefinition=name, include=["TAGS"])
    return {**told["taskDefinition"], "tags": {tag["key"]: tag["value"] for tag in told["tags"]}}


@real
@on_moto
def test_a_copy_of_the_pattern_with_the_image_replaced(kit: Kit) -> None:
    sidecar = {"name": "agent", "image": "agent:3", "memory": 64}
    [pattern] = kit.cluster.api["ecs"].list_task_definitions(familyPrefix=kit.family)["taskDefinitionArns"]
    told = kit.cluster.api["ecs"].describe_task_definition(taskDefinition=pattern)["taskDefinition"]
    kit.cluster.api["ecs"].register_task_definition(
        family=kit.family,
        cpu="256",
        memory="512",
        taskRoleArn=ROLE,
        containerDefinitions=[*told["containerDefinitions"], sidecar],
    )
    made = registered(kit, workers={}, env={"GREETING": "{version} at {port}"}, secrets={"DATABASE_URL": ARN})
    main, other = made["containerDefinitions"]
    assert main["image"].startswith(f"{registry()}/{kit.repository}@sha256:")
    assert {entry["name"]: entry["value"] for entry in main["environment"]} == {
        "GREETING": "1 at 8080",
        "PORT": "8080",
        "GREENROOM_SERVICE": "shop",
        "GREENROOM_VERSION": "1",
        "GREENROOM_RELEASE": "r-1",
    }
    assert main["secrets"] == [{"name": "DATABASE_URL", "valueFrom": ARN}]
    assert (other["name"], other["image"], made["taskRoleArn"], made["cpu"]) == ("agent", "agent:3", ROLE, "256")
    assert made["tags"]["greenroom:release"] == "r-1"


@real
@on_moto
def test_what_the_file_says_is_made(kit: Kit) -> None:
    task = {
        "family": f"{kit.family}-own",
        "cpu": 512,
        "memory": 1024,
        "architecture": "arm64",
        "execution_role": ROLE,
        "command": ["serve", "{port}"],
        "log_group": "/shop",
        "containers": {"agent": {"image": "agent:3", "essential": False, "env": {"A": "b"}}},
    }
    made = registered(kit, task_definition=None, task=task, workers={})
    main, agent = made["containerDefinitions"]
    assert (made["cpu"], made["memory"], made["networkMode"]) == ("512", "1024", "awsvpc")
    assert made["runtimePlatform"]["cpuArchitecture"] == "ARM64"
    assert made["requiresCompatibilities"] == ["FARGATE"]
    assert (main["command"], main["portMappings"][0]["containerPort"]) == (["serve", "8080"], 8080)
    assert main["logConfiguration"]["options"]["awslogs-stream-prefix"] == "shop"
    assert (agent["essential"], agent["environment"]) == (False, [{"name": "A", "value": "b"}])


@real
@on_moto
def test_an_image_that_is_not_there_is_said_before_anything_is_registered(kit: Kit) -> None:
    artefact, spec = kit.artefact(), kit.artefact_spec("9")
    kit.push("1")
    artefact.apply(spec, KEY)
    told = artefact.observe(spec)
    assert (told.state, "RegisterTaskDefinition" in kit.front.calls) == (Making.FAILED, False)
    assert f"There is no image {registry()}/{kit.repository}:9 in the registry {ACCOUNT}" in told.detail
    assert "Push it first" in told.detail
    other = kit.settings(image=f"{registry()}/nothing:{{version}}").image
    spec = kit.artefact_spec("8", image=other)
    artefact.apply(spec, KEY)
    assert "There is no repository nothing" in artefact.observe(spec).detail


@real
@on_moto
def test_an_image_elsewhere_is_told_not_to_be_pinned(kit: Kit) -> None:
    artefact = kit.artefact(workers={})
    spec = kit.artefact_spec("1", image="docker.io/shop:{version}", workers={})
    artefact.apply(spec, KEY)
    told = artefact.observe(spec)
    assert told.state is Making.READY
    assert "docker.io/shop:1 is not pinned" in told.detail
    assert "@" not in told.reference


@real
@on_moto
def test_sizes_that_nobody_has_are_not_registered(kit: Kit) -> None:
    kit.push("1")
    more = {"task_definition": None, "task": {"cpu": 256, "memory": 8192}, "workers": {}}
    artefact, spec = kit.artefact(**more), kit.artefact_spec("1", **more)
    artefact.apply(spec, KEY)
    assert "the nearest is 2048 MiB" in artefact.observe(spec).detail
    assert "RegisterTaskDefinition" not in kit.front.calls
