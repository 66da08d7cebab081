"""Whole releases on AWS: the command line, ECS whose tasks are real processes, an ALB that is a real HAProxy, DynamoDB.

moto keeps the record of all three; users ask through the load balancer, and never stop.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from greenroom.domain.model import Colour
from tests.ecs_kit import Kit
from tests.rigs.alb import Alb
from tests.rigs.aws_front import REGION, Fault, Front, moto, nobody
from tests.rigs.ecs import BROKEN, Cluster, registry

pytestmark = [pytest.mark.xdist_group("ecs"), pytest.mark.timeout(300)]
PATIENCE = 120.0

FILE = """\
service: shop
environment:
  type: ecs
  region: {region}
  endpoint: {endpoint}
  cluster: {cluster}
  services: {{blue: shop-blue, green: shop-green}}
  task_definition: {family}
  image: {image}:{{version}}
  desired: 2
  workers:
    worker: {{services: {{blue: work-blue, green: work-green}}, command: [worker]}}
router:
  type: alb
  region: {region}
  endpoint: {endpoint}
  listeners: {listener}
  target_groups: {{blue: {blue}, green: {green}}}
  test_route: {{listener: {test}, url: "{test_url}"}}
  url: {url}
  observe: {{header: x-version}}
  drain: 1s
journal: {{type: dynamodb, table: {cluster}, create: true, region: {region}, endpoint: "{endpoint}"}}
checks:
  - {{type: http, path: /, status: 200}}
bake: 0s
keep_warm: 10m
"""


class Stage:
    """An account with all of it, and a folder with the file, as a job of a CI system has it."""

    def __init__(self, upstream: tuple[str, int], folder: Path, front: Front, alb: Alb, cluster: Cluster) -> None:
        self.folder, self.front, self.alb, self.cluster = folder, front, alb, cluster
        blue, green = (alb.groups[colour] for colour in Colour)
        self.kit = Kit(cluster, front, folder, groups=(blue.arn, green.arn))
        cluster.health = lambda group, address: alb.health.get((group, address)) == "healthy"
        text = FILE.format(
            region=REGION,
            endpoint=front.url,
            cluster=cluster.name,
            family=self.kit.family,
            image=f"{registry()}/{self.kit.repository}",
            listener=alb.http.arn,
            blue=blue.name,
            green=green.name,
            test=alb.test.arn,
            test_url=alb.test.url,
            url=alb.http.url,
        )
        self.file = folder / "greenroom.yaml"
        self.file.write_text(text)
        self.program = Path(sys.executable).parent / "greenroom"
        self.environment = {**os.environ, "HOME": str(folder), "NO_COLOR": "1"}

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(self.program), *words],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *words: str, expect: int = 0) -> str:
        process = self.start(*words)
        said, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == expect, f"greenroom {' '.join(words)}: {process.returncode}\n{said}"
        return said

    def insist(self, *words: str) -> None:
        """Again where the journal did not answer in time: a busy machine, and nothing was begun."""
        for _ in range(5):
            process = self.start(*words)
            said, _ = process.communicate(timeout=PATIENCE)
            if process.returncode != 6:
                break
        assert process.returncode == 0, f"greenroom {' '.join(words)}: {process.returncode}\n{said}"

    def served(self) -> str:
        """The version that a user gets."""
        link = HTTPConnection("127.0.0.1", self.alb.http.port, timeout=10)
        try:
            link.request("GET", "/")
            return link.getresponse().read().decode()
        finally:
            link.close()


class Users:
    """Clients that never stop, on kept and on fresh connections."""

    def __init__(self, port: int) -> None:
        self.port, self.over = port, threading.Event()
        self.failed: list[str] = []
        self.count = 0
        self.threads = [threading.Thread(target=self._run, args=(kept,), daemon=True) for kept in (True, False, False)]

    def _run(self, kept: bool) -> None:
        link = HTTPConnection("127.0.0.1", self.port, timeout=20)
        while not self.over.wait(0.01):
            try:
                link.request("GET", "/")
                answer = link.getresponse()
                text = answer.read().decode()
                if answer.status != 200:
                    self.failed.append(f"{answer.status} {text[:60]}")
                self.count += 1
            except (OSError, HTTPException) as error:
                self.failed.append(f"{type(error).__name__}: {error}")
                link.close()
            if not kept:
                link.close()
        link.close()

    def __enter__(self) -> Users:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join(30)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    nobody(monkeypatch)
    with moto() as upstream:
        front = Front(upstream, time.time)
        try:
            with Alb(upstream) as alb, Cluster(upstream, tmp_path) as cluster:
                yield Stage(upstream, tmp_path, front, alb, cluster)
        finally:
            front.close()


WRITES = ("RegisterTaskDefinition", "TagResource", "UpdateService", "AddTags", "ModifyListener")
LOOKS = ("DescribeServices", "ListTasks", "DescribeTasks", "DescribeTargetHealth", "DescribeListeners", "DescribeTags")
JOURNAL = ("GetItem", "Query", "UpdateItem", "TransactWriteItems", "PutItem")


def killed(stage: Stage, version: str, fault: Fault) -> bool:
    """Deploy it, and kill -9 whoever does it at this call; whether it came to that."""
    command: list[subprocess.Popen[str]] = []
    fault.meanwhile = lambda: command[0].kill()
    stage.front.faults[:] = [fault]
    command.append(stage.start("deploy", version))
    command[0].communicate(timeout=PATIENCE)
    stage.front.faults.clear()
    return command[0].returncode == -9


def test_a_release_that_is_killed_goes_on_and_a_rollback_without_a_request_lost(stage: Stage) -> None:
    for version in ("1", "2"):
        stage.kit.push(version)
    stage.run("deploy", "1")
    assert stage.served() == "1"
    with Users(stage.alb.http.port) as users:
        assert killed(stage, "2", Fault("", "UpdateService"))
        assert stage.served() == "1"
        stage.run("deploy", "2")
        assert stage.served() == "2"
        stage.run("rollback", "--why", "drill")
        assert stage.served() == "1"
        assert users.count > 100
    assert not users.failed, users.failed[:5]
    assert not stage.kit.worker_twice()


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("operation", WRITES)
def test_killed_at_any_change_the_next_command_converges(stage: Stage, operation: str) -> None:
    """Before each call that changes something, and after it, in a release of its own."""
    for version in ("1", "2"):
        stage.kit.push(version)
    stage.run("deploy", "1")
    stage.front.calls.clear()
    stage.run("deploy", "2")
    calls = [call for call in stage.front.calls if call not in (*JOURNAL, *LOOKS)]
    assert len(calls) <= 60, calls
    points = [(n, kind) for n in range(calls.count(operation)) for kind in ("reset", "")]
    assert len(points) >= 4
    with Users(stage.alb.http.port) as users:
        for number, (skip, kind) in enumerate(points, 3):
            version = str(number)
            stage.kit.push(version)
            killed(stage, version, Fault(kind, operation, skip=skip))
            stage.insist("deploy", version)
            assert stage.served() == version, (skip, kind)
            assert not users.failed, (skip, kind, users.failed[:5])
            assert not stage.kit.worker_twice(), (skip, kind)
        stage.cluster.push(stage.kit.repository, "broken", BROKEN)
        assert "no luck" in stage.run("deploy", "broken", expect=4)
    assert not users.failed, users.failed[:5]
