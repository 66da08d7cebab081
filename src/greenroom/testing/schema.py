"""A migrator over a `FakeWorld`, and the referee of what a database must never live through.

A version that came with migrations needs its expand and its backfill before it gets users' traffic. After a contract no
version from before it may run, or get traffic, ever again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from greenroom.domain.model import Document, Verdict
from greenroom.domain.opinion import Finding
from greenroom.domain.schema import Order, Part, Ruled, SchemaState, Stage, Stand
from greenroom.errors import Temporary
from greenroom.testing.world import COLOURS, FakeWorld


class FakeMigrator:
    """One migration. Each stage takes `asks` answers of `wait`; `refused`: by stage, why it is refused, with `verdict`.

    `judged`: what it says of the statements. `hidden`: migrations that have something out of reach.
    """

    def __init__(self, world: FakeWorld, asks: int = 2) -> None:
        self.world, self.asks = world, asks
        self.refused: dict[Stage, str] = {}
        self.verdict = Verdict.FAIL
        self.judged: Sequence[Ruled] = ()
        self.unreachable = ""
        """Why it cannot judge."""
        self.hidden: Sequence[str] = ()
        self.restored: list[str] = []
        self.foreseen: Sequence[str] = ()
        self.done: dict[Stage, str] = {}
        self.withdrawn: list[Stage] = []
        self.contracting = ""
        """The version for which a contract is at work."""
        self.epoch = 0
        self.going_back = ""
        self.overrides: Mapping[str, str] = {}
        self.pinned: Mapping[str, str] | None = None
        """Both of the last order."""

    def observe(self, service: str) -> SchemaState:
        done = [Part("0001_one", stage, Stand.DONE, version=version) for stage, version in self.done.items()]
        return SchemaState((*done, *(Part(name, Stage.CONTRACT, Stand.SOFT) for name in self.hidden)))

    def problems(self) -> list[str]:
        return []

    def pin(self, release: str) -> Mapping[str, str]:
        self.world.note(f"the migrations of {release} were pinned")
        return {"0001_one": "its checksum"}

    def judge(self, stages: Sequence[Stage], order: Order, *, quick: bool = False) -> Sequence[Ruled]:
        if self.unreachable:
            raise Temporary(self.unreachable)
        return self.judged

    def advance(self, stage: Stage, order: Order, memo: Document | None) -> Finding:
        self.world.settle()
        if order.epoch < self.epoch:
            return Finding(Verdict.FAIL, f"the ledger was told under epoch {self.epoch}; {order.epoch} is older")
        self.epoch, self.overrides, self.pinned = order.epoch, order.overrides, order.pinned
        if reason := self.refused.get(stage):
            return Finding(self.verdict, reason)
        asked = int((memo or {}).get("asked", 0)) + 1
        if stage is Stage.EXPAND and self.contracting:
            self.world.violated(f"expand of {order.version} while the contract for {self.contracting} is at work")
        if self.done.get(stage) != order.version and asked <= self.asks:
            self.contracting = order.version if stage is Stage.CONTRACT else self.contracting
            return Finding(Verdict.WAIT, f"statement {asked} of {self.asks}", 0.2, {"asked": asked})
        self.world.note(f"{stage} of {order.version} is done")
        if stage is Stage.CONTRACT:
            self._contract(order)
        self.done[stage] = order.version
        return Finding(Verdict.PASS, f"{stage} is done", memo={"gone": stage is Stage.CONTRACT})

    def _contract(self, order: Order) -> None:
        """The old goes: nobody who knows it may be there, or come back."""
        self.contracting = ""
        world = self.world
        for colour in COLOURS:
            group = world.groups[colour]
            if group is not None and group.spec.version != order.version:
                world.violated(f"contract for {order.version} while {group.spec.version} runs on {colour}")
        for colour, until in world.promises.items():
            if world.clock.now() < until:
                world.violated(f"contract for {order.version} while {colour} is promised warm")
        world.forbidden = order.gone or world.forbidden

    def withdraw(self, stage: Stage, order: Order, memo: Document | None) -> None:
        self.withdrawn.append(stage)
        self.contracting = "" if stage is Stage.CONTRACT else self.contracting

    def hold(self, order: Order, going_back: bool) -> Finding:
        if going_back and Stage.CONTRACT in self.done:
            return Finding(Verdict.FAIL, f"the contract of 0001_one has run for {self.done[Stage.CONTRACT]}")
        self.going_back = order.release if going_back else ""
        return Finding(Verdict.PASS)

    def foresee(self, order: Order) -> Sequence[str]:
        return [one for one in self.foreseen if not any(name in one for name in order.overrides)]

    def restore(self, order: Order, name: str) -> Finding:
        self.restored.append(name)
        return Finding(Verdict.PASS, f"{name} is in its place again")
