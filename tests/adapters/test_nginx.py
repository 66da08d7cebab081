"""Router and analyser `nginx`: beside a configuration that people own, and when something is wrong."""

from __future__ import annotations

import json
import os
import re
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from greenroom.adapters.hosts.local import LocalHost
from greenroom.adapters.nginx.examine import include_lines, prepare
from greenroom.adapters.nginx.log import LIMIT
from greenroom.adapters.nginx.settings import NginxSettings
from greenroom.domain.figures import Figures
from greenroom.domain.model import Backend, Colour, Endpoint, First, RoutingSpec, Split
from greenroom.errors import Permanent, PortError, Temporary
from greenroom.ports import Place, Ran
from greenroom.testing import traffic
from greenroom.testing.contracts.router import Server as Served
from greenroom.testing.processes import free_ports
from tests.rigs.certificates import certificate
from tests.rigs.nginx import Rig
from tests.rigs.routing import NOTHING, PATIENCE, key

BLUE, GREEN = Colour.BLUE, Colour.GREEN

pytestmark = pytest.mark.real


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path) as made:
        yield made


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def problems(rig: Rig, **settings: Any) -> list[str]:
    return rig.router().problems(rig.configured(**settings) if settings else rig.settings, rig.place)


def measured(rig: Rig, requests: int) -> Figures:
    """What blue's users met, once so many are counted."""
    analyser = rig.analyser()
    until(lambda: analyser.measure().blue.requests >= requests)
    return analyser.measure().blue


# beside people's own configuration


def test_the_lines_change_nothing_until_the_first_release(tmp_path: Path) -> None:
    port = free_ports(1)[0]
    with Rig(tmp_path, before=f"127.0.0.1:{port}") as rig:
        before = rig.conf.read_text()
        with_today = rig.server(BLUE, port=port)
        assert traffic.ask(rig.url).text == "blue 1.0"
        prepare(rig.settings, rig.place)
        assert traffic.ask(rig.url).text == "blue 1.0"
        seen = rig.router().observe()
        assert (seen.told, seen.running, seen.detail) == (None, False, "")
        rig.route(with_today.backend, rig.backend(GREEN), split=Split.none(), test=GREEN)
        assert traffic.ask(rig.url).text == "blue 1.0"
        rig.route(with_today.backend, rig.backend(GREEN), to=GREEN)
        assert traffic.ask(rig.url).text == "green 3.0"
        prepare(rig.settings, rig.place)
        assert traffic.ask(rig.url).text == "green 3.0"
        rig.router().remove()
        rig.until(lambda seen: not seen.running)
        answer = traffic.ask(rig.url)
        assert answer.text == "blue 1.0"
        assert answer.headers["x-frame-options"] == "DENY"
        assert rig.conf.read_text() == before


def test_users_are_told_apart_from_tests_by_header_host_or_listener(tmp_path: Path) -> None:
    own = free_ports(1)[0]
    way = {"header": "x-idle", "host": "idle.shop.example", "listen": f"127.0.0.1:{own}"}
    with Rig(tmp_path, test_route=way) as rig:
        rig.route(rig.backend(BLUE), rig.backend(GREEN), test=GREEN)
        assert traffic.ask(rig.url).text == "blue 1.0"
        assert traffic.ask(rig.url, headers={"X-Idle": "yes"}).text == "green 2.0"
        assert traffic.ask(rig.url, headers={"Host": "IDLE.shop.example:80"}).text == "green 2.0"
        assert traffic.ask(f"http://127.0.0.1:{own}").text == "green 2.0"
        assert rig.router().reach(test=True) == (f"http://127.0.0.1:{own}", {})
        config = (rig.folder / "http.conf").read_text()
        claimed = {"Host": re.findall(r"server_name (\S+\.invalid);", config)[0]}
        assert traffic.ask(rig.url, headers=claimed).text == "blue 1.0"


