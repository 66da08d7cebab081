"""HAProxy as its people set it up: what is wrong is said before a deploy, and what it refuses is taken back."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from greenroom.adapters.haproxy.loading import loaded
from greenroom.adapters.hosts.local import LocalHost
from greenroom.adapters.routers.haproxy import HaproxyRouter
from greenroom.domain.model import Backend, Colour, RoutingSpec, Split
from greenroom.errors import Permanent, Temporary
from greenroom.ports import Address, Place
from greenroom.testing import traffic
from greenroom.testing.processes import free_ports
from tests.rigs.haproxy import Stage
from tests.rigs.routing import key

pytestmark = pytest.mark.real
BLUE, GREEN = Colour.BLUE, Colour.GREEN


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path) as stage:
        yield stage


def only(problems: list[str]) -> str:
    assert len(problems) == 1, problems
    return problems[0]


# --- what is refused


def test_ft_5_a_file_that_haproxy_refuses_does_not_stay_there(stage: Stage) -> None:
    blue, green = stage.backend(BLUE), stage.backend(GREEN)
    stage.route(blue, green)
    worker, text = stage.haproxy.worker(), stage.file.read_text()
    secure = stage.router(listen={"address": f"127.0.0.1:{stage.port}", "certificate": "/nowhere/site.pem"})
    with pytest.raises(Permanent, match="refused") as refused:
        secure.apply(RoutingSpec(Split.all_to(GREEN), blue, green), key())
    if os.geteuid() == 0:  # who may ask HAProxy itself hears its reason
        assert "/nowhere/site.pem" in str(refused.value)
        assert stage.haproxy.worker() == worker
    assert stage.file.read_text() == text
    seen = secure.observe()
    assert not seen.settled
    assert not seen.unfinished
    assert "refused" in seen.detail
    assert traffic.ask(stage.url).text == "blue 1.0"
    stage.haproxy.kill()
    assert traffic.ask(stage.url).text == "blue 1.0"
    stage.route(blue, green, to=GREEN)
    assert traffic.ask(stage.url).text == "green 2.0"


def test_ft_5_refused_at_the_very_first_time_nothing_stays(stage: Stage) -> None:
    with pytest.raises(Permanent, match="refused"):
        stage.demanding().apply(RoutingSpec(Split.all_to(BLUE), stage.backend(BLUE)), key())
    assert "bind" not in stage.file.read_text()
    stage.haproxy.kill()
    assert traffic.ask(f"http://127.0.0.1:{stage.others}").text == "others"
    stage.route(stage.backend(BLUE))


def test_a_reload_that_fails_is_told_and_undone(stage: Stage) -> None:
    blue = stage.backend(BLUE)
    stage.route(blue)
    text = stage.file.read_text()
    with pytest.raises(Permanent, match="no right to do that"):
        stage.router(slots=9, reload="echo no right to do that >&2; exit 1").apply(
            RoutingSpec(Split.all_to(BLUE), blue), key()
        )
    assert stage.file.read_text() == text


def test_without_a_command_to_reload_people_do_it_once(tmp_path: Path) -> None:
    with Stage(tmp_path, reload="") as stage:
        assert "router.reload: HAProxy has not loaded" in only(stage.problems())
        blue = stage.backend(BLUE)
        spec = RoutingSpec(Split.all_to(BLUE), blue)
        with pytest.raises(Permanent, match="has not loaded it") as refused:
            stage.router().apply(spec, key())
        assert "systemctl reload haproxy" in refused.value.hint
        assert "reload" in stage.router().observe().detail
        stage.haproxy.reload()
        stage.router().apply(spec, key())
        assert stage.router().observe().settled
        assert traffic.ask(stage.url).text == "blue 1.0"
        assert stage.problems() == []


def test_prepared_files_are_all_that_has_to_be_loaded(tmp_path: Path) -> None:
    with Stage(tmp_path, reload="") as stage:
        for _ in range(2):
            assert HaproxyRouter.prepare(stage.settings, stage.place)
        stage.haproxy.reload()
        assert stage.problems() == []
        seen = stage.router().observe()
        assert (seen.running, seen.told, seen.detail) == (False, None, "")
        assert traffic.ask(stage.url).status == 503
        stage.route(stage.backend(BLUE))
        HaproxyRouter.prepare(stage.settings, stage.place)  # where a release was it changes nothing
        assert stage.router().observe().settled
        assert traffic.ask(stage.url).text == "blue 1.0"


def test_what_cannot_be_prepared_is_said(stage: Stage) -> None:
    with pytest.raises(Permanent, match="sudo install -d"):
        HaproxyRouter.prepare(stage.configured(file="/nowhere/at/all/shop.cfg"), stage.place)


def test_with_level_operator_shares_move_and_replicas_do_not(stage: Stage) -> None:
    blue, green = stage.backend(BLUE), stage.backend(GREEN)
    stage.route(blue, green)
    operator = stage.router(socket=str(stage.home / "operator.sock"))
    stage.route(blue, green, to=GREEN, router=operator)
    assert traffic.ask(stage.url).text == "green 2.0"
    with pytest.raises(Temporary, match="does not let us change replicas") as refused:
        operator.apply(RoutingSpec(Split.all_to(BLUE), stage.backend(BLUE), green), key())
    assert "level admin" in refused.value.hint
    assert not operator.observe().settled
    assert traffic.ask(stage.url).text == "green 2.0"


# --- what is said before


class Forbidden(LocalHost):
    """As for a user who is not in the socket's group."""

    def connect(self, address: Address, timeout: float = 3.0) -> socket.socket:
        raise PermissionError(13, "Permission denied")


