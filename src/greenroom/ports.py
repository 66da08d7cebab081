"""Every seam in one file: what Greenroom needs from the world, as protocols with their promises.

All methods are synchronous and idempotent. None waits for the world to follow, none retries, none remembers:
`apply` returns when the request is accepted, readiness is seen by the next look, and memory goes out as `memo` and
comes back. Every method returns within a few seconds. They raise only `PortError`s: `Temporary` (it did not happen),
`Permanent` (it never will), `Uncertain` (it may have happened).
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeAlias, runtime_checkable

from greenroom.domain.figures import Measurement
from greenroom.domain.model import (
    ArtefactSpec,
    ArtefactStatus,
    Colour,
    Document,
    EnvironmentSpec,
    EnvironmentStatus,
    Event,
    Routing,
    RoutingSpec,
)
from greenroom.domain.opinion import Case, Finding
from greenroom.domain.records import Entry, Record
from greenroom.domain.schema import Order, Ruled, SchemaState, Stage


class Capability(StrEnum):
    """What an adapter can do beyond its port's minimum: data on the class, checked when the file is loaded."""

    WEIGHTS = "weights"
    TEST_ROUTE = "test_route"
    DRAIN = "drain"
    MEASUREMENTS = "measurements"
    LATENCY = "latency"
    ROLES = "roles"
    HOSTS = "hosts"
    """Works on other machines too, through `Place.host` alone."""
    STICKY = "sticky"
    PARITY = "parity"
    """An `Effective` environment or router."""
    MIRROR = "mirror"
    """A router that obeys `RoutingSpec.mirror`; its analyser fills `Measurement.mirrored`."""
    FIRST = "first"
    """A router that obeys `RoutingSpec.first`."""
    SHIELD = "shield"
    """A router that obeys `RoutingSpec.shield`; its analyser counts `Figures.shielded`."""
    USAGE = "usage"
    """An environment that is `Consuming`."""
    ADOPT = "adopt"
    """An artefact and an environment that take over what runs already, where the definition says `adopt`."""


@dataclass(frozen=True, slots=True)
class ActionKey:
    """Names one action, the same after a crash. `epoch` fences: who holds an older lease must not act."""

    release: str
    phase: str
    step: int
    verb: str
    target: str
    generation: int
    epoch: int = 0

    def __str__(self) -> str:
        return f"{self.release}/{self.phase}/{self.step}/{self.verb}/{self.target}/{self.generation}"


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command came to on a host. `code`: its exit status, minus the signal's number if one ended it."""

    code: int
    out: bytes = b""
    err: bytes = b""


Address: TypeAlias = tuple[str, int] | str
"""Where something listens: host and port, or the path of a Unix socket."""


class Host(Protocol):
    """A machine, this one or another: what is done there is done through this and nothing else.

    Every method raises `Temporary` where the machine cannot be reached, and `Permanent` where it must not be (its key is
    not the known one, it does not let us in).
    """

    name: str
    """As the file names it; "" for this machine."""

    def run(self, command: Sequence[str], *, stdin: bytes = b"", timeout: float = 10.0) -> Ran:
        """Run it to its end. `Uncertain` if it did not end in time, or the connection was lost meanwhile."""

    def read(self, path: str, start: int = 0) -> bytes | None:
        """A file's content from `start` on; None if it is not there. `Permanent` if we may not read it."""

    def connect(self, address: Address, timeout: float = 3.0) -> socket.socket:
        """A stream to what listens there, as seen from there. `ConnectionRefusedError` where nothing does."""

    def nearby(self, address: Address) -> Address:
        """Where the same is reached from this machine, for as long as this process lives: for other people's clients."""


class Artefact(Protocol):
    """Makes what a release consists of, once; afterwards it never changes."""

    def observe(self, spec: ArtefactSpec) -> ArtefactStatus: ...

    def apply(self, spec: ArtefactSpec, key: ActionKey) -> None:
        """Begin to make it (work goes on in the background); nothing if it is made or being made."""

    def remove(self, release: str, key: ActionKey) -> None:
        """Forget it; nothing if it is not there."""


