"""Router `envoy` as a proxy: what passes through it, and what happens when something is wrong."""

from __future__ import annotations

import datetime
import http.client
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from greenroom.domain.model import Backend, Colour, Endpoint, Routing, RoutingSpec, Split
from greenroom.errors import Permanent, Temporary
from greenroom.ports import Program, ProgramStatus
from greenroom.testing import traffic
from greenroom.testing.processes import free_ports
from tests.envoy_stage import Stage, refused
from tests.rigs.routing import NOTHING, PATIENCE, key

BLUE, GREEN = Colour.BLUE, Colour.GREEN

pytestmark = pytest.mark.real


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path) as made:
        yield made


def certificate(folder: Path, serial: int) -> None:
    """`site.pem` and `site.key`, put there by rename as renewal tools do."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "shop.example")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, private.public_key(), serial, now, now + datetime.timedelta(days=2))
    made = builder.sign(private, hashes.SHA256())
    form = serialization.PrivateFormat.PKCS8
    plain = serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    for file, content in (("site.key", private.private_bytes(pem, form, plain)), ("site.pem", made.public_bytes(pem))):
        (folder / "draft").write_bytes(content)
        (folder / "draft").replace(folder / file)


def serial_at(port: int) -> int:
    raw = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    with traffic.trusting().wrap_socket(raw) as tls:
        der = tls.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der).serial_number


# what passes through it


def test_tls_with_http2_and_http1_and_renewed_certificates(stage: Stage) -> None:
    certificate(stage.folder, 1001)
    plain, secure = free_ports(2)
    tls = {"address": f"127.0.0.1:{secure}", "tls": {"certificate": "site.pem", "key": "site.key"}}
    router = stage.router(listen=[tls, f"127.0.0.1:{plain}"])
    stage.route(stage.backend(BLUE), router=router)
    url, _ = router.reach()
    assert url == f"https://127.0.0.1:{secure}"
    assert json.loads(traffic.ask(url, "/headers").body)["x-forwarded-proto"] == "https"
    assert traffic.ask_h2(url).text == traffic.ask(f"http://127.0.0.1:{plain}").text == "blue 1.0"
    assert serial_at(secure) == 1001
    certificate(stage.folder, 1002)
    stage.until(lambda _: serial_at(secure) == 1002, router)
    assert router.observe().settled


def test_http2_without_tls(stage: Stage) -> None:
    stage.route(stage.backend(BLUE))
    assert traffic.ask_h2(stage.url, "/order", method="POST", body=b"x" * 9000).text.startswith("blue 1.0 9000 ")


def test_grpc_passes_with_its_trailers(stage: Stage) -> None:
    server = stage.server(BLUE, h2c=True)
    stage.route(server.backend, router=stage.router(protocol="h2c"))
    answer = traffic.ask_h2(stage.url, "/a.Service/Call", method="POST", headers={"te": "trailers"}, body=b"\0" * 5)
    assert (answer.status, answer.text, answer.trailers["grpc-status"]) == (200, "blue 1.0", "0")


def test_large_bodies_pass_whole(stage: Stage) -> None:
    stage.route(stage.backend(BLUE))
    body = os.urandom(1 << 20) * 24
    whole = traffic.ask(stage.url, "/upload", method="POST", body=body).text
    connection = http.client.HTTPConnection("127.0.0.1", stage.port, timeout=PATIENCE)
    connection.request(
        "POST", "/upload", iter([body[: 1 << 20]] * 24), {"Transfer-Encoding": "chunked"}, encode_chunked=True
    )
    assert connection.getresponse().read().decode() == whole
    connection.close()
    assert whole.split()[2] == str(len(body))


def test_an_answer_passes_piece_by_piece(stage: Stage) -> None:
    server = stage.server(BLUE)
    stage.route(server.backend)
    connection = http.client.HTTPConnection("127.0.0.1", stage.port, timeout=PATIENCE)
    connection.request("GET", "/stream")
    answer = connection.getresponse()
    assert answer.read(5) == b"first"
    server.release()
    assert answer.read() == b"second"
    connection.close()


def test_the_application_learns_who_asked_and_nobody_can_lie_about_it(stage: Stage) -> None:
    stage.route(stage.backend(BLUE))
    lies = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example", "X-Greenroom-To-Test": "1"}
    lies |= {"X-Envoy-Retry-On": "5xx", "X-Request-Id": "mine"}
    seen = json.loads(traffic.ask(stage.url, "/headers", headers=lies).body)
    assert seen["x-forwarded-proto"] == "http"
    assert seen["x-forwarded-host"] == seen["host"] == f"127.0.0.1:{stage.port}"
    assert seen["x-forwarded-for"]
    assert seen["x-request-id"] == "mine"
    assert not [name for name in seen if name.startswith(("x-envoy", "x-greenroom"))]
    trusted = stage.router(trusted_hops=1)
    stage.route(stage.backend(BLUE), router=trusted)
    said = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "shop.example", "X-Forwarded-For": "9.9.9.9"}
    told = stage.until(lambda seen: seen.settled, trusted)
    assert told.settled
    seen = {}
    stage.until(
        lambda _: seen.update(json.loads(traffic.ask(stage.url, "/headers", headers=said).body)) or True, trusted
    )
    assert (seen["x-forwarded-proto"], seen["x-forwarded-host"]) == ("https", "shop.example")
    assert seen["x-forwarded-for"].startswith("9.9.9.9,")


def test_every_way_to_the_idle_colour(stage: Stage) -> None:
    port = free_ports(1)[0]
    ways = {"header": "X-Try", "host": "idle.shop.example", "listen": f"127.0.0.1:{port}"}
    router = stage.router(test_route=ways)
    stage.route(stage.backend(BLUE), stage.backend(GREEN), test=GREEN, router=router)
    by_header = traffic.ask(stage.url, headers={"x-try": "yes"})
    by_host = traffic.ask(stage.url, headers={"Host": "idle.shop.example:8080"})
    by_port = traffic.ask(f"http://127.0.0.1:{port}")
    assert {answer.text for answer in (by_header, by_host, by_port)} == {"green 2.0"}
    assert (by_port.headers["x-greenroom-colour"], by_port.headers["x-greenroom-version"]) == ("green", "2.0")
    users = traffic.ask(stage.url)
    assert users.text == "blue 1.0"
    assert "x-greenroom-colour" not in users.headers
    revealing = stage.router(test_route=ways, reveal=True)
    stage.route(replace(stage.backend(BLUE), version="100%\nodd"), router=revealing)
    users = traffic.ask(stage.url)
    assert (users.headers["x-greenroom-colour"], users.headers["x-greenroom-version"]) == ("blue", "100%?odd")


def test_the_access_log_names_colour_version_and_status(stage: Stage) -> None:
    stage.route(stage.backend(BLUE), stage.backend(GREEN), test=GREEN)
    traffic.ask(stage.url, "/page?token=secret")
    traffic.ask(stage.url, "/status?code=500", headers={"x-greenroom-test": "1"})
    path = stage.folder / ".greenroom" / "logs" / "router-access.log"
    stage.until(lambda _: path.exists() and path.read_text().count("\n") >= 2)
    assert "secret" not in path.read_text()
    first, second = (json.loads(line) for line in path.read_text().splitlines()[:2])
    assert [first[name] for name in ("colour", "version", "status", "test", "path")] == [
        "blue",
        "1.0",
        200,
        False,
        "/page",
    ]
    assert [second[name] for name in ("colour", "version", "status", "test")] == ["green", "2.0", 500, True]
    assert isinstance(first["duration_ms"], int)


def test_a_dead_replica_costs_nobody_an_answer(stage: Stage) -> None:
    one, two = stage.server(BLUE), stage.server(BLUE)
    stage.route(Backend(one.backend.endpoints + two.backend.endpoints, "1.0"))
    one.stop()
    for _ in range(40):
        assert traffic.ask(stage.url).text == "blue 2.0"


def test_requests_in_flight_end_where_they_began(stage: Stage) -> None:
    old, new = stage.backend(BLUE), stage.backend(BLUE)
    stage.route(old)
    got: list[str] = []
    slow = threading.Thread(target=lambda: got.append(traffic.ask(stage.url, "/slow?ms=500").text))
    slow.start()
    stage.until(lambda seen: seen.holding[BLUE] == 1)
    stage.route(new)
    assert traffic.ask(stage.url).text == "blue 2.0"
    slow.join(PATIENCE)
    assert got == ["blue 1.0"]


# what happens when something is wrong or changes


def test_listeners_change_without_a_restart(stage: Stage) -> None:
    blue = stage.backend(BLUE)
    stage.route(blue)
    held, pid = traffic.WebSocket(stage.url), stage.supervisor.pid("router")
    second = free_ports(1)[0]
    stage.route(blue, router=stage.router(listen=[f"127.0.0.1:{stage.port}", f"127.0.0.1:{second}"]))
    assert traffic.ask(f"http://127.0.0.1:{second}").text == "blue 1.0"
    stage.route(blue)
    stage.until(lambda _: refused(f"http://127.0.0.1:{second}"))
    assert held.say("still") == "blue 1.0 still"
    assert stage.supervisor.pid("router") == pid
    held.close()


def test_a_telling_that_was_cut_off_is_seen_and_finished(stage: Stage) -> None:
    blue, green = stage.backend(BLUE), stage.backend(GREEN)
    stage.route(blue, green)
    shutil.copytree(stage.live, stage.folder / "before")
    stage.route(blue, green, to=GREEN)
    for file in (stage.folder / "before").iterdir():
        file.rename(stage.live / file.name)
    seen = stage.until(lambda seen: seen.live == Split.all_to(BLUE))
    assert seen.told is not None
    assert seen.told.split == Split.all_to(GREEN)
    assert not seen.settled
    assert seen.unfinished
    assert "not handed over" in seen.detail
    stage.kill()
    assert not stage.until(lambda seen: seen.live is not None).settled
    stage.route(blue, green, to=GREEN)
    assert traffic.ask(stage.url).text == "green 2.0"


@pytest.mark.parametrize("content", [b"", b'{"format":1', b"[]", b"\xff\xfe", b'{"format": 99, "check": "x"}', None])
def test_a_damaged_record_is_unknown_not_wrong(stage: Stage, content: bytes | None) -> None:
    blue = stage.backend(BLUE)
    stage.route(blue)
    record = stage.live.parent / "told.json"
    record.write_bytes(record.read_bytes().replace(b'"share":100', b'"share":90') if content is None else content)
    seen = stage.router().observe()
    assert seen.running
    assert seen.told is None
    assert seen.live == Split.all_to(BLUE)
    assert "told.json" in seen.detail
    stage.route(blue)
    assert traffic.ask(stage.url).text == "blue 1.0"


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from greenroom.adapters.envoy.settings import EnvoySettings
from greenroom.adapters.routers.envoy import EnvoyRouter
from greenroom.domain.model import Backend, Colour, Endpoint, RoutingSpec, Split
from greenroom.errors import Temporary
from greenroom.ports import Place
from tests.rigs.routing import key
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
state, listen, port = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
router = EnvoyRouter(EnvoySettings.model_validate({"listen": listen}), Place("shop", state.parent / "f", state))
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]),) * 2)
backend = Backend((Endpoint("127.0.0.1", port),), "2.0")
try:
    router.apply(RoutingSpec(Split.all_to(Colour.GREEN), Backend(), backend), key())
except Temporary as error:
    print(error)
"""