class Unpublished(LocalHost):
    """As with a HAProxy in a container whose ports were not published."""

    def connect(self, address: Address, timeout: float = 3.0) -> socket.socket:
        if not isinstance(address, str):
            raise ConnectionRefusedError
        return super().connect(address, timeout)


def test_problems_with_the_socket(stage: Stage) -> None:
    nowhere = str(stage.home / "none.sock")
    assert f"there is no {nowhere}" in only(stage.problems(socket=nowhere))
    assert "`stats socket" in only(stage.problems(socket=nowhere))
    left = socket.socket(socket.AF_UNIX)
    left.bind(nowhere)
    left.close()
    assert "nobody answers" in only(stage.problems(socket=nowhere))
    for level in ("user", "operator"):
        path = str(stage.home / f"{level}.sock")
        assert "level admin" in only(stage.problems(socket=path))
    place = Place("shop", stage.place.file, stage.place.state, host=Forbidden())
    assert "add `group GROUP`" in only(HaproxyRouter.problems(stage.settings, place))
    stage.haproxy.end()
    assert "start HAProxy" in only(HaproxyRouter.problems(stage.settings, stage.place))


def test_problems_with_the_file(stage: Stage) -> None:
    assert stage.problems() == []
    assert "there is no folder" in only(stage.problems(file="/nowhere/at/all/shop.cfg"))
    other = stage.home / "other"
    other.mkdir()
    said = only(stage.problems(file=str(other / "shop.cfg")))
    assert f"HAProxy does not load {other}/shop.cfg" in said
    assert f"-f {other}" in said
    assert stage.problems(file=str(other / "shop.cfg"), inside="/usr/local/etc/haproxy/greenroom") == []


def test_problems_with_a_configuration_that_was_wrong_before_we_came(stage: Stage) -> None:
    with stage.haproxy.main.open("a") as main:
        main.write("listen nonsense\n    mode nonsense\n")
    check = f"haproxy -c -f {stage.haproxy.main} -f {stage.haproxy.ours}"
    assert "is wrong as it is" in only(stage.problems(check=check))
    assert "nonsense" in only(stage.problems(check=check))


def test_problems_with_the_address(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        taken = f"127.0.0.1:{stranger.getsockname()[1]}"
        said = only(stage.problems(listen=taken))
        assert f"router.listen: {taken} is already taken by" in said
        assert f"pid {os.getpid()}" in said
    stage.route(stage.backend(BLUE))
    assert stage.problems() == []
    place = Place("shop", stage.place.file, stage.place.state, host=Unpublished())
    assert "router.listen: nobody answers" in only(HaproxyRouter.problems(stage.settings, place))


def test_only_a_reload_is_a_hazard(stage: Stage) -> None:
    assert HaproxyRouter.hazards(stage.settings, stage.place) == []
    stage.route(stage.backend(BLUE))
    assert HaproxyRouter.hazards(stage.settings, stage.place) == []
    changed = stage.configured(slots=9)
    assert "read its files anew" in only(HaproxyRouter.hazards(changed, stage.place))
    assert stage.problems(slots=9) == []


def test_changed_settings_are_loaded_and_proven(stage: Stage) -> None:
    blue, green = stage.backend(BLUE), stage.backend(GREEN)
    stage.route(blue, green)
    second = free_ports(1)[0]
    router = stage.router(listen=[f"127.0.0.1:{stage.port}", f"127.0.0.1:{second}"])
    assert not router.observe().settled or router.observe().told is not None
    stage.route(blue, green, to=GREEN, router=router)
    for port in (stage.port, second):
        assert traffic.ask(f"http://127.0.0.1:{port}").text == "green 2.0"


@pytest.mark.parametrize(
    ("command", "files"),
    [
        ("haproxy -Ws -f /a.cfg -p /run/p -S /m.sock -f /g", ["/a.cfg", "/g"]),
        ("haproxy -f /a.cfg /b.cfg -W", ["/a.cfg", "/b.cfg"]),
        ("haproxy -W -- /a.cfg /b.cfg", ["/a.cfg", "/b.cfg"]),
        ("haproxy -sf 12 13 -x /s -W -f /a.cfg", ["/a.cfg"]),
    ],
)
def test_what_haproxy_was_started_with(command: str, files: list[str]) -> None:
    assert loaded(command.split()) == files


def test_two_services_share_one_haproxy(stage: Stage) -> None:
    stage.route(stage.backend(BLUE))
    port = free_ports(1)[0]
    place = Place("shop-2", stage.place.file, stage.place.state.with_name("second"))
    settings = stage.configured(listen=f"127.0.0.1:{port}", file=str(stage.haproxy.ours / "shop-2.cfg"))
    other = HaproxyRouter(settings, place)
    other.apply(RoutingSpec(Split.all_to(GREEN), Backend(), stage.backend(GREEN)), key(7))
    assert other.observe().settled
    assert stage.router().observe().settled
    assert traffic.ask(stage.url).text == "blue 1.0"
    assert traffic.ask(f"http://127.0.0.1:{port}").text == "green 2.0"
    other.remove()
    assert stage.router().observe().settled
