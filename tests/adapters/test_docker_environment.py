"""What is the own of the environment `docker`, on a real engine: ports, strangers, health, secrets, deaths, adoption."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from greenroom.adapters.docker.settings import DockerSettings, first_port, of_definition
from greenroom.adapters.docker.staffing import Staffing
from greenroom.adapters.environments.docker import DockerEnvironment
from greenroom.adapters.hosts.local import LocalHost
from greenroom.domain.model import Colour, Endpoint, EnvironmentSpec, EnvironmentStatus, Health, Role
from greenroom.errors import Permanent, Temporary
from greenroom.testing.contracts.environment import brought, ready
from tests.docker_kit import KEY, Kit
from tests.rigs import docker

BLUE, GREEN, IDLE, ACTIVE = Colour.BLUE, Colour.GREEN, Role.IDLE, Role.ACTIVE
pytestmark = [pytest.mark.real, pytest.mark.xdist_group("docker")]
ONE: dict[str, Any] = {"web": {"replicas": 1}, "worker": None}


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.Engine]:
    with docker.shared() as made:
        yield made


@pytest.fixture
def made(engine: docker.Engine, tmp_path: Path) -> Iterator[Kit]:
    kit = Kit(engine, tmp_path)
    yield kit
    kit.end()


def one(**web: Any) -> dict[str, Any]:
    """A definition of one replica and no worker."""
    return {"web": {"replicas": 1, **web}, "worker": None}


def get(endpoint: Endpoint, path: str = "/") -> str:
    with urllib.request.urlopen(f"http://{endpoint}{path}", timeout=30) as answer:
        return str(answer.read().decode())


def section(made: Kit, **more: Any) -> DockerSettings:
    return of_definition(made.definition(**more), {})


# --- ports and strangers


def test_ports_stay_for_ever_unless_a_stranger_takes_one(made: Kit) -> None:
    environment = made.open()
    first = brought(made, environment, BLUE, made.spec("1", IDLE, worker=None)).endpoints
    assert first[0].port == first_port(section(made), made.service)
    other = brought(made, environment, GREEN, made.spec("2", IDLE, **ONE)).endpoints
    assert not set(first) & set(other)
    assert [get(e).split() for e in (first[0], other[0])] == [["blue", "1"], ["green", "2"]]
    environment.remove(BLUE, KEY)
    made.wait(lambda: not environment.observe(BLUE).present, "blue has ended")
    with socket.create_server((first[0].host, first[0].port)):
        beside = brought(made, environment, BLUE, made.spec("2", IDLE, worker=None)).endpoints
    assert first[0] not in beside
    assert first[1] in beside
    environment.remove(BLUE, KEY)
    made.wait(lambda: not environment.observe(BLUE).present, "blue has ended again")
    assert brought(made, made.open(), BLUE, made.spec("1", IDLE, worker=None)).endpoints == beside, "it is remembered"


def test_ft_16_foreign_containers_keep_their_names_and_ports(made: Kit) -> None:
    client = made.engine.client()
    port = first_port(section(made), made.service)
    theirs = [
        client.containers.run(
            made.image("1"), name=f"{made.service}-blue-web-1", detach=True, ports={"8080/tcp": ("127.0.0.1", port)}
        ),
        client.containers.run(made.image("1"), detach=True, labels={"greenroom.service": f"{made.service}-other"}),
    ]
    try:
        environment = made.open()
        status = brought(made, environment, BLUE, made.spec("2", IDLE, **ONE))
        assert [c.name for c in made.containers()] == [f"{made.service}-blue-web-1.2"]
        assert status.endpoints[0].port != port
        assert get(status.endpoints[0]) == "blue 2"
        environment.remove(BLUE, KEY)
        made.wait(lambda: not environment.observe(BLUE).present, "ours has ended")
        for container in theirs:
            container.reload()
            assert container.status == "running"
    finally:
        for container in theirs:
            container.remove(force=True)


def test_ft_16_an_image_that_is_gone_is_said_before_anything_changes(made: Kit) -> None:
    environment = made.open()
    brought(made, environment, BLUE, made.spec("1", IDLE, **ONE))
    alive = made.replicas(BLUE)
    gone = replace(made.spec("2", IDLE, **ONE), artefact="shop@sha256:" + "0" * 64)
    for colour in (BLUE, GREEN):
        with pytest.raises(Permanent, match="image of r-2 is gone") as error:
            environment.apply(colour, gone, KEY)
        assert error.value.hint
    assert (made.replicas(BLUE), environment.observe(BLUE).version) == (alive, "1")


def test_ft_16_a_missing_network_or_folder_is_said_with_the_way_out(made: Kit) -> None:
    environment = made.open()
    with pytest.raises(Permanent, match="no network back") as error:
        environment.apply(BLUE, made.spec("1", IDLE, **ONE, networks=["back"]), KEY)
    assert error.value.hint.startswith("`docker network create back`")
    with pytest.raises(Permanent, match="does not exist"):
        environment.apply(BLUE, made.spec("1", IDLE, **ONE, volumes=["./not-there:/data"]), KEY)


# --- how it starts and ends


def test_ft_9_a_request_in_flight_is_answered_before_the_end(made: Kit) -> None:
    environment = made.open()
    endpoint = brought(made, environment, BLUE, made.spec("1", IDLE, **ONE)).endpoints[0]
    answers: list[str] = []
    link = socket.create_connection((endpoint.host, endpoint.port), 30)
    link.sendall(b"GET /slow?ms=700 HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")

    def read() -> None:
        with link.makefile("rb") as file:
            answers.append(file.read().decode())

    client = threading.Thread(target=read)
    client.start()
    assert get(endpoint) == "blue 1", "asked later, answered: the slow one has been taken"
    begun = time.monotonic()
    environment.remove(BLUE, KEY)
    assert environment.observe(BLUE).present
    client.join()
    link.close()
    assert answers[0].endswith("blue 1")
    made.wait(lambda: not environment.observe(BLUE).present, "it has ended")
    assert time.monotonic() - begun < 5, "it ended by itself, not by SIGKILL"


def test_ft_10_a_worker_that_cannot_start_keeps_its_colour_from_being_ready(made: Kit) -> None:
    environment = made.open()
    worker = {"command": ["/no/such/program"], "runs": "always"}
    environment.apply(BLUE, made.spec("1", IDLE, web={"replicas": 1}, worker=worker), KEY)
    made.wait(lambda: environment.observe(BLUE).failed != "", "it failed")
    status = environment.observe(BLUE)
    assert "worker-1 cannot be started" in status.failed
    assert "no such file" in status.failed
    assert not status.ready
    assert len(made.replicas(BLUE)) == 1


CHILD = """
import json, os, signal, sys
from pathlib import Path
from greenroom.adapters.docker.settings import of_definition
from greenroom.adapters.environments.docker import DockerEnvironment
from greenroom.adapters.hosts.local import LocalHost
from greenroom.domain.model import Colour, EnvironmentSpec, Role
from greenroom.ports import ActionKey, Place

