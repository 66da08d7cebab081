"""S3 and CloudFront as moto has them, made honest where moto is not, with edges that serve what they were told.

Honest: an update of a distribution is refused unless its tag is the present one, changes the tag, and is `InProgress`
until the edges have it. `Edge` answers users from the bucket, by the origin path that has reached it; with `cache` it
keeps pages until they are invalidated, as an edge does whose cache policy has a minimum.
"""

from __future__ import annotations

import copy
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
from botocore.config import Config

from greenroom.adapters.aws.access import Access
from greenroom.adapters.aws.client import Client
from greenroom.adapters.environments.static import StaticEnvironment
from greenroom.adapters.routers.static import StaticRouter
from greenroom.adapters.static.asked import Asked
from greenroom.adapters.static.files import survey
from greenroom.adapters.static.local import Wanted
from greenroom.adapters.static.settings import EnvironmentSettings, RouterSettings
from greenroom.adapters.static.upload import upload
from greenroom.domain.model import Backend, Colour, Endpoint, EnvironmentSpec, Role
from greenroom.ports import ActionKey, Place
from greenroom.testing import traffic
from greenroom.testing.contracts.router import Held, Reply, Server
from tests.rigs.aws_front import ACCOUNT, REGION, moto
from tests.rigs.static import Load, Press, loaded, write_version

BUCKET = "shop-front-end"