@pytest.mark.parametrize("room", [0, 100])
def test_ft_12_a_full_disk_leaves_everything_as_it_was(stage: Stage, room: int) -> None:
    before = stage.route(stage.backend(BLUE))
    green = stage.server(GREEN)
    arguments = [str(stage.place.state), f"127.0.0.1:{stage.port}", str(green.port), str(room)]
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", FULL_DISK, *arguments], cwd=root, capture_output=True, text=True)
    assert "cannot be written" in done.stdout, done
    assert stage.router().observe() == before
    stage.kill()
    assert stage.until(lambda seen: seen.settled).told == before.told
    assert traffic.ask(stage.url).text == "blue 1.0"


def test_many_may_tell_and_look_at_once(stage: Stage) -> None:
    blue, green = stage.backend(BLUE), stage.backend(GREEN)
    stage.route(blue, green)
    done = threading.Event()

    def tell(split: Split) -> None:
        for version in range(15):
            stage.router().apply(RoutingSpec(split, replace(blue, version=str(version)), green), key())

    def watch(seen: list[Routing]) -> None:
        while not done.wait(0.001):
            seen.append(stage.router().observe())

    seen: list[Routing] = []
    tellers = [threading.Thread(target=tell, args=(Split(n, 100 - n),)) for n in (30, 60)]
    watcher = threading.Thread(target=watch, args=(seen,))
    for thread in (watcher, *tellers):
        thread.start()
    for thread in tellers:
        thread.join(PATIENCE)
    done.set()
    watcher.join(PATIENCE)
    assert seen
    assert [one.detail for one in seen if one.told is None or not one.running] == []
    last = stage.until(lambda seen: seen.settled)
    assert last.told is not None
    assert last.told.blue.version == "14"


