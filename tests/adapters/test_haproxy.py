"""Router `haproxy` on a real HAProxy: what its contract does not say."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from greenroom.adapters.hosts.local import LocalHost
from greenroom.adapters.routers.haproxy import HaproxyRouter
from greenroom.domain.model import Backend, Colour, First, RoutingSpec, Split
from greenroom.errors import Permanent, PortError, Temporary
from greenroom.ports import Address, Ran
from greenroom.testing import traffic
from greenroom.testing.processes import free_ports
from tests.rigs.haproxy import Stage
from tests.rigs.routing import NOTHING, PATIENCE, key

pytestmark = pytest.mark.real
BLUE, GREEN = Colour.BLUE, Colour.GREEN
T = TypeVar("T")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path) as stage:
        yield stage


def within(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# --- what survives


def test_ft_12_the_route_survives_reload_restart_and_kill(stage: Stage) -> None:
    blue, green = stage.backend(BLUE), stage.backend(GREEN)
    stage.route(blue, green)
    before = stage.route(blue, green, split=Split(0, 100), test=BLUE)
    for again in (stage.haproxy.reload, stage.haproxy.kill):
        again()
        seen = stage.router().observe()
        assert seen.settled
        assert seen.revision == before.revision
        assert {traffic.ask(stage.url).text for _ in range(10)} == {"green 2.0"}
        assert traffic.ask(stage.url, headers={"x-greenroom-test": "1"}).text == "blue 1.0"


def test_what_is_told_while_it_is_down_counts_when_it_starts(stage: Stage) -> None:
    blue, green = stage.backend(BLUE), stage.backend(GREEN)
    stage.route(blue, green)
    stage.haproxy.end()
    router = HaproxyRouter(stage.settings, stage.place)
    with pytest.raises(Temporary, match="counts when it starts"):
        router.apply(RoutingSpec(Split.all_to(GREEN), blue, green), key())
    seen = router.observe()
    assert not seen.running
    assert seen.told is not None
    assert "does not answer" in seen.detail
    stage.haproxy.start()
    assert router.observe().settled
    assert traffic.ask(stage.url).text == "green 2.0"


def test_others_of_the_same_haproxy_never_notice(stage: Stage) -> None:
    stage.route(stage.backend(BLUE))
    worker = stage.haproxy.worker()
    stage.route(stage.backend(BLUE))
    stage.router().remove()
    assert stage.haproxy.worker() == worker
    assert traffic.ask(f"http://127.0.0.1:{stage.others}").text == "others"
    assert traffic.ask(stage.url).status == 503


def test_removed_it_stays_removed_after_a_restart(stage: Stage) -> None:
    stage.route(stage.backend(BLUE))
    stage.router().remove()
    stage.haproxy.kill()
    seen = stage.router().observe()
    assert (seen.running, seen.told, seen.detail) == (False, None, "")
    assert traffic.ask(stage.url).status == 503


# --- replicas


def test_ft_9_replicas_come_and_go_without_a_reload_and_without_a_loss(stage: Stage) -> None:
    servers = [stage.server(BLUE) for _ in range(6)]
    together = [Backend(tuple(s.backend.endpoints[0] for s in some), "1.0") for some in (servers[:3], servers[3:])]
    stage.route(together[0])
    worker = stage.haproxy.worker()
    with traffic.Load(stage.url) as load:
        for number in range(10):
            stage.route(together[(number + 1) % 2])
    assert [str(seen) for seen in load.failed] == []
    assert stage.haproxy.worker() == worker
    assert all(server.requests for server in servers)
    counts = [server.requests for server in servers[3:]]
    for _ in range(20):
        assert traffic.ask(stage.url).status == 200
    assert [server.requests for server in servers[3:]] == counts


def test_what_a_leaving_replica_has_begun_it_finishes(stage: Stage) -> None:
    old, new = stage.backend(BLUE), stage.backend(BLUE)
    stage.route(old)
    answers: list[str] = []
    asking = threading.Thread(target=lambda: answers.append(traffic.ask(stage.url, "/slow?ms=700").text))
    asking.start()
    stage.until(lambda seen: seen.holding[BLUE] == 1)
    stage.route(new)
    assert traffic.ask(stage.url).text == "blue 2.0"
    asking.join(PATIENCE)
    assert answers == ["blue 1.0"]


def test_all_slots_may_be_replaced_at_once_and_no_more_than_all_told(tmp_path: Path) -> None:
    with Stage(tmp_path, slots=2) as stage:
        for _ in range(3):
            backend = Backend((*stage.backend(BLUE).endpoints, *stage.backend(BLUE).endpoints), "1.0")
            stage.route(backend)
            ports = {server.split(":")[-1] for server in (str(e) for e in backend.endpoints)}
            assert len({traffic.ask(stage.url).text for _ in range(10)}) == len(ports) == 2
        many = Backend(tuple(stage.backend(GREEN).endpoints[0] for _ in range(3)), "2.0")
        with pytest.raises(Permanent, match="3 replicas, HAProxy has 2 slots") as refused:
            stage.router().apply(RoutingSpec(Split.all_to(GREEN), backend, many), key())
        assert "router.slots: 3" in refused.value.hint
        assert stage.router().observe().settled


def test_a_dead_replica_gets_nothing_and_the_rest_is_not_lost(stage: Stage) -> None:
    alive, dead = stage.server(BLUE), stage.server(BLUE)
    stage.route(Backend((*alive.backend.endpoints, *dead.backend.endpoints), "1.0"))
    dead.stop()
    for _ in range(50):
        assert traffic.ask(stage.url).text == "blue 1.0"
    within(lambda: ",DOWN," in stage.haproxy.say("show stat shop_blue 4 -1"))
    alive.stop()
    assert traffic.ask(stage.url).status == 503


def test_replicas_that_only_checks_call_dead_still_get_users(stage: Stage) -> None:
    stage.route(stage.backend(BLUE))
    stage.haproxy.say("set server shop_blue/s1 health down")
    assert ",DOWN," in stage.haproxy.say("show stat shop_blue 4 -1")
    assert {traffic.ask(stage.url).text for _ in range(10)} == {"blue 1.0"}


# --- shares, users, ways


def test_a_user_with_the_cookie_only_ever_moves_to_the_new_colour(tmp_path: Path) -> None:
    with Stage(tmp_path, sticky=True) as stage:
        blue, green = stage.backend(BLUE), stage.backend(GREEN)
        stage.route(blue, green)
        users = [traffic.ask(stage.url).headers["set-cookie"].split(";")[0] for _ in range(100)]
        assert all(user.startswith("greenroom-shop=") for user in users)
        assert len(set(users)) > 90
        on_green: set[str] = set()
        for share in (10, 30, 60, 100):
            stage.route(blue, green, split=Split(100 - share, share))
            answers = {user: traffic.ask(stage.url, headers={"cookie": f"a=1; {user}"}) for user in users}
            assert not any("set-cookie" in answer.headers for answer in answers.values())
            now = {user for user, answer in answers.items() if answer.text == "green 2.0"}
            assert now == {user for user in users if int(user.split("=")[1]) < share * 100}
            assert on_green <= now
            on_green = now
        made_up = traffic.ask(stage.url, headers={"cookie": "greenroom-shop=-1 or so"})
        assert "set-cookie" in made_up.headers


def test_who_goes_first_needs_no_reload_and_survives_a_death(stage: Stage) -> None:
    blue, green = stage.backend(BLUE), stage.backend(GREEN)
    stage.route(blue, green)
    before = stage.haproxy.say("get var proc.greenroom_shop")
    for value in ("yes", "odd; \\d+ #'{$1}", "(a|b)*", "é"):
        stage.route(blue, green, first=First("X-Staff", value, GREEN))
        sent = value.encode().decode("latin-1")
        assert stage.send(headers={"x-staff": sent}).by is GREEN
        others = (f"{sent}s", sent.upper() if sent.isascii() else "e", "a", "\\d+")
        assert {stage.send(headers={"x-staff": other}).by for other in others if other != sent} == {BLUE}
        assert stage.send(headers={"x-not-x-staff": sent, "route": "route", "x-a": f"x-staff: {sent}"}).by is BLUE
    stage.kill()
    stage.until(lambda seen: seen.settled)
    assert stage.send(headers={"x-staff": "é".encode().decode("latin-1")}).by is GREEN
    assert stage.haproxy.say("get var proc.greenroom_shop") == before


def test_who_goes_first_may_not_be_changed_by_hand(stage: Stage) -> None:
    blue, green = stage.backend(BLUE), stage.backend(GREEN)
    stage.route(blue, green, first=First("x-staff", "yes", GREEN))
    stage.haproxy.say(f"add map {stage.map_name} .* first")
    assert stage.send().by is GREEN
    seen = stage.until(lambda seen: not seen.settled)
    assert "changed by somebody else" in seen.detail
    stage.route(blue, green, first=First("x-staff", "yes", GREEN))
    assert stage.send().by is BLUE


def test_the_test_route_by_host_and_by_an_address_of_its_own(tmp_path: Path) -> None:
    port = free_ports(1)[0]
    way = {"host": "idle.shop.example", "listen": f"127.0.0.1:{port}"}
    with Stage(tmp_path, test_route=way) as stage:
        stage.route(stage.backend(BLUE), stage.backend(GREEN), test=GREEN)
        assert stage.router().reach(test=True) == (f"http://127.0.0.1:{port}", {})
        for host in ("idle.shop.example", "IDLE.shop.example:8080"):
            assert traffic.ask(stage.url, headers={"host": host}).text == "green 2.0"
        answer = traffic.ask(f"http://127.0.0.1:{port}")
        assert (answer.text, answer.headers["x-greenroom-colour"]) == ("green 2.0", "green")
        assert traffic.ask(stage.url).text == "blue 1.0"
        stage.router().remove()
        assert traffic.ask(f"http://127.0.0.1:{port}").status == 404


FRONTEND = """
frontend people
    bind 127.0.0.1:{port}
    mode http
    timeout client 10s
    http-request set-header x-mine yes
    use_backend elsewhere if {{ path_beg /elsewhere }}
{lines}
backend elsewhere
    mode http
    http-request return status 200 content-type text/plain string elsewhere
