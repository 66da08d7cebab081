"""The artefact `docker` on a real engine with a real registry: pins, pulls, logins, platforms, and what goes wrong."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from greenroom.adapters.docker.pins import Pin, Pins
from greenroom.adapters.hosts.local import LocalHost
from greenroom.domain.model import ArtefactSpec, Making
from greenroom.errors import Permanent, Temporary
from greenroom.ports import Place, Ran
from tests.rigs import docker
from tests.rigs.docker import TINY, Engine
from tests.rigs.quay import KEY, Quay
from tests.rigs.registry import PASSWORD, USER, Line, Registry, registry

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("docker")]

MAKER = """
import json, sys, time
from pathlib import Path
from greenroom.adapters.artefacts.docker import DockerArtefact
from greenroom.adapters.docker.settings import of_definition
from greenroom.domain.model import ArtefactSpec
from greenroom.ports import ActionKey, Place
folder, version, definition = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
artefact = DockerArtefact(of_definition(definition, {}), Place("shop", folder / "greenroom.yaml", folder / ".greenroom"))
spec = ArtefactSpec("r-" + version, version, definition)
artefact.apply(spec, ActionKey("r-1", "build", 0, "make", "r-1", 0))
while True:
    print(artefact.observe(spec).detail, flush=True)
    time.sleep(0.02)
