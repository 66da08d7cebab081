"""kill -9 of the command and of the resident engine, in every stage, under traffic that never stops."""

from __future__ import annotations

import time

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


def test_killed_in_every_stage(home: House) -> None:
    """One release, killed in each of its stages. The same command again continues it, to the end; nothing is lost."""
    version, began, before = home.version(), time.monotonic(), home.service().count
    for at, phase in enumerate(FORWARD):
        command = home.start("deploy", version)
        home.until_phase(version, *FORWARD[at:])
        assert home.service().release is not None
        command.kill()
        home.kill(home.engine())
        assert home.wait(lambda: home.pid("engine"), f"an engine, after the death in {phase}")
    home.run("deploy", version).expect(0)
    home.serves(version)
    assert home.service().count == before + 1, "continued, not begun anew"
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
