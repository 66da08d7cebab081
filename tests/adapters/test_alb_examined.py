"""What is found before a deploy touches a load balancer, and the rights that its guide gives."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from greenroom.domain.model import Colour, RoutingSpec, Split
from greenroom.errors import Permanent, Temporary
from tests.rigs import aws_front
from tests.rigs.alb_stage import Stage
from tests.rigs.aws_front import Fault, Front
from tests.rigs.routing import key

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("moto")]
GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "alb.md"
BLUE, GREEN = Colour.BLUE, Colour.GREEN


@pytest.fixture(scope="session")
def front() -> Iterator[Front]:
    with aws_front.moto() as address:
        front = Front(address, None)
        yield front
        front.close()


@pytest.fixture
def staged(tmp_path: Path, front: Front, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Stage]]:
    aws_front.nobody(monkeypatch)
    with contextlib.ExitStack() as stack:
        yield lambda **settings: stack.enter_context(Stage(tmp_path, front, **settings))


@pytest.fixture
def stage(staged: Callable[..., Stage]) -> Stage:
    return staged()


def groups(blue: str, green: str) -> dict[str, Any]:
    return {"target_groups": {"blue": blue, "green": green}}


def test_a_load_balancer_that_fits_has_no_problem_and_nothing_is_changed(staged: Callable[..., Stage]) -> None:
    stage = staged(tls=True)
    assert stage.problems() == []
    assert stage.hazards(drain="5m") == []
    assert not {call for call in stage.calls() if not call.startswith(("Describe", "GetCaller"))}


def test_wrong_region_and_account_are_found_first(stage: Stage) -> None:
    [problem] = stage.problems(region="", profile="")  # the environment's, which is none
    assert "which region" in problem
    stage.calls()
    theirs = stage.alb.http.arn.replace("123456789012", "210987654321")
    [problem] = stage.problems(listeners=theirs)
    assert problem.startswith(f"router.account: {theirs} is in the account 210987654321")
    assert set(stage.calls()) == {"GetCallerIdentity"}


def test_what_is_not_there_is_named(stage: Stage) -> None:
    absent = stage.alb.http.arn[:-4] + "0000"
    [problem] = stage.problems(listeners=[absent])
    assert problem.startswith(f"router.listeners: there is no listener {absent}")
    [problem] = stage.problems(test_route={"listener": absent})
    assert problem.startswith(f"router.test_route.listener: there is no listener {absent}")
    [problem] = stage.problems(**groups("nobody", stage.alb.groups[GREEN].name))
    assert "nobody" in problem
    with pytest.raises(Permanent):
        stage.router(listeners=[absent]).observe()


def test_the_same_group_twice_is_found_behind_a_name_and_an_arn(stage: Stage) -> None:
    blue = stage.alb.groups[BLUE]
    with pytest.raises(ValueError, match="the same group"):
        stage.problems(**groups(blue.name, blue.arn))


def test_groups_that_do_not_fit_are_found(stage: Stage) -> None:
    blue = stage.alb.groups[BLUE].name
    other = stage.alb.group(f"{stage.alb.name}-o", Protocol="HTTPS", Port=8443, TargetType="instance")
    found = "\n".join(stage.problems(**groups(blue, other.name)))
    for text in (
        f"{blue} has the protocol HTTP and {other.name} HTTPS",
        f"{blue} has the target type ip and {other.name} instance",
        f"{blue} has the port 8000 and {other.name} 8443",
        f"AWS does not check {other.name} at this load balancer",
        "which is not in `target_groups`",
    ):
        assert text in found
    tcp = stage.alb.group(f"{stage.alb.name}-t", Protocol="TCP", HealthCheckPath="/")
    assert f"{tcp.name} is for TCP, and an ALB needs HTTP or HTTPS" in "\n".join(
        stage.problems(**groups(blue, tcp.name))
    )


def test_a_group_of_another_vpc_is_found(stage: Stage) -> None:
    vpc = stage.alb.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    other = stage.alb.group(f"{stage.alb.name}-v", VpcId=vpc)
    found = "\n".join(stage.problems(**groups(stage.alb.groups[BLUE].name, other.name)))
    assert f"{other.name} is in {vpc}, and the load balancer in {stage.alb.vpc}" in found


def test_a_listener_that_is_not_ours_is_found(stage: Stage) -> None:
    redirect = {"Type": "redirect", "RedirectConfig": {"Protocol": "HTTPS", "StatusCode": "HTTP_301"}}
    stage.alb.set(stage.alb.http, redirect)
    [problem] = stage.problems()
    assert "has the action redirect, and would have to forward" in problem
    stage.alb.set(stage.alb.http, stage.alb.forward({BLUE: 100, GREEN: 0}))
    stage.alb.api.add_tags(ResourceArns=[stage.alb.http.arn], Tags=_told_for("blog"))
    [problem] = stage.problems()
    assert "belongs to the service blog" in problem
    with pytest.raises(Permanent, match="belongs to the service blog"):
        stage.router().apply(RoutingSpec(Split.none()), key(99))


def _told_for(service: str) -> list[dict[str, str]]:
    tags = {"service": service, "epoch": "1", "revision": "1-a", "route": "100/0", "state": "told 1"}
    return [{"Key": f"greenroom:{name}", "Value": value} for name, value in tags.items()]


def test_stickiness_of_a_group_s_own_is_found(stage: Stage) -> None:
    attribute = {"Key": "stickiness.enabled", "Value": "true"}
    green = stage.alb.groups[GREEN]
    stage.alb.api.modify_target_group_attributes(TargetGroupArn=green.arn, Attributes=[attribute])
    [problem] = stage.problems()
    assert problem.startswith(f"router.target_groups.green: {green.name} has stickiness of its own")
    refusal = {"__type": "x#InvalidLoadBalancerAction", "message": "You must enable group stickiness on a rule"}
    stage.router().apply(RoutingSpec(Split.all_to(BLUE), stage.backend(BLUE), stage.backend(GREEN)), key())
    stage.front.faults.append(Fault("refused", "ModifyListener", body=refusal))
    with pytest.raises(Permanent, match="You must enable group stickiness"):
        stage.router().apply(RoutingSpec(Split.none()), key())


def test_what_is_live_has_to_tell_its_colour_before_a_deploy(stage: Stage) -> None:
    silent = {"observe": {"header": "x-nobody-sets"}}
    assert stage.problems(**silent) == []  # nothing is live yet
    stage.route(stage.backend(BLUE), stage.backend(GREEN))
    assert stage.problems() == []
    [problem] = stage.problems(**silent)
    assert problem.startswith(f"router.observe: answers of {stage.url} (status 200) hold neither colour nor version")
    [problem] = stage.problems(url="http://127.0.0.1:9")
    assert problem.startswith("router.observe: http://127.0.0.1:9 at 127.0.0.1: ")


def test_a_missing_right_is_named_with_action_and_resource(stage: Stage) -> None:
    for operation in ("DescribeListeners", "DescribeTargetGroups", "DescribeTags", "DescribeLoadBalancers"):
        stage.front.faults[:] = [Fault("denied", operation)]
        [problem] = stage.problems()
        assert f"denies elasticloadbalancing:{operation} on " in problem
        assert f"Allow elasticloadbalancing:{operation} on " in problem


def test_a_deregistration_delay_shorter_than_the_drain_is_a_hazard(stage: Stage) -> None:
    for colour in (BLUE, GREEN):
        attribute = {"Key": "deregistration_delay.timeout_seconds", "Value": "5"}
        stage.alb.api.modify_target_group_attributes(
            TargetGroupArn=stage.alb.groups[colour].arn, Attributes=[attribute]
        )
    found = stage.hazards(drain="30s")
    assert len(found) == 2
    assert all("router.drain: is 30 s, but" in text and "after 5 s" in text for text in found)
    assert stage.hazards(drain="5s") == []
    assert any("router.test_route: is not given" in text for text in stage.hazards(test_route=None))


def test_the_guide_s_policy_allows_what_is_done_and_no_more(stage: Stage) -> None:
    policy = json.loads(GUIDE.read_text().partition("```json\n")[2].partition("```")[0])
    allowed = {each["Sid"]: {action.partition(":")[2] for action in each["Action"]} for each in policy["Statement"]}
    alb = stage.alb
    rule = alb.rule(alb.http, "x-greenroom-test", "*", alb.forward({BLUE: 100}), 10)
    alb.settle()
    more: dict[str, Any] = {"test_route": {"rule": rule}, "url": ""}
    assert stage.problems(**more) == []
    stage.hazards(**more)
    router = stage.router(test_route={"rule": rule})
    router.apply(RoutingSpec(Split.all_to(BLUE), stage.backend(BLUE), stage.backend(GREEN), GREEN), key())
    stage.until(lambda seen: seen.settled, router)
    router.apply(RoutingSpec(Split.all_to(GREEN), stage.backend(BLUE), stage.backend(GREEN)), key())
    stage.until(lambda seen: seen.settled, router)
    assert router.reach()[0] == stage.url
    router.remove()
    assert set(stage.calls()) - {"GetCallerIdentity"} == allowed["Look"] | allowed["Switch"]


def test_ft_22_a_look_before_a_deploy_that_is_throttled_says_so(stage: Stage) -> None:
    stage.front.faults[:] = [Fault("throttle", "DescribeListeners")]
    [problem] = stage.problems()
    assert "throttles" in problem
    stage.front.faults[:] = [Fault("throttle", "DescribeListeners")]
    with pytest.raises(Temporary):
        stage.router().observe()
