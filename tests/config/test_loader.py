"""`greenroom.yaml`: what a good file comes to, and what is said of a bad one."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.config.loader import Loaded, from_document, load
from greenroom.config.source import locate, parse, placed
from greenroom.domain.plan import Plan, Rule, Step
from greenroom.errors import UsageError

SMALL = """\
service: shop
environment:
  processes:
    web: {command: "serve {port}"}
router: {listen: "127.0.0.1:8080"}
"""

WHOLE = """\
service: shop
environment: &described
  type: process
  source: .
  processes:
    web:
      command: venv/bin/serve --port {port}
      replicas: 2
      health: {path: /health, timeout: 90s}
    worker: {command: work, runs: active, stop: {timeout: 60s}}
  env: {DATABASE_URL: "${DATABASE_URL}", MODE: 0644, ON: yes}
router:
  type: envoy
  listen: 127.0.0.1:8080
  drain: 20s
checks:
  - {type: http, path: /, contains: "${GREETING}"}
  - {type: http, path: /}
  - {type: command, name: browser tests, run: "test {idle_url} = ${DATABASE_URL}"}
shift: [5% for 2m, 50% until approved, 100%]
analysis:
  - {metric: error_rate, max: 1%, compare: {to: baseline, max_ratio: 1.5}, min_requests: 100}
  - {metric: p99, max: 250ms, no_data: wait}
watch:
  - {url: "http://ada:${GREETING}@127.0.0.1:8080/health?key=1", every: 2s}
bake: 10m
keep_warm: 1h30m
notify:
  - {type: webhook, url: "https://hooks.example/T0/B0/secret", on: [succeeded, stuck]}
"""

SECRETS = {"DATABASE_URL": "postgres://ada:pw@db/shop", "GREETING": "Hello there"}


def read(text: str, folder: Path, **environ: str) -> Loaded:
    path = folder / "greenroom.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path, environ)


def refused(text: str | bytes, folder: Path, **environ: str) -> str:
    """What is said, without the folder's name."""
    path = folder / "greenroom.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError) as caught:
        load(path, environ)
    assert caught.value.exit_code == 2
    return caught.value.message.replace(f"{folder}/", "")


def test_a_small_file_has_sensible_defaults(tmp_path: Path) -> None:
    loaded = read(SMALL, tmp_path)
    assert loaded.service == "shop"
    assert loaded.state == tmp_path / ".greenroom"
    assert (loaded.sections.environment.type, loaded.sections.router.type) == ("process", "envoy")
    assert loaded.plan == Plan(
        steps=(Step(100),),
        bake=600.0,
        keep_warm=86400.0,
        drain=30.0,
        ready_within=30.0,
        rules=(Rule("error_rate", max=0.10), Rule("error_rate", max_ratio=3.0)),
        keep_failed=900.0,
    )


def test_a_whole_file(tmp_path: Path) -> None:
    loaded = read(WHOLE, tmp_path, **SECRETS, OTHER="x")
    assert loaded.plan == Plan(
        steps=(Step(5, 120.0), Step(50, approval=True), Step(100)),
        bake=600.0,
        keep_warm=5400.0,
        drain=20.0,
        ready_within=90.0,
        checks=("http /", "http / (2)", "browser tests"),
        watches=("watch:http://127.0.0.1:8080/health",),
        rules=(Rule("error_rate", 0.01, 1.5, 100), Rule("p99", 250.0, no_data="wait")),
        keep_failed=900.0,
    )
    sections = loaded.sections
    assert loaded.secrets == SECRETS
    assert [section.settings.name for section in sections.checks] == list(loaded.plan.checks)
    assert sections.checks[0].settings.contains == "Hello there"
    assert "${DATABASE_URL}" in sections.checks[2].settings.run, "a shell fills it in, out of sight"
    assert [section.name for section in sections.notifiers] == ["webhook https://hooks.example"]
    assert loaded.document["environment"]["env"] == {"DATABASE_URL": "${DATABASE_URL}", "MODE": "0644", "ON": "yes"}
    for value in (*SECRETS.values(), "secret"):
        assert value not in repr(loaded).replace(repr(loaded.document), "")


def test_the_pinned_definition_says_the_same_as_the_file(tmp_path: Path) -> None:
    loaded = read(WHOLE, tmp_path, **SECRETS)
    again = from_document(json.loads(json.dumps(loaded.document)), loaded.secrets, loaded.path)
    assert again == loaded


def test_status_needs_no_more_than_the_names(tmp_path: Path) -> None:
    (tmp_path / "greenroom.yaml").write_text(
        "service: shop\nstate_dir: ../state\nenvironment: {broken\n".replace("{", "")
    )
    assert locate(tmp_path / "greenroom.yaml") == ("shop", tmp_path.parent / "state")


