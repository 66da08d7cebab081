"""An ECS that lives: moto keeps the record, a loop here does what ECS would do with it.

A task is a real process of this machine on a loopback address of its own. Told to, a service starts and stops tasks,
registers them with its target group, completes deployments or (circuit breaker) puts the old task definition back. What a
container runs is looked up by its image: `Cluster.scripts`. The server of moto must run in this process (`aws_front.moto`).
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
from moto.ecs.models import EC2ContainerServiceBackend, ecs_backends

from tests.process_kit import WORKER
from tests.rigs.aws_front import ACCOUNT, REGION

TICK = 0.02
DRAINS_FOR = 0.15
"""Seconds between leaving the target group and SIGTERM, that stand for its deregistration delay."""
PATIENCE = 60.0
_NUMBERS = itertools.count(1)
_ADDRESSES = itertools.count(1)

WEB = """
import os, signal, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = os.environ.get("GREENROOM_VERSION", "0").encode()
        self.send_response(200)
        self.send_header("x-served-by", os.environ["SERVICE"]); self.send_header("x-version", body.decode())
        self.send_header("Content-Length", str(len(body)))
        self.end_headers(); self.wfile.write(body)
    def log_message(self, *a): pass
class Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 128
    def handle_error(self, *a): pass
server = Server((os.environ["ADDRESS"], int(os.environ["PORT"])), Handler)
signal.signal(signal.SIGTERM, lambda *a: threading.Thread(target=server.shutdown).start())
print("listening", flush=True)
server.serve_forever(0.02)
server.server_close()
"""
BROKEN = "import sys; print('reading the settings'); print('no luck', flush=True); sys.exit(3)"


@dataclass
class Run:
    """A task: what ECS says of it, and the process."""

    cluster: str
    service: str
    definition: Any
    deployment: str
    address: str
    folder: Path
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    status: str = "PENDING"
    wanted: str = "RUNNING"
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    process: subprocess.Popen[bytes] | None = None
    drained: float = 0.0
    reason: str = ""
    told: int = 0
    """Bytes of its output that are in CloudWatch Logs."""

    @property
    def arn(self) -> str:
        return f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/rig/{self.id}"

    def of(self, *told: str) -> bool:
        return told == (self.cluster, self.service, self.wanted)

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def raw(self) -> dict[str, Any]:
        container: dict[str, Any] = {"name": self.definition.container_definitions[0]["name"]}
        if self.process is not None and self.process.poll() is not None:
            container["exitCode"] = max(self.process.returncode, 0) or (137 if self.process.returncode == -9 else 0)
        attached = {
            "type": "ElasticNetworkInterface",
            "details": [{"name": "privateIPv4Address", "value": self.address}],
        }
        return {
            "taskArn": self.arn,
            "taskDefinitionArn": self.definition.arn,
            "lastStatus": self.status,
            "desiredStatus": self.wanted,
            "createdAt": self.created,
            "stoppedReason": self.reason,
            "attachments": [attached],
            "containers": [container],
            "platformVersion": "1.4.0",
        }


class Living(EC2ContainerServiceBackend):  # type: ignore[misc]
    """moto's, but what it is told is left for the loop to do."""

    runs: dict[str, Run]

    def list_tasks(self, *asked: Any, **more: Any) -> list[Any]:
        cluster, _, _, _, service, wanted = (*asked, *[None] * 6)[:6]
        if not service:
            return list(super().list_tasks(*asked, **more))
        return [_Named(run.arn) for run in list(self.runs.values()) if run.of(cluster, service, wanted or "RUNNING")]

    def describe_tasks(self, cluster_str: str, tasks: list[str]) -> list[Any]:
        return [run.raw() for arn in tasks if (run := self.runs.get(arn))]

    def update_service(self, service_properties: dict[str, Any]) -> Any:
        told = dict(service_properties)
        service = self._get_service(told.pop("cluster", "default"), told.pop("service"))
        name = told.pop("task_definition", None)
        forced = told.pop("force_new_deployment", False)
        for key, value in told.items():
            if value is not None:
                setattr(service, key, value)
        primary = service.deployments[0]
        primary["desiredCount"], primary["updatedAt"] = service.desired_count, datetime.now(UTC)
        definition = self.describe_task_definition(name).arn if name else service.task_definition
        if definition != service.task_definition or forced:
            deploy(service, definition)
        return service


@dataclass(frozen=True)
class _Named:
    task_arn: str


