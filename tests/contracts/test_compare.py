"""The check `compare`: two versions that answer alike, or not, or that nobody can compare."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from greenroom.adapters.checks.compare import CompareCheck, CompareSettings
from greenroom.domain.model import Colour, Verdict
from greenroom.domain.opinion import Case, Finding
from greenroom.ports import Check, Place
from greenroom.testing.contracts.check import CheckContract

Answer = tuple[int, Mapping[str, str], str]
Pages = Mapping[str, Callable[["Server"], Answer]]


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, pages: Pages) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages = pages
        self.seen: list[tuple[str, str]] = []
        self.count = itertools.count()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.seen.append((self.command, self.path))
        page = self.server.pages.get(self.path)
        status, headers, body = page(self.server) if page else (404, {}, "no such page\n")
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else body.encode())

    do_HEAD = do_POST = do_GET

    def log_message(self, *args: Any) -> None:
        pass


JSON = {"content-type": "application/json"}
HTML = {"content-type": "text/html; charset=utf-8"}


def page(body: str, status: int = 200, **headers: str) -> Callable[[Server], Answer]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: (status, {**HTML, **named}, body)


def document(**values: Any) -> Callable[[Server], Answer]:
    return lambda _: (200, JSON, json.dumps(values))


def counting(_: Server) -> Answer:
    return 200, JSON, json.dumps({"visitors": next(_.count), "name": "shop"})


@contextmanager
def serving(*pages: Pages) -> Iterator[list[Server]]:
    servers = [Server(one) for one in pages]
    threads = [threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield servers
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()


class Pinned:
    def values(self, release: str) -> Mapping[str, str]:
        return {"TOKEN": "s3cret-value"}

    def pin(self, release: str, values: Mapping[str, str]) -> None: ...

    def forget(self, release: str) -> None: ...


def place(folder: Path) -> Place:
    return Place("shop", folder / "greenroom.yaml", folder / ".greenroom", vault=Pinned())


def a_case(public: str, idle: str) -> Case:
    return Case("r-7", "2", Colour.GREEN, idle, {"x-greenroom-test": "1"}, {"version": "2"}, public=public)


def asked(live: Pages, candidate: Pages, folder: Path, **settings: Any) -> Finding:
    paths = {} if "file" in settings else {"paths": list(live)}
    check = CompareCheck(CompareSettings.model_validate({**paths, **settings}), place(folder))
    with serving(live, candidate) as (first, second):
        finding, memo = Finding(Verdict.WAIT), None
        while finding.verdict is Verdict.WAIT:
            finding = check.ask(a_case(first.url, second.url), memo)
            memo = json.loads(json.dumps(finding.memo))
        return finding


class CompareBench:
    """The witness is the candidate's: it is asked once for each path."""

    def __init__(self, live: Server, candidate: Server, folder: Path) -> None:
        self._live, self._candidate, self._folder = live, candidate, folder

    def check(self, opinion: Verdict) -> Check:
        path = "/same" if opinion is Verdict.PASS else "/other"
        return CompareCheck(CompareSettings(paths=[path]), place(self._folder))

    def endless(self) -> None:
        return None

    def case(self) -> Case:
        return a_case(self._live.url, self._candidate.url)

    def begun(self) -> int:
        return len(self._candidate.seen)

    def running(self) -> int:
        return 0


