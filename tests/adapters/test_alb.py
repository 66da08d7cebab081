"""The router `alb` where AWS fails, others interfere and targets fall ill: on moto, with HAProxy for the data plane."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from greenroom.adapters.aws.elb.judging import LAGS
from greenroom.domain.model import Backend, Colour, Endpoint, Mirror, Routing, RoutingSpec, Split
from greenroom.errors import Permanent, Temporary, Uncertain
from greenroom.ports import Router
from greenroom.testing import traffic
from tests.rigs import aws_front
from tests.rigs.alb_stage import Stage
from tests.rigs.aws_front import Fault, Front
from tests.rigs.routing import key

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("moto")]
BLUE, GREEN = Colour.BLUE, Colour.GREEN
TO_BLUE, TO_GREEN = Split.all_to(BLUE), Split.all_to(GREEN)


@pytest.fixture(scope="session")
def front() -> Iterator[Front]:
    with aws_front.moto() as address:
        front = Front(address, None)
        yield front
        front.close()


@pytest.fixture
def staged(tmp_path: Path, front: Front, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Stage]]:
    aws_front.nobody(monkeypatch)
    with contextlib.ExitStack() as stack:
        yield lambda **settings: stack.enter_context(Stage(tmp_path, front, **settings))


@pytest.fixture
def stage(staged: Callable[..., Stage]) -> Stage:
    return staged()


def both(stage: Stage, split: Split = TO_BLUE, test: Colour | None = None) -> RoutingSpec:
    return RoutingSpec(split, stage.backend(BLUE), stage.backend(GREEN), test)


def told(stage: Stage, split: Split = TO_BLUE, **settings: Any) -> RoutingSpec:
    """Both colours run, and the router serves this."""
    spec = both(stage, split)
    stage.route(spec.blue, spec.green, split=split, router=stage.router(**settings))
    stage.calls()
    return spec


def moved(spec: RoutingSpec, split: Split) -> RoutingSpec:
    return RoutingSpec(split, spec.blue, spec.green, spec.test)


# --- switching --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["arn", "forward", "both"])
def test_a_listener_of_any_shape_is_switched(staged: Callable[..., Stage], shape: str) -> None:
    stage = staged(shape=shape, tls=True)
    spec = told(stage)
    assert stage.alb.https is not None
    stage.route(spec.blue, spec.green, to=GREEN)
    assert stage.weights() == stage.weights(stage.alb.https) == {"blue": 0, "green": 100}
    for listener in (stage.alb.http, stage.alb.https):
        assert traffic.ask(listener.url).text.startswith("green")


def test_a_group_that_no_listener_knows_is_attached_before_it_gets_traffic(staged: Callable[..., Stage]) -> None:
    stage = staged(shape="arn", test_route=None)
    stage.alb.api.delete_listener(ListenerArn=stage.alb.test.arn)
    blue = stage.backend(BLUE)
    green = stage.start(GREEN)
    stage.route(blue)  # which puts green into it, without weight
    stage.alb.set(stage.alb.http, stage.alb.forward({BLUE: 100}, "arn"))
    spec = RoutingSpec(TO_GREEN, blue, stage.behind(GREEN, green.version))
    with pytest.raises(Temporary, match=r"in none of the listeners.*nothing was switched"):
        stage.router().apply(spec, key())
    assert stage.weights() == {"blue": 1, "green": 0}
    stage.alb.settle(healthy=True)
    stage.router().apply(spec, key())
    stage.until(lambda seen: seen.settled)


def test_rules_are_switched_and_a_header_rule_is_the_test_route(stage: Stage) -> None:
    alb = stage.alb
    public = alb.rule(alb.http, "x-shop", "*", alb.forward({BLUE: 100, GREEN: 0}), 20)
    test = alb.rule(alb.http, "x-greenroom-test", "yes*", alb.forward({BLUE: 100}), 10)
    alb.settle()
    rules = {"listeners": [], "rules": public, "test_route": {"rule": test}}
    assert stage.problems(**rules) == []
    router = stage.router(**rules, observe=None)
    spec = both(stage, TO_GREEN, test=BLUE)
    router.apply(spec, key())
    stage.until(lambda seen: seen.settled and seen.told == spec, router)
    assert router.reach(test=True) == (stage.url, {"x-greenroom-test": "yes"})
    _, headers = router.reach(test=True)
    assert traffic.ask(stage.url, headers={"x-shop": "1"}).text.startswith("green")
    assert traffic.ask(stage.url, headers={"x-shop": "1", **headers}).text.startswith("blue")
    assert traffic.ask(stage.url).text.startswith("blue")  # by the listener, which is not ours here


def test_what_requests_get_is_what_is_live_by_version_or_by_json(stage: Stage) -> None:
    router = stage.router(observe={"header": "x-version"})
    spec = both(stage)
    router.apply(spec, key())
    assert stage.until(lambda seen: seen.settled, router).live == TO_BLUE
    fresh = stage.start(BLUE)  # of which nothing was told
    stage.alb.settle(healthy=True)
    seen = stage.until(lambda seen: not seen.settled, router)
    assert f"'{fresh.version}', which is neither colour nor version" in seen.detail
    by_text = stage.router(observe={"regex": "^(blue|green) "})
    assert stage.until(lambda seen: seen.settled, by_text).live == TO_BLUE


def test_without_observe_it_is_live_when_time_has_passed_and_targets_are_well(stage: Stage) -> None:
    router = stage.router(observe=None, settle="9s")
    spec = both(stage)
    router.apply(spec, key())
    seen = router.observe()
    assert (seen.told, seen.live, seen.settled) == (spec, None, False)
    assert seen.settles_at is not None
    stage.ahead = 10
    assert router.observe().settled
    assert any("router.observe: is not given" in text for text in stage.hazards(observe=None))


def test_a_part_of_the_traffic_is_live_when_both_have_answered_or_time_has_passed(stage: Stage) -> None:
    router = stage.router(settle="40s", observe={"header": "x-served-by", "requests": 1})
    spec = told(stage)
    router.apply(moved(spec, Split(50, 50)), key())
    assert stage.until(lambda seen: seen.settled, router).live == Split(50, 50)
    # From a part to all: the same answers might come before.
    router.apply(moved(spec, TO_GREEN), key())
    seen = stage.until(lambda seen: seen.live != TO_BLUE, router)
    assert not seen.settled
    stage.ahead = 41
    assert stage.until(lambda seen: seen.settled, router).live == TO_GREEN


def test_stickiness_is_for_steps_only_and_a_rollback_takes_everybody(stage: Stage) -> None:
    router = stage.router(stickiness="1h")
    spec = both(stage, Split(50, 50))
    router.apply(spec, key())
    stage.until(lambda seen: seen.settled, router)
    users = [stage.send() for _ in range(40)]
    assert {user.by for user in users} == {BLUE, GREEN}
    for user in users:
        assert stage.send(headers={"cookie": user.cookie}).by is user.by
    router.apply(moved(spec, TO_BLUE), key())
    stage.until(lambda seen: seen.settled, router)
    assert {stage.send(headers={"cookie": user.cookie}).by for user in users} == {BLUE}


def test_what_an_alb_cannot_do_is_refused(stage: Stage) -> None:
    spec = both(stage)
    router = stage.router()
    stage.calls()
    other = Backend((Endpoint("10.0.0.7", 8000),), "2", "r-2")
    for wrong, why in (
        (RoutingSpec(TO_GREEN, spec.blue, other), "10.0.0.7:8000 is not behind its target group"),
        (RoutingSpec(TO_GREEN, spec.green, spec.blue), "not behind its target group"),
        (RoutingSpec(TO_GREEN, spec.blue), "no endpoint"),
        (RoutingSpec(Split(50, 49), spec.blue, spec.green), "do not sum to 100"),
        (RoutingSpec(Split(-5, 105), spec.blue, spec.green), "do not sum to 100"),
        (RoutingSpec(TO_BLUE, spec.blue, spec.green, mirror=Mirror(GREEN, 5)), "copies"),
    ):
        with pytest.raises(Permanent, match=why):
            router.apply(wrong, key())
    assert set(stage.calls()) <= {"DescribeTargetGroups"}


def test_versions_that_no_tag_takes_are_read_back(stage: Stage) -> None:
    spec = both(stage)
    odd = Backend(spec.blue.endpoints, "1.0 (β, ~draft)", "r-1;x")
    seen = stage.route(odd, spec.green)
    assert seen.told is not None
    assert seen.told.blue == odd
    with pytest.raises(Permanent, match="too long"):
        stage.router().apply(RoutingSpec(TO_BLUE, Backend(odd.endpoints, "v" * 300), spec.green), key())


def test_where_zero_weights_are_refused_nobody_is_sent_by_a_fixed_answer(stage: Stage) -> None:
    spec = told(stage)
    refusal = {"__type": "x#ValidationError", "message": "at least one weight"}
    stage.front.faults.append(Fault("refused", "ModifyListener", body=refusal))
    stage.router().apply(RoutingSpec(Split.none()), key())
    assert stage.until(lambda seen: seen.settled).live == Split.none()
    assert traffic.ask(stage.url).text == "fixed"
    stage.route(spec.blue, spec.green)


# --- calls ------------------------------------------------------------------------------------------------------------


def test_what_a_look_and_a_switch_cost(staged: Callable[..., Stage]) -> None:
    stage = staged(tls=True)
    spec = told(stage)
    router = stage.router(pace=5.0)
    router.observe()
    assert stage.calls() == ["DescribeListeners", "DescribeTargetGroups", "DescribeTags", "DescribeTargetHealth"]
    for _ in range(10):
        assert router.observe().settled
    assert stage.calls() == []
    router.apply(moved(spec, TO_GREEN), key())
    reads, writes = ["DescribeListeners", "DescribeTags"], ["AddTags", "ModifyListener", "ModifyListener", "AddTags"]
    assert stage.calls() == [*reads, "DescribeTargetHealth", *writes]
    assert stage.until(lambda seen: seen.settled, router).live == TO_GREEN
    assert stage.calls() == [*reads, "DescribeTargetHealth"]
    router.anew()
    router.observe()
    assert stage.calls() == [*reads, "DescribeTargetHealth"]
    router.apply(moved(spec, TO_GREEN), key())
    assert stage.calls() == reads


def test_a_hundred_services_at_rest_stay_inside_what_an_account_may_ask(stage: Stage) -> None:
    """ELB refills 10 tokens a second for all `Describe…` of an account and region, and holds 40."""
    told(stage)
    router = stage.router(pace=5.0, steady=lambda: stage.ahead)
    router.observe()
    stage.calls()
    for _ in range(60):  # the quarter of an hour after a telling
        stage.ahead += 15
        assert router.observe().settled
    soon = len(stage.calls())
    for _ in range(600):  # an hour
        stage.ahead += 6
        assert router.observe().settled
    rest = len(stage.calls())
    assert soon == 3 * 60
    assert 100 * rest / 3600 <= 10
    # What requests get is seen at every look, and AWS is asked then.
    stage.set({BLUE: 0, GREEN: 100})
    stage.alb.settle()
    assert not router.observe().settled
    stage.ahead += 6
    seen = router.observe()
    assert seen.told is not None
    assert seen.told.split == TO_GREEN


def test_a_group_that_was_made_anew_is_found_again(stage: Stage) -> None:
    told(stage)
    router = stage.router()
    assert router.observe().settled
    refusal = {"__type": "x#TargetGroupNotFound", "message": "One or more target groups not found"}
    stage.front.faults.append(Fault("refused", "DescribeTargetHealth", body=refusal))
    with pytest.raises(Permanent, match="TargetGroupNotFound"):
        router.observe()
    stage.calls()
    assert router.observe().settled
    assert "DescribeTargetGroups" in stage.calls()


# --- others, and AWS's misfortunes ------------------------------------------------------------------------------------


def test_ft_20_weights_changed_out_of_band_are_what_was_told(stage: Stage) -> None:
    spec = told(stage)
    before = stage.router().observe().revision
    stage.set({BLUE: 1, GREEN: 2})
    seen = stage.until(lambda seen: not seen.settled)
    assert seen.told is not None
    assert seen.told.split == Split(33, 67)
    assert "changed by somebody else" in seen.detail
    assert seen.revision != before
    assert not seen.unfinished
    stage.route(spec.blue, spec.green)
    assert stage.weights() == {"blue": 100, "green": 0}


def test_ft_20_production_on_an_empty_group_is_told_as_such(stage: Stage) -> None:
    told(stage)
    stage.alb.deregister(stage.alb.groups[GREEN], stage.running[GREEN].host)
    stage.set({BLUE: 0, GREEN: 100})
    seen = stage.until(lambda seen: "has no target" in seen.detail)
    assert seen.told is not None
    assert seen.told.split == TO_GREEN
    assert not seen.settled
    assert stage.alb.groups[GREEN].name in seen.detail


def test_ft_20_a_listener_that_was_turned_elsewhere_is_not_ours_any_more(stage: Stage) -> None:
    told(stage)
    other = stage.alb.group(f"{stage.alb.name}-other")
    action = {"Type": "forward", "TargetGroupArn": other.arn}
    stage.alb.set(stage.alb.http, action)
    seen = stage.router().observe()
    assert seen.told is None
    assert "changed by somebody else: it forwards to" in seen.detail
    [problem] = stage.problems()
    assert other.arn in problem
    stage.alb.set(stage.alb.http, stage.alb.forward({BLUE: 100, GREEN: 0}))


def test_ft_20_traffic_that_greenroom_never_told_is_not_taken_for_nothing(stage: Stage) -> None:
    stage.backend(BLUE)
    seen = stage.router().observe()
    assert (seen.told, seen.running, seen.live) == (None, True, TO_BLUE)
    assert "which Greenroom did not tell it" in seen.detail


def test_ft_20_a_first_release_does_not_take_users_from_what_greenroom_never_told(stage: Stage) -> None:
    stage.backend(BLUE)
    green = stage.backend(GREEN)
    with pytest.raises(Permanent, match="a first release would send them to nobody"):
        stage.router().apply(RoutingSpec(Split.none(), Backend(), green, GREEN), key())
    assert stage.weights() == {"blue": 100, "green": 0}
    # But what is there may be the first candidate itself.
    stage.router().apply(RoutingSpec(Split.none(), stage.behind(BLUE, "1"), Backend(), BLUE), key())
    assert stage.weights() == {"blue": 0, "green": 0}


def test_ft_21_what_terraform_puts_back_in_the_bake_is_drift_and_no_crash(stage: Stage) -> None:
    spec = told(stage)
    stage.route(spec.blue, spec.green, to=GREEN)
    stage.set({BLUE: 100, GREEN: 0})
    stage.until(lambda seen: not seen.settled)  # at once by what requests get, though AWS may only be late
    stage.ahead = LAGS + 1
    seen = stage.until(lambda seen: seen.told is not None and seen.told.split == TO_BLUE)
    assert "changed by somebody else" in seen.detail
    assert not seen.settled
    assert not seen.unfinished  # nobody of ours finishes it: a person decides


def test_ft_21_aws_that_is_late_is_not_somebody_else(stage: Stage) -> None:
    spec = told(stage)
    router = stage.router()
    router.observe()
    router.apply(moved(spec, TO_GREEN), key())
    stage.front.faults.append(Fault("stale", "DescribeListeners"))
    seen = router.observe()
    assert seen.told == moved(spec, TO_GREEN)
    assert not seen.settled
    assert "does not show yet" in seen.detail
    assert seen.settles_at is not None
    assert stage.until(lambda seen: seen.settled, router).live == TO_GREEN


def test_ft_22_throttled_anywhere_it_says_so_and_is_never_taken_for_done(staged: Callable[..., Stage]) -> None:
    stage = staged(tls=True)
    spec = told(stage)
    for number in range(7):
        stage.front.faults[:] = [Fault("throttle", skip=number)]
        with pytest.raises(Temporary, match="throttles elasticloadbalancing:") as raised:
            stage.router().apply(moved(spec, TO_GREEN), key())
        assert raised.value.retry_after >= 1
        seen = stage.router().observe()
        assert not seen.settled or seen.live == TO_BLUE
        assert stage.ask() is not None
        stage.front.faults.clear()
        stage.route(spec.blue, spec.green, to=GREEN)
        stage.route(spec.blue, spec.green, to=BLUE)


def test_ft_22_a_throttled_look_leaves_aws_alone_for_a_while(stage: Stage) -> None:
    told(stage)
    router = stage.router()
    stage.front.faults.append(Fault("throttle", "DescribeListeners"))
    for _ in range(5):
        with pytest.raises(Temporary, match="throttles"):
            router.observe()
    assert stage.calls().count("DescribeListeners") == 1


def test_ft_22_acknowledged_and_not_done_is_not_live(stage: Stage) -> None:
    spec = told(stage)
    stage.alb.stall()
    router = stage.router()
    router.apply(moved(spec, TO_GREEN), key())
    stage.ahead = 100  # however long it takes
    seen = router.observe()
    assert (seen.told, seen.live, seen.settled) == (moved(spec, TO_GREEN), TO_BLUE, False)


@pytest.mark.parametrize("kind", ["reset", "reset-after"])
def test_ft_23_killed_between_any_two_calls_the_next_one_converges(staged: Callable[..., Stage], kind: str) -> None:
    """`reset`: killed before a call was done; `reset-after`: after it. Then the same is told again, or the way back."""
    stage = staged(tls=True)
    spec, https = told(stage), stage.alb.https
    fresh = {BLUE: TO_GREEN, GREEN: TO_BLUE}
    number, on = 0, BLUE
    while True:
        wanted = moved(spec, fresh[on])
        stage.front.faults[:] = [Fault(kind, skip=number)]
        stage.calls()
        with contextlib.suppress(Temporary, Uncertain):
            stage.router().apply(wanted, key())
        if stage.front.faults[0].times:
            break  # it was over before
        seen = stage.router().observe()
        assert seen.told is not None
        assert seen.told.split in (TO_BLUE, TO_GREEN)
        agree = stage.weights() == stage.weights(https) == {str(c): wanted.split.of(c) for c in Colour}
        assert agree or not seen.settled or seen.told.split == Split.all_to(on)
        if stage.weights() != stage.weights(https):
            assert seen.unfinished
            assert not seen.settled
        goal = wanted if number % 2 else moved(spec, Split.all_to(on))
        stage.router().apply(goal, key())
        after = stage.until(lambda seen: seen.settled)
        assert (after.told, after.unfinished) == (goal, False)
        assert stage.weights() == stage.weights(https) == {str(c): goal.split.of(c) for c in Colour}
        on = BLUE if goal.split == TO_BLUE else GREEN
        number += 1
    assert number >= 7


def test_ft_23_killed_while_it_is_taken_down_it_is_taken_down_again(stage: Stage) -> None:
    number = 0
    while True:
        told(stage) if not number else stage.route(stage.behind(BLUE, "1"), stage.behind(GREEN, "2"))
        stage.front.faults[:] = [Fault("reset-after" if number % 2 else "reset", skip=number)]
        with contextlib.suppress(Temporary, Uncertain):
            stage.router().remove()
        over = bool(stage.front.faults[0].times)
        stage.front.faults.clear()
        stage.router().remove()
        assert not stage.router().observe().running
        assert stage.weights() == {"blue": 0, "green": 0}
        assert stage.tags() == {}
        if over:
            break
        number += 1
    assert number >= 5


def test_done_without_an_answer_is_uncertain_and_telling_it_again_finishes(stage: Stage) -> None:
    spec = told(stage)
    stage.front.faults.append(Fault("error-after", "ModifyListener"))
    with pytest.raises(Uncertain, match="ModifyListener on the listener"):
        stage.router().apply(moved(spec, TO_GREEN), key())
    seen = stage.router().observe()
    assert seen.unfinished
    assert not seen.settled
    stage.route(spec.blue, spec.green, to=GREEN)


def test_who_was_overtaken_moves_nothing(stage: Stage) -> None:
    spec = told(stage)
    stage.router().apply(spec, key(9))
    stage.calls()
    with pytest.raises(Permanent, match=r"newer lease \(9\) than ours \(8\)"):
        stage.router().apply(moved(spec, TO_GREEN), key(8))
    assert set(stage.calls()) == {"DescribeTargetGroups", "DescribeListeners", "DescribeTags"}


# --- health -----------------------------------------------------------------------------------------------------------


def test_ft_29_traffic_is_not_moved_to_a_group_without_a_healthy_target(stage: Stage) -> None:
    spec = told(stage)
    stage.running[GREEN].stop()
    green = stage.alb.groups[GREEN]
    stage.alb.until(lambda: stage.alb.health[green.arn, stage.running[GREEN].host] == "unhealthy")
    with pytest.raises(Temporary, match=f"{green.name} of green has no healthy target .*unhealthy") as raised:
        stage.router().apply(moved(spec, Split(90, 10)), key())
    assert raised.value.retry_after == 5
    stage.alb.deregister(green, stage.running[GREEN].host)
    stage.alb.until(lambda: (green.arn, stage.running[GREEN].host) not in stage.alb.health)
    with pytest.raises(Temporary, match="has no target: users would get 503"):
        stage.router().apply(moved(spec, TO_GREEN), key())
    assert stage.weights() == {"blue": 100, "green": 0}
    assert "AddTags" not in stage.calls()
    assert stage.router().observe().settled


def test_ft_31_from_a_broken_group_traffic_is_moved(stage: Stage) -> None:
    spec = told(stage)
    stage.running[BLUE].stop()
    blue = stage.alb.groups[BLUE].arn
    stage.alb.until(lambda: stage.alb.health[blue, stage.running[BLUE].host] == "unhealthy")
    stage.router().apply(moved(spec, Split(50, 50)), key())
    stage.route(spec.blue, spec.green, to=GREEN)


def test_groups_that_differ_are_seen_to(stage: Stage) -> None:
    router = stage.router()
    blue, green = router.inspect(BLUE)["upstream"], router.inspect(GREEN)["upstream"]
    assert blue == green
    assert blue.effective["HealthCheckPath"] == "/"
    assert blue.effective["Matcher.HttpCode"] == "200"
    attribute = {"Key": "slow_start.duration_seconds", "Value": "60"}
    stage.alb.api.modify_target_group_attributes(TargetGroupArn=stage.alb.groups[GREEN].arn, Attributes=[attribute])
    green = router.inspect(GREEN)["upstream"]
    assert {k for k in green.effective if green.effective[k] != blue.effective[k]} == {"slow_start.duration_seconds"}


def test_a_group_that_fails_open_is_not_called_well(stage: Stage) -> None:
    """All of its targets are unhealthy: the load balancer sends to all of them, and they may even answer."""
    told(stage)
    blue = stage.alb.groups[BLUE]
    stage.alb.api.modify_target_group(TargetGroupArn=blue.arn, HealthCheckPath="/status?code=500")
    stage.alb.until(lambda: stage.alb.health.get((blue.arn, stage.running[BLUE].host)) == "unhealthy")
    seen = stage.until(lambda seen: "no healthy target" in seen.detail)
    assert traffic.ask(stage.url).text.startswith("blue")
    assert (seen.live, seen.settled) == (TO_BLUE, False)
    assert "sends to all of them" in seen.detail


def test_ft_32_what_cannot_be_read_is_unknown_and_says_which_right_is_missing(stage: Stage) -> None:
    told(stage)
    for operation in ("DescribeListeners", "DescribeTags", "DescribeTargetHealth"):
        stage.front.faults[:] = [Fault("denied", operation, times=2)]
        with pytest.raises(Permanent, match=f"denies elasticloadbalancing:{operation} on "):
            stage.router().observe()
        [problem] = stage.problems() if operation != "DescribeTargetHealth" else [f"elasticloadbalancing:{operation}"]
        assert f"elasticloadbalancing:{operation}" in problem


def test_requests_that_fail_leave_it_unknown(stage: Stage) -> None:
    told(stage)
    seen = stage.router(url="http://127.0.0.1:9").observe()
    assert (seen.live, seen.settled) == (None, False)
    assert "requests through the load balancer fail" in seen.detail
    seen = stage.router(observe={"header": "x-nobody-sets"}).observe()
    assert (seen.live, seen.settled) == (None, False)
    assert "neither colour nor version" in seen.detail


# --- many -------------------------------------------------------------------------------------------------------------


def switched(stage: Stage, times: int) -> Routing:
    """Under load; every request gets a right answer, and after a switch was seen none from the old colour."""
    spec = told(stage)
    router, seen = stage.router(), stage.router().observe()
    with stage.load() as load:
        for number in range(times):
            seen = _switch(stage, router, moved(spec, TO_BLUE if number % 2 else TO_GREEN))
    assert load.failed == []
    return seen


def _switch(stage: Stage, router: Router, spec: RoutingSpec) -> Routing:
    router.apply(spec, key())
    seen = stage.until(lambda seen: seen.settled, router)
    answer = stage.ask()
    assert answer is not None
    assert spec.split.of(answer.colour) == 100
    return seen


def test_ten_switches_lose_no_request(staged: Callable[..., Stage]) -> None:
    stage = staged(tls=True)
    assert switched(stage, 10).settled
    assert stage.alb.reloads == 0


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_hundred_switches_lose_no_request(staged: Callable[..., Stage]) -> None:
    stage = staged(tls=True)
    assert switched(stage, 100).settled
    assert stage.alb.reloads == 0
