"""The check `session`, against a real application with sessions in real stores, and in none."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from greenroom.adapters.checks.session import SessionCheck, SessionSettings
from greenroom.domain.model import Colour, Verdict
from greenroom.domain.opinion import Case, Finding
from greenroom.ports import Check, Place
from greenroom.testing.contracts.check import CheckContract
from tests.apps.member import PASSWORD, App, InMemory, Server, Signed
from tests.apps.running import processes, serving
from tests.rigs import dynamodb, memcached, redis

LOGIN = {
    "open": [
        {
            "path": "/login",
            "method": "POST",
            "form": {"user": "ann", "password": "{password}"},
            "status": 303,
        }
    ],
    "verify": {"path": "/account", "contains": "Hello ann"},
    "values": {"password": PASSWORD},
}
BEARER = {
    "open": [{"path": "/token", "method": "POST", "body": {"user": "ann"}, "extract": {"token": "json:data.token"}}],
    "verify": {"path": "/account", "headers": {"Authorization": "Bearer {token}"}, "contains": "Hello ann"},
}


def place(folder: Path) -> Place:
    return Place("shop", folder / "greenroom.yaml", folder / ".greenroom")


def a_case(public: str, idle: str) -> Case:
    return Case("r-7", "2", Colour.GREEN, idle, {"x-greenroom-test": "1"}, {"version": "2"}, public=public)


def asked(public: str, idle: str, folder: Path, settings: Mapping[str, Any] = LOGIN, **more: Any) -> Finding:
    check = SessionCheck(SessionSettings.model_validate({**settings, **more}), place(folder))
    finding = check.ask(a_case(public, idle), None)
    assert finding.memo is None, "cookies must not reach the journal"
    return finding


@contextmanager
def two(live: App, candidate: App) -> Iterator[tuple[Server, Server]]:
    with serving(live) as first, serving(candidate) as second:
        yield first, second


# --- the contract


class SessionBench:
    """Sessions in one dictionary for both. The witness counts log-ins at the live version."""

    def __init__(self, live: Server, candidate: Server, folder: Path) -> None:
        self._live, self._candidate, self._folder = live, candidate, folder

    def check(self, opinion: Verdict) -> Check:
        said = "Hello ann" if opinion is Verdict.PASS else "Hello bob"
        verify = {"path": "/account", "contains": said}
        return SessionCheck(SessionSettings.model_validate({**LOGIN, "verify": verify}), place(self._folder))

    def endless(self) -> None:
        return None

    def case(self) -> Case:
        return a_case(self._live.url, self._candidate.url)

    def begun(self) -> int:
        return sum(path == "/login" for _, path, _ in self._live.seen)

    def running(self) -> int:
        return 0


class TestSession(CheckContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Iterator[SessionBench]:
        store = InMemory()
        with two(App(store), App(store, "2")) as (live, candidate):
            yield SessionBench(live, candidate, tmp_path)


# --- real stores, each version a process of its own


@pytest.mark.real
@pytest.mark.xdist_group("stores")
@pytest.mark.parametrize("kind", ["redis", "memcached", "dynamodb"])
def test_sessions_in_a_store_that_both_use(kind: str, tmp_path: Path) -> None:
    with stored(kind, tmp_path) as store, processes(tmp_path, ["--store", store], ["--store", store]) as (live, idle):
        finding = asked(live, idle, tmp_path)
        assert finding.verdict is Verdict.PASS, (finding.reason, finding.evidence)
        assert finding.reason == ("sessions of blue (live) work on green (candidate) and back, and the other way round")
        assert asked(live, idle, tmp_path, BEARER).verdict is Verdict.PASS


@contextmanager
def stored(kind: str, folder: Path) -> Iterator[str]:
    match kind:
        case "redis":
            with redis.running(folder) as (host, port):
                yield f"redis:{host}:{port}"
        case "memcached":
            with memcached.running(folder) as (host, port):
                yield f"memcached:{host}:{port}"
        case _:
            with dynamodb.running() as url:
                yield f"dynamodb:{url}"


@pytest.mark.real
def test_sessions_in_memory_are_refused(tmp_path: Path) -> None:
    with processes(tmp_path, ["--store", "memory"], ["--store", "memory"]) as (live, idle):
        finding = asked(live, idle, tmp_path)
    assert finding.verdict is Verdict.FAIL
    assert "a session opened on blue (live) does not work on green (candidate): GET /account: answered 401" in (
        finding.reason
    )
    assert "a session opened on green (candidate) does not work on blue (live)" in finding.reason
    assert "kept in the memory of the processes" in finding.reason
    assert "(green (candidate) gave out a new `sid`)" in finding.reason
    assert any("blue (live): POST /login → 303" in line for line in finding.evidence)


@pytest.mark.real
@pytest.mark.xdist_group("stores")
def test_one_store_for_each_colour_is_as_good_as_none(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with redis.running(tmp_path / "a") as (_, a), redis.running(tmp_path / "b") as (_, b):
        stores = ["--store", f"redis:127.0.0.1:{a}"], ["--store", f"redis:127.0.0.1:{b}"]
        with processes(tmp_path, *stores) as (live, idle):
            finding = asked(live, idle, tmp_path)
    assert finding.verdict is Verdict.FAIL
    assert "each colour has a store of its own" in finding.reason


# --- why it does not work, by the likely reason


class Replicas:
    """One store for each replica, behind a router that goes round. Sessions are opened at the first."""

    def __init__(self, *stores: InMemory) -> None:
        self._stores, self._turn = stores, itertools.count()

    def put(self, key: str, value: bytes) -> str:
        return self._stores[0].put(key, value)

    def get(self, key: str) -> bytes | None:
        return self._stores[next(self._turn) % len(self._stores)].get(key)


def test_a_replica_that_does_not_know_the_session(tmp_path: Path) -> None:
    store = InMemory()
    with two(App(Replicas(store, InMemory())), App(store)) as (live, idle):
        own = asked(live.url, idle.url, tmp_path)
        assert asked(live.url, idle.url, tmp_path, times=1).reason.count("does not work") == 1, "only the way back"
    assert "a session opened on blue (live) does not work there: GET /account: answered 401" in own.reason
    assert "single processes keep sessions in their own memory: it worked before, at another replica" in own.reason
    store = InMemory()
    with two(App(store), App(Replicas(store, store, InMemory()))) as (live, idle):
        finding = asked(live.url, idle.url, tmp_path)
    assert "not all replicas of green (candidate) are alike: it worked before, at another one" in finding.reason


def test_nothing_is_live_before_the_first_release(tmp_path: Path) -> None:
    finding = asked("", "http://127.0.0.1:1", tmp_path)
    assert (finding.verdict, finding.reason[:15]) == (Verdict.PASS, "nothing is live")


def test_another_key(tmp_path: Path) -> None:
    with two(App(Signed("one")), App(Signed("two"))) as (live, idle):
        finding = asked(live.url, idle.url, tmp_path)
    assert finding.verdict is Verdict.FAIL
    assert "signed with another key on green (candidate)" in finding.reason
    with two(App(Signed("one")), App(Signed("one"))) as (live, idle):
        assert asked(live.url, idle.url, tmp_path).verdict is Verdict.PASS


def test_another_format_breaks_one_direction_only(tmp_path: Path) -> None:
    """The new version reads both formats and writes the new one: forward works, back does not."""
    store = InMemory()
    with two(App(store), App(store, "2", "renamed", ("renamed", "json"))) as (live, idle):
        finding = asked(live.url, idle.url, tmp_path)
    assert finding.verdict is Verdict.FAIL
    assert finding.reason.startswith("a session opened on green (candidate) does not work on blue (live): GET /account")
    assert "blue (live) breaks over it: it expects what is in a session in another format" in finding.reason


def test_a_session_that_the_new_version_rewrites_is_lost_after_a_rollback(tmp_path: Path) -> None:
    store = InMemory()
    with two(App(store), App(store, "2", "renamed", ("renamed", "json"), rewrites=True)) as (live, idle):
        finding = asked(live.url, idle.url, tmp_path)
    assert "does not work there any more after green (candidate) has answered to it" in finding.reason


@pytest.mark.parametrize(
    ("attributes", "host", "reason"),
    [
        ("Path=/; Secure; HttpOnly; SameSite=Lax", "shop.example", ""),
        ("Path=/; Domain=.shop.example; Secure", "www.shop.example", ""),
        ("Path=/; Domain=blue.internal", "", ""),  # users' name is not known: it is not judged
        (
            "Path=/; Domain=blue.internal",
            "shop.example",
            "set for the domain blue.internal, and users ask at shop.example",
        ),
        ("Path=/; SameSite=None", "shop.example", "`SameSite=None` needs `Secure`"),
        ("Path=/admin", "", "`verify` asserts what nobody gets"),
        ("Path=/; Max-Age=0", "", "nothing carries the session"),
        ("Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "", "nothing carries the session"),
        ("Path=/; Expires=Thu, 01 Jan 2099 00:00:00 GMT", "", ""),
    ],
)
def test_cookies_as_a_browser_keeps_them(attributes: str, host: str, reason: str, tmp_path: Path) -> None:
    store = InMemory()
    app, other = App(store, attributes=attributes), App(store, attributes=attributes)
    with two(app, other) as (live, idle):
        finding = asked(live.url, idle.url, tmp_path, headers={"Host": host} if host else {})
        assert all(headers.get("Host") == host for _, _, headers in live.seen if host)
    assert (finding.verdict is Verdict.PASS) == (not reason), finding.reason
    assert reason in finding.reason


def test_a_verify_that_holds_for_anybody_proves_nothing(tmp_path: Path) -> None:
    store = InMemory()
    with two(App(store), App(store)) as (live, idle):
        finding = asked(live.url, idle.url, tmp_path, verify={"path": "/health"})
    assert finding.verdict is Verdict.FAIL
    assert "without a session, so it proves nothing" in finding.reason


def test_who_cannot_log_in_is_told(tmp_path: Path) -> None:
    store = InMemory()
    with two(App(store), App(store)) as (live, idle):
        finding = asked(live.url, idle.url, tmp_path, values={"password": "wrong-password"})
    assert finding.verdict is Verdict.FAIL
    assert "no session can be opened on blue (live): POST /login: answered 401, expected 303" in finding.reason
    assert "wrong password" in finding.evidence


def test_a_live_version_that_does_not_answer_is_unknown(tmp_path: Path) -> None:
    with serving(App(InMemory())) as idle:
        finding = asked("http://127.0.0.1:1", idle.url, tmp_path)
    assert finding.verdict is Verdict.UNKNOWN
    assert "blue (live) cannot be asked: GET /account: nobody answers at 127.0.0.1:1" in finding.reason


def test_no_cookie_and_no_token_is_ever_shown(tmp_path: Path) -> None:
    for settings in (LOGIN, BEARER):
        with two(App(InMemory()), App(InMemory())) as (live, idle):
            said = repr(asked(live.url, idle.url, tmp_path, settings))
            sent = {h.get("cookie", "") for _, _, h in idle.seen} | {
                h.get("Authorization", "") for _, _, h in idle.seen
            }
        values = {text.partition("sid=")[2] or text.partition("Bearer ")[2] for text in sent} - {"", "{token}"}
        assert values
        assert not [value for value in values if value in said]


def test_both_routes_get_what_is_theirs(tmp_path: Path) -> None:
    store = InMemory()
    with two(App(store), App(store)) as (live, idle):
        asked(live.url, idle.url, tmp_path, times=2)
        paths = [path for _, path, _ in live.seen]
        assert all("x-greenroom-test" not in headers for _, _, headers in live.seen)
        assert all(headers.get("x-greenroom-test") == "1" for _, _, headers in idle.seen)
    assert paths == ["/account", "/login", "/account", "/account", "/account", "/account", "/account"]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"open": LOGIN["open"]}, "verify"),
        ({**LOGIN, "open": []}, "open"),
        ({**LOGIN, "times": 0}, "times"),
        ({**LOGIN, "verify": {"path": "account"}}, "must begin with `/`"),
        ({**LOGIN, "values": {"Pass": "x"}}, "cannot be a value's name"),
        ({**LOGIN, "timeout": "31s"}, "timeout"),
        ({**BEARER, "open": [{"path": "/{token}"}, *BEARER["open"]]}, "which is extracted in step 2 only"),  # type: ignore[misc]
    ],
)
def test_settings_that_cannot_work(settings: Mapping[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        SessionSettings.model_validate(settings)
