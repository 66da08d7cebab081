"""What CloudWatch is asked for a question of the analysis, and the number in its answer. Pure.

A question is always about one whole period, which the statistic is computed over by CloudWatch itself: percentiles of
several periods cannot be added up. It is the newest that is over for so long that its data have come.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from greenroom.adapters.checks.assertions import short
from greenroom.adapters.sources.asking import filled, number, variables
from greenroom.adapters.sources.cloudwatch_settings import (
    ANSWER,
    PERIODS,
    ByColour,
    CloudwatchSettings,
    Series,
    Value,
    dimension_of,
)
from greenroom.domain.model import Colour
from greenroom.domain.template import fill
from greenroom.errors import Permanent, Temporary
from greenroom.ports import About

_INSIGHTS = re.compile(r"\s*SELECT\b", re.IGNORECASE)
_PLAIN = re.compile(r"[\w.+:@/-]*", re.ASCII)
_PLACEHOLDER = re.compile(r"(?<!\$)\{([a-z_]+)\}")


@dataclass(frozen=True, slots=True)
class Span:
    """One period: from `start` on, for `period` seconds."""

    start: int
    period: int

    @property
    def end(self) -> int:
        return self.start + self.period

    def parameters(self) -> dict[str, datetime]:
        return {"StartTime": datetime.fromtimestamp(self.start, UTC), "EndTime": datetime.fromtimestamp(self.end, UTC)}


def span_of(settings: CloudwatchSettings, window: float, now: float) -> Span:
    """The newest period that is as long as the window, and complete."""
    period = next((p for p in PERIODS if p >= window and p % settings.period == 0), PERIODS[-1])
    end = math.floor((now - settings.delay) / period) * period
    return Span(end - period, period)


def queries_of(settings: CloudwatchSettings, about: About, period: int) -> list[dict[str, Any]]:
    """`MetricDataQueries`. `Permanent` for what cannot be asked."""
    if why := settings.refuses(about.metric, about.query):
        raise Permanent(why)
    if about.query:
        return _math(settings, about, period)
    requests = Series(metric=settings.requests)
    match about.metric:
        case "request_rate":
            asked = {"requests": requests}
        case "error_rate":
            errors = {f"errors{n}": Series(metric=name) for n, name in enumerate(settings.errors, 1)}
            asked = {"requests": requests, **errors}
        case quantile:
            asked = {"latency": Series(metric=settings.latency, stat=quantile)}
    return [_stat(settings, about, period, name, series) for name, series in asked.items()]


def _math(settings: CloudwatchSettings, about: About, period: int) -> list[dict[str, Any]]:
    known = variables(about)
    names = [name for name in _PLACEHOLDER.findall(about.query) if name in known]
    expression = fill(about.query, {name: plain(known[name]) for name in names}).strip()
    if expression in settings.series:
        return [_stat(settings, about, period, expression, settings.series[expression])]
    used = settings.used(expression)
    answer: dict[str, Any] = {"Id": ANSWER, "Expression": expression, "ReturnData": True}
    if _INSIGHTS.match(expression) or "SEARCH(" in expression:
        answer["Period"] = period
    return [*(_stat(settings, about, period, n, s, returned=False) for n, s in used.items()), answer]


def _stat(
    settings: CloudwatchSettings, about: About, period: int, name: str, series: Series, *, returned: bool = True
) -> dict[str, Any]:
    dimensions = settings.dimensions_of(series)
    metric: dict[str, Any] = {
        "Namespace": series.namespace or settings.namespace,
        "MetricName": series.metric,
        "Dimensions": [{"Name": n, "Value": _value(v, about)} for n, v in dimensions.items()],
    }
    stat: dict[str, Any] = {"Metric": metric, "Period": period, "Stat": series.stat}
    if series.unit:
        stat["Unit"] = series.unit
    return {"Id": name, "MetricStat": stat, "ReturnData": returned}


def _value(value: Value, about: About) -> str:
    if isinstance(value, ByColour):
        value = value.blue if about.colour is Colour.BLUE else value.green
    return dimension_of(filled(value, about, str))


def plain(value: str) -> str:
    """For inside a query: only what cannot be more than a name there."""
    if not _PLAIN.fullmatch(value):
        hint = "put it into a dimension's value, where any text is only text"
        raise Permanent(f"{short(value)!r} has characters that a query would act upon", hint=hint)
    return value


def picked(pages: Iterable[Mapping[str, Any]], span: Span) -> dict[str, float | None]:
    """By id, the value of this period; None: no data. An id that is missing was not answered at all."""
    series: dict[str, dict[str, dict[float, float]]] = {}
    states: dict[str, tuple[str, str]] = {}
    for page in pages:
        said = _said(page.get("Messages", ()))
        for result in page.get("MetricDataResults", ()):
            name = str(result["Id"])
            values = series.setdefault(name, {}).setdefault(str(result.get("Label", "")), {})
            for at, value in zip(result.get("Timestamps", ()), result.get("Values", ()), strict=False):
                if span.start <= at.timestamp() < span.end:
                    values[at.timestamp()] = value
            states[name] = (str(result.get("StatusCode", "Complete")), _said(result.get("Messages", ())) or said)
    for name, state in states.items():
        _complete(name, *state)
    return {name: _single(name, by_label) for name, by_label in series.items()}


def _complete(name: str, state: str, said: str) -> None:
    tail = f": {short(said, 300)}" if said else ""
    match state:
        case "Complete":
            return
        case "Forbidden":
            hint = "allow cloudwatch:GetMetricData, and the account that the metric comes from"
            raise Permanent(f"CloudWatch does not let us see {name}{tail}", hint=hint)
        case "PartialData":
            raise Temporary(f"CloudWatch answered only in part for {name}{tail}", retry_after=5.0)
    raise Temporary(f"CloudWatch failed at {name} ({state}){tail}", retry_after=5.0)


def _single(name: str, by_label: Mapping[str, Mapping[float, float]]) -> float | None:
    told = {label: values for label, values in by_label.items() if values}
    if len(told) > 1:
        some = ", ".join(short(label, 60) for label in list(told)[:3])
        raise Permanent(
            f"the query gives {len(told)} series, and one number is needed: {some}",
            hint="put `SUM(…)` or `MAX(…)` around it",
        )
    values = next(iter(told.values()), {})
    if len(values) > 1:
        raise Permanent(f"CloudWatch gave {len(values)} values of {name} for one period", hint="set `period:` to it")
    return number(next(iter(values.values()), None), name)


def _said(messages: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(f"{m.get('Code', '')} {m.get('Value', '')}".strip() for m in messages)


def number_of(
    settings: CloudwatchSettings, about: About, values: Mapping[str, float | None], period: int
) -> float | None:
    """In the unit of `domain.plan.Rule`. No requests are no data; requests and no word of errors are no errors."""
    if about.query:
        return next(iter(values.values()), None)
    requests = values.get("requests")
    match about.metric:
        case "request_rate":
            return None if requests is None else requests / period
        case "error_rate":
            failed = sum(value for name, value in values.items() if name.startswith("errors") and value is not None)
            return min(1.0, failed / requests) if requests else None
    value = values.get("latency")
    return None if value is None else value * (1000 if settings.latency_unit == "s" else 1)