class Environment(Protocol):
    capabilities: ClassVar[frozenset[Capability]]

    def observe(self, colour: Colour) -> EnvironmentStatus: ...

    def apply(self, colour: Colour, spec: EnvironmentSpec, key: ActionKey) -> None:
        """Run this, and only this, there. A changed role alone restarts nothing that serves.

        Refuses (`Permanent`), as `remove` does, a key whose epoch is older than the newest that it was told under.
        """

    def remove(self, colour: Colour, key: ActionKey) -> None:
        """Stop all of it, gracefully; nothing if nothing runs."""


class Router(Protocol):
    capabilities: ClassVar[frozenset[Capability]]

    def observe(self) -> Routing: ...

    def apply(self, spec: RoutingSpec, key: ActionKey) -> None:
        """Do all of this. Refuses (`Permanent`) a key whose epoch is older than the one it was told under last."""

    def remove(self) -> None:
        """Stop routing on purpose: `down`."""

    def reach(self, test: bool = False) -> tuple[str, Mapping[str, str]]:
        """URL and headers by which the public (or, with `test`, the test) route is asked from this machine."""


@runtime_checkable
class Effective(Protocol):
    """An environment or router that can say what a colour really runs with: not the file, the running thing."""

    def inspect(self, colour: Colour) -> Mapping[str, Facts]:
        """By process (or `upstream`): the facts of all its replicas that must not differ between the colours."""


@dataclass(frozen=True, slots=True)
class Facts:
    """`effective`: what is in force; `asked`: what the definition asked for, in the same words. Values are texts fit to
    be shown: of a secret, a hash. Both leave out what may differ: colour, version, release, port.
    """

    effective: Mapping[str, str]
    asked: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Line:
    """One line that a replica wrote. `at`: seconds since 1970, 0 if not known."""

    replica: str
    text: str
    at: float = 0.0


@runtime_checkable
class Audible(Protocol):
    """An environment whose processes' output is not in files of the state folder."""

    def output(self, colour: Colour, last: int, since: float = 0.0) -> Sequence[Line]:
        """The last lines of each replica (`web-1`), at most `last` of each, written after `since`; ascending."""


class Examined(Protocol):
    """What a class says of its settings before anything is touched."""

    @staticmethod
    def problems(settings: Any, place: Place) -> list[str]:
        """What would keep a deploy from working, each with its way out; begins with the key where it can."""

    @staticmethod
    def hazards(settings: Any, place: Place) -> list[str]:
        """Facts for which users would notice a deploy that works: each a sentence, with the way out."""


class Prepared(Protocol):
    """A router in a proxy of people's own, which has to be prepared for it once."""

    @staticmethod
    def prepare(settings: Any, place: Place) -> list[str]:
        """Write its first files, which change nothing for users; what people have to add to their own, and where."""


@runtime_checkable
class Tidy(Protocol):
    """An adapter with something to clear away now and then."""

    def tidy(self) -> None: ...


class Afar(Protocol):
    """An environment's class whose releases run on no machine of ours: in an account, in a cluster."""

    @staticmethod
    def afar(written: Mapping[str, Any]) -> bool:
        """Is that so, as this section of the file is written? Then the command's own engine does the work."""


@runtime_checkable
class Paced(Protocol):
    """An environment or router whose backend must not be asked often: `observe` may answer as it saw things some seconds
    ago, until it is told to look anew.
    """

    def anew(self) -> None:
        """What was seen before counts no more: something was done, or is about to be on what was seen."""


class Check(Protocol):
    """Gates, checks and watches: something with an opinion."""

    name: str

    def ask(self, case: Case, memo: Document | None) -> Finding: ...

    def withdraw(self, case: Case, memo: Document | None) -> None:
        """End what `ask` may have begun."""


@runtime_checkable
class Approving(Protocol):
    """A gate that people answer."""

    def objection(self, case: Case, by: str, groups: tuple[str, ...]) -> str:
        """Why this person may not approve, with the way out; "" if they may."""