def test_a_server_of_greenrooms_own_with_tls_and_http2(tmp_path: Path) -> None:
    certificate(tmp_path, 1001)
    plain, secure = free_ports(2)
    tls = {"address": f"127.0.0.1:{secure}", "tls": {"certificate": "site.pem", "key": "site.key"}}
    with Rig(tmp_path, servers="", start=False, listen=[tls, f"127.0.0.1:{plain}"]) as rig:
        rig.port = plain
        rig.start()
        assert problems(rig) == []
        rig.route(rig.backend(BLUE))
        url, _ = rig.router().reach()
        assert url == f"https://127.0.0.1:{secure}"
        assert json.loads(traffic.ask(url, "/headers").body)["x-forwarded-proto"] == "https"
        assert traffic.ask_h2(url).text == traffic.ask(f"http://127.0.0.1:{plain}").text == "blue 1.0"
        body = os.urandom(1 << 20) * 4
        assert traffic.ask(url, method="POST", body=body).text.split()[2] == str(len(body))


def test_the_application_learns_who_asked(tmp_path: Path) -> None:
    said = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "shop.example", "X-Forwarded-For": "9.9.9.9"}
    with Rig(tmp_path) as rig:
        backend = rig.backend(BLUE)
        rig.route(backend)
        seen = json.loads(traffic.ask(rig.url, "/headers", headers=said).body)
        assert seen["host"] == seen["x-forwarded-host"] == f"127.0.0.1:{rig.port}"
        assert (seen["x-forwarded-proto"], seen["x-forwarded-for"]) == ("http", "9.9.9.9, 127.0.0.1")
        rig.route(backend, router=rig.router(trusted_hops=1))
        seen = json.loads(traffic.ask(rig.url, "/headers", headers=said).body)
        assert (seen["x-forwarded-proto"], seen["x-forwarded-host"]) == ("https", "shop.example")


def test_a_location_under_a_path_on_a_named_server(tmp_path: Path) -> None:
    with Rig(tmp_path, servers="", start=False) as rig:
        include = f"include {rig.inside}/route.conf;"
        first = f"server {{ listen 127.0.0.1:{rig.port} default_server; return 404; }}"
        named = f"server {{ listen 127.0.0.1:{rig.port}; server_name shop.example; location /app/ {{ {include} }} }}"
        rig.conf.write_text(rig.conf.read_text().replace("  \n}", f"  {first} {named}\n}}"))
        rig.start()
        router = rig.router(url="http://shop.example/app/", address=f"127.0.0.1:{rig.port}")
        rig.route(rig.backend(BLUE), router=router)
        url, headers = router.reach()
        assert (url, headers) == (f"{rig.url}/app", {"Host": "shop.example"})
        assert traffic.ask(rig.url, "/app/page", headers=headers).text == "blue 1.0"


def test_what_people_cache_and_forbid_for_files_does_not_concern_the_route(tmp_path: Path) -> None:
    cached = "open_file_cache max=100 inactive=60s; open_file_cache_valid 60s; open_file_cache_errors on;"
    with Rig(tmp_path, more=f"{cached} disable_symlinks on;") as rig:
        idle = {"x-greenroom-test": "1"}
        blue, green = rig.backend(BLUE), rig.backend(GREEN)
        assert traffic.ask(rig.url).status == 503
        rig.route(blue, green)
        assert (traffic.ask(rig.url).text, traffic.ask(rig.url, headers=idle).status) == ("blue 1.0", 503)
        rig.route(blue, green, test=GREEN)
        assert traffic.ask(rig.url, headers=idle).text == "green 2.0"
        rig.router().remove()
        rig.until(lambda seen: not seen.running)
        assert [traffic.ask(rig.url).status, traffic.ask(rig.url, headers=idle).status] == [503, 503]


# shares


def test_shares_are_exact_and_need_no_reload(rig: Rig) -> None:
    blue, green = rig.backend(BLUE), rig.backend(GREEN)
    rig.route(blue, green)
    before = rig.reloads()
    for percent in (1, 50, 99):
        rig.route(blue, green, split=Split.share(GREEN, percent))
        count = rig.shares(1200)
        deviation = (1200 * percent / 100 * (1 - percent / 100)) ** 0.5
        assert abs(count.get(GREEN, 0) - 12 * percent) <= 6 * deviation
        assert sum(count.values()) == 1200
    assert rig.reloads() == before