def deploy(service: Any, definition: str, reason: str = "") -> None:
    """A new deployment, whose task definition replaces that of the one before."""
    now = datetime.now(UTC)
    service.task_definition = definition
    for deployment in service.deployments:
        deployment["status"] = "ACTIVE"
    fresh = {
        "id": f"ecs-svc/{next(_NUMBERS):019d}",
        "status": "PRIMARY",
        "taskDefinition": definition,
        "desiredCount": service.desired_count,
        "runningCount": 0,
        "pendingCount": 0,
        "failedTasks": 0,
        "createdAt": now,
        "updatedAt": now,
        "rolloutState": "IN_PROGRESS",
        "rolloutStateReason": reason or "ECS deployment in progress.",
    }
    service.deployments = [fresh, *service.deployments]


@functools.cache
def clients(where: str) -> dict[str, Any]:
    """Of moto itself, round everything; to make them takes a while."""
    options = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": REGION}
    names = ("ecs", "elbv2", "logs", "ecr", "application-autoscaling", "ec2")
    return {name: boto3.client(name, endpoint_url=where, **options) for name in names}


class Cluster:
    """A context manager: one ECS cluster. `scripts`: by image, what its containers run; others run `WEB`."""

    def __init__(self, upstream: tuple[str, int], folder: Path) -> None:
        self.api = clients(f"http://{upstream[0]}:{upstream[1]}")
        self.name = f"cluster-{os.getpid()}-{next(_NUMBERS)}"
        self.folder = folder
        self.scripts: dict[str, str] = {}
        self.networks: dict[str, str] = {}
        self.health: Callable[[str, str], bool] = lambda group, address: True
        """Whether a target is healthy: by the group's ARN and its address."""
        self.lock = threading.RLock()
        self.trouble: BaseException | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self.api["ecs"].create_cluster(clusterName=self.name)
        backend = ecs_backends[ACCOUNT][REGION]
        if not isinstance(backend, Living):
            backend.__class__ = Living
            backend.runs = {}
        self.backend: Any = backend

    # making, as the infrastructure would

    def group(self, name: str, vpc: str = "") -> str:
        """A target group in the cluster's network, or in another (a CIDR block)."""
        if vpc not in self.networks:
            made = self.api["ec2"].create_vpc(CidrBlock=vpc or "10.0.0.0/16")
            self.networks[vpc] = str(made["Vpc"]["VpcId"])
        [made] = self.api["elbv2"].create_target_group(
            Name=name, Protocol="HTTP", Port=8080, VpcId=self.networks[vpc], TargetType="ip"
        )["TargetGroups"]
        return str(made["TargetGroupArn"])

    def pattern(self, family: str, container: str = "web", **more: Any) -> str:
        """A task definition as people have one; its ARN."""
        log = {"awslogs-group": f"/{self.name}", "awslogs-region": REGION, "awslogs-stream-prefix": "shop"}
        usual: dict[str, Any] = {
            "name": container,
            "image": "placeholder",
            "memory": 128,
            "environment": [{"name": "GREETING", "value": "hello"}],
            "logConfiguration": {"logDriver": "awslogs", "options": log},
            **more.pop("main", {}),
        }
        told = self.api["ecs"].register_task_definition(family=family, containerDefinitions=[usual], **more)
        return str(told["taskDefinition"]["taskDefinitionArn"])

    def service(self, name: str, definition: str, group: str = "", *, container: str = "web", **more: Any) -> Any:
        """Made with nothing to run, as it is outside of a release. Returns moto's own."""
        balanced = [{"targetGroupArn": group, "containerName": container, "containerPort": 8080}] if group else []
        breaker = more.pop("breaker", False)
        self.api["ecs"].create_service(
            cluster=self.name,
            serviceName=name,
            taskDefinition=definition,
            desiredCount=more.pop("desired", 0),
            loadBalancers=balanced,
            **more,
        )
        made = self.of(name)
        made.deployment_configuration = {"deploymentCircuitBreaker": {"enable": breaker, "rollback": breaker}}
        made.deployments[0]["rolloutState"] = "IN_PROGRESS" if made.desired_count else "COMPLETED"
        made.running_count = made.pending_count = 0
        return made

    def push(self, repository: str, tag: str, script: str = WEB) -> str:
        """An image in ECR, under this tag from now on; its digest."""
        ecr = self.api["ecr"]
        with contextlib.suppress(ecr.exceptions.RepositoryAlreadyExistsException):
            ecr.create_repository(repositoryName=repository)
        kind = "application/vnd.docker.distribution.manifest.v2+json"
        manifest = f'{{"schemaVersion": 2, "mediaType": "{kind}", "unique": "{uuid.uuid4()}"}}'
        told = ecr.put_image(repositoryName=repository, imageTag=tag, imageManifest=manifest)
        digest = str(told["image"]["imageId"]["imageDigest"])
        self.scripts[f"{registry()}/{repository}@{digest}"] = script
        return digest

    # looking, round everything

    def of(self, service: str) -> Any:
        return self.backend._get_service(self.name, service)

    def runs(self, service: str = "") -> list[Run]:
        mine = [run for run in list(self.backend.runs.values()) if run.cluster == self.name]
        return [run for run in mine if service in ("", run.service)]

    def alive(self, service: str) -> frozenset[str]:
        return frozenset(run.id for run in self.runs(service) if run.alive)

    def wait(self, until: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + PATIENCE
        while not until():
            if self.trouble:
                raise AssertionError(f"the cluster has stopped: {self.trouble!r}") from self.trouble
            assert time.monotonic() < end, f"not within {PATIENCE:g} s: {what}"
            time.sleep(0.04)

    # misfortune

    def kill(self, service: str = "", number: int | None = None) -> None:
        """SIGKILL to tasks that run; what ECS makes of it stands in its record when this returns."""
        with self.lock:
            for run in [run for run in self.runs(service) if run.alive][:number]:
                assert run.process is not None
                run.process.kill()
                run.process.wait()
            self._step()

    @contextlib.contextmanager
    def ailing(self, reason: str) -> Iterator[None]:
        """Meanwhile every target fails its health check behind the load balancer."""
        from moto.elbv2.models import FakeHealthStatus, elbv2_backends

        balancers: Any = elbv2_backends[ACCOUNT][REGION]

        def describe(target_group_arn: str, targets: list[Any]) -> list[Any]:
            there = balancers.target_groups[target_group_arn].targets.values()
            return [FakeHealthStatus(t["Id"], str(t["Port"]), "8080", "unhealthy", reason, "") for t in there]

        balancers.describe_target_health = describe
        try:
            yield
        finally:
            del balancers.describe_target_health

    # running

    def __enter__(self) -> Cluster:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join(20)
        for run in self.runs():
            if run.process is not None:
                run.process.kill()
                run.process.wait()
            self.backend.runs.pop(run.arn, None)

    def _loop(self) -> None:
        while not self._over.wait(TICK):
            try:
                with self.lock:
                    self._step()
            except RuntimeError:
                continue  # moto changed a table while it was read
            except Exception as error:
                self.trouble = error
                return

    def _step(self) -> None:
        for service in [s for s in list(self.backend.services.values()) if s.cluster_name == self.name]:
            for run in self.runs(service.name):
                self._advance(service, run)
            self._schedule(service)

    def _advance(self, service: Any, run: Run) -> None:
        """One task, one step further in its life."""
        self._tell(run)
        dead = run.process is not None and run.process.poll() is not None
        if run.wanted == "RUNNING" and dead:
            assert run.process is not None
            run.reason, run.wanted = "Essential container in task exited", "STOPPED"
            self._leave(service, run)
            run.status = "STOPPED"
            self._failed(service, run)
        elif run.wanted == "RUNNING" and run.status == "PENDING" and _listens(run):
            run.status = "RUNNING"
            for group in _groups(service):
                self.api["elbv2"].register_targets(TargetGroupArn=group, Targets=[{"Id": run.address, "Port": 8080}])
        elif run.wanted == "STOPPED" and run.status not in ("STOPPING", "STOPPED"):
            if run.status != "DEACTIVATING":
                self._leave(service, run)
                run.status, run.drained = "DEACTIVATING", time.monotonic() + (DRAINS_FOR if _groups(service) else 0)
            elif time.monotonic() >= run.drained:
                run.status = "STOPPING"
                if run.process is not None:
                    run.process.terminate()
        elif run.status == "STOPPING" and not run.alive:
            run.status = "STOPPED"

    def _schedule(self, service: Any) -> None:
        primary = service.deployments[0]
        with_it = [run for run in self.runs(service.name) if run.wanted == "RUNNING"]
        own = [run for run in with_it if run.deployment == primary["id"]]
        for _ in range(service.desired_count - len(own)):
            self._start(service, primary)
        for run in own[service.desired_count :]:
            run.wanted, run.reason = "STOPPED", "Scaling activity initiated by deployment"
        well = [run for run in own if run.status == "RUNNING" and self._healthy(service, run)]
        if len(well) >= service.desired_count:
            for run in with_it:
                if run.deployment != primary["id"]:
                    run.wanted, run.reason = "STOPPED", "Scaling activity initiated by deployment"
        self._count(service)
        older = any(d["runningCount"] or d["pendingCount"] for d in service.deployments[1:])
        if primary["rolloutState"] == "IN_PROGRESS" and len(well) == service.desired_count and not older:
            primary["rolloutState"], primary["rolloutStateReason"] = "COMPLETED", "ECS deployment completed."
            primary["failedTasks"] = 0
            self.event(service, "has reached a steady state.")
            service.deployments = [primary, *(d for d in service.deployments[1:] if d["rolloutState"] == "FAILED")]

    def _count(self, service: Any) -> None:
        running = [run for run in self.runs(service.name) if run.wanted == "RUNNING"]
        for deployment in service.deployments:
            own = [run for run in running if run.deployment == deployment["id"]]
            deployment["runningCount"] = sum(run.status == "RUNNING" for run in own)
            deployment["pendingCount"] = len(own) - deployment["runningCount"]
        service.running_count = sum(d["runningCount"] for d in service.deployments)
        service.pending_count = sum(d["pendingCount"] for d in service.deployments)

    def _start(self, service: Any, deployment: Mapping[str, Any]) -> None:
        definition = self.backend.describe_task_definition(deployment["taskDefinition"])
        number = next(_ADDRESSES)
        address = f"127.{os.getpid() % 200 + 20}.{number // 250 % 250}.{number % 250 + 1}"
        run = Run(self.name, service.name, definition, deployment["id"], address, self.folder)
        self.backend.runs[run.arn] = run
        [container, *_] = definition.container_definitions
        worker = "worker" in (container["name"], *(container.get("command") or ()))
        script = self.scripts.get(container["image"], WEB)
        own = {"ADDRESS": address, "KIT": str(self.folder), "SERVICE": service.name, "PORT": "8080"}
        told = {entry["name"]: entry["value"] for entry in container.get("environment") or ()}
        if script == WEB and worker:
            script = WORKER
        with (self.folder / f"{run.id}.log").open("wb") as output:
            run.process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", script],
                env={**told, **own},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def _leave(self, service: Any, run: Run) -> None:
        for group in _groups(service):
            with contextlib.suppress(Exception):  # it never was there
                self.api["elbv2"].deregister_targets(TargetGroupArn=group, Targets=[{"Id": run.address}])

    def _failed(self, service: Any, run: Run) -> None:
        primary = service.deployments[0]
        if run.deployment != primary["id"] or primary["rolloutState"] != "IN_PROGRESS":
            return
        primary["failedTasks"] += 1
        breaker = getattr(service, "deployment_configuration", {}).get("deploymentCircuitBreaker", {})
        if not breaker.get("enable") or primary["failedTasks"] < 3:
            return
        primary["rolloutState"] = "FAILED"
        primary["rolloutStateReason"] = "ECS deployment circuit breaker: tasks failed to start."
        self.event(service, f"(deployment {primary['id']}) deployment failed: tasks failed to start.")
        if breaker.get("rollback") and len(service.deployments) > 1:
            older = service.deployments[1]
            reason = f"ECS deployment circuit breaker: rolling back to deploymentId {older['id']}."
            deploy(service, older["taskDefinition"], reason)
            for run in self.runs(service.name):
                if run.deployment == older["id"]:
                    run.deployment = service.deployments[0]["id"]

    def event(self, service: Any, text: str) -> None:
        told = {"id": uuid.uuid4().hex, "createdAt": datetime.now(UTC), "message": f"(service {service.name}) {text}"}
        service.events.insert(0, told)

    def _healthy(self, service: Any, run: Run) -> bool:
        return all(self.health(group, run.address) for group in _groups(service))

    def _tell(self, run: Run) -> None:
        """What it has written, to CloudWatch Logs."""
        options = (run.definition.container_definitions[0].get("logConfiguration") or {}).get("options") or {}
        path = self.folder / f"{run.id}.log"
        if not options or not path.exists() or path.stat().st_size <= run.told:
            return
        text = path.read_bytes()[run.told :]
        run.told += len(text)
        container = run.definition.container_definitions[0]["name"]
        where = {
            "logGroupName": options["awslogs-group"],
            "logStreamName": f"{options['awslogs-stream-prefix']}/{container}/{run.id}",
        }
        logs, now = self.api["logs"], int(time.time() * 1000)
        with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
            logs.create_log_group(logGroupName=where["logGroupName"])
        with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
            logs.create_log_stream(**where)
        lines = text.decode().splitlines()
        logs.put_log_events(**where, logEvents=[{"timestamp": now, "message": line} for line in lines])


def registry() -> str:
    return f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"


def _groups(service: Any) -> list[str]:
    return [str(lb["targetGroupArn"]) for lb in service.load_balancers]


def _listens(run: Run) -> bool:
    """It takes requests; what has no port is at work as soon as it runs."""
    container = run.definition.container_definitions[0]
    if "worker" in (container["name"], *(container.get("command") or ())):
        return run.alive
    try:
        socket.create_connection((run.address, 8080), 0.2).close()
    except OSError:
        return False
    return True
