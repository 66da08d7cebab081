"""A stage on several hosts: a fake world each, with replicas, a router and users of its own, and one engine for all.

The worlds' referees watch each host at every instant; what must hold between hosts is looked at after every turn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from greenroom.adapters.several.analyser import SeveralAnalysers
from greenroom.adapters.several.artefact import SeveralArtefacts
from greenroom.adapters.several.environment import SeveralEnvironments
from greenroom.adapters.several.router import SeveralRouters
from greenroom.adapters.several.side_by_side import InOrder
from greenroom.domain.model import Colour, Endpoint
from greenroom.engine.world import Adapters
from greenroom.ports import Clock
from greenroom.testing.fakes import FakeAnalyser, FakeArtefact, FakeEnvironment, FakeRouter
from greenroom.testing.faults import Faults, Wires
from greenroom.testing.world import FakeWorld, Group
from tests.engine.stage import Stage


class Apps(FakeWorld):
    """A host with applications only; the routers, elsewhere, know its replicas by its name."""

    def __init__(self, name: str, clock: Clock, routers: Mapping[str, FakeWorld], **more: Any) -> None:
        super().__init__(clock, **more)
        self.name, self.routers = name, routers

    def fresh_endpoints(self) -> tuple[Endpoint, ...]:
        return tuple(replace(e, machine=self.name) for e in super().fresh_endpoints())

    def stopping(self, colour: Colour, group: Group, what: str) -> None:
        own = self.plane, self.holding
        for world in self.routers.values():
            self.plane, self.holding = world.plane, world.holding
            super().stopping(colour, group, what)
        self.plane, self.holding = own


class Proxy(FakeWorld):
    """A host with a router only, and users; what it leads to runs elsewhere."""

    def __init__(self, clock: Clock, apps: Mapping[str, Apps], **more: Any) -> None:
        super().__init__(clock, **more)
        self.apps = apps

    def _candidates(self, colour: Colour) -> list[Group]:
        return [group for world in self.apps.values() for group in world._candidates(colour)]

    def _referee(self) -> None:
        """Each host with applications has a referee of its own for what runs there."""


@dataclass
class Fleet(Stage):
    """`worlds` by host. Each router sends its users to the replicas of its own host; with `proxies`, those are the
    routers' hosts, and each sends users to all of `names`.
    """

    names: tuple[str, ...] = ("app1", "app2", "app3")
    proxies: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        self.wires = Wires()
        self.worlds: dict[str, FakeWorld] = {}
        self.artefacts: dict[str, FakeArtefact] = {}
        self.apps: dict[str, Apps] = {}
        self.fronting: dict[str, FakeWorld] = {}
        for name in (*self.names, *self.proxies):
            self.add(name)
        self.world = self.worlds[self.fronts[0]]
        self.on(*self.names)

    @property
    def fronts(self) -> tuple[str, ...]:
        """The hosts whose routers users reach."""
        return self.proxies or self.names

    def add(self, name: str) -> None:
        """One more host, on which nothing runs."""
        more: dict[str, Any] = {"lag": self.lag, "lag_looks": self.lag_looks, "worker": self.worker}
        more |= {"holds": self.holds, "drain": self.plan.drain}
        if name in self.proxies:
            world: FakeWorld = Proxy(self.clock, self.apps, **more)
            self.fronting[name] = world
        elif self.proxies:
            world = self.apps[name] = Apps(name, self.clock, self.fronting, **more)
        else:
            world = FakeWorld(self.clock, **more)
        self.worlds[name], self.artefacts[name] = world, FakeArtefact(world)

    def on(self, *names: str) -> None:
        """From now on the engine works on these hosts."""
        self.adapters = self._made(names, self.faults)
        self.sound_adapters = self._made(names, Faults())

    def _made(self, names: tuple[str, ...], faults: Faults) -> Adapters:
        pool = InOrder()

        def all_of(kind: str, make: Callable[[str], object], *methods: str) -> dict[str, Any]:
            there = (self.proxies or names) if kind in ("router", "analyser") else names
            wired = {n: self.wires.to(n, kind, make(n)) for n in there}
            return {n: faults.wrap(f"{n}.{kind}", port, *methods) for n, port in wired.items()}

        artefacts = all_of("artefact", lambda n: self.artefacts[n], "observe", "apply")
        environments = all_of("environment", lambda n: FakeEnvironment(self.worlds[n]), "observe", "apply", "remove")
        routers = all_of("router", lambda n: FakeRouter(self.worlds[n]), "observe", "apply", "remove")
        analysers = all_of("analyser", lambda n: FakeAnalyser(self.worlds[n]), "measure")
        return Adapters(
            SeveralArtefacts(artefacts, pool),
            SeveralEnvironments(environments, pool),
            SeveralRouters(routers, not self.proxies, pool),
            SeveralAnalysers(analysers, pool),
            {"smoke": faults.wrap("check", self.check, "ask", "withdraw")},
            self.watches,
        )

    # --- the hosts --------------------------------------------------------------------------------------------

    def turn(self) -> float:
        pause = super().turn()
        busy = {
            colour
            for name, world in self.worlds.items()
            if name not in self.proxies
            for colour in Colour
            for group in (*world._candidates(colour), *world.ending[colour])
            if group.worker
        }
        if len(busy) > 1:
            self.world.violated("workers of both colours run, on different hosts")
        return pause

    def live(self, name: str) -> str:
        """What users of this host get, by its referee's own sight: `blue 100 · green 0`."""
        world = self.worlds[name]
        world.settle()
        return str(world.plane.live.split) if world.plane.live else ""

    def shown(self, colour: Colour) -> set[str]:
        """The hosts whose router ever sent users to this colour since the last `established`."""
        marks = {name: [text for at, text in world.audit if at >= self.since] for name, world in self.worlds.items()}
        share = f"{colour} 0"
        return {n for n, texts in marks.items() if any(t.startswith("live: ") and share not in t for t in texts)}

    def established(self, version: str = "1.0") -> None:
        super().established(version)
        self.since = self.clock.elapsed

    # --- what is asserted -------------------------------------------------------------------------------------

    def _promises(self) -> None:
        first = self.world
        for world in self.worlds.values():
            self.world = world
            super()._promises()
        self.world = first

    def serves(self) -> str:
        """The version that the users of all hosts get; "" if it is not one."""
        return self.serves_on(*self.fronts)

    def serves_on(self, *names: str) -> str:
        first, found = self.world, set[str]()
        for name in names:
            self.world = self.worlds[name]
            found.add(self._behind(self.worlds[name]) if self.proxies else super().serves())
        self.world = first
        return found.pop() if len(found) == 1 else ""

    def _behind(self, proxy: FakeWorld) -> str:
        """The version that a proxy's users get of every host."""
        proxy.settle()
        live = proxy.plane.live
        colour = next((c for c in Colour if live is not None and live.split.of(c) == 100), None)
        if live is None or colour is None or proxy.plane.coming:
            return ""
        groups = proxy._candidates(colour)
        fit = [
            g for g in groups if g.healthy(self.clock.now()) and set(g.endpoints) <= set(live.backend(colour).endpoints)
        ]
        versions = {group.spec.version for group in fit}
        return versions.pop() if len(versions) == 1 and len(fit) == len(self.names) else ""

    def assert_sound(self, lost: float = 0.0) -> None:
        for name, world in self.worlds.items():
            world.settle()
            assert not world.violations, f"{name}: {world.violations}\n{self.story()}"
            assert world.lost <= lost + 1e-6, f"{name}: {world.lost:.0f} requests were lost\n{self.story()}"
        super().assert_sound(lost)

    def story(self) -> str:
        first = self.world
        others = [f"{at:8.2f} {n} ~ {text}" for n, w in self.worlds.items() if w is not first for at, text in w.audit]
        return super().story() + "\n" + "\n".join(others[-60:])