def test_who_goes_first_costs_one_reload_once(rig: Rig) -> None:
    blue, green = rig.backend(BLUE), rig.backend(GREEN)
    staff = First("X-Staff", r"a.b $1 {;} \n 'c' #", GREEN)
    rig.route(blue, green)
    rig.route(blue, green, first=staff)
    known = rig.reloads()
    for split in (Split(95, 5), Split.all_to(BLUE)):
        rig.route(blue, green, split=split, first=staff)
        assert rig.send(headers={"x-staff": staff.value}).by is GREEN
        answers = [rig.send(headers={"x-staff": other}).by for other in ("axb $1 {;} \\n 'c' #", staff.value.upper())]
        assert split.green or answers == [BLUE, BLUE]
    rig.route(blue, green)
    assert rig.send(headers={"x-staff": staff.value}).by is BLUE
    rig.route(blue, green, first=staff)
    rig.route(blue, green, to=GREEN, first=First(staff.header, staff.value, BLUE))
    assert rig.send(headers={"x-staff": staff.value}).by is BLUE
    assert rig.reloads() == known


def test_a_user_stays_where_he_is_and_a_cohort_only_grows(tmp_path: Path) -> None:
    with Rig(tmp_path, sticky=True) as rig:
        blue, green = rig.backend(BLUE), rig.backend(GREEN)
        cookies: list[str] = []
        colours: list[list[str]] = []
        for percent in (20, 45, 100, 20):
            rig.route(blue, green, split=Split.share(GREEN, percent))
            with closing(traffic.connect(rig.url)) as connection:
                if not cookies:
                    first = [traffic.exchange(connection) for _ in range(250)]
                    cookies = [answer.headers["set-cookie"].split(";")[0] for answer in first]
                    colours.append([answer.text.split()[0] for answer in first])
                    assert first[0].headers["x-frame-options"] == "DENY"  # what the server adds is still added
                again = [traffic.exchange(connection, headers={"Cookie": cookie}) for cookie in cookies]
            assert not [answer for answer in again if "set-cookie" in answer.headers]
            colours.append([answer.text.split()[0] for answer in again])
        assert len(set(cookies)) == 250
        first, at_20, at_45, at_100, back = colours
        assert first == at_20 == back
        assert abs(at_20.count("green") - 50) <= 6 * 40**0.5
        assert abs(at_45.count("green") - 112.5) <= 6 * 62**0.5
        assert not [n for n in range(250) if at_20[n] == "green" and at_45[n] == "blue"]
        assert set(at_100) == {"green"}


def test_old_states_are_cleared_away(rig: Rig) -> None:
    blue, green, router = rig.backend(BLUE), rig.backend(GREEN), rig.router()
    for number in range(45):
        router.apply(RoutingSpec(Split.share(GREEN, number), blue, green), key())
    names = os.listdir(rig.folder / "states")
    assert "off" in names
    assert len(names) <= 42
    assert router.observe().live == Split.share(GREEN, 44)


# the topology


def test_only_new_addresses_are_a_reload(rig: Rig) -> None:
    router = rig.router()
    hazards = router.hazards(rig.settings, rig.place)
    assert len(hazards) == 1
    assert "reloaded once, before any traffic moves" in hazards[0]
    blue, green = rig.backend(BLUE), rig.backend(GREEN)
    rig.route(blue)
    rig.route(blue, green, test=GREEN)
    assert router.hazards(rig.settings, rig.place) == []
    before = rig.reloads()
    rig.route(blue, green, to=GREEN)
    rig.route(NOTHING, green, to=GREEN)  # blue is retired: what nobody is sent to may stay in the file
    fresh = Backend(blue.endpoints, "3.0", "r-3.0")  # on blue's fixed port again
    rig.route(fresh, green, to=GREEN, test=BLUE)
    rig.route(fresh, green, to=BLUE)
    assert rig.reloads() == before
    assert router.hazards(rig.settings, rig.place) == []
    rig.route(fresh, rig.backend(GREEN), test=GREEN)
    assert rig.reloads() > before
    assert "with fixed ports" in router.hazards(rig.settings, rig.place)[0]


def test_what_serves_keeps_its_addresses_until_the_switch(rig: Rig) -> None:
    """One telling that moves the traffic away from blue and blue to another address: both in their order."""
    blue, green = rig.backend(BLUE), rig.backend(GREEN)
    rig.route(blue, green)
    with traffic.Load(rig.url, kinds=("fresh", "slow")) as load:
        nobody = Backend((Endpoint("127.0.0.1", free_ports(1)[0]),), "9.0")
        rig.route(nobody, green, to=GREEN)
        assert rig.ask() == Served(GREEN, green.version)
    assert load.failed == []


