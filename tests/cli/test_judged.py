"""`show --judge`: today's rules on what was measured then."""

from __future__ import annotations

import json
import math
from dataclasses import replace

from greenroom.domain.figures import Figures, Measurement
from greenroom.domain.plan import Rule
from greenroom.engine.recorder import MEASUREMENTS, FileRecorder, Recorded
from tests.cli.office import Office
from tests.cli.test_reference import agree, mentioned, sections


def measured(office: Office, release: str, errors: int) -> None:
    """Twenty seconds at 100 requests a second on green, after ten on blue."""
    recorder = FileRecorder(office.state / MEASUREMENTS)
    for second in range(30):
        blue, green = 100 * min(second, 10), 100 * max(0, second - 10)
        latency = ((10.0, green), (math.inf, green))
        ours = Figures(green, errors * green // 100, {}, latency)
        measurement = Measurement(float(second), "a", Figures(blue), ours)
        recorder.add(release, Recorded(1_000.0 + second, 100.0 if second >= 10 else 0.0, measurement))


def two_releases(office: Office) -> None:
    assert office.type("deploy", "1").code == 0
    assert office.type("deploy", "2").code == 0


def test_rules_of_today_on_a_release_that_is_over(office: Office) -> None:
    two_releases(office)
    measured(office, "r-0002", errors=3)
    office.plan = replace(office.plan, rules=(Rule("error_rate", max=0.2),))
    passed = office.type("show", "2", "--judge")
    assert passed.code == 0
    assert "r-0002: 2 on green" in passed.out
    assert "by the rules of the file as it is now, 19 s with traffic were good" in passed.out
    office.plan = replace(office.plan, rules=(Rule("error_rate", max=0.01),))
    failed = office.type("show", "--judge").out
    assert "it would have gone back after " in failed
    assert "with traffic, at 100 %: error rate 3 %:" in " ".join(failed.split())
    assert "green: 3 % errors" in " ".join(failed.split())


def test_the_document_is_described(office: Office) -> None:
    two_releases(office)
    measured(office, "r-0002", errors=0)
    document = json.loads(office.type("show", "r-0002", "--judge", "--json").out)
    top = sections("documents.md", "##")["`show --judge`"]
    agree(document, top)
    assert set(document["judged"]) <= mentioned(top, "judged")
    assert (document["judged"]["verdict"], document["judged"]["samples"]) == ("pass", 30)


def test_nothing_kept_is_said_and_is_no_verdict(office: Office) -> None:
    two_releases(office)
    assert "it cannot be judged again: nothing was kept of its traffic" in office.type("show", "--judge").out


def test_an_unknown_release_is_refused_with_the_known_ones(office: Office) -> None:
    two_releases(office)
    done = office.type("show", "9", "--judge")
    assert done.code == 2
    assert "r-0001, r-0002" in done.err
