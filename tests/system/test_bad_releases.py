"""Each kind of bad release, under users' requests, behind Envoy and behind an nginx of one's own: it goes back by itself.

What the candidate answered badly until then is its own; nothing else may be lost, and the baseline answers nothing badly.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from greenroom.domain.numbers import beside
from greenroom.domain.phases import Phase
from tests.rigs import moods
from tests.rigs.nginx import Rig
from tests.system.house import House, lost

MORE = """
keep_failed: 10m
analysis:
  - {metric: error_rate, max: 0.5%, min_requests: 20}
  - {metric: p50, compare: {max_ratio: 2, confidence: 99.9%}, min_requests: 20}
"""
RATE = 100.0

KINDS = {
    "fails": "error rate",
    "some": "error rate",
    "slow": "p50",
    "crash 1.5": "",  # what is seen first: no healthy process, or its errors
}
"""By mood: what the reason speaks of."""

CASES = [
    pytest.param(router, mood, marks=pytest.mark.xdist_group(f"bad-{router}"))
    for router in ("envoy", "nginx")
    for mood in KINDS
]


class BehindNginx(House):
    """The same, beside an nginx that has its own configuration."""

    def __init__(self, folder: Path, nginx: Rig, **times: str) -> None:
        self.nginx = nginx
        super().__init__(folder, **times)
        self.url = nginx.url

    def write(self, **times: str) -> None:
        super().write(**times)
        settings = {"url": self.nginx.url, "folder": str(self.nginx.folder), "folder_inside": str(self.nginx.inside)}
        router = {"type": "nginx", **settings, "command": " ".join(self.nginx.command), "drain": "5s"}
        before, _, rest = self.file.read_text().partition("router:\n")
        self.file.write_text(f"{before}router: {json.dumps(router)}\nchecks:{rest.partition('checks:')[2]}")


@contextlib.contextmanager
def behind(router: str, folder: Path) -> Iterator[House]:
    """An empty house behind this router."""
    if router == "envoy":
        house = House(folder, more=MORE)
        with contextlib.closing(_Ended(house)):
            yield house
        return
    with Rig(folder / "nginx") as nginx:
        house = BehindNginx(folder, nginx, more=MORE)
        with contextlib.closing(_Ended(house)):
            yield house


class _Ended:
    def __init__(self, house: House) -> None:
        self.close = house.end


@pytest.fixture(scope="module")
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A good version is live, and asked all the time."""
    with behind(request.param, tmp_path_factory.mktemp("bad")) as made:
        moods.install(made.shop, "good")
        made.deployed()
        made.begin(RATE)
        yield made


@pytest.mark.parametrize(("house", "mood"), CASES, indirect=["house"])
def test_it_goes_back_by_itself(house: House, mood: str) -> None:
    good, began = live(house), time.monotonic()
    house.write(bake="5m")
    moods.install(house.shop, mood)
    version = house.version()
    closes = (
        "a kept-alive connection that gets a request at that moment is closed"
        in house.run("plan", version, "--json").out
    )
    done = house.run("deploy", version).expect(3)
    after = house.serves(good)
    _only_the_candidate_failed(house, began, after.at, good, version, closes=closes)
    _said_why(house, version, KINDS[mood])
    _, _, shown = done.out.partition("What users met")
    assert f"{version} on " in shown, done
    assert f"{good} on " in shown, done
    _is_as_before(house, good, version)


def _only_the_candidate_failed(
    house: House, began: float, ended: float, good: str, bad: str, *, closes: bool = False
) -> None:
    """Every request since then has an answer of a version that says its name, but for those of a candidate that died.

    `closes`: `plan` announced a reload before any traffic moves, which may close a connection under a request.
    """
    asked = [r for r in house.asked() if r.at >= began]
    shown = [r.at for r in asked if r.version == bad]
    assert shown, "users reached the candidate"
    faults = [r for r in asked if not r.good]
    strange = [r for r in faults if r.version != bad and not (r.lost and min(shown) <= r.at <= ended)]
    announced = [r for r in strange if closes and r.lost and r.at < min(shown)][:1]
    strange = [r for r in strange if r not in announced]
    assert not strange, lost(strange, began)
    assert {r.version for r in asked} <= {good, bad, ""}
    assert not [r for r in faults if r.at > ended]


def _said_why(house: House, version: str, subject: str) -> None:
    release = house.service().release
    assert release is not None
    assert (release.version, release.phase) == (version, Phase.ROLLED_BACK)
    assert subject in release.failure
    numbers = beside(release, release.beside)
    candidate, baseline = numbers[str(release.colour)], numbers[str(release.colour.other)]
    assert (candidate["version"], candidate["role"]) == (version, "candidate")
    assert baseline["role"] == "baseline"
    assert candidate["requests"] > 0
    assert baseline["requests"] > 0
    match subject:
        case "error rate":
            assert candidate["error_rate"] > baseline["error_rate"] == 0
        case "p50":
            assert candidate["p50"] > 2 * baseline["p50"]
            assert "baseline" in release.failure


def _is_as_before(house: House, good: str, bad: str) -> None:
    """And what failed is kept, without traffic, to look at until its time is over."""
    status = house.status()
    active, kept = status["active"], status["kept"]
    assert (active["version"], status["route"]) == (good, "in_sync")
    assert status["traffic"] == {active["colour"]: 100, kept["colour"]: 0}
    assert kept["version"] == bad
    assert kept["until"] > status["now"]
    assert house.wait(lambda: house.replicas(bad), "it runs")


def live(house: House) -> str:
    active = house.service().active
    assert active is not None
    return active.version
