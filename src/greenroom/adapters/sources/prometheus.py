"""The source `prometheus`: one number of an instant query, for metrics by name or for a query of your own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import urlencode

from pydantic import Field, field_validator

from greenroom.adapters.checks.assertions import short
from greenroom.adapters.sources.asking import (
    Server,
    ask,
    document_of,
    filled,
    number,
    refusal,
    settings_address,
    tells_apart,
    unknown_names,
    where,
)
from greenroom.errors import Permanent
from greenroom.ports import About, Place

_METRIC = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_QUANTILES = {"p50": "0.5", "p90": "0.9", "p95": "0.95", "p99": "0.99"}


class PrometheusSettings(Server):
    url: str = Field(description="Where Prometheus is: `http://prometheus.shop.example:9090`.")
    labels: dict[str, str] = Field(
        default={"colour": "{colour}"},
        description="Which series are a colour's, for metrics by name: labels and their values, in which `{colour}`, "
        "`{version}`, `{release}` and `{service}` are filled in. A query says it itself.",
    )
    requests: str = Field(
        default="http_requests_total", description="The counter of requests, for `request_rate` and `error_rate`."
    )
    status: str = Field(default="code", description="Its label that holds the status: 5xx are errors.")
    latency: str = Field(
        default="http_request_duration_seconds", description="The histogram of times, in seconds, without `_bucket`."
    )
    cpu: str = Field(default="process_cpu_seconds_total", description="The counter of processor seconds.")
    memory: str = Field(default="process_resident_memory_bytes", description="The gauge of memory, in bytes.")

    @field_validator("url")
    @classmethod
    def _address(cls, url: str) -> str:
        return settings_address(url)

    @field_validator("labels")
    @classmethod
    def _labels(cls, labels: dict[str, str]) -> dict[str, str]:
        for name, value in labels.items():
            if not _LABEL.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a label")
            if wrong := unknown_names(value):
                raise ValueError(wrong)
        if not tells_apart(" ".join(labels.values())):
            raise ValueError("tells the colours not apart; one must hold {colour}, {version} or {release}")
        return labels

    @field_validator("requests", "latency", "cpu", "memory")
    @classmethod
    def _metrics(cls, name: str) -> str:
        if not _METRIC.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a metric")
        return name

    def blind(self, query: str) -> bool:
        """Whether it asks the same for both colours; metrics by name are told apart by `labels`."""
        return query != "" and not tells_apart(query)

    @field_validator("status")
    @classmethod
    def _label(cls, name: str) -> str:
        if not _LABEL.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a label")
        return name


class PrometheusSource:
    """`ports.Source`. No series, NaN and infinities are no data; several series are an error."""

    Settings: ClassVar[type[PrometheusSettings]] = PrometheusSettings

    def __init__(self, settings: PrometheusSettings, place: Place) -> None:
        self._settings, self._place = settings, place

    def value(self, about: About) -> float | None:
        url = f"{self._settings.url.rstrip('/')}/api/v1/query"
        query = filled(about.query, about, escaped) if about.query else query_of(self._settings, about)
        body = urlencode({"query": query, "timeout": f"{max(1, round(self._settings.timeout * 1000))}ms"}).encode()
        form = "application/x-www-form-urlencoded"
        answer = ask(self._settings, self._place, url, "POST", body, Content_Type=form)
        if 200 <= answer.status < 300:
            return _number(url, document_of(url, answer), query)
        raise self._refusal(url, answer, query)

    def _refusal(self, url: str, answer: Any, query: str) -> Exception:
        """Prometheus says as JSON what is wrong with a query; whatever stands before it, what it likes."""
        try:
            said = document_of(url, answer)
        except Permanent:
            said = None
        text = str(said.get("error", "")) if isinstance(said, Mapping) else ""
        if text and answer.status in (400, 422):
            hint = f"the query was {short(query, 300)}"
            return Permanent(f"{where(url)} does not understand the question: {short(text, 300)}", hint=hint)
        found = refusal(url, answer, text)
        assert found is not None
        return found


def query_of(settings: PrometheusSettings, about: About) -> str:
    """PromQL for a metric by name, in the unit of `domain.plan.Rule`."""
    chosen = ",".join(f'{name}="{filled(value, about, escaped)}"' for name, value in settings.labels.items())
    window = filled("{window}", about, str)
    requests, failed = f"{settings.requests}{{{chosen}}}", f'{settings.requests}{{{chosen},{settings.status}=~"5.."}}'
    match about.metric:
        case "request_rate":
            # A series that is younger than the window has a rate that is too small: that is "no data" still.
            return f"sum(rate({requests}[{window}])) and count({requests} offset {window}) > 0"
        case "error_rate":  # without any error there is no series of errors, which is 0 and not "no data"
            return f"(sum(rate({failed}[{window}])) or vector(0)) / sum(rate({requests}[{window}]))"
        case "p50" | "p90" | "p95" | "p99":
            rate = f"rate({settings.latency}_bucket{{{chosen}}}[{window}])"
            return f"1000 * histogram_quantile({_QUANTILES[about.metric]}, sum by (le) ({rate}))"
        case "cpu":
            return f"avg(rate({settings.cpu}{{{chosen}}}[{window}]))"
        case "memory":
            return f"avg({settings.memory}{{{chosen}}})"
    raise Permanent(f"prometheus has no metric {about.metric!r}", hint="write a `query:`")


def escaped(value: str) -> str:
    """For inside a text of PromQL's, whatever quotes are around it."""
    return "".join(f"\\x{ord(c):02x}" if c in "\\\"'`\n\r" else c for c in value)


def _number(url: str, document: Any, query: str) -> float | None:
    match document:
        case {"status": "success", "data": {"resultType": "scalar", "result": [_, text]}}:
            return number(text, "the answer")
        case {"status": "success", "data": {"resultType": "vector", "result": []}}:
            return None
        case {"status": "success", "data": {"resultType": "vector", "result": [{"value": [_, text]}]}}:
            return number(text, "the answer")
        case {"status": "success", "data": {"resultType": "vector", "result": [first, *rest]}}:
            label = short(str(first.get("metric", "")) if isinstance(first, Mapping) else "", 200)
            text = f"the query gives {1 + len(rest)} series, and one number is needed; the first is {label}"
            raise Permanent(text, hint=f"put `sum(…)` or `max(…)` around it: {short(query, 300)}")
        case {"status": "success", "data": {"resultType": kind}}:
            hint = f"an instant query gives one number; take a range away, or put a function around it: {short(query, 300)}"
            raise Permanent(f"the query gives a {kind}", hint=hint)
    raise Permanent(f"{where(url)} does not answer as Prometheus does", hint="look whether `url` is right")
