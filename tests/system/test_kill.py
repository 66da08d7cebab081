"""kill -9 of the command and of the resident engine, in every stage, under traffic that never stops."""

from __future__ import annotations

import time

import pytest

from greenroom.domain.phases import Phase
from tests.system.house import House, lost

HOUSE = {
    "prepare": "sleep 0.5",
    "boot": "sleep 0.5 && exec ",
    "check": "sleep 0.5",
    "shift": "[50% for 500ms, 100%]",
    "bake": "1s",
    "worker_stops": 0.7,
}
FORWARD = [Phase.BUILD, Phase.START, Phase.CHECKS, Phase.SHIFT, Phase.BAKE]


@pytest.mark.parametrize("phase", FORWARD)
def test_killed_in(home: House, phase: Phase) -> None:
    """The same command again continues, to the end, and nothing is lost."""
    version, began = home.version(), time.monotonic()
    command = home.start("deploy", version)
    home.until_phase(version, phase)
    command.kill()
    home.kill(home.engine())
    home.run("deploy", version).expect(0)
    home.serves(version)
    assert len([r for r in home.service().past if r.version == version]) == 0, "continued, not begun anew"
    assert not lost(home.faults(began), began)


def test_killed_in_rolling_back(home: House) -> None:
    """Greenroom dies on the way back. It goes back all the same."""
    before, version, began = home.service().active, home.version(), time.monotonic()
    assert before is not None
    forward = home.start("deploy", version)
    home.until_phase(version, Phase.BAKE)
    back = home.start("rollback")
    home.until_phase(version, Phase.ROLLING_BACK)
    forward.kill()
    back.kill()
    home.kill(home.engine())
    home.until_phase(version, Phase.ROLLED_BACK)
    home.serves(before.version)
    home.until_live(before.version)
    assert not lost(home.faults(began), began)