"""


def test_a_frontend_of_the_peoples_own(tmp_path: Path) -> None:
    port = free_ports(1)[0]
    given = {"listen": [], "url": f"http://127.0.0.1:{port}", "sticky": True}
    with Stage(tmp_path, **given) as stage:
        main = stage.haproxy.main
        blue, green = stage.backend(BLUE), stage.backend(GREEN)
        with pytest.raises(Permanent, match="no frontend of HAProxy asks"):
            stage.route(blue, green, test=GREEN)
        assert "no frontend" in stage.router().observe().detail
        assert any("router.url: no frontend" in problem for problem in stage.problems())
        lines = HaproxyRouter.prepare(stage.settings, stage.place)
        given = [line for line in lines[4:] if not line.startswith("#")]
        main.write_text(main.read_text() + FRONTEND.format(port=port, lines="\n".join(given)))
        stage.haproxy.reload()
        assert stage.problems() == []
        stage.route(blue, green, test=GREEN)
        url, headers = stage.router().reach(test=True)
        assert traffic.ask(url, headers=headers).text == "green 2.0"
        assert traffic.ask(url, "/elsewhere").text == "elsewhere"
        assert '"x-mine": "yes"' in traffic.ask(url, "/headers").text
        worker = stage.haproxy.worker()
        with traffic.Load(url) as load:
            for colour in (GREEN, BLUE, GREEN):
                stage.route(blue, green, to=colour)
                assert traffic.ask(url).text.startswith(colour)
        assert [str(seen) for seen in load.failed] == []
        assert stage.haproxy.worker() == worker


def test_ft_31_until_the_first_release_a_frontend_goes_on_as_before(tmp_path: Path) -> None:
    """What serves today is never without a route, from the lines that people add to the first switch."""
    port = free_ports(1)[0]
    with Stage(tmp_path, listen=[], url=f"http://127.0.0.1:{port}", reload="") as stage:
        today, blue = stage.server(GREEN), stage.backend(BLUE)
        lines = [line for line in HaproxyRouter.prepare(stage.settings, stage.place)[4:] if not line.startswith("#")]
        people = FRONTEND.format(port=port, lines="\n".join([*lines, "    default_backend today"]))
        people += f"backend today\n    mode http\n    timeout server 10s\n    server one 127.0.0.1:{today.port}\n"
        with stage.haproxy.main.open("a") as main:
            main.write(people)
        stage.haproxy.reload()
        with traffic.Load(f"http://127.0.0.1:{port}") as load:
            within(lambda: len(load.seen) > 20)
            before = len(load.seen)
            assert {seen.by for seen in load.seen[:before]} == {"green"}
            stage.route(blue)
            within(lambda: bool(load.seen) and load.seen[-1].by == "blue")
        assert [str(seen) for seen in load.failed] == []
        # Down is down: nobody is sent to what was there before.
        stage.router().remove()
        assert traffic.ask(f"http://127.0.0.1:{port}").status == 503


def test_what_a_client_claims_about_itself_is_replaced(stage: Stage) -> None:
    stage.route(stage.backend(BLUE))
    seen = traffic.ask(stage.url, "/headers", headers={"x-forwarded-for": "6.6.6.6", "x-forwarded-proto": "https"}).text
    assert '"x-forwarded-for": "127.0.0.1"' in seen
    assert '"x-forwarded-proto": "http"' in seen


def test_http2_and_big_bodies(stage: Stage) -> None:
    stage.route(stage.backend(BLUE))
    assert traffic.ask_h2(stage.url).body == b"blue 1.0"
    body = os.urandom(3_000_000)
    assert traffic.ask(stage.url, "/order", method="POST", body=body).text.startswith("blue 1.0 3000000 ")


# --- leaders


class Steps(LocalHost):
    """This machine, on which something happens before step number `at`: whatever is read, run or connected to."""

    def __init__(self, at: int, happens: Callable[[], None]) -> None:
        self.left = at
        self._happens = happens

    def _step(self) -> None:
        self.left -= 1
        if self.left == -1:
            self._happens()

    def run(self, command: Sequence[str], *, stdin: bytes = b"", timeout: float = 10.0) -> Ran:
        self._step()
        return super().run(command, stdin=stdin, timeout=timeout)

    def read(self, path: str, start: int = 0) -> bytes | None:
        self._step()
        return super().read(path, start)

    def connect(self, address: Address, timeout: float = 3.0) -> socket.socket:
        self._step()
        return super().connect(address, timeout)


def every_step(stage: Stage, happens: Callable[[], None], tell: Callable[[HaproxyRouter], None]) -> Iterator[int]:
    """`tell` once for each of its steps, with `happens` before that one."""
    for number in range(100):
        host = Steps(number, happens)
        place = type(stage.place)("shop", stage.place.file, stage.place.state, host=host)
        tell(HaproxyRouter(stage.settings, place))
        if host.left >= 0:
            assert number > 8
            return
        yield number
    raise AssertionError("it does not come to an end")


def test_ft_51_a_leader_that_slept_anywhere_does_not_move_traffic(stage: Stage) -> None:
    blue, green = stage.backend(BLUE), stage.backend(GREEN)
    stage.route(blue, green)
    epoch = 1

    def overtake() -> None:
        nonlocal epoch
        epoch += 1
        stage.router().apply(RoutingSpec(Split.all_to(BLUE), blue, green, BLUE), key(epoch))

    def tell(router: HaproxyRouter) -> None:
        try:
            router.apply(RoutingSpec(Split.all_to(GREEN), blue, green), key(epoch))
        except PortError:
            return

    for number in every_step(stage, overtake, tell):
        seen = stage.router().observe()
        assert seen.settled, (number, seen)
        assert (seen.epoch, seen.live) == (epoch, Split.all_to(BLUE)), (number, seen)
        assert traffic.ask(stage.url).text == "blue 1.0"


class Killed(BaseException):
    """The teller has died here."""


def test_who_dies_anywhere_leaves_a_route_that_serves_and_that_can_be_told_on(stage: Stage) -> None:
    old, blue, green = stage.backend(BLUE), stage.backend(BLUE), stage.backend(GREEN)
    targets = [RoutingSpec(Split.all_to(BLUE), old), RoutingSpec(Split.all_to(GREEN), blue, green, BLUE)]
    stage.route(old)
    turn = 0

    def die() -> None:
        raise Killed

    def tell(router: HaproxyRouter) -> None:
        nonlocal turn
        turn += 1
        try:
            router.apply(targets[turn % 2], key())
        except Killed:
            return

    for number in every_step(stage, die, tell):
        seen = stage.router().observe()
        assert seen.running
        assert seen.told in targets, (number, seen)
        assert seen.live in (Split.all_to(BLUE), Split.all_to(GREEN))
        assert seen.settled or seen.unfinished, (number, seen)
        assert traffic.ask(stage.url).status == 200
        stage.router().apply(targets[turn % 2], key())
        assert stage.router().observe().settled


def test_a_version_that_was_overtaken_is_never_committed(stage: Stage) -> None:
    stage.route(stage.backend(BLUE))
    name, say = stage.map_name, stage.haproxy.say
    value = say(f"show map {name}").split()[2]
    older, newer = (int(say(f"prepare map {name}").split(": ")[1]) for _ in range(2))
    say(f"add map @{older} {name} route gone")
    say(f"add map @{newer} {name} route {value}")
    say(f"commit map @{newer} {name}")
    assert "out of range" in say(f"commit map @{older} {name}")
    assert stage.router().observe().settled


# --- strangers


def test_ft_2_ft_4_a_route_that_somebody_moved_at_the_socket_is_drift(stage: Stage) -> None:
    blue, green = stage.backend(BLUE), stage.backend(GREEN)
    stage.route(blue, green)
    name = stage.map_name
    value = stage.haproxy.say(f"show map {name}").split()[2]
    for strange in (value.replace("on:0:", "on:10000:"), "on:5000:shop_untested:9999999999999-x", "green"):
        stage.haproxy.say(f"set map {name} route {strange}")
        seen = stage.router().observe()
        assert not seen.settled
        assert seen.told is None
        assert strange in seen.detail
        stage.route(blue, green)


def test_ft_3_a_folder_that_haproxy_does_not_see_any_more(tmp_path: Path) -> None:
    """As after a bind mount whose folder was replaced: HAProxy reads the old one."""
    with Stage(tmp_path) as stage:
        blue, green = stage.backend(BLUE), stage.backend(GREEN)
        stage.route(blue, green)
        ours = stage.haproxy.ours
        seen_by_us = ours.with_name("replaced")
        seen_by_us.mkdir()
        for path in ours.iterdir():
            (seen_by_us / path.name).write_bytes(path.read_bytes())
        settings = stage.configured(file=str(seen_by_us / "shop.cfg"), inside=str(ours))
        router = HaproxyRouter(settings, stage.place)
        router.apply(RoutingSpec(Split.all_to(GREEN), blue, green), key())
        stage.haproxy.kill()
        seen = router.observe()
        assert not seen.settled
        assert seen.unfinished
        assert seen.live == Split.all_to(BLUE)
        router.apply(RoutingSpec(Split.all_to(GREEN), blue, green), key())
        assert router.observe().settled


def test_replicas_that_somebody_changed_are_noticed_and_put_back(stage: Stage) -> None:
    blue = stage.backend(BLUE)
    stage.route(blue, stage.backend(GREEN))
    for command in ("set server shop_blue/s1 state maint", "set server shop_green/s1 addr 127.0.0.1 port 9"):
        stage.haproxy.say(command)
        seen = stage.router().observe()
        assert not seen.settled
        assert seen.unfinished
        assert "other replicas" in seen.detail
        assert seen.told is not None
        stage.router().apply(seen.told, key())
        assert stage.router().observe().settled
    assert traffic.ask(stage.url).text == "blue 1.0"


def stopped(pid: int) -> bool:
    """All of its threads."""
    stats = [(task / "stat").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)


def test_a_haproxy_that_hangs_is_not_called_running(stage: Stage) -> None:
    stage.route(stage.backend(BLUE))
    router, worker = stage.router(), stage.haproxy.worker()
    os.kill(worker, signal.SIGSTOP)
    try:
        deadline = time.monotonic() + PATIENCE
        while not stopped(worker):
            assert time.monotonic() < deadline
            time.sleep(0.002)
        seen = router.observe()
        assert not seen.running
        assert seen.told is not None
    finally:
        os.kill(worker, signal.SIGCONT)
    stage.until(lambda seen: seen.settled, router)


def test_what_cannot_be_routed_is_refused_before_it_is_told(stage: Stage) -> None:
    blue = stage.backend(BLUE)
    stage.route(blue)
    for spec in (RoutingSpec(Split.all_to(GREEN), blue), RoutingSpec(Split(60, 60), blue, blue)):
        with pytest.raises(Permanent):
            stage.router().apply(spec, key())
    assert stage.router().observe().settled


# --- parity


def test_both_colours_are_served_alike_and_a_change_by_hand_shows(stage: Stage) -> None:
    router = stage.router()
    stage.route(stage.backend(BLUE), stage.backend(GREEN), router=router)
    blue, green = router.inspect(BLUE), router.inspect(GREEN)
    assert blue == green
    assert blue["upstream"].effective["balance"] == "roundrobin"
    assert blue["upstream"].effective["weight of replicas"] == "1"
    stage.haproxy.say("set server shop_green/s1 weight 50%")
    stage.haproxy.say("set maxconn server shop_green/s1 3")
    green = router.inspect(GREEN)
    assert blue != green
    assert green["upstream"].effective["most connections of replicas"] == "3"
    stage.route(stage.backend(BLUE), NOTHING)
    assert router.inspect(GREEN) == {}