def test_no_analysis_at_all(tmp_path: Path) -> None:
    assert read(SMALL + "analysis: []\n", tmp_path).plan.rules == ()


AT = len(SMALL.splitlines()) + 1
"""The line of what is appended to the small file."""

APPENDED = [
    ("keep_wram: 24h", "keep_wram: unknown key; did you mean `keep_warm`?"),
    ("bake: 30", "bake: 30 has no unit: write 30s for seconds, or 30ms, 30m, 30h"),
    ("bake: soon", "bake: 'soon' is no duration: write it like 250ms, 30s, 5m, 1h30m, 7d"),
    ("shift: [5% for 2m, 3% for 5m, 100%]", "shift: must ascend, but 3% comes after 5%"),
    ("shift: [5% for 2m, 50% for 2m]", "shift: ends with 50%; the last step must be 100%"),
    ("shift: [5%, 100%]", "shift: 5% must say for how long: `5% for 5m`"),
    ("shift: [100% for 5m]", "shift: the last step cannot wait for 5m; how long it is watched then is `bake:`"),
    ("shift: [50, 100%]", "shift[0]: 50 has no unit: write `50%`, or `50% for 5m`"),
    ("shift: [0.5% for 1m, 100%]", "shift[0]: 0.5%: a step is a whole percent, up to 100%"),
    ("shift: [120%]", "shift[0]: '120%' is more than 100%"),
    (
        "shift: [5% until tuesday, 100%]",
        "shift[0]: `until tuesday` is not known; write it like `5% for 2m`, `50% until approved` or `100%`",
    ),
    ("shift: []", "shift: is empty; leave it out, or write `[100%]`, to switch all traffic at once"),
    ("checks: {type: http}", "checks: should be a list: begin each entry with `- `"),
    ("checks: [http]", "checks[0]: should be a mapping of `key: value` lines, not `http`"),
    (
        "checks: [{path: /}]",
        "checks[0].type: is missing; known: alarm, cache, command, compare, dns, http, load, mirror, session, tls",
    ),
    (
        "checks: [{type: htp}]",
        "checks[0].type: there is no check `htp`; did you mean `http`? "
        "Known: alarm, cache, command, compare, dns, http, load, mirror, session, tls",
    ),
    ("checks: [{type: http, path: /, staus: 1}]", "checks[0].staus: unknown key; did you mean `status`?"),
    (
        "checks: [{type: http, path: /, status: good}]",
        "checks[0].status: should be a whole number, or a list: begin each entry with `- `, not `good`",
    ),
    (
        "checks: [{type: http, path: /, tls: {days_left: -1}}]",
        "checks[0].tls.days_left: should be at least 0, not `-1`",
    ),
    ("checks: [{type: http, path: /, timeout: 5m}]", "checks[0].timeout: should be at most 30s, not `5m`"),
    (
        "checks: [{type: http, path: /, method: GTE}]",
        "checks[0].method: should be 'GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE' or 'OPTIONS', not `GTE`; "
        "did you mean `GET`?",
    ),
    (
        "checks: [{type: http}]",
        "checks[0]: needs one of `path:`, `steps:`, `file:` (at the candidate) or `url:` (anywhere)",
    ),
    ("checks: [{type: command}]", "checks[0].run: is missing (The command, for `/bin/sh`, in the folder of the file)"),
    (
        "checks: [{type: command, name: a, run: x}, {type: command, name: a, run: y}]",
        "checks[1].name: `a` is the name of checks[0] already; give it another",
    ),
    (
        "checks: [{type: http, path: '/${PAGE}'}]",
        "checks[0].path: ${PAGE} is not set in the environment; `export PAGE=…` before the command",
    ),
    ("watch: [{url: /health}]", "watch[0].url: must begin with `http://` or `https://`"),
    ("watch: [{type: command, url: x}]", "watch[0].type: `command` cannot watch"),
    (
        "analysis: [{metric: error_rte, max: 1%}]",
        "analysis[0].metric: should be 'error_rate', 'request_rate', 'p50', 'p90', 'p95', 'p99', 'cpu' or 'memory', "
        "not `error_rte`; did you mean `error_rate`?",
    ),
    (
        "analysis: [{metric: p99, max: 1%}]",
        "analysis[0].max: '1%' is no duration: write it like 250ms, 30s, 5m, 1h30m, 7d",
    ),
    (
        "analysis: [{metric: p99}]",
        "analysis[0]: has no limit; give it `max: 250ms` or `compare: {to: baseline, max_ratio: 1.5}`",
    ),
    (
        "notify: [{type: slack}]",
        "notify[0].url: is missing (The address of an incoming webhook, best as `${NAME}`: whoever knows it can post there)",
    ),
    (
        "notify: [{type: webhook, url: 'http://x', on: [succeded]}]",
        "notify[0].on[0]: should be 'started', 'waiting_approval', 'warned', 'shifted', 'paused', 'drifted', 'stuck', "
        "'recovered', 'succeeded', 'aborted', 'rolled_back', 'rehearsed', 'failed' or 'contracted', not `succeded`; "
        "did you mean `succeeded`?",
    ),
    ("state_dir: 7", "state_dir: is no path; write one like `state_dir: /var/lib/greenroom`"),
    ("bake: 1m\nbake: 2m", "bake: stands twice, first in line 6; keep one of them"),
    (
        "keep_warm: !!timestamp 2026-01-01",
        "the tag tag:yaml.org,2002:timestamp is not known here; write the value as it is",
    ),
    ("1: x", "1: a key must be text; put it in quotes"),
    ("watch: &a [*a]", "an alias stands inside of what it names; that has no end"),
    ('state_dir: "a\\0b"', "a zero byte or half a character in a text"),
]


