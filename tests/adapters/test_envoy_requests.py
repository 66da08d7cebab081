"""Requests that failed, in a real Envoy's own words; and its access log, which does not grow for ever."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from greenroom.adapters.process.output import LIMIT
from greenroom.domain.model import Colour
from greenroom.testing import traffic
from tests.envoy_stage import Stage

pytestmark = pytest.mark.real

WITHIN = 20.0


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path) as made:
        yield made


def until(found: Callable[[], object], what: str) -> None:
    end = time.monotonic() + WITHIN
    while not found():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def test_failed_requests_of_users_are_recalled_and_the_log_stays_small(stage: Stage) -> None:
    blue, green = stage.backend(Colour.BLUE), stage.backend(Colour.GREEN)
    router, analyser = stage.router(), stage.analyser()
    stage.route(blue, green, to=Colour.GREEN, router=router)
    since = time.time() - 1.0
    assert traffic.ask(stage.url).status == 200
    assert traffic.ask(stage.url, "/status?code=500&card=4111").status == 500
    assert traffic.ask(stage.url, "/status?code=404").status == 404

    def recalled() -> list[str]:
        return [f"{one.method} {one.path} {one.status}" for one in analyser.failed(Colour.GREEN, "2.0", since, 20)]

    until(recalled, "Envoy writes its log once a second")
    assert recalled() == ["GET /status 500"]
    (one,) = analyser.failed(Colour.GREEN, "2.0", since, 20)
    assert one.replica in {str(endpoint) for endpoint in green.endpoints}
    assert abs(one.at - time.time()) < 60
    assert not analyser.failed(Colour.BLUE, "1.0", since, 20)
    assert not analyser.failed(Colour.GREEN, "1.9", since, 20)

    log = stage.place.state / "logs" / "router-access.log"
    with log.open("ab") as file:
        file.write((b"x" * 999 + b"\n") * (LIMIT // 1000 + 1))
    router.tidy()
    assert log.stat().st_size < LIMIT
    assert log.with_name("router-access.log.1").exists()
    assert traffic.ask(stage.url, "/status?code=503").status == 503
    until(lambda: "GET /status 503" in recalled(), "Envoy writes on in the emptied file")
    assert b"\0" not in log.read_bytes()