class Edge:
    """One distribution's face to users. `held`: what it was told is not brought to it any more."""

    def __init__(self, cloud: Cloud, distribution: str) -> None:
        self.cloud, self.distribution = cloud, distribution
        self.path, self.held, self.cached = "", False, False
        self.kept: dict[str, tuple[int, bytes, str]] = {}
        edge = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                status, body, kind = edge.answer(self.path)
                self.send_response_only(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, path: str) -> tuple[int, bytes, str]:
        path = "/index.html" if path == "/" else path
        if self.cached and path in self.kept:
            return self.kept[path]
        found = self.cloud.object(f"{self.path}{path}".lstrip("/"))
        said = (200, *found) if found else (403, b"<Error><Code>AccessDenied</Code></Error>", "application/xml")
        if self.cached:
            self.kept[path] = said
        return said

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Cloud:
    """One test's bucket and distributions."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.endpoint = f"http://{address[0]}:{address[1]}"
        plain = Config(retries={"total_max_attempts": 1})
        given = {"region_name": REGION, "endpoint_url": self.endpoint, "config": plain}
        self.client = Client(Access(region=REGION, endpoint=self.endpoint))
        self.s3 = boto3.client("s3", **given)
        self.cloudfront = boto3.client("cloudfront", **given)
        self.bucket = f"{BUCKET}-{uuid4().hex[:8]}"
        self.s3.create_bucket(Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        self.edges = {name: Edge(self, self._distribution(name)) for name in ("main", "test")}

    def _distribution(self, name: str) -> str:
        origin = {
            "Id": "front-end",
            "DomainName": f"{self.bucket}.s3.{REGION}.amazonaws.com",
            "OriginPath": "",
            "S3OriginConfig": {"OriginAccessIdentity": ""},
        }
        api = {
            "Id": "api",
            "DomainName": "api.shop.example",
            "CustomOriginConfig": {"HTTPPort": 80, "HTTPSPort": 443, "OriginProtocolPolicy": "https-only"},
        }
        config = {
            "CallerReference": f"{self.bucket}-{name}",
            "Comment": name,
            "Enabled": True,
            "DefaultRootObject": "index.html",
            "Origins": {"Quantity": 2, "Items": [origin, api]},
            "DefaultCacheBehavior": {"TargetOriginId": "front-end", "ViewerProtocolPolicy": "redirect-to-https"},
        }
        made = self.cloudfront.create_distribution(DistributionConfig=config)
        return str(made["Distribution"]["Id"])

    def keys(self) -> dict[str, Any]:
        return {
            "bucket": self.bucket,
            "region": REGION,
            "endpoint": self.endpoint,
        }

    def close(self) -> None:
        for edge in self.edges.values():
            edge.close()

    # the world, round the adapters

    def object(self, key: str) -> tuple[bytes, str] | None:
        from moto.s3.models import s3_backends

        found = s3_backends[ACCOUNT]["aws"].get_object(self.bucket, key)
        if found is None:
            return None
        return found.value, (found.metadata or {}).get("Content-Type", "")

    def head(self, key: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.s3.head_object(Bucket=self.bucket, Key=key)
        return found

    def objects(self) -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return [one["Key"] for page in pages for one in page.get("Contents", ())]

    def path(self, name: str = "main") -> str:
        found = self.cloudfront.get_distribution_config(Id=self.edges[name].distribution)["DistributionConfig"]
        return str(found["Origins"]["Items"][0].get("OriginPath", ""))

    def move(self, path: str, name: str = "main") -> None:
        """By hand, as anybody may."""
        edge = self.edges[name]
        found = self.cloudfront.get_distribution_config(Id=edge.distribution)
        config = copy.deepcopy(found["DistributionConfig"])
        config["Origins"]["Items"][0]["OriginPath"] = path
        self.cloudfront.update_distribution(Id=edge.distribution, IfMatch=found["ETag"], DistributionConfig=config)

    def invalidations(self) -> list[str]:
        found = self.cloudfront.list_invalidations(DistributionId=self.edges["main"].distribution)
        return [one["Id"] for one in found["InvalidationList"].get("Items", ())]

    def bring(self, distribution: str, path: str) -> bool:
        """A change reaches the edges; False if they are held."""
        for edge in self.edges.values():
            if edge.distribution == distribution:
                if edge.held:
                    return False
                edge.path = path
        return True

    def forget(self, distribution: str) -> None:
        for edge in self.edges.values():
            if edge.distribution == distribution:
                edge.kept.clear()

    def release(self) -> None:
        """What was held reaches the edges."""
        for name, edge in self.edges.items():
            edge.held = False
            edge.path = self.path(name)
            _backend().distributions[edge.distribution].status = "Deployed"


class Killed(BaseException):
    """As `kill -9`: nothing that Greenroom catches."""


class Dying:
    """A client whose process dies before its call `at` (from 1 on; 0: never), which is after the one before."""

    def __init__(self, client: Client, at: int = 0) -> None:
        self._client, self.at = client, at
        self.calls: list[str] = []
        self._lock = threading.Lock()

    def read(self, service: str, operation: str, about: str = "", /, **parameters: Any) -> Mapping[str, Any]:
        self._risk(operation)
        return self._client.read(service, operation, about, **parameters)

    def write(self, service: str, operation: str, about: str = "", /, **parameters: Any) -> Mapping[str, Any]:
        self._risk(operation)
        return self._client.write(service, operation, about, **parameters)

    def _risk(self, operation: str) -> None:
        with self._lock:
            self.calls.append(operation)
            if self.at and len(self.calls) >= self.at:
                raise Killed


_CLOUDS: dict[str, Cloud] = {}


def _backend() -> Any:
    from moto.cloudfront.models import cloudfront_backends

    return cloudfront_backends[ACCOUNT]["aws"]


def honest() -> None:
    """What AWS does with tags and states, and moto does not. Moto's own classes, in this process."""
    from moto.cloudfront.exceptions import CloudFrontException
    from moto.cloudfront.models import CloudFrontBackend

    if getattr(CloudFrontBackend, "honest", False):
        return

    class PreconditionFailed(CloudFrontException):
        code = 412

        def __init__(self) -> None:
            super().__init__("PreconditionFailed", "The request failed because of its If-Match")

    update, invalidate = CloudFrontBackend.update_distribution, CloudFrontBackend.create_invalidation

    def update_distribution(self: Any, dist_config: dict[str, Any], _id: str, if_match: Any) -> Any:
        if _id in self.distributions and self.distributions[_id].etag != if_match:
            raise PreconditionFailed
        found, where, _ = update(self, dist_config, _id, if_match)
        found.etag = uuid4().hex[:13].upper()
        path = found.distribution_config.Origins["Items"][0].origin_path
        brought = all(cloud.bring(_id, path) for cloud in _CLOUDS.values())
        found.status = "Deployed" if brought else "InProgress"
        return found, where, found.etag

    def create_invalidation(self: Any, dist_id: str, paths: list[str], caller_ref: str) -> Any:
        for known in self.invalidations.get(dist_id, ()):
            if known.caller_ref == caller_ref:
                return known
        for cloud in _CLOUDS.values():
            cloud.forget(dist_id)
        return invalidate(self, dist_id, paths, caller_ref)

    CloudFrontBackend.update_distribution = update_distribution
    CloudFrontBackend.create_invalidation = create_invalidation
    CloudFrontBackend.honest = True


@contextmanager
def server() -> Iterator[tuple[str, int]]:
    """Moto's address, for a session."""
    from moto.moto_api import state_manager

    with moto() as address:
        honest()
        state_manager.set_transition("cloudfront::distribution", {"progression": "manual", "times": 1_000_000})
        yield address


@contextmanager
def cloud(address: tuple[str, int]) -> Iterator[Cloud]:
    made = Cloud(address)
    _CLOUDS[made.bucket] = made
    try:
        for edge in made.edges.values():
            _backend().distributions[edge.distribution].status = "Deployed"
        yield made
    finally:
        del _CLOUDS[made.bucket]
        made.close()