@pytest.mark.parametrize(("text", "said"), APPENDED, ids=[text for text, _ in APPENDED])
def test_what_is_said_of_a_bad_line(tmp_path: Path, text: str, said: str) -> None:
    line = AT + text.count("\n")
    assert refused(SMALL + text + "\n", tmp_path) == f"greenroom.yaml:{line}: {said}"


CHANGED = [
    ("service: shop", "service: Shop!", "1: service: 'Shop!' is no name for a service; "),
    ("service: shop", "", ": service: is missing; give the service a name: `service: shop`"),
    ('"serve {port}"', "''", "4: environment.processes.web.command: is empty"),
    ("web: {command:", "web: {comand:", "4: environment.processes.web.comand: unknown key; did you mean `command`?"),
    ("web:", "{a: {command: x}, b: {command: x}}#", "3: environment.processes: it is not clear which process gets"),
    (
        "environment:",
        "environment:\n  type: kubernetes",
        "3: environment.type: `kubernetes` is not built yet; there is: ",
    ),
    ("router: {", "router: {type: gateway, ", "5: router.type: `gateway` is not built yet; there is: "),
    (
        "router: {",
        "router: {type: envy, ",
        "5: router.type: there is no router `envy`; did you mean `envoy`? Known: ",
    ),
    ("listen:", "listn:", "5: router.listen: is missing"),
    ('"127.0.0.1:8080"', "8080", "5: router.listen"),
]


@pytest.mark.parametrize(("old", "new", "said"), CHANGED, ids=[new for _, new, _ in CHANGED])
def test_what_is_said_of_a_bad_section(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert f"greenroom.yaml{':' if said[0] != ':' else ''}{said}" in refused(SMALL.replace(old, new, 1), tmp_path)


NO_YAML = [
    (b"", "greenroom.yaml: is empty; `greenroom init` writes a starter file"),
    (b"just text", "greenroom.yaml:1: is not a list of `key: value` lines, as a configuration is"),
    (b"service: shop\n\tbake: 1m\n", "greenroom.yaml:2:1: is not YAML: there is a tab; YAML indents with spaces only"),
    (b"service: [shop\n", "greenroom.yaml:2:1: is not YAML: "),
    (b"a: b: c\n", "greenroom.yaml:1:5: is not YAML: a second `:` in one value; put the value in quotes"),
    (b"a: 1\n---\nb: 2\n", "greenroom.yaml:2:1: is not YAML: a second document begins (`---`)"),
    (b"\x7fELF\x02\x01\x00\xff\xfe", "greenroom.yaml:1: is not text in UTF-8 (byte 7 is 0xff); is it the right file?"),
    (b"a: b\nc: \x00\n", "greenroom.yaml:2: is a binary file, not YAML"),
    (b"a: " + b"[" * 5000, "greenroom.yaml: is nested too deeply to be a configuration"),
    (b"#" * 10_000_000, "greenroom.yaml: has 10,000,000 bytes; a configuration has at most 262,144."),
    (
        b"a: &a [x,x,x,x,x,x,x,x,x]\n"
        + b"".join(b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 9)) for c in b"bcdefgh"),
        "more than 20,000 values, aliases counted; that is no configuration",
    ),
]