def test_ft_14_websockets_survive_a_reload_and_are_counted(rig: Rig) -> None:
    blue, green = rig.backend(BLUE), rig.backend(GREEN)
    rig.route(blue, green)
    held = rig.hold()
    rig.route(blue, rig.backend(GREEN))
    assert held.answers() == Served(BLUE, blue.version)
    assert rig.router().observe().holding == {BLUE: 1, GREEN: 0}
    held.close()
    rig.until(lambda seen: seen.holding[BLUE] == 0)


def test_ft_5_what_nginx_refuses_is_taken_back_with_its_own_words(rig: Rig) -> None:
    blue, green = rig.backend(BLUE), rig.backend(GREEN)
    rig.route(blue, green)
    before = {name: (rig.folder / name).read_bytes() for name in ("http.conf", "route.conf", "log.conf")}
    wrong = rig.router(access_log="/tmp/greenroom-x.log no_such_format")
    with pytest.raises(Permanent, match='unknown log format "no_such_format"'):
        wrong.apply(RoutingSpec(Split.all_to(GREEN), blue, green), key())
    assert {name: (rig.folder / name).read_bytes() for name in before} == before
    assert "no_such_format" in wrong.observe().detail
    assert rig.ask() == Served(BLUE, blue.version)
    rig.reload()  # the files are good
    rig.route(blue, green, to=GREEN)
    assert rig.router().observe().detail == ""


def test_ft_5_a_taken_address_is_refused_after_the_reload_and_nothing_is_left_of_it(rig: Rig) -> None:
    blue, green = rig.backend(BLUE), rig.backend(GREEN)
    rig.route(blue, green)
    before = (rig.folder / "http.conf").read_bytes()
    with pytest.raises(Permanent, match="Address already in use"):
        rig.demanding().apply(RoutingSpec(Split.all_to(GREEN), blue, green), key())
    assert (rig.folder / "http.conf").read_bytes() == before
    assert rig.ask() == Served(BLUE, blue.version)


# drains


def test_ft_9_what_is_drained_may_be_stopped_under_load(rig: Rig) -> None:
    old = rig.server(BLUE)
    green = rig.backend(GREEN)
    rig.route(old.backend, green)
    with traffic.Load(rig.url) as load:
        until(lambda: rig.router().observe().holding[BLUE] > 0)
        rig.route(old.backend, green, to=GREEN)
        rig.until(lambda seen: seen.holding[BLUE] == 0)
        old.stop()
        sent = len(load.seen)
        until(lambda: len(load.seen) > sent + 200)
    assert load.failed == []


def test_ft_8_who_waits_at_the_door_meets_the_new_colour(tmp_path: Path) -> None:
    """A request that is held up by an authentication while the switch happens goes where the route leads then."""
    door = free_ports(1)[0]
    more = f"location = /auth {{ internal; proxy_pass http://127.0.0.1:{door}/slow?ms=500; }}"
    with Rig(tmp_path, more=more) as rig:
        conf = rig.conf.read_text().replace("location / { include", "location / { auth_request /auth; include")
        rig.conf.write_text(conf)
        rig.reload()
        doorman = rig.server(BLUE, port=door)
        blue, green = rig.backend(BLUE), rig.backend(GREEN)
        rig.route(blue, green)
        answers: list[traffic.Answer] = []
        waits = threading.Thread(target=lambda: answers.append(traffic.ask(rig.url)))
        waits.start()
        until(lambda: doorman.requests == 1)
        rig.route(blue, green, to=GREEN)
        waits.join(PATIENCE)
        assert [answer.text for answer in answers] == [f"green {green.version}"]


# misfortune


def test_ft_2_a_link_that_somebody_moved_is_seen_as_what_it_is(rig: Rig) -> None:
    blue, green = rig.backend(BLUE), rig.backend(GREEN)
    rig.route(blue, green)
    state = os.readlink(rig.folder / "live")
    rig.route(blue, green, to=GREEN)
    (rig.folder / "new").symlink_to(state)
    (rig.folder / "new").rename(rig.folder / "live")
    seen = rig.router().observe()
    # It is the state before: as if whoever told it had died in the middle.
    assert (seen.settled, seen.unfinished, seen.live) == (False, True, Split.all_to(BLUE))
    (rig.folder / "states" / "1-abc-g050-tnone").mkdir()
    (rig.folder / "new").symlink_to("states/1-abc-g050-tnone")
    (rig.folder / "new").rename(rig.folder / "live")
    seen = rig.router().observe()
    assert (seen.settled, seen.told, seen.live) == (False, None, Split(50, 50))
    assert "changed by somebody else" in seen.detail
    rig.route(blue, green, to=GREEN)


