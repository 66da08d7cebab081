"""The check `http` with flows: several requests in one check, and files of many of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from pydantic import ValidationError

from greenroom.adapters.checks.http import HttpCheck
from greenroom.domain.model import Colour, Verdict
from greenroom.domain.opinion import Case, Finding
from greenroom.ports import Check, Place
from greenroom.testing.contracts.check import CheckContract
from greenroom.wiring import open_service
from tests.docs.pages import ROOT, blocks

CSRF = 'a&b"7-secret-of-the-form'
SID = "sid-secret-0001"
TOKEN = "token/secret=0002"


class Shop(BaseHTTPRequestHandler):
    """A shop with a form to log in, a token for its API, and orders. Each step needs what the one before gave."""

    server: Server

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.seen.append((self.command, self.path, dict(self.headers), body.decode()))
        if "x-greenroom-test" not in self.headers:
            self.say(403, "this is not the candidate")
        else:
            self.route(body.decode())

    do_POST = do_PUT = do_GET

    def route(self, body: str) -> None:
        known = f"sid={SID}" in self.headers.get("cookie", "")
        match self.command, self.path.partition("?")[0]:
            case "GET", "/login":
                page = '<input name="csrf" value="a&amp;b&quot;7-secret-of-the-form">'
                self.say(200, page, ("content-type", "text/html"))
            case "POST", "/login":
                form = {name: values[0] for name, values in parse_qs(body).items()}
                if form == {"csrf": CSRF, "user": "ann", "password": "hunter22"}:
                    self.say(
                        303,
                        "",
                        ("location", "/home"),
                        ("set-cookie", f"sid={SID}; Path=/"),
                        ("set-cookie", "theme=dark"),
                    )
                else:
                    self.say(401, f"wrong: {body}")
            case "GET", "/home" if known:
                self.say(302, "", ("location", f"http://{self.headers['host']}/welcome"))
            case "GET", "/welcome" if known:
                self.say(200, f"Hello ann, your session is {SID}", ("x-next", "/orders/7?full=1"))
            case "GET", "/orders/7" if known:
                self.say(200, json.dumps({"order": 7, "query": self.path.partition("?")[2]}))
            case "POST", "/token":
                asked = json.loads(body)
                self.say(
                    200,
                    json.dumps({"data": {"token": TOKEN, "for": asked, "id": 41}}),
                    ("content-type", "application/json"),
                )
            case "GET", "/api" if self.headers.get("authorization") == f"Bearer {TOKEN}":
                self.say(200, json.dumps({"ok": True}))
            case "GET", "/logout":
                self.say(200, "bye", ("set-cookie", "sid=; Max-Age=0; Path=/"))
            case "PUT", "/moved":
                self.say(307, "", ("location", "/kept"))
            case "PUT", "/kept":
                self.say(200, body)
            case "GET", "/away":
                self.say(302, "", ("location", "http://elsewhere.example/x"), ("x-next", "http://elsewhere.example/y"))
            case "GET", "/other":
                self.say(200, "", ("x-next", "//elsewhere.example/z"))
            case "GET", "/slow":
                self.server.ended.wait(30)
                self.say(200, "late")
            case _:
                self.say(404, f"nothing here for {self.headers.get('cookie', 'nobody')}\n{self.path}")

    def say(self, status: int, body: str, *headers: tuple[str, str]) -> None:
        content = body.encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Shop)
        self.seen: list[tuple[str, str, dict[str, str], str]] = []
        self.ended = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *args: Any) -> None:
        """Clients break off on purpose."""


@contextmanager
def serving() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def shop() -> Iterator[Server]:
    with serving() as server:
        yield server


class Pinned:
    def values(self, release: str) -> Mapping[str, str]:
        return {"TEST_PASSWORD": "hunter22"}

    def pin(self, release: str, values: Mapping[str, str]) -> None: ...

    def forget(self, release: str) -> None: ...


def place(folder: Path) -> Place:
    return Place("shop", folder / "greenroom.yaml", folder / ".greenroom", vault=Pinned())


def a_case(url: str) -> Case:
    return Case("r-7", "2", Colour.GREEN, url, {"x-greenroom-test": "1"}, {"version": "2"})


def asked(shop: Server, folder: Path, **settings: Any) -> Finding:
    check = HttpCheck(HttpCheck.Settings.model_validate(settings), place(folder))
    finding, memo = Finding(Verdict.WAIT), None
    while finding.verdict is Verdict.WAIT:
        finding = check.ask(a_case(shop.url), memo)
        memo = json.loads(json.dumps(finding.memo))
        assert "secret" not in repr(memo)
    return finding


FORM = {"path": "/login", "extract": {"csrf": 'matches:name="csrf" value="(.*?)"'}}
LOGIN = {
    "path": "/login",
    "method": "POST",
    "form": {"csrf": "{csrf}", "user": "ann", "password": "{password}"},
    "status": 303,
    "extract": {"session": "cookie:sid", "next": "header:Location"},
}
VALUES = {"password": "hunter22"}


class FlowBench:
    """The witness counts log-ins."""

    def __init__(self, shop: Server, folder: Path) -> None:
        self._shop, self._folder, self._before = shop, folder, self._logins(shop)

    @staticmethod
    def _logins(shop: Server) -> int:
        return sum((method, path) == ("POST", "/login") for method, path, _, _ in shop.seen)

    def check(self, opinion: Verdict) -> Check:
        last = {"path": "/orders/7", "status": 200 if opinion is Verdict.PASS else 201}
        settings = HttpCheck.Settings.model_validate({"steps": [FORM, LOGIN, last], "values": VALUES})
        return HttpCheck(settings, place(self._folder))

    def endless(self) -> None:
        return None

    def case(self) -> Case:
        return a_case(self._shop.url)

    def begun(self) -> int:
        return self._logins(self._shop) - self._before

    def running(self) -> int:
        return 0


class TestFlow(CheckContract):
    @pytest.fixture
    def bench(self, shop: Server, tmp_path: Path) -> FlowBench:
        return FlowBench(shop, tmp_path)


class FileBench(FlowBench):
    def check(self, opinion: Verdict) -> Check:
        last = {"path": "/orders/7", "status": 200 if opinion is Verdict.PASS else 201}
        flows = [{"name": "order", "steps": [FORM, LOGIN, last]}, {"path": "/nothing", "status": 404}]
        (self._folder / "flows.yaml").write_text(json.dumps(flows))  # JSON is YAML
        settings = HttpCheck.Settings.model_validate({"file": "flows.yaml", "values": VALUES})
        return HttpCheck(settings, place(self._folder))


class TestFile(CheckContract):
    @pytest.fixture
    def bench(self, shop: Server, tmp_path: Path) -> FileBench:
        return FileBench(shop, tmp_path)


# --- what a flow can do

GOOD: list[list[dict[str, Any]]] = [
    [FORM, LOGIN, {"path": "/home", "follow_redirects": True, "contains": "Hello ann"}],
    [FORM, {**LOGIN, "status": 200, "follow_redirects": True, "contains": "Hello ann", "extract": {}}],
    [FORM, LOGIN, {"path": "{next}", "status": 302}],
    [
        FORM,
        LOGIN,
        {"path": "/welcome", "contains": "{session}", "extract": {"order": "header:X-Next"}},
        {"path": "{order}", "json": {"order": 7, "query": "full=1"}},
    ],
    [
        {
            "path": "/token",
            "method": "POST",
            "body": {"user": "ann", "roles": ["{version}", 2]},
            "extract": {"token": "json:data.token", "id": "json:data.id"},
            "json": {"data.for.roles": ["2", 2]},
        },
        {"path": "/api?{id}", "headers": {"Authorization": "Bearer {token}"}, "json": {"ok": True}},
    ],
    [FORM, LOGIN, {"path": "/logout"}, {"path": "/orders/7", "status": 404, "contains": "theme=dark"}],
    [{"path": "/moved", "method": "PUT", "body": "{version}", "follow_redirects": True, "contains": "2"}],
]


@pytest.mark.parametrize("steps", GOOD, ids=lambda steps: " ".join(step["path"] for step in steps))
def test_a_flow_that_works(shop: Server, tmp_path: Path, steps: list[dict[str, Any]]) -> None:
    finding = asked(shop, tmp_path, steps=steps, values=VALUES)
    assert finding.verdict is Verdict.PASS, (finding.reason, finding.evidence)
    assert finding.reason.startswith(f"{len(steps)} step")


BAD: list[tuple[list[dict[str, Any]], str]] = [
    ([FORM, {**LOGIN, "form": {"csrf": "{csrf}"}}], "POST /login: answered 401, expected 303"),
    ([FORM, LOGIN, {"path": "/welcome", "contains": "Hello {session}"}], "GET /welcome: the body does not contain"),
    (
        [{**FORM, "extract": {"x": "matches:nothing"}}],
        "GET /login: there is nothing to take for {x}: no matches 'nothing'",
    ),
    ([{**FORM, "extract": {"x": "cookie:sid"}}], "there is nothing to take for {x}: no cookie 'sid'"),
    ([{**FORM, "extract": {"x": "json:a.b"}}], "there is nothing to take for {x}: no json 'a.b'"),
    ([{"path": "/away", "follow_redirects": True}], "leads away from the candidate, to http://elsewhere.example/x"),
    (
        [{"path": "/away", "status": 302, "extract": {"x": "header:X-Next"}}, {"path": "{x}"}],
        "leads away from the candidate",
    ),
    ([{"path": "/other", "extract": {"x": "header:X-Next"}}, {"path": "{x}"}], "leads away from the candidate"),
    ([{"path": "/nothing", "name": "the shelf"}], "the shelf: answered 404, expected 200"),
]


@pytest.mark.parametrize(("steps", "reason"), BAD, ids=[row[1] for row in BAD])
def test_a_flow_that_fails(shop: Server, tmp_path: Path, steps: list[dict[str, Any]], reason: str) -> None:
    before = len(shop.seen)
    finding = asked(shop, tmp_path, steps=steps, values=VALUES)
    assert (finding.verdict, reason in finding.reason) == (Verdict.FAIL, True), finding.reason
    assert all(headers.get("x-greenroom-test") == "1" for _, _, headers, _ in shop.seen[before:])


def test_extracted_values_cookies_and_secrets_are_never_shown(shop: Server, tmp_path: Path) -> None:
    """Neither whole nor in part, neither as they are nor as they were sent; also where a long text was cut off."""
    wrong_form = {**LOGIN, "form": {**LOGIN["form"], "user": "bob"}}  # its body, with all of the form, is in the answer
    for steps in (
        [FORM, wrong_form],
        [FORM, LOGIN, {"path": "/nothing"}],
        [FORM, LOGIN, {"path": "/welcome", "contains": "x" * 110 + "{session}"}],
        [FORM, LOGIN, {"path": "/welcome", "expect_headers": {"x-next": "{session}"}}],
        [FORM, LOGIN, {"path": "/nothing?{csrf}"}],
        [GOOD[4][0], {"path": "/api", "headers": {"Authorization": "Basic {token}"}}],
        [GOOD[4][0], {"path": "/nothing/{token}", "status": 201}],
    ):
        finding = asked(shop, tmp_path, steps=steps, values=VALUES)
        assert finding.verdict is Verdict.FAIL
        said = finding.reason + "\n".join(finding.evidence)
        for value in (CSRF, SID, TOKEN, "hunter22", "secret", "sid-"):
            assert value not in said.replace("{cookie:sid}", ""), said


def test_the_evidence_tells_the_way(shop: Server, tmp_path: Path) -> None:
    finding = asked(shop, tmp_path, steps=[FORM, LOGIN, {"path": "/nothing"}], values=VALUES)
    shown = [line.partition(" in ")[0] for line in finding.evidence[:3]]
    assert shown == [
        "the candidate: GET /login → 200",
        "the candidate: POST /login → 303",
        "the candidate: GET /nothing → 404",
    ]
    assert finding.evidence[2].endswith(" ✗")


def test_all_of_it_has_one_deadline(shop: Server, tmp_path: Path) -> None:
    finding = asked(shop, tmp_path, steps=[{"path": "/slow"}, {"path": "/slow"}], timeout="300ms")
    assert finding.verdict is Verdict.FAIL
    assert "no complete answer from" in finding.reason
    assert "within 0.3s" in finding.reason


def test_a_flow_is_tried_again_from_its_beginning(tmp_path: Path) -> None:
    with serving() as shop:
        steps = [FORM, LOGIN, {"path": "/nothing"}]
        asked(shop, tmp_path, steps=steps, values=VALUES, retries=1, retry_delay="0")
        assert [path for _, path, _, _ in shop.seen] == ["/login", "/login", "/nothing"] * 2


# --- files


def file_of(folder: Path, text: str) -> dict[str, Any]:
    (folder / "flows.yaml").write_text(text)
    return {"file": "flows.yaml", "values": VALUES}


def test_every_flow_that_fails_is_told(shop: Server, tmp_path: Path) -> None:
    flows = "\n".join(f"- {{name: n{i}, path: /nothing/{i}, status: {404 if i % 2 else 200}}}" for i in range(10))
    finding = asked(shop, tmp_path, **file_of(tmp_path, flows))
    assert finding.verdict is Verdict.FAIL
    assert finding.reason.startswith("5 of 10 flows fail: n0: GET /nothing/0: answered 404, expected 200; n2: ")
    assert finding.reason.endswith("; and 2 more")
    assert [line.partition(":")[0] for line in finding.evidence if not line.startswith(" ")] == [
        "n0",
        "n2",
        "n4",
        "n6",
        "n8",
    ]


def test_flows_do_not_share_cookies(shop: Server, tmp_path: Path) -> None:
    flows = json.dumps([{"name": "in", "steps": [FORM, LOGIN]}, {"name": "out", "path": "/welcome", "status": 404}])
    finding = asked(shop, tmp_path, **file_of(tmp_path, flows))
    assert (finding.verdict, finding.reason) == (Verdict.PASS, "2 flows")


def test_a_long_file_is_asked_a_moment_at_a_time(tmp_path: Path) -> None:
    """Who comes after a crash goes on where the other was, unless the file has changed."""
    flows = [{"name": f"n{i}", "path": "/slow", "timeout": "1100ms", "status": 404} for i in range(3)]
    settings = HttpCheck.Settings.model_validate(file_of(tmp_path, json.dumps(flows)))
    with serving() as shop:
        first = HttpCheck(settings, place(tmp_path)).ask(a_case(shop.url), None)
        assert (first.verdict, " of 3 flows, " in first.reason) == (Verdict.WAIT, True)
        shop.ended.set()
        last = HttpCheck(settings, place(tmp_path)).ask(a_case(shop.url), json.loads(json.dumps(first.memo)))
        assert last.reason.startswith("3 of 3 flows fail: n0: GET /slow: no complete answer")
        (tmp_path / "flows.yaml").write_text("- {path: /nothing, status: 404}")
        anew = HttpCheck(settings, place(tmp_path)).ask(a_case(shop.url), first.memo)
        assert (anew.verdict, anew.reason) == (Verdict.PASS, "1 flow")


WRONG_FILES = [
    ("", "flows.yaml: should be a list of flows"),
    ("name: x", "flows.yaml: should be a list of flows"),
    ("- [", "flows.yaml:1: is not YAML"),
    ("- x", "flows.yaml:1: [0]: should be a mapping with `name` and `steps`, or with `path`"),
    ("- {path: /, sttus: 404}", "flows.yaml:1: [0].sttus: unknown key; did you mean `status`?"),
    ("- path: /\n- name: b\n  steps:\n  - path: /x\n    status: abc", "flows.yaml:5: [1].steps[0].status: should be"),
    ("- steps:\n  - path: x", "flows.yaml:2: [0].steps[0].path: the path 'x' must begin with `/`"),
    ("- steps: []", "flows.yaml:1: [0].steps: list should have at least 1 item"),
    ("- {path: /, body: {a: 1}}", "flows.yaml:1: [0]: a `body` like this is not sent with GET; add `method: POST`"),
    ("- {path: /, extract: {a: html:x}}", "flows.yaml:1: [0].extract: 'html:x' is no place to take a value from"),
    ("- {name: a, path: /}\n- {name: a, path: /x}", "flows.yaml:2: [1].name: `a` is the name of flow 1 already"),
    ("- {path: '/${TOKEN}'}", "flows.yaml:1: [0]: ${TOKEN} is filled in greenroom.yaml only"),
    ("- {name: a}", "flows.yaml:1: [0]: `path` is missing"),
    ("- {path: '/{pasword}'}", "flows.yaml:1: [0]: {pasword} is filled by nothing; did you mean {password}?"),
    ("- {path: /, timeout: 5}", "flows.yaml:1: [0].timeout: 5 has no unit"),
]


@pytest.mark.parametrize(("text", "problem"), WRONG_FILES, ids=[row[1] for row in WRONG_FILES])
def test_a_file_is_judged_before_anything_is_touched(tmp_path: Path, text: str, problem: str) -> None:
    settings = HttpCheck.Settings.model_validate(file_of(tmp_path, text))
    problems = HttpCheck.problems(settings, place(tmp_path))
    assert problems[0].startswith(f"file: {problem}"), problems
    finding = HttpCheck(settings, place(tmp_path)).ask(a_case("http://127.0.0.1:1"), None)
    assert (finding.verdict, finding.reason.startswith(problem)) == (Verdict.FAIL, True)


def test_all_problems_of_a_file_are_told(tmp_path: Path) -> None:
    settings = HttpCheck.Settings.model_validate(file_of(tmp_path, "- {path: x}\n- {path: y}\n- {path: /}"))
    assert [problem.split(": ")[1] for problem in HttpCheck.problems(settings, place(tmp_path))] == [
        "flows.yaml:1",
        "flows.yaml:2",
    ]
    settings = HttpCheck.Settings.model_validate({"file": "none.yaml"})
    assert HttpCheck.problems(settings, place(tmp_path)) == [
        "file: none.yaml: cannot be read: No such file or directory"
    ]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, "needs one of `path:`, `steps:`, `file:`"),
        ({"path": "/", "steps": [{"path": "/"}]}, "needs one of"),
        ({"steps": [{"path": "/"}], "status": 200}, "`status` belongs to a single request"),
        ({"file": "a.yaml", "json": {"a": 1}}, "`json` belongs to a single request"),
        ({"path": "/", "values": {"a": "b"}}, "there are none"),
        (
            {"steps": [{"path": "/{a}"}, {"path": "/", "extract": {"a": "cookie:a"}}]},
            "step 1 uses {a}, which is extracted in",
        ),
        ({"steps": [{"path": "/{vers}"}]}, "{vers} is filled by nothing"),
        ({"steps": [{"path": "/", "headers": {"A": "{b}"}}]}, "give it in `values: {b: …}`, or extract it"),
        ({"steps": [{"path": "/", "extract": {"version": "cookie:a"}}]}, "{version} is given by Greenroom"),
        ({"steps": [{"path": "/", "extract": {"A1": "cookie:a"}}]}, "is no name for a value"),
        ({"steps": [{"path": "/", "extract": {"a": "matches:("}}]}, "is no regular expression"),
        ({"steps": [{"path": "/", "extract": {"a": "matches:(a)(b)"}}]}, "more than one group"),
        ({"steps": [{"path": "/", "extract": {"a": "json:a..b"}}]}, "is no path"),
        ({"steps": [{"path": "http://elsewhere.example/"}]}, "must begin with `/`"),
        ({"steps": [{"path": "/", "form": {"a": "b"}}]}, "add `method: POST`"),
        ({"steps": [{"path": "/", "method": "POST", "form": {"a": "b"}, "body": "x"}]}, "has `form` and `body`"),
        ({"steps": [{"path": "/"}], "timeout": "1m"}, "less than or equal to 30"),
    ],
)
def test_settings_that_cannot_work(settings: Mapping[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError) as caught:
        HttpCheck.Settings.model_validate(settings)
    assert reason in str(caught.value)


def test_a_single_request_can_send_a_form_and_json(shop: Server, tmp_path: Path) -> None:
    finding = asked(
        shop, tmp_path, path="/token", method="POST", body={"user": "{version}"}, json={"data.for.user": "2"}
    )
    assert finding.verdict is Verdict.PASS, finding.reason
    asked(shop, tmp_path, path="/login", method="POST", form={"user": "a b"}, status=401)
    assert shop.seen[-1][3] == "user=a+b"


def test_the_file_of_the_guide_is_one(tmp_path: Path) -> None:
    [block] = [block for block in blocks(ROOT / "docs" / "guides" / "checks.md") if block.language == "yml"]
    settings = HttpCheck.Settings.model_validate(file_of(tmp_path, block.text))
    assert HttpCheck.problems(settings, place(tmp_path)) == []


def test_plan_and_deploy_say_it_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "app.py").touch()
    (tmp_path / "flows.yaml").write_text("- {path: /}\n- {path: /, sttus: 404}\n")
    file = tmp_path / "greenroom.yaml"
    file.write_text(
        """\
service: shop
environment: {type: process, processes: {web: {command: python3 app.py}}}
router: {type: envoy, listen: 127.0.0.1:8080}
checks:
  - {type: http, path: /}
  - {type: http, file: flows.yaml}
"""
    )
    said = "greenroom.yaml:6: checks[1]: file: flows.yaml:2: [1].sttus: unknown key; did you mean `status`?"
    assert [problem for problem in open_service(file, {}).problems() if problem.endswith(said)]
