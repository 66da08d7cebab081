"""Containers behind an nginx on the same machine: releases, misfortunes and reboots under traffic that never stops."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from greenroom.demo.stage import break_release, repair_release
from greenroom.domain.phases import Phase
from tests.rigs import docker
from tests.rigs.docker import Engine
from tests.rigs.nginx import Rig
from tests.system.docker_house import WORKER, DockerHouse, lived_in
from tests.system.house import USUAL, lost
from tests.system.test_kill import FORWARD

pytestmark = pytest.mark.xdist_group("docker")

STAGES = {"boot": "sleep 0.5 && ", "check": "sleep 0.5", "shift": "[50% for 500ms, 100%]"}


class Behind(DockerHouse):
    """Beside an nginx that has its own configuration."""

    def __init__(self, folder: Path, engine: Engine, nginx: Rig, **times: str) -> None:
        self.nginx = nginx
        settings = {"url": nginx.url, "folder": str(nginx.folder), "folder_inside": str(nginx.inside)}
        router = {"type": "nginx", **settings, "command": " ".join(nginx.command)}
        super().__init__(folder, engine, nginx.url, router, **times)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    """Version 2 is live, and asked all the time. nginx knows both colours by now: no release reloads it any more."""
    folder = tmp_path_factory.mktemp("house")
    with (
        docker.shared() as engine,
        Rig(folder / "nginx") as nginx,
        lived_in(Behind(folder, engine, nginx)) as made,
    ):
        made.deployed()
        made.deployed()
        made.begin()
        yield made


@pytest.fixture(autouse=True)
def as_usual(home: Behind) -> None:
    """Whatever the test before has left: the file is as it was, and so is the shop."""
    home.worker = WORKER
    repair_release(home.shop)
    home.write(**USUAL, worker_within="20s")


def test_a_release_and_the_way_back(home: Behind) -> None:
    before, began, reloads = home.live(), time.monotonic(), home.nginx.reloads()
    version = home.deployed()
    home.serves(version)
    home.run("rollback").expect(0)
    home.serves(before)
    assert home.wait(lambda: not home.replicas(version), "the candidate has ended")
    assert home.nginx.reloads() == reloads
    assert not lost(home.faults(began), began)


def test_a_bad_candidate_goes_back_by_itself(home: Behind) -> None:
    """It passes its checks and then answers users with errors, which the access log shows."""
    before, began = home.live(), time.monotonic()
    break_release(home.shop, visitors=20)
    home.write(bake="30s")
    version = home.version()
    done = home.run("deploy", version).expect(3)
    assert "error rate" in done.out
    home.serves(before)
    home.until_live(before)
    bad = home.faults(began)
    assert not lost([r for r in bad if r.lost], began), "it gave answers, and bad ones"
    assert {r.version for r in bad} == {version}


def test_killed_in_every_stage(home: Behind) -> None:
    """The command and the resident engine, in each stage of one release; the same command goes on. Nothing is lost."""
    home.write(**STAGES)
    version, began, count = home.version(), time.monotonic(), home.service().count
    for at, phase in enumerate(FORWARD):
        command = home.start("deploy", version)
        home.until_phase(version, *FORWARD[at:])
        command.kill()
        home.kill(home.engine())
        assert home.wait(lambda: home.pid("engine"), f"an engine, after the death in {phase}")
    home.run("deploy", version).expect(0)
    home.serves(version)
    assert home.service().count == count + 1, "continued, not begun anew"
    assert len(home.replicas(version)) == 1
    assert len(home.workers()) == 1
    assert not lost(home.faults(began), began)


def test_killed_in_rolling_back(home: Behind) -> None:
    before, began = home.live(), time.monotonic()
    home.write(**STAGES, bake="30s")
    version = home.version()
    forward = home.start("deploy", version)
    home.until_phase(version, Phase.BAKE)
    back = home.start("rollback")
    home.until_phase(version, Phase.ROLLING_BACK)
    forward.kill()
    back.kill()
    home.kill(home.engine())
    home.until_phase(version, Phase.ROLLED_BACK)
    home.until_live(before)
    home.serves(before)
    assert not lost(home.faults(began), began)


def test_ft_2_what_has_the_traffic_is_not_stopped_whatever_the_record_says(home: Behind) -> None:
    """Somebody puts nginx's link back by hand. The journal calls that colour idle; nothing removes it."""
    before = home.live()
    version, began = home.deployed(), time.monotonic()
    link = home.nginx.folder / "live"
    ours = os.readlink(link)
    [theirs] = [s for s in _states(home) if s != ours and s.endswith(("-g000-tnone", "-g100-tnone"))][-1:]
    os.replace(_link(home, theirs), link)
    home.serves(before)
    assert home.wait(lambda: home.status().get("route") == "drifted", "it is noticed")
    retire = home.start("retire")
    refused = home.run("deploy", home.version()).expect(6)
    assert "reconcile" in refused.err
    home.serves(before)
    assert home.replicas(before)
    home.run("reconcile").expect(0)
    retire.wait().expect(0)
    assert not home.replicas(before)
    home.serves(version)
    home.until_live(version)
    assert not lost(home.faults(began), began)


def _states(home: Behind) -> list[str]:
    """All that were ever told, in their order."""
    names = sorted((home.nginx.folder / "states").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    return [f"states/{path.name}" for path in names]


def _link(home: Behind, target: str) -> Path:
    made = home.nginx.folder / "live.theirs"
    made.symlink_to(target)
    return made


def test_ft_8_after_the_first_new_answer_there_is_no_old_one(home: Behind) -> None:
    before, began = home.live(), time.monotonic()
    version = home.deployed()
    home.serves(version)
    asked = [r for r in home.asked() if r.at > began]
    first = min(r.answered for r in asked if r.version == version)
    assert {r.version for r in asked if r.answered < first} == {before}
    late = [r for r in asked if r.at > first and r.version != version]
    assert not late, f"after {first}: {late}\n{_states(home)[-5:]}\n{home.run('show').out}"
    assert not lost(home.faults(began), began)


def test_ft_10_the_worker_fails_and_the_web_stays_with_the_old_version(home: Behind) -> None:
    before, began = home.live(), time.monotonic()
    home.worker = "sh, -c, 'echo no queue; exit 3'"
    home.write(worker_within="5s")
    version = home.version()
    done = home.run("deploy", version).expect(3, 4)
    assert "worker" in done.out
    home.serves(before)
    home.until_live(before)
    home.wait(lambda: not home.replicas(version), "the candidate has ended")
    [worker] = home.containers(process="worker")
    assert worker.labels["greenroom.version"] == before
    assert not lost(home.faults(began), began)


def test_ft_12_nginx_dies_and_comes_back_with_the_last_route(home: Behind) -> None:
    version = home.deployed()
    home.serves(version)
    home.nginx.kill()
    back = time.monotonic()
    home.serves(version)
    home.until_live(version)
    assert not lost(home.faults(back), back)
    assert {r.version for r in home.asked() if r.at > back} == {version}


def test_ft_6_what_was_live_comes_back_after_a_reboot(home: Behind) -> None:
    """Docker and nginx are started again by the machine, and users served, before anybody thinks of Greenroom."""
    version = home.live()
    home.nginx.die()
    home.reboot()
    home.docker.stop()
    home.docker.start()
    home.nginx.start()
    home.serves(version)
    back = time.monotonic()
    assert len(home.workers()) == 1
    assert "the resident engine does not answer" in home.run("status").expect(0).out
    home.run("reconcile").expect(0)
    home.until_live(version)
    newer = home.deployed()
    home.serves(newer)
    assert not lost(home.faults(back), back)
