"""After a rollback by real processes behind a real Envoy: why, in numbers and a picture; what failed is kept; warm is warm.

One service for both stories; its secret and its sourced file change from release to release.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import xml.etree.ElementTree as tree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from greenroom.domain.records import Finished, Judged, Requested
from tests.rigs import moods
from tests.system.house import House

BOOT = """sh -c 'echo "told $SHOP_SECRET"; . ./settings.env && exec "$@"' sh """
MORE = """
keep_failed: 10m
analysis:
  - {metric: error_rate, max: 2%, min_requests: 20}
"""

pytestmark = pytest.mark.xdist_group("inspection")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("inspection"), boot=BOOT, more=MORE)
    try:
        yield made
    finally:
        made.end()


def arranged(house: House, patch: pytest.MonkeyPatch, word: str, mood: str = "good", **times: str) -> None:
    """The file, the secret and what the processes source are this word's."""
    house.write(**times)
    house.file.write_text(house.file.read_text().replace("SHOP_DATA:", 'SHOP_SECRET: "${SHOP_SECRET}", SHOP_DATA:'))
    (house.shop / "settings.env").write_text(f"export SHOP_SOURCED={word}-sourced\n")
    patch.setenv("SHOP_SECRET", f"{word}-secret")
    moods.install(house.shop, mood)


def kept(house: House, release: str) -> dict[str, Any]:
    try:
        return dict(json.loads((house.state / "failed" / release / "inspection.json").read_text()))
    except FileNotFoundError:
        return {}


def test_after_a_rollback_the_operator_sees_why(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    arranged(house, monkeypatch, "first")
    house.deployed()
    house.begin(100.0)
    arranged(house, monkeypatch, "second", "some", shift="[50% for 3s, 100%]", bake="5m")
    version = house.version()
    done = house.run("deploy", version).expect(3)
    release = house.service().release
    assert release is not None
    assert "What users met" in done.out
    assert f"{version} on {release.colour}" in done.out
    picture = house.state / "pictures" / f"{release.id}.svg"
    assert f"The picture: {picture}" in done.out
    words = [e.text or "" for e in tree.parse(picture).iter("{http://www.w3.org/2000/svg}text")]
    assert any(f"50 % to {release.colour}" in word for word in words)
    assert any("verdict: error rate" in word for word in words)
    assert any("traffic back" in word for word in words)
    house.wait(lambda: kept(house, release.id).get("complete"), "what it left behind is kept")
    _is_told(house, release.id, version)
    _survives_the_engine(house, release.id)


def _is_told(house: House, release: str, version: str) -> None:
    document = json.loads(house.run("show", "--json").expect(0).out)
    requests = document["left"]["requests"]
    assert 0 < len(requests) <= 20
    assert {one["status"] for one in requests} == {500}
    assert all(one["path"].startswith("/") and "?" not in one["path"] for one in requests)
    assert {one["replica"] for one in requests} == {"web-1"}
    assert [one["name"] for one in document["left"]["replicas"]] == ["web-1"]
    assert document["numbers"][document["left"]["colour"]]["errors"] > 0
    output = (house.state / "failed" / release / "output" / "web-1.log").read_text()
    assert "told ${SHOP_SECRET}" in output
    assert "second-secret" not in output
    shown = house.run("show", version).expect(0).out
    assert "Requests that failed" in shown
    assert "500" in shown


def _survives_the_engine(house: House, release: str) -> None:
    """One that had died before it kept anything is followed by one that does it, from what is still there."""
    before, folder = kept(house, release), house.state / "failed" / release
    shutil.rmtree(folder)
    engine = house.engine()
    house.kill(engine)
    house.wait(lambda: kept(house, release).get("complete"), "the next engine keeps it")
    after = kept(house, release)
    assert [one["path"] for one in after["requests"]] == [one["path"] for one in before["requests"]]
    assert (folder / "output" / "web-1.log").exists()


def test_ft_54_ft_45_what_is_warm_serves_with_its_own_whatever_was_changed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """File, variable and sourced file were changed in place; the warm replicas die, and come back as they were."""
    arranged(house, monkeypatch, "third", shift="100%", bake="1s")
    first = house.deployed()
    arranged(house, monkeypatch, "fourth")
    house.deployed()
    monkeypatch.delenv("SHOP_SECRET")
    (house.shop / "settings.env").write_text("exit 9\n")
    house.file.write_text("nonsense: [")
    house.kill(*house.replicas(first))
    house.wait(lambda: house.replicas(first), "it was started again")
    house.wait(lambda: (house.status().get("warm") or {}).get("able"), "it could serve")
    assert _own(house, first) == {"third-secret", "third-sourced"}
    seq = house.service().seq
    house.run("rollback").expect(0)
    house.until_live(first)
    assert _switches(house, seq) == 1
    house.kill(*house.replicas(first))
    house.wait(lambda: house.replicas(first), "it was started again, now that it is live")
    house.until_live(first)
    assert _own(house, first) == {"third-secret", "third-sourced"}


def _own(house: House, version: str) -> set[str]:
    found = set()
    for pid in house.replicas(version):
        with contextlib.suppress(OSError):
            for variable in Path(f"/proc/{pid}/environ").read_text().split("\0"):
                name, _, value = variable.partition("=")
                if name in ("SHOP_SECRET", "SHOP_SOURCED"):
                    found.add(value)
    return found


def _switches(house: House, seq: int) -> int:
    """How often the router was told anything between the request and the moment when the traffic was seen to be back."""
    told = asked = 0
    for entry in house.entries(seq):
        match entry.record:
            case Requested(command="rollback"):
                asked += 1
            case Finished(verb="route") if asked:
                told += 1
            case Judged(subject="live") if asked:
                return told
    raise AssertionError(f"the traffic is not back\n{house.story()}")
