"""Static front ends from the command line to the page: a release, another one, the way back, and deaths in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from greenroom.testing import traffic
from tests.process_kit import Kit
from tests.rigs import aws_front
from tests.rigs.static import PATIENCE, Site, asset, loaded, write_version
from tests.rigs.static_cloud import Front, cloud, server

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("static_cloud")]


class Shop:
    """A file, and the command line in its folder."""

    def __init__(self, folder: Path, environment: Mapping[str, Any], router: Mapping[str, Any], **more: Any) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        sections = {"environment": {"type": "static", "source": "site", **environment}}
        sections["router"] = {"type": "static", **router}
        checks = [{"type": "http", "path": "/", "status": 200, "contains": "page"}]
        text = {"service": "shop", **sections, "checks": checks, "bake": "1s", "keep_warm": "1h", **more}
        (folder / "greenroom.yaml").write_text(json.dumps(text))

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "greenroom", *words]
        with open(self.folder / "command.log", "w+") as log:
            done = subprocess.run(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=100, check=False
            )
            log.seek(0)
            return subprocess.CompletedProcess(command, done.returncode, log.read())

    def deploy(self, version: str) -> None:
        write_version(self.folder / "site", "page", version)
        done = self.run("deploy", version)
        assert done.returncode == 0, done.stdout

    def status(self) -> dict[str, Any]:
        done = self.run("status", "--json")
        found: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") : done.stdout.rindex("}") + 1])
        return found

    def down(self) -> None:
        self.run("down", "--yes")
        Kit(self.folder).end()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path / "web") as made:
        yield made


@pytest.fixture
def local(site: Site, tmp_path: Path) -> Iterator[Shop]:
    router = {"root": str(site.root), "url": site.url, "test_route": {"url": site.test_url}}
    shop = Shop(tmp_path / "shop", {"root": str(site.root)}, router)
    try:
        yield shop
    finally:
        shop.down()


def test_a_release_another_and_the_way_back_lose_no_request_on_this_machine(local: Shop, site: Site) -> None:
    local.deploy("1")
    with loaded(site.url) as load:
        local.deploy("2")
        engine = local.status()["engine"]["pid"]
        os.kill(engine, signal.SIGKILL)
        done = local.run("rollback")
        assert done.returncode == 0, done.stdout
    assert load.failed == []
    assert load.assets > 20
    assert traffic.ask(site.url).text.startswith("page 1 ")
    assert site.status(f"/{asset('page 2')}") == 200, "pages of 2 are still open"
    status = local.status()
    assert (status["active"]["version"], status["route"]) == ("1", "in_sync")
    site.relink("live", "green")
    wait(lambda: local.status()["route"] == "drifted", "somebody else moved it")
    assert local.run("reconcile").returncode == 0
    assert traffic.ask(site.url).text.startswith("page 1 ")
    assert local.run("down", "--yes").returncode == 0
    assert site.status("/") == 404
    local.deploy("3")
    assert traffic.ask(site.url).text.startswith("page 3 ")


def wait(until: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not until():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    with pytest.MonkeyPatch.context() as patch, server() as made:
        aws_front.nobody(patch)
        yield made


@pytest.fixture
def front(address: tuple[str, int], tmp_path: Path) -> Iterator[Front]:
    with cloud(address) as made:
        yield Front(made, tmp_path)


def test_a_release_another_and_the_way_back_lose_no_request_behind_cloudfront(front: Front, tmp_path: Path) -> None:
    main, test = front.cloud.edges["main"], front.cloud.edges["test"]
    router = {
        **front.cloud.keys(),
        "distribution": main.distribution,
        "url": main.url,
        "test_route": {"url": test.url, "distribution": test.distribution},
    }
    keys = {name: front.cloud.keys()[name] for name in ("region", "endpoint")}
    journal = {"type": "dynamodb", "table": front.cloud.bucket, "create": True, **keys}
    shop = Shop(tmp_path / "shop", front.cloud.keys(), router, journal=journal)
    try:
        shop.deploy("1")
        with loaded(main.url) as load:
            killed_in_the_middle(shop, front)
            done = shop.run("rollback")
            assert done.returncode == 0, done.stdout
        assert load.failed == []
        assert traffic.ask(main.url).text.startswith("page 1 ")
        assert traffic.ask(main.url, f"/{asset('page 2')}").status == 200, "pages of 2 are still open"
    finally:
        Kit(shop.folder).end()


def killed_in_the_middle(shop: Shop, front: Front) -> None:
    """The command dies while edges do not have it yet; the same command goes on with it."""
    main = front.cloud.edges["main"]
    main.held = True
    write_version(shop.folder / "site", "page", "2")
    before = front.cloud.path()
    with open(shop.folder / "killed.log", "w") as log:
        command = subprocess.Popen(
            [sys.executable, "-m", "greenroom", "deploy", "2"],
            cwd=shop.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    wait(lambda: front.cloud.path() != before, "the distribution was told")
    command.kill()
    command.wait()
    assert traffic.ask(main.url).text.startswith("page 1 ")
    threading.Timer(2.0, front.cloud.release).start()
    done = shop.run("deploy", "2")
    assert done.returncode == 0, done.stdout
    assert traffic.ask(main.url).text.startswith("page 2 ")
