"""Router and analyser `nginx` on another machine: everything by SSH, nothing of ours there but files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from greenroom.adapters.hosts.ssh import SshHost
from greenroom.domain.model import Colour
from greenroom.testing import traffic
from tests.rigs.nginx import Rig
from tests.rigs.sshd import make_key, serving

BLUE, GREEN = Colour.BLUE, Colour.GREEN

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("sshd")]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with serving(tmp_path / "sshd") as server:
        identity, known = make_key(tmp_path / "key"), tmp_path / "known"
        server.let_in(identity)
        known.write_text(server.known())
        host = SshHost("app1", server.settings(identity, known))
        try:
            with Rig(tmp_path / "web", host=host) as made:
                yield made
        finally:
            host.close()


def test_switches_and_measurements_by_ssh(rig: Rig) -> None:
    router = rig.router()
    assert router.problems(rig.settings, rig.place) == []
    blue, green = rig.backend(BLUE), rig.backend(GREEN)
    rig.route(blue, green, test=GREEN)
    url, headers = router.reach(test=True)
    assert url != rig.url  # another way in, which leads there
    assert traffic.ask(url, headers=headers).text == f"green {green.version}"
    held = rig.hold()
    with traffic.Load(rig.url) as load:
        for to in (GREEN, BLUE, GREEN):
            rig.route(blue, green, to=to, router=router)
            answer = rig.ask()
            assert answer is not None
            assert answer.colour is to
    assert load.failed == []
    assert rig.router().observe().holding[BLUE] >= 1
    held.close()
    rig.until(lambda seen: seen.holding[BLUE] == 0, router)
    seen = rig.analyser().measure()
    assert seen.blue.requests + seen.green.requests >= len(load.seen)
    assert (seen.blue.errors, seen.green.errors) == (0, 0)
