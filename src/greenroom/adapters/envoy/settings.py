"""The keys of `router: {type: envoy, ...}`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from greenroom.adapters.listening import Listen, Listens, Section, TestRoute, by_key
from greenroom.units import Seconds


class Timeouts(Section):
    """`request`: the longest whole answer, 0 for no limit (downloads and event streams may last). `idle`: the longest
    silence within a request or WebSocket. `connect`: to a replica. `keep_alive`: how long an unused connection to a
    replica is kept; shorter than the application's own, or requests meet closed connections.
    """

    request: Seconds = 0.0
    idle: Seconds = 300.0
    connect: Seconds = 2.0
    keep_alive: Seconds = 1.5


class EnvoySettings(Section):
    """`listen`: one address or several, each may have `tls: {certificate, key}`. `protocol`: what the application
    speaks; `h2c` for gRPC. `trusted_hops`: proxies before this one whose X-Forwarded-* are believed. `reveal`: name
    colour and version in every answer, not only on the test route. `drain`: how long requests on the old colour may
    take after the switch.
    """

    type: Literal["envoy"] = "envoy"
    listen: Listens = Field(min_length=1)
    test_route: TestRoute = Field(
        default=TestRoute(header="x-greenroom-test"),
        description="How the idle environment is reached: one of these, or several.",
    )
    drain: Seconds = 30.0
    timeouts: Timeouts = Field(default=Timeouts(), description="How long the router waits.")
    protocol: Literal["http1", "h2c"] = "http1"
    trusted_hops: int = Field(default=0, ge=0, le=20)
    reveal: bool = False
    sticky: bool = Field(
        default=False,
        description="A cookie keeps each user on one colour while both have a share of the traffic; as the new colour's "
        "share grows, users only move to it.",
    )

    @model_validator(mode="after")
    def _are_different(self) -> EnvoySettings:
        by_key(self.listen, self.test_route.listen)  # which refuses what is there twice
        return self

    @property
    def listeners(self) -> tuple[Listen, ...]:
        """The public ones, then the test route's own."""
        return tuple(self.by_key.values())

    @property
    def by_key(self) -> dict[str, Listen]:
        """The same, by where they stand in the file."""
        return by_key(self.listen, self.test_route.listen)
