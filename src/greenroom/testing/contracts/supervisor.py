"""What every supervisor promises, as tests: subclass `SupervisorContract` and give it a `bench`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Protocol

import pytest

from greenroom.ports import Life, Program, ProgramStatus, Supervisor


class SupervisorBench(Protocol):
    """What the contract needs to know of a supervisor beside its port. The witness goes round it."""

    def open(self) -> Supervisor:
        """The same supervisor, as another process would reach it."""

    def program(self, name: str, text: str = "", *, keep: bool = False) -> Program:
        """One that appends `text` and the value of SECRET to its output when it starts, and at SIGTERM `bye`, and ends.

        It starts a child of its own in its process group, which ignores SIGTERM.
        """

    def stubborn(self, name: str) -> Program:
        """The same, but ignoring its stop signal, with a short timeout."""

    def missing(self, name: str) -> tuple[Program, Callable[[], None]]:
        """One whose command does not exist, and what makes it exist."""

    def alive(self, name: str) -> frozenset[int]:
        """The pids of this program's own processes in the world, without the child's."""

    def children(self, name: str) -> frozenset[int]:
        """The pids of the children."""

    def kill(self, pid: int) -> None:
        """SIGKILL."""

    def kill_supervisor(self) -> None: ...

    def wait(self, until: Callable[[], bool], what: str) -> None:
        """Fails, saying `what`, if it does not hold within a generous time."""


class SupervisorContract:
    """A subclass gives a fixture `bench` that returns a `SupervisorBench`, fresh for each test."""

    @pytest.fixture
    def bench(self) -> SupervisorBench:
        raise NotImplementedError("a subclass gives the bench")

    @pytest.fixture
    def supervisor(self, bench: SupervisorBench) -> Supervisor:
        return bench.open()

    def test_a_program_runs_as_it_was_told(self, bench: SupervisorBench, supervisor: Supervisor) -> None:
        assert supervisor.observe() == {}
        supervisor.remove("web")  # nothing is there
        program = replace(bench.program("web", "one"), secrets={"SECRET": "s3cret"}, labels={"colour": "blue"})
        supervisor.apply(program)
        status = running(bench, supervisor, "web")
        assert bench.alive("web") == {status.pid}
        assert status.program.labels == {"colour": "blue"}
        bench.wait(lambda: "one s3cret" in text(program.output), "its output is kept")
        assert bench.open().observe()["web"].pid == status.pid

    def test_the_same_again_is_nothing_and_a_change_is_a_restart(
        self, bench: SupervisorBench, supervisor: Supervisor
    ) -> None:
        program = bench.program("web", "one")
        supervisor.apply(program)
        first = running(bench, supervisor, "web")
        bench.open().apply(program)
        assert bench.alive("web") == {first.pid}
        changed = replace(bench.program("web", "two"), secrets={"SECRET": "other"})
        supervisor.apply(changed)
        bench.wait(lambda: "two other" in text(program.output), "the new one has started")
        assert "bye" in text(program.output)
        status = running(bench, supervisor, "web")
        assert status.restarts == 0
        assert bench.alive("web") == {status.pid}

    def test_what_ends_is_started_again_and_counted(self, bench: SupervisorBench, supervisor: Supervisor) -> None:
        supervisor.apply(bench.program("web"))
        first = running(bench, supervisor, "web")
        child = bench.children("web")
        bench.kill(first.pid)
        bench.wait(lambda: bool(bench.alive("web")) and bench.alive("web") != {first.pid}, "it was started again")
        assert running(bench, supervisor, "web").restarts == 1
        assert not bench.children("web") & child, "what the dead one left behind may hold its port"

    def test_what_is_removed_ends_gracefully_with_its_whole_group(
        self, bench: SupervisorBench, supervisor: Supervisor
    ) -> None:
        program = bench.program("web")
        supervisor.apply(program)
        running(bench, supervisor, "web")
        supervisor.remove("web")
        gone(bench, supervisor, "web")
        assert "bye" in text(program.output)

    def test_what_ignores_its_signal_is_killed(self, bench: SupervisorBench, supervisor: Supervisor) -> None:
        supervisor.apply(bench.stubborn("web"))
        running(bench, supervisor, "web")
        supervisor.remove("web")
        supervisor.remove("web")
        gone(bench, supervisor, "web")

    def test_what_cannot_start_says_why_and_starts_when_it_can(
        self, bench: SupervisorBench, supervisor: Supervisor
    ) -> None:
        program, create = bench.missing("web")
        supervisor.apply(program)
        bench.wait(lambda: supervisor.observe()["web"].life is Life.FAILED, "it is said to have failed")
        assert program.command[0].lstrip("./") in supervisor.observe()["web"].detail
        assert program.command[0].lstrip("./") in text(program.output)
        create()
        running(bench, supervisor, "web")

    def test_several_at_once_agree(self, bench: SupervisorBench) -> None:
        program, errors = bench.program("web"), []

        def apply() -> None:
            try:
                bench.open().apply(program)
            except Exception as error:
                errors.append(error)

        threads = [Thread(target=apply) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors
        status = running(bench, bench.open(), "web")
        assert status.restarts == 0
        assert bench.alive("web") == {status.pid}

    def test_orphans_are_known_and_can_be_removed(self, bench: SupervisorBench, supervisor: Supervisor) -> None:
        for name in ("web", "other"):
            supervisor.apply(bench.program(name))
        pids = {name: running(bench, supervisor, name).pid for name in ("web", "other")}
        bench.kill_supervisor()
        seen = bench.open().observe()
        assert {name: (s.life, s.pid) for name, s in seen.items()} == {n: (Life.ORPHAN, pids[n]) for n in pids}
        supervisor.apply(bench.program("new"))
        running(bench, supervisor, "new")
        assert supervisor.observe()["web"].life is Life.ORPHAN
        assert bench.alive("web") == {pids["web"]}
        supervisor.remove("web")
        gone(bench, supervisor, "web")
        assert bench.alive("other") == {pids["other"]}

    def test_what_is_kept_is_guarded_after_the_death_of_the_supervisor_and_never_doubled(
        self, bench: SupervisorBench, supervisor: Supervisor
    ) -> None:
        kept, plain = bench.program("router", keep=True), bench.program("web")
        supervisor.apply(kept)
        supervisor.apply(plain)
        first = running(bench, supervisor, "router")
        running(bench, supervisor, "web")
        for _ in range(2):  # the guard of the first round is an orphan itself in the second
            bench.kill_supervisor()
            assert supervisor.observe()["router"].life is Life.ORPHAN
            supervisor.apply(kept)
            assert running(bench, supervisor, "router").pid == first.pid
        assert supervisor.observe()["web"].life is Life.ORPHAN
        assert bench.alive("router") == {first.pid}
        bench.kill(first.pid)
        bench.wait(lambda: bool(bench.alive("router") - {first.pid}), "its own was started")
        status = running(bench, supervisor, "router")
        assert bench.alive("router") == {status.pid}
        supervisor.remove("router")
        gone(bench, supervisor, "router")

    def test_a_guarded_orphan_can_be_removed_and_replaced(self, bench: SupervisorBench, supervisor: Supervisor) -> None:
        supervisor.apply(bench.program("router", "old", keep=True))
        first = running(bench, supervisor, "router")
        bench.kill_supervisor()
        supervisor.apply(bench.program("router", "new", keep=True))
        bench.wait(lambda: bool(bench.alive("router") - {first.pid}), "the new one has replaced the orphan")
        second = running(bench, supervisor, "router")
        assert bench.alive("router") == {second.pid}
        bench.kill_supervisor()
        supervisor.apply(bench.program("router", "new", keep=True))
        assert running(bench, supervisor, "router").pid == second.pid
        supervisor.remove("router")
        gone(bench, supervisor, "router")


def text(path: Path | None) -> str:
    return path.read_text() if path and path.exists() else ""


def running(bench: SupervisorBench, supervisor: Supervisor, name: str) -> ProgramStatus:
    """Wait until it runs, with its child."""
    found: list[ProgramStatus] = []

    def runs() -> bool:
        found[:] = [supervisor.observe()[name]]
        return found[0].life is Life.RUNNING and bool(bench.children(name))

    bench.wait(runs, f"{name} runs")
    return found[0]


def gone(bench: SupervisorBench, supervisor: Supervisor, name: str) -> None:
    bench.wait(lambda: name not in supervisor.observe(), f"{name} is forgotten")
    assert not bench.alive(name)
    assert not bench.children(name)