def test_ft_12_a_damaged_record_stops_no_traffic_and_is_repaired(rig: Rig) -> None:
    blue, green = rig.backend(BLUE), rig.backend(GREEN)
    rig.route(blue, green)
    told = rig.folder / "told.json"
    told.write_bytes(told.read_bytes()[:100])
    seen = rig.router().observe()
    assert (seen.told, seen.running, seen.live) == (None, True, Split.all_to(BLUE))
    assert "damaged" in seen.detail
    assert rig.ask() == Served(BLUE, blue.version)
    told.unlink()
    assert "deleted" in rig.router().observe().detail
    rig.route(blue, green, to=GREEN)


class FullDisk(LocalHost):
    """No file can grow."""

    def run(self, command: Sequence[str], *, stdin: bytes = b"", timeout: float = 10.0) -> Ran:
        limited = ["sh", "-c", 'trap "" XFSZ; ulimit -f 0; exec "$@"', "sh", *command]
        return super().run(limited, stdin=stdin, timeout=timeout)


def test_ft_12_ft_16_a_full_disk_moves_nothing(rig: Rig) -> None:
    blue, green = rig.backend(BLUE), rig.backend(GREEN)
    rig.route(blue, green)
    before = rig.router().observe()
    with pytest.raises(Temporary):
        rig.router(FullDisk()).apply(RoutingSpec(Split.all_to(GREEN), blue, green), key())
    with pytest.raises(Temporary):
        rig.router(FullDisk()).apply(RoutingSpec(Split.all_to(GREEN), blue, rig.backend(GREEN)), key())
    after = rig.router().observe()
    assert (after.settled, after.told, after.revision) == (True, before.told, before.revision)
    assert rig.ask() == Served(BLUE, blue.version)


class Interrupted(LocalHost):
    """Dies in the middle of what changes the folder: the script ends before this word in it."""

    def __init__(self, word: str) -> None:
        self.word = word.encode()

    def run(self, command: Sequence[str], *, stdin: bytes = b"", timeout: float = 10.0) -> Ran:
        if self.word in stdin:
            stdin = stdin.replace(self.word, b"exit 9; " + self.word, 1)
        return super().run(command, stdin=stdin, timeout=timeout)


@pytest.mark.parametrize("word", ["whole told.json", "mkdir -p -m 755 states/", "ln -s", "mv -fT live"])
def test_ft_1_a_switch_that_died_in_the_middle_is_seen_and_finished_by_the_next(rig: Rig, word: str) -> None:
    blue, green = rig.backend(BLUE), rig.backend(GREEN)
    rig.route(blue, green)
    wanted = RoutingSpec(Split.all_to(GREEN), blue, green)
    with pytest.raises(PortError):
        rig.router(Interrupted(word)).apply(wanted, key())
    seen = rig.router().observe()
    assert seen.live == Split.all_to(BLUE)
    assert seen.settled == (seen.told != wanted)  # before it was told: as if nothing had been
    assert seen.unfinished == (not seen.settled)
    rig.router().apply(wanted, key())
    assert rig.until(lambda seen: seen.settled).live == Split.all_to(GREEN)


@pytest.mark.parametrize("before", [False, True])
def test_files_of_an_earlier_greenroom_are_replaced_without_anybody_being_turned_away(
    tmp_path: Path, before: bool
) -> None:
    """Whose states were empty folders: what serves goes on between the reload and the switch, too."""
    port = free_ports(1)[0]
    with Rig(tmp_path, before=f"127.0.0.1:{port}" if before else "") as rig:
        blue, green = rig.server(BLUE, port=port).backend, rig.backend(GREEN)
        if not before:
            rig.route(blue, green)
        route = rig.folder / "route.conf"
        route.write_text(re.sub(r"if \(!-e .*\n", "", route.read_text()))
        for who in (rig.folder / "live").resolve().iterdir():
            who.rmdir()
        rig.reload()
        assert traffic.ask(rig.url).text == "blue 1.0"
        wanted = RoutingSpec(Split.all_to(GREEN), blue, green)
        with pytest.raises(PortError):
            rig.router(Interrupted("ln -s")).apply(wanted, key())
        assert "!-e" in route.read_text()
        assert traffic.ask(rig.url).text == "blue 1.0"
        rig.router().apply(wanted, key())
        assert rig.until(lambda seen: seen.settled).live == Split.all_to(GREEN)
        assert traffic.ask(rig.url).text == "green 2.0"


