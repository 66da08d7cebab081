"""Alarms as a gate and as a watch: FT-32, that they cannot be read, is neither quiet nor ringing unless the file says so."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from greenroom.adapters.aws.alarms import Alarm, AlarmSettings, alarm_of, judged
from greenroom.adapters.checks.alarm import AlarmWatch
from greenroom.adapters.gates.alarm import PATIENCE, AlarmGate
from greenroom.domain.model import Colour, Verdict
from greenroom.domain.opinion import Case, Finding
from greenroom.domain.phases import Phase
from greenroom.domain.plan import Gate, When
from greenroom.ports import Place
from greenroom.testing.fakes import FakeCheck
from tests.engine.scenarios import SHORT
from tests.engine.stage import Stage
from tests.rigs import aws_front
from tests.rigs.aws_front import Front
from tests.rigs.cloudwatch import Cloud, valid

PLACE = Place("shop", Path("greenroom.yaml").absolute(), Path(".greenroom").absolute())
NOW = float(int(time.time()) + 3600)
"""Whatever a test does to an alarm was before this release began."""
CASE = Case("r-7", "2", Colour.GREEN, "", now=NOW, since=NOW - 60, begun=NOW - 300)
BAKE = replace(CASE, until=NOW + 540)
OVER = replace(CASE, now=NOW + 541, until=NOW + 540)
RISEN, LONG = NOW - 30, NOW - 4000


def settings(*names: str, **more: Any) -> AlarmSettings:
    return AlarmSettings.model_validate({"names": list(names) or ["a", "b"], **more})


def opinion(*alarms: Alarm, **more: Any) -> Finding:
    found = judged(settings(*(alarm.name for alarm in alarms), **more), [a.name for a in alarms], alarms, CASE.begun)
    return Finding(found.verdict, found.reason, evidence=found.evidence)


# --- what alarms mean -------------------------------------------------------------------------------------------------


def test_one_that_rings_outweighs_all_others() -> None:
    ok, rings = Alarm("ok", "OK", since=LONG), Alarm("5xx", "ALARM", "Threshold Crossed: 9 > 1", RISEN)
    silent = Alarm("quiet", "INSUFFICIENT_DATA")
    assert opinion(ok, replace(ok, name="more")).reason == "all 2 alarms are OK"
    found = opinion(ok, silent, rings, unreadable="fail", no_data="fail")
    assert found.verdict is Verdict.FAIL
    assert found.reason.startswith("the alarm 5xx is in ALARM since 20")
    assert found.reason.endswith("UTC: Threshold Crossed: 9 > 1")


def test_one_that_rang_before_the_release_is_told_as_that() -> None:
    rings = Alarm("5xx", "ALARM", "Threshold Crossed", LONG)
    found = opinion(rings)
    assert found.verdict is Verdict.FAIL
    assert "5xx was in ALARM already before this release began (since " in found.reason
    ignored = opinion(rings, Alarm("ok", "OK"), already="ignore")
    assert ignored.verdict is Verdict.PASS
    assert "1 of 2 alarms are OK; ignored: the alarm 5xx is in ALARM since before this release" in ignored.reason
    again = opinion(replace(rings, since=RISEN), already="ignore")
    assert again.verdict is Verdict.FAIL, "it has been OK meanwhile"
    unknown = opinion(replace(rings, since=0.0), already="ignore")
    assert unknown.verdict is Verdict.FAIL, "nobody knows since when"


@pytest.mark.parametrize(
    ("policy", "verdict"), [("unknown", Verdict.UNKNOWN), ("ignore", Verdict.PASS), ("fail", Verdict.FAIL)]
)
def test_ft_32_ft_50_what_says_nothing_is_judged_by_its_policy(policy: str, verdict: Verdict) -> None:
    ok, silent = Alarm("ok", "OK"), Alarm("quiet", "INSUFFICIENT_DATA")
    assert opinion(ok, silent, no_data=policy).verdict is verdict
    assert "quiet has not enough data" in opinion(ok, silent, no_data=policy).reason
    assert opinion(ok, Alarm("part", "OK", evaluated="PARTIAL_DATA"), no_data=policy).verdict is verdict
    for state in ("EVALUATION_ERROR", "EVALUATION_FAILURE"):
        blind = Alarm("blind", "OK", "no such metric", evaluated=state)
        found = opinion(ok, blind, unreadable=policy, no_data="ignore")
        assert found.verdict is verdict
        assert f"blind could not be evaluated ({state}): no such metric" in found.reason
    gone = judged(settings("ok", "gone", unreadable=policy), ["ok", "gone"], [ok], CASE.begun)
    assert (gone.verdict, gone.unreadable) == (verdict, "there is no alarm gone")
    assert opinion(Alarm("new", "SNOOZED"), unreadable=policy).verdict is verdict


def test_a_hundred_alarms_are_told_in_a_few_lines() -> None:
    found = opinion(*(Alarm(f"alarm-{n}", "ALARM", "x" * 1000, RISEN) for n in range(100)))
    assert len(found.reason) < 1000
    assert found.reason.endswith("and 95 more")
    assert len(found.evidence) == 95


def test_what_cloudwatch_says_of_an_alarm() -> None:
    moment = datetime.fromtimestamp(RISEN, UTC)
    later = datetime.fromtimestamp(NOW, UTC)
    raw = {"AlarmName": "a", "StateValue": "ALARM", "StateReason": "x\n  y", "StateUpdatedTimestamp": later}
    assert alarm_of(raw).since == NOW
    assert alarm_of({**raw, "StateTransitionedTimestamp": moment}) == Alarm("a", "ALARM", "x y", RISEN)
    assert alarm_of({"AlarmName": "a"}) == Alarm("a", "")
    valid("DescribeAlarms", {"AlarmNames": ["a"] * 100, "AlarmTypes": ["MetricAlarm", "CompositeAlarm"]})


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"names": []}, "at least 1"),
        ({"names": ["a"] * 2}, "twice"),
        ({"names": [" "]}, "no name of an alarm"),
        ({"names": ["x" * 256]}, "no name of an alarm"),
        ({"names": ["{color}"]}, r"\{color\} is not known here; there is \{colour\}"),
        ({"names": [f"a{n}" for n in range(101)]}, "at most 100"),
        ({"every": "1s"}, "greater than or equal to 5"),
        ({"unreadable": "pass"}, "'unknown', 'ignore' or 'fail'"),
        ({"alarm": "a"}, "Extra inputs"),
    ],
)
def test_wrong_settings_are_refused(more: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        AlarmSettings.model_validate({"names": ["a"], **more})


def test_names_are_filled_in() -> None:
    wanted = settings("{service}-{colour}-5xx", "{service}-{version}", "all").wanted(CASE, "shop")
    assert wanted == ("shop-green-5xx", "shop-2", "all")


# --- on moto's alarms -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def upstream() -> Iterator[tuple[str, int]]:
    with aws_front.moto() as address:
        yield address


@pytest.fixture
def cloud(upstream: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    aws_front.nobody(monkeypatch)
    front = Front(upstream, None)
    cloud = Cloud(upstream, front)
    cloud.alarm("a")
    cloud.alarm("b")
    yield cloud
    cloud.empty()
    front.close()


def gate(cloud: Cloud, *names: str, **more: Any) -> AlarmGate:
    return AlarmGate(settings(*names, **cloud.settings, **more), PLACE)


def later(case: Case, seconds: float) -> Case:
    return replace(case, now=case.now + seconds)


@pytest.mark.real
@pytest.mark.xdist_group("moto")
class TestGate:
    def test_before_the_traffic_it_looks_once(self, cloud: Cloud) -> None:
        assert gate(cloud).ask(CASE, None) == Finding(Verdict.PASS, "all 2 alarms are OK")
        cloud.set("b", "ALARM", "Threshold Crossed: 1 datapoint [9.0] was greater")
        found = gate(cloud).ask(CASE, None)
        assert found.verdict is Verdict.FAIL
        assert "b was in ALARM already before this release began" in found.reason
        assert "1 datapoint [9.0] was greater" in found.reason

    def test_in_the_bake_it_watches_to_the_end(self, cloud: Cloud) -> None:
        found = gate(cloud).ask(BAKE, None)
        assert (found.verdict, found.again_after, found.memo) == (Verdict.WAIT, 10.0, None)
        last = gate(cloud).ask(replace(BAKE, now=BAKE.until - 3), found.memo)
        assert last.again_after == pytest.approx(3.0)
        assert gate(cloud).ask(OVER, found.memo).verdict is Verdict.PASS
        cloud.set("a", "ALARM")
        assert gate(cloud).ask(BAKE, found.memo).verdict is Verdict.FAIL, "not only at the end"

    def test_names_by_colour(self, cloud: Cloud) -> None:
        cloud.alarm("shop-green", "ALARM")
        cloud.alarm("shop-blue")
        asked = gate(cloud, "{service}-{colour}")
        assert asked.ask(CASE, None).verdict is Verdict.FAIL
        assert asked.ask(replace(CASE, colour=Colour.BLUE), None).verdict is Verdict.PASS

    def test_composite_alarms_on_another_page(self, cloud: Cloud) -> None:
        """Which moto does not have."""
        risen = {"StateTransitionedTimestamp": RISEN, "StateReason": "shop-5xx rings"}
        cloud.says("DescribeAlarms", {"MetricAlarms": [{"AlarmName": "a", "StateValue": "OK"}], "NextToken": "x"}, 1)
        cloud.says("DescribeAlarms", {"CompositeAlarms": [{"AlarmName": "b", "StateValue": "ALARM", **risen}]}, 1)
        found = gate(cloud).ask(CASE, None)
        assert found.verdict is Verdict.FAIL
        assert found.reason.startswith("the alarm b is in ALARM since 20")
        assert found.reason.endswith(": shop-5xx rings")

    def test_no_data_in_the_bake_counts_at_its_end(self, cloud: Cloud) -> None:
        cloud.set("b", "INSUFFICIENT_DATA")
        for policy, verdict in (("unknown", Verdict.UNKNOWN), ("fail", Verdict.FAIL), ("ignore", Verdict.PASS)):
            asked = gate(cloud, no_data=policy)
            assert asked.ask(BAKE, None).verdict is Verdict.WAIT
            assert asked.ask(OVER, None).verdict is verdict

    def test_ft_32_unreadable_for_a_moment_is_nothing(self, cloud: Cloud) -> None:
        for kind in ("throttle", "error", "denied"):
            cloud.fails(kind, times=1)
            found = gate(cloud, unreadable="fail").ask(BAKE, None)
            assert found.verdict is Verdict.WAIT
            assert found.reason.startswith("the alarms could not be read: ")
            assert found.memo == {"unread_since": NOW}
            again = gate(cloud, unreadable="fail").ask(later(BAKE, 10), found.memo)
            assert (again.verdict, again.memo) == (Verdict.WAIT, {"missed": 10.0})
            end = gate(cloud, unreadable="fail").ask(OVER, again.memo)
            assert end == Finding(Verdict.PASS, "all 2 alarms are OK; for 10s they could not be read")

    def test_ft_32_unreadable_in_the_bake_follows_the_policy(self, cloud: Cloud) -> None:
        cloud.fails("denied", message="User: ci is not authorized to perform: cloudwatch:DescribeAlarms")
        memo = {"unread_since": NOW}
        after, end = later(BAKE, PATIENCE), replace(OVER, now=OVER.until + 1)
        failed = gate(cloud, unreadable="fail").ask(after, memo)
        assert failed.verdict is Verdict.FAIL
        assert "denies cloudwatch:DescribeAlarms on 2 alarms" in failed.reason
        assert failed.reason.endswith(", for 1m now")
        asked = gate(cloud)
        assert asked.ask(after, memo).verdict is Verdict.WAIT, "it may be read again before the bake is over"
        assert asked.ask(end, memo).verdict is Verdict.UNKNOWN
        assert gate(cloud, unreadable="ignore").ask(after, memo).verdict is Verdict.WAIT
        ignored = gate(cloud, unreadable="ignore").ask(end, None)
        assert ignored.verdict is Verdict.PASS
        assert "could not be read" in ignored.reason

    def test_ft_32_an_alarm_that_is_gone_is_not_quiet(self, cloud: Cloud) -> None:
        asked = gate(cloud, "a", "gone")
        assert asked.ask(CASE, None).verdict is Verdict.WAIT
        found = asked.ask(later(CASE, PATIENCE), {"unread_since": NOW})
        assert found == Finding(Verdict.UNKNOWN, "there is no alarm gone")
        cloud.set("a", "ALARM")
        assert asked.ask(CASE, None).verdict is Verdict.FAIL, "what can be seen counts"

    def test_names_that_are_wrong_are_told_before_a_deploy(self, cloud: Cloud) -> None:
        asked = settings("a", "bb", "shop-{colour}", **cloud.settings)
        [problem] = AlarmGate.problems(asked, PLACE)
        assert problem.startswith("names: there is no alarm 'bb'; correct the name")
        assert AlarmWatch.problems(asked, PLACE) == [problem]
        cloud.fails("throttle", times=1)
        assert AlarmGate.problems(asked, PLACE) == [], "it may be there"
        cloud.fails("denied", times=1)
        [problem] = AlarmGate.problems(asked, PLACE)
        assert "denies cloudwatch:DescribeAlarms" in problem
        assert AlarmGate.problems(settings("shop-{colour}", **cloud.settings), PLACE) == []

    def test_without_a_region_it_is_made_and_says_so_when_it_is_asked(self, cloud: Cloud) -> None:
        nowhere = settings(endpoint=cloud.front.url)
        found = AlarmGate(nowhere, PLACE).ask(later(CASE, PATIENCE), {"unread_since": NOW})
        assert found.verdict is Verdict.UNKNOWN
        assert "which region" in found.reason
        assert AlarmWatch(nowhere, PLACE).ask(CASE, None).verdict is Verdict.UNKNOWN

    def test_alarms_of_another_account_say_nothing(self, cloud: Cloud) -> None:
        found = gate(cloud, account="111122223333").ask(later(CASE, PATIENCE), {"unread_since": NOW})
        assert found.verdict is Verdict.UNKNOWN
        assert "the file wants 111122223333" in found.reason
        assert "DescribeAlarms" not in cloud.front.calls


@pytest.mark.real
@pytest.mark.xdist_group("moto")
class TestWatch:
    def test_it_says_what_the_alarms_say_and_when_to_ask_again(self, cloud: Cloud) -> None:
        watch = AlarmWatch(settings(**cloud.settings, every="30s"), PLACE)
        assert watch.ask(CASE, None) == Finding(Verdict.PASS, "all 2 alarms are OK", 30.0)
        cloud.set("a", "ALARM")
        found = watch.ask(CASE, None)
        assert (found.verdict, found.again_after) == (Verdict.FAIL, 30.0)
        cloud.set("a", "INSUFFICIENT_DATA")
        assert watch.ask(CASE, None).verdict is Verdict.UNKNOWN

    def test_ft_32_what_it_cannot_read_is_unknown_or_as_the_file_says(self, cloud: Cloud) -> None:
        cloud.fails("reset-after")
        for policy, verdict in (("unknown", Verdict.UNKNOWN), ("fail", Verdict.FAIL), ("ignore", Verdict.PASS)):
            found = AlarmWatch(settings(**cloud.settings, unreadable=policy), PLACE).ask(CASE, None)
            assert found.verdict is verdict
            assert "did not answer cloudwatch:DescribeAlarms on 2 alarms" in found.reason


# --- in a release -----------------------------------------------------------------------------------------------------


def baking(cloud: Cloud, **more: Any) -> Stage:
    """A release whose bake of three minutes is watched by the gate; the alarm `a` and what it is read by are `cloud`'s."""
    stage = Stage(plan=replace(SHORT, bake=180.0, gates=(Gate("alarms", When.BAKE),)))
    stage.established()
    asked = stage.gates["alarms"]
    assert isinstance(asked, FakeCheck)
    asked.answers = gate(cloud, "a", **more).ask
    stage.deploy("2.0")
    assert stage.run(400.0, stage.in_phase(Phase.BAKE, "2.0"))
    return stage


