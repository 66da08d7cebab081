"""The gates keep the contract of their port."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from greenroom.adapters.gates.approval import ApprovalGate, ApprovalSettings
from greenroom.adapters.gates.command import CommandGate
from greenroom.adapters.gates.sarif import SarifGate
from greenroom.adapters.gates.sarif_settings import SarifSettings
from greenroom.adapters.gates.window import WindowGate, WindowSettings
from greenroom.domain.model import Colour, Verdict
from greenroom.domain.opinion import Approval, Case
from greenroom.domain.plan import When
from greenroom.ports import Approving, Check, Place
from greenroom.testing.contracts.check import CheckContract

NOON = 1_795_608_000.0
"""Wednesday 2026-11-25, 12:00 UTC."""
CASE = Case(
    "r-7", "2", Colour.GREEN, "", by="alice@ci", approvals=(Approval("bob@ci", NOON),), now=NOON, since=NOON - 60
)


def place(folder: Path) -> Place:
    return Place("shop", folder / "greenroom.yaml", folder / ".greenroom")


class JobBench:
    """The command writes its pid into a file: the witness."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def case(self) -> Case:
        return CASE

    def pids(self) -> list[int]:
        path = self.folder / "pids"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def begun(self) -> int:
        return len(self.pids())

    def running(self) -> int:
        return sum(_alive(pid) for pid in self.pids())


class CommandBench(JobBench):
    def check(self, opinion: Verdict) -> Check:
        code = 0 if opinion is Verdict.PASS else 3
        return self._gate(f"echo $$ >>pids; echo went; exit {code}")

    def endless(self) -> Check:
        return self._gate("echo $$ >>pids; sleep 600 & sleep 600")

    def _gate(self, run: str) -> Check:
        return CommandGate(CommandGate.Settings(name="lint", run=run), place(self.folder))


class SarifBench(JobBench):
    def check(self, opinion: Verdict) -> Check:
        found = [] if opinion is Verdict.PASS else [{"ruleId": "r", "message": {"text": "it is\nwrong"}}]
        report = {"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "tool"}}, "results": found}]}
        (self.folder / "report.json").write_text(json.dumps(report))
        return self._gate("echo $$ >>pids; cp report.json {report}")

    def endless(self) -> Check:
        return self._gate("echo $$ >>pids; sleep 600 & sleep 600 # {report}")

    def _gate(self, run: str) -> Check:
        return SarifGate(SarifSettings.model_validate({"name": "scan", "run": run}), place(self.folder))


class PureBench:
    """A gate that asks nobody: what it is told in the case is all that there is, and who is told is counted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._told = 0

    def endless(self) -> None:
        return None

    def case(self) -> Case:
        self._told += 1
        return CASE

    def begun(self) -> int:
        return self._told

    def running(self) -> int:
        return len(list(self.folder.iterdir()))


class ApprovalBench(PureBench):
    def check(self, opinion: Verdict) -> Check:
        approvers = ["bob"] if opinion is Verdict.PASS else ["carol"]
        values: dict[str, Any] = {"approvers": approvers, "anywhere": True, "timeout": "30s"}
        return ApprovalGate(ApprovalSettings.model_validate(values), place(self.folder))


class WindowBench(PureBench):
    def check(self, opinion: Verdict) -> Check:
        hours = "Mon-Fri 09:00-16:00" if opinion is Verdict.PASS else "Mon-Fri 13:00-16:00"
        return WindowGate(WindowSettings(open=[hours]), place(self.folder))


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.real
class TestCommandGate(CheckContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> CommandBench:
        return CommandBench(tmp_path)


@pytest.mark.real
class TestSarifGate(CheckContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> SarifBench:
        return SarifBench(tmp_path)


class TestApprovalGate(CheckContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> ApprovalBench:
        return ApprovalBench(tmp_path)


class TestWindowGate(CheckContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> WindowBench:
        return WindowBench(tmp_path)


def test_which_stages_ask_them() -> None:
    stages = {gate: gate.WHEN for gate in (CommandGate, SarifGate, ApprovalGate, WindowGate)}
    assert stages[CommandGate] == stages[SarifGate] == (When.SOURCE, When.ARTEFACT, When.APPROVE, When.BAKE)
    assert stages[ApprovalGate][0] is When.APPROVE
    assert stages[WindowGate] == (When.SOURCE, When.APPROVE)
    assert [gate.PEOPLE for gate in stages] == [False, False, True, False]
    assert [gate.OVERRIDE for gate in stages] == [False, False, False, True]


def test_only_what_people_answer_has_objections(tmp_path: Path) -> None:
    gates = [ApprovalBench(tmp_path).check(Verdict.PASS), WindowBench(tmp_path).check(Verdict.PASS)]
    assert [isinstance(gate, Approving) for gate in gates] == [True, False]