class Broken:
    """A supervisor that does not answer."""

    def observe(self) -> Mapping[str, ProgramStatus]:
        raise Temporary("no answer")

    def apply(self, program: Program) -> None:
        raise Temporary("no answer")

    def remove(self, name: str) -> None:
        raise Temporary("no answer")


def test_it_can_be_told_while_the_supervisor_is_dead(stage: Stage) -> None:
    blue, green = stage.backend(BLUE), stage.backend(GREEN)
    stage.route(blue, green)
    alone = type(stage.router())(stage.settings, replace(stage.place, supervisor=Broken()))
    stage.route(blue, green, to=GREEN, router=alone)
    assert traffic.ask(stage.url).text == "green 2.0"


def test_two_routers_never_share_a_port(stage: Stage, tmp_path: Path) -> None:
    blue = stage.backend(BLUE)
    stage.route(blue)
    with Stage(tmp_path / "other") as other:
        rival = other.router(listen=f"127.0.0.1:{stage.port}")
        rival.apply(RoutingSpec(Split.all_to(GREEN), green=other.backend(GREEN)), key())
        seen = other.until(lambda seen: "refusal" in seen.detail, rival)
        assert "in use" in seen.detail
        assert seen.running
        assert seen.live is None
        assert not seen.settled
        assert {traffic.ask(stage.url).text for _ in range(20)} == {"blue 1.0"}
        # When the port is free again, it tries again as soon as it is asked to, and asks for that now and then.
        stage.router().remove()
        stage.until(lambda seen: not seen.running)
        os.utime(other.live / "lds.json", (1, 1))
        assert other.until(lambda seen: seen.unfinished, rival)
        other.route(NOTHING, other.backend(GREEN), to=GREEN, router=rival)
        assert traffic.ask(stage.url).text == "green 2.0"


