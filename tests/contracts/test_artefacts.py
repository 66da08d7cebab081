"""The artefacts keep the contract; and what is the own of a copied and prepared folder."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from greenroom.adapters.artefacts.process import ProcessArtefact
from greenroom.adapters.process.settings import of_definition
from greenroom.adapters.shell import Job
from greenroom.domain.model import ArtefactSpec, Making
from greenroom.errors import Permanent
from greenroom.ports import Artefact, Place
from greenroom.testing.clock import FakeClock
from greenroom.testing.contracts.artefact import KEY, ArtefactBench, ArtefactContract, ready
from greenroom.testing.fakes import FakeArtefact
from greenroom.testing.world import Behaviour, FakeWorld
from tests.process_kit import Kit
from tests.rigs import aws_front, docker, static, static_cloud
from tests.rigs.docker import Engine
from tests.rigs.quay import Quay
from tests.rigs.registry import Registry, registry


class FakeBench:
    def __init__(self) -> None:
        self.world = FakeWorld(FakeClock())
        self.world.behaviours["broken"] = Behaviour(build_fails="no luck", builds_in=0.5)
        self.artefact = FakeArtefact(self.world)

    def open(self) -> Artefact:
        return self.artefact

    def spec(self, version: str) -> ArtefactSpec:
        return ArtefactSpec(f"r-{version}", version, {})

    def witness(self, reference: str) -> str:
        return reference

    def change_source(self) -> None:
        """There is none."""

    def wait(self, until: Callable[[], bool], what: str) -> None:
        for _ in range(100):
            if until():
                return
            self.world.clock.sleep(0.1)
        raise AssertionError(what)


class TestFakeArtefact(ArtefactContract):
    @pytest.fixture
    def bench(self) -> ArtefactBench:
        return FakeBench()


class Workshop(Kit):
    """A source folder, and what is made of it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.source = folder / "shop"
        self.source.mkdir()
        self.state = self.source / ".greenroom"
        (self.source / "page.txt").write_text("first")

    @property
    def place(self) -> Place:
        return Place("shop", self.source / "greenroom.yaml", self.state, vault=self.vault)

    def open(self) -> ProcessArtefact:  # type: ignore[override]
        return ProcessArtefact(of_definition(self.spec("1").definition, {}), self.place)

    def spec(self, version: str, **more: Any) -> ArtefactSpec:  # type: ignore[override]
        broken = ["echo no luck; exit 3"] if version == "broken" else []
        more = {"prepare": ["cat page.txt > made.txt", *broken], **more}
        self.vault.kept.setdefault(f"r-{version}", {})
        return ArtefactSpec(f"r-{version}", version, self.definition(**more))

    def witness(self, reference: str) -> str:
        return Path(reference, "made.txt").read_text()

    def change_source(self) -> None:
        (self.source / "page.txt").write_text("second")


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    made = Workshop(tmp_path)
    try:
        yield made
    finally:
        made.end()


@pytest.mark.real
class TestProcessArtefact(ArtefactContract):
    @pytest.fixture
    def bench(self, workshop: Workshop) -> ArtefactBench:  # type: ignore[override]
        return workshop


