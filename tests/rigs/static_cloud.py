"""S3 and CloudFront as moto has them, made honest where moto is not, with edges that serve what they were told.

Honest: an update of a distribution is refused unless its tag is the present one, changes the tag, and is `InProgress`
until the edges have it. `Edge` answers users from the bucket, by the origin path that has reached it; with `cache` it
keeps pages until they are invalidated, as an edge does whose cache policy has a minimum.
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import boto3
from botocore.config import Config

from greenroom.adapters.aws.access import Access
from greenroom.adapters.aws.client import Client
from tests.rigs.aws_front import ACCOUNT, REGION, moto

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

    @property
    def access(self) -> Access:
        return Access(region=REGION, endpoint=self.endpoint)

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
    """A client whose process dies at its call `at` (from 1 on): before it, or `after` it."""

    def __init__(self, access: Access, at: int = 0, *, after: bool = False) -> None:
        self._client, self.at, self.after = Client(access), at, after
        self.calls: list[str] = []
        self._lock = threading.Lock()

    def read(self, service: str, operation: str, about: str = "", /, **parameters: Any) -> Mapping[str, Any]:
        return self._at_risk(operation, lambda: self._client.read(service, operation, about, **parameters))

    def write(self, service: str, operation: str, about: str = "", /, **parameters: Any) -> Mapping[str, Any]:
        return self._at_risk(operation, lambda: self._client.write(service, operation, about, **parameters))

    def _at_risk(self, operation: str, act: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        with self._lock:
            self.calls.append(operation)
            number = len(self.calls)
        if self.at and (number > self.at or (number == self.at and not self.after)):
            raise Killed
        done = act()
        if number == self.at:
            raise Killed
        return done


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
