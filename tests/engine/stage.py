"""A stage for the engine's tests: a fake world, a journal in memory, engines that come and go, an operator.

Time is the fake clock's: an hour takes milliseconds. Nothing here knows how a decision is made; it asks, waits, and
looks at the world.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from greenroom.adapters.gates.schema import SchemaGate
from greenroom.domain.commands import Allowed, Answer, Command, consider
from greenroom.domain.model import Colour
from greenroom.domain.opinion import Finding
from greenroom.domain.phases import Phase
from greenroom.domain.plan import Plan, Rule, Step
from greenroom.domain.records import Entry, Finished, Judged, Moved, Requested, Started
from greenroom.domain.release import Release, Service
from greenroom.domain.replay import replay
from greenroom.domain.schema import Stage as SchemaStage
from greenroom.engine.lease import Keeper
from greenroom.engine.reconciler import Reconciler
from greenroom.engine.world import Adapters
from greenroom.ports import Owner
from greenroom.testing.clock import FakeClock
from greenroom.testing.fakes import FakeAnalyser, FakeArtefact, FakeCheck, FakeEnvironment, FakeRouter
from greenroom.testing.faults import Crash, Fault, Faults
from greenroom.testing.memory import MemoryJournal
from greenroom.testing.pacing import Seldom
from greenroom.testing.schema import FakeMigrator
from greenroom.testing.world import FakeWorld

PLAN = Plan(
    bake=10.0,
    keep_warm=60.0,
    drain=5.0,
    ready_within=20.0,
    build_within=60.0,
    checks=("smoke",),
    rules=(Rule("error_rate", max=0.01),),
)
STEPS = (Step(10, 3.0), Step(50, 3.0), Step(100))


@dataclass
class Stage:
    """`crashes` counts the engines that died; the next one is a new process with another identity."""

    lag: float = 0.0
    lag_looks: int = 0
    holds: float = 0.5
    worker: bool = True
    plan: Plan = PLAN
    faults: Faults = field(default_factory=Faults)
    dead_is_known: bool = True
    deciding: Callable[..., Any] | None = None
    seldom: bool = False
    """Environment and router must not be asked often."""

    def __post_init__(self) -> None:
        self.clock = FakeClock()
        self.world = FakeWorld(
            self.clock,
            worker=self.worker,
            lag=self.lag,
            lag_looks=self.lag_looks,
            holds=self.holds,
            drain=self.plan.drain,
        )
        self.dead: set[str] = set()
        self.journal = MemoryJournal(self.clock, lambda owner: owner.identity in self.dead)
        self.check = FakeCheck("smoke")
        self.artefact = FakeArtefact(self.world)
        self.environment = FakeEnvironment(self.world)
        self.router = FakeRouter(self.world)
        self.analyser = FakeAnalyser(self.world)
        self.watches: dict[str, FakeCheck] = {}
        self.migrator = FakeMigrator(self.world)
        self.gates: dict[str, FakeCheck | SchemaGate] = {gate.name: FakeCheck(gate.name) for gate in self.plan.gates}
        if self.plan.migrates:
            self.gates |= {str(at): SchemaGate(self.migrator, at, "shop") for at in SchemaStage}
        self.faults.rival = self.rival
        self.faults.stall = self.stall
        wrap = self.faults.wrap
        environment = wrap("environment", self.environment, "observe", "apply", "remove")
        router = wrap("router", self.router, "observe", "apply", "remove")
        self.adapters = Adapters(
            wrap("artefact", self.artefact, "observe", "apply"),
            Seldom(environment, self.clock) if self.seldom else environment,
            Seldom(router, self.clock) if self.seldom else router,
            wrap("analyser", self.analyser, "measure"),
            {"smoke": wrap("check", self.check, "ask", "withdraw")},
            self.watches,
            {name: wrap("gate", gate, "ask", "withdraw") for name, gate in self.gates.items()},
        )
        self.sound_adapters = Adapters(
            self.artefact, self.environment, self.router, self.analyser, {"smoke": self.check}, self.watches, self.gates
        )
        self.told = Service()
        self.engines = 0
        self.rivals = 0
        self.pending: list[tuple[Callable[[Stage], bool], Callable[[], None]]] = []
        self.engine = self.new_engine()

    # --- engines ----------------------------------------------------------------------------------------------

    def new_engine(self) -> Reconciler:
        self.engines += 1
        self.owner = Owner(f"engine-{self.engines}", f"engine {self.engines}")
        journal = self.faults.wrap("journal", self.journal, "append", "claim", journal=True)
        more = {"deciding": self.deciding} if self.deciding else {}
        return Reconciler("shop", journal, Keeper(journal, self.owner), lambda _: self.adapters, self.clock, **more)

    def rival(self) -> None:
        """Another engine takes the lease by force, acts not at all, and dies."""
        self.rivals += 1
        owner = Owner(f"rival-{self.rivals}", "a rival")
        self.journal.claim(owner, 10.0, force=True)
        if self.dead_is_known:
            self.dead.add(owner.identity)

    def stall(self) -> None:
        """The engine is frozen; another takes over when the lease expires, works for 15 s, and dies."""
        self.rivals += 1
        owner, lead = Owner(f"successor-{self.rivals}", "a successor"), self.engine
        self.clock.sleep(11.0)
        self.engine = Reconciler(
            "shop", self.journal, Keeper(self.journal, owner), lambda _: self.sound_adapters, self.clock
        )
        self.run(15.0)
        self.engine = lead
        self.dead.add(owner.identity)

    def turn(self) -> float:
        try:
            pause = self.engine.step()
        except Crash:
            if self.dead_is_known:
                self.dead.add(self.owner.identity)
            self.engine = self.new_engine()
            pause = 0.3
        for entry in self.pending[:]:
            when, then = entry
            if when(self):
                self.pending.remove(entry)
                then()
        self._promises()
        return pause

    def run(self, seconds: float, until: Callable[[Stage], bool] = lambda _: False, turns: int = 20000) -> bool:
        """Let the engine work for so long on the fake clock, or until something is so."""
        end, busy = self.clock.now() + seconds, 0
        for _ in range(turns):
            if until(self):
                return True
            if self.clock.now() >= end:
                return False
            pause = self.turn()
            busy = busy + 1 if pause <= 0 else 0
            assert busy < 60, f"the engine spins: {self.engine.decision}"
            self.clock.sleep(min(pause, max(0.0, end - self.clock.now())))
        raise AssertionError(f"{turns} turns in {seconds} s: {self.engine.decision}")

    def until_ended(self, seconds: float = 400.0) -> Release:
        """Until the latest release has ended; `AssertionError` if it never does."""
        self.run(seconds, lambda stage: (r := stage.service.release) is not None and not r.running)
        release = self.service.release
        assert release is not None
        assert not release.running, f"{release.phase} has no end: {self.engine.decision}\n{self.story()}"
        return release

    def waiting(self) -> str:
        """The gate that waits for a person; "" for none."""
        release = self.service.running
        gate = release.asking if release is not None else None
        known = release is not None and gate is not None and release.judgement(gate.subject) is not None
        return gate.name if gate is not None and gate.people and known else ""

    # --- the operator -----------------------------------------------------------------------------------------

    @property
    def service(self) -> Service:
        """What the journal says now."""
        if not self.journal.broken:
            self.told = replay(self.journal.read(self.told.seq), self.told)
        return self.told

    def request(self, verb: str, **details: Any) -> Answer:
        """What a command does: consider, and write what is allowed."""
        service = self.service
        answer = consider(service, Command(verb, "ann", details=details), self.clock.now())
        if isinstance(answer, Allowed):
            self.journal.append([answer.record], expected=service.seq)
            self._promises()
        return answer

    def deploy(self, version: str, **plan: Any) -> Answer:
        document = {**self.plan.document(), **plan}
        return self.request("deploy", version=version, plan=document, definition={"v": version})

    def established(self, version: str = "1.0") -> None:
        """A version is live and all is calm; no fault was injected, and counting begins now."""
        plan, self.faults.plan = self.faults.plan, {}
        self.deploy(version, bake=0.0, gates=())
        assert self.until_ended().phase is Phase.SUCCEEDED, self.story()
        self.run(self.lag + 6.0)
        assert self.serves() == version, self.story()
        self.faults.boundaries.clear()
        self.faults.plan = plan

    def when(self, condition: Callable[[Stage], bool], then: Callable[[], None]) -> None:
        """Once, after the turn in which this became so."""
        self.pending.append((condition, then))

    def in_phase(self, phase: Phase, version: str | None = None) -> Callable[[Stage], bool]:
        def check(stage: Stage) -> bool:
            release = stage.engine.service.release
            return release is not None and release.phase is phase and version in (None, release.version)

        return check

    # --- what is asserted -------------------------------------------------------------------------------------

    def _promises(self) -> None:
        """What the journal told a person, the referee holds us to."""
        self.world.promises.clear()
        service = self.service
        warm = service.warm
        if warm is not None and service.running is None and not service.down:
            self.world.promise(warm.deployed.colour, warm.until)

    def serves(self) -> str:
        """The version that all users get, by the referee's own sight; "" if it is not one."""
        self.world.settle()
        live = self.world.plane.live
        if live is None or self.world.plane.coming:
            return ""
        colour = next((c for c in Colour if live.split.of(c) == 100), None)
        group = self.world.groups[colour] if colour else None
        if colour is None or group is None or not group.healthy(self.clock.now()):
            return ""
        return group.spec.version if set(live.backend(colour).endpoints) & set(group.endpoints) else ""

    def assert_sound(self, lost: float = 0.0) -> None:
        """Nothing that must never be has been; the journal replays; its record of who is live agrees with the world."""
        self.world.settle()
        assert not self.world.violations, f"{self.world.violations}\n{self.story()}"
        assert self.world.lost <= lost + 1e-6, f"{self.world.lost:.0f} requests were lost\n{self.story()}"
        entries = self.journal.read()
        folded = replay(entries)
        assert folded == replay(entries[len(entries) // 2 :], replay(entries[: len(entries) // 2]))
        active = folded.active.version if folded.active else ""
        if not folded.drift and not folded.down:
            assert active == self.serves(), f"the record says {active!r}, users get {self.serves()!r}\n{self.story()}"
        self._assert_keys(entries)

    def _assert_keys(self, entries: Any) -> None:
        """A result has an intent before it; between the two, only that intent's engine may have died."""
        begun: set[str] = set()
        for entry in entries:
            match entry.record:
                case Started(key=key):
                    begun.add(key)
                case Finished(key=key):
                    assert key in begun, f"{key} finished and never began\n{self.story()}"

    def story(self) -> str:
        """Journal and world side by side, for whoever has to find out."""
        start = self.clock.started
        lines = [(e.at - start, f"#{e.seq} {_line(e)}") for e in self.journal.read()]
        lines += [(at, f"      ~ {text}") for at, text in self.world.audit]
        lines.sort(key=lambda line: line[0])
        tail = [f"{at:8.2f} {text}" for at, text in lines][-120:]
        return "\n".join([*tail, f"faults: {self.faults.hit}", f"now {self.clock.elapsed:.2f}: {self.engine.decision}"])


def _line(entry: Entry) -> str:
    match entry.record:
        case Requested(command=command):
            return f"REQUESTED {command}"
        case Moved(to=to, why=why, step=step):
            return f"MOVED {to} {step}: {why}"
        case Started(key=key):
            return f"started {key}"
        case Finished(key=key, outcome=outcome, detail=detail):
            return f"finished {key} {outcome} {detail}"
        case Judged(subject=subject, verdict=verdict, reason=reason):
            return f"judged {subject} {verdict}: {reason}"


def findings(*verdicts: str) -> list[Finding]:
    from greenroom.domain.model import Verdict

    return [Finding(Verdict(v), f"answer {n}", 1.0, {"n": n}) for n, v in enumerate(verdicts)]


__all__ = ["PLAN", "STEPS", "Crash", "Fault", "Faults", "Stage", "findings"]
