"""The router `route53` on zones with name servers, with real replicas behind the names; what the contract needs of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from greenroom.adapters.aws.access import Access
from greenroom.adapters.aws.client import Client
from greenroom.adapters.aws.dns.settings import Route53Settings
from greenroom.adapters.routers.route53 import Route53Router
from greenroom.domain.model import Backend, Colour, Endpoint
from greenroom.ports import Place
from greenroom.testing import traffic
from greenroom.testing.contracts.router import Server as Served
from greenroom.testing.servers import Server
from tests.rigs.aws_front import REGION
from tests.rigs.route53 import Cloud, Door
from tests.rigs.routing import Routed, served

ADDRESSES = {Colour.BLUE: "192.0.2.1", Colour.GREEN: "192.0.2.2"}
"""Of the colours' load balancers; what is behind them changes."""


class Stage(Routed):
    """A context manager. `settings`: of the router, beside what is usual here. `zone`, `name`: of the first record."""

    def __init__(self, folder: Path, upstream: tuple[str, int], **settings: Any) -> None:
        super().__init__()
        self.cloud = Cloud(upstream)
        domain = f"d{uuid4().hex[:8]}.example"
        self.domain, self.name = domain, f"shop.{domain}"
        self.zone = self.cloud.zone(domain)
        self.client = Client(Access(region=REGION, endpoint=self.cloud.url))
        self.place = Place("shop", folder / "greenroom.yaml", folder / ".greenroom")
        self.given = settings
        self.running: dict[Colour, Server] = {}
        self.door = Door(self._behind, self.name, self.cloud.servers[0])
        self.doors = {c: Door(self._behind, "", None, fixed=ADDRESSES[c]) for c in Colour}
        self.url = self.door.url

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        for door in (self.door, *self.doors.values()):
            door.close()
        self.cloud.close()
        self.close()

    # making

    def configured(self, **settings: Any) -> Route53Settings:
        usual = {
            "region": REGION,
            "endpoint": self.cloud.url,
            "records": [{"zone": self.zone, "name": self.name}],
            "targets": {str(colour): {"values": [ADDRESSES[colour]]} for colour in Colour},
            "ttl": "0s",
            "drain": "0s",
            "settle": "0s",
            "url": self.url,
            "test_route": {str(colour): self.doors[colour].url for colour in Colour},
            "observe": {"servers": [server.address for server in self.cloud.servers]},
        }
        return Route53Settings.model_validate({**usual, **self.given, **settings})

    def router(self, *, pace: float = 0.0, now: Any = None, **settings: Any) -> Route53Router:
        """As another process would make it; with other settings if given."""
        configured = self.configured(**settings)
        more = {} if now is None else {"now": now}
        return Route53Router(configured, self.place, pace=pace, client=self.client, **more)

    def problems(self, **settings: Any) -> list[str]:
        return Route53Router.problems(self.configured(**settings), self.place)

    def hazards(self, **settings: Any) -> list[str]:
        return Route53Router.hazards(self.configured(**settings), self.place)

    def backend(self, colour: Colour) -> Backend:
        """A fresh replica takes the place of the one before, behind the colour's load balancer."""
        server = self.server(colour)
        self.running[colour] = server
        return Backend((Endpoint(f"{colour}-balancer", 443),), server.version, f"r-{server.version}")

    def calls(self) -> list[str]:
        found, self.cloud.calls[:] = list(self.cloud.calls), []
        return found

    def log(self) -> str:
        return f"{self.cloud.sets(self.zone)}"

    def weights(self) -> dict[str, int]:
        return self.cloud.weights(self.zone, self.name)

    def _behind(self, address: str) -> tuple[str, int] | None:
        found = [server for colour, server in self.running.items() if ADDRESSES[colour] == address]
        return (found[0].host, found[0].port) if found else None

    # asking

    def ask(self, test: bool = False) -> Served | None:
        url, _ = self.router().reach(test)
        return served(traffic.ask(url)) if url else None

    def hold(self) -> None:  # type: ignore[override]
        """DNS sees no connections."""

    def sticky(self) -> None:  # type: ignore[override]
        """It is the resolver that stays, not the user."""

    # misfortune

    def demanding(self) -> None:
        """Route 53 refuses before it changes anything, and then there is nothing to see."""

    def stall(self) -> bool:
        self.cloud.held = True
        return True

    def meddle(self) -> bool:
        self.set({Colour.BLUE: 60, Colour.GREEN: 40})
        return True

    def set(self, weights: Mapping[Colour, int], **more: Any) -> None:
        """Somebody changes the records behind our back."""
        for colour, weight in weights.items():
            self.cloud.set(self.zone, ("UPSERT", {**self.weighted(colour, weight), **more}))

    def weighted(self, colour: Colour, weight: int, name: str = "", **more: Any) -> dict[str, Any]:
        usual = {
            "Name": name or self.name,
            "Type": "A",
            "SetIdentifier": f"greenroom-shop-{colour}",
            "Weight": weight,
            "TTL": 0,
            "ResourceRecords": [{"Value": ADDRESSES[colour]}],
        }
        return {**usual, **more}

    def kill(self) -> None:
        self.cloud.held = False
        self.cloud.bring()
