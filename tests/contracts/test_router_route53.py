"""The router `route53` keeps the contract of its port: on moto's zones, with name servers that follow them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from greenroom.testing.contracts.router import RouterContract
from tests.rigs import aws_front
from tests.rigs.route53_stage import Stage


@pytest.fixture(scope="session")
def upstream() -> Iterator[tuple[str, int]]:
    with aws_front.moto() as address:
        yield address


@pytest.mark.real
@pytest.mark.xdist_group("moto")
class TestRoute53(RouterContract):
    @pytest.fixture
    def bench(self, tmp_path: Path, upstream: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
        aws_front.nobody(monkeypatch)
        with Stage(tmp_path, upstream) as stage:
            yield stage