def test_an_nginx_that_is_down_learns_of_new_addresses_when_it_starts(rig: Rig) -> None:
    blue, green = rig.backend(BLUE), rig.backend(GREEN)
    rig.route(blue)
    rig.die()
    seen = rig.router().observe()
    assert (seen.running, seen.live) == (False, None)
    assert "does not answer" in seen.detail
    with pytest.raises(PortError, match="reload"):
        rig.router().apply(RoutingSpec(Split.all_to(GREEN), blue, green), key())
    rig.start()
    assert rig.ask() == Served(BLUE, blue.version)
    rig.route(blue, green, to=GREEN)


@contextmanager
def open_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="greenroom-nginx-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.skipif(os.geteuid() != 0, reason="no right to run nginx's workers as another user")
def test_workers_of_another_user_follow_the_link_or_it_is_said_before() -> None:
    with open_folder() as folder, Rig(folder, user="nobody nogroup") as rig:
        blue, green = rig.backend(BLUE), rig.backend(GREEN)
        rig.route(blue, green)
        assert problems(rig) == []
        assert measured(rig, 0).requests == 0
        (folder / "greenroom").chmod(0o700)
        assert traffic.ask(rig.url).status == 503  # nobody's: never a colour that was not meant
        seen = rig.router().observe()
        assert (seen.running, seen.live) == (False, None)
        assert "cannot follow" in seen.detail
        assert any("cannot enter" in problem for problem in problems(rig))


# what is wrong before


def test_bad_input_is_named_with_the_way_out(tmp_path: Path) -> None:
    with Rig(tmp_path, servers="", start=False) as rig:
        (missing,) = problems(rig, command="no-such-nginx")
        assert missing.startswith("router.command: ")
        assert "no-such-nginx: not found" in missing
        (unprepared,) = problems(rig, folder=str(tmp_path / "elsewhere"))
        assert "greenroom init --router nginx" in unprepared
        (not_included,) = problems(rig)
        with closing(socket.create_server(("127.0.0.1", 0))) as nobody:
            there = rig.configured(address=f"127.0.0.1:{nobody.getsockname()[1]}")
            assert rig.router().problems(there, rig.place) == [not_included]
        assert f"nginx does not include {rig.inside}/route.conf: `greenroom init --router nginx`" in not_included
        conf = rig.conf.read_text()
        server = f"server {{ listen 127.0.0.1:{rig.port}; location / {{ include {rig.inside}/route.conf; }} }}"
        rig.conf.write_text(conf.replace("  \n}", f"  {server}\n}}"))
        (down,) = problems(rig)
        assert "nginx does not answer" in down
        with closing(socket.create_server(("127.0.0.1", rig.port))):
            (silent,) = problems(rig)
            assert "router.url" in silent
        rig.start()
        assert problems(rig) == []
        (foreign,) = problems(rig, url=rig.server(BLUE).name and f"http://127.0.0.1:{rig.server(BLUE).port}")
        assert "not by Greenroom's files" in foreign
        rig.conf.write_text(rig.conf.read_text().replace("server {", "serve {", 1))
        (refused,) = problems(rig)
        assert "nginx refuses the configuration as it is" in refused
        assert 'unknown directive "serve"' in refused
        assert traffic.ask(rig.url).status == 503


class Nobody(LocalHost):
    """A user without any right."""

    def run(self, command: Sequence[str], *, stdin: bytes = b"", timeout: float = 10.0) -> Ran:
        other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]
        return super().run(other, stdin=stdin, timeout=timeout)


