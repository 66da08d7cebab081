"""Gates by stage, steps, who goes first, the shield, copies: what the file says of them, and what is refused."""

from __future__ import annotations

import getpass
import pwd
from pathlib import Path

import pytest

from greenroom.config.loader import from_document
from greenroom.domain.plan import Gate, Step, When
from tests.config.test_loader import SMALL, read, refused

ROUTER = 'router: {listen: "127.0.0.1:8080"}\n'
NGINX = 'router: {type: nginx, url: "http://127.0.0.1:8080"}\n'

GATES = """\
gates:
  - {type: command, name: unit tests, run: pytest -q}
  - {type: command, run: "scan {artefact}", when: artefact}
  - {type: sarif, preset: bandit, when: bake, on_failure: notify}
"""


def test_each_gate_has_its_stage_and_a_name(tmp_path: Path) -> None:
    loaded = read(SMALL + GATES, tmp_path)
    assert loaded.plan.gates == (
        Gate("unit tests", When.SOURCE),
        Gate("command scan {artefact}", When.ARTEFACT),
        Gate("sarif bandit", When.BAKE, notify_only=True),
    )
    assert [section.settings.name for section in loaded.sections.gates] == [gate.name for gate in loaded.plan.gates]
    assert from_document(loaded.document, loaded.secrets, loaded.path) == loaded


def test_people_are_asked_before_the_traffic_unless_the_file_says_otherwise(tmp_path: Path) -> None:
    me = pwd.getpwnam(getpass.getuser()).pw_name
    loaded = read(SMALL + f"gates: [{{type: approval, approvers: [{me}]}}]\n", tmp_path)
    assert loaded.plan.gates == (Gate("approval", When.APPROVE, people=True),)


def test_a_line_of_steps(tmp_path: Path) -> None:
    loaded = read(SMALL + "shift: 25% every 2m\n", tmp_path)
    assert loaded.plan.steps == (Step(25, 120.0), Step(50, 120.0), Step(75, 120.0), Step(100))


def test_who_goes_first_with_a_step_of_their_own(tmp_path: Path) -> None:
    more = "first: {header: X-Staff, value: 'yes'}\nshift: [0% for 10m, 100%]\nshield: true\nkeep_failed: 1h\n"
    plan = read(SMALL + more, tmp_path).plan
    assert (plan.first, plan.steps, plan.shield, plan.keep_failed) == (
        ("x-staff", "yes"),
        (Step(0, 600.0), Step(100)),
        True,
        3600.0,
    )


def test_a_mirror_tells_the_plan_its_share(tmp_path: Path) -> None:
    plan = read(SMALL + "checks: [{type: mirror, name: copies, share: 10%}]\n", tmp_path).plan
    assert dict(plan.mirrors) == {"copies": 10}


def test_what_a_source_is_asked_stands_in_the_rule(tmp_path: Path) -> None:
    more = "analysis:\n  - {metric: memory, max: 512MiB}\n  - {metric: error_rate, max: 1%}\n"
    rules = read(SMALL + more, tmp_path).plan.rules
    assert [(rule.metric, bool(rule.source)) for rule in rules] == [("memory", True), ("error_rate", False)]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            "gates: [{run: x}]\n",
            "greenroom.yaml:6: gates[0].type: is missing; known: alarm, approval, command, sarif, window",
        ),
        ("gates: [{type: semgrep}]\n", "gates[0].type: there is no gate `semgrep`"),
        (
            "gates: [{type: window, open: [Mon 09:00-10:00], zone: UTC, when: bake}]\n",
            "can be asked at: source, approve",
        ),
        ("gates: [{type: command, run: x, on_failure: abort}]\n", "on_failure: should be `stop`"),
        ('gates: [{type: command, run: "curl {idle_url}"}]\n', "`{idle_url}` is not there yet"),
        (
            'gates: [{type: command, run: "scan {artefact}"}]\n',
            "greenroom.yaml:6: gates[0]: `{artefact}` is not there yet at `when: source`; it is made after that: write",
        ),
        (
            'gates: [{type: command, when: artefact, run: "scan {live_url}"}]\n',
            "gates[0]: `{live_url}` is not there yet at `when: artefact`",
        ),
        ("gates: [{type: sarif, preset: zap}]\n", "gates[0]: `{live_url}` is not there yet at `when: source`"),
        ("gates: [{type: sarif, preset: trivy-image}]\n", "write `when: artefact`"),
        ("gates: [{type: sarif, preset: sonar}]\n", "gates[0].preset: should be 'bandit'"),
        ("gates: [{type: approval, approvers: [root], needed: 2}]\n", "`approvers` names only 1"),
        ("gates: [{type: approval, timeout: 4}]\n", "4 has no unit: write 4s for seconds"),
        (
            "gates: [{type: window, freezes: [{from: 2026-01-01, to: 2099-12-31, why: x}]}]\n",
            "gates[0]: can never open",
        ),
        ('gates: [{type: window, open: ["Mon 09:00-09:00"]}]\n', "is empty: it ends when it begins"),
        ('gates: [{type: window, open: ["Mo 09:00-10:00"]}]\n', "'Mo' is no day; they are Mon, Tue"),
        ("shift: 10% each 10s\n", "write it like `5% for 2m`"),
        ("shift: [50%, 100%]\n", "50% must say for how long: `50% for 5m`"),
        ("shift: [5 for 2m, 100%]\n", "'5' is no percent"),
        ("checks: [{type: load, rate: 50, duration: 5s}]\n", "checks[0].rate: 50 has no unit: write 50/s"),
        ("checks: [{type: mirror, share: 10}]\n", "checks[0].share: 10 has no unit: write 10%"),
        ("checks: [{type: compare}]\n", "needs `paths:` or `file:`"),
        ("checks: [{type: session, open: [{path: /l, method: POST}]}]\n", "checks[0].verify: is missing"),
        ("analysis: [{metric: error_rate, max: 1}]\n", "analysis[0].max: 1 has no unit: write 1%"),
        ("analysis: [{metric: p99, max: 250}]\n", "250 has no unit: write 250s for seconds, or 250ms"),
        (
            'notify: [{type: slack, url: "http://hooks.example.com/x"}]\n',
            "notify[0].url: is no webhook of Slack's",
        ),
        (
            "gates: [{type: command, run: x, name: a}, {type: command, run: y, name: a}]\n",
            "gates[1].name: `a` is the name of gates[0] already",
        ),
        ("shift: [0% for 1m, 100%]\n", "a step of 0% reaches nobody"),
        ("shift: [50% for 1m, 20% for 1m, 100%]\n", "must ascend, but 20% comes after 50%"),
        ("shift: [50% for 1m]\n", "ends with 50%; the last step must be 100%"),
        ("shift: 0.5% every 2m\n", "a step is a whole percent"),
        ("first: {header: 'x staff'}\n", "is no name of a header"),
        ("shield: maybe\n", "shield"),
        ("keep_failed: 5\n", "keep_failed"),
    ],
)
def test_bad_input(tmp_path: Path, more: str, said: str) -> None:
    assert said in refused(SMALL + more, tmp_path)