class TestCompare(CheckContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Iterator[CompareBench]:
        pages = {"/same": page("x"), "/other": page("a\tb\x07\n" + "y" * 3000)}
        with serving(pages, {**pages, "/other": page("z" * 3000)}) as (live, candidate):
            yield CompareBench(live, candidate, tmp_path)


# --- alike, in spite of what differs on purpose

ALIKE: list[tuple[str, Callable[[Server], Answer], Callable[[Server], Answer], dict[str, Any]]] = [
    ("the same", page("<p>Hello</p>"), page("<p>Hello</p>"), {}),
    ("order of keys", document(a=1, b=[{"x": 1}]), document(b=[{"x": 1}], a=1), {}),
    ("an ignored value", document(at=1, n=2), document(at=3, n=2), {"ignore": ["at"]}),
    (
        "an ignored value of each item",
        document(items=[{"id": 1, "n": 2}, {"id": 2, "n": 2}]),
        document(items=[{"id": 7, "n": 2}, {"id": 8, "n": 2}]),
        {"ignore": ["items[*].id"]},
    ),
    ("a version", page("v1.4 ready"), page("v1.5 ready"), {"replace": [{"matches": r"v\d+\.\d+", "with": "V"}]}),
    (
        "its own address",
        lambda s: (302, {"location": f"{s.url}/a"}, s.url),
        lambda s: (302, {"location": f"{s.url}/a"}, s.url),
        {},
    ),
    ("a cookie's value", page("x", set_cookie="sid=1; Path=/"), page("x", set_cookie="sid=2; Path=/"), {}),
    ("a cookie of the router", page("x", set_cookie="greenroom-shop=7; Path=/"), page("x"), {}),
    ("a header that is not compared", page("x", x_version="1"), page("x", x_version="2"), {}),
]


@pytest.mark.parametrize(("what", "live", "candidate", "settings"), ALIKE, ids=[row[0] for row in ALIKE])
def test_alike(
    what: str,
    live: Callable[[Server], Answer],
    candidate: Callable[[Server], Answer],
    settings: dict[str, Any],
    tmp_path: Path,
) -> None:
    finding = asked({"/": live}, {"/": candidate}, tmp_path, **settings)
    assert (finding.verdict, finding.reason) == (Verdict.PASS, "1 of 1 requests are answered alike"), what


DIFFERENT: list[tuple[Callable[[Server], Answer], Callable[[Server], Answer], dict[str, Any], str, str]] = [
    (page("x"), page("x", 500), {}, "/: status 200 → 500", "+status: 500"),
    (page("a\nb\nc"), page("a\nB\nc"), {}, "/: 1 line of the body", "+B"),
    (page("<p>a</p><p>b</p>"), page("<p>a</p><p>c</p>"), {}, "/: 1 line of the body", "+<p>c</p>"),
    (document(a={"b": [1, 2]}), document(a={"b": [1, 3]}), {}, "/: 1 value of the body (a.b[1])", "+a.b[1] = 3"),
    (document(a=1), document(), {}, "/: 2 values of the body ($, a)", "-a = 1"),
    (document(a=1), page("<p>no</p>"), {}, "content-type application/json → text/html", "+<p>no</p>"),
    (page("x", cache_control="no-store"), page("x"), {}, "cache-control no-store → none", "-cache-control: no-store"),
    (page("x", set_cookie="sid=1"), page("x", set_cookie="uid=1"), {}, "set-cookie sid → uid", "+set-cookie: uid"),
    (page("x", x_a="1"), page("x", x_a="2"), {"compare_headers": ["X-A"]}, "x-a 1 → 2", "+x-a: 2"),
    (page("s3cret-value"), page("other"), {}, "1 line of the body", "-${TOKEN}"),
]


@pytest.mark.parametrize(("live", "candidate", "settings", "reason", "line"), DIFFERENT, ids=[r[3] for r in DIFFERENT])
def test_different(
    live: Callable[[Server], Answer],
    candidate: Callable[[Server], Answer],
    settings: dict[str, Any],
    reason: str,
    line: str,
    tmp_path: Path,
) -> None:
    finding = asked({"/": live}, {"/": candidate}, tmp_path, **settings)
    assert finding.verdict is Verdict.FAIL
    assert reason in finding.reason
    assert f"  {line}" in finding.evidence, finding.evidence
    assert "s3cret" not in repr(finding)


def test_what_differs_by_itself_is_named_and_not_counted(tmp_path: Path) -> None:
    finding = asked({"/": counting}, {"/": counting}, tmp_path)
    assert finding.verdict is Verdict.PASS
    assert "differ by themselves, so not compared: / (visitors) (`ignore` or `replace` them)" in finding.reason


def test_a_change_is_seen_beside_what_differs_by_itself(tmp_path: Path) -> None:
    def ticking(last: str) -> Callable[[Server], Answer]:
        return lambda s: (200, HTML, f"<p>first</p>\n<i>csrf-{next(s.count)}-{id(s)}</i>\n<p>{last}</p>")

    alike = asked({"/": ticking("x")}, {"/": ticking("x")}, tmp_path)
    assert (alike.verdict, "/ (line 2)" in alike.reason) == (Verdict.PASS, True), alike.reason
    changed = asked({"/": ticking("x")}, {"/": ticking("y")}, tmp_path)
    assert changed.verdict is Verdict.FAIL
    assert "csrf" not in repr(changed), "what differs by itself, a token perhaps, is not shown"


def test_some_may_differ_and_are_shown(tmp_path: Path) -> None:
    live = {"/a": page("1"), "/b": page("1"), "/c": page("1", 404)}
    candidate = {"/a": page("1"), "/b": page("2"), "/c": page("1", 404)}
    finding = asked(live, candidate, tmp_path, allow_different=1)
    assert finding.verdict is Verdict.PASS
    assert finding.reason == (
        "2 of 3 requests are answered alike; 1 may differ; not alike: /b: 1 line of the body; errors on both: /c (404)"
    )
    assert asked(live, candidate, tmp_path).verdict is Verdict.FAIL


def test_many_differences_stay_readable(tmp_path: Path) -> None:
    live = {f"/{n}": page("\n".join(f"{n} line {i}" for i in range(200))) for n in range(12)}
    finding = asked(live, {path: page("gone") for path in live}, tmp_path)
    assert finding.verdict is Verdict.FAIL
    assert "and 9 more" in finding.reason
    assert len(finding.evidence) <= 100
    assert any("more lines" in line for line in finding.evidence)


@pytest.mark.parametrize("line", [10, 19_990])
def test_a_long_page_is_compared_to_its_end(tmp_path: Path, line: int) -> None:
    lines = ["</div>" if i % 2 else f"line {i}" for i in range(20_000)]
    changed = [*lines[:line], "another", *lines[line + 1 :]]
    finding = asked({"/": page("\n".join(lines))}, {"/": page("\n".join(changed))}, tmp_path)
    assert finding.verdict is Verdict.FAIL
    assert "/: 1 line of the body" in finding.reason


def test_many_requests_are_compared_a_moment_at_a_time(tmp_path: Path) -> None:
    """Who comes after a crash goes on where the other was; no secret is in what the journal keeps."""
    late = threading.Event()

    def slow(_: Server) -> Answer:
        late.wait(1.1)
        return 200, HTML, "x"

    live = {"/s3cret-value": slow, "/b": page("x", location="/s3cret-value")}
    candidate = {"/s3cret-value": page("s3cret-value"), "/b": page("x", location="/other")}
    settings = CompareSettings(paths=list(live))
    with serving(live, candidate) as (first, second):
        case = a_case(first.url, second.url)
        finding = CompareCheck(settings, place(tmp_path)).ask(case, None)
        assert (finding.verdict, finding.reason) == (Verdict.WAIT, "1 of 2 requests, 1 differ")
        late.set()
        memo = json.dumps(finding.memo)
        finding = CompareCheck(settings, place(tmp_path)).ask(case, json.loads(memo))
        assert [path for _, path in second.seen] == ["/s3cret-value", "/b"]
    assert finding.verdict is Verdict.FAIL
    assert "/${TOKEN}: 1 line of the body; /b: location /${TOKEN} → /other" in finding.reason
    assert "s3cret" not in memo + repr(finding)


def test_both_are_asked_with_safe_methods_only(tmp_path: Path) -> None:
    flows = tmp_path / "flows.yaml"
    flows.write_text(
        """\
- name: shopping
  steps:
    - {path: /, extract: {csrf: "matches:value=(.*?)"}}
    - {path: /login, method: POST, form: {csrf: "{csrf}"}}
    - {path: "/orders?{csrf}"}
    - {path: /about, method: HEAD}
- {path: /}
"""
    )
    pages = {"/": page("value=7"), "/about": page("")}
    check = CompareCheck(CompareSettings(file=Path("flows.yaml")), place(tmp_path))
    with serving(pages, pages) as (live, candidate):
        finding = check.ask(a_case(live.url, candidate.url), None)
        assert finding.verdict is Verdict.PASS, finding.reason
        assert live.seen == [("GET", "/"), ("GET", "/"), ("HEAD", "/about"), ("HEAD", "/about")]
        assert candidate.seen == [("GET", "/"), ("HEAD", "/about")]


def test_nobody_there(tmp_path: Path) -> None:
    check = CompareCheck(CompareSettings(paths=["/"]), place(tmp_path))
    with serving({"/": page("x")}) as [one]:
        assert check.ask(a_case("", one.url), None).verdict is Verdict.PASS
        gone = check.ask(a_case("http://127.0.0.1:1", one.url), None)
        new = check.ask(a_case(one.url, "http://127.0.0.1:1"), None)
    assert (gone.verdict, "blue (live) cannot be asked" in gone.reason) == (Verdict.UNKNOWN, True)
    assert (new.verdict, "no answer from green (candidate)" in new.reason) == (Verdict.FAIL, True)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, "needs `paths:` or `file:`"),
        ({"paths": ["about"]}, "must begin with `/`"),
        ({"paths": [{"path": "/", "method": "POST"}]}, "'GET', 'HEAD' or 'OPTIONS'"),
        ({"paths": ["/"], "ignore": ["a..b"]}, "is no path"),
        ({"paths": ["/"], "replace": [{"matches": "("}]}, "is no regular expression"),
        ({"paths": ["/"], "replace": [{"matches": "a", "with": "\\1"}]}, "cannot be put in its place"),
        ({"paths": ["/"], "allow_different": -1}, "greater than or equal to 0"),
    ],
)
def test_settings_that_cannot_work(settings: Mapping[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        CompareSettings.model_validate(settings)


def test_a_file_without_anything_to_compare_is_told_before_anything_is_touched(tmp_path: Path) -> None:
    (tmp_path / "flows.yaml").write_text("- {path: /login, method: POST}\n")
    settings = CompareSettings(file=Path("flows.yaml"))
    assert CompareCheck.problems(settings, place(tmp_path)) == [
        "file: flows.yaml: has no GET request that needs nothing of an earlier answer"
    ]
    assert "No such file" in CompareCheck.problems(CompareSettings(file=Path("none.yaml")), place(tmp_path))[0]
