"""What a report of the load generator proves.

Only a run whose requests were sent on time proves that the limits hold. Of another one, what the service certainly did
itself may prove that they do not: the time between sending and answer, and the failures, among all that were planned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from greenroom.adapters.checks.load_settings import LoadSettings, show_rate
from greenroom.adapters.load.histogram import QUANTILES
from greenroom.domain.model import Verdict
from greenroom.domain.opinion import Finding
from greenroom.units import show_duration

_BUSY = 0.9
"""Of a processor: a generator that used so much was at its limit."""
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Report:
    """The generator's own document, read. Times in seconds; `service`, `lag`: see the tally that wrote it."""

    planned: int
    sent: int
    answered: int
    failed: int
    statuses: Mapping[str, int]
    errors: Mapping[str, int]
    obstacles: Mapping[str, int]
    latency: Mapping[str, float]
    service: Mapping[str, float]
    delay: Mapping[str, float]
    lag: Mapping[str, float]
    seconds: float
    hopeless: bool
    cpu: float
    kept_waiting: float
    reopened: int = 0

    @classmethod
    def of(cls, document: Any) -> Report | None:
        """None: that is no report."""
        try:
            return cls(**document)
        except TypeError:
            return None


def judged(settings: LoadSettings, report: Report) -> Finding:
    evidence = table(report)
    planned = f"{_number(report.planned)} requests"
    if report.hopeless:
        wrong = f"given up after {report.seconds:.1f} s, because most requests failed: {_errors(report)}"
        return Finding(Verdict.FAIL, wrong, evidence=evidence)
    late = report.sent != report.planned or report.delay["p99"] > settings.max_send_delay
    wrongs = _violations(settings, report, report.service if late else report.latency)
    if wrongs:
        certain = " (counted from the sending, which was late itself)" if late else ""
        return Finding(Verdict.FAIL, "; ".join(wrongs) + certain, evidence=evidence)
    if late:
        return Finding(Verdict.UNKNOWN, _too_late(settings, report), evidence=evidence)
    errors = f"{report.failed} failed" if report.failed else "none failed"
    quantiles = ", ".join(f"{name} {_time(report.latency[name])}" for name in ("p50", "p99", "max"))
    even = len(settings.schedule.stretches) == 1
    rate = f"{'' if even else 'up to '}{show_rate(settings.full)}, {show_duration(settings.schedule.seconds)}"
    return Finding(Verdict.PASS, f"{planned}, {rate}: {quantiles}; {errors}", evidence=evidence)


def table(report: Report) -> tuple[str, ...]:
    """The numbers, for a person."""
    lines = [f"{'':6}{'latency':>12}{'sent late by':>15}"]
    for name in (*QUANTILES, "max"):
        lines.append(f"{name:6}{_time(report.latency[name]):>12}{_time(report.delay[name]):>15}")
    lines.append(f"{_number(report.planned)} planned, {_number(report.sent)} sent, {_number(report.answered)} answered")
    if report.statuses:
        lines.append("answers: " + ", ".join(f"{_number(count)} × {code}" for code, count in report.statuses.items()))
    if report.errors:
        lines.append(f"failed: {_errors(report, len(report.errors))}"[:900])
    machine = (
        f"the generator used {report.cpu:.0%} of a processor and waited for one {report.kept_waiting:.0%} of the time"
    )
    return (*lines, machine)


def _violations(settings: LoadSettings, report: Report, times: Mapping[str, float]) -> list[str]:
    wrongs = []
    for name, limit in settings.limits.items():
        if times[name] > limit:
            key = "max_time" if name == "max" else f"max_{name}"
            wrongs.append(f"{name} was {_time(times[name])}, more than `{key}` {show_duration(limit)}")
    if report.failed > settings.max_error_rate * report.planned:
        share = report.failed / report.planned
        many = f"{_number(report.failed)} of {_number(report.planned)} requests failed ({share:.2%})"
        wrongs.append(f"{many}, more than `max_error_rate` {settings.max_error_rate * 100:g}%: {_errors(report)}")
    return wrongs


def _too_late(settings: LoadSettings, report: Report) -> str:
    """What kept the requests from being sent, and the way out."""
    missing = report.planned - report.sent
    what = f"the requests could not be sent on time: 1% of them more than {_time(report.delay['p99'])} late"
    if missing:
        what += f", {_number(missing)} of {_number(report.planned)} not at all"
    return f"{what}; so nothing is proven. {_limiting(settings, report)}"


def _limiting(settings: LoadSettings, report: Report) -> str:
    rate = show_rate(settings.full)
    if report.obstacles:
        why = next(iter(report.obstacles))
        return f"This machine was the limit ({why}): lower `rate` ({rate}) or `connections`, or raise `ulimit -n`"
    if report.cpu >= _BUSY or report.lag["p99"] > settings.max_send_delay:
        used = f"{report.cpu:.0%} of a processor used, {report.kept_waiting:.0%} of the time waiting for one"
        way_out = "run fewer things on this machine, or raise `max_send_delay` if the limits are far longer"
        return f"The generator was the limit ({used}): lower `rate` ({rate}), {way_out}"
    busy = f"all {settings.most_connections} connections were busy, answers took {_time(report.service['mean'])} on average"
    enough = "raise `connections`" if settings.most_connections < 5000 else "lower `timeout`"
    return f"The service was the limit ({busy}): lower `rate` ({rate}), or {enough} if more may be open at once"


def _errors(report: Report, most: int = _NAMED) -> str:
    named = [f"{_number(count)} × {kind}" for kind, count in list(report.errors.items())[:most]]
    rest = len(report.errors) - len(named)
    return ", ".join(named) + (f" and {rest} more kinds" if rest > 0 else "")


def _number(value: int) -> str:
    return f"{value:,}"


def _time(seconds: float) -> str:
    milliseconds = seconds * 1000
    if milliseconds < 10:
        return f"{milliseconds:.1f} ms"
    return f"{milliseconds:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"