def test_a_proxy_that_hangs_is_not_called_running(stage: Stage) -> None:
    stage.route(stage.backend(BLUE))
    router, pid = stage.router(), stage.supervisor.pid("router")
    assert router.observe().settled
    os.kill(pid, signal.SIGSTOP)
    try:
        seen = router.observe()
        assert not seen.running
        assert not seen.settled
        assert seen.told is not None
    finally:
        os.kill(pid, signal.SIGCONT)
    assert stage.until(lambda seen: seen.settled, router)


def test_what_cannot_be_routed_is_refused_before_it_is_told(stage: Stage) -> None:
    blue = stage.backend(BLUE)
    stage.route(blue)
    named = Backend((Endpoint("shop.example", 80),))
    for spec in (
        RoutingSpec(Split.all_to(GREEN), blue),
        RoutingSpec(Split(60, 60), blue, blue),
        RoutingSpec(Split.all_to(GREEN), blue, named),
    ):
        with pytest.raises(Permanent):
            stage.router().apply(spec, key())
    assert stage.router().observe().settled
    assert traffic.ask(stage.url).text == "blue 1.0"


def test_old_clients_and_both_families(stage: Stage) -> None:
    port = free_ports(1)[0]
    stage.route(stage.backend(BLUE), router=stage.router(listen=f"[::]:{port}"))
    for host in ("127.0.0.1", "::1"):
        with socket.create_connection((host, port), timeout=PATIENCE) as raw:
            raw.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert raw.makefile("rb").read().endswith(b"\r\n\r\nblue 1.0")


def test_nobody_else_can_use_the_admin_socket(stage: Stage) -> None:
    stage.route(stage.backend(BLUE))
    folder = stage.live.parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "admin.sock").stat().st_mode) == 0o600


def test_problems_name_the_stranger_and_never_ourselves(stage: Stage) -> None:
    assert stage.router().problems(stage.settings, stage.place) == []
    stage.route(stage.backend(BLUE))
    assert stage.router().problems(stage.settings, stage.place) == []
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        taken = stranger.getsockname()[1]
        found = stage.router().problems(stage.configured(listen=f"127.0.0.1:{taken}"), stage.place)
    assert len(found) == 1
    assert f"127.0.0.1:{taken} is already taken by" in found[0]
    assert f"pid {os.getpid()}" in found[0]
    found = stage.router().problems(stage.configured(listen="203.0.113.7:8080"), stage.place)
    assert "no address of this machine" in found[0]


def test_problems_of_certificates(stage: Stage) -> None:
    def found(chain: str, private: str) -> str:
        tls = {"address": f"127.0.0.1:{stage.port}", "tls": {"certificate": chain, "key": private}}
        return " ".join(stage.router().problems(stage.configured(listen=tls), stage.place))

    certificate(stage.folder, 1)
    assert found("site.pem", "site.key") == ""
    assert "cannot be read: No such file" in found("nowhere.pem", "site.key")
    shutil.copy(stage.folder / "site.key", stage.folder / "old.key")
    certificate(stage.folder, 2)
    assert "does not belong to" in found("site.pem", "old.key")
    (stage.folder / "noise.pem").write_bytes(b"\0\xffnoise")
    assert "no PEM certificate" in found("noise.pem", "site.key")
    loaded = serialization.load_pem_private_key((stage.folder / "site.key").read_bytes(), None)
    hidden = serialization.BestAvailableEncryption(b"secret")
    form = serialization.PrivateFormat.PKCS8
    (stage.folder / "locked.key").write_bytes(loaded.private_bytes(serialization.Encoding.PEM, form, hidden))
    assert "is encrypted" in found("site.pem", "locked.key")