@runtime_checkable
class Migrator(Protocol):
    """The schema of the database that both colours share, changed in stages. Its ledger in that database is the truth."""

    def observe(self, service: str) -> SchemaState:
        """How far each migration is. Never raises for a database that cannot be asked: `SchemaState.unseen` says why."""

    def problems(self) -> list[str]:
        """What is wrong with the migrations' files, each with its place and its way out. Asks no server."""

    def pin(self, release: str) -> Mapping[str, str] | None:
        """Keep the migrations as they are now for this release, which is just being asked for: what changes in the folder
        later does not change it. By migration, its checksum (`Order.pinned`); None where the artefact holds them.
        """

    def judge(self, stages: Sequence[Stage], order: Order, *, quick: bool = False) -> Sequence[Ruled]:
        """Every statement that has not run yet, ruled for its stage. Changes nothing. `quick`: nothing is rehearsed, so what
        is refused may be let pass by a closer look, and what is let pass refused.
        """

    def advance(self, stage: Stage, order: Order, memo: Document | None) -> Finding:
        """Begin the stage, or look how far it is; it goes on in the background. FAIL: what was refused, and why."""

    def withdraw(self, stage: Stage, order: Order, memo: Document | None) -> None:
        """End what `advance` began. The schema stays as it is: the running version lives with every step of it."""

    def hold(self, order: Order, going_back: bool) -> Finding:
        """Announce the way back (or take that word back), under the lock that a contract takes. FAIL: the old is gone."""

    def foresee(self, order: Order) -> Sequence[str]:
        """What stands against a contract already, and time alone will not mend, each with its way out. Changes nothing."""

    def restore(self, order: Order, name: str) -> Finding:
        """Put back what the contract of this migration has moved out of reach, and not yet removed."""


@dataclass(frozen=True, slots=True)
class About:
    """What a source is asked: a metric of `domain.plan.Rule`, in its unit, or a query in the source's own language ("" for
    the one or the other), about one colour of one release, over the last `window` seconds.
    """

    service: str
    colour: Colour
    version: str
    release: str
    window: float
    metric: str = ""
    query: str = ""


class Source(Protocol):
    """Answers a question about a colour with one number: Prometheus, a JSON address, a command."""

    def value(self, about: About) -> float | None:
        """None: no data. Raises `Temporary` where it cannot be asked, `Permanent` where the question is wrong."""


@runtime_checkable
class Consuming(Protocol):
    """An environment that can say what a colour's processes use."""

    def usage(self, colour: Colour) -> Usage | None:
        """All of its replicas together; None if nothing runs."""


@dataclass(frozen=True, slots=True)
class Usage:
    """`cpu_seconds`: processor time since the processes began. `memory`: bytes held now. `replicas`: how many they are."""

    cpu_seconds: float
    memory: float
    replicas: int = 1


class Analyser(Protocol):
    """Measures; `domain.assess` judges."""

    capabilities: ClassVar[frozenset[Capability]]

    def measure(self) -> Measurement:
        """The counters by colour, at this moment."""


@dataclass(frozen=True, slots=True)
class FailedRequest:
    """A user's request that failed. `at`: seconds since 1970. `path`: without its query. `took`: milliseconds.

    `replica`: where it was sent, "" if nowhere. `flags`: the router's own words for what went wrong, "" for none.
    `saved`: it failed here, and the other colour answered it, with this status.
    """

    at: float
    method: str
    path: str
    status: int
    took: float
    replica: str = ""
    flags: str = ""
    saved: bool = False


@runtime_checkable
class Recalling(Protocol):
    """An analyser whose router writes single requests down."""

    def failed(self, colour: Colour, version: str, since: float, last: int) -> Sequence[FailedRequest]:
        """The last of this version's on this colour that failed, in order of time; as far back as is looked cheaply."""


class Notifier(Protocol):
    name: str
    on: frozenset[str] | None
    """Kinds of event that it wants; None: all."""

    def notify(self, event: Event) -> None:
        """At least once; `event.id` is for de-duplication at the other end."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Who holds a lease. `identity` differs for each process that ever ran; `text` is for people.

    `host`, `boot`, `pid`, `started` let another process on that machine see that the holder is dead.
    """

    identity: str
    text: str
    host: str = ""
    boot: str = ""
    pid: int = 0
    started: str = ""


