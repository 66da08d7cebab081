"""HAProxy on another machine: everything goes through its host, and nothing else is needed there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from greenroom.adapters.hosts.ssh import SshHost
from greenroom.domain.model import Colour, RoutingSpec, Split
from greenroom.errors import PortError
from greenroom.ports import Host
from greenroom.testing import traffic
from tests.rigs import sshd
from tests.rigs.haproxy import Stage
from tests.rigs.routing import key

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("haproxy-ssh")]
BLUE, GREEN = Colour.BLUE, Colour.GREEN


@pytest.fixture
def server(tmp_path: Path) -> Iterator[sshd.Sshd]:
    folder = tmp_path / "sshd"
    folder.mkdir()
    with sshd.serving(folder) as server:
        yield server


@pytest.fixture
def host(server: sshd.Sshd, tmp_path: Path) -> Iterator[Host]:
    mine = sshd.make_key(tmp_path / "id")
    server.let_in(mine)
    known = tmp_path / "known_hosts"
    known.write_text(server.known())
    with closing(SshHost("web1", server.settings(mine, known))) as host:
        yield host


def test_it_is_told_and_seen_as_here(host: Host, tmp_path: Path) -> None:
    with Stage(tmp_path, host=host) as stage:
        assert stage.problems() == []
        blue, green = stage.backend(BLUE), stage.backend(GREEN)
        stage.route(blue, green, test=GREEN)
        url, headers = stage.router().reach(test=True)
        assert traffic.ask(url, headers=headers).text == "green 2.0"
        with traffic.Load(stage.url) as load:
            for colour in (GREEN, BLUE):
                stage.route(blue, green, to=colour)
                assert traffic.ask(url).text.startswith(colour)
        assert [str(seen) for seen in load.failed] == []
        assert stage.analyser().measure().blue.requests > 0
        assert stage.router().inspect(BLUE) == stage.router().inspect(GREEN) != {}
        stage.router().remove()
        assert not stage.router().observe().running


def test_a_machine_that_is_gone_moves_nothing_and_routes_on(server: sshd.Sshd, host: Host, tmp_path: Path) -> None:
    with Stage(tmp_path, host=host) as stage:
        blue, green = stage.backend(BLUE), stage.backend(GREEN)
        stage.route(blue, green)
        server.stop()
        with pytest.raises(PortError):
            stage.router().apply(RoutingSpec(Split.all_to(GREEN), blue, green), key())
        with pytest.raises(PortError):
            stage.router().observe()
        assert stage.problems()
        assert traffic.ask(stage.url).text == "blue 1.0"
        server.start()
        assert stage.router().observe().settled
