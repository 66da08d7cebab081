"""The nouns: what exists in the world, in the words of the glossary. Pure values, no behaviour that needs a clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

Document: TypeAlias = Mapping[str, Any]
"""A JSON object. Definitions (a release's file, `${NAME}` not yet filled in) travel as such."""


class Colour(StrEnum):
    """A place. Which of the two is active is a role, not a colour."""

    BLUE = "blue"
    GREEN = "green"

    @property
    def other(self) -> Colour:
        return Colour.GREEN if self is Colour.BLUE else Colour.BLUE


class Role(StrEnum):
    ACTIVE = "active"
    IDLE = "idle"


class Health(StrEnum):
    """Health has four answers; UNKNOWN is neither of the others."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    STARTING = "starting"
    UNKNOWN = "unknown"


class Verdict(StrEnum):
    PASS = "pass"
    FAIL = "fail"
    WAIT = "wait"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """Where a replica listens. `machine`: the one of several on which it runs, "" where there is only one."""

    host: str
    port: int
    machine: str = ""

    def __str__(self) -> str:
        where = f"{self.host}:{self.port}"
        return f"{self.machine}/{where}" if self.machine else where


@dataclass(frozen=True, slots=True)
class Member:
    """One replica of one process. `routed`: users' traffic goes to it; else it works in the background.

    `machine`: the one of several on which it runs, "" where there is only one. `process` "": the machine as a whole,
    which cannot be seen; `detail` says why.
    """

    process: str
    replica: int
    health: Health
    endpoint: Endpoint | None = None
    routed: bool = True
    detail: str = ""
    restarts: int = 0
    machine: str = ""


@dataclass(frozen=True, slots=True)
class EnvironmentSpec:
    """What an environment shall run. The same spec applied again changes nothing.

    `sweep`: nothing is routed to what an earlier supervisor left behind, so its verified remains may be ended.
    """

    release: str
    version: str
    artefact: str
    role: Role
    definition: Document
    sweep: bool = False


@dataclass(frozen=True, slots=True)
class EnvironmentStatus:
    """What a colour runs now. `release` None: nothing of ours. `failed`: why it can never become ready ("" if it may).

    `role` is the role that its members hold now, None while they are being changed.
    `leftovers`: endpoints of verified replicas that no supervisor watches any more, and that may still have traffic.
    `unfinished`: its machines do not all run the same; applying it again finishes it.
    """

    colour: Colour
    release: str | None = None
    version: str | None = None
    role: Role | None = None
    members: tuple[Member, ...] = ()
    leftovers: tuple[Endpoint, ...] = ()
    failed: str = ""
    detail: str = ""
    unfinished: bool = False

    @property
    def unseen(self) -> tuple[str, ...]:
        """Machines of several that cannot be seen, each with why: what runs there may be well or not."""
        return tuple(m.detail for m in self.members if not m.process)

    @property
    def present(self) -> bool:
        return self.release is not None

    @property
    def ready(self) -> bool:
        well = bool(self.members) and all(m.health is Health.HEALTHY for m in self.members)
        return self.present and self.role is not None and well

    @property
    def serving(self) -> bool:
        """At least one routed replica is healthy: it can take traffic, though perhaps not well."""
        return any(m.routed and m.health is Health.HEALTHY for m in self.members)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Where users' traffic may go, healthy or not (the router checks health itself)."""
        return tuple(sorted(m.endpoint for m in self.members if m.routed and m.endpoint))


class Making(StrEnum):
    ABSENT = "absent"
    MAKING = "making"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ArtefactSpec:
    release: str
    version: str
    definition: Document


@dataclass(frozen=True, slots=True)
class ArtefactStatus:
    """`reference` names the finished artefact for the environment (a folder, a digest); "" until READY."""

    state: Making
    reference: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Split:
    """Shares of users' traffic in whole percent; they sum to 100, or to 0 when nothing is routed."""

    blue: int
    green: int

    @classmethod
    def all_to(cls, colour: Colour) -> Split:
        return cls(100, 0) if colour is Colour.BLUE else cls(0, 100)

    @classmethod
    def share(cls, colour: Colour, percent: int) -> Split:
        return cls(percent, 100 - percent) if colour is Colour.BLUE else cls(100 - percent, percent)

    @classmethod
    def none(cls) -> Split:
        return cls(0, 0)

    def of(self, colour: Colour) -> int:
        return self.blue if colour is Colour.BLUE else self.green

    def __str__(self) -> str:
        return f"blue {self.blue} · green {self.green}"


@dataclass(frozen=True, slots=True)
class Backend:
    """A colour as the router knows it."""

    endpoints: tuple[Endpoint, ...] = ()
    version: str = ""
    release: str = ""


@dataclass(frozen=True, slots=True)
class Mirror:
    """So many percent of users' requests are sent to this colour as well; its answers are thrown away."""

    colour: Colour
    percent: int


@dataclass(frozen=True, slots=True)
class First:
    """Users' requests with this header (of this value; "": of any) go to this colour, whatever the split says."""

    header: str
    value: str
    colour: Colour


@dataclass(frozen=True, slots=True)
class RoutingSpec:
    """The whole of what the router shall do, never a part. `test`: the colour that the test route reaches.

    `shield`: a safe request that fails on this colour is asked again of the other one, and a replica of it that fails in
    series gets none for a while. What `Capability` a router needs for `mirror`, `first` and `shield` stands there.
    """

    split: Split
    blue: Backend = Backend()
    green: Backend = Backend()
    test: Colour | None = None
    mirror: Mirror | None = None
    first: First | None = None
    shield: Colour | None = None

    def backend(self, colour: Colour) -> Backend:
        return self.blue if colour is Colour.BLUE else self.green


@dataclass(frozen=True, slots=True)
class Routing:
    """What the router was told (by its own files or API) and what is live in the data plane.

    `told` None: it was never told anything of ours (`detail` is ""), or what it was told cannot be read (`detail` says why).
    `live` None: the data plane cannot be seen. `holding`: requests and connections that still hold a colour.
    `revision`: changes with everything that is told. `epoch`: of the lease under which it was told.
    `unfinished`: whoever told it died in the middle of it; telling it again finishes it.
    `unseen`: the routers of several that cannot be seen, each with why; what the others were told and serve stands here.
    """

    running: bool
    told: RoutingSpec | None = None
    live: Split | None = None
    live_revision: str = ""
    revision: str = ""
    epoch: int = 0
    holding: Mapping[Colour, int] = field(default_factory=dict)
    settles_at: float | None = None
    unfinished: bool = False
    detail: str = ""
    unseen: tuple[str, ...] = ()

    @property
    def settled(self) -> bool:
        """What was told is what serves."""
        if self.told is None or not self.running or self.unseen:
            return False
        return self.live == self.told.split and self.live_revision == self.revision


@dataclass(frozen=True, slots=True)
class Event:
    """Something a person may want to be told. `id` is the same at every delivery."""

    id: str
    kind: str
    service: str
    at: float
    release: str
    version: str
    text: str
    facts: Document = field(default_factory=dict)