def wait(until: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60.0
    while not until():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


class Front:
    """The bench of the router's contract: edges for a data plane."""

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self.cloud, self.folder = cloud, folder
        self.place = Place("shop", folder / "greenroom.yaml", folder / ".greenroom")
        self._version = 0

    def settings(self, **more: Any) -> RouterSettings:
        main, test = (self.cloud.edges[name] for name in ("main", "test"))
        plain = {
            **self.cloud.keys(),
            "url": main.url,
            "distribution": main.distribution,
            "test_route": {"url": test.url, "distribution": test.distribution},
            "invalidate": [],
        }
        return RouterSettings.model_validate({**plain, **more})

    def router(self, **more: Any) -> StaticRouter:
        return StaticRouter(self.settings(**more), self.place, self.cloud.client)

    def published(self, colour: Colour, version: str, client: Asked | None = None) -> str:
        """The id of a version that was published."""
        source = self.folder / "built" / f"{colour}-{version}"
        write_version(source, colour, version)
        wanted = Wanted("shop", f"r-{version}", version, 5, 1000)
        order = {**self.cloud.keys(), "prefix": "shop"}
        return upload(order, survey(source, ()), wanted, client or self.cloud.client).rpartition("/")[2]

    def backend(self, colour: Colour) -> Backend:
        self._version += 1
        version = f"{self._version}.0"
        name = self.published(colour, version)
        reference = f"s3://{self.cloud.bucket}/shop/releases/{name}"
        spec = EnvironmentSpec(f"r-{version}", version, reference, Role.IDLE, {})
        self.environment().apply(colour, spec, ActionKey(spec.release, "start", 0, "apply", colour, 0))
        return Backend((Endpoint(name, 0),), version, spec.release)

    def environment(self) -> StaticEnvironment:
        settings = EnvironmentSettings.model_validate(self.cloud.keys())
        return StaticEnvironment(settings, self.place, self.cloud.client)

    def pause(self) -> None:
        time.sleep(0.005)

    def ask(self, test: bool = False) -> Server | None:
        url, headers = self.router().reach(test)
        answer = traffic.ask(url, headers=headers)
        if answer.status != 200:
            return None
        colour, version, _ = answer.text.split()
        return Server(Colour(colour), version)

    @contextmanager
    def load(self) -> Iterator[Load]:
        with loaded(self.cloud.edges["main"].url) as load:
            yield load

    def hold(self) -> Held | None:
        """Files are sent, nothing stays open."""
        return None

    def stall(self) -> bool:
        self.cloud.edges["main"].held = True
        return True

    def meddle(self) -> bool:
        told = self.cloud.path()
        pages = [key for key in self.cloud.objects() if key.endswith("/index.html")]
        other = next(key for key in pages if not f"/{key}".startswith(f"{told}/"))
        self.cloud.move("/" + other.rpartition("/")[0])
        return True

    def demanding(self) -> None:
        """What CloudFront refuses it refuses at once."""

    def kill(self) -> None:
        """Edges do not die; what was held is brought to them."""
        self.cloud.release()

    # not asked for: by capability

    def shares(self, requests: int) -> Mapping[Colour, int]:
        raise NotImplementedError

    def send(self, method: str = "GET", headers: Mapping[str, str] | None = None) -> Reply:
        raise NotImplementedError

    def failing(self, colour: Colour) -> Any:
        raise NotImplementedError

    def sticky(self) -> None:
        """It has no shares."""


class CloudRooms:
    """The bench of the environment's contract."""

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self.cloud, self.folder, self.front = cloud, folder, Front(cloud, folder)

    def open(self) -> StaticEnvironment:
        return self.front.environment()

    def spec(self, version: str, role: Role, *, sweep: bool = False) -> EnvironmentSpec:
        names = f"s3://{self.cloud.bucket}/shop/releases/"
        name = f"r-{version}-0" if version == "broken" else self.front.published(Colour.BLUE, version)
        return EnvironmentSpec(f"r-{version}", version, names + name, role, {}, sweep)

    def wait(self, until: Callable[[], bool], what: str) -> None:
        wait(until, what)

    def replicas(self, colour: Colour) -> frozenset[str]:
        found = self.cloud.object(f"shop/{colour}.json")
        name = json.loads(found[0])["id"] if found else ""
        return frozenset({name} if name and self.cloud.object(f"shop/releases/{name}/index.html") else ())

    def workers(self) -> frozenset[str]:
        return frozenset()

    def worker_twice(self) -> bool:
        return False

    def kill_supervisor(self) -> bool:
        """Nothing watches objects."""
        return False

    def reboot(self) -> bool:
        """Objects are there again."""
        return True


class CloudPress(Press):
    """The bench of the artefact's contract."""

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        super().__init__(folder)
        self.cloud = cloud

    def definition(self, **more: Any) -> dict[str, Any]:
        return {"environment": {"type": "static", "source": "site", **self.cloud.keys(), **more}}

    def witness(self, reference: str) -> str:
        found = self.cloud.object(reference.removeprefix(f"s3://{self.cloud.bucket}/") + "/made.html")
        assert found is not None
        return found[0].decode()
