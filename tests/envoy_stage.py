"""A real Envoy with real backends, in a temporary folder, under the tests' supervisor."""

from __future__ import annotations

import os
import shutil
import signal
import time
from http.client import HTTPException
from pathlib import Path
from types import TracebackType
from typing import Any

from greenroom.adapters.analysers.envoy import EnvoyAnalyser
from greenroom.adapters.envoy.settings import EnvoySettings
from greenroom.adapters.routers.envoy import EnvoyRouter
from greenroom.ports import Place
from greenroom.testing import traffic
from greenroom.testing.processes import LocalSupervisor
from tests.rigs.routing import PATIENCE, Routed


class Stage(Routed):
    """A context manager. `settings`: of the router, beside `listen` (one free port) and a test route by a header."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        super().__init__()
        # Longer than a Unix socket's path may be.
        self.folder = folder / ("deep-" * 15) / "in-the-file-system"
        self.folder.mkdir(parents=True)
        self.supervisor = LocalSupervisor()
        self.place = Place("shop", self.folder / "greenroom.yaml", self.folder / ".greenroom", self.supervisor)
        self.settings = self.configured(**settings)
        self.live = self.folder / ".greenroom" / "router" / "live"

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self.supervisor.close()
        finally:
            self.close()

    # making

    def configured(self, **settings: Any) -> EnvoySettings:
        return EnvoySettings.model_validate({"listen": f"127.0.0.1:{self.port}", **settings})

    def router(self, **settings: Any) -> EnvoyRouter:
        """As another process would make it; with other settings if given."""
        return EnvoyRouter(self.configured(**settings) if settings else self.settings, self.place)

    def analyser(self) -> EnvoyAnalyser:
        return EnvoyAnalyser(self.settings, self.place)

    def demanding(self) -> EnvoyRouter:
        return self.router(listen=[f"127.0.0.1:{self.port}", self.taken()])

    def log(self) -> str:
        path = self.folder / ".greenroom" / "logs" / "router.log"
        return path.read_text()[-2000:] if path.exists() else ""

    # misfortune

    def stall(self) -> bool:
        """The folder that Envoy watches is another one from now on, as a bind mount would have it."""
        old = self.live.with_name("old")
        self.live.rename(old)
        shutil.copytree(old, self.live)
        return True

    def meddle(self) -> bool:
        route = self.live / "route.json"
        route.write_text(route.read_text().replace('"weight":100', '"weight":99').replace('"weight":0', '"weight":1'))
        return True

    def kill(self) -> None:
        pid = self.supervisor.pid("router")
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE
        while self.supervisor.pid("router") == pid:
            assert time.monotonic() < deadline
            self.pause()


def refused(url: str) -> bool:
    """Nobody listens there."""
    try:
        traffic.ask(url)
    except (OSError, HTTPException):
        return True
    return False