@dataclass(frozen=True, slots=True)
class Lease:
    owner: Owner
    epoch: int
    since: float
    expires: float
    why: str = ""


class Journal(Protocol):
    """One append-only log per service, and the lease over it. The store's clock counts."""

    def read(self, after: int = 0) -> Sequence[Entry]: ...

    def append(self, records: Sequence[Record], *, expected: int, epoch: int | None = None) -> Sequence[Entry]:
        """All or none. `Conflict` unless the last sequence is `expected`; with `epoch`, `LeaseLost` unless it is current."""

    def claim(self, owner: Owner, ttl: float, *, why: str = "", force: bool = False) -> Lease:
        """Take or renew the lease for `ttl` seconds (0: give it back). The holder's lease is returned, ours or not.

        A holder that is provably dead on this machine loses it at once, another by expiry; `force` takes it in any case.
        A lease that changes hands gets a higher epoch.
        """

    def holder(self) -> Lease | None: ...

    def now(self) -> float:
        """The store's clock: seconds since 1970, never backwards, undisturbed by changes of the wall clock."""


@dataclass(frozen=True, slots=True)
class Program:
    """Something that a supervisor keeps running."""

    name: str
    command: tuple[str, ...]
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    """More of the environment, handed over so that no file others can read and no process list shows it."""
    output: Path | None = None
    user: str = ""
    stop_signal: str = "TERM"
    stop_timeout: float = 10.0
    port: int = 0
    """Where it is to listen; `{port}` in command and environment is filled with what it got: another one, if a stranger
    listens there. `observe` tells which."""
    keep: bool = False
    """Start it again by itself with a fresh supervisor (router, engine); replicas are started by their environment."""
    labels: Mapping[str, str] = field(default_factory=dict)


class Life(StrEnum):
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"
    ORPHAN = "orphan"
    """Verified (pid and start time) as ours, but watched by no supervisor."""


@dataclass(frozen=True, slots=True)
class ProgramStatus:
    program: Program
    life: Life
    pid: int = 0
    since: float = 0.0
    restarts: int = 0
    detail: str = ""


class Supervisor(Protocol):
    """Keeps programs running, outlives the command line."""

    def observe(self) -> Mapping[str, ProgramStatus]:
        """All programs by name, orphans included. Never starts anything."""

    def apply(self, program: Program) -> None:
        """Keep this running (starts the supervisor itself where it is not). A changed program is restarted."""

    def remove(self, name: str) -> None:
        """Stop it (signal, timeout, SIGKILL, the whole group) and forget it, orphan or not; returns at once."""


class Clock(Protocol):
    def now(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


class Vault(Protocol):
    """The values of `${NAME}`, pinned per release, so that a warm version restarts with what it was released with."""

    def values(self, release: str) -> Mapping[str, str]:
        """What this release was given; `Permanent` if it is gone."""

    def pin(self, release: str, values: Mapping[str, str]) -> None: ...

    def forget(self, release: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where a service's adapters live: handed to every adapter's factory."""

    service: str
    file: Path
    """The configuration file; relative paths in it are relative to its folder."""
    state: Path
    """`.greenroom/`: everything that Greenroom keeps on this machine."""
    supervisor: Supervisor | None = None
    vault: Vault | None = None
    """For adapters whose specs carry a release's definition, in which `${NAME}` is not filled in."""
    host: Host | None = None
    """The machine that the adapter works on, where `state` is. None for adapters that know this machine only."""
    address: str = "127.0.0.1"
    """Where the routers reach what runs on this machine: the address that an environment publishes its ports on."""


class Factory(Protocol):
    """What an entry point names: a class with pydantic `Settings` and this constructor shape.

    `settings` is an instance of the class's `Settings`; `kind` is the port it serves.
    """

    Settings: ClassVar[Any]

    def __call__(self, settings: Any, place: Place) -> Any: ...
