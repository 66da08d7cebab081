"""`greenroom plan` where users would notice."""

from __future__ import annotations

import json

from tests.cli.office import Office


def test_hazards_are_listed_as_downtime(office: Office) -> None:
    assert office.type("deploy", "1").code == 0
    office.risks = ["router.drain: is 0; give it 30s"]
    done = office.type("plan", "2")
    assert done.code == 0
    assert "\n  ✗ users may notice: router.drain: is 0; give it 30s\n" in done.out
    office.risks += ["environment.processes.web.health: is not given; " + "give it `health: {path: /}`, " * 3]
    done = office.type("plan", "2")
    assert "\n  ✗ users may notice:\n    - router.drain: is 0; give it 30s\n    - environment.processes.web" in done.out
    assert "without downtime" not in done.out
    assert max(map(len, done.out.splitlines())) <= 80
    document = json.loads(office.type("plan", "2", "--json").out)
    assert (document["exit"], document["because"], document["problems"]) == (0, office.risks, [])
