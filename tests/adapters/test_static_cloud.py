"""The static front end on S3 and CloudFront: what is uploaded and how, who may move it, and every call to be killed at."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from greenroom.adapters.aws.client import Client
from greenroom.adapters.environments.static import StaticEnvironment
from greenroom.adapters.routers.static import StaticRouter
from greenroom.adapters.static.examine_cloud import bucket_problems, distribution_problems
from greenroom.adapters.static.files import Unfit, survey
from greenroom.adapters.static.local import Wanted
from greenroom.adapters.static.patient import Patient
from greenroom.adapters.static.settings import EnvironmentSettings, RouterSettings
from greenroom.adapters.static.upload import forget_release, upload
from greenroom.domain.model import Backend, Colour, EnvironmentSpec, Role, Routing, RoutingSpec, Split
from greenroom.errors import Permanent, Temporary, Uncertain
from greenroom.ports import ActionKey, Paced, Place
from greenroom.testing import traffic
from tests.rigs import aws_front
from tests.rigs.static import asset, write_version
from tests.rigs.static_cloud import Cloud, Dying, Front, Killed, cloud, server

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("static_cloud")]
BLUE, GREEN = Colour.BLUE, Colour.GREEN
KEY = ActionKey("r-1", "shift", 0, "route", "router", 0, 1)


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    with pytest.MonkeyPatch.context() as patch, server() as made:
        aws_front.nobody(patch)
        yield made


@pytest.fixture
def front(address: tuple[str, int], tmp_path: Path) -> Iterator[Front]:
    with cloud(address) as made:
        yield Front(made, tmp_path)


def routed(to: Colour, blue: Backend, green: Backend, test: Colour | None = None) -> RoutingSpec:
    return RoutingSpec(Split.all_to(to), blue, green, test)


def settled(front: Front, router: StaticRouter, spec: RoutingSpec, key: ActionKey = KEY) -> Routing:
    """As the engine does it: what is unfinished is told again."""
    for _ in range(500):
        router.anew()
        seen = router.observe()
        if seen.settled:
            return seen
        if seen.unfinished:
            router.apply(spec, key)
        front.pause()
    raise AssertionError(seen)


# --- uploading


def order(cloud: Cloud, **more: Any) -> dict[str, Any]:
    return {**cloud.keys(), "prefix": "shop", **more}


def wanted(version: str, keep: int = 5) -> Wanted:
    return Wanted("shop", f"r-{version}", version, keep, 3)


def test_every_file_has_its_type_and_how_long_it_may_be_kept(front: Front, tmp_path: Path) -> None:
    source = tmp_path / "site"
    write_version(source, "page", "1")
    for name in (
        "app.0a1b2c3d4e.css",
        "logo.svg",
        "favicon.ico",
        "data.json",
        "font.0a1b2c3d4e.woff2",
        "raw",
        "a.tar.gz",
    ):
        (source / name).write_bytes(b"x")
    reference = upload(order(front.cloud), survey(source, ()), wanted("1"), front.cloud.client)
    below = reference.removeprefix(f"s3://{front.cloud.bucket}/")
    seen = {
        name: front.cloud.head(f"{below}/{name}") for name in (path.name for path in source.iterdir() if path.is_file())
    }
    assert {name: head["ContentType"] for name, head in seen.items()} == {
        "index.html": "text/html; charset=utf-8",
        "app.0a1b2c3d4e.css": "text/css; charset=utf-8",
        "logo.svg": "image/svg+xml; charset=utf-8",
        "favicon.ico": "image/x-icon",
        "data.json": "application/json; charset=utf-8",
        "font.0a1b2c3d4e.woff2": "font/woff2",
        "raw": "application/octet-stream",
        "a.tar.gz": "application/octet-stream",
    }
    forever = {name for name, head in seen.items() if head["CacheControl"] == "public, max-age=31536000, immutable"}
    assert forever == {"app.0a1b2c3d4e.css", "font.0a1b2c3d4e.woff2"}
    assert {head["CacheControl"] for name, head in seen.items() if name not in forever} == {"no-cache"}
    assert front.cloud.head(f"{below}/{asset('page 1')}")["ContentType"] == "text/javascript; charset=utf-8"


def test_killed_at_any_call_an_upload_goes_on_where_it_was_and_overwrites_nothing(front: Front, tmp_path: Path) -> None:
    for version in ("1", "2"):
        write_version(tmp_path / version, "page", version)
    front.cloud.s3.put_bucket_versioning(Bucket=front.cloud.bucket, VersioningConfiguration={"Status": "Enabled"})
    number, died, second = 0, True, survey(tmp_path / "2", ())
    while died:
        number += 1
        place = order(front.cloud, prefix=f"death/{number}")
        upload(place, survey(tmp_path / "1", ()), wanted("1"), front.cloud.client)
        try:
            upload(place, second, wanted("2"), Dying(front.cloud.client, number))
            died = False
        except Killed:
            keys = set(front.cloud.objects())
        reference = upload(place, second, wanted("2"), front.cloud.client)
        below = reference.removeprefix(f"s3://{front.cloud.bucket}/")
        needed = {f"{below}/{name}" for name in ("index.html", asset("page 1"), asset("page 2"))}
        assert needed <= keys or f"{below}/greenroom.json" not in keys, "the mark is the last"
        assert needed <= set(front.cloud.objects())
    assert number > 10
    versions = front.cloud.s3.get_paginator("list_object_versions").paginate(Bucket=front.cloud.bucket)
    old = [one["Key"] for page in versions for one in page.get("Versions", ()) if not one["IsLatest"]]
    assert [key for key in old if "/releases/" in key] == []


class Shaky:
    """Each request is throttled once, and then done without an answer once, before it is answered."""

    def __init__(self, client: Client) -> None:
        self._client, self.asked = client, Counter[str]()
        self._lock = threading.Lock()

    def read(self, service: str, operation: str, about: str = "", /, **parameters: Any) -> Mapping[str, Any]:
        self._throttle(operation, parameters)
        return self._client.read(service, operation, about, **parameters)

    def write(self, service: str, operation: str, about: str = "", /, **parameters: Any) -> Mapping[str, Any]:
        number = self._throttle(operation, parameters)
        if number == 2:
            self._client.write(service, operation, about, **parameters)
            raise Uncertain("no answer")
        return self._client.write(service, operation, about, **parameters)

    def _throttle(self, operation: str, parameters: Mapping[str, Any]) -> int:
        with self._lock:
            name = f"{operation} {parameters.get('Key') or parameters.get('Prefix')}"
            self.asked[name] += 1
            if self.asked[name] == 1:
                raise Temporary("slow down", retry_after=2.0)
            return self.asked[name]


def test_ft_22_what_is_throttled_or_gets_no_answer_is_sent_again_and_only_once_there(
    front: Front, tmp_path: Path
) -> None:
    slept: list[float] = []
    for version in ("1", "2"):
        write_version(tmp_path / version, "page", version)
        found, shaky = survey(tmp_path / version, ()), Shaky(front.cloud.client)
        reference = upload(order(front.cloud), found, wanted(version), Patient(shaky, slept.append))
        below = reference.removeprefix(f"s3://{front.cloud.bucket}/")
        for file in found.files:
            kept = front.cloud.object(f"{below}/{file.path}")
            assert kept is not None
            assert kept[0] == file.real.read_bytes()
    assert front.cloud.object(f"{below}/{asset('page 1')}") is not None
    assert max(slept) >= 2.0, "as long as AWS says"

    def never(_: float) -> None:
        for name in shaky.asked:
            shaky.asked[name] = 0

    with pytest.raises(Temporary, match="slow down"):
        upload(order(front.cloud), found, wanted("3"), Patient(shaky, never))


def test_what_somebody_else_has_put_there_is_not_overwritten(front: Front, tmp_path: Path) -> None:
    write_version(tmp_path / "site", "page", "1")
    found = survey(tmp_path / "site", ())
    key = f"shop/releases/r-1-{found.digest}/index.html"
    front.cloud.s3.put_object(Bucket=front.cloud.bucket, Key=key, Body=b"another")
    with pytest.raises(Unfit, match="is there already, and is another file"):
        upload(order(front.cloud), found, wanted("1"), front.cloud.client)
    kept = front.cloud.object(key)
    assert kept is not None
    assert kept[0] == b"another"


def test_a_prefix_belongs_to_one_service(front: Front, tmp_path: Path) -> None:
    write_version(tmp_path / "site", "page", "1")
    found = survey(tmp_path / "site", ())
    upload(order(front.cloud), found, wanted("1"), front.cloud.client)
    with pytest.raises(Permanent, match="belongs to the service 'shop'"):
        upload(order(front.cloud), found, Wanted("blog", "r-1", "1", 5, 3), front.cloud.client)
    settings = EnvironmentSettings.model_validate({**front.cloud.keys(), "prefix": "shop"})
    stranger = Place("blog", tmp_path / "greenroom.yaml", tmp_path / ".greenroom")
    assert "belongs to the service `shop`" in bucket_problems(settings, stranger, front.cloud.client)[0]
    forget_release(settings, "blog", "r-1", front.cloud.client)
    assert any("/releases/r-1" in key for key in front.cloud.objects())


def test_old_versions_go_and_what_a_colour_holds_stays(front: Front) -> None:
    first = front.backend(BLUE)
    for number in range(2, 7):
        write_version(front.folder / str(number), "page", str(number))
        upload(order(front.cloud), survey(front.folder / str(number), ()), wanted(str(number)), front.cloud.client)
    there = {key.split("/")[2].rpartition("-")[0] for key in front.cloud.objects() if "/releases/" in key}
    assert there == {first.release, "r-4", "r-5", "r-6"}
    settings = EnvironmentSettings.model_validate(front.cloud.keys())
    for release in (first.release, "r-5"):
        forget_release(settings, "shop", release, front.cloud.client)
    there = {key.split("/")[2].rpartition("-")[0] for key in front.cloud.objects() if "/releases/" in key}
    assert there == {first.release, "r-4", "r-6"}


# --- switching


def test_ft_12_ft_23_killed_at_any_call_of_a_switch_the_next_command_finishes_it(front: Front) -> None:
    blue, green = front.backend(BLUE), front.backend(GREEN)
    before, after = routed(BLUE, blue, green, test=GREEN), routed(GREEN, blue, green)
    settings, number, died = front.settings(invalidate=["/*"]), 0, True
    plain = StaticRouter(settings, front.place, front.cloud.client)
    while died:
        number += 1
        plain.apply(before, KEY)
        settled(front, plain, before)
        dying = StaticRouter(settings, front.place, Dying(front.cloud.client, number))
        try:
            dying.apply(after, KEY)
            settled(front, dying, after)
            died = False
        except Killed:
            page = traffic.ask(front.cloud.edges["main"].url)
            assert page.text.split()[0] in ("blue", "green")
            plain.anew()
            seen = plain.observe()
            assert seen.told is not None
            assert seen.told.split in (before.split, after.split)
            assert "somebody else" not in seen.detail
            plain.apply(after, KEY)
        assert settled(front, plain, after).told == after
        assert front.cloud.path("test").endswith("/nothing")
    assert number > 10


def test_ft_22_what_edges_do_not_have_yet_is_not_done(front: Front) -> None:
    blue, green = front.backend(BLUE), front.backend(GREEN)
    router = front.router(url="", test_route=None)
    router.apply(routed(BLUE, blue, green), KEY)
    assert settled(front, router, routed(BLUE, blue, green)).live == Split.all_to(BLUE)
    front.cloud.edges["main"].held = True
    router.apply(routed(GREEN, blue, green), KEY)
    seen = router.observe()
    assert (seen.live, seen.settled) == (None, False)
    assert seen.settles_at is not None
    assert seen.settles_at > time.time() + 600, "a change needs minutes, and is waited for"
    assert seen.detail == "CloudFront is bringing it to its edges"
    by_url = front.router()
    assert by_url.observe().live == Split.all_to(BLUE)
    front.cloud.release()
    assert settled(front, router, routed(GREEN, blue, green)).live == Split.all_to(GREEN)


def test_ft_22_pages_that_edges_keep_are_forgotten_after_every_edge_has_the_new_path(front: Front) -> None:
    blue, green = front.backend(BLUE), front.backend(GREEN)
    edge, router = front.cloud.edges["main"], front.router(invalidate=["/*"])
    router.apply(routed(BLUE, blue, green), KEY)
    settled(front, router, routed(BLUE, blue, green))
    edge.cached, edge.held = True, True
    assert front.ask() is not None
    router.apply(routed(GREEN, blue, green), KEY)
    count = len(front.cloud.invalidations())
    assert not router.observe().unfinished, "it is too early: edges would keep the old page again"
    front.cloud.release()
    router.anew()
    seen = router.observe()
    assert (seen.unfinished, seen.live) == (True, Split.all_to(BLUE))
    assert settled(front, router, routed(GREEN, blue, green)).live == Split.all_to(GREEN)
    assert len(front.cloud.invalidations()) == count + 1
    router.apply(routed(GREEN, blue, green), KEY)
    assert len(front.cloud.invalidations()) == count + 1


def test_ft_20_what_somebody_else_did_with_the_distribution_is_seen(front: Front) -> None:
    blue, green = front.backend(BLUE), front.backend(GREEN)
    router = front.router()
    router.apply(routed(BLUE, blue, green), KEY)
    settled(front, router, routed(BLUE, blue, green))
    front.cloud.move(f"/shop/releases/{green.endpoints[0].host}")
    router.anew()
    seen = router.observe()
    assert seen.told is not None
    assert (seen.told.split, seen.settled) == (Split.all_to(GREEN), False)
    front.cloud.move("/by/hand")
    router.anew()
    seen = router.observe()
    assert (seen.told, seen.running) == (None, True)
    assert "was changed by somebody else: it points at /by/hand" in seen.detail
    router.apply(routed(BLUE, blue, green), KEY)
    settled(front, router, routed(BLUE, blue, green))
    front.cloud.s3.put_object(Bucket=front.cloud.bucket, Key="shop/told.json", Body=b"{}")
    router.anew()
    assert "damaged" in router.observe().detail


def test_other_parts_of_the_distribution_are_left_as_they_are(front: Front) -> None:
    def config() -> Mapping[str, Any]:
        found = front.cloud.cloudfront.get_distribution_config(Id=front.cloud.edges["main"].distribution)
        kept: dict[str, Any] = found["DistributionConfig"]
        kept["Origins"]["Items"][0]["OriginPath"] = ""
        return kept

    before = config()
    front.router().apply(routed(BLUE, front.backend(BLUE), front.backend(GREEN)), KEY)
    assert config() == before


# --- who may


class Meanwhile:
    """A client in whose place somebody else acts, before its next call of this operation."""

    def __init__(self, client: Client, operation: str, act: Callable[[], object]) -> None:
        self._client, self._operation, self._act = client, operation, act

    def read(self, service: str, operation: str, about: str = "", /, **parameters: Any) -> Mapping[str, Any]:
        return self._client.read(service, operation, about, **parameters)

    def write(self, service: str, operation: str, about: str = "", /, **parameters: Any) -> Mapping[str, Any]:
        if operation == self._operation:
            self._operation = ""
            self._act()
        return self._client.write(service, operation, about, **parameters)


@pytest.mark.parametrize("operation", ["put_object", "update_distribution"])
def test_ft_51_who_slept_through_a_takeover_moves_nothing(front: Front, operation: str) -> None:
    blue, green = front.backend(BLUE), front.backend(GREEN)
    leader = front.router()
    leader.apply(routed(BLUE, blue, green), KEY)
    settled(front, leader, routed(BLUE, blue, green))
    newer = replace(KEY, epoch=8)

    def take_over() -> None:
        leader.apply(routed(BLUE, blue, green, test=GREEN), newer)
        front.cloud.move(front.cloud.path())  # whatever it was that changed the distribution

    sleeper = StaticRouter(front.settings(), front.place, Meanwhile(front.cloud.client, operation, take_over))
    with pytest.raises(Temporary, match="somebody else"):
        sleeper.apply(routed(GREEN, blue, green), replace(KEY, epoch=7))
    assert traffic.ask(front.cloud.edges["main"].url).text.startswith("blue ")
    with pytest.raises(Permanent, match="newer lease"):
        sleeper.apply(routed(GREEN, blue, green), replace(KEY, epoch=7))
    leader.apply(routed(BLUE, blue, green), newer)
    assert settled(front, leader, routed(BLUE, blue, green), newer).live == Split.all_to(BLUE)


def test_ft_51_a_colour_of_two_at_the_same_moment_is_of_one_of_them(front: Front) -> None:
    front.backend(BLUE)
    name = front.published(BLUE, "9")
    spec = EnvironmentSpec("r-9", "9", f"s3://{front.cloud.bucket}/shop/releases/{name}", Role.IDLE, {})
    settings = EnvironmentSettings.model_validate(front.cloud.keys())
    other = front.environment()
    late = StaticEnvironment(
        settings,
        front.place,
        Meanwhile(front.cloud.client, "put_object", lambda: other.apply(BLUE, spec, replace(KEY, epoch=8))),
    )
    with pytest.raises(Temporary, match="somebody else is changing blue"):
        late.apply(BLUE, replace(spec, role=Role.ACTIVE), replace(KEY, epoch=7))
    with pytest.raises(Permanent, match="newer lease"):
        late.apply(BLUE, replace(spec, role=Role.ACTIVE), replace(KEY, epoch=7))
    assert other.observe(BLUE).role is Role.IDLE
    other.remove(BLUE, replace(KEY, epoch=8))
    assert not other.observe(BLUE).present
    with pytest.raises(Permanent, match="newer lease"):
        late.apply(BLUE, spec, replace(KEY, epoch=7))


# --- before anything is touched, and what is wrong


def test_what_stands_against_a_deploy_is_said_with_the_way_out(front: Front) -> None:
    client = front.cloud.client

    def told(**more: Any) -> str:
        return " · ".join(distribution_problems(front.settings(**more), client))

    assert told() == ""
    assert "NoSuchDistribution" in told(distribution="E0000000000000")
    assert "has no origin 'website'" in told(origin="website")
    assert "origin" in told(bucket="another-bucket")
    settings = EnvironmentSettings.model_validate({**front.cloud.keys(), "bucket": "not-there-at-all"})
    assert "NoSuchBucket" in bucket_problems(settings, front.place, client)[0]
    assert bucket_problems(EnvironmentSettings.model_validate(front.cloud.keys()), front.place, client) == []
    assert "in some minutes" in StaticRouter.hazards(front.settings(), front.place)[0]


def test_a_version_that_is_not_there_is_not_shown(front: Front) -> None:
    blue, green = front.backend(BLUE), front.backend(GREEN)
    gone = replace(green, release="r-9")
    with pytest.raises(Permanent, match="is not in s3://"):
        front.router().apply(routed(GREEN, blue, gone), KEY)
    assert front.cloud.path() == ""
    spec = EnvironmentSpec("r-9", "9", "s3://other/shop/releases/r-9-0", Role.IDLE, {})
    with pytest.raises(Permanent, match="which is not in"):
        front.environment().apply(BLUE, spec, KEY)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"bucket": "shop"}, "belong together"),
        ({"distribution": "E1"}, "belong together"),
        ({"test_route": {"url": "http://a", "distribution": "E2"}}, "without `bucket`"),
        (
            {"bucket": "shop", "distribution": "E1", "test_route": {"url": "http://a", "distribution": "E1"}},
            "another one",
        ),
        ({"url": "http://a", "test_route": {"url": "http://a/"}}, "another address"),
        ({"bucket": "shop", "distribution": "E1", "invalidate": ["index.html"]}, "does not begin with /"),
        ({"url": "ftp://a"}, "must be like"),
    ],
)
def test_settings_of_the_router_that_mean_nothing_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        RouterSettings.model_validate(settings)


# --- how much is asked


def test_a_release_asks_little(front: Front) -> None:
    """Its own calls, without those for each file and each look."""
    blue = front.backend(BLUE)
    plain = front.router(invalidate=["/*"])
    plain.apply(routed(BLUE, blue, Backend()), KEY)
    settled(front, plain, routed(BLUE, blue, Backend()))
    counting = Dying(front.cloud.client)
    name = front.published(GREEN, "2", counting)
    spec = EnvironmentSpec("r-2", "2", f"s3://{front.cloud.bucket}/shop/releases/{name}", Role.IDLE, {})
    environment = StaticEnvironment(EnvironmentSettings.model_validate(front.cloud.keys()), front.place, counting)
    router = StaticRouter(front.settings(invalidate=["/*"]), front.place, counting)
    green = replace(blue, endpoints=(replace(blue.endpoints[0], host=name),), version="2", release="r-2")
    environment.apply(GREEN, spec, KEY)
    router.apply(routed(BLUE, blue, green, test=GREEN), KEY)
    router.apply(routed(GREEN, blue, green), KEY)
    settled(front, router, routed(GREEN, blue, green))
    environment.apply(GREEN, replace(spec, role=Role.ACTIVE), KEY)
    assert len(counting.calls) <= 60, counting.calls
    before = len(counting.calls)
    for _ in range(50):
        router.observe()
        environment.observe(GREEN)
    assert len(counting.calls) - before <= 6, "looks are shared for some seconds"


def test_without_a_region_it_is_said(front: Front) -> None:
    settings = EnvironmentSettings.model_validate({**front.cloud.keys(), "region": ""})
    assert "which region" in StaticEnvironment.problems(settings, front.place)[-1]


def test_the_engine_may_ask_for_a_new_look(front: Front) -> None:
    assert isinstance(front.router(), Paced)
    assert isinstance(front.environment(), Paced)