@pytest.mark.real
class TestStaticArtefact(ArtefactContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> ArtefactBench:
        return static.Press(tmp_path)


@pytest.fixture(scope="module")
def cloud_address() -> Iterator[tuple[str, int]]:
    with pytest.MonkeyPatch.context() as patch, static_cloud.server() as address:
        aws_front.nobody(patch)
        yield address


@pytest.mark.real
@pytest.mark.xdist_group("static_cloud")
class TestStaticCloudArtefact(ArtefactContract):
    @pytest.fixture
    def bench(self, cloud_address: tuple[str, int], tmp_path: Path) -> Iterator[static_cloud.CloudPress]:  # type: ignore[override]
        with static_cloud.cloud(cloud_address) as cloud:
            yield static_cloud.CloudPress(cloud, tmp_path)


class Harbour(Quay):
    """Images come from a registry, where tags can move; `broken` is for a platform that nobody has."""

    def __init__(self, folder: Path, engine: Engine, registry: Registry) -> None:
        super().__init__(folder, engine, registry)
        self.moved = 0
        self.publish_all()
        self.publish("broken", architecture="no luck")

    def publish_all(self) -> None:
        for tag in ("1", "2"):
            self.publish(tag, f"{tag}, moved {self.moved} times")

    def witness(self, reference: str) -> str:
        return self.content(reference)

    def change_source(self) -> None:
        self.moved += 1
        self.publish_all()


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with docker.shared() as made:
        yield made


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registry(tmp_path_factory.mktemp("registry")) as made:
        yield made


@pytest.mark.real
@pytest.mark.xdist_group("docker")
class TestDockerArtefact(ArtefactContract):
    @pytest.fixture
    def bench(self, tmp_path: Path, engine: Engine, shelf: Registry) -> ArtefactBench:  # type: ignore[override]
        return Harbour(tmp_path, engine, shelf)


@pytest.mark.real
def test_what_is_copied_and_what_is_not(workshop: Workshop) -> None:
    source = workshop.source
    for name in ("app/view.py", "app/cache.tmp", ".git/HEAD", "venv/pyvenv.cfg", "venv/bin/python", "data/big.bin"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
    (source / "start").write_text("#!/bin/sh\n")
    (source / "start").chmod(0o755)
    (source / "link").symlink_to("app/view.py")
    (source / "dangling").symlink_to("/nowhere")
    os.mkfifo(source / "pipe")
    spec = workshop.spec("1", exclude=["data", "*.tmp"], prepare=["pwd > where", "echo {version} {release} > filled"])
    artefact = workshop.open()
    artefact.apply(spec, KEY)
    made = Path(ready(workshop, artefact, spec).reference)
    found = {str(path.relative_to(made)) for path in made.rglob("*") if not path.is_dir()}
    assert found == {"app/view.py", "page.txt", "start", "link", "dangling", "where", "filled"}
    assert (made / "where").read_text().strip() == str(made), "prepared where it will run: venvs hold absolute paths"
    assert (made / "filled").read_text() == "1 r-1\n"
    assert os.access(made / "start", os.X_OK)
    assert os.readlink(made / "link") == "app/view.py"


@pytest.mark.real
def test_what_was_killed_in_the_middle_is_begun_anew_elsewhere(workshop: Workshop) -> None:
    gate = workshop.folder / "gate"
    wait = f"echo begun; while [ ! -e {gate} ]; do sleep 0.05; done; cat page.txt > made.txt"
    spec, artefact = workshop.spec("1", prepare=[wait]), workshop.open()
    artefact.apply(spec, KEY)
    workshop.wait(lambda: artefact.observe(spec).detail == "begun", "it is being prepared, and one sees how far")
    assert artefact.observe(spec).state is Making.MAKING
    who = Job(workshop.state / "artefacts" / "r-1" / "job").found()
    assert who is not None
    os.killpg(who.pid, signal.SIGKILL)
    workshop.wait(lambda: workshop.open().observe(spec).state is Making.ABSENT, "what is half made counts for nothing")
    gate.touch()
    workshop.open().apply(spec, KEY)
    assert ready(workshop, artefact, spec).reference.endswith("/2")


@pytest.mark.real
def test_secrets_reach_prepare_and_nothing_else(workshop: Workshop) -> None:
    spec = workshop.spec(
        "1", env={"TOKEN": "${TOKEN}"}, prepare=['echo "got $TOKEN"; test "$TOKEN" = swordfish; exit 9']
    )
    workshop.vault.pin("r-1", {"TOKEN": "swordfish"})
    artefact = workshop.open()
    artefact.apply(spec, KEY)
    workshop.wait(lambda: artefact.observe(spec).state is Making.FAILED, "it failed")
    assert "got ${TOKEN}" in artefact.observe(spec).detail
    assert artefact.observe(spec).detail.startswith("exit status 9 of: ")
    for path in workshop.state.rglob("*"):
        if path.is_file() and b"swordfish" in path.read_bytes():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    workshop.vault.forget("r-1")
    with pytest.raises(Permanent, match="TOKEN"):
        artefact.apply(spec, KEY)


@pytest.mark.real
def test_ft_16_a_full_disk_is_a_failure_that_says_so(workshop: Workshop) -> None:
    (workshop.source / "big.bin").write_bytes(os.urandom(6_000_000))
    disk = workshop.folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], check=False, capture_output=True
    )
    try:
        if mounted.returncode == 0:
            workshop.state, spec = disk / "state", workshop.spec("1", prepare=[])
        else:  # not allowed here: then the disk is full for `prepare`
            spec = workshop.spec("1", prepare=["cat big.bin > /dev/full"])
        artefact = workshop.open()
        artefact.apply(spec, KEY)
        workshop.wait(lambda: artefact.observe(spec).state is Making.FAILED, "it failed")
        assert "No space left on device" in artefact.observe(spec).detail
        (workshop.source / "big.bin").unlink()
        if mounted.returncode == 0:
            artefact.apply(spec, KEY)
            ready(workshop, artefact, spec)
    finally:
        workshop.end()
        while mounted.returncode == 0 and subprocess.run(["umount", str(disk)], check=False).returncode:
            time.sleep(0.05)
