"""What nginx is given to read, and what its log is read as."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from greenroom.adapters.nginx.log import BOUNDS, Tally, latency, lost_are_counted, sent_on
from greenroom.adapters.nginx.render import picked, topology
from greenroom.adapters.nginx.settings import NginxSettings
from greenroom.adapters.nginx.state import State
from greenroom.domain.model import Colour, Endpoint, Split
from greenroom.testing.processes import free_ports
from tests.rigs.nginx import program

BLUE, GREEN = Colour.BLUE, Colour.GREEN


def test_every_share_takes_exactly_its_buckets() -> None:
    patterns = [re.compile(pattern.removeprefix("~")) for pattern in picked()]
    for share in range(1, 100):
        green = [n for n in range(100) if any(p.search(f"{share:03d}:{n:02d}") for p in patterns)]
        assert green == list(range(share))


@pytest.mark.parametrize("share", [*range(0, 101, 10), 1, 99])
@pytest.mark.parametrize("test", [None, BLUE, GREEN])
def test_a_state_is_its_name(share: int, test: Colour | None) -> None:
    state = State("1795286498052-1b4b29f8d3caa23e", Split.share(GREEN, share), test)
    assert State.read(state.name) == state
    for first in (BLUE, GREEN):
        assert State.read(replace(state, first=first).name) == replace(state, first=first)


def test_other_names_are_no_states() -> None:
    nothing = State("7-ab", Split.none(), None)
    assert State.read(nothing.name) == nothing
    wrong = ("7-ab-g101-tnone", "7-ab-g05-tnone", "7-ab-g005-tred", "../7-ab-g005-tnone", "7-ab-g005-tnone-fred")
    for name in ("", "off", *wrong):
        assert State.read(name) is None


def test_a_revision_changes_with_every_text_and_address() -> None:
    plain = {"url": "http://shop.example"}
    one = {BLUE: (Endpoint("127.0.0.1", 9001),)}

    def revision(upstreams: dict[Colour, tuple[Endpoint, ...]], **settings: object) -> str:
        made = NginxSettings.model_validate({**plain, **settings})
        return topology(made, "shop", upstreams, "token", Path("/srv")).revision

    given = [
        revision(one),
        revision({BLUE: (Endpoint("127.0.0.1", 9002),)}),
        revision({GREEN: (Endpoint("127.0.0.1", 9001),)}),
        revision(one, sticky=True),
        revision(one, before="127.0.0.1:8000"),
        revision(one, access_log="/var/log/nginx/access.log"),
        revision(one, timeouts={"keep_alive": "3s"}),
    ]
    assert len(set(given)) == len(given)
    assert revision(one) == given[0]


@pytest.mark.real
def test_the_longest_names_fit_into_nginxs_tables(tmp_path: Path) -> None:
    service = "a" + "-b" * 19 + "c"
    ports = free_ports(2)
    way = {"header": "x-" + "h" * 30, "host": f"{'idle-' * 12}shop.example", "listen": f"127.0.0.1:{ports[0]}"}
    given = {"listen": f"127.0.0.1:{ports[1]}", "folder": str(tmp_path), "sticky": True, "test_route": way}
    named = ("x-" + "s" * 30, r"odd $1 {;} \n 'é' ~^.*$ #")
    six = {BLUE: (Endpoint("::1", 9001), Endpoint("127.0.0.1", 9002))}
    made = topology(NginxSettings.model_validate(given), service, six, "0" * 32, tmp_path, named)
    (tmp_path / "log").mkdir()
    for name, content in made.files.items():
        (tmp_path / name).write_bytes(content)
    paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    temporary = "".join(f"{name}_temp_path {tmp_path}/{name}; " for name in paths)
    main = f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ {temporary}include {tmp_path}/http.conf; }}"
    (tmp_path / "nginx.conf").write_text(main)
    ran = subprocess.run([program(), "-t", "-c", f"{tmp_path}/nginx.conf"], check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "[warn]" not in "".join(line for line in ran.stderr.splitlines() if "user" not in line)


@pytest.mark.parametrize(
    ("headers", "responses", "whole", "ms"),
    [
        ("0.012", "0.500", "0.501", 12),
        ("-", "0.001", "2.000", 2000),  # no answer: as long as it took
        ("-, 0.003", "0.100, 0.004", "0.105", 103),  # another replica answered
        ("0.001 : 0.002", "0.001 : 0.002", "0.003", 3),  # sent on by the application
        ("-", "-", "0.250", 250),
    ],
)
def test_latency_is_the_time_to_the_first_byte(headers: str, responses: str, whole: str, ms: float) -> None:
    assert latency(headers, responses, whole) == pytest.approx(ms)


@pytest.mark.parametrize(
    ("line", "who", "to"),
    [
        (b"users\tblue\t200\t0.001\t0.001\t0.001", "users", "blue"),
        (b"users\tgreen\t502\t-\t0.000\t0.000", "users", "green"),
        (b"test\tgreen\t200\t0.001\t0.001\t0.001", "test", "green"),
        (b"users\tblue\t413\t-\t-\t0.000", "", ""),  # was not sent on
        (b"probe\tblue\t200\t-\t-\t0.000", "", ""),
        (b"users\tblue\t200", "", ""),
        (b"1795296431.626\tblue\t200\t0.001\t0.001\t0.001", "users", "blue"),  # by an earlier Greenroom
    ],
)
def test_a_line_of_the_log_says_who_was_sent_where(line: bytes, who: str, to: str) -> None:
    assert sent_on(line)[:2] == [who, to]


@pytest.mark.parametrize("first", [b"lost", b"1795296431.626"])
def test_a_request_that_is_lost_on_purpose_is_recognised(first: bytes) -> None:
    others = [b"users\tblue\t502\t-\t0.000\t0.000", b"users\tnobody\t502\t-\t0.000\t0.000", b""]
    assert not lost_are_counted(others)
    assert lost_are_counted([*others, first + b"\tnobody\t502\t-\t0.000\t0.000"])


def test_bounds_ascend_and_a_bound_belongs_to_what_is_below_it() -> None:
    assert list(BOUNDS) == sorted(set(BOUNDS))
    tally = Tally()
    for ms in (1, 250, 251, 10**9):
        tally.add("200", ms)
    counted = dict(tally.figures.latency)
    assert (counted[1], counted[250], counted[300], counted[float("inf")]) == (1, 2, 3, 4)