@pytest.mark.skipif(os.geteuid() != 0, reason="no right to act as another user")
def test_no_right_is_said_before() -> None:
    with open_folder() as folder, Rig(folder) as rig:
        blue, green = rig.backend(BLUE), rig.backend(GREEN)
        rig.route(blue, green)
        place = rig.placed(Nobody())
        (said,) = rig.router().problems(rig.settings, place)
        assert "nginx cannot be asked by Greenroom's user" in said
        (said,) = rig.router().problems(rig.configured(command="true"), place)
        assert f"{rig.folder} may not be read by us" in said
        with pytest.raises(Permanent, match="may not be read by us"):
            rig.router(Nobody()).observe()
        for name in ("", "told.json", "token", "http.conf", "epoch", "lock", "states", "log"):
            os.chown(rig.folder / name, 65534, 65534)
        rig.router(Nobody()).apply(
            RoutingSpec(Split.all_to(GREEN), blue, green), key()
        )  # to switch needs no other right
        rig.until(lambda seen: seen.live == Split.all_to(GREEN))
        with pytest.raises(PortError, match=r"ermission denied|not permitted"):
            rig.router(Nobody()).apply(RoutingSpec(Split.all_to(BLUE), rig.backend(BLUE), green), key())
        assert rig.ask() == Served(GREEN, green.version)


def test_an_nginx_that_does_not_include_the_files_is_not_touched(tmp_path: Path) -> None:
    with Rig(tmp_path, start=False) as rig:
        conf = rig.conf.read_text()
        rig.conf.write_text(re.sub(r"include [^;]*;", "", conf))
        rig.start()
        before = {path: path.read_bytes() for path in rig.folder.iterdir() if path.is_file()}
        with pytest.raises(Permanent, match="not by Greenroom's files") as caught:
            rig.router().apply(RoutingSpec(Split.all_to(BLUE), rig.backend(BLUE)), key())
        assert f"include {rig.inside}/http.conf;" in caught.value.hint
        assert {path: path.read_bytes() for path in rig.folder.iterdir() if path.is_file()} == before


def test_a_location_that_is_not_included_is_no_router(tmp_path: Path) -> None:
    more = "location /other { return 200 hello; }"
    with Rig(tmp_path, more=more) as rig:
        router = rig.router(url=f"{rig.url}/other")
        with pytest.raises(Permanent, match="not by Greenroom's files") as caught:
            router.apply(RoutingSpec(Split.all_to(BLUE), rig.backend(BLUE)), key())
        assert "include" in caught.value.hint


def test_settings_say_what_is_wrong() -> None:
    def refused(match: str, **settings: object) -> None:
        with pytest.raises(ValueError, match=match):
            NginxSettings.model_validate(settings)

    refused("either `url`")
    refused("either `url`", url="http://shop", listen="127.0.0.1:80")
    refused("no address of a location", url="shop.example")
    refused("no address of a location", url="http://shop/?x=1")
    refused("does not begin with an IP address", url="http://shop", before="shop:80")
    refused("whole path", url="http://shop", folder="etc/x")
    refused("whole path", url="http://shop", folder="/etc/x;y")
    refused("access_log", url="http://shop", access_log="/x; return 200")
    refused("No closing quotation", url="http://shop", command="nginx 'x")
    refused("listed twice", listen=["127.0.0.1:80", "127.0.0.1:80"])


def test_what_to_add_is_said(tmp_path: Path) -> None:
    place = Place("shop", tmp_path / "greenroom.yaml", tmp_path / ".greenroom")
    own = include_lines(NginxSettings(url="https://shop.example"), place)
    assert "include /etc/nginx/greenroom/shop/http.conf;" in own[0]
    assert "include /etc/nginx/greenroom/shop/route.conf;" in own[1]
    assert any("router.before" in line for line in own)
    whole = include_lines(NginxSettings.model_validate({"listen": "0.0.0.0:80"}), place)
    assert not any("route.conf" in line for line in whole)


# measurements


