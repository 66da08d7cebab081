"""The router `alb` on an ALB that follows moto, with real replicas behind it; what the contract needs of it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

from greenroom.adapters.aws.access import Access
from greenroom.adapters.aws.client import Client
from greenroom.adapters.aws.elb.settings import AlbSettings
from greenroom.adapters.routers.alb import AlbRouter
from greenroom.domain.model import Backend, Colour, Endpoint
from greenroom.ports import Place
from greenroom.testing import traffic
from greenroom.testing.contracts.router import Server as Served
from greenroom.testing.servers import Server
from tests.rigs.alb import Alb, Listener
from tests.rigs.aws_front import REGION, Front
from tests.rigs.routing import Routed, served

SETTLE = 0.3
_ADDRESSES = itertools.count(1)


def fresh_address() -> str:
    """Of this machine, and of nobody else in this process."""
    number = next(_ADDRESSES)
    return f"127.0.{60 + number // 250}.{1 + number % 250}"


@cache
def _client(access: Access) -> Client:
    """It remembers nothing, and to make one takes longer than what most tests do."""
    return Client(access)


class Stage(Routed):
    """A context manager. `settings`: of the router, beside what names the load balancer.

    `front`: what the router asks, in front of moto; many stages may have one, one after the other. `calls()`: what was
    asked since `calls` was asked last.
    """

    def __init__(
        self, folder: Path, front: Front, *, tls: bool = False, shape: str = "forward", **settings: Any
    ) -> None:
        super().__init__()
        self.alb, self.front = Alb(front.upstream, tls=tls, shape=shape), front
        self.port, self.url = self.alb.http.port, self.alb.http.url
        self.place = Place("shop", folder / "greenroom.yaml", folder / ".greenroom")
        self.given = settings
        self.running: dict[Colour, Server] = {}
        self.ahead = 0.0
        """Seconds that have passed more than have."""

    def __enter__(self) -> Stage:
        self.front.faults.clear()
        self.front.calls.clear()
        self.alb.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self.alb.__exit__(None, None, None)
        finally:
            self.front.faults.clear()
            self.close()

    # making

    @property
    def listeners(self) -> list[Listener]:
        return [self.alb.http, *([self.alb.https] if self.alb.https else [])]

    def configured(self, **settings: Any) -> AlbSettings:
        usual = {
            "region": REGION,
            "endpoint": self.front.url,
            "listeners": [listener.arn for listener in self.listeners],
            "target_groups": {str(colour): group.name for colour, group in self.alb.groups.items()},
            "test_route": {"listener": self.alb.test.arn, "url": self.alb.test.url},
            "url": self.url,
            "observe": {"header": "x-served-by", "requests": 3},
            "settle": f"{SETTLE}s",
        }
        return AlbSettings.model_validate({**usual, **self.given, **settings})

    def router(self, *, pace: float = 0.0, steady: Callable[[], float] = time.monotonic, **settings: Any) -> AlbRouter:
        """As another process would make it; with other settings if given."""
        found = self.configured(**settings)
        client = _client(Access(region=found.region, endpoint=found.endpoint))
        now = lambda: time.time() + self.ahead  # noqa: E731
        return AlbRouter(found, self.place, pace=pace, now=now, steady=steady, client=client)

    def problems(self, **settings: Any) -> list[str]:
        return AlbRouter.problems(self.configured(**settings), self.place)

    def hazards(self, **settings: Any) -> list[str]:
        return AlbRouter.hazards(self.configured(**settings), self.place)

    def start(self, colour: Colour, *, listen: bool = True) -> Server:
        """A target that is registered in the colour's group; `listen` False: and answers nobody."""
        self._version += 1
        server = Server(colour, f"{self._version}.0", host=fresh_address())
        if listen:
            self._servers.enter_context(server)
        else:
            server._listening.close()
        self.alb.register(self.alb.groups[colour], server.host, server.port)
        return server

    def backend(self, colour: Colour) -> Backend:
        """A fresh target takes the place of the one before."""
        server, before = self.start(colour), self.running.get(colour)
        self.alb.settle(healthy=True)
        if before is not None:
            self.alb.deregister(self.alb.groups[colour], before.host)
            self.alb.until(lambda: self.alb.health.get((self.alb.groups[colour].arn, before.host)) != "healthy")
        self.running[colour] = server
        return self.behind(colour, server.version)

    def behind(self, colour: Colour, version: str) -> Backend:
        """As an environment says it: the colour's group is its one endpoint."""
        group = self.alb.groups[colour]
        return Backend((Endpoint(group.name, group.port),), version, f"r-{version}")

    def log(self) -> str:
        return self.alb.proxy.log()

    def tags(self) -> dict[str, str]:
        """Of the HTTP listener."""
        [said] = self.alb.api.describe_tags(ResourceArns=[self.alb.http.arn])["TagDescriptions"]
        return {tag["Key"]: tag["Value"] for tag in said["Tags"]}

    def weights(self, listener: Listener | None = None) -> dict[str, int]:
        """What moto says of a listener, by the group's colour."""
        arn = (listener or self.alb.http).arn
        [said] = self.alb.api.describe_listeners(ListenerArns=[arn])["Listeners"]
        groups = {group.arn: str(colour) for colour, group in self.alb.groups.items()}
        config = said["DefaultActions"][-1]["ForwardConfig"]
        return {groups[one["TargetGroupArn"]]: one["Weight"] for one in config["TargetGroups"]}

    def calls(self) -> list[str]:
        found, self.front.calls[:] = list(self.front.calls), []
        return found

    # asking

    def ask(self, test: bool = False) -> Served | None:
        return served(traffic.ask(self.alb.test.url if test else self.url))

    def hold(self) -> None:  # type: ignore[override]
        """An ALB does not say how many connections a group holds."""

    def sticky(self) -> None:  # type: ignore[override]
        """Its cookie goes before the weights: a larger share reaches new clients only."""

    # misfortune

    def demanding(self) -> None:
        """It refuses before it changes anything, and then there is nothing to see."""

    def stall(self) -> bool:
        self.alb.stall()
        return True

    def meddle(self) -> bool:
        self.set({Colour.BLUE: 60, Colour.GREEN: 40})
        return True

    def set(self, weights: Mapping[Colour, int], listener: Listener | None = None, **how: Any) -> None:
        """Somebody changes a listener behind our back."""
        self.alb.set(listener or self.alb.http, self.alb.forward(weights, **how))

    def kill(self) -> None:
        self.alb.kill()
