"""What a service consists of dies, in the steady state and in the bake, under traffic that never stops."""

from __future__ import annotations

import time

import pytest

from greenroom.domain.phases import Phase
from tests.system.house import House, lost

HOUSE = {"replicas": "2", "bake": "3s"}


def baking(home: House, bake: bool) -> str:
    """The version that is live, or that bakes."""
    if not bake:
        active = home.service().active
        assert active is not None
        return active.version
    version = home.version()
    home.run("deploy", version, "--detach").expect(0)
    home.until_phase(version, Phase.BAKE)
    return version


def settled(home: House, version: str) -> None:
    """It ended well: this version is live, with its two replicas and one worker, and nothing of before is left."""
    home.until_phase(version, Phase.SUCCEEDED)
    home.until_live(version)
    home.wait(lambda: len(home.replicas(version)) == 2, f"two replicas of {version}: {home.replicas(version)}")
    home.wait(lambda: len(home.workers()) == 1, f"one worker: {home.workers()}")
    home.serves(version)


@pytest.mark.parametrize("bake", [False, True], ids=["steady", "bake"])
def test_the_supervisor_dies(home: House, bake: bool) -> None:
    """A fresh one comes, with fresh replicas; the old ones serve until then. Nothing is lost."""
    version, began = baking(home, bake), time.monotonic()
    before, replicas = home.supervisor(), home.replicas(version)
    home.kill(before)
    home.wait(lambda: home.supervisor() not in (0, before), "a fresh supervisor")
    home.wait(lambda: not set(home.replicas(version)) & set(replicas), "what the dead one had started has ended")
    settled(home, version)
    assert not lost(home.faults(began), began)


@pytest.mark.parametrize("bake", [False, True], ids=["steady", "bake"])
def test_a_replica_dies_and_then_the_router(home: House, bake: bool) -> None:
    """Only what the dead had begun, and what came while the router was dead, is lost; no release goes back for that."""
    version, first = baking(home, bake), time.monotonic()
    home.kill(home.replicas(version)[0])
    home.serves(version, after=first + 0.5)
    second = time.monotonic()
    home.kill(home.pid("router"))
    home.serves(version)
    back = time.monotonic()
    settled(home, version)
    assert not lost([r for r in home.faults(first + 0.5) if r.answered < second], first)
    assert not lost(home.faults(back), back)


@pytest.mark.parametrize("verb", ["reconcile", "deploy"])
def test_ft_6_everything_dies(home: House, verb: str) -> None:
    """As a power cut leaves it. `status` says so and starts nothing; one command brings back what was live."""
    version = baking(home, False)
    home.reboot()
    done = home.run("status").expect(6)
    assert "engine" in done.out
    assert not home.living()
    home.run(verb, *([version] if verb == "deploy" else [])).expect(0)
    back = time.monotonic()
    settled(home, version)
    assert not lost(home.faults(back), back)


def test_everything_dies_in_the_bake(home: House) -> None:
    """The same command again continues, or goes back where users saw errors before the candidate was up again."""
    before = baking(home, False)
    version = baking(home, True)
    home.reboot()
    done = home.run("deploy", version).expect(0, 3)
    live = {0: version, 3: before}[done.code]
    back = time.monotonic()
    home.until_live(live)
    home.serves(live)
    assert not lost(home.faults(back), back), f"{done}\n{home.story()}"