class Dying(LocalHost):
    looks = 0
    def read(self, path, start=0):
        if path.endswith("/epoch"):
            self.looks += 1
            if self.looks == dies_at:
                os.kill(os.getpid(), signal.SIGKILL)
        return super().read(path, start)

verb, service, state, dies_at, epoch, spec = json.load(sys.stdin)
place = Place(service, Path(state).parent / "greenroom.yaml", Path(state), None, None, Dying())
environment = DockerEnvironment(of_definition(spec[4], {}), place)
key = ActionKey("r-1", "start", 0, "apply", "blue", 0, epoch)
if verb == "apply":
    environment.apply(Colour.BLUE, EnvironmentSpec(*spec[:3], Role(spec[3]), spec[4]), key)
else:
    environment.remove(Colour.BLUE, key)
os.kill(os.getpid(), signal.SIGKILL)
"""


def in_a_process_that_dies(made: Kit, verb: str, spec: EnvironmentSpec, *, dies_at: int = 0, epoch: int = 0) -> None:
    """`dies_at`: when it looks for the n-th time whether it may still act; 0: just after."""
    parts = [spec.release, spec.version, spec.artefact, str(spec.role), spec.definition]
    order = json.dumps([verb, made.service, str(made.state), dies_at, epoch, parts])
    ran = subprocess.run([sys.executable, "-c", CHILD], input=order, text=True, capture_output=True, timeout=60)
    assert ran.returncode == -signal.SIGKILL, ran.stderr


@pytest.mark.parametrize(("dies_at", "left"), [(1, []), (2, ["created"])])
def test_whoever_dies_between_making_and_starting_is_continued_by_the_next(
    made: Kit, dies_at: int, left: list[str]
) -> None:
    spec = made.spec("1", IDLE, **ONE)
    in_a_process_that_dies(made, "apply", spec, dies_at=dies_at)
    assert [c.status for c in made.containers()] == left
    environment = made.open()
    assert not environment.observe(BLUE).members, "so the engine applies again"
    status = brought(made, environment, BLUE, spec)
    assert [c.status for c in made.containers()] == ["running"]
    assert get(status.endpoints[0]) == "blue 1"


def test_ft_11_what_was_told_to_stop_ends_although_who_told_it_was_killed(made: Kit) -> None:
    spec = made.spec("1", IDLE, **ONE)
    brought(made, made.open(), BLUE, spec)
    in_a_process_that_dies(made, "remove", spec)
    made.wait(lambda: not made.replicas(BLUE), "Docker has ended it")
    assert all(c.attrs["HostConfig"]["RestartPolicy"]["Name"] == "no" for c in made.containers())
    environment = made.open()
    made.wait(lambda: _absent(environment), "the next one has cleared it away")
    assert made.containers() == []


def _absent(environment: DockerEnvironment) -> bool:
    """As the engine does it: told again as long as something is there."""
    if environment.observe(BLUE).present:
        environment.remove(BLUE, KEY)
        return False
    return True


def test_ft_11_a_stop_that_never_began_is_begun_by_the_next(made: Kit) -> None:
    """Renamed and told no more: the process died between the two."""
    environment = made.open()
    brought(made, environment, BLUE, made.spec("1", ACTIVE, web={"replicas": 1}))
    container = made.containers(process="worker")[0]
    container.rename(f"{container.name}.ending-{container.id[:8]}")
    status = environment.observe(BLUE)
    assert status.members == ()
    assert not status.ready
    brought(made, environment, BLUE, made.spec("1", ACTIVE, web={"replicas": 1}))
    assert (len(made.workers()), made.worker_twice()) == (1, False)


def test_ft_11_what_two_bring_to_its_end_is_no_failure_of_the_second(made: Kit) -> None:
    environment = made.open()
    brought(made, environment, BLUE, made.spec("1", ACTIVE, **one()))
    [known] = environment.crew.all(BLUE)
    made.engine.discard(known.id)
    staffing = Staffing(environment.crew, environment.ledger, KEY.epoch)
    staffing.end(BLUE, [replace(known, raw={**known.raw, "State": {**known.raw["State"], "Running": False}})])
    made.wait(lambda: not made.containers(process="web"), "it is gone")


def test_ft_15_a_slow_first_boot_is_starting_and_not_failed(made: Kit) -> None:
    environment = made.open()
    environment.apply(BLUE, made.spec("1", IDLE, **ONE, env={"BOOT": "1"}), KEY)
    for _ in range(3):
        status = environment.observe(BLUE)
        assert [member.health for member in status.members] == [Health.STARTING]
        assert (status.failed, status.ready) == ("", False)
    late = one(health={"path": "/health", "timeout": "1ms"})
    environment.apply(GREEN, made.spec("2", IDLE, **late, env={"BOOT": "30"}, init=True), KEY)
    made.wait(lambda: any(m.health is Health.UNHEALTHY for m in environment.observe(GREEN).members), "it is late")
    assert environment.observe(GREEN).failed == "", "late is not failed: the engine decides how long to wait"
    ready(made, environment, BLUE, IDLE)


def test_ft_16_what_ends_again_and_again_is_said_with_the_end_of_its_output(made: Kit) -> None:
    environment = made.open()
    said: list[str] = []
    made.vault.pin("r-1", {"T": "swordfish"})
    command = ["sh", "-c", "echo 'database is missing'; echo $TOKEN; exit 4"]
    environment.apply(BLUE, made.spec("1", IDLE, **one(command=command), env={"TOKEN": "${T}"}), KEY)
    made.wait(lambda: "ended with exit status 4" in environment.observe(BLUE).detail, "it is said how it ended")
    status = environment.observe(BLUE)
    assert {m.health for m in status.members} == {Health.UNHEALTHY}
    assert "database is missing" in status.detail
    assert ("${T}" in status.detail, "swordfish" in status.detail) == (True, False)
    made.wait(lambda: (status := environment.observe(BLUE)).failed != "" and not said.append(status.failed), "no hope")
    assert "again and again" in said[0]
    assert ("database is missing" in said[0], "swordfish" in said[0]) == (True, False)


def test_ft_16_who_needs_more_memory_than_its_limit_is_told_so(made: Kit) -> None:
    environment = made.open()
    command = ["python3", "-I", "-S", "-c", "x = bytearray(200_000_000)"]
    environment.apply(BLUE, made.spec("1", IDLE, **one(command=command), memory="16MiB"), KEY)
    made.wait(lambda: "more memory than its 16 MiB" in environment.observe(BLUE).detail, "it is said why")
    assert not environment.observe(BLUE).ready


def test_ft_6_the_engine_s_sudden_death_changes_no_address(made: Kit) -> None:
    environment = made.open()
    spec = made.spec("1", ACTIVE)
    before = brought(made, environment, BLUE, spec).endpoints
    brought(made, environment, GREEN, made.spec("2", IDLE, **ONE))
    environment.remove(GREEN, KEY)
    made.engine.kill()
    with pytest.raises(Temporary):
        environment.observe(BLUE)
    made.engine.start()
    assert brought(made, environment, BLUE, spec).endpoints == before
    assert not made.replicas(GREEN)
    assert (len(made.workers()), made.worker_twice()) == (1, False)
    made.wait(lambda: not _left_over(environment), "what was to end has ended")


def _left_over(environment: DockerEnvironment) -> bool:
    if environment.observe(GREEN).present:
        environment.remove(GREEN, KEY)
        return True
    return False


# --- health


def test_the_image_s_own_healthcheck_counts_and_is_asked_at_our_pace(made: Kit) -> None:
    check = "wget -q -O /dev/null http://127.0.0.1:8080/health"
    name = made.engine.app("shop:checked", health={"Test": ["CMD-SHELL", check], "Interval": 3600 * 10**9})
    spec = replace(made.spec("1", IDLE, **one(health={"interval": "1s"})), artefact=name)
    environment = made.open()
    environment.apply(BLUE, spec, KEY)
    assert "has not passed yet" in environment.observe(BLUE).detail
    endpoint = ready(made, environment, BLUE, IDLE).endpoints[0]
    get(endpoint, "/sick")
    made.wait(lambda: not environment.observe(BLUE).ready, "it is seen to be sick")
    assert "its health check fails" in environment.observe(BLUE).detail


def test_a_command_in_the_container_says_how_it_is(made: Kit) -> None:
    environment = made.open()
    health = {"command": "test -e /tmp/fine", "interval": "1s"}
    environment.apply(BLUE, made.spec("1", IDLE, **one(health=health)), KEY)
    status = environment.observe(BLUE)
    assert (status.ready, [m.health for m in status.members]) == (False, [Health.STARTING])
    made.containers()[0].exec_run(["touch", "/tmp/fine"])
    ready(made, environment, BLUE, IDLE)


def test_without_a_check_it_counts_who_listens_in_the_container(made: Kit) -> None:
    environment = made.open()
    environment.apply(BLUE, made.spec("1", IDLE, **one(health={}, command=["sleep", "600"]), init=True), KEY)
    made.wait(lambda: "nothing answers behind port" in environment.observe(BLUE).detail, "nobody listens")
    assert not environment.observe(BLUE).ready
    environment.apply(GREEN, made.spec("2", IDLE, **one(health={})), KEY)
    ready(made, environment, GREEN, IDLE)


def test_who_listens_inside_the_container_only_is_told_where_to_listen(made: Kit) -> None:
    environment = made.open()
    inside = ["busybox", "httpd", "-f", "-p", "127.0.0.1:8000"]
    environment.apply(BLUE, made.spec("1", IDLE, **one(command=inside, health={"path": "/health"}), init=True), KEY)
    made.wait(lambda: "at 0.0.0.0?" in environment.observe(BLUE).detail, "the way out is said")
    assert not environment.observe(BLUE).ready


def test_a_paused_container_is_not_healthy_and_can_still_be_ended_gracefully(made: Kit) -> None:
    environment = made.open()
    brought(made, environment, BLUE, made.spec("1", IDLE, **ONE))
    container = made.containers()[0]
    container.pause()
    assert environment.observe(BLUE).ready, "a moment is no verdict: `docker commit` pauses too"
    made.wait(lambda: not environment.observe(BLUE).ready, "it is not ready any more")
    assert environment.observe(BLUE).members[0].detail == "is paused"
    container.unpause()
    ready(made, environment, BLUE, IDLE)
    container.pause()
    environment.remove(BLUE, KEY)
    made.wait(lambda: not environment.observe(BLUE).present, "it has ended")
    assert [line.text for line in environment.output(BLUE, 1)] == ["ended"]


# --- what it runs with


def test_limits_secrets_and_networks_are_in_force_in_the_container(made: Kit) -> None:
    made.vault.pin("r-1", {"KEY": "swordfish", "TOKEN": "marlin"})
    network = made.engine.client().networks.create(f"{made.service}-back")
    spec = made.spec(
        "1",
        IDLE,
        **ONE,
        secrets={"key": "${KEY}"},
        env={"TOKEN": "${TOKEN}", "WHO": "{colour} {version}"},
        user="app",
        read_only=True,
        tmpfs=["/tmp:size=1m"],
        cap_drop=["ALL"],
        no_new_privileges=True,
        memory="64MiB",
        pids=50,
        networks=["bridge", network.name],
        log={"options": {"max-size": "1m"}, "driver": "json-file"},
    )
    environment = made.open()
    endpoint = brought(made, environment, BLUE, spec).endpoints[0]
    assert get(endpoint, "/file?path=/run/secrets/key") == "swordfish"
    variables = json.loads(get(endpoint, "/env"))
    assert (variables["TOKEN"], variables["WHO"], variables["PORT"]) == ("marlin", "blue 1", "8080")
    assert json.loads(get(endpoint, "/id"))["uid"] == 1000
    container = made.containers()[0]
    container.reload()
    raw = container.attrs
    assert "swordfish" not in json.dumps(raw)
    assert "marlin" not in json.dumps(raw["Config"]["Labels"])
    host = raw["HostConfig"]
    assert (host["ReadonlyRootfs"], host["Memory"], host["PidsLimit"]) == (True, 64 * 2**20, 50)
    assert set(raw["NetworkSettings"]["Networks"]) == {"bridge", network.name}
    assert container.exec_run(["touch", "/etc/mine"]).exit_code != 0
    found = environment.inspect(BLUE)["web"]
    assert {path for path, text in found.asked.items() if found.effective.get(path) != text} == set()
    assert "swordfish" not in str(found)
    assert "marlin" not in str(found)
    environment.remove(BLUE, KEY)
    made.wait(lambda: not environment.observe(BLUE).present, "it has ended")
    made.wait(lambda: not list(made.state.rglob("key")), "the secret's file is gone with it")


def test_parity_sees_what_somebody_changed_at_the_running_container(made: Kit) -> None:
    environment = made.open()
    more: dict[str, Any] = {**ONE, "memory": "64MiB", "env": {"WHO": "{colour}"}}
    for colour, version in ((BLUE, "1"), (GREEN, "2")):
        brought(made, environment, colour, made.spec(version, IDLE, **more))
    blue, green = (environment.inspect(colour)["web"] for colour in (BLUE, GREEN))
    assert (blue.effective, blue.asked) == (green.effective, green.asked)
    made.containers(colour="green")[0].update(mem_limit="32m", memswap_limit="32m")
    changed = environment.inspect(GREEN)["web"].effective
    assert {path for path in changed if changed[path] != blue.effective[path]} == {"memory", "memory_and_swap"}
    assert environment.inspect(GREEN)["web"].asked["memory"] == blue.effective["memory"]


def _said(environment: DockerEnvironment, text: str, since: float = 0.0) -> float:
    """When a line with this text was written; 0.0 if none was."""
    return max((line.at for line in environment.output(BLUE, 500, since) if text in line.text), default=0.0)


def test_output_is_there_while_it_runs_and_after_it_was_removed(made: Kit) -> None:
    environment = made.open()
    endpoint = brought(made, environment, BLUE, made.spec("1", IDLE, **ONE)).endpoints[0]
    get(endpoint, "/first")
    made.wait(lambda: _said(environment, "/first") > 0, "the first is there")
    since = _said(environment, "/first")
    get(endpoint, "/second")
    made.wait(lambda: _said(environment, "/second", since) > since, "the second is there")
    later = environment.output(BLUE, 50, since)
    assert {line.replica for line in later} == {"web-1"}
    assert not any("/first" in line.text for line in later)
    environment.remove(BLUE, KEY)
    made.wait(lambda: not environment.observe(BLUE).present, "it has ended")
    kept = environment.output(BLUE, 500)
    assert any("/first" in line.text for line in kept)
    assert (kept[-1].text, len(environment.output(BLUE, 1))) == ("ended", 1)
    assert kept[0].at <= kept[-1].at
    environment.apply(BLUE, made.spec("broken", IDLE, **one(health={})), KEY)
    made.wait(lambda: environment.observe(BLUE).failed != "", "the next one cannot start")
    assert environment.output(BLUE, 500) == [], "what the first wrote says nothing of the second"


# --- before anything is touched


def test_problems_and_hazards_are_facts_with_a_way_out(made: Kit) -> None:
    place = made.place
    assert DockerEnvironment.problems(section(made), place) == []
    assert DockerEnvironment.hazards(section(made), place) == []
    wrong = section(made, networks=["nowhere"], publish="203.0.113.7", volumes=["lost:/a", "./no:/b"])
    found = DockerEnvironment.problems(wrong, place)
    for text in ("no network nowhere", "203.0.113.7 is no address", "no volume lost", "/no does not exist"):
        assert any(text in problem for problem in found), found
    assert all(problem.startswith("environment.") for problem in found)
    no_docker = section(made, socket=str(made.folder / "docker.sock"))
    assert "no socket" in DockerEnvironment.problems(no_docker, place)[0]

    made.engine.app("lone:1")
    risky = section(
        made,
        image="lone:{version}",
        web={"replicas": 1, "health": {}, "fixed_ports": ["9:9"], "volumes": ["data:/data"], "memory": "900GiB"},
    )
    hazards = DockerEnvironment.hazards(risky, place)
    for text in (
        "cannot share the port 9:9",
        "both colours write to data",
        "may need",
        "nothing says when it is ready",
    ):
        assert any(text in hazard for hazard in hazards), hazards
    shared = {"source": "data", "target": "/data", "shared": True}
    assert not any("write" in h for h in DockerEnvironment.hazards(section(made, volumes=[shared]), place))


# --- what ran before


@pytest.fixture
def theirs(made: Kit) -> Iterator[Any]:
    container = made.engine.client().containers.run(
        made.image("1"),
        name=f"{made.service}-old",
        detach=True,
        ports={"8080/tcp": ("127.0.0.1", None)},
        restart_policy={"Name": "always"},
    )
    yield container
    container.remove(force=True)


def test_a_running_container_is_adopted_as_it_is(made: Kit, theirs: Any) -> None:
    environment, spec = made.open(), made.adopting(ACTIVE, {"container": theirs.name}, worker=None)
    theirs.reload()
    before = theirs.attrs
    status = brought(made, environment, BLUE, spec)
    assert (status.release, status.version, status.role) == (spec.release, "0", ACTIVE)
    assert get(status.endpoints[0]).endswith(" 1")
    assert len(status.members) == 1
    environment.apply(BLUE, spec, KEY)
    theirs.reload()
    same = ("Id", "Name", "Config", "HostConfig", "RestartCount")
    assert [theirs.attrs[key] for key in same] == [before[key] for key in same], "nothing of it was touched"
    assert theirs.attrs["State"]["StartedAt"] == before["State"]["StartedAt"]
    assert "web" in environment.inspect(BLUE)
    assert environment.output(BLUE, 5)
    brought(made, environment, GREEN, made.spec("2", IDLE, **ONE))

    theirs.kill()
    made.wait(lambda: not made.open().observe(BLUE).ready, "its death is seen")
    theirs.stop()
    status = environment.observe(BLUE)
    assert (status.present, status.members) == (True, ()), "so the engine applies again"
    brought(made, environment, BLUE, spec)

    environment.remove(BLUE, KEY)
    made.wait(lambda: environment.observe(BLUE) == EnvironmentStatus(BLUE), "it is absent")
    theirs.reload()
    assert (theirs.status, theirs.name) == ("exited", f"{made.service}-old")
    assert theirs.attrs["HostConfig"]["RestartPolicy"]["Name"] == "no"
    environment.remove(BLUE, KEY)

    brought(made, environment, BLUE, spec)
    theirs.reload()
    assert theirs.attrs["HostConfig"]["RestartPolicy"]["Name"] == "always", "as it was"


def test_an_adopted_container_gives_its_colour_to_a_release(made: Kit, theirs: Any) -> None:
    environment = made.open()
    brought(made, environment, BLUE, made.adopting(ACTIVE, {"container": theirs.name}, worker=None))
    spec = made.spec("2", IDLE, **ONE)
    with pytest.raises(Temporary, match="is not free yet"):
        environment.apply(BLUE, spec, KEY)
    made.wait(lambda: not environment.observe(BLUE).present, "it has ended")
    assert get(brought(made, environment, BLUE, spec).endpoints[0]) == "blue 2"
    theirs.reload()
    assert theirs.status == "exited"


def test_a_container_whose_adoption_came_to_nothing_is_left_as_it_was(made: Kit, theirs: Any) -> None:
    """It serves users by a way that is not ours."""
    environment = made.open()
    spec = made.adopting(IDLE, {"container": theirs.name}, worker=None)
    brought(made, environment, BLUE, spec)
    theirs.reload()
    before = theirs.attrs["State"]["StartedAt"], theirs.attrs["HostConfig"]["RestartPolicy"]
    environment.remove(BLUE, KEY)
    left = environment.observe(BLUE)
    assert (left.present, left.members) == (False, ())
    assert "was left as it was" in left.detail
    brought(made, environment, BLUE, made.spec("2", IDLE, **ONE))
    theirs.reload()
    assert theirs.status == "running"
    assert (theirs.attrs["State"]["StartedAt"], theirs.attrs["HostConfig"]["RestartPolicy"]) == before


def test_an_upstream_that_is_no_container_is_never_stopped(made: Kit) -> None:
    environment = made.open()
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = f"127.0.0.1:{server.getsockname()[1]}"
        spec = made.adopting(ACTIVE, {"upstream": where}, worker=None, web={"replicas": 1, "health": {}})
        status = brought(made, environment, BLUE, spec)
        assert [str(endpoint) for endpoint in status.endpoints] == [where]
        environment.remove(BLUE, KEY)
        left = environment.observe(BLUE)
        assert (left.present, left.members) == (False, ())
        assert f"{where} was left running" in left.detail
        socket.create_connection(server.getsockname()).close()


def test_what_cannot_be_adopted_is_said_and_left_alone(made: Kit) -> None:
    environment, client, name = made.open(), made.engine.client(), made.service
    hidden = client.containers.run(made.image("1"), name=f"{name}-hidden", detach=True)
    ended = client.containers.create(made.image("1"), name=f"{name}-ended")
    cases = {
        "no container no-such-container": {"container": "no-such-container"},
        "is no upstream": {"upstream": "nowhere"},
        "does not publish a port": {"container": hidden.name},
        "belongs to the service": {"container": f"{name}-blue-web-1"},
        "does not run": {"container": ended.name},
    }
    try:
        brought(made, environment, BLUE, made.spec("1", IDLE, **ONE))
        for says, taken in cases.items():
            with pytest.raises(Permanent, match=says) as error:
                environment.apply(GREEN, made.adopting(ACTIVE, taken, worker=None), KEY)
            assert error.value.hint
        assert not environment.observe(GREEN).present
        assert environment.observe(BLUE).ready
    finally:
        hidden.remove(force=True)
        ended.remove()


class Sleeping(LocalHost):
    """Whoever looks for a free port here falls asleep."""

    def __init__(self) -> None:
        self.asleep, self.awake = threading.Event(), threading.Event()

    def read(self, path: str, start: int = 0) -> bytes | None:
        if path == "/proc/net/tcp":
            self.asleep.set()
            assert self.awake.wait(30)
        return super().read(path, start)


def test_ft_51_a_leader_that_slept_after_its_order_makes_nothing(made: Kit) -> None:
    """The newer lease comes between its order and its first container."""
    host, spec, errors = Sleeping(), made.spec("1", IDLE, **ONE), []
    sleeper = made.open(replace(made.place, host=host))

    def act() -> None:
        try:
            sleeper.apply(BLUE, spec, replace(KEY, epoch=3))
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=act)
    thread.start()
    assert host.asleep.wait(30)
    in_a_process_that_dies(made, "remove", spec, epoch=4)
    host.awake.set()
    thread.join()
    assert [type(error) for error in errors] == [Permanent]
    assert made.containers() == []
