"""`build:` on a real BuildKit: made once, with its provenance, secrets kept, pushed, and cleared away."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from greenroom.adapters.docker.build import Build
from greenroom.adapters.hosts.local import LocalHost
from greenroom.domain.model import ArtefactSpec, Making
from greenroom.ports import Place
from tests.adapters.test_docker_artefact import MAKER
from tests.rigs import docker
from tests.rigs.docker import TINY, Engine, buildkit
from tests.rigs.quay import KEY, Quay
from tests.rigs.registry import PASSWORD, USER, Registry, registry

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("docker")]
LABEL = "org.opencontainers.image."


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with docker.shared() as made:
        yield made


@pytest.fixture(scope="session")
def vaulted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registry(tmp_path_factory.mktemp("vaulted"), login=True) as made:
        yield made


class Yard(Quay):
    """The source of an image, in a folder beside the file."""

    def __init__(self, folder: Path, engine: Engine, registry: Registry) -> None:
        super().__init__(folder, engine, registry)
        engine.base(TINY)
        self.program = buildkit()
        self.source = folder / "source"
        self.source.mkdir()
        (self.source / "content").write_text("first")
        self.write("COPY content /content")

    def write(self, *lines: str) -> None:
        (self.source / "Dockerfile").write_text("\n".join([f"FROM {TINY}", *lines, ""]))

    def spec(self, version: str, **more: Any) -> ArtefactSpec:
        build = {"context": "source", **more.pop("build", {})}
        return super().spec(version, build=build, **more)

    def log(self, version: str = "1") -> str:
        return (self.folder / ".greenroom" / "artefacts" / f"r-{version}" / "prepare.log").read_text()

    def image(self, reference: str) -> dict[str, Any]:
        found: dict[str, Any] = self.engine.client().api.inspect_image(reference)
        return found


@pytest.fixture
def yard(tmp_path: Path, engine: Engine, vaulted: Registry, monkeypatch: pytest.MonkeyPatch) -> Yard:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "nothing"))
    return Yard(tmp_path, engine, vaulted)


def test_an_image_is_built_once_and_says_where_it_comes_from(yard: Yard) -> None:
    yard.write(
        "ARG GREETING", "ARG PATH_OF", "COPY content /from", "RUN cat /from > /content; echo $GREETING >> /content"
    )
    for words in (
        ["init", "-q"],
        ["remote", "add", "origin", "https://robot:token@git.example/shop.git"],
        ["add", "."],
        ["-c", "user.name=t", "-c", "user.email=t@example", "commit", "-qm", "first"],
    ):
        subprocess.run(["git", "-C", str(yard.source), *words], check=True)
    revision = subprocess.run(
        ["git", "-C", str(yard.source), "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    spec = yard.spec("1", build={"args": {"GREETING": "hello {version}"}})
    made = yard.made(spec)
    assert made.state is Making.READY, made.detail
    assert yard.content(made.reference) == "firsthello 1\n"
    found = yard.image(made.reference)
    assert (found["Id"], found["RepoTags"]) == (made.reference, [f"{yard.repository}:1"])
    labels = found["Config"]["Labels"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", labels.pop(f"{LABEL}created"))
    assert labels == {
        f"{LABEL}version": "1",
        f"{LABEL}revision": revision,
        f"{LABEL}source": "https://git.example/shop.git",
    }
    (yard.source / "content").write_text("second")
    assert yard.made(spec) == made, "what was built is not built again"
    other = yard.made(yard.spec("2", build={"args": {"GREETING": "hello"}}))
    assert yard.content(other.reference) == "secondhello\n"
    assert yard.image(other.reference)["Config"]["Labels"][f"{LABEL}revision"] == f"{revision}-dirty"


def test_secrets_of_a_build_reach_it_and_nothing_else(yard: Yard) -> None:
    yard.write("RUN --mount=type=secret,id=token cp /run/secrets/token /tmp/t && echo got $(cat /tmp/t); exit 3")
    yard.vault.pin("r-1", {"TOKEN": "swordfish"})
    spec = yard.spec("1", build={"secrets": {"token": "${TOKEN}"}, "args": {"UNUSED": "${TOKEN}"}})
    artefact = yard.open()
    artefact.apply(spec, KEY)
    shown: set[bytes] = set()

    def failed() -> bool:
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    shown.add((entry / "cmdline").read_bytes())
                except OSError:
                    continue
        return artefact.observe(spec).state is Making.FAILED

    yard.wait(failed, "it failed")
    status = yard.open().observe(spec)
    assert "exit code: 3" in status.detail.splitlines()[0]
    assert "got ${TOKEN}" in status.detail
    assert any(b"id=token,env=" in command for command in shown)
    assert not any(b"swordfish" in command for command in shown)
    for path in yard.folder.rglob("*"):
        if path.is_file() and b"swordfish" in path.read_bytes():
            assert path.stat().st_mode & 0o077 == 0, path
    yard.write("COPY content /content")
    assert yard.made(spec).state is Making.READY, "what failed may be tried again"


def test_what_is_pushed_is_pinned_to_what_the_registry_has(yard: Yard) -> None:
    login = {"username": USER, "password": PASSWORD}
    assert "wants a login" in yard.refused("1", build={"push": True})
    spec = yard.spec("1", build={"push": True}, login=login)
    begun = yard.log()
    made = yard.made(spec)
    assert made.state is Making.READY, made.detail
    assert made.reference == f"{yard.repository}@{yard.registry.digest(yard.repository.partition('/')[2], '1')}"
    assert yard.log() == begun, "only the push was left to be done"
    yard.forget(f"{yard.repository}:1")
    assert yard.open().observe(spec).state is Making.ABSENT
    assert yard.made(spec) == made
    assert yard.content(made.reference) == "first"


def test_a_build_survives_us_and_is_not_begun_twice(yard: Yard) -> None:
    yard.write("RUN sleep 1", "COPY content /content")
    programs = yard.folder / "bin"
    programs.mkdir()
    (programs / "docker").symlink_to(yard.program)
    spec = yard.spec("1")
    maker = subprocess.Popen(
        [sys.executable, "-c", MAKER, str(yard.folder), "1", json.dumps(spec.definition)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
    )
    try:
        assert maker.stdout is not None
        assert any(b"RUN sleep" in said for said in maker.stdout)
    finally:
        maker.send_signal(signal.SIGKILL)
        maker.wait()
    assert yard.open().observe(spec).state is Making.ABSENT
    made = yard.made(spec)
    assert made.state is Making.READY
    assert yard.log().count("[internal] load build definition") == 1


def test_what_was_built_goes_with_its_release_unless_somebody_uses_it(yard: Yard) -> None:
    one = yard.made(yard.spec("1"))
    two = yard.made(yard.spec("2"))
    user = yard.engine.client().api.create_container(one.reference, ["true"])["Id"]
    yard.engine.client().images.get(one.reference).tag(yard.repository, "2")  # somebody moved it
    artefact = yard.open()
    artefact.remove("r-1", KEY)
    artefact.remove("r-2", KEY)
    assert yard.here(one.reference), "a container uses it"
    assert not yard.here(two.reference)
    assert yard.image(f"{yard.repository}:2")["Id"] == one.reference
    assert not (yard.folder / ".greenroom" / "artefacts" / "r-1").exists()
    assert artefact.observe(yard.spec("1")).state is Making.ABSENT
    yard.engine.discard(user)
    three = yard.made(yard.spec("3"))
    artefact.remove("r-3", KEY)
    assert not yard.here(three.reference)
    artefact.remove("r-3", KEY)  # nothing is there


def test_a_build_that_is_removed_in_the_middle_ends(yard: Yard) -> None:
    yard.write("RUN sleep 30")
    spec = yard.spec("1")
    artefact = yard.open()
    artefact.apply(spec, KEY)
    yard.wait(lambda: "RUN sleep" in artefact.observe(spec).detail, "it is being built")
    artefact.remove("r-1", KEY)
    assert artefact.observe(spec).state is Making.ABSENT
    yard.wait(lambda: not yard.makers(spec), "the thread has ended")
    assert artefact.observe(spec).state is Making.ABSENT


class Other(LocalHost):
    """Another machine; that it has the same engine is all that is not true of it."""

    def __init__(self, name: str) -> None:
        self.name = name


def _there(yard: Yard, name: str) -> Place:
    state = yard.folder / f"state on {name}"
    return Place("shop", yard.folder / "greenroom.yaml", state, vault=yard.vault, host=Other(name))


def test_for_several_hosts_it_is_built_once_on_this_machine_and_brought_to_each(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", yard.engine.url)
    spec = yard.spec("1", build={"push": True}, login={"username": USER, "password": PASSWORD})
    artefacts = [yard.open(_there(yard, name)) for name in ("web1", "web2")]
    for artefact in artefacts:
        artefact.apply(spec, KEY)
    made = [yard.made(spec, artefact) for artefact in artefacts]
    assert {status.state for status in made} == {Making.READY}, made
    assert len({status.reference for status in made}) == 1
    assert yard.log().count("[internal] load build definition") == 1
    for artefact in artefacts:
        artefact.remove("r-1", KEY)
    assert not yard.here(made[0].reference)


def test_what_a_build_needs_is_named(yard: Yard) -> None:
    assert "environment.build.context is not a folder" in yard.refused("1", build={"context": "nowhere"})
    yard.program = "docker-that-is-not-there"
    assert "`build:` needs the program `docker` on this machine" in yard.refused("2")
    made = yard.made(yard.spec("3"), yard.open(_there(yard, "web1")))
    assert "does not come to web1 by itself; write `push: true`" in made.detail


def test_a_docker_without_buildkit_is_told_what_to_install(tmp_path: Path) -> None:
    build = Build(Place("shop", tmp_path / "greenroom.yaml", tmp_path), "r-1")
    build.job.folder.mkdir(parents=True)
    (build.job.folder / "code").write_text("1\n")
    build.log.write_text(
        "ERROR: BuildKit is enabled but the buildx component is missing or broken.\n       Install it\n"
    )
    assert "install docker-buildx-plugin" in build.failure({}).splitlines()[0]
