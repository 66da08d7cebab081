"""What the rigs of routers share: replicas behind the router, telling it and waiting, asking through it."""

from __future__ import annotations

import contextlib
import socket
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from greenroom.domain.model import Backend, Colour, Routing, RoutingSpec, Split
from greenroom.ports import ActionKey, Router
from greenroom.testing import traffic
from greenroom.testing.contracts.router import Failing, Reply
from greenroom.testing.contracts.router import Server as Served
from greenroom.testing.processes import free_ports
from greenroom.testing.servers import Server
from tests.rigs.failing import failing

PATIENCE = 60.0
NOTHING = Backend()


def key(epoch: int = 1) -> ActionKey:
    return ActionKey("r-0001", "shift", 0, "route", "router", 0, epoch)


class Routed(ABC):
    """A router with real replicas, which ends what it has started when `close` is called."""

    def __init__(self) -> None:
        self.port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"
        self._servers = contextlib.ExitStack()
        self._version = 0

    def close(self) -> None:
        self._servers.close()

    @abstractmethod
    def router(self, **settings: Any) -> Router:
        """As another process would make it; with other settings if given."""

    @abstractmethod
    def log(self) -> str:
        """What the proxy wrote last."""

    # making

    def server(self, colour: Colour, **options: Any) -> Server:
        self._version += 1
        return self._servers.enter_context(Server(colour, f"{self._version}.0", **options))

    def backend(self, colour: Colour) -> Backend:
        return self.server(colour).backend

    def failing(self, colour: Colour) -> Failing:
        return self._servers.enter_context(failing(colour))

    def sticky(self) -> Router:
        return self.router(sticky=True)

    def taken(self) -> str:
        """An address where somebody else listens."""
        stranger = self._servers.enter_context(socket.create_server(("127.0.0.1", 0)))
        return f"127.0.0.1:{stranger.getsockname()[1]}"

    # telling and waiting

    def route(self, blue: Backend, green: Backend = NOTHING, *, to: Colour = Colour.BLUE, **options: Any) -> Routing:
        """Tell it, and wait until it is so."""
        router = options.pop("router", None) or self.router()
        epoch = options.pop("epoch", 1)
        router.apply(RoutingSpec(options.pop("split", Split.all_to(to)), blue, green, **options), key(epoch))
        return self.until(lambda seen: seen.settled, router)

    def until(self, true: Callable[[Routing], bool], router: Router | None = None) -> Routing:
        router = router or self.router()
        deadline = time.monotonic() + PATIENCE
        while not true(seen := router.observe()):
            assert time.monotonic() < deadline, (seen, self.log())
            self.pause()
        return seen

    def pause(self) -> None:
        time.sleep(0.002)

    # asking

    def ask(self, test: bool = False) -> Served | None:
        url, headers = self.router().reach(test)
        return served(traffic.ask(url, headers=headers))

    def send(self, method: str = "GET", headers: Mapping[str, str] | None = None) -> Reply:
        answer = traffic.ask(self.url, method=method, headers=headers)
        by, cookie = answer.headers.get("x-served-by"), answer.headers.get("set-cookie", "").partition(";")[0]
        return Reply(answer.status, Colour(by) if by else None, cookie)

    def shares(self, requests: int) -> Mapping[Colour, int]:
        connection = traffic.connect(self.url)
        with contextlib.closing(connection):
            answers = [served(traffic.exchange(connection)) for _ in range(requests)]
        return Counter(one.colour for one in answers if one)

    @contextmanager
    def load(self) -> Iterator[Load]:
        with traffic.Load(self.url) as load:
            yield Load(load)

    def hold(self) -> Held:
        return Held(traffic.WebSocket(self.url))


def served(answer: traffic.Answer) -> Served | None:
    """Who answered; None for an error."""
    if answer.status != 200:
        return None
    colour, version = answer.text.split()
    return Served(Colour(colour), version)


class Load:
    def __init__(self, load: traffic.Load) -> None:
        self._load = load

    @property
    def failed(self) -> list[str]:
        return [str(seen) for seen in self._load.failed]

    def late(self, since: float, until: float, wanted: Colour) -> list[str]:
        return [str(seen) for seen in self._load.seen if since <= seen.sent <= until and seen.by != wanted]


class Held:
    def __init__(self, held: traffic.WebSocket) -> None:
        self._held = held

    def answers(self) -> Served:
        colour, version, _ = self._held.say("hello").split()
        return Served(Colour(colour), version)

    def close(self) -> None:
        self._held.close()
