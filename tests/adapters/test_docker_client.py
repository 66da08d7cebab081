"""The client of Docker: which one it asks, and what it says where that cannot be asked; names of images; refusals."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from greenroom.adapters.docker.client import SOCKET, client, environment_of, socket_problem
from greenroom.adapters.docker.images import Progress
from greenroom.adapters.docker.names import Name, short
from greenroom.adapters.docker.refusals import refusal
from greenroom.adapters.hosts.local import LocalHost
from greenroom.errors import Permanent, Temporary, Uncertain
from greenroom.ports import Address, Place
from tests.rigs import docker
from tests.rigs.docker import TINY, Engine


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with docker.shared() as made:
        yield made


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    for name in [name for name in os.environ if name.startswith("DOCKER_")]:
        monkeypatch.delenv(name)
    return Place("shop", tmp_path / "greenroom.yaml", tmp_path / "state")


class Other(LocalHost):
    """Another machine, whose Docker is reached through a forwarded socket."""

    name = "web1"

    def __init__(self, there: str, here: Path) -> None:
        self.there, self.here = there, here

    def nearby(self, address: Address) -> Address:
        assert address == self.there
        return str(self.here)


# --- which Docker


@pytest.mark.real
@pytest.mark.xdist_group("docker")
def test_the_file_names_the_socket_else_docker_host_does(
    place: Place, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for named in (str(engine.socket), engine.url):
        with client(place, named) as asked:
            assert asked.info()["DockerRootDir"] == f"{engine.folder}/data"
        assert environment_of(named)["DOCKER_HOST"] == engine.url
    monkeypatch.setenv("DOCKER_HOST", engine.url)
    with client(place) as asked:
        assert asked.info()["DockerRootDir"] == f"{engine.folder}/data"
    assert socket_problem(place) == ""


@pytest.mark.real
@pytest.mark.xdist_group("docker")
def test_another_machine_is_reached_through_its_host_and_not_by_docker_host(
    place: Place, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///not/this/one")
    there = Place("shop", place.file, place.state, host=Other(SOCKET, engine.socket))
    with client(there) as asked:
        assert asked.info()["DockerRootDir"] == f"{engine.folder}/data"


def test_docker_host_to_another_machine_is_refused_with_the_way_to_do_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "ssh://web1")
    with pytest.raises(Permanent, match="DOCKER_HOST") as refused, client(place):
        pass
    assert "`hosts:`" in refused.value.hint
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    with pytest.raises(Temporary, match=r"reached at tcp://127\.0\.0\.1:9: Connection refused"), client(place):
        pass


# --- where it cannot be asked


def test_no_socket(place: Place, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "docker.sock")
    with pytest.raises(Temporary, match=f"there is no Docker: no socket {nowhere}") as missing, client(place, nowhere):
        pass
    assert "`environment.socket`" in missing.value.hint
    there = Place("shop", place.file, place.state, host=Other(nowhere, Path(nowhere)))
    assert socket_problem(there, nowhere).startswith(f"there is no Docker on web1: no socket {nowhere}; install Docker")


def test_nobody_behind_the_socket(place: Place, tmp_path: Path) -> None:
    left = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(left))
    assert socket_problem(place, str(left)) == (
        f"Docker is not running: nobody answers at {left}; start it: `sudo systemctl start docker`"
    )


@pytest.mark.real
@pytest.mark.xdist_group("docker")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody without the right")
def test_no_right_to_the_socket(place: Place, engine: Engine) -> None:
    assert socket_problem(place, str(engine.socket)) == ""
    os.seteuid(65534)
    try:
        said = socket_problem(place, str(engine.socket))
    finally:
        os.seteuid(0)
    assert said.startswith(f"we may not use Docker: no right to {engine.socket}; put the user into the group docker")


@pytest.mark.real
@pytest.mark.xdist_group("docker")
def test_a_docker_that_hangs_is_told_apart_by_what_was_asked(place: Place, engine: Engine) -> None:
    named = str(engine.socket)
    assert socket_problem(place, named) == ""
    engine.pause()
    try:
        with (
            pytest.raises(Temporary, match=r"did not answer at .* within 0\.3 s"),
            client(place, named, within=0.3) as api,
        ):
            api.ping()
        changing = client(place, named, within=0.3, changing=True)
        with pytest.raises(Uncertain, match=r"did not answer"), changing as api:
            api.api.create_container(TINY)
    finally:
        engine.go_on()
    engine.wait(lambda: socket_problem(place, named) == "", "it answers again")
    engine.clear()


@pytest.mark.real
@pytest.mark.xdist_group("docker")
def test_a_docker_that_dies_while_it_is_asked(place: Place, engine: Engine) -> None:
    named = str(engine.socket)

    def asked() -> None:
        with client(place, named) as api:
            engine.kill()
            api.ping()

    try:
        with pytest.raises(Temporary, match=r"is not running|was lost"):
            asked()
    finally:
        engine.start()


@pytest.mark.real
@pytest.mark.xdist_group("docker")
def test_what_docker_refuses_is_permanent(place: Place, engine: Engine) -> None:
    with pytest.raises(Permanent, match="Docker refuses: No such container: nobody"), client(place, engine.url) as api:
        api.api.inspect_container("nobody")


# --- names


@pytest.mark.parametrize(
    ("text", "repository", "tag", "digest", "registry"),
    [
        ("shop", "shop", "latest", "", "docker.io"),
        ("shop:1.2", "shop", "1.2", "", "docker.io"),
        ("docker.io/library/shop:1", "shop", "1", "", "docker.io"),
        ("index.docker.io/team/shop", "team/shop", "latest", "", "docker.io"),
        ("registry.example/team/shop:1", "registry.example/team/shop", "1", "", "registry.example"),
        ("localhost/shop", "localhost/shop", "latest", "", "localhost"),
        ("127.0.0.1:5000/shop", "127.0.0.1:5000/shop", "latest", "", "127.0.0.1:5000"),
        (
            "registry.example:5000/shop:1@sha256:ab",
            "registry.example:5000/shop",
            "1",
            "sha256:ab",
            "registry.example:5000",
        ),
        ("shop@sha256:ab", "shop", "", "sha256:ab", "docker.io"),
    ],
)
def test_names_of_images(text: str, repository: str, tag: str, digest: str, registry: str) -> None:
    name = Name.parse(text)
    assert (name.repository, name.tag, name.digest, name.registry) == (repository, tag, digest, registry)
    assert Name.parse(str(name)) == name


def test_the_digest_of_an_image_is_that_of_its_own_repository() -> None:
    digests = ["registry.example/other@sha256:aa", "shop@sha256:bb", "<none>@<none>"]
    assert Name.parse("docker.io/library/shop:1").digest_in(digests) == "sha256:bb"
    assert Name.parse("registry.example/shop:1").digest_in(digests) == ""
    assert Name.parse("shop").digest_in(None) == ""
    assert short("shop@sha256:" + "0123456789abcdef" * 4) == "shop@sha256:0123456789ab"


# --- refusals

NEWER = {
    # What engines from 23 to 29 say, with their own store and with containerd's, where ours here says it otherwise.
    'failed to resolve reference "registry.example/shop:1": registry.example/shop:1: not found': "there is no ",
    "manifest for registry.example/shop:1 not found: manifest unknown": "there is no ",
    "pull access denied for registry.example/shop, repository does not exist or may require 'docker login': denied: "
    "requested access to the resource is denied": "there is no registry.example/shop:1 at registry.example, or it wants",
    'failed to authorize: failed to fetch oauth token: unexpected status: 401 Unauthorized': "wants a login",
    "toomanyrequests: You have reached your pull rate limit": "gives no more images for now",
    "no match for platform in manifest: not found": "is not for this platform",
    "image with reference x was found but does not match the specified platform: wanted linux/arm64": "is not for this",
    'Get "https://registry.example/v2/": http: server gave HTTP response to HTTPS client': "without TLS",
    'Get "https://registry.example/v2/": x509: certificate signed by unknown authority': "does not trust",
    'Get "https://registry.example/v2/": net/http: TLS handshake timeout': "cannot be reached",
    'Get "https://registry.example/v2/": context deadline exceeded (Client.Timeout exceeded)': "cannot be reached",
    "received unexpected HTTP status: 503 Service Unavailable": "cannot be reached",
    "failed to register layer: write /usr/lib/x: no space left on device": "the disk of this machine is full",
    "failed to register layer: permission denied": "cannot be pulled: failed to register layer",
}  # fmt: skip


@pytest.mark.parametrize(("said", "told"), NEWER.items(), ids=range(len(NEWER)))
def test_what_other_engines_say_is_told_apart_too(place: Place, said: str, told: str) -> None:
    error = refusal(said, Name.parse("registry.example/shop:1"), {}, place)
    assert told in error.message
    assert error.hint or "cannot be pulled" in error.message


def test_progress_counts_layers_and_bytes() -> None:
    progress = Progress("pulling shop:1")
    events = [
        {"status": "Pulling from shop", "id": "1"},
        {"status": "Already exists", "progressDetail": {}, "id": "a"},
        {"status": "Pulling fs layer", "progressDetail": {}, "id": "b"},
        {"status": "Waiting", "progressDetail": {}, "id": "c"},
        {"status": "Downloading", "progressDetail": {"current": 4_000_000, "total": 50_000_000}, "id": "b"},
        {"status": "Downloading", "progressDetail": {"current": 1_000_000, "total": 2_000_000}, "id": "c"},
        {"status": "Download complete", "progressDetail": {}, "id": "c"},
    ]
    said = [progress.after(event) for event in events]
    assert said[0] == "pulling shop:1"
    assert said[1] == "pulling shop:1: 1 of 1 layers"
    assert said[-1] == "pulling shop:1: 1 of 3 layers, 6 of 52 MB"
    assert progress.after({"status": "Pull complete", "progressDetail": {}, "id": "c"}).startswith(
        "pulling shop:1: 2 of 3"
    )
