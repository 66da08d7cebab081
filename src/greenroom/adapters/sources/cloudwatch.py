"""The source `cloudwatch`: one number of CloudWatch's, for metrics by name or for metric math of your own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from itertools import islice
from typing import Any, ClassVar

from greenroom.adapters.aws.client import Client
from greenroom.adapters.checks.assertions import short
from greenroom.adapters.sources.cloudwatch_queries import Span, number_of, picked, queries_of, span_of
from greenroom.adapters.sources.cloudwatch_settings import CloudwatchSettings
from greenroom.errors import PortError, Temporary
from greenroom.ports import About, Place

_PAGES = 5
"""One period of a handful of metrics needs one."""


class CloudwatchSource:
    """`ports.Source`. No data in the last complete period is no data, never 0; several series are an error."""

    Settings: ClassVar[type[CloudwatchSettings]] = CloudwatchSettings

    def __init__(self, settings: CloudwatchSettings, place: Place, now: Callable[[], float] = time.time) -> None:
        self._settings, self._now = settings, now

    @cached_property
    def _client(self) -> Client:
        """Not before it is needed: the way back must not depend on it."""
        return Client(self._settings)

    @staticmethod
    def problems(settings: CloudwatchSettings, place: Place) -> list[str]:
        """Whether we may ask at all: what that needs would be missed in the middle of a shift."""
        metric = {"Namespace": settings.namespace, "MetricName": settings.requests}
        stat = {"Metric": metric, "Period": 60, "Stat": "Sum"}
        asked = {"MetricDataQueries": [{"Id": "any", "MetricStat": stat}], **Span(round(time.time()), 60).parameters()}
        try:
            client = Client(settings)
            client.confirm()
            client.read("cloudwatch", "get_metric_data", "metrics", **asked)
        except Temporary:
            return []
        except PortError as error:
            return [f"{error.message} {error.hint}".strip()]
        return []

    def value(self, about: About) -> float | None:
        span = span_of(self._settings, about.window, self._now())
        queries = queries_of(self._settings, about, span.period)
        what = short(about.query, 80) or about.metric
        asked = {"MetricDataQueries": queries, "ScanBy": "TimestampAscending", **span.parameters()}
        self._client.confirm()
        pages = self._client.pages("cloudwatch", "get_metric_data", what, **asked)
        return number_of(self._settings, about, picked(_few(pages, what), span), span.period)


def _few(pages: Iterator[Mapping[str, Any]], what: str) -> Iterator[Mapping[str, Any]]:
    """Every page, if they are few; else `Temporary`: a question that takes minutes is none."""
    yield from islice(pages, _PAGES)
    if next(pages, None) is not None:
        raise Temporary(f"CloudWatch's answer for {what} has no end after {_PAGES} pages", retry_after=30.0)
