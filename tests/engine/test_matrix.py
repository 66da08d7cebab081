"""The fault matrix: every play × a router that follows at once or late × every boundary × every fault.

Whatever happens, the world is never harmed, the release ends, and the record agrees with the world (`Stage.assert_sound`).
The whole matrix is `make soak`; here, each play gets a fixed choice of its pairs, spread over all of its length.
"""

from __future__ import annotations

import itertools
import logging
import zlib
from collections.abc import Iterator

import pytest

from greenroom.testing.faults import CRASHES, PORT_FAULTS, Fault, Faults
from tests.engine.scenarios import PLAYS, Play, perform
from tests.engine.stage import Stage

LAGS = (0.0, 3.0)
SELDOM = 5.0
"""Seconds that a look may be old where the backend must not be asked often."""

DEEDS = frozenset({"append", "apply", "remove", "ask", "withdraw"})
CHOSEN = {"deeds": 12, "looks": 4, "seldom": 4}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Thousands of engines die here; what each had to say is of no use."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def boundaries(play: Play, lag: float, *, seldom: bool = False) -> list[str]:
    """Those of the play when nothing goes wrong, which is asserted too."""
    stage = Stage(plan=play.plan, lag=lag, seldom=seldom)
    perform(play, stage)
    release = stage.service.release
    assert release is not None
    assert stage.serves() == play.live, stage.story()
    # Who is seldom looked at may be found dead in an earlier phase than the play means, and later than at once.
    assert release.phase is play.end or seldom, stage.story()
    outage = stage.world.lost / stage.world.rate
    slack = (lag + (SELDOM if seldom else 0.0) if play.outage else 0.0) + 0.01
    assert outage <= play.outage + slack, f"{outage:.2f} s\n{stage.story()}"
    return list(stage.faults.boundaries)


def pairs(names: list[str], *, looks: bool) -> list[tuple[int, Fault]]:
    """All (boundary, fault): the deeds, or the looks and the heartbeats."""
    chosen = []
    for n, name in enumerate(names):
        port, _, method = name.partition(".")
        if (method in DEEDS) is looks:
            continue
        faults = (*CRASHES, Fault.LEASE_LOST, Fault.STALLED) if looks else tuple(Fault)
        if port == "journal":
            faults = tuple(f for f in faults if f not in PORT_FAULTS)
        elif looks:
            faults = (*faults, Fault.TEMPORARY)
        chosen += [(n, fault) for fault in faults]
    return chosen


def spread(all_pairs: list[tuple[int, Fault]], count: int, seed: str) -> list[tuple[int, Fault]]:
    """So many of them, evenly over the length, each time the same."""
    stride = max(1, len(all_pairs) // count)
    # A stride that shares no factor with the number of faults meets every fault.
    while stride % 2 == 0 or stride % 3 == 0:
        stride += 1
    return all_pairs[zlib.crc32(seed.encode()) % stride :: stride]


def run(play: Play, lag: float, faults: dict[int, Fault], *, dead_is_known: bool = True, seldom: bool = False) -> None:
    stage = Stage(plan=play.plan, lag=lag, faults=Faults(faults), dead_is_known=dead_is_known, seldom=seldom)
    try:
        perform(play, stage)
    except AssertionError as error:
        what = ", ".join(f"{fault} at {n}" for n, fault in faults.items())
        raise AssertionError(f"{play.name}, lag {lag:g}, {what}: {error}") from error


@pytest.mark.parametrize("lag", LAGS)
@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.name)
def test_no_fault_harms_the_world(play: Play, lag: float) -> None:
    names = boundaries(play, lag)
    deeds = spread(pairs(names, looks=False), CHOSEN["deeds"], play.name)
    looks = spread(pairs(names, looks=True), CHOSEN["looks"], play.name)
    for n, fault in (*deeds, *looks):
        run(play, lag, {n: fault}, dead_is_known=n % 3 != 0)


@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.name)
def test_no_fault_harms_a_world_that_is_seldom_looked_at(play: Play) -> None:
    names = boundaries(play, 0.0, seldom=True)
    for n, fault in spread(pairs(names, looks=False), CHOSEN["seldom"], play.name):
        run(play, 0.0, {n: fault}, dead_is_known=n % 3 != 0, seldom=True)


@pytest.mark.soak
@pytest.mark.parametrize("lag", LAGS)
@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.name)
def test_the_whole_matrix(play: Play, lag: float) -> None:
    names = boundaries(play, lag)
    for n, fault in (*pairs(names, looks=False), *pairs(names, looks=True)):
        run(play, lag, {n: fault}, dead_is_known=n % 3 != 0)


@pytest.mark.soak
@pytest.mark.parametrize("lag", LAGS)
@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.name)
def test_two_crashes_in_one_release(play: Play, lag: float) -> None:
    deeds = [n for n, fault in pairs(boundaries(play, lag), looks=False) if fault is Fault.CRASH_BEFORE]
    for first, second in itertools.combinations(deeds, 2):
        run(play, lag, {first: Fault.CRASH_AFTER, second: Fault.CRASH_BEFORE})
