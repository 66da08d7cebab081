"""The router `alb` keeps the contract of its port: on moto's API, with HAProxy for the load balancer's data plane."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from greenroom.testing.contracts.router import RouterContract
from tests.rigs import aws_front
from tests.rigs.alb_stage import Stage


@pytest.fixture(scope="session")
def upstream() -> Iterator[tuple[str, int]]:
    with aws_front.moto() as address:
        yield address


@pytest.mark.real
@pytest.mark.xdist_group("moto")
class TestAlb(RouterContract):
    @pytest.fixture
    def bench(self, tmp_path: Path, upstream: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
        aws_front.nobody(monkeypatch)
        with Stage(tmp_path, upstream) as stage:
            yield stage
