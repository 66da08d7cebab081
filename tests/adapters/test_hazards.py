"""What process and envoy say of a deploy that would work, and that users would notice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from greenroom.adapters.environments.process import ProcessEnvironment
from greenroom.adapters.routers.envoy import EnvoyRouter
from greenroom.ports import Place


def of_process(place: Place, **processes: Any) -> list[str]:
    return ProcessEnvironment.hazards(ProcessEnvironment.Settings(processes=processes), place)


def of_envoy(place: Place, **settings: Any) -> list[str]:
    return EnvoyRouter.hazards(EnvoyRouter.Settings(listen="127.0.0.1:8080", **settings), place)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place("shop", tmp_path / "greenroom.yaml", tmp_path / ".greenroom")


def test_a_process_that_gets_traffic_without_being_asked_whether_it_is_ready(place: Place) -> None:
    [hazard] = of_process(place, app={"command": "run"}, worker={"command": "work", "runs": "active"})
    assert hazard.startswith("environment.processes.app.health: is not given")
    assert "`health: {path: /}`" in hazard


@pytest.mark.parametrize("health", [{"path": "/"}, {"command": "true"}])
def test_one_that_is_asked_is_no_hazard(place: Place, health: dict[str, str]) -> None:
    assert of_process(place, web={"command": "run", "health": health}, worker={"command": "work"}) == []


def test_a_router_that_does_not_wait_for_what_is_still_answered(place: Place) -> None:
    assert of_envoy(place) == []
    [hazard] = of_envoy(place, drain=0)
    assert hazard.startswith("router.drain: is 0")
    assert "`drain: 30s`" in hazard
