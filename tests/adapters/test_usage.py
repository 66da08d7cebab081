"""What environments say their processes use, against processes whose use is known."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from greenroom.adapters.docker.usage import usage as of_stats
from greenroom.adapters.gauges import UsageSource
from greenroom.adapters.process.usage import usage
from greenroom.adapters.several.environment import SeveralEnvironments
from greenroom.domain.model import Colour, Role
from greenroom.errors import Temporary
from greenroom.ports import About, Capability, Consuming, Usage
from greenroom.testing.contracts.environment import brought
from tests import docker_kit, process_kit
from tests.rigs import docker

pytestmark = pytest.mark.real

BLUE, GREEN = Colour.BLUE, Colour.GREEN
MB = 1_000_000
BURNER = """
import os, sys, time
held = bytearray(os.urandom(1)) * 60_000_000
for i in range(0, len(held), 4096): held[i] = 1
if os.fork() == 0:
    end = time.process_time() + 0.4
    while time.process_time() < end: pass
    os._exit(0)
os.wait()
end = time.process_time() + 0.4
while time.process_time() < end: pass
if os.fork():
    os.write(1, b"ready\\n")
time.sleep(600)
"""


@pytest.fixture
def burner() -> Iterator[subprocess.Popen[bytes]]:
    """Has used 0.8 s, half of it in a child that has ended; holds 60 MB, which a living child shares."""
    process = subprocess.Popen([sys.executable, "-c", BURNER], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    yield process
    os.killpg(process.pid, 9)
    process.wait()
    process.stdout.close()


def test_a_group_is_counted_with_children_that_live_and_that_have_ended(burner: subprocess.Popen[bytes]) -> None:
    used = usage([burner.pid])
    assert used is not None
    assert 0.75 <= used.cpu_seconds < 3
    assert used.replicas == 1
    assert 60 * MB <= used.memory < 110 * MB, "what parent and child share is counted once"
    again = usage([burner.pid, burner.pid])
    assert again is not None
    assert again.cpu_seconds >= used.cpu_seconds
    assert again.replicas == 1


def test_who_is_not_there_uses_nothing(burner: subprocess.Popen[bytes]) -> None:
    assert usage([]) is None
    assert usage([2**22 + 1]) is None
    alone, other = usage([burner.pid]), usage([burner.pid, 2**22 + 1])
    assert alone is not None
    assert other is not None
    assert other.replicas == 1


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[process_kit.Kit]:
    with process_kit.kit(tmp_path) as made:
        yield made


class Two:
    """An environment of which only the use is asked."""

    capabilities = frozenset({Capability.USAGE})

    def __init__(self, answer: Callable[[], Usage | None]) -> None:
        self._answer = answer

    def usage(self, colour: Colour) -> Usage | None:
        return self._answer()


def several(**answers: Callable[[], Usage | None]) -> SeveralEnvironments:
    members: Mapping[str, Two] = {name: Two(answer) for name, answer in answers.items()}
    return SeveralEnvironments(members)  # type: ignore[arg-type]


def test_several_hosts_are_summed_and_one_that_cannot_be_asked_hides_all() -> None:
    def gone() -> Usage | None:
        raise Temporary("the connection was lost")

    both = several(a=lambda: Usage(1.0, 10.0, 1), b=lambda: Usage(2.0, 30.0, 2), c=lambda: None)
    assert Capability.USAGE in both.capabilities
    assert both.usage(BLUE) == Usage(3.0, 40.0, 3)
    assert several(a=lambda: None).usage(BLUE) is None
    with pytest.raises(Temporary, match="the connection was lost"):
        several(a=lambda: Usage(1.0, 10.0), b=gone).usage(BLUE)


def test_dockers_numbers_are_read_on_both_kinds_of_cgroups() -> None:
    second = {"cpu_stats": {"cpu_usage": {"total_usage": 2_500_000_000}}}
    new = {**second, "memory_stats": {"usage": 100, "stats": {"inactive_file": 40}}}
    old = {**second, "memory_stats": {"usage": 100, "stats": {"total_inactive_file": 30}}}
    ended = {"cpu_stats": {"cpu_usage": {"total_usage": 0}}, "memory_stats": {}}
    assert of_stats([new, ended, old]) == Usage(5.0, 130.0, 2)
    assert of_stats([ended]) is None


def test_the_environment_process_tells_of_each_colour(processes: process_kit.Kit) -> None:
    environment = processes.open()
    assert isinstance(environment, Consuming)
    assert environment.usage(BLUE) is None
    brought(processes, environment, BLUE, processes.spec("1", Role.IDLE))
    used = environment.usage(BLUE)
    assert used is not None
    assert used.memory > MB
    assert used.cpu_seconds > 0
    assert environment.usage(GREEN) is None
    source, about = UsageSource(environment), About("shop", BLUE, "1", "r-1", 30.0, "memory")
    assert source.value(about) == pytest.approx(used.memory / used.replicas, rel=0.5)


@pytest.mark.xdist_group("docker")
def test_the_environment_docker_tells_of_each_colour(tmp_path: Path) -> None:
    with docker.shared() as engine:
        kit = docker_kit.Kit(engine, tmp_path)
        try:
            environment = kit.open()
            assert isinstance(environment, Consuming)
            assert environment.usage(BLUE) is None
            brought(kit, environment, BLUE, kit.spec("1", Role.IDLE, web={"replicas": 2}, worker=None))
            used = environment.usage(BLUE)
            assert used is not None
            assert used.replicas == 2
            assert used.memory > MB
            assert used.cpu_seconds > 0
            assert environment.usage(GREEN) is None
        finally:
            kit.end()
