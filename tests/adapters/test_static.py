"""The static front end on this machine: what open pages find, what is refused, and every instant to be killed at."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from greenroom.adapters.artefacts.static import StaticArtefact
from greenroom.adapters.environments.static import StaticEnvironment
from greenroom.adapters.routers.static import StaticRouter
from greenroom.adapters.static.disk import Disk
from greenroom.adapters.static.files import Unfit, is_hashed, survey
from greenroom.adapters.static.local import Wanted, publish
from greenroom.adapters.static.making import without
from greenroom.adapters.static.root import Root
from greenroom.adapters.static.settings import EnvironmentSettings, RouterSettings
from greenroom.domain.model import (
    Backend,
    Colour,
    Endpoint,
    EnvironmentSpec,
    Health,
    Making,
    Role,
    RoutingSpec,
    Split,
)
from greenroom.errors import Permanent, PortError, Refused, UsageError
from greenroom.ports import ActionKey, Paced, Place
from greenroom.testing import traffic
from greenroom.wiring import open_service
from tests.docs.pages import blocks
from tests.rigs.static import Press, Rooms, Site, asset, write_version

BLUE, GREEN, NONE = Colour.BLUE, Colour.GREEN, Backend()
KEY = ActionKey("r-1", "shift", 0, "route", "router", 0, 1)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as made:
        yield made


def routed(to: Colour, blue: Backend, green: Backend = NONE, test: Colour | None = None) -> RoutingSpec:
    return RoutingSpec(Split.all_to(to), blue, green, test)


def put(site: Site, version: str, colour: Colour, keep: int = 5, release: str = "") -> Backend:
    """Publish a version, and let the colour hold it."""
    source = site.folder / "built" / version
    write_version(source, "page", version)
    wanted = Wanted("shop", release or f"r-{version}", version, keep, 1000)
    name = Path(publish(site.at_root(), survey(source, ()), wanted)).name
    site.relink(colour, f"releases/{name}")
    return Backend((Endpoint(name, 0),), version, wanted.release)


# --- open pages


@pytest.mark.real
def test_pages_that_are_open_find_their_files_after_a_switch_and_after_the_way_back(site: Site) -> None:
    first = put(site, "1", BLUE)
    site.router().apply(routed(BLUE, first), KEY)
    second = put(site, "2", GREEN)
    site.router().apply(routed(GREEN, first, second), KEY)
    assert site.status(f"/{asset('page 1')}") == 200, "a page of 1 is open"
    site.router().apply(routed(BLUE, first, second), KEY)
    assert site.status(f"/{asset('page 2')}") == 200, "a page of 2 is open after the way back"
    assert traffic.ask(site.url).text.startswith("page 1 ")


@pytest.mark.real
def test_files_of_so_many_releases_before_are_kept_and_no_more(site: Site) -> None:
    colour, held = BLUE, Backend()
    for number in range(1, 7):
        held = put(site, str(number), colour, keep=3)
        colour = colour.other
    site.router().apply(routed(colour.other, *((held, Backend()) if colour is GREEN else (Backend(), held))), KEY)
    found = [number for number in range(1, 7) if site.status(f"/{asset(f'page {number}')}") == 200]
    assert found == [3, 4, 5, 6]


def test_what_a_version_holds_itself_is_never_replaced_by_what_is_kept(tmp_path: Path) -> None:
    name, root = "assets/app-0a1b2c3d4e.js", Root(str(tmp_path / "www"), "shop")
    made = []
    for version in ("1", "2"):
        source = tmp_path / version
        (source / "assets").mkdir(parents=True)
        (source / "index.html").write_text(version)
        (source / name).write_text(f"of {version}")
        made.append(Path(publish(root, survey(source, ()), Wanted("shop", f"r-{version}", version, 5, 10))))
    assert [(folder / name).read_text() for folder in made] == ["of 1", "of 2"]


def test_a_file_where_a_folder_was_keeps_nothing_below_it(tmp_path: Path) -> None:
    root = Root(str(tmp_path / "www"), "shop")
    for version, name in (("1", "assets/app-0a1b2c3d4e.js"), ("2", "assets")):
        source = tmp_path / version
        (source / name).parent.mkdir(parents=True)
        (source / "index.html").write_text(version)
        (source / name).write_text(version)
        made = Path(publish(root, survey(source, ()), Wanted("shop", f"r-{version}", version, 5, 10)))
    assert (made / "assets").read_text() == "2"


@pytest.mark.real
def test_fifty_switches_lose_no_request(site: Site) -> None:
    blue, green = site.backend(BLUE), site.backend(GREEN)
    router = site.router()
    router.apply(routed(BLUE, blue, green), KEY)
    with site.load() as load:
        for number in range(50):
            to = GREEN if number % 2 == 0 else BLUE
            router.apply(routed(to, blue, green), KEY)
            settled(site, router)
    assert load.failed == []
    assert load.assets > 50


def settled(site: Site, router: StaticRouter) -> None:
    deadline = time.monotonic() + 60
    while not router.observe().settled:
        assert time.monotonic() < deadline, router.observe()
        site.pause()


# --- killed between any two steps


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder where every step is on the disk at once: there are many of them."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


class Killed(BaseException):
    """As `kill -9`: nothing that Greenroom catches."""


class DyingDisk(Disk):
    """Dies before its step `at` (from 0 on)."""

    def __init__(self, at: int) -> None:
        self.left = at

    def _step(self) -> None:
        if self.left == 0:
            raise Killed
        self.left -= 1

    def folder(self, path: Path) -> None:
        if not path.is_dir():
            self._step()
            super().folder(path)

    def copy(self, source: Path, target: Path) -> None:
        if self.left == 1:  # half a file
            target.write_bytes(source.read_bytes()[:1])
        self._step()
        super().copy(source, target)

    def write(self, path: Path, content: bytes) -> None:
        self._step()
        super().write(path, content)

    def link(self, source: Path, target: Path) -> None:
        self._step()
        super().link(source, target)

    def rename(self, source: Path, target: Path) -> None:
        self._step()
        super().rename(source, target)

    def remove(self, path: Path) -> None:
        self._step()
        super().remove(path)

    def settle(self, folder: Path) -> None:
        self._step()
        super().settle(folder)


def test_ft_12_killed_at_any_step_of_publishing_the_next_attempt_finishes_it(memory: Path) -> None:
    for version in ("1", "2", "3"):
        write_version(memory / version, "page", version)
    root = Root(str(memory / "www"), "shop")
    for version in ("1", "2"):
        publish(root, survey(memory / version, ()), Wanted("shop", f"r-{version}", version, 5, 2))
    held = next((memory / "www" / "releases").glob("r-2-*"))
    (memory / "www" / "blue").symlink_to(f"releases/{held.name}")
    wanted, found, deaths, died = Wanted("shop", "r-3", "3", 5, 2), survey(memory / "3", ()), 0, True
    while died:
        www = memory / f"www-{deaths}"
        shutil.copytree(memory / "www", www, symlinks=True)
        root = Root(str(www), "shop")
        try:
            publish(root, found, wanted, DyingDisk(deaths))
            died = False
        except Killed:
            deaths += 1
        for made in (www / "releases").glob("r-*"):
            assert json.loads((made / "greenroom.json").read_bytes())["id"] == made.name, "half a version has a name"
            assert (made / "index.html").read_text().startswith("page ")
        made = Path(publish(root, found, wanted))
        releases = sorted(path.name[:3] for path in (www / "releases").iterdir())
        assert releases == ["r-2", "r-3"], "1 is too old, and nothing half made is left"
        assert all((made / asset(f"page {n}")).read_text() == f"// page {n}" for n in "123")
        assert (www / "blue" / asset("page 3")).exists()
    assert deaths > 20


PROGRAMS = ("mkdir", "flock", "cat", "chmod", "sync", "mv", "ln", "rm", "base64", "readlink", "sh")


@pytest.fixture
def shims(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Path]:
    """Programs that kill the whole script before the one with number `at` starts (0: nothing dies any more); how many
    were started stands in the file that is returned.
    """
    folder, count, plain = tmp_path / "shims", tmp_path / "count", os.environ["PATH"]
    found = {name: shutil.which(name) for name in PROGRAMS}
    folder.mkdir()

    def prepare(at: int) -> Path:
        monkeypatch.setenv("PATH", f"{folder}:{plain}" if at else plain)
        if at:
            count.write_text("0")
        for name, program in found.items():
            (folder / name).write_text(
                f"#!{found['sh']}\nread n <{count}\nn=$((n + 1))\necho $n >{count}\n"
                f'[ $n -ne {at} ] || kill -9 0\nexec {program} "$@"\n'
            )
            (folder / name).chmod(0o755)
        return count

    return prepare


@pytest.mark.real
def test_ft_12_ft_23_killed_at_any_step_of_a_switch_users_are_shown_one_whole_version_and_telling_it_again_finishes_it(
    memory: Path, shims: Callable[[int], Path]
) -> None:
    site = Site(memory / "site")
    blue, green = site.backend(BLUE), site.backend(GREEN)
    router = site.router(url="", test_route=None)
    before, after = routed(BLUE, blue, green, test=GREEN), routed(GREEN, blue, green)
    deaths, seen = 0, set()
    while True:
        router.apply(before, KEY)
        count = shims(deaths + 1)
        with contextlib.suppress(PortError):
            router.apply(after, KEY)
        shims(0)
        assert (site.root / "live" / "index.html").read_text().split()[0] in ("blue", "green")
        routing = router.observe()
        assert routing.told is not None
        assert routing.told.split in (before.split, after.split)
        assert routing.detail == "", "nobody else has done it"
        seen.add((routing.told.split, routing.live, routing.unfinished))
        if int(count.read_text()) <= deaths:
            break
        router.apply(after, KEY)
        assert _whole(router, after)
        deaths += 1
    assert deaths > 20
    assert (after.split, before.split, True) in seen
    assert (after.split, after.split, False) in seen


def _whole(router: StaticRouter, spec: RoutingSpec) -> bool:
    routing = router.observe()
    return routing.settled and routing.told == spec and not routing.unfinished


@pytest.mark.real
def test_killed_at_any_step_a_colour_holds_what_it_held_or_what_it_was_given(
    memory: Path, shims: Callable[[int], Path]
) -> None:
    rooms = Rooms(memory / "rooms")
    environment, one, two = rooms.open(), rooms.spec("1", Role.IDLE), rooms.spec("2", Role.IDLE)
    deaths = 0
    while True:
        environment.apply(BLUE, one, KEY)
        count = shims(deaths + 1)
        with contextlib.suppress(PortError):
            environment.apply(BLUE, two, KEY)
        shims(0)
        assert (rooms.root / "blue" / "index.html").exists()
        status = environment.observe(BLUE)
        assert status.ready == bool(status.members), "what is half done is applied again"
        if int(count.read_text()) <= deaths:
            break
        environment.apply(BLUE, two, KEY)
        assert environment.observe(BLUE).ready
        assert environment.observe(BLUE).version == "2"
        deaths += 1
    assert deaths > 10


# --- what is refused


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda at: (at / "index.html").unlink(), "no index.html"),
        (lambda at: (at / "secret").symlink_to("/etc/passwd"), "a link out of the published folder"),
        (lambda at: (at / "up").symlink_to("../other"), "leads nowhere"),
        (lambda at: (at / "loop").symlink_to("loop"), "leads nowhere"),
        (lambda at: (at / "twice").symlink_to("assets"), "a link to a folder"),
        (lambda at: (at / "greenroom.json").write_text("{}"), "rename yours"),
        (lambda at: os.mkfifo(at / "pipe"), "neither a file nor a folder"),
        (lambda at: (at / "a\nb").write_text(""), "cannot be a name"),
    ],
)
def test_what_must_not_be_published_is_refused_by_name(tmp_path: Path, make: Callable[[Path], Any], says: str) -> None:
    write_version(tmp_path / "site", "page", "1")
    make(tmp_path / "site")
    with pytest.raises(Unfit, match=says):
        survey(tmp_path / "site", ())


def test_a_link_inside_is_published_as_the_file_that_it_leads_to(tmp_path: Path) -> None:
    write_version(tmp_path / "site", "page", "1")
    (tmp_path / "site" / "home.html").symlink_to("index.html")
    root = Root(str(tmp_path / "www"), "shop")
    made = Path(publish(root, survey(tmp_path / "site", ()), Wanted("shop", "r-1", "1", 5, 10)))
    assert not (made / "home.html").is_symlink()
    assert (made / "home.html").read_text() == (made / "index.html").read_text()


@pytest.mark.parametrize(
    ("path", "hashed"),
    [
        ("assets/index-BZx81k_d.js", True),
        ("assets/index-D-x1kQ_d.css", True),
        ("static/js/main.8f3a1c2b.chunk.js", True),
        ("app.0a1b2c3d4e5f.css", True),
        ("_next/static/xYz/_buildManifest.js", True),
        ("_app/immutable/entry/start.js", True),
        ("index.html", False),
        ("favicon.ico", False),
        ("assets/logo.png", False),
        ("assets/my-holidays.jpg", False),
        ("report-20240131.pdf", False),
        ("photos/my-BigHouse.jpg", False),
        ("deadbeef.js", False),
    ],
)
def test_names_that_hold_a_hash_are_known(path: str, hashed: bool) -> None:
    assert is_hashed(path, ()) is hashed
    assert is_hashed(path, ("*",))
    assert not is_hashed(path, ("other/*",))


def test_two_services_never_share_a_folder(tmp_path: Path) -> None:
    rooms = Rooms(tmp_path)
    environment, spec = rooms.open(), rooms.spec("1", Role.IDLE)
    environment.apply(BLUE, spec, KEY)
    stranger = Place("blog", tmp_path / "blog.yaml", tmp_path / ".blog")
    settings = EnvironmentSettings(root=str(rooms.root), source="site")
    router = RouterSettings(root=str(rooms.root))
    backend = Backend((Endpoint(Path(spec.artefact).name, 0),), "1", "r-1")
    for act in (
        lambda: StaticEnvironment(settings, stranger).apply(BLUE, spec, KEY),
        lambda: StaticEnvironment(settings, stranger).remove(BLUE, KEY),
        lambda: StaticRouter(router, stranger).apply(routed(BLUE, backend), KEY),
        lambda: publish(Root(str(rooms.root), "blog"), survey(rooms.source, ()), Wanted("blog", "r-1", "1", 5, 10)),
        lambda: StaticArtefact(settings, stranger).remove("r-1", KEY),
    ):
        with pytest.raises(Permanent, match="belongs to the service 'shop'"):
            act()
    assert environment.observe(BLUE).ready
    for told in (StaticEnvironment.problems(settings, stranger), StaticRouter.problems(router, stranger)):
        assert any("belongs to the service `shop`" in text for text in told)


def test_what_users_are_shown_is_neither_replaced_nor_removed(tmp_path: Path) -> None:
    rooms = Rooms(tmp_path)
    environment, spec = rooms.open(), rooms.spec("1", Role.IDLE)
    environment.apply(BLUE, spec, KEY)
    router = StaticRouter(RouterSettings(root=str(rooms.root)), rooms.place)
    router.apply(routed(BLUE, Backend((Endpoint(Path(spec.artefact).name, 0),), "1", "r-1")), KEY)
    with pytest.raises(Permanent, match="users are shown blue"):
        environment.apply(BLUE, rooms.spec("2", Role.IDLE), KEY)
    with pytest.raises(Permanent, match="users are shown blue"):
        environment.remove(BLUE, KEY)
    environment.apply(BLUE, spec, KEY)
    (rooms.root / "blue").unlink()
    assert not environment.observe(BLUE).ready
    environment.apply(BLUE, spec, KEY)
    assert environment.observe(BLUE).ready
    rooms_artefact = StaticArtefact(rooms.settings(), rooms.place)
    rooms_artefact.remove("r-1", KEY)
    assert environment.observe(BLUE).ready, "a colour holds it"
    router.remove()
    environment.remove(BLUE, KEY)
    rooms_artefact.remove("r-1", KEY)
    assert not Path(spec.artefact).exists()


def test_a_version_that_is_damaged_says_so(tmp_path: Path) -> None:
    rooms = Rooms(tmp_path)
    environment, spec = rooms.open(), rooms.spec("1", Role.IDLE)
    environment.apply(BLUE, spec, KEY)
    (Path(spec.artefact) / "greenroom.json").unlink()
    status = environment.observe(BLUE)
    assert (status.ready, status.members[0].health) == (False, Health.UNHEALTHY)
    assert "deploy that version again" in status.failed


def test_a_colour_that_does_not_hold_it_is_not_shown(tmp_path: Path) -> None:
    rooms = Rooms(tmp_path)
    rooms.open().apply(BLUE, rooms.spec("1", Role.IDLE), KEY)
    router = StaticRouter(RouterSettings(root=str(rooms.root)), rooms.place)
    with pytest.raises(Permanent, match="look whether `root` is the same"):
        router.apply(routed(BLUE, Backend((Endpoint("r-9-other", 0),), "9", "r-9")), KEY)
    assert not (rooms.root / "live").exists()


# --- drift


@pytest.mark.real
def test_ft_4_ft_20_what_somebody_else_did_with_the_link_is_seen(site: Site) -> None:
    blue, green = site.backend(BLUE), site.backend(GREEN)
    router = site.router()
    router.apply(routed(BLUE, blue, green), KEY)
    settled(site, router)
    site.relink("live", "green")
    seen = router.observe()
    assert seen.told is not None
    assert (seen.told.split, seen.live, seen.settled) == (Split.all_to(GREEN), Split.all_to(GREEN), False)
    assert "was moved by somebody else" in seen.detail
    site.relink("live", "/srv/elsewhere")
    seen = router.observe()
    assert (seen.told, seen.running) == (None, True)
    assert "was moved by somebody else" in seen.detail
    (site.root / "live").unlink()
    seen = router.observe()
    assert seen.told is not None
    assert seen.told.split == Split.none()
    site.relink("live", "blue")
    settled(site, router)
    (site.root / "told.json").write_text("{}")
    assert router.observe().told is None
    assert "told.json" in router.observe().detail
    (site.root / "told.json").unlink()
    assert "told.json was deleted" in router.observe().detail
    router.apply(routed(BLUE, blue, green), KEY)
    settled(site, router)


@pytest.mark.real
def test_a_web_server_that_shows_something_else_is_no_switch(site: Site) -> None:
    blue = site.backend(BLUE)
    site.router().apply(routed(BLUE, blue), KEY)
    wrong = site.router(url=site.test_url, test_route=None)
    seen = wrong.observe()
    assert (seen.running, seen.live, seen.settled) == (True, None, False)
    assert "status 404" in seen.detail
    assert any("let its root be" in text for text in StaticRouter.problems(_settings(wrong), site.place))
    site.end()
    seen = site.router().observe()
    assert (seen.running, seen.live) == (True, None)
    assert "nothing answers" in seen.detail
    assert any("start the web server" in text for text in StaticRouter.problems(site.settings(), site.place))


def _settings(router: StaticRouter) -> RouterSettings:
    return router._settings


# --- before anything is touched


def test_what_stands_against_a_deploy_is_said_with_the_way_out(tmp_path: Path) -> None:
    place = Place("shop", tmp_path / "greenroom.yaml", tmp_path / ".greenroom")
    source, root = tmp_path / "site", tmp_path / "www"
    source.mkdir()

    def told(**more: Any) -> str:
        settings = EnvironmentSettings.model_validate({"source": "site", "root": str(root), **more})
        return " · ".join(StaticEnvironment.problems(settings, place))

    assert "holds no index.html" in told()
    assert told(prepare=["npm run build"]) == ""
    (source / "index.html").write_text("")
    assert told() == ""
    assert "is not a folder" in told(source="nowhere")
    assert "would be copied with it" in told(root=str(source / "www"))
    assert "holds the source" in told(root=str(tmp_path))
    root.mkdir()
    (root / "live").mkdir()
    assert "is there already" in told()
    (tmp_path / "file").write_text("")
    assert "is not a folder" in told(root=str(tmp_path / "file" / "www"))


def test_ft_16_a_folder_without_the_right_to_write_it_is_said_before_and_meanwhile() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may become somebody without the right")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        write_version(folder / "site", "page", "1")
        place = Place("shop", folder / "greenroom.yaml", folder / ".greenroom")
        settings = EnvironmentSettings(source="site", root=str(folder / "www"))
        said = as_nobody(lambda: " · ".join(StaticEnvironment.problems(settings, place)))
        assert "cannot be written" in said
        assert "sudo install -d -o USER" in said
        assert "Permission denied" in as_nobody(lambda: _refused(folder))
        (folder / "www").mkdir()
        assert "give the user that Greenroom works as the right to it" in as_nobody(lambda: _refused(folder))


def _refused(folder: Path) -> str:
    try:
        publish(Root(str(folder / "www"), "shop"), survey(folder / "site", ()), Wanted("shop", "r-1", "1", 5, 10))
    except PortError as error:
        return f"{error.message} {error.hint}"
    except OSError as error:
        return str(error)
    return "published"


def as_nobody(say: Callable[[], str]) -> str:
    """What is said by a child of ours without any rights."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        try:
            os.write(write, say().encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as answer:
        said = answer.read().decode()
    os.waitpid(child, 0)
    return said


def test_a_check_by_http_needs_an_address_of_the_idle_version(tmp_path: Path) -> None:
    place = Place("shop", tmp_path / "greenroom.yaml", tmp_path / ".greenroom")
    place.file.write_text("checks: [{type: http, path: /}]\n")
    told = StaticRouter.problems(RouterSettings(root=str(tmp_path / "www"), url="http://shop.example"), place)
    assert told[0].startswith("router.test_route: is needed by the check `http`")
    place.file.write_text("checks: [{type: http, url: 'https://other.example/'}, {type: command, run: 'true'}]\n")
    assert StaticRouter.problems(RouterSettings(root=str(tmp_path / "www")), place) == []
    url, _ = StaticRouter(RouterSettings(root=str(tmp_path / "www")), place).reach(test=True)
    assert url == f"file://{tmp_path}/www/idle"
    assert StaticRouter.hazards(RouterSettings(), place)[0].startswith("router.url: is not given")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"root": "./"}, "folder of its own"),
        ({"root": "/"}, "folder of its own"),
        ({"root": "/srv/www", "bucket": "shop"}, "in one of them"),
        ({"prefix": "shop"}, "without `bucket`"),
        ({"bucket": "shop", "prefix": "a//b"}, "letters, digits"),
        ({"publish": "../dist"}, "inside"),
        ({"bucket": "Shop"}, "pattern"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        EnvironmentSettings.model_validate(settings)


# --- the artefact


@pytest.fixture
def press(tmp_path: Path) -> Press:
    return Press(tmp_path)


@pytest.mark.real
def test_what_is_published_is_what_prepare_has_built(press: Press) -> None:
    (press.source / "src.js").write_text("not for users")
    build = "mkdir dist && cp index.html dist/ && echo {version} >dist/v.txt"
    spec = press.spec("1", prepare=[build], publish="dist")
    artefact = press.open()
    artefact.apply(spec, KEY)
    press.wait(lambda: artefact.observe(spec).state is not Making.MAKING, "it is made")
    made = Path(artefact.observe(spec).reference)
    assert made.parent == press.root / "releases"
    assert sorted(path.name for path in made.iterdir()) == ["greenroom.json", "index.html", "v.txt"]
    assert (made / "v.txt").read_text() == "1\n"
    assert (made / "index.html").stat().st_nlink == 1
    kept = [path for path in (press.place.state / "artefacts" / "r-1").iterdir() if path.is_dir()]
    assert [path.name for path in kept] == ["job"], "the copy has gone"


@pytest.mark.real
def test_a_folder_of_somebody_else_is_not_published_through_a_link(press: Press) -> None:
    spec = press.spec("1", prepare=["ln -s /etc dist"], publish="dist")
    artefact = press.open()
    artefact.apply(spec, KEY)
    press.wait(lambda: artefact.observe(spec).state is Making.FAILED, "it failed")
    assert "is a link out of the source" in artefact.observe(spec).detail


@pytest.mark.real
def test_the_source_may_be_on_another_file_system(press: Press) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        if os.stat(other).st_dev == os.stat(press.folder).st_dev:
            pytest.skip("there is no other file system here")
        write_version(Path(other), "page", "1")
        found = survey(Path(other), ())
        made = Path(publish(press.at_root(), found, Wanted("shop", "r-1", "1", 5, 10)))
    assert (made / asset("page 1")).read_text() == "// page 1"


@pytest.mark.real
def test_ft_16_a_full_disk_is_a_failure_that_says_so_and_leaves_nothing_half_made(press: Press) -> None:
    disk = press.folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no right to mount a tmpfs")
    try:
        press.root = disk / "www"
        (press.source / "big.bin").write_bytes(os.urandom(4_000_000))
        artefact, spec = press.open(), press.spec("1")
        artefact.apply(spec, KEY)
        press.wait(lambda: artefact.observe(spec).state is Making.FAILED, "it failed")
        assert "No space left on device" in artefact.observe(spec).detail
        (press.source / "big.bin").unlink()
        artefact.apply(spec, KEY)
        press.wait(lambda: artefact.observe(spec).state is Making.READY, "there is room again")
        assert len(list((press.root / "releases").iterdir())) == 1
    finally:
        while subprocess.run(["umount", str(disk)], check=False, capture_output=True).returncode:
            time.sleep(0.05)


@pytest.mark.real
def test_a_release_of_the_same_name_with_other_content_is_another_version(press: Press) -> None:
    """After a journal that was lost, names begin anew; what is served is not touched."""
    first = publish(press.at_root(), survey(press.source, ()), Wanted("shop", "r-1", "1", 5, 10))
    press.change_source()
    second = publish(press.at_root(), survey(press.source, ()), Wanted("shop", "r-1", "1", 5, 10))
    assert first != second
    assert Path(first, "index.html").read_text() == "first"
    assert Path(second, "index.html").read_text() == "second"


def test_build_scripts_do_not_get_the_right_to_write_the_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "swordfish")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    with without(("AWS_REGION",)):
        assert "AWS_SECRET_ACCESS_KEY" not in os.environ
        assert os.environ["AWS_REGION"] == "eu-central-1"
    assert os.environ["AWS_SECRET_ACCESS_KEY"] == "swordfish"


