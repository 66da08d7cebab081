"""The gate and the watch `alarm` keep the contract of their port, on moto's alarms."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from greenroom.adapters.aws.alarms import AlarmSettings
from greenroom.adapters.checks.alarm import AlarmWatch
from greenroom.adapters.gates.alarm import AlarmGate
from greenroom.domain.model import Colour, Verdict
from greenroom.domain.opinion import Case
from greenroom.domain.plan import When
from greenroom.ports import Check, Place
from greenroom.testing.contracts.check import CheckContract
from tests.rigs import aws_front
from tests.rigs.aws_front import Front
from tests.rigs.cloudwatch import Cloud

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("moto")]


class AlarmBench:
    """Who is asked is counted in front of moto; what is left behind there would be an alarm that nobody made."""

    def __init__(self, cloud: Cloud, folder: Path, kind: Any) -> None:
        self.cloud, self.kind = cloud, kind
        self.place = Place("shop", folder / "greenroom.yaml", folder / ".greenroom")
        self.now = time.time()

    def check(self, opinion: Verdict) -> Check:
        name = f"shop-{opinion}"
        self.cloud.alarm(name, "OK" if opinion is Verdict.PASS else "ALARM", "Threshold Crossed:\n1 datapoint")
        made: Check = self.kind(AlarmSettings.model_validate({**self.cloud.settings, "names": [name]}), self.place)
        return made

    def endless(self) -> None:
        return None

    def case(self) -> Case:
        return Case("r-7", "2", Colour.GREEN, "", now=self.now, since=self.now - 60, begun=self.now - 300)

    def begun(self) -> int:
        return len(self.cloud.front.calls)

    def running(self) -> int:
        return len(set(self.cloud.alarms()) - {"shop-pass", "shop-fail"})


@pytest.fixture(scope="module")
def upstream() -> Iterator[tuple[str, int]]:
    with aws_front.moto() as address:
        yield address


@pytest.fixture
def cloud(upstream: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    aws_front.nobody(monkeypatch)
    front = Front(upstream, None)
    cloud = Cloud(upstream, front)
    yield cloud
    cloud.empty()
    front.close()


class TestAlarmGate(CheckContract):
    @pytest.fixture
    def bench(self, cloud: Cloud, tmp_path: Path) -> AlarmBench:
        return AlarmBench(cloud, tmp_path, AlarmGate)


class TestAlarmWatch(CheckContract):
    @pytest.fixture
    def bench(self, cloud: Cloud, tmp_path: Path) -> AlarmBench:
        return AlarmBench(cloud, tmp_path, AlarmWatch)


def test_which_stages_ask_the_gate() -> None:
    assert AlarmGate.WHEN == (When.BAKE, When.SOURCE, When.ARTEFACT, When.APPROVE)
    assert (AlarmGate.PEOPLE, AlarmGate.OVERRIDE) == (False, True)
    assert not hasattr(AlarmWatch, "Settings"), "no check of a candidate that has no traffic yet"
