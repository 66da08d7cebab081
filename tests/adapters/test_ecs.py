"""What is ECS's own: who put what back, why tasks stopped, autoscaling in a release, deaths between any two calls."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from greenroom.adapters.aws.client import Client
from greenroom.adapters.aws.ecs.looking import status
from greenroom.adapters.aws.ecs.services import Target, Task, services, tasks
from greenroom.adapters.aws.ecs.shot import Shot
from greenroom.adapters.environments.ecs import EcsEnvironment
from greenroom.domain.model import Colour, EnvironmentStatus, Health, Making, Role
from greenroom.errors import Permanent, Temporary, Uncertain
from greenroom.ports import Audible, Effective
from greenroom.testing.contracts.environment import brought, ready
from tests.ecs_kit import KEY, Kit
from tests.rigs.aws_front import Fault, Front, moto, nobody
from tests.rigs.ecs import BROKEN, Cluster

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("ecs")]
BLUE, GREEN = Colour.BLUE, Colour.GREEN
IDLE, ACTIVE = Role.IDLE, Role.ACTIVE
ALONE = {"workers": {}, "desired": 1}


@pytest.fixture(scope="module")
def upstream() -> Iterator[tuple[str, int]]:
    with moto() as address:
        yield address


@pytest.fixture
def kit(upstream: tuple[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kit]:
    nobody(monkeypatch)
    front = Front(upstream, None)
    try:
        with Cluster(upstream, tmp_path) as cluster:
            yield Kit(cluster, front, tmp_path)
    finally:
        front.close()


def scaled(kit: Kit, service: str) -> Mapping[str, Any]:
    told = kit.cluster.api["application-autoscaling"].describe_scalable_targets(
        ServiceNamespace="ecs", ResourceIds=[f"service/{kit.cluster.name}/{service}"]
    )
    return told["ScalableTargets"][0]  # type: ignore[no-any-return]


def scale(kit: Kit, *services: str) -> None:
    for service in services:
        kit.cluster.api["application-autoscaling"].register_scalable_target(
            ServiceNamespace="ecs",
            ResourceId=f"service/{kit.cluster.name}/{service}",
            ScalableDimension="ecs:service:DesiredCount",
            MinCapacity=1,
            MaxCapacity=10,
        )


def autoscaler(kit: Kit, service: str, wanted: int) -> None:
    """What an autoscaler does to a service whose load wants so many tasks."""
    now = kit.cluster.of(service).desired_count
    off = scaled(kit, service).get("SuspendedState") or {}
    if wanted < now and off.get("DynamicScalingInSuspended"):
        return
    kit.cluster.api["ecs"].update_service(cluster=kit.cluster.name, service=service, desiredCount=wanted)


def failed(kit: Kit, environment: EcsEnvironment, colour: Colour) -> EnvironmentStatus:
    kit.wait(lambda: environment.observe(colour).failed != "", "it says that it failed")
    return environment.observe(colour)


def test_ft_33_the_circuit_breaker_puts_the_old_definition_back_and_nobody_calls_it_stable(kit: Kit) -> None:
    environment = kit.open(**ALONE)
    brought(kit, environment, GREEN, kit.spec("1", IDLE, **ALONE))
    environment.apply(GREEN, kit.spec("broken", IDLE, **ALONE), replace(KEY, release="r-broken"))
    kit.wait(lambda: kit.cluster.of("shop-green").deployments[0]["taskDefinition"].endswith(":2"), "it is put back")
    kit.wait(lambda: kit.cluster.of("shop-green").deployments[0]["rolloutState"] == "COMPLETED", "it is stable")
    service = kit.cluster.of("shop-green")
    assert service.running_count == service.desired_count == 1, "ECS calls this stable"
    status = failed(kit, environment, GREEN)
    assert (status.release, status.ready, status.serving) == ("r-broken", False, False)
    assert "shop-green runs" in status.failed
    assert "circuit breaker" in status.failed
    assert "exit code 3" in status.failed
    assert "no luck" in status.failed
    environment.remove(GREEN, KEY)
    kit.wait(lambda: not environment.observe(GREEN).present, "it can be removed")


def test_without_a_circuit_breaker_tasks_that_keep_failing_are_given_up(kit: Kit) -> None:
    environment = kit.open(**ALONE)
    environment.apply(BLUE, kit.spec("broken", IDLE, **ALONE), KEY)
    status = failed(kit, environment, BLUE)
    assert re.match(r"\d+ tasks of \S+-shop:2 on shop-blue failed, and none runs\ntask [0-9a-f]{8}: ", status.failed)
    assert status.failed.endswith("it wrote last:\nreading the settings\nno luck")


def test_secrets_of_a_release_do_not_come_back_in_the_log_of_its_failure(kit: Kit) -> None:
    kit.cluster.scripts.clear()
    environment, spec = kit.open(**ALONE), kit.spec("broken", IDLE, **ALONE)
    for image in kit.cluster.scripts:
        kit.cluster.scripts[image] = BROKEN.replace("no luck", "password swordfish is wrong")
    kit.vault.pin("r-broken", {"PASSWORD": "swordfish"})
    environment.apply(BLUE, spec, KEY)
    status = failed(kit, environment, BLUE)
    assert "password ${PASSWORD} is wrong" in status.failed
    assert "swordfish" not in status.failed


def test_somebody_elses_definition_is_told_and_not_fought(kit: Kit) -> None:
    environment = kit.open(**ALONE)
    brought(kit, environment, BLUE, kit.spec("1", ACTIVE, **ALONE))
    other = kit.cluster.pattern(kit.family)
    kit.cluster.api["ecs"].update_service(cluster=kit.cluster.name, service="shop-blue", taskDefinition=other)
    status = failed(kit, environment, BLUE)
    assert "somebody else has changed it" in status.failed
    assert not status.unfinished
    assert {member.health for member in status.members} == {Health.UNHEALTHY}


def test_ft_24_what_runs_there_and_is_not_ours_is_told_and_only_removed_on_purpose(kit: Kit) -> None:
    environment = kit.open(**ALONE)
    kit.cluster.api["ecs"].update_service(cluster=kit.cluster.name, service="shop-blue", desiredCount=1)
    kit.wait(lambda: environment.observe(BLUE).present, "it is seen")
    status = environment.observe(BLUE)
    assert (status.release, status.ready) == ("", False)
    assert status.detail.startswith("not ours: shop-blue: ")
    environment.remove(BLUE, KEY)
    kit.wait(lambda: environment.observe(BLUE) == EnvironmentStatus(BLUE), "it is gone")


def test_an_unhealthy_target_is_not_ready_and_says_why(kit: Kit) -> None:
    environment = kit.open(**ALONE)
    environment.apply(BLUE, kit.spec("1", IDLE, **ALONE), KEY)
    ready(kit, environment, BLUE, IDLE)
    with kit.cluster.ailing("Target.ResponseCodeMismatch"):
        status = environment.observe(BLUE)
    assert (status.ready, status.members[0].health) == (False, Health.UNHEALTHY)
    assert "Target.ResponseCodeMismatch" in status.detail


def test_ft_47_the_candidate_gets_what_the_active_colour_runs_and_no_autoscaler_takes_it_away(kit: Kit) -> None:
    scale(kit, "shop-blue", "shop-green")
    environment = kit.open(**ALONE)
    brought(kit, environment, BLUE, kit.spec("1", ACTIVE, **ALONE))
    autoscaler(kit, "shop-blue", 3)
    ready(kit, environment, BLUE, ACTIVE)
    spec = kit.spec("2", IDLE, **ALONE)
    brought(kit, environment, GREEN, spec)
    assert len(kit.replicas(GREEN)) == 3

    autoscaler(kit, "shop-green", 1)  # it has no load
    autoscaler(kit, "shop-blue", 4)  # it has more
    kit.wait(lambda: environment.observe(GREEN).unfinished, "it lacks one")
    brought(kit, environment, GREEN, spec)
    assert len(kit.replicas(GREEN)) == 4

    brought(kit, environment, BLUE, kit.spec("1", IDLE, **ALONE))
    brought(kit, environment, GREEN, replace(spec, role=ACTIVE))
    autoscaler(kit, "shop-blue", 1)  # the way back stays as wide
    assert (kit.cluster.of("shop-blue").desired_count, kit.cluster.of("shop-green").desired_count) == (4, 4)

    environment.remove(BLUE, KEY)
    kit.wait(lambda: not environment.observe(BLUE).present, "blue is gone")
    assert not any(scaled(kit, "shop-green")["SuspendedState"].values())
    assert scaled(kit, "shop-blue")["SuspendedState"]["ScheduledScalingSuspended"], "nothing wakes up what stands idle"
    autoscaler(kit, "shop-green", 2)
    kit.wait(lambda: environment.observe(GREEN).ready, "the active colour is its own again")
    assert not environment.observe(GREEN).unfinished
    environment.remove(GREEN, KEY)
    kit.wait(lambda: not environment.observe(GREEN).present, "all is down")
    brought(kit, environment, BLUE, kit.spec("1", ACTIVE, **ALONE))
    assert not any(scaled(kit, "shop-blue")["SuspendedState"].values()), "what runs alone scales"


def test_autoscaling_that_people_have_suspended_stays_so(kit: Kit) -> None:
    scale(kit, "shop-blue", "shop-green")
    off = {"DynamicScalingInSuspended": True, "DynamicScalingOutSuspended": True, "ScheduledScalingSuspended": False}
    kit.cluster.api["application-autoscaling"].register_scalable_target(
        ServiceNamespace="ecs",
        ResourceId=f"service/{kit.cluster.name}/shop-blue",
        ScalableDimension="ecs:service:DesiredCount",
        SuspendedState=off,
    )
    environment = kit.open(**ALONE)
    brought(kit, environment, BLUE, kit.spec("1", ACTIVE, **ALONE))
    brought(kit, environment, GREEN, kit.spec("2", IDLE, **ALONE))
    assert scaled(kit, "shop-blue")["SuspendedState"] == {**off, "ScheduledScalingSuspended": True}
    environment.remove(GREEN, KEY)
    kit.wait(lambda: not environment.observe(GREEN).present, "green is gone")
    assert scaled(kit, "shop-blue")["SuspendedState"] == off


def test_an_idle_colour_may_keep_a_few_tasks(kit: Kit) -> None:
    more = {"workers": {}, "desired": 2, "idle": 1}
    environment = kit.open(**more)
    brought(kit, environment, BLUE, kit.spec("1", IDLE, **more))
    environment.remove(BLUE, KEY)
    kit.wait(lambda: environment.observe(BLUE) == EnvironmentStatus(BLUE), "it counts as absent")
    kit.wait(lambda: len(kit.replicas(BLUE)) == 1, "one is kept")
    brought(kit, environment, BLUE, kit.spec("2", IDLE, **more))
    kit.wait(lambda: len(kit.replicas(BLUE)) == 2, "all of it runs")


def test_output_and_facts_of_both_colours(kit: Kit) -> None:
    environment = kit.open()
    brought(kit, environment, BLUE, kit.spec("1", ACTIVE))
    brought(kit, environment, GREEN, kit.spec("2", IDLE))
    assert isinstance(environment, Audible)
    kit.wait(lambda: len(environment.output(BLUE, 10)) == 2, "both have said something")
    assert {(line.replica, line.text) for line in environment.output(BLUE, 10)} == {
        ("web-1", "listening"),
        ("web-2", "listening"),
    }
    assert isinstance(environment, Effective)
    blue, green = environment.inspect(BLUE), environment.inspect(GREEN)
    assert (set(blue), set(green)) == ({"web", "worker"}, {"web"})
    assert blue["web"].effective == green["web"].effective
    assert blue["web"].effective["platform.version"] == "1.4.0"
    assert re.fullmatch("sha256:[0-9a-f]{12}", blue["web"].effective["env.GREETING"])
    assert not {"env.GREENROOM_VERSION", "image"} & set(blue["web"].effective)
    scale(kit, "shop-green")
    assert environment.inspect(GREEN)["web"].effective["scaling"] == "1 to 10"


def test_ft_27_the_worker_of_the_idle_colour_stands_still(kit: Kit) -> None:
    environment = kit.open(desired=1)
    brought(kit, environment, BLUE, kit.spec("1", IDLE, desired=1))
    assert environment.observe(BLUE).role is IDLE
    assert (kit.workers(), kit.cluster.of("work-blue").desired_count) == (frozenset(), 0)


def test_ft_51_a_newer_lease_on_one_colour_is_one_on_both(kit: Kit) -> None:
    environment = kit.open(**ALONE)
    environment.apply(BLUE, kit.spec("1", IDLE, **ALONE), replace(KEY, epoch=7))
    with pytest.raises(Permanent, match=r"shop-blue was changed under a newer lease \(7\) than ours \(6\)"):
        environment.apply(GREEN, kit.spec("2", IDLE, **ALONE), replace(KEY, epoch=6))
    assert not kit.replicas(GREEN)


def test_an_old_answer_is_neither_ready_nor_a_failure(kit: Kit) -> None:
    """ECS may show for a moment what it did before it was told: not that somebody has put it back."""
    environment = kit.open(**ALONE)
    brought(kit, environment, BLUE, kit.spec("1", IDLE, **ALONE))
    brought(kit, environment, BLUE, kit.spec("2", IDLE, **ALONE))
    settings, client = kit.settings(**ALONE), kit.client
    [now] = services(client, kit.cluster.name, ["shop-blue"]).values()
    before = replace(now.primary, definition=now.primary.definition[:-1] + "2", begun=now.primary.begun - 60)
    green = services(client, kit.cluster.name, ["shop-green"])
    shot = Shot({"shop-blue": replace(now, primary=before), **green})
    old = status(settings, shot, BLUE)
    assert (old.release, old.ready, old.failed, old.unfinished) == ("r-2", False, "", False)
    later = replace(before, begun=now.primary.begun + 60)
    shot = Shot({"shop-blue": replace(now, primary=later), **green})
    assert "somebody else has changed it" in status(settings, shot, BLUE).failed


def test_what_autoscaling_adds_is_missed_by_nobody_and_a_task_that_dies_is(kit: Kit) -> None:
    environment = kit.open(**ALONE)
    brought(kit, environment, BLUE, kit.spec("1", ACTIVE, workers={}, desired=2))
    settings, client = kit.settings(**ALONE), kit.client
    [now] = services(client, kit.cluster.name, ["shop-blue"]).values()
    green = services(client, kit.cluster.name, ["shop-green"])
    seen = tasks(client, kit.cluster.name, now, stopped=False)
    behind = {BLUE: tuple(Target(task.address, 8080, "healthy") for task in seen)}
    starting = replace(seen[0], status="PROVISIONING", arn=f"{seen[0].arn}-more", address="")

    def look(desired: int, running: int, *there: Task) -> EnvironmentStatus:
        service = replace(now, desired=desired, running=running, pending=len(there) - running)
        return status(settings, Shot({"shop-blue": service, **green}, {"shop-blue": there}, behind), BLUE)

    assert look(3, 2, *seen, starting).ready
    lacking = look(2, 1, seen[0], starting)
    assert (lacking.ready, lacking.serving) == (False, True)
    assert "is provisioning" in lacking.detail


# --- deaths and faults


class Death(BaseException):
    """Of the process: nobody catches it."""


class Mortal(Client):
    """Dies after so many changes; or never (None)."""

    def __init__(self, front: Front, left: int | None = None) -> None:
        super().__init__(front.access())
        self.left = left
        self.wrote: list[str] = []

    def write(self, service: str, operation: str, about: str = "", /, **parameters: Any) -> Mapping[str, Any]:
        if self.left == 0:
            raise Death
        said = super().write(service, operation, about, **parameters)
        self.wrote.append(operation)
        if self.left is not None:
            self.left -= 1
        return said


def deaths(client: Mortal, act: Callable[[], None], converge: Callable[[], None]) -> int:
    """Act, dying before the first change, after the first, the second…, and converge each time; how often it died."""
    died = 0
    while True:
        client.left = died
        try:
            act()
        except Death:
            client.left = None
            died += 1
            converge()
            continue
        client.left = None
        converge()
        return died


def test_killed_between_any_two_changes_the_next_one_converges(kit: Kit) -> None:
    scale(kit, "shop-blue", "shop-green")
    client = Mortal(kit.front)
    more = {"desired": 1}
    mortal = EcsEnvironment(kit.settings(**more), kit.place, pace=0.0, client=client)
    environment = kit.open(**more)
    brought(kit, environment, BLUE, kit.spec("1", ACTIVE, **more))
    idle, active = kit.spec("2", IDLE, **more), kit.spec("2", ACTIVE, **more)

    def candidate() -> None:
        brought(kit, environment, GREEN, idle)
        assert scaled(kit, "shop-blue")["SuspendedState"]["DynamicScalingInSuspended"]
        assert scaled(kit, "shop-green")["SuspendedState"]["DynamicScalingInSuspended"]

    def gone() -> None:
        def absent() -> bool:
            if environment.observe(GREEN).present:
                environment.remove(GREEN, KEY)
                return False
            return True

        kit.wait(absent, "green is gone")
        assert not kit.replicas(GREEN)
        assert not any((scaled(kit, "shop-blue").get("SuspendedState") or {}).values())

    def apply_anew() -> None:
        gone()
        mortal.apply(GREEN, idle, KEY)

    def remove_again() -> None:
        candidate()
        mortal.remove(GREEN, KEY)

    assert deaths(client, apply_anew, candidate) >= 6
    assert deaths(client, remove_again, gone) >= 5

    candidate()
    resting = kit.spec("1", IDLE, **more)

    def give_up_work() -> None:
        brought(kit, environment, BLUE, kit.spec("1", ACTIVE, **more))
        mortal.apply(BLUE, resting, KEY)

    def rests() -> None:
        brought(kit, environment, BLUE, resting)
        assert not kit.workers()

    assert deaths(client, give_up_work, rests) >= 3

    def take_up_work() -> None:
        brought(kit, environment, GREEN, idle)
        kit.wait(lambda: not kit.workers(), "nobody works")
        mortal.apply(GREEN, active, KEY)

    def works() -> None:
        brought(kit, environment, GREEN, active)
        assert len(kit.workers()) == 1

    assert deaths(client, take_up_work, works) >= 4
    assert not kit.worker_twice()


def test_killed_between_any_two_changes_an_artefact_is_registered_once(kit: Kit) -> None:
    from greenroom.adapters.artefacts.ecs import EcsArtefact

    client = Mortal(kit.front)
    kit.push("1")
    number = [0]

    def fresh() -> Any:
        return replace(kit.artefact_spec("1"), release=f"r-{number[0]}")

    def make() -> None:
        number[0] += 1
        EcsArtefact(kit.settings(), kit.place, pace=0.0, client=client).apply(fresh(), KEY)

    def made_once() -> None:
        kit.push("1")  # its tag has moved meanwhile
        artefact = kit.artefact()
        artefact.apply(fresh(), KEY)
        assert artefact.observe(fresh()).state is Making.READY
        ecs = kit.cluster.api["ecs"]
        families = (kit.family, f"{kit.family}-worker")
        names = [n for f in families for n in ecs.list_task_definitions(familyPrefix=f)["taskDefinitionArns"]]
        told = [ecs.describe_task_definition(taskDefinition=name, include=["TAGS"]) for name in names]
        mine = [t for t in told if {"key": "greenroom:release", "value": fresh().release} in t["tags"]]
        images = {t["taskDefinition"]["containerDefinitions"][0]["image"] for t in mine}
        assert (len(mine), len(images)) == (2, 1)

    assert deaths(client, make, made_once) == 2


def test_what_may_have_been_done_is_looked_up_before_it_is_repeated(kit: Kit) -> None:
    kit.push("1")
    artefact, wanted = kit.artefact(**ALONE), kit.artefact_spec("1", **ALONE)
    kit.front.faults.append(Fault("reset-after", "RegisterTaskDefinition"))
    with pytest.raises(Uncertain):
        artefact.apply(wanted, KEY)
    assert artefact.observe(wanted).state is Making.READY
    assert kit.front.calls.count("RegisterTaskDefinition") == 1

    environment, spec = kit.open(**ALONE), kit.spec("1", IDLE, **ALONE)
    kit.front.faults.append(Fault("reset-after", "UpdateService"))
    with pytest.raises(Uncertain):
        environment.apply(BLUE, spec, KEY)
    assert environment.observe(BLUE).unfinished
    first = kit.cluster.of("shop-blue").deployments[0]["id"]
    brought(kit, environment, BLUE, spec)
    assert kit.cluster.of("shop-blue").deployments[0]["id"] == first, "one deployment"


def test_ft_22_faults_of_aws_are_what_they_are(kit: Kit) -> None:
    environment = kit.open(**ALONE)
    kit.front.faults.append(Fault("throttle", "DescribeServices"))
    with pytest.raises(Temporary, match="throttles"):
        environment.observe(BLUE)
    kit.front.faults.append(Fault("error", "UpdateService"))
    with pytest.raises(Uncertain):
        environment.apply(BLUE, kit.spec("1", IDLE, **ALONE), KEY)
    body = {"Message": "User: arn:aws:iam::1:user/ci is not authorized to perform: ecs:UpdateService on resource: x"}
    kit.front.faults.append(Fault("denied", "UpdateService", body=body))
    with pytest.raises(Permanent, match="denies ecs:UpdateService on x"):
        environment.apply(BLUE, kit.spec("1", IDLE, **ALONE), KEY)


def test_calls_of_a_release_are_few_and_a_look_is_shared(kit: Kit) -> None:
    quick = EcsEnvironment(kit.settings(**ALONE), kit.place, pace=60.0, client=kit.client)
    brought(kit, kit.open(**ALONE), BLUE, kit.spec("1", ACTIVE, **ALONE))
    kit.push("2")
    kit.front.calls.clear()
    wanted, artefact = kit.artefact_spec("2", **ALONE), kit.artefact(**ALONE)
    kit.vault.pin("r-2", {})
    assert artefact.observe(wanted).state is Making.ABSENT
    artefact.apply(wanted, KEY)
    reference = artefact.observe(wanted).reference
    spec = replace(kit.spec("1", IDLE, **ALONE), release="r-2", version="2", artefact=reference)
    quick.apply(GREEN, spec, KEY)
    kit.wait(lambda: quick.anew() is None and quick.observe(GREEN).ready, "green is ready")
    calls = list(kit.front.calls)
    polls = ("DescribeServices", "ListTasks", "DescribeTasks", "DescribeTargetHealth")
    assert len([call for call in calls if call not in polls]) <= 20, calls
    kit.front.calls.clear()
    for _ in range(50):
        quick.observe(GREEN)
        quick.observe(BLUE)
    quick.anew()
    quick.observe(BLUE)
    quick.observe(GREEN)
    assert kit.front.calls == ["DescribeServices", "DescribeTargetHealth", "DescribeTargetHealth"]