"""


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with docker.shared() as made:
        yield made


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registry(tmp_path_factory.mktemp("registry")) as made:
        yield made


@pytest.fixture(scope="session")
def vaulted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registry(tmp_path_factory.mktemp("vaulted"), login=True) as made:
        yield made


@pytest.fixture
def quay(tmp_path: Path, engine: Engine, shelf: Registry, monkeypatch: pytest.MonkeyPatch) -> Quay:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "nothing"))
    return Quay(tmp_path, engine, shelf)


# --- pinned once


def test_what_was_pinned_serves_and_comes_back_even_if_the_tag_has_moved(quay: Quay) -> None:
    first = quay.publish("1", "first")
    spec = quay.spec("1")
    made = quay.made(spec)
    assert (made.state, made.reference) == (Making.READY, f"{quay.repository}@{first}")
    second = quay.publish("1", "second")
    assert quay.made(spec) == made
    quay.forget(made.reference)
    gone = quay.open().observe(spec)
    assert (gone.state, gone.reference) == (Making.ABSENT, "")
    assert "is not on this machine" in gone.detail
    assert quay.made(spec) == made
    assert quay.content(made.reference) == "first"
    later = quay.made(replace(spec, release="r-later"))
    assert later.reference == f"{quay.repository}@{second}"
    assert quay.content(later.reference) == "second"


def test_a_crash_in_the_middle_of_a_pull_changes_nothing_of_what_was_pinned(quay: Quay) -> None:
    first = quay.publish("1", size=3_000_000)
    with Line(quay.registry.port, allow=1_000_000) as line:
        spec = quay.spec("1", image=f"{line.address}/{quay.folder.name.lower()}:{{version}}")
        maker = subprocess.Popen(
            [sys.executable, "-c", MAKER, str(quay.folder), "1", json.dumps(spec.definition)], stdout=subprocess.PIPE
        )
        try:
            assert maker.stdout is not None
            for said in maker.stdout:
                if re.search(rb": \d of 2 layers", said) and line.passed > 500_000:
                    break
            assert quay.open().observe(spec).state is Making.ABSENT, "another process has no part in it"
        finally:
            maker.send_signal(signal.SIGKILL)
            maker.wait()
        quay.publish("1", "second")
        assert quay.open().observe(spec).state is Making.ABSENT
        line.let()
        made = quay.made(spec)
        assert (made.state, made.reference.partition("@")[2]) == (Making.READY, first)


def test_of_two_who_pin_the_first_counts_and_an_older_lease_never(tmp_path: Path) -> None:
    pins = Pins(Place("shop", tmp_path / "greenroom.yaml", tmp_path / "state"))
    one, two = Pin("shop:1", "shop@sha256:1", "registry"), Pin("shop:1", "shop@sha256:2", "registry")
    assert pins.read("r-1") is None
    assert pins.keep("r-1", one, 5) == one
    assert pins.keep("r-1", two, 6) == one
    assert pins.read("r-1") == one
    with pytest.raises(Permanent, match="newer lease"):
        pins.keep("r-2", two, 5)
    with pytest.raises(Permanent, match="newer lease"):
        pins.forget("r-1", 5)
    pins.forget("r-1", 6)
    assert pins.read("r-1") is None
    (tmp_path / "state" / "images" / "r-3.json").write_text('{"image": "shop:1"}')
    with pytest.raises(Permanent, match=r"r-3\.json cannot be read"):
        pins.read("r-3")


def test_an_image_of_this_machine_alone_is_pinned_to_its_id(quay: Quay) -> None:
    name = quay.engine.image("local/thing:1", files={"content": b"first"})
    identity = quay.engine.client().images.get(name).id
    for pull in ("missing", "always", "never"):
        spec = replace(quay.spec("1", image="local/thing:{version}", pull=pull), release=f"r-{pull}")
        assert quay.made(spec).reference == identity
    quay.engine.image(name, files={"content": b"second"})
    assert quay.made(spec).reference == identity
    assert quay.content(identity) == "first"
    quay.forget(identity)
    assert "was in no registry" in quay.refused_spec(spec)
    quay.forget(name)


def test_when_the_registry_is_asked(quay: Quay) -> None:
    first = quay.publish("1", "first")
    client = quay.engine.client()
    client.images.pull(f"{quay.repository}:1")  # somebody did this, once
    second = quay.publish_elsewhere("1", "second")
    for pull, digest in (("missing", first), ("never", first), ("always", second)):
        spec = replace(quay.spec("1", pull=pull), release=f"r-{pull}")
        assert quay.made(spec).reference == f"{quay.repository}@{digest}"
    assert quay.made(quay.spec("1", image=f"{quay.repository}@{first}")).reference.endswith(first)
    assert "`pull: never`" in quay.refused("2", pull="never")


def test_looking_asks_no_registry(quay: Quay) -> None:
    quay.publish("1", "first")
    with Line(quay.registry.port) as line:
        spec = quay.spec("1", image=f"{line.address}/{quay.folder.name.lower()}:{{version}}")
        made = quay.made(spec)
        asked = line.connections
    assert asked
    assert quay.open().observe(spec) == made
    quay.open().apply(spec, KEY)
    assert quay.open().observe(spec) == made
    assert "cannot be reached from this machine" in quay.refused_spec(replace(spec, release="r-2", version="2"))


# --- while it goes on


def test_a_pull_says_how_far_it_is(quay: Quay) -> None:
    quay.publish("1", size=3_000_000)
    with Line(quay.registry.port, allow=100_000) as line:
        spec = quay.spec("1", image=f"{line.address}/{quay.folder.name.lower()}:{{version}}")
        artefact = quay.open()
        artefact.apply(spec, KEY)

        def half_way() -> bool:
            line.let(50_000)  # Docker tells of it ten times a second
            return bool(re.fullmatch(r"pulling \S+:1: \d of 2 layers, [12] of 3 MB", artefact.observe(spec).detail))

        quay.wait(half_way, "it says how far it is")
        quay.open().apply(spec, KEY)  # it goes on already
        assert quay.open().observe(spec).state is Making.MAKING
        line.let()
        assert quay.made(spec, artefact).state is Making.READY


def test_a_registry_that_stops_in_the_middle_is_a_failure_and_not_for_ever(quay: Quay) -> None:
    quay.publish("1", size=3_000_000)
    quay.stalled = 1.0
    with Line(quay.registry.port, allow=0) as line:
        spec = quay.spec("1", image=f"{line.address}/{quay.folder.name.lower()}:{{version}}")
        assert "cannot be reached from this machine: nothing came for 1 s" in quay.refused_spec(spec)
    with Line(quay.registry.port, allow=1_000_000) as line:
        spec = quay.spec("1", image=f"{line.address}/{quay.folder.name.lower()}:{{version}}")
        assert f"the registry {line.address} cannot be reached" in quay.refused_spec(spec)
        quay.stalled = 20.0
        line.let()
        assert quay.made(spec).state is Making.READY


def test_what_is_removed_in_the_middle_leaves_nothing_behind(quay: Quay) -> None:
    quay.publish("1", "first")
    with Line(quay.registry.port, allow=0) as line:
        spec = quay.spec("1", image=f"{line.address}/{quay.folder.name.lower()}:{{version}}")
        artefact = quay.open()
        artefact.apply(spec, KEY)
        quay.wait(lambda: line.connections > 0, "the registry is asked")
        artefact.remove(spec.release, KEY)
        assert artefact.observe(spec).state is Making.ABSENT
        line.let()
        quay.wait(lambda: not quay.makers(spec), "the thread has ended")
    assert not (quay.folder / ".greenroom" / "images" / "r-1.json").exists()


def test_a_daemon_that_dies_in_the_middle_interrupts_and_does_not_fail(quay: Quay) -> None:
    quay.publish("1", size=3_000_000)
    with Line(quay.registry.port, allow=1_000_000) as line:
        spec = quay.spec("1", image=f"{line.address}/{quay.folder.name.lower()}:{{version}}")
        artefact = quay.open()
        artefact.apply(spec, KEY)
        quay.wait(lambda: line.passed > 500_000, "it is being pulled")
        quay.engine.kill()
        try:
            quay.wait(lambda: not quay.makers(spec), "the thread has ended")
            with pytest.raises(Temporary, match="Docker is not running"):
                artefact.observe(spec)
            with pytest.raises(Temporary, match="Docker is not running"):
                artefact.apply(spec, KEY)
        finally:
            quay.engine.start()
        assert artefact.observe(spec).state is Making.ABSENT
        line.let()
        assert quay.made(spec, artefact).state is Making.READY


# --- what cannot be had


def test_ft_16_an_image_that_is_missing(quay: Quay) -> None:
    quay.publish("1")
    assert quay.refused("nope") == (
        f"there is no {quay.repository}:nope at {quay.registry.address}; push it first, or correct `environment.image`"
    )
    assert "there is no " in quay.refused("1", image=f"{quay.registry.address}/nowhere:1")


def test_a_registry_that_cannot_be_reached_is_not_called_a_missing_image(quay: Quay) -> None:
    assert quay.refused("1", image="127.0.0.1:9/shop:1").startswith(
        "the registry 127.0.0.1:9 cannot be reached from this machine: "
    )
    unknown = quay.refused("1", image="registry.invalid/shop:1")
    assert unknown.startswith("the registry registry.invalid cannot be reached from this machine: ")


def test_a_name_without_a_registry_means_docker_hub_and_says_so(quay: Quay) -> None:
    said = quay.refused("1", image="nobody-has-this/image:1")
    assert "Docker Hub" in said  # whether it can be reached from here or not


def test_an_image_for_another_platform(quay: Quay) -> None:
    ours = quay.engine.client().version()["Arch"]
    other = "arm64" if ours != "arm64" else "amd64"
    digest = quay.publish("1", architecture=other)
    sentence = rf"\S+:1 is for linux/{other}, and Docker on this machine runs linux/{ours}; build it for .*"
    assert re.fullmatch(sentence, quay.refused("1"))
    # where nobody could know it before the pull
    assert re.fullmatch(sentence.replace(":1 ", " "), quay.refused("1", image=f"{quay.repository}@{digest}"))
    wanted = quay.made(replace(quay.spec("1", platform=f"linux/{other}"), release="r-wanted"))
    assert wanted.state is Making.READY
    repository = quay.repository.partition("/")[2]
    kind = "application/vnd.docker.distribution.manifest"
    entry = {
        "mediaType": f"{kind}.v2+json",
        "size": quay.registry.size(repository, "1"),
        "digest": digest,
        "platform": {"os": "linux", "architecture": other},
    }
    both = {"schemaVersion": 2, "mediaType": f"{kind}.list.v2+json", "manifests": [entry]}
    quay.registry.put_manifest(repository, "several", both, f"{kind}.list.v2+json")
    assert f":several is for linux/{other}" in quay.refused("several")


def test_ft_16_a_full_disk(quay: Quay) -> None:
    quay.publish("1", size=14_000_000)
    small = Engine()
    data = small.folder / "data"
    data.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(data)], check=False, capture_output=True
    )
    if mounted.returncode:
        small.end()
        pytest.skip("no right to mount a tmpfs")
    try:
        small.start()
        quay.engine = small
        assert quay.refused("1").startswith(
            f"the disk of this machine is full: {quay.repository}:1 cannot be pulled; free some of it: `docker system df`"
        )
    finally:
        small.end()


# --- logging in


@pytest.fixture
def inner(tmp_path: Path, engine: Engine, vaulted: Registry, monkeypatch: pytest.MonkeyPatch) -> Quay:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "config"))
    (tmp_path / "config").mkdir()
    made = Quay(tmp_path, engine, vaulted)
    made.publish("1", "first")
    return made


def test_a_login_that_is_missing_or_refused(inner: Quay) -> None:
    assert inner.refused("1") == (
        f"{inner.registry.address} wants a login for {inner.repository}:1; "
        f"`docker login {inner.registry.address}`, or give user and password in `environment.login`"
    )
    said = inner.refused("1", login={"username": USER, "password": "herring"})
    assert said.startswith(f"{inner.registry.address} refuses the login of {USER} for {inner.repository}:1; ")
    assert "herring" not in said


def test_login_by_the_file(inner: Quay) -> None:
    inner.vault.pin("r-1", {"REGISTRY_PASSWORD": PASSWORD})
    spec = inner.spec("1", login={"username": USER, "password": "${REGISTRY_PASSWORD}"})
    made = inner.made(spec)
    assert made.state is Making.READY
    for path in inner.folder.rglob("*"):
        assert not path.is_file() or PASSWORD.encode() not in path.read_bytes()
    elsewhere = {"registry": "registry.example", "username": USER, "password": PASSWORD}
    assert "wants a login" in inner.refused_spec(replace(inner.spec("1", login=elsewhere), release="r-2"))


def test_login_by_dockers_own_configuration(inner: Quay) -> None:
    token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    _configure(inner, {"auths": {f"http://{inner.registry.address}/v1/": {"auth": token}}})
    assert inner.made(inner.spec("1")).state is Making.READY


def test_login_by_a_credential_helper(inner: Quay, monkeypatch: pytest.MonkeyPatch) -> None:
    helper = inner.folder / "bin" / "docker-credential-safe"
    helper.parent.mkdir()
    told = json.dumps({"Username": USER, "Secret": PASSWORD})
    helper.write_text(
        f"#!/bin/sh\nread -r asked\n[ \"$1 $asked\" = 'get {inner.registry.address}' ] && echo '{told}'\n"
    )
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{helper.parent}:{os.environ['PATH']}")
    _configure(inner, {"auths": {inner.registry.address: {}}, "credsStore": "safe"})
    assert inner.made(inner.spec("1")).state is Making.READY


def test_a_configuration_that_is_no_json_is_nobodys_login(inner: Quay) -> None:
    (inner.folder / "config" / "config.json").write_text("{")
    assert "wants a login" in inner.refused("1")


def _configure(inner: Quay, document: dict[str, Any]) -> None:
    (inner.folder / "config" / "config.json").write_text(json.dumps(document))


def test_login_and_refusals_of_another_machine(inner: Quay) -> None:
    class Other(LocalHost):
        """Another machine, with a Docker configuration of its own."""

        name = "web1"

        def run(self, command: Sequence[str], *, stdin: bytes = b"", timeout: float = 10.0) -> Ran:
            there = ["env", f"DOCKER_CONFIG={inner.folder}/there", *command]
            return super().run(there, stdin=stdin, timeout=timeout)

    there = Place("shop", inner.folder / "greenroom.yaml", inner.folder / "state", vault=inner.vault, host=Other())
    artefact = inner.open(there)
    assert "wants a login" in inner.made(inner.spec("1"), artefact).detail
    token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (inner.folder / "there").mkdir()
    (inner.folder / "there" / "config.json").write_text(
        json.dumps({"auths": {inner.registry.address: {"auth": token}}})
    )
    assert inner.made(inner.spec("1"), artefact).state is Making.READY
    assert (inner.folder / "state" / "images" / "r-1.json").exists()
    elsewhere = replace(inner.spec("1", image="127.0.0.1:9/shop:1"), release="r-2")
    assert "cannot be reached from web1" in inner.made(elsewhere, artefact).detail
    (inner.folder / "there" / "config.json").unlink()
    inner.forget(f"{inner.repository}@{inner.registry.digest(inner.repository.partition('/')[2], '1')}")
    _configure(inner, {"auths": {inner.registry.address: {"auth": token}}})
    assert inner.made(inner.spec("1"), artefact).state is Making.READY, "the login of this machine counts there, too"


# --- taking over


def test_a_container_is_taken_over_with_its_image(quay: Quay) -> None:
    digest = quay.publish("1", "first")
    client = quay.engine.client()
    client.images.pull(f"{quay.repository}:1")
    running = client.containers.run(f"{quay.repository}:1", detach=True, name="old-shop")
    other = client.containers.run(TINY, ["sleep", "60"], detach=True, name="old-tool")
    try:
        spec = _adopted({"container": "old-shop"})
        made = quay.open().observe(spec)
        assert (made.state, made.reference) == (Making.READY, f"{quay.repository}@{digest}")
        quay.open().apply(spec, KEY)
        tool = replace(_adopted({"container": "old-tool"}), release="r-tool")
        assert quay.open().observe(tool).reference == client.images.get(TINY).id
        running.remove(force=True)
        assert quay.open().observe(spec) == made, "it was pinned"
        gone = quay.open().observe(replace(spec, release="r-gone"))
        assert gone.state is Making.FAILED
        assert "there is no container old-shop on this machine" in gone.detail
        with pytest.raises(Permanent, match="there is no container old-shop"):
            quay.open().apply(replace(spec, release="r-gone"), KEY)
    finally:
        for container in (running, other):
            quay.engine.discard(container.id)


def test_an_upstream_is_taken_over_without_an_image(quay: Quay) -> None:
    made = quay.open().observe(_adopted({"upstream": "127.0.0.1:9000"}))
    assert (made.state, made.reference) == (Making.READY, "adopted")


def _adopted(what: dict[str, str]) -> ArtefactSpec:
    return ArtefactSpec("r-0", "running", {"environment": {"type": "docker"}, "adopt": what})


# --- removed


def test_an_image_that_is_not_ours_stays_when_its_release_is_forgotten(quay: Quay) -> None:
    quay.publish("1", "first")
    spec = quay.spec("1")
    made = quay.made(spec)
    quay.open().remove(spec.release, KEY)
    assert quay.open().observe(spec).state is Making.ABSENT
    assert quay.here(made.reference)