@pytest.mark.parametrize(("content", "said"), NO_YAML, ids=[said[:60] for _, said in NO_YAML])
def test_what_is_no_configuration(tmp_path: Path, content: bytes, said: str) -> None:
    assert said in refused(content, tmp_path)


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    for path, said in ((tmp_path / "none.yaml", "no such file; `greenroom init`"), (tmp_path, "is a folder")):
        with pytest.raises(UsageError, match=said):
            load(path, {})


def test_everything_that_is_wrong_is_said_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    said = refused(SMALL.replace("shop", "No") + "bake: 30\nwatch: [{url: x}]\ngates: 5\nkeep_warm: 5\n", tmp_path)
    assert [line.split(": ")[1] for line in said.splitlines()] == [
        "service",
        "bake",
        "watch[0].url",
        "gates",
        "keep_warm",
    ]


@pytest.mark.parametrize(
    "text",
    ['bake: "${X}"', "checks: [{type: http, path: '${X}'}]", "checks: [{type: http, path: /, method: '${X}'}]",
     "checks: [{type: http, path: /, matches: '(${X}'}]", "watch: [{url: '${X}'}]"],
)  # fmt: skip
@pytest.mark.parametrize("value", ["hunter22", "abc", "7"])
def test_no_secret_in_what_is_said(tmp_path: Path, text: str, value: str) -> None:
    said = refused(SMALL + text + "\n", tmp_path, X=value)
    assert value not in said.replace("7d", "").replace("greenroom.yaml:6", "")


ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["5%", "1m", "${X}"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
KEYS = [
    "service",
    "environment",
    "router",
    "checks",
    "shift",
    "analysis",
    "watch",
    "bake",
    "keep_warm",
    "notify",
    "gates",
]


def never_anything_but_a_usage_error(document: Any) -> None:
    with contextlib.suppress(UsageError):
        from_document(document, {"X": "y"}, Path("greenroom.yaml"))


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.dictionaries(st.sampled_from(KEYS), ANYTHING))
def test_any_structure_is_refused_in_words(document: dict[str, Any]) -> None:
    never_anything_but_a_usage_error(document)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.data())
def test_a_good_file_with_one_strange_value(data: st.DataObject) -> None:
    document = json.loads(json.dumps(parse(WHOLE, Path("greenroom.yaml")).document))
    at, key = document, data.draw(st.sampled_from(sorted(document)))
    while isinstance(at[key], dict | list) and at[key] and data.draw(st.booleans()):
        at = at[key]
        key = data.draw(st.sampled_from(sorted(at)) if isinstance(at, dict) else st.integers(0, len(at) - 1))
    at[key] = data.draw(ANYTHING)
    never_anything_but_a_usage_error(document)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(st.binary(max_size=60) | st.text(alphabet="abc:{}[]&*!|>'\"%@`#?-, \n\t\\0x~", max_size=60).map(str.encode))
def test_any_bytes_are_refused_in_words(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(content)
    with pytest.raises(UsageError):
        load(path, {})


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), ANYTHING, min_size=1, max_size=4))
def test_what_is_read_is_what_was_written(document: dict[str, Any]) -> None:
    written = json.loads(json.dumps(document), parse_constant=lambda name: name, parse_float=lambda text: text)
    try:
        source = parse(yaml.safe_dump(written, allow_unicode=True), Path("greenroom.yaml"))
    except UsageError:
        return  # zero bytes, halves of characters, ${…} in keys
    assert json.loads(json.dumps(source.document)) == source.document
    assert set(source.document) == set(written)
    assert all(source.line((key,)) for key in written)


def test_a_relative_path_is_shown_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("greenroom.yaml").write_text("service: shop\n")
    with pytest.raises(UsageError, match=r"^greenroom.yaml: environment: is missing"):
        load(Path("greenroom.yaml"), os.environ)


@pytest.mark.parametrize(
    ("problem", "shown"),
    [
        ("router.listen: 127.0.0.1:8080 is taken", "greenroom.yaml:5: router.listen: 127.0.0.1:8080 is taken"),
        ("router.listen[1].tls: no key", "greenroom.yaml:5: router.listen[1].tls: no key"),
        ("environment.processes.web.command: no", "greenroom.yaml:4: environment.processes.web.command: no"),
        ("environment: no room", "greenroom.yaml:2: environment: no room"),
        ("there is no envoy: install it", "there is no envoy: install it"),
        ("127.0.0.1:8080 is taken", "127.0.0.1:8080 is taken"),
    ],
)
def test_a_problem_of_this_machine_is_told_with_its_place_in_the_file(problem: str, shown: str) -> None:
    assert placed(parse(SMALL, Path("greenroom.yaml")), problem) == shown
