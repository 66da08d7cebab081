"""`greenroom parity`: what is said, at both widths, and the exit codes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from greenroom.config.schema import Allow
from greenroom.domain.model import Colour
from greenroom.errors import Temporary
from greenroom.ports import Capability, Effective, Facts
from greenroom.testing.fakes import FakeEnvironment, FakeRouter
from tests.cli.office import Office, Result
from tests.cli.test_reference import agree, mentioned, sections
from tests.effective import Telling, alike

WEB = {"web": alike(image="sha256:1", memory="512m", user="app")}
UPSTREAM = {"upstream": alike(keepalive="16")}


class SayingEnvironment(FakeEnvironment):
    capabilities = FakeEnvironment.capabilities | {Capability.PARITY}
    says: Effective

    def inspect(self, colour: Colour) -> Mapping[str, Facts]:
        return self.says.inspect(colour)


class SayingRouter(FakeRouter):
    capabilities = FakeRouter.capabilities | {Capability.PARITY}
    says: Effective

    def inspect(self, colour: Colour) -> Mapping[str, Facts]:
        return self.says.inspect(colour)


def told(office: Office, environment: Telling | None = None, router: Telling | None = None) -> Result:
    """Two versions run; what they run with is as told."""
    for version in ("1", "2"):
        assert office.type("deploy", version).code == 0
    if environment is not None:
        made = SayingEnvironment(office.world)
        made.says = environment
        office.adapters = replace(office.adapters, environment=made)
    if router is not None:
        before = SayingRouter(office.world)
        before.says = router
        office.adapters = replace(office.adapters, router=before)
    return office.type("parity")


def test_alike(office: Office) -> None:
    done = told(office, Telling(WEB, WEB), Telling(UPSTREAM, UPSTREAM))
    assert (done.code, done.out) == (0, "shop: 1 on blue and 2 on green are alike: 4 facts\n")


ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64
BLUE = {
    "web": Facts(
        {"image": ONE, "memory": "2g", "env.MODE": "fast", "env.FEATURE_A": "on", "user": "app"},
        {"image": ONE, "memory": "512m"},
    ),
    "worker": alike(memory="1g"),
}
GREEN = {
    "web": Facts(
        {"image": TWO, "memory": "512m", "env.MODE": "slow", "user": "app"},
        {"image": TWO, "memory": "512m"},
    )
}
ALLOW = [
    Allow(path="web.env.FEATURE_*", why="a trial of the new basket"),
    Allow(path="web.OLD", why="x"),
]

NARROW = """\
shop: 1 on blue and 2 on green are not alike: 2 of 6 facts

    different          blue                         green
  ✗ web.env.MODE       fast                         slow
    not as asked for
  ✗ web.memory         2g (asked for 512m)          512m
    changed by this release
  · web.image          sha256:11111111111111111111  sha256:222222222222222222222
                       111111111111111111111111111  2222222222222222222222222222
                       11111111111111111            222222222222222
    allowed by the file
  · web.env.FEATURE_A  on                           —
      a trial of the new basket

  ! `parity.allow` has web.OLD, which leads to nothing; correct it, or take it
    out
  · worker runs on blue only: it is not compared
what differs on purpose is named in `parity.allow`, with a reason; for the rest
`greenroom deploy VERSION` makes an environment anew, as the file says
"""


@pytest.mark.parametrize("width", [80, 120])
def test_not_alike_as_a_table(office: Office, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    office.allow = ALLOW
    done = told(office, Telling(BLUE, GREEN), Telling(UPSTREAM, UPSTREAM))
    assert done.code == 6
    assert max(map(len, done.out.splitlines())) <= width
    if width == 80:
        assert done.out == NARROW
    assert done.out.count("2") > 64, "what differs is not cut away"


def test_the_document(office: Office) -> None:
    office.allow = ALLOW
    told(office, Telling(BLUE, GREEN), Telling(UPSTREAM, UPSTREAM))
    done = office.type("parity", "--json")
    document = json.loads(done.out)
    top = sections("documents.md", "##")["`parity`"]
    agree(document, top)
    kinds = {one["path"]: one["kind"] for one in document["differences"]}
    assert kinds == {
        "web.env.MODE": "different",
        "web.memory": "strayed",
        "web.image": "changed",
        "web.env.FEATURE_A": "allowed",
    }
    assert set(document["differences"][0]) | set(kinds.values()) <= mentioned(top, "differences")
    strayed = document["differences"][1]
    assert (strayed["blue"], strayed["green"], strayed["asked"]) == ("2g", "512m", {"blue": "512m"})
    assert (done.code, document["exit"], document["versions"]) == (6, 6, {"blue": "1", "green": "2"})


def test_a_warning_alone(office: Office) -> None:
    office.allow = [Allow(path="web.OLD", why="x")]
    done = told(office, Telling(WEB, WEB), Telling(UPSTREAM, UPSTREAM))
    assert done.code == 8
    assert "alike: 4 facts\n  ! `parity.allow` has web.OLD" in done.out


def test_what_differs_for_a_reason_is_shown_and_passes(office: Office) -> None:
    blue = {"web": alike(image="sha256:1", memory="1g")}
    done = told(office, Telling(blue, {"web": alike(image="sha256:2", memory="1g")}), Telling())
    assert done.code == 0
    assert "are alike: 2 facts, 1 of which differ for a\nreason\n" in done.out
    assert "  · web.image" in done.out


@pytest.mark.parametrize(
    ("blue", "green", "said"),
    [
        ({}, WEB, "only 2 on green runs: there is nothing to compare it with"),
        (WEB, {}, "only 1 on blue runs: there is nothing to compare it with"),
        ({}, {}, "nothing runs: there is nothing to compare"),
    ],
)
def test_with_nothing_to_compare(office: Office, blue: dict[str, Facts], green: dict[str, Facts], said: str) -> None:
    office.allow = [Allow(path="web.OLD", why="x")]
    done = told(office, Telling(blue, green), Telling(UPSTREAM, UPSTREAM))
    assert (done.code, done.out) == (0, f"shop: {said}\n")


def test_who_cannot_say_is_named_with_those_who_can(office: Office) -> None:
    done = told(office, Telling(WEB, WEB))
    assert done.code == 0
    assert "· the router `envoy` cannot say; those can: router " in done.out
    assert "environment" not in done.out


def test_where_nobody_can_say_it_is_refused(office: Office) -> None:
    done = told(office)
    assert done.code == 4
    assert "neither the environment `process` nor the router `envoy` can say what it really runs with" in done.err
    assert "those can: environment " in done.err
    assert json.loads(office.type("parity", "--json").out)["exit"] == 4


def test_what_cannot_be_seen_is_not_alike(office: Office) -> None:
    broken = Telling(failing=Temporary("the daemon does not answer", hint="start it"))
    done = told(office, Telling(WEB, WEB), broken)
    assert done.code == 6
    assert "could not be compared: the daemon does not answer" in done.err
    assert "start it" in done.err


def test_before_the_first_release_there_is_nothing(office: Office) -> None:
    done = office.type("parity")
    assert done.code == 4
    assert "nothing was ever released here" in done.err
