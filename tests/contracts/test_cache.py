"""The check `cache`, against a real application whose versions share a real Redis, and understand each other or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from greenroom.adapters.checks.cache import CacheCheck, CacheSettings
from greenroom.domain.model import Colour, Verdict
from greenroom.domain.opinion import Case, Finding
from greenroom.ports import Check, Place
from greenroom.testing.contracts.check import CheckContract
from tests.apps.member import App, InMemory, InRedis, Server
from tests.apps.running import processes, serving
from tests.rigs import redis

CACHE = {
    "write": {"path": "/cache/{key}", "method": "PUT", "body": "{value}", "status": 201},
    "read": {"path": "/cache/{key}", "json": {"value": "{value}"}},
}


def place(folder: Path) -> Place:
    return Place("shop", folder / "greenroom.yaml", folder / ".greenroom")


def a_case(public: str, idle: str) -> Case:
    return Case("r-7", "2", Colour.GREEN, idle, {"x-greenroom-test": "1"}, {"version": "2"}, public=public)


def asked(public: str, idle: str, folder: Path, **more: Any) -> Finding:
    check = CacheCheck(CacheSettings.model_validate({**CACHE, **more}), place(folder))
    return check.ask(a_case(public, idle), None)


@contextmanager
def two(live: App, candidate: App) -> Iterator[tuple[Server, Server]]:
    with serving(live) as first, serving(candidate) as second:
        yield first, second


class CacheBench:
    """The witness counts what was written at the live version."""

    def __init__(self, live: Server, candidate: Server, folder: Path) -> None:
        self._live, self._candidate, self._folder = live, candidate, folder

    def check(self, opinion: Verdict) -> Check:
        read = {**CACHE["read"], "status": 200 if opinion is Verdict.PASS else 206}
        return CacheCheck(CacheSettings.model_validate({**CACHE, "read": read}), place(self._folder))

    def endless(self) -> None:
        return None

    def case(self) -> Case:
        return a_case(self._live.url, self._candidate.url)

    def begun(self) -> int:
        return sum(method == "PUT" for method, _, _ in self._live.seen)

    def running(self) -> int:
        return 0


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    with redis.running(tmp_path_factory.mktemp("redis")) as address:
        yield address


class TestCache(CheckContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Iterator[CacheBench]:
        store = InMemory()
        with two(App(store), App(store, "2")) as (live, candidate):
            yield CacheBench(live, candidate, tmp_path)


@pytest.mark.real
@pytest.mark.xdist_group("stores")
@pytest.mark.parametrize(
    ("format", "reading", "reasons"),
    [
        ("json", "", ()),
        ("renamed", "", ("green (candidate) cannot read", "answered 500", "blue (live) cannot read")),
        ("renamed", "renamed,json", ("what green (candidate) writes, blue (live) cannot read", "another format")),
        ("pickle", "pickle,json", ("what green (candidate) writes, blue (live) cannot read", "another format")),
        ("json", "json,renamed", ()),
    ],
)
def test_versions_that_share_a_redis(
    format: str, reading: str, reasons: tuple[str, ...], shared: tuple[str, int], tmp_path: Path
) -> None:
    host, port = shared
    new = App(InRedis(host, port), "2", format, tuple(word for word in reading.split(",") if word))
    with two(App(InRedis(host, port)), new) as (live, idle):
        finding = asked(live.url, idle.url, tmp_path)
    assert (finding.verdict is Verdict.PASS) == (not reasons), finding.reason
    assert [reason for reason in reasons if reason not in finding.reason] == []
    if reading == "renamed,json":
        assert "what blue (live) writes" not in finding.reason, "that direction works"


@pytest.mark.real
@pytest.mark.xdist_group("stores")
def test_versions_that_are_processes_of_their_own(shared: tuple[str, int], tmp_path: Path) -> None:
    store = ["--store", "redis:{}:{}".format(*shared)]
    renamed = [*store, "--version", "2", "--format", "renamed"]
    with processes(tmp_path, store, store, renamed) as (live, good, bad):
        assert asked(live, good, tmp_path).verdict is Verdict.PASS
        finding = asked(live, bad, tmp_path)
    assert finding.verdict is Verdict.FAIL
    assert "green (candidate) breaks over it" in finding.reason


def test_caches_in_memory_are_refused(tmp_path: Path) -> None:
    with two(App(InMemory()), App(InMemory())) as (live, idle):
        finding = asked(live.url, idle.url, tmp_path)
    assert finding.verdict is Verdict.FAIL
    assert "each has a cache of its own" in finding.reason
    assert finding.reason.count("cannot read") == 2
    assert any("green (candidate): GET /cache/{key} → 404" in line for line in finding.evidence)


def test_without_an_assertion_the_body_must_hold_the_value(tmp_path: Path) -> None:
    store = InMemory()
    with two(App(store), App(store)) as (live, idle):
        assert asked(live.url, idle.url, tmp_path, read={"path": "/cache/{key}"}).verdict is Verdict.PASS
        finding = asked(live.url, idle.url, tmp_path, read={"path": "/health?{key}"})
    assert finding.verdict is Verdict.FAIL
    assert "what blue (live) writes, itself cannot read: GET /health?{key}: the answer does not hold" in finding.reason


def test_keys_and_values_are_new_each_time(tmp_path: Path) -> None:
    store = InMemory()
    with two(App(store), App(store)) as (live, idle):
        asked(live.url, idle.url, tmp_path)
        asked(live.url, idle.url, tmp_path)
        written = [path for server in (live, idle) for method, path, _ in server.seen if method == "PUT"]
    assert len(set(written)) == 4


def test_nothing_is_live_and_live_is_gone(tmp_path: Path) -> None:
    with serving(App(InMemory())) as idle:
        assert asked("", idle.url, tmp_path).verdict is Verdict.PASS
        assert asked("http://127.0.0.1:1", idle.url, tmp_path).verdict is Verdict.UNKNOWN
    with serving(App(InMemory())) as live:
        finding = asked(live.url, "http://127.0.0.1:1", tmp_path)
    assert finding.verdict is Verdict.FAIL
    assert "green (candidate) cannot be asked: GET /cache/{key}: nobody answers at 127.0.0.1:1" in finding.reason


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"write": {"path": "/cache/{key}"}}, "`write` sends no `{value}`"),
        ({"write": {"path": "/cache", "method": "PUT", "body": "x"}}, "no `{key}` and no `{value}`"),
        ({"read": {"path": "/cache"}}, "`read` does not ask for `{key}`"),
        ({"read": {"path": "/cache/{key}?{value}"}}, "`read` must not send `{value}`"),
    ],
)
def test_settings_that_cannot_work(settings: Mapping[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason.replace("{", r"\{")):
        CacheSettings.model_validate({**CACHE, **settings})