def test_requests_without_an_answer_are_counted_as_what_they_were(rig: Rig) -> None:
    server = rig.server(BLUE)
    rig.route(server.backend, rig.backend(GREEN))
    assert traffic.ask(rig.url).status == 200
    with socket.create_connection(("127.0.0.1", rig.port)) as leaves:  # before the answer
        leaves.sendall(b"GET /slow?ms=60000 HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: server.requests == 2)
    measured(rig, 2)
    server.stop()
    assert traffic.ask(rig.url).status == 502
    seen = measured(rig, 3)
    assert dict(seen.statuses) == {"200": 1, "499": 1, "502": 1}
    assert seen.errors == 1


def test_latency_ends_with_the_first_byte(rig: Rig) -> None:
    server = rig.server(BLUE)
    rig.route(server.backend)
    connection = traffic.connect(rig.url)
    connection.request("GET", "/stream")
    until(lambda: bool(server.waiting))
    time.sleep(0.5)  # what the second half takes
    server.release()
    assert connection.getresponse().read() == b"firstsecond"
    connection.close()
    seen = measured(rig, 1)
    assert next(count for bound, count in seen.latency if bound >= 250) == 1


def test_error_pages_of_peoples_own_are_noticed(tmp_path: Path) -> None:
    page = "error_page 502 /sorry.html; location = /sorry.html { %s return 200 sorry; }"
    with Rig(tmp_path, more=page % "") as rig:
        server = rig.server(BLUE)
        rig.route(server.backend, rig.backend(GREEN))
        assert any("not counted" in hazard for hazard in rig.router().hazards(rig.settings, rig.place))
        conf = rig.conf.read_text()
        rig.conf.write_text(conf.replace("return 200 sorry", f"include {rig.inside}/log.conf; return 200 sorry"))
        rig.reload()
        until(lambda: rig.router().hazards(rig.settings, rig.place) == [])
        server.stop()
        assert traffic.ask(rig.url).text == "sorry"
        seen = measured(rig, 1)
        assert (seen.requests, seen.errors) == (1, 1)
        assert rig.analyser().measure().green.requests == 0


def test_a_large_log_is_renamed_away_and_the_count_goes_on(rig: Rig) -> None:
    rig.route(rig.backend(BLUE))
    analyser = rig.analyser()
    for _ in range(3):
        assert traffic.ask(rig.url).status == 200
    until(lambda: analyser.measure().blue.requests == 3)
    first = analyser.measure()
    log = rig.folder / "log" / "requests.log"
    rig.router().tidy()
    assert not log.with_name("requests.log.1").exists()
    junk = b"test\tblue\t502\t-\t0.001\t0.001\n" * (LIMIT // 48)
    for last_one in (False, True):
        with log.open("ab") as file:
            file.write(junk + b"users\tblue\t500\t0.001\t0.001\t0.001\n")
        if not last_one:  # which is read when the file was renamed away
            assert analyser.measure().blue.requests == 4
    rig.router().tidy()
    until(lambda: log.exists() and log.stat().st_size < LIMIT)
    assert log.with_name("requests.log.1").stat().st_size > LIMIT
    last = analyser.measure()
    assert (last.blue.requests, last.blue.errors) == (5, 2)

    def counted() -> bool:
        traffic.ask(rig.url)
        return analyser.measure().blue.requests > 5

    until(counted)
    assert analyser.measure().incarnation == first.incarnation
    assert rig.analyser().measure().incarnation != first.incarnation


def test_peoples_own_access_log_is_written_on(tmp_path: Path) -> None:
    own = tmp_path / "own.log"
    with Rig(tmp_path, access_log=f"{own} combined") as rig:
        rig.route(rig.backend(BLUE))
        assert traffic.ask(rig.url, "/page").status == 200
        until(lambda: "GET /page" in own.read_text())


# parity


def test_both_colours_are_spoken_to_alike_and_a_difference_is_seen(rig: Rig) -> None:
    rig.route(rig.backend(BLUE), rig.backend(GREEN))
    router = rig.router()
    blue, green = router.inspect(BLUE)["upstream"], router.inspect(GREEN)["upstream"]
    assert blue == green
    assert blue.effective == blue.asked
    assert blue.effective["keepalive_timeout"] == "1500ms"
    text = (rig.folder / "http.conf").read_text()
    part = re.search(r"upstream greenroom_shop_green \{.*?\}", text, re.DOTALL)
    assert part is not None
    changed = part[0].replace("fail_timeout=2s", "fail_timeout=9s")
    (rig.folder / "http.conf").write_text(text.replace(part[0], changed))
    seen: Mapping[str, str] = router.inspect(GREEN)["upstream"].effective
    assert seen["server"] == "max_fails=1 fail_timeout=9s"
    assert router.inspect(GREEN)["upstream"].asked["server"] == "max_fails=1 fail_timeout=2s"
