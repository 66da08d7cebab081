"""The check `load` keeps the contract of its port."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from greenroom.adapters.checks.load import LoadCheck
from greenroom.domain.model import Colour, Verdict
from greenroom.domain.opinion import Case
from greenroom.ports import Check, Place
from greenroom.testing.contracts.check import CheckContract
from tests.rigs.answering import Answering, Received, Reply, answering


class LoadBench:
    """Each generator opens one connection, and is in the list of processes with its folder: the witnesses."""

    def __init__(self, server: Answering, folder: Path) -> None:
        self._server, self._folder = server, folder

    def check(self, opinion: Verdict) -> Check:
        path = "/good" if opinion is Verdict.PASS else "/bad"
        return self._check(requests=[{"path": path}], rate="50/s", duration="300ms")

    def endless(self) -> Check:
        return self._check(rate="20/s", duration="10m")

    def _check(self, **settings: Any) -> Check:
        document = {"name": "load", "connections": 1, "max_send_delay": "30s", "timeout": "30s", **settings}
        place = Place("shop", self._folder / "greenroom.yaml", self._folder / ".greenroom")
        return LoadCheck(LoadCheck.Settings.model_validate(document), place)

    def case(self) -> Case:
        return Case("r-7", "2", Colour.GREEN, self._server.url, {"x-greenroom-test": "1"}, {"version": "2"})

    def begun(self) -> int:
        return self._server.connections

    def running(self) -> int:
        return sum(_is_generator(entry, self._folder) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _is_generator(process: Path, folder: Path) -> bool:
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
        return b"greenroom.adapters.load" in words and any(word.startswith(str(folder).encode()) for word in words)
    except OSError:
        return False


@pytest.mark.real
class TestLoad(CheckContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Iterator[LoadBench]:
        def behave(request: Received) -> Reply:
            return Reply(500 if request.path == "/bad" else 200)

        with answering(behave) as server:
            yield LoadBench(server, tmp_path)
