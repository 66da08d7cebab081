"""What a failed candidate left behind is kept once, beside the way back, whatever dies meanwhile."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from greenroom.adapters.envoy.requests import failed
from greenroom.domain.model import Colour
from greenroom.domain.phases import Phase
from greenroom.domain.release import Service
from greenroom.engine.inspection import KEPT, NO_RECORD, SETTLED, Inspector, folder_of, inspection, kept_output
from greenroom.engine.world import Adapters
from greenroom.errors import Permanent, Temporary
from greenroom.ports import FailedRequest
from greenroom.testing.fakes import FakeAnalyser
from greenroom.testing.world import Behaviour
from tests.engine.stage import Stage

SECRET = {"TOKEN": "hunter2-and-more"}


class Recalls(FakeAnalyser):
    """An analyser that knows which requests failed."""

    requests: tuple[FailedRequest, ...] = ()
    refusing = False

    def failed(self, colour: Colour, version: str, since: float, last: int) -> Sequence[FailedRequest]:
        if self.refusing:
            raise Temporary("the log cannot be read")
        return [one for one in self.requests if one.at >= since][-last:]


class Scene:
    def __init__(self, folder: Path) -> None:
        self.state, self.stage = folder, Stage()
        self.analyser = Recalls(self.stage.world)
        self.adapters = Adapters(self.stage.artefact, self.stage.environment, self.stage.router, self.analyser)
        self.secrets: list[dict[str, str]] = [SECRET]
        self.inspector = self.another()
        self.stage.established()

    def another(self) -> Inspector:
        """As after a crash: nothing is remembered."""
        return Inspector(self.state, lambda _: self.adapters, lambda: self.secrets)

    def step(self) -> None:
        self.inspector.step(self.stage.service, self.stage.engine.seen, self.stage.clock.now)

    def write(self, *lines: str) -> None:
        log = self.state / "logs" / "green" / "web-1.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("".join(f"{line}\n" for line in lines))
        os.utime(log, (self.stage.clock.now(),) * 2)

    def fail(self, version: str = "2.0") -> str:
        """Until its traffic is back; the candidate is still there."""
        self.stage.world.behaviours[version] = Behaviour(errors=1.0)
        self.stage.deploy(version)
        assert self.stage.run(400.0, lambda stage: _back(stage.service)), self.stage.story()
        release = self.stage.service.release
        assert release is not None
        return release.id

    def document(self, release: str) -> dict[str, Any]:
        found = inspection(self.state, release)
        assert found is not None
        return found


def _back(service: Service) -> bool:
    release = service.release
    return release is not None and release.phase is Phase.ROLLING_BACK and release.live_since is not None


def request(at: float, path: str = "/cart", status: int = 500) -> FailedRequest:
    return FailedRequest(at, "GET", path, status, 12.0, "10.0.0.1:20002")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_nothing_is_taken_before_the_traffic_is_back(scene: Scene) -> None:
    scene.stage.world.behaviours["2.0"] = Behaviour(errors=1.0)
    scene.stage.deploy("2.0")

    def looked_at(stage: Stage) -> bool:
        if _back(stage.service):
            return True
        scene.step()
        assert not (scene.state / "failed").exists()
        return False

    assert scene.stage.run(400.0, looked_at), scene.stage.story()
    scene.step()
    assert (scene.state / "failed" / "r-0002" / "inspection.json").exists()


def test_replicas_output_and_requests_are_kept_without_secrets(scene: Scene) -> None:
    release = scene.fail()
    now = scene.stage.clock.now()
    scene.analyser.requests = tuple(request(now - 0.5 + n / 100, f"/{SECRET['TOKEN']}/{n}") for n in range(30))
    scene.write("it begins", f"the token is {SECRET['TOKEN']}")
    scene.step()
    document = scene.document(release)
    assert [one["name"] for one in document["replicas"]][:2] == ["web-1", "web-2"]
    assert len(document["requests"]) == 20
    assert document["requests"][-1]["path"] == "/${TOKEN}/29"
    assert kept_output(scene.state, release)["web-1"].read_text() == "it begins\nthe token is ${TOKEN}\n"
    assert "hunter2" not in "".join(p.read_text() for p in folder_of(scene.state, release).rglob("*") if p.is_file())


def test_requests_that_the_router_wrote_down_late_are_added_once(scene: Scene) -> None:
    release = scene.fail()
    now = scene.stage.clock.now()
    scene.analyser.requests = (request(now - 0.2),)
    scene.step()
    assert not scene.document(release)["complete"]
    scene.analyser.requests = (request(now - 0.2), request(now - 0.1))
    scene.step()
    assert len(scene.document(release)["requests"]) == 1
    before = scene.document(release)["replicas"]
    scene.stage.world.behaviours["2.0"].dies_after = 0.0
    scene.stage.run(SETTLED)
    scene.step()
    assert scene.document(release)["complete"]
    assert scene.document(release)["replicas"] == before != []
    assert [one["at"] for one in scene.document(release)["requests"]] == [now - 0.2, now - 0.1]
    scene.analyser.requests = (request(now),)
    scene.stage.clock.sleep(60.0)
    scene.step()
    assert len(scene.document(release)["requests"]) == 2


@pytest.mark.parametrize("moment", ["before anything", "in the middle", "before the end"])
def test_an_engine_that_dies_is_followed_by_one_that_does_it_once(scene: Scene, moment: str) -> None:
    release = scene.fail()
    scene.write("the last words")
    scene.analyser.requests = (request(scene.stage.clock.now()),)
    if moment == "in the middle":
        scene.step()
        (folder_of(scene.state, release) / "inspection.json").unlink()
    if moment == "before the end":
        scene.step()
    scene.inspector = scene.another()
    scene.stage.until_ended()
    scene.stage.run(60.0)
    for _ in range(3):
        scene.step()
        scene.stage.clock.sleep(SETTLED)
    document = scene.document(release)
    assert document["complete"]
    assert len(document["requests"]) == 1
    assert kept_output(scene.state, release)["web-1"].read_text() == "the last words\n"
    written = (folder_of(scene.state, release) / "inspection.json").stat().st_mtime_ns
    scene.inspector = scene.another()
    scene.step()
    assert (folder_of(scene.state, release) / "inspection.json").stat().st_mtime_ns == written


def test_what_is_not_known_is_said_and_the_rest_is_kept(scene: Scene) -> None:
    scene.analyser.refusing = True
    first = scene.fail()
    scene.step()
    assert scene.document(first)["without_requests"] == "the log cannot be read"
    scene.stage.until_ended()
    scene.stage.run(60.0)
    plain = FakeAnalyser(scene.stage.world)
    scene.adapters = Adapters(scene.stage.artefact, scene.stage.environment, scene.stage.router, plain)
    second = scene.fail("3.0")
    scene.step()
    assert scene.document(second)["without_requests"] == NO_RECORD
    assert scene.document(second)["replicas"]


def test_what_is_aborted_leaves_its_output_and_no_requests(scene: Scene) -> None:
    scene.stage.world.behaviours["2.0"] = Behaviour(cannot_start="it never came up")
    scene.stage.deploy("2.0")
    scene.stage.run(60.0, lambda stage: stage.service.release.phase is Phase.ABORTING)  # type: ignore[union-attr]
    scene.write("no module named shop")
    scene.step()
    release = scene.stage.service.release
    assert release is not None
    document = scene.document(release.id)
    assert (document["complete"], document["requests"], document["without_requests"]) == (True, [], "")
    assert list(kept_output(scene.state, release.id)) == ["web-1"]


def test_a_good_release_and_a_rehearsal_leave_nothing(scene: Scene) -> None:
    scene.stage.deploy("2.0")
    scene.stage.until_ended()
    scene.step()
    assert not (scene.state / "failed").exists()


def test_what_cannot_be_written_is_tried_again_and_holds_nothing_up(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    (scene.state / "failed").write_text("no folder")
    release = scene.fail()
    for _ in range(5):
        scene.step()
    assert len(caplog.records) == 1
    (scene.state / "failed").unlink()
    scene.stage.clock.sleep(20.0)
    scene.step()
    assert scene.document(release)["release"] == release


def test_without_the_secrets_nothing_is_written(scene: Scene) -> None:
    release = scene.fail()

    def gone() -> list[dict[str, str]]:
        raise Permanent("the vault cannot be read")

    scene.inspector = Inspector(scene.state, lambda _: scene.adapters, gone)
    scene.write(f"the token is {SECRET['TOKEN']}")
    scene.step()
    assert inspection(scene.state, release) is None


def test_the_last_five_stay(scene: Scene) -> None:
    every = []
    for number in range(KEPT + 2):
        every.append(scene.fail(f"2.{number}"))
        scene.step()
        scene.stage.until_ended()
        scene.stage.run(60.0)
    assert sorted(p.name for p in (scene.state / "failed").iterdir()) == every[-KEPT:]


# --- Envoy's access log -----------------------------------------------------------------------------------------------


def line(at: str, **more: Any) -> str:
    usual = {
        "time": f"2026-11-21T21:{at}Z",
        "method": "GET",
        "path": "/cart",
        "status": 200,
        "flags": "-",
        "duration_ms": 7,
        "colour": "green",
        "answered_by": "green",
        "version": "2",
        "test": False,
        "copy": False,
        "replica": "127.0.0.1:1",
    }
    return json.dumps({**usual, **more})


def test_failed_requests_of_a_version_are_found_from_the_end_of_the_access_log(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    lines = [
        line("00:01.000", status=500, path="/too-old"),
        line("10:01.000"),
        line("10:02.000", status=500, path="/a?x=1"),
        line("10:03.000", status=500, colour="blue", answered_by="blue"),
        line("10:04.000", status=500, version="1"),
        line("10:05.000", status=500, test=True),
        line("10:06.000", flags="UC", path="/broken"),
        line("10:07.000", status=101, flags="UC"),
        line("10:08.000", status=503, flags="UH", version=None, replica=None, answered_by=None, path="/nowhere"),
        line("10:09.000", answered_by="blue", version="1", path="/saved"),
        line("10:10.000", status=0, flags="DC", path="/gone"),
    ]
    log.write_text("\n".join(lines) + "\nnot json\n[1]\n" + line("10:11.000", status=500)[:-9])
    since = datetime(2026, 11, 21, 21, 10, tzinfo=UTC).timestamp()
    found = failed(log, Colour.GREEN, "2", since, 20)
    assert [one.path for one in found] == ["/a", "/broken", "/nowhere", "/saved"]
    assert [(one.status, one.flags, one.saved) for one in found] == [
        (500, "", False),
        (200, "UC", False),
        (503, "UH", False),
        (200, "", True),
    ]
    assert found[0].took == 7
    assert found[2].replica == ""
    assert [one.path for one in failed(log, Colour.GREEN, "2", since, 2)] == ["/nowhere", "/saved"]
    with pytest.raises(Temporary):
        failed(tmp_path / "none", Colour.GREEN, "2", since, 2)


def test_what_was_moved_away_a_moment_ago_is_looked_through_too(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    (tmp_path / "access.log.1").write_text(line("10:01.000", status=500, path="/first") + "\n")
    log.write_text(line("10:02.000", status=500, path="/last") + "\n")
    assert [one.path for one in failed(log, Colour.GREEN, "2", 0.0, 20)] == ["/first", "/last"]


def test_a_large_access_log_is_read_from_its_end_and_not_to_its_begin(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    first, good = line("10:01.000", status=500, path="/first"), line("10:02.000")
    with log.open("w") as file:
        file.write(first + "\n")
        file.writelines(f"{good}\n" for _ in range(5 * 1024 * 1024 // len(good)))
        file.write(line("10:03.000", status=500, path="/last") + "\n")
    assert [one.path for one in failed(log, Colour.GREEN, "2", 0.0, 20)] == ["/last"]
