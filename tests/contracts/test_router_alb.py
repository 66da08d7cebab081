"""The router `alb` keeps the contract of its port: on moto's API, with HAProxy for the load balancer's data plane."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from greenroom.testing.contracts.router import RouterContract
from tests.rigs import aws_front
from tests.rigs.alb_stage import Stage
from tests.rigs.aws_front import Front


@pytest.fixture(scope="session")
def front() -> Iterator[Front]:
    with aws_front.moto() as address:
        front = Front(address, None)
        yield front
        front.close()


@pytest.mark.real
@pytest.mark.xdist_group("moto")
class TestAlb(RouterContract):
    @pytest.fixture
    def bench(self, tmp_path: Path, front: Front, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
        aws_front.nobody(monkeypatch)
        with Stage(tmp_path, front) as stage:
            yield stage