PROMETHEUS = 'source: {type: prometheus, url: "http://127.0.0.1:9090"}'
ADDRESS = 'source: {type: http, url: "http://127.0.0.1:9/x"}'


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (f"query: sum(x), {PROMETHEUS}, compare: {{max_ratio: 2}}", "cannot see colours"),
        (f"query: sum(x), {PROMETHEUS}, expression: candidate <= 2 * baseline", "write {colour}, {version} or"),
        (f"name: queue, {ADDRESS}, compare: {{confidence: 99%}}", "greenroom.yaml:7: analysis[0]: cannot see colours"),
        (f"name: queue, query: '{{colour}}', {ADDRESS}, compare: {{max_ratio: 2}}", "cannot see colours"),
        (f"name: queue, {ADDRESS}, expression: candidate < limit", "`limit` is not known; known are the names"),
        (f"name: queue, {ADDRESS}, expression: open('x') == 0", "is a call, and nothing can be called here"),
        (f"name: queue, {ADDRESS}, expression: '(candidate := 1) < baseline'", "`(candidate := 1)` cannot stand here"),
    ],
)
def test_a_source_that_cannot_see_colours_and_what_is_no_expression(tmp_path: Path, entry: str, said: str) -> None:
    assert said in refused(SMALL + f"analysis:\n  - {{{entry}}}\n", tmp_path)


@pytest.mark.parametrize(
    "entry",
    [
        f"query: sum(x), {PROMETHEUS}, max: 5",
        f"query: 'sum(x{{colour=\"{{colour}}\"}})', {PROMETHEUS}, compare: {{max_ratio: 2}}",
        f"metric: error_rate, {PROMETHEUS}, compare: {{max_ratio: 2}}",
        f"name: queue, {ADDRESS.replace('/x', '/x?v={version}')}, compare: {{max_ratio: 2}}",
        f"name: queue, query: '{{colour}}', {ADDRESS.replace('/x', '/x?q={query}')}, compare: {{max_ratio: 2}}",
        "name: queue, source: {type: command, run: ./queue.sh}, compare: {max_ratio: 2}",
    ],
)
def test_a_limit_needs_no_colours_and_what_sees_them_may_compare(tmp_path: Path, entry: str) -> None:
    assert len(read(SMALL + f"analysis:\n  - {{{entry}}}\n", tmp_path).plan.rules) == 1


def test_the_test_route_is_not_for_who_goes_first(tmp_path: Path) -> None:
    route = 'router: {listen: "127.0.0.1:8080", test_route: {header: X-Try}}\n'
    more = "first: {header: x-try}\n"
    assert "first.header: `x-try` is the header of the test route" in refused(
        SMALL.replace(ROUTER, route) + more, tmp_path
    )


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("shield: true\n", "shield: the router `nginx` cannot ask the baseline again"),
        ("checks: [{type: mirror, share: 10%}]\n", "checks[0]: the router `nginx` cannot copy requests"),
    ],
)
def test_what_the_router_cannot_do_is_said_at_once(tmp_path: Path, more: str, said: str) -> None:
    assert said in refused(SMALL.replace(ROUTER, NGINX) + more, tmp_path)