def test_nothing_of_aws_is_imported_for_a_folder() -> None:
    program = (
        "import sys\n"
        "from greenroom.adapters.environments.static import StaticEnvironment\n"
        "from greenroom.adapters.routers.static import StaticRouter\n"
        "from greenroom.adapters.artefacts.static import StaticArtefact\n"
        "assert 'boto3' not in sys.modules and 'botocore' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_a_root_where_nothing_was_published_is_not_made_by_a_router(tmp_path: Path) -> None:
    place = Place("shop", tmp_path / "greenroom.yaml", tmp_path / ".greenroom")
    router = StaticRouter(RouterSettings(root="elsewhere"), place)
    with pytest.raises(Permanent, match="nothing was published in it"):
        router.apply(routed(BLUE, Backend((Endpoint("r-1-0", 0),), "1", "r-1")), KEY)
    router.remove()
    assert not (tmp_path / "elsewhere").exists()


def test_an_artefact_of_another_folder_is_not_taken(tmp_path: Path) -> None:
    rooms = Rooms(tmp_path)
    spec = EnvironmentSpec("r-1", "1", "/srv/other/releases/r-1-0", Role.IDLE, {})
    with pytest.raises(Permanent, match="which is not in") as refused:
        rooms.open().apply(BLUE, spec, KEY)
    assert refused.value.hint == "after `root` was changed, deploy that version again"
    with pytest.raises(Permanent, match="is gone"):
        rooms.open().apply(BLUE, EnvironmentSpec("r-1", "1", f"{rooms.root}/releases/r-1-0", Role.IDLE, {}), KEY)


def test_only_a_bucket_is_asked_seldom_and_needs_no_engine_here(tmp_path: Path) -> None:
    rooms = Rooms(tmp_path)
    assert not isinstance(rooms.open(), Paced)
    assert not isinstance(StaticRouter(RouterSettings(root=str(rooms.root)), rooms.place), Paced)
    assert StaticEnvironment.afar({"bucket": "shop"})
    assert not StaticEnvironment.afar({"root": "/srv/www"})


# --- as a whole file


def test_what_one_pointer_cannot_do_is_said_when_the_file_is_read_or_the_command_is_given(tmp_path: Path) -> None:
    file = tmp_path / "greenroom.yaml"
    (tmp_path / "site").mkdir()
    text = "service: shop\nenvironment: {type: static, source: site, root: www}\nrouter: {type: static, root: www}\n"
    for more, says in (
        ("shift: [5% for 2m, 100%]\n", "shift: the router `static` can only switch all traffic at once"),
        ("analysis: [{metric: error_rate, max: 1%}]\n", "analysis: the router `static` counts no requests"),
    ):
        file.write_text(text + more)
        with pytest.raises(UsageError, match=says):
            open_service(file, {})
    file.write_text(text)
    with pytest.raises(Refused, match="a drill would show it to everybody"):
        open_service(file, {}).rehearse("2")


@pytest.mark.real
def test_the_guides_nginx_serves_what_the_guide_says(tmp_path: Path) -> None:
    site = Site(tmp_path)
    page = Path(__file__).parents[2] / "docs" / "guides" / "static.md"
    (servers,) = [block.text for block in blocks(page) if block.language == "nginx"]
    for name, port in (("shop.example", site.port), ("idle.shop.example", site.test_port)):
        servers = servers.replace(f"server_name {name};", f"server_name {name}; listen 127.0.0.1:{port};")
    site.configure(servers.replace("/var/www/shop", str(site.root)))
    blue, green = site.backend(BLUE), site.backend(GREEN)
    site.start()
    try:
        router = site.router()
        router.apply(routed(BLUE, blue, green, test=GREEN), KEY)
        settled(site, router)
        for url, colour in ((site.url, "blue"), (site.test_url, "green")):
            for path in ("/", "/index.html", "/deep/link"):
                assert traffic.ask(url, path).text.startswith(colour)
        page_of, script = traffic.ask(site.url), f"/{asset('blue 1.0')}"
        assert page_of.headers["cache-control"] == "no-cache"
        assert traffic.ask(site.url, script).headers["cache-control"] == "public, max-age=31536000, immutable"
        assert traffic.ask(site.url, "/assets/nowhere-0a1b2c3d.js").status == 404, "never the page in its place"
    finally:
        site.end()
