"""Houses that several tests of a module share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.house import House, house


@pytest.fixture(scope="module")
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One service for all tests of the module, with its `HOUSE` settings; version 1 is live, and asked all the time."""
    with house(tmp_path_factory.mktemp("house"), **getattr(request.module, "HOUSE", {})) as made:
        made.deployed()
        made.begin()
        yield made
