"""What the answers of a source come to: tables."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from greenroom.domain.figures import Reading
from greenroom.domain.model import Verdict
from greenroom.domain.plan import Rule
from greenroom.domain.readings import judge_readings, judge_sources

PASS, FAIL, WAIT, UNKNOWN = Verdict
RULE = Rule("p99", max=100.0, source="p99 of prometheus", failures=3)
NAN = float("nan")


def readings(*values: Any) -> list[Reading]:
    """A number: the candidate's; a pair: with the baseline's; a text: a problem; a reading: itself."""
    made = []
    for at, value in enumerate(values):
        match value:
            case Reading():
                made.append(replace(value, at=float(at)))
            case str():
                made.append(Reading(at, problem=value))
            case (candidate, baseline):
                made.append(Reading(at, candidate, baseline))
            case _:
                made.append(Reading(at, value))
    return made


@pytest.mark.parametrize(
    ("values", "looking", "at_the_end"),
    [
        ([], WAIT, PASS),
        ([50, 60], WAIT, PASS),
        ([500, 500], WAIT, WAIT),
        ([500, 500, 500], FAIL, FAIL),
        ([500, 500, 50, 500, 500], WAIT, WAIT),
        ([500, 500, 50], WAIT, PASS),
        ([500, None, 500, NAN, 500], FAIL, FAIL),
        ([500, 500, None], WAIT, WAIT),
        ([500, 500, "it does not answer", 500], FAIL, FAIL),
        ([50, "it does not answer"], UNKNOWN, UNKNOWN),
        (["it does not answer"] * 9, UNKNOWN, UNKNOWN),
        (["it does not answer", 50], WAIT, PASS),
        ([50, None, None, None], WAIT, PASS),
        ([float("inf")] * 5, WAIT, PASS),
    ],
)
def test_ft_50_a_row_over_the_limit_fails_and_nothing_else(
    values: list[Any], looking: Verdict, at_the_end: Verdict
) -> None:
    assert judge_readings(RULE, readings(*values), final=False).verdict is looking
    assert judge_readings(RULE, readings(*values), final=True).verdict is at_the_end


@pytest.mark.parametrize(("policy", "verdict"), [("ignore", PASS), ("pass", PASS), ("wait", WAIT), ("fail", FAIL)])
@pytest.mark.parametrize("values", [[], [None], [NAN, None, NAN], [50, None, None, None]])
def test_ft_50_no_data_has_a_policy_of_its_own(policy: str, verdict: Verdict, values: list[Any]) -> None:
    rule = replace(RULE, no_data=policy)
    found = judge_readings(rule, readings(*values), final=True)
    assert found.verdict is verdict
    assert found.reason == "p99 of prometheus: no data"
    assert judge_readings(rule, readings(*values), final=False).verdict is WAIT


@pytest.mark.parametrize("policy", ["ignore", "wait", "fail"])
def test_ft_49_a_source_that_cannot_be_asked_is_never_a_pass_nor_a_failure(policy: str) -> None:
    found = judge_readings(replace(RULE, no_data=policy), readings("connection refused"), final=True)
    assert found.verdict is UNKNOWN
    assert found.reason == "p99 of prometheus could not be asked: connection refused"


def test_a_critical_metric_ends_it_at_once() -> None:
    found = judge_readings(replace(RULE, critical=True), readings(50, 101), final=False)
    assert found.verdict is FAIL
    assert found.reason == "p99 of prometheus 101 ms (limit at most 100 ms)"


def test_the_reason_has_both_versions_numbers() -> None:
    rule = Rule("error_rate", max_ratio=2.0, source="errors", failures=2)
    found = judge_readings(rule, readings((0.1, 0.02), (0.1, 0.02)), final=False)
    assert found.verdict is FAIL
    assert found.reason == "errors 10 %, baseline 2 % (limit at most 4 %, 2 × the baseline), 2 times in a row"
    assert found.evidence == ("candidate 10 %, baseline 2 %",) * 2


def test_less_than_the_least() -> None:
    rule = Rule("", min=5.0, source="orders", failures=1)
    assert judge_readings(rule, readings(5), final=True).verdict is PASS
    assert judge_readings(rule, readings(4), final=True).verdict is FAIL


def test_against_a_baseline_without_errors_or_without_data() -> None:
    errors = Rule("error_rate", max_ratio=2.0, source="errors", failures=1)
    assert judge_readings(errors, readings((0.009, 0.0)), final=True).verdict is PASS
    assert judge_readings(errors, readings((0.011, 0.0)), final=True).verdict is FAIL
    query = Rule("", max_ratio=2.0, source="queue", failures=1, no_data="wait")
    assert judge_readings(query, readings((5, 0)), final=True).verdict is WAIT, "nothing to compare with"
    assert judge_readings(query, readings((5, None)), final=True).verdict is WAIT


def test_an_expression_decides_with_or_without_the_engine() -> None:
    rule = Rule("", source="ratio", failures=1, expression="candidate <= 2 * baseline")
    assert judge_readings(rule, readings((3, 1)), final=False).verdict is FAIL
    assert judge_readings(rule, readings((2, 1)), final=True).verdict is PASS
    assert judge_readings(rule, readings(Reading(0, 2, 1, holds=False)), final=True).verdict is FAIL
    assert judge_readings(rule, readings((2, None)), final=False).verdict is WAIT
    assert judge_readings(replace(rule, no_data="fail"), readings((2, None)), final=True).verdict is FAIL


def test_what_was_read_in_the_warm_up_does_not_count() -> None:
    rule = replace(RULE, warm_up=10.0, failures=1)
    slow = [Reading(3.0, 900), Reading(9.0, 900), Reading(12.0, 50)]
    assert judge_readings(rule, slow, final=True, since=0.0).verdict is PASS
    assert judge_readings(rule, slow[:2], final=False).verdict is FAIL


def noisy(seed: int, times: float, count: int = 40) -> list[Reading]:
    dice = random.Random(seed)
    return [Reading(i, times * dice.lognormvariate(0, 0.3), dice.lognormvariate(0, 0.3)) for i in range(count)]


def test_a_comparison_says_how_sure_it_is() -> None:
    rule = Rule("", source="queue", confidence=0.999)
    found = judge_readings(rule, noisy(1, 3.0), final=False)
    assert found.verdict is FAIL
    assert "more than the baseline, sure to 99.9" in found.reason
    within = replace(rule, max_ratio=4.0)
    assert judge_readings(within, noisy(1, 3.0), final=True).verdict is PASS


def test_a_comparison_without_a_difference_rarely_alarms() -> None:
    rule = Rule("", source="queue", confidence=0.99)
    alarms = sum(judge_readings(rule, noisy(seed, 1.0), final=True).verdict is FAIL for seed in range(400))
    assert alarms <= 10, "1 % would be 4 of 400"


def test_of_several_rules_the_failure_comes_first_then_what_is_unknown() -> None:
    rules = [RULE, Rule("", max=1.0, source="b", failures=1), Rule("error_rate", max=0.1)]
    bad, unknown, fine = readings(5), readings("gone"), readings(50)
    assert judge_sources(rules, {"p99 of prometheus": unknown, "b": bad}, final=False).verdict is FAIL
    assert judge_sources(rules, {"p99 of prometheus": unknown, "b": readings(0)}, final=True).verdict is UNKNOWN
    assert judge_sources(rules, {"p99 of prometheus": fine, "b": readings(0)}, final=True).verdict is PASS
    assert judge_sources(rules, {"p99 of prometheus": fine, "b": readings(0)}, final=False).verdict is WAIT
    assert judge_sources(rules[2:], {}, final=True).verdict is PASS
