"""Behind Envoy: a candidate whose every answer fails is taken back, and nobody met it but with what is asked once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from greenroom.domain.phases import Phase
from tests.rigs import moods
from tests.system.house import House, lost

RATE = 100.0
pytestmark = pytest.mark.xdist_group("shield")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A good version is live, and asked all the time."""
    made = House(tmp_path_factory.mktemp("shield"))
    try:
        moods.install(made.shop, "good")
        made.deployed()
        made.begin(RATE)
        yield made
    finally:
        made.end()


@pytest.mark.parametrize("shift", ["100%", "[30% for 1m, 100%]"])
def test_a_release_whose_every_get_fails_fails_no_get(house: House, shift: str) -> None:
    house.write(bake="5m", more="shield: on", shift=shift)
    moods.install(house.shop, "fails")
    version, before = house.version(), len(house.asked())
    house.run("deploy", version).expect(3)
    release = house.service().release
    assert release is not None
    assert (release.version, release.phase) == (version, Phase.ROLLED_BACK)
    assert "error rate 100 %" in release.failure
    assert "shielded" in release.failure
    asked = house.asked()[before:]
    assert not [r for r in asked if r.lost], lost(asked)
    # Orders are POSTs: they are asked once, and show that users did reach the candidate.
    assert {r.kind for r in asked if not r.good} == {"order"}
    assert {r.version for r in asked if not r.good} == {version}


def test_copies_show_what_no_user_has_to(house: House) -> None:
    mirror = "  - {type: mirror, share: 50%, duration: 2s, min_requests: 20}"
    house.write(more=f"{mirror}\nfirst: {{header: x-staff}}", shift="100%", bake="1s")
    moods.install(house.shop, "fails")
    version, before = house.version(), len(house.asked())
    house.run("deploy", version).expect(4)
    release = house.service().release
    assert release is not None
    assert (release.version, release.phase) == (version, Phase.ABORTED)
    assert "copies failed" in release.failure
    asked = house.asked()[before:]
    assert all(r.good and r.version != version for r in asked), lost(asked)
    moods.install(house.shop, "good")
    after = house.deployed()
    assert house.serves(after)