@pytest.mark.real
@pytest.mark.xdist_group("moto")
class TestRelease:
    def test_it_bakes_while_nothing_rings_and_not_a_moment_longer(self, cloud: Cloud) -> None:
        stage = baking(cloud)
        began = stage.clock.now()
        assert stage.until_ended().phase is Phase.SUCCEEDED
        assert 180 <= stage.clock.now() - began < 200
        release, asked = stage.service.release, stage.gates["alarms"]
        assert release is not None
        assert isinstance(asked, FakeCheck)
        case, _ = asked.asked[-1]
        assert (case.begun, case.until) == (release.begun, pytest.approx(began + 180, abs=5))
        assert 15 <= cloud.front.calls.count("DescribeAlarms") <= 25, "every 10 s"

    def test_what_rings_in_the_bake_takes_the_traffic_back(self, cloud: Cloud) -> None:
        stage = baking(cloud)
        cloud.set("a", "ALARM", "Threshold Crossed")
        ended = stage.until_ended()
        assert ended.phase is Phase.ROLLED_BACK
        assert ended.failure.startswith("gate alarms: the alarm a is in ALARM since ")

    def test_ft_32_alarms_that_are_never_read_in_the_bake(self, cloud: Cloud) -> None:
        cloud.fails("throttle")
        told = baking(cloud).until_ended()
        judgement = told.judgement("gate:alarms")
        assert told.phase is Phase.SUCCEEDED, "unknown under traffic is told, and no reason to go back"
        assert judgement is not None
        assert (judgement.verdict, "could not be read" in judgement.reason) == (Verdict.UNKNOWN, True)
        failed = baking(cloud, unreadable="fail").until_ended()
        assert failed.phase is Phase.ROLLED_BACK
        assert "the alarms could not be read" in failed.failure
        ignored = baking(cloud, unreadable="ignore").until_ended()
        assert ignored.phase is Phase.SUCCEEDED
        judgement = ignored.judgement("gate:alarms")
        assert judgement is not None
        assert judgement.verdict is Verdict.PASS
