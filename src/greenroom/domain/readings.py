"""Is the candidate good, by what a source says of it: Prometheus, a JSON address, a command, the environment's usage?

A reading is over the limit, within it, or says nothing: no data and a source that could not be asked are neither good
nor bad, and neither break a row of bad ones nor belong to it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import pairwise

from greenroom.domain import expressions
from greenroom.domain.assess import FLOOR
from greenroom.domain.figures import Reading
from greenroom.domain.model import Verdict
from greenroom.domain.opinion import Finding
from greenroom.domain.plan import Rule
from greenroom.domain.statistics import GROWTH, rank_sum, spent
from greenroom.domain.verdicts import no_data
from greenroom.domain.wording import name, sure, value

FEWEST = 8
"""Readings of each colour with which a comparison begins: of fewer, no order is improbable enough."""


class _Said(StrEnum):
    OVER = "over"
    WITHIN = "within"
    NOTHING = "nothing"
    UNASKED = "unasked"


def judge_sources(
    rules: Sequence[Rule], readings: Mapping[str, Sequence[Reading]], *, final: bool, since: float | None = None
) -> Finding:
    """All rules that ask a source: the first that fails, else the first that cannot be told, else the first that waits."""
    found = [
        judge_readings(rule, readings.get(rule.source, ()), final=final, since=since) for rule in rules if rule.source
    ]
    for verdict in (Verdict.FAIL, Verdict.UNKNOWN, Verdict.WAIT):
        for finding in found:
            if finding.verdict is verdict and (finding.reason or not final or verdict is not Verdict.WAIT):
                return finding
    return Finding(Verdict.PASS if final else Verdict.WAIT)


def judge_readings(rule: Rule, readings: Sequence[Reading], *, final: bool, since: float | None = None) -> Finding:
    """What the readings of one rule, in order of time, come to.

    FAIL: so many in a row were over the limit (`critical`: the last one was), or the candidate's are worse than the
    baseline's with the rule's `confidence`. UNKNOWN: the source could not be asked the last time. With `final` the policy
    for no data decides; without it, nothing wrong is WAIT. `since`: when the candidate first had traffic.
    """
    if since is not None and rule.warm_up:
        readings = [r for r in readings if r.at >= since + rule.warm_up]
    said = [_said(rule, reading) for reading in readings]
    row = _row(said)
    if row and row >= (1 if rule.critical else rule.failures):
        times = f", {row} times in a row" if row > 1 else ""
        bad = [r for r, s in zip(readings, said, strict=True) if s is _Said.OVER]
        return Finding(Verdict.FAIL, f"{_told(rule, bad[-1])}{times}", evidence=_side_by_side(rule, bad[-row:]))
    if rule.confidence is not None and (reason := _compared(rule, readings)):
        return Finding(Verdict.FAIL, reason, evidence=_side_by_side(rule, readings[-5:]))
    label = rule.source or name(rule.metric)
    if said and said[-1] is _Said.UNASKED:
        return Finding(Verdict.UNKNOWN, f"{label} could not be asked: {readings[-1].problem}")
    if not any(s in (_Said.OVER, _Said.WITHIN) for s in said[-max(1, rule.failures) :]):
        return Finding(no_data(rule.no_data, final=final), f"{label}: no data")
    if row and final:
        return Finding(Verdict.WAIT, f"{_told(rule, readings[-1])}; {row} of the {rule.failures} in a row that fail")
    return Finding(Verdict.PASS if final else Verdict.WAIT)


def _said(rule: Rule, reading: Reading) -> _Said:
    if reading.problem:
        return _Said.UNASKED
    holds = _holds(rule, reading)
    if holds is False:
        return _Said.OVER
    if rule.expression and holds is None:
        return _Said.NOTHING
    ours = _number(reading.candidate)
    answers = []
    if ours is not None and rule.max is not None:
        answers.append(ours > rule.max)
    if ours is not None and rule.min is not None:
        answers.append(ours < rule.min)
    allowed = _allowed(rule, reading)
    if ours is not None and allowed is not None:
        answers.append(ours > allowed)
    if any(answers):
        return _Said.OVER
    counted = rule.confidence is not None and ours is not None
    return _Said.WITHIN if answers or rule.expression or counted else _Said.NOTHING


def _holds(rule: Rule, reading: Reading) -> bool | None:
    if reading.holds is not None or not rule.expression:
        return reading.holds
    return expressions.holds(rule.expression, reading.candidate, reading.baseline)


def _allowed(rule: Rule, reading: Reading) -> float | None:
    """The most that the ratio to the baseline allows; None where there is no such limit, or nothing to compare with."""
    usual = _number(reading.baseline)
    if rule.max_ratio is None or rule.confidence is not None or usual is None:
        return None
    if rule.metric == "error_rate":
        return max(FLOOR, rule.max_ratio * usual)
    return rule.max_ratio * usual if usual > 0 else None


def _row(said: Sequence[_Said]) -> int:
    """How many at the end were over, not counting those that say nothing."""
    row = 0
    for one in reversed(said):
        if one is _Said.WITHIN:
            break
        row += one is _Said.OVER
    return row


def _number(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None


def _told(rule: Rule, reading: Reading) -> str:
    label, ours = rule.source or name(rule.metric), _number(reading.candidate)
    shown = "no value" if ours is None else value(rule.metric, ours)
    usual = _number(reading.baseline)
    beside = f", baseline {value(rule.metric, usual)}" if usual is not None else ""
    if rule.expression and _holds(rule, reading) is False:
        return f"{label} {shown}{beside}: `{rule.expression}` does not hold"
    limits = []
    if rule.max is not None:
        limits.append(f"at most {value(rule.metric, rule.max)}")
    if rule.min is not None:
        limits.append(f"at least {value(rule.metric, rule.min)}")
    if (allowed := _allowed(rule, reading)) is not None:
        limits.append(f"at most {value(rule.metric, allowed)}, {rule.max_ratio:g} × the baseline")
    return f"{label} {shown}{beside} (limit {'; '.join(limits)})" if limits else f"{label} {shown}{beside}"


def _side_by_side(rule: Rule, readings: Sequence[Reading]) -> tuple[str, ...]:
    def shown(number: float | None) -> str:
        found = _number(number)
        return "no data" if found is None else value(rule.metric, found)

    return tuple(f"candidate {shown(r.candidate)}, baseline {shown(r.baseline)}" for r in readings)


def _compared(rule: Rule, readings: Sequence[Reading]) -> str:
    """The reason if the candidate's values are larger than the baseline's: Mann–Whitney's test, looked at now and then."""
    pairs = [
        (ours, usual)
        for r in readings
        if not r.problem and (ours := _number(r.candidate)) is not None and (usual := _number(r.baseline)) is not None
    ]
    assert rule.confidence is not None
    ratio, look, due = rule.max_ratio or 1.0, 1, float(FEWEST)
    while due <= len(pairs):
        part = pairs[: math.floor(due)]
        us, them = [a for a, _ in part], [ratio * b for _, b in part]
        p = _larger(us, them) / spent(look)
        if p <= 1 - rule.confidence:
            told = f"{value(rule.metric, _median(us))}, baseline {value(rule.metric, _median(them) / ratio)}"
            over = f"{ratio:g} × " if ratio != 1 else ""
            label = rule.source or name(rule.metric)
            return f"{label} {told} (medians of {len(part)}): more than {over}the baseline, sure to {sure(p)}"
        look, due = look + 1, due * GROWTH
    return ""


def _larger(ours: Sequence[float], usual: Sequence[float]) -> float:
    values = sorted({*ours, *usual})
    spread = max(_carried(ours), _carried(usual))
    return rank_sum([ours.count(v) for v in values], [usual.count(v) for v in values], spread)


def _carried(values: Sequence[float]) -> float:
    """How much a value tells of the next one, as a factor of the variance: readings over a window share their data."""
    middle = sum(values) / len(values)
    square = sum((v - middle) ** 2 for v in values)
    if square == 0:
        return 1.0
    joint = sum((a - middle) * (b - middle) for a, b in pairwise(values))
    carried = min(0.9, max(0.0, joint / square))
    return (1 + carried) / (1 - carried)


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]
