"""A stage on several hosts: a fake world each, with replicas, a router and users of its own, and one engine for all.

The worlds' referees watch each host at every instant; what must hold between hosts is looked at after every turn.
"""

from __future__ import annotations

from dataclasses import dataclass

from greenroom.adapters.several.analyser import SeveralAnalysers
from greenroom.adapters.several.artefact import SeveralArtefacts
from greenroom.adapters.several.environment import SeveralEnvironments
from greenroom.adapters.several.router import SeveralRouters
from greenroom.adapters.several.side_by_side import InOrder
from greenroom.domain.model import Colour
from greenroom.engine.world import Adapters
from greenroom.testing.fakes import FakeAnalyser, FakeArtefact, FakeEnvironment, FakeRouter
from greenroom.testing.faults import Faults, Wires
from greenroom.testing.world import FakeWorld
from tests.engine.stage import Stage


@dataclass
class Fleet(Stage):
    """`worlds` by host. Each router sends its users to the replicas of its own host."""

    names: tuple[str, ...] = ("app1", "app2", "app3")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.wires = Wires()
        self.worlds: dict[str, FakeWorld] = {}
        self.artefacts: dict[str, FakeArtefact] = {}
        for name in self.names:
            self.add(name)
        self.world = self.worlds[self.names[0]]
        self.on(*self.names)

    def add(self, name: str) -> None:
        """One more host, on which nothing runs."""
        lag = {"lag": self.lag, "lag_looks": self.lag_looks}
        world = FakeWorld(self.clock, worker=self.worker, holds=self.holds, drain=self.plan.drain, **lag)  # type: ignore[arg-type]
        self.worlds[name], self.artefacts[name] = world, FakeArtefact(world)

    def on(self, *names: str) -> None:
        """From now on the engine works on these hosts."""
        self.adapters = self._made(names, self.faults)
        self.sound_adapters = self._made(names, Faults())

    def _made(self, names: tuple[str, ...], faults: Faults) -> Adapters:
        pool = InOrder()

        def all_of(kind: str, make: object, *methods: str) -> dict[str, object]:
            wired = {n: self.wires.to(n, kind, make(n)) for n in names}  # type: ignore[operator]
            return {n: faults.wrap(f"{n}.{kind}", port, *methods) for n, port in wired.items()}

        artefacts = all_of("artefact", lambda n: self.artefacts[n], "observe", "apply")
        environments = all_of("environment", lambda n: FakeEnvironment(self.worlds[n]), "observe", "apply", "remove")
        routers = all_of("router", lambda n: FakeRouter(self.worlds[n]), "observe", "apply", "remove")
        analysers = all_of("analyser", lambda n: FakeAnalyser(self.worlds[n]), "measure")
        return Adapters(
            SeveralArtefacts(artefacts, pool),  # type: ignore[arg-type]
            SeveralEnvironments(environments, pool),  # type: ignore[arg-type]
            SeveralRouters(routers, True, pool),  # type: ignore[arg-type]
            SeveralAnalysers(analysers, pool),  # type: ignore[arg-type]
            {"smoke": faults.wrap("check", self.check, "ask", "withdraw")},
            self.watches,
        )

    # --- the hosts --------------------------------------------------------------------------------------------

    def turn(self) -> float:
        pause = super().turn()
        busy = {
            colour
            for world in self.worlds.values()
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
        return self.serves_on(*self.names)

    def serves_on(self, *names: str) -> str:
        first, found = self.world, set[str]()
        for name in names:
            self.world = self.worlds[name]
            found.add(super().serves())
        self.world = first
        return found.pop() if len(found) == 1 else ""

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
