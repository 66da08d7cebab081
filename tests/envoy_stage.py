"""A real Envoy with real backends, in a temporary folder, under the tests' supervisor."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from types import TracebackType
from typing import Any

from greenroom.adapters.analysers.envoy import EnvoyAnalyser
from greenroom.adapters.envoy.settings import EnvoySettings
from greenroom.adapters.routers.envoy import EnvoyRouter
from greenroom.domain.model import Backend, Colour, Routing, RoutingSpec, Split
from greenroom.ports import ActionKey, Place
from greenroom.testing import traffic
from greenroom.testing.contracts.router import Failing, Reply
from greenroom.testing.contracts.router import Server as Served
from greenroom.testing.processes import LocalSupervisor, free_ports
from greenroom.testing.servers import Server
from tests.rigs.failing import failing

PATIENCE = 60.0
NOTHING = Backend()


def key(epoch: int = 1) -> ActionKey:
    return ActionKey("r-0001", "shift", 0, "route", "router", 0, epoch)


class Stage:
    """A context manager. `settings`: of the router, beside `listen` (one free port) and a test route by a header."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        # Longer than a Unix socket's path may be.
        self.folder = folder / ("deep-" * 15) / "in-the-file-system"
        self.folder.mkdir(parents=True)
        self.port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"
        self.supervisor = LocalSupervisor()
        self.place = Place("shop", self.folder / "greenroom.yaml", self.folder / ".greenroom", self.supervisor)
        self.settings = self.configured(**settings)
        self.live = self.folder / ".greenroom" / "router" / "live"
        self.strangers: list[socket.socket] = []
        self._servers = contextlib.ExitStack()
        self._version = 0

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self.supervisor.close()
        finally:
            self._servers.close()
            for stranger in self.strangers:
                stranger.close()

    # making

    def configured(self, **settings: Any) -> EnvoySettings:
        return EnvoySettings.model_validate({"listen": f"127.0.0.1:{self.port}", **settings})

    def router(self, **settings: Any) -> EnvoyRouter:
        """As another process would make it; with other settings if given."""
        return EnvoyRouter(self.configured(**settings) if settings else self.settings, self.place)

    def analyser(self) -> EnvoyAnalyser:
        return EnvoyAnalyser(self.settings, self.place)

    def server(self, colour: Colour, **options: Any) -> Server:
        self._version += 1
        return self._servers.enter_context(Server(colour, f"{self._version}.0", **options))

    def backend(self, colour: Colour) -> Backend:
        return self.server(colour).backend

    def failing(self, colour: Colour) -> Failing:
        return self._servers.enter_context(failing(colour))

    def sticky(self) -> EnvoyRouter:
        return self.router(sticky=True)

    def demanding(self) -> EnvoyRouter:
        stranger = socket.create_server(("127.0.0.1", 0))
        self.strangers.append(stranger)
        return self.router(listen=[f"127.0.0.1:{self.port}", f"127.0.0.1:{stranger.getsockname()[1]}"])

    # telling and waiting

    def route(self, blue: Backend, green: Backend = NOTHING, *, to: Colour = Colour.BLUE, **options: Any) -> Routing:
        """Tell it, and wait until it is so."""
        router = options.pop("router", None) or self.router()
        router.apply(RoutingSpec(options.pop("split", Split.all_to(to)), blue, green, **options), key())
        return self.until(lambda seen: seen.settled, router)

    def until(self, true: Callable[[Routing], bool], router: EnvoyRouter | None = None) -> Routing:
        router = router or self.router()
        deadline = time.monotonic() + PATIENCE
        while not true(seen := router.observe()):
            assert time.monotonic() < deadline, (seen, self.log())
            self.pause()
        return seen

    def pause(self) -> None:
        time.sleep(0.001)

    def log(self) -> str:
        path = self.folder / ".greenroom" / "logs" / "router.log"
        return path.read_text()[-2000:] if path.exists() else ""

    # asking

    def ask(self, test: bool = False) -> Served | None:
        url, headers = self.router().reach(test)
        return self._served(traffic.ask(url, headers=headers))

    def send(self, method: str = "GET", headers: Mapping[str, str] | None = None) -> Reply:
        return reply(traffic.ask(self.url, method=method, headers=headers))

    def shares(self, requests: int) -> Mapping[Colour, int]:
        connection = traffic.connect(self.url)
        with contextlib.closing(connection):
            served = [self._served(traffic.exchange(connection)) for _ in range(requests)]
        return Counter(one.colour for one in served if one)

    def _served(self, answer: traffic.Answer) -> Served | None:
        if answer.status != 200:
            return None
        colour, version = answer.text.split()
        return Served(Colour(colour), version)

    @contextmanager
    def load(self) -> Iterator[Load]:
        with traffic.Load(self.url) as load:
            yield Load(load)

    def hold(self) -> Held:
        return Held(traffic.WebSocket(self.url))

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


class Load:
    def __init__(self, load: traffic.Load) -> None:
        self._load = load

    @property
    def failed(self) -> list[str]:
        return [str(seen) for seen in self._load.failed]

    def late(self, since: float, until: float, wanted: Colour) -> list[str]:
        return [str(seen) for seen in self._load.seen if since <= seen.sent <= until and seen.by != wanted]


class Held:
    def __init__(self, socket: traffic.WebSocket) -> None:
        self._socket = socket

    def answers(self) -> Served:
        colour, version, _ = self._socket.say("hello").split()
        return Served(Colour(colour), version)

    def close(self) -> None:
        self._socket.close()


def reply(answer: traffic.Answer) -> Reply:
    by = answer.headers.get("x-served-by")
    return Reply(answer.status, Colour(by) if by else None, answer.headers.get("set-cookie", "").partition(";")[0])


def refused(url: str) -> bool:
    """Nobody listens there."""
    try:
        traffic.ask(url)
    except (OSError, HTTPException):
        return True
    return False
