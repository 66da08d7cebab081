"""The router under the real supervisor: it stays up when everything else dies."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from greenroom.adapters.routers.envoy import EnvoyRouter
from greenroom.adapters.supervisor.client import Supervisord
from greenroom.domain.model import Colour
from greenroom.ports import Life
from greenroom.testing import traffic
from tests.envoy_stage import Stage, refused

pytestmark = pytest.mark.real


@pytest.fixture
def supervisor(stage: Stage) -> Iterator[Supervisord]:
    made = Supervisord(stage.place.state, "shop")
    try:
        yield made
    finally:
        made.remove("router")
        with contextlib.suppress(AssertionError):
            stage.until(lambda seen: not seen.running)
        made.shutdown()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path) as made:
        yield made


def test_the_router_outlives_its_supervisor_and_comes_back_by_itself(stage: Stage, supervisor: Supervisord) -> None:
    router = EnvoyRouter(stage.settings, replace(stage.place, supervisor=supervisor))
    blue, green = stage.backend(Colour.BLUE), stage.backend(Colour.GREEN)
    stage.route(blue, green, router=router)
    first = supervisor.observe()["router"].pid
    os.kill(first, signal.SIGKILL)
    stage.until(lambda seen: seen.settled and supervisor.observe()["router"].pid not in (0, first), router)
    assert traffic.ask(stage.url).text == "blue 1.0"

    pid = supervisor.observe()["router"].pid
    held = traffic.WebSocket(stage.url)
    os.kill(supervisord_of(pid), signal.SIGKILL)
    stage.until(lambda _: supervisor.observe()["router"].life is Life.ORPHAN, router)
    stage.route(blue, green, to=Colour.GREEN, router=router)
    assert traffic.ask(stage.url).text == "green 2.0"
    assert held.say("still") == "blue 1.0 still"
    held.close()

    router.remove()
    stage.until(lambda seen: not seen.running, router)
    assert refused(stage.url)


def supervisord_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
