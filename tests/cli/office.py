"""A service in a fake world, with a real engine and a real journal in memory, and the command line in front of it.

Time is the fake clock's: while a command sleeps, the engine works.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from greenroom.adapters.gates.schema import SchemaGate
from greenroom.cli.app import run
from greenroom.cli.context import Tools
from greenroom.config.schema import Allow
from greenroom.control import Accepted, ControlPlane
from greenroom.domain.commands import Command
from greenroom.domain.observation import Seen
from greenroom.domain.plan import Plan, Step
from greenroom.domain.release import Service
from greenroom.domain.schema import Order, Stage
from greenroom.domain.status import status_document
from greenroom.engine.fanout import Inline
from greenroom.engine.lease import Keeper
from greenroom.engine.look import Looker
from greenroom.engine.reconciler import Reconciler
from greenroom.engine.recorder import MEASUREMENTS, FileRecorder
from greenroom.engine.world import Adapters
from greenroom.ports import Owner
from greenroom.standing import order_of
from greenroom.testing.clock import FakeClock
from greenroom.testing.fakes import FakeAnalyser, FakeArtefact, FakeCheck, FakeEnvironment, FakeRouter
from greenroom.testing.memory import MemoryJournal
from greenroom.testing.schema import FakeMigrator
from greenroom.testing.world import FakeWorld

PLAN = Plan(bake=3.0, keep_warm=3600.0, drain=2.0, ready_within=20.0, checks=("smoke",))


@dataclass
class Result:
    code: int
    out: str
    err: str


class Office:
    """`awake`: an engine answers and works. `meanwhile`: called once in every sleep of a command. `records`: what is
    measured is kept.
    """

    name = "shop"

    def __init__(self, folder: Path, capture: Callable[[], Any], plan: Plan = PLAN, *, records: bool = False) -> None:
        self.file, self.state = folder / "greenroom.yaml", folder / ".greenroom"
        self.file.write_text("service: shop\n")
        self.state.mkdir()
        self.plan, self.capture, self.awake, self.woken = plan, capture, True, 0
        self.preflight: list[str] = []
        self.risks: list[str] = []
        self.allow: list[Allow] = []
        self.doing = "working"
        self.document: dict[str, Any] = {"service": "shop"}
        self.objects = ""
        self.meanwhile: Callable[[], None] = lambda: None
        self.clock = FakeClock()
        self.world = FakeWorld(self.clock, worker=False, drain=plan.drain)
        self.journal = MemoryJournal(self.clock)
        self.control = ControlPlane(self.journal)
        self.check = FakeCheck("smoke")
        environment, router = FakeEnvironment(self.world), FakeRouter(self.world)
        checks = {"smoke": self.check}
        self.schema = FakeMigrator(self.world) if plan.migrates else None
        gates = {str(stage): SchemaGate(self.schema, stage, self.name) for stage in Stage} if self.schema else {}
        analyser = FakeAnalyser(self.world)
        self.adapters = Adapters(FakeArtefact(self.world), environment, router, analyser, checks, gates=gates)
        keeper = Keeper(self.journal, Owner("e", "engine pid 7"))
        recorder = FileRecorder(self.state / MEASUREMENTS) if records else None
        self.engine = Reconciler(self.name, self.journal, keeper, self.adapters_for, self.clock, recorder=recorder)
        self.supervisor = SimpleNamespace(observe=dict)

    # --- what the command line needs of an installation

    @property
    def loaded(self) -> Any:
        parity = SimpleNamespace(allow=self.allow)
        return SimpleNamespace(plan=self.plan, document=self.document, parity=parity)

    here = True
    adopts = True

    def adopt(self, version: str, taken: Any, why: str = "") -> Accepted:
        (self.state / "journal.db").touch()
        plan = replace(self.plan, checks=(), bake=0.0, keep=True).document()
        details = {"version": version, "plan": plan, "definition": {"adopt": taken}, "adopt": taken}
        return self.control.ask(Command("adopt", self.by(), why, details))

    @property
    def begun(self) -> bool:
        return (self.state / "journal.db").exists()

    def close(self) -> None:
        """Nothing of its own."""

    def by(self) -> str:
        return "ann@shop"

    def owner(self, text: str = "") -> Owner:
        return Owner("ann", text or "ann@shop pid 8")

    def groups(self) -> tuple[str, ...]:
        return ("staff",)

    def objection(self) -> str:
        return self.objects

    def gates(self) -> dict[str, bool]:
        return {gate.name: not gate.people for gate in self.plan.gates}

    def deploy(self, version: str, why: str = "", *, keep: bool = False, overrides: Sequence[str] = ()) -> Accepted:
        plan = replace(self.plan, keep=keep)
        return self._begin("deploy", version, why, plan, overrides=dict.fromkeys(overrides, why))

    def rehearse(self, version: str, why: str = "") -> Accepted:
        plan = replace(self.plan, steps=(Step(1, 5.0), Step(100)), gates=(), rehearsal=True)
        return self._begin("rehearse", version, why, plan)

    def _begin(self, verb: str, version: str, why: str, plan: Plan, **more: Any) -> Accepted:
        (self.state / "journal.db").touch()
        details = {"version": version, "plan": plan.document(), "definition": dict(self.document), **more}
        return self.control.ask(Command(verb, self.by(), why, details))

    def request(self, verb: str, why: str = "", **details: Any) -> Accepted:
        return self.control.ask(Command(verb, self.by(), why, details))

    def order(self) -> Order:
        return order_of(self.name, self.control.state(), self.by(), self.control.now())

    def migrator(self) -> FakeMigrator | None:
        return self.schema

    def ensure_engine(self) -> None:
        self.woken, self.awake = self.woken + 1, True

    def shutdown(self) -> None:
        self.awake = False

    def adapters_for(self, _service: Service) -> Adapters:
        return self.adapters

    def seen(self) -> tuple[Seen | None, list[str]]:
        return Looker(Inline(), Inline(), self.clock).see(self.control.state(), self.adapters, self.clock.now()), []

    def problems(self) -> list[str]:
        return self.preflight

    def prepare(self) -> dict[str, list[str]]:
        return {}

    def hazards(self) -> list[str]:
        return self.risks

    def conceal(self, text: str) -> str:
        return text.replace("hunter2", "${PASSWORD}")

    # --- the world behind it

    def enquire(self, _state: Path) -> dict[str, Any] | None:
        if not self.awake:
            return None
        service = self.control.state()
        document = status_document(self.name, service, self.seen()[0], self.clock.now(), lock=None, problems=[])
        return {"status": document, "rates": None, "engine": {"pid": 7, "doing": self.doing}}

    def now(self) -> float:
        return self.clock.now()

    def sleep(self, seconds: float) -> None:
        """`ports.Clock` for the command line: the engine works meanwhile."""
        self.meanwhile()
        end = self.clock.now() + seconds
        while self.clock.now() < end:
            pause = self.engine.step() if self.awake else seconds
            self.clock.sleep(min(pause, end - self.clock.now()))

    def type(self, *words: str) -> Result:
        """One command, as typed."""
        tools = Tools(lambda *_: self, lambda *_: self, self.enquire, self)  # type: ignore[arg-type, return-value]
        self.capture()
        code = run([*words, "--file", str(self.file)], tools)
        told = self.capture()
        return Result(code, told.out, told.err)
