"""CloudWatch: one number of metrics by name and of metric math. FT-50: no data is neither 0 nor an error."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from greenroom.adapters.gauges import SourceGauge
from greenroom.adapters.sources.cloudwatch import CloudwatchSource
from greenroom.adapters.sources.cloudwatch_queries import Span, picked, queries_of, span_of
from greenroom.adapters.sources.cloudwatch_settings import PERIODS, CloudwatchSettings
from greenroom.domain.model import Colour
from greenroom.errors import Permanent, Temporary
from greenroom.ports import About, Place
from tests.rigs import aws_front
from tests.rigs.aws_front import Front
from tests.rigs.cloudwatch import Cloud, valid

PLACE = Place("shop", Path("greenroom.yaml").absolute(), Path(".greenroom").absolute())
GREEN = About("shop", Colour.GREEN, "1.5", "r-0007", 30.0)
BLUE = About("shop", Colour.BLUE, "1.4", "r-0006", 30.0)
GROUPS = {"green": "targetgroup/shop-green/2", "blue": "targetgroup/shop-blue/1"}
ARN = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:"
DIMENSIONS: Mapping[str, Any] = {
    "LoadBalancer": f"{ARN}loadbalancer/app/shop/50dc6c495c0c9188",
    "TargetGroup": {"blue": ARN + GROUPS["blue"], "green": GROUPS["green"]},
}
SERIES: Mapping[str, Any] = {
    "slow": {"metric": "TargetResponseTime", "stat": "PR(0.5:)"},
    "all": {"metric": "RequestCount"},
    "orders": {"metric": "Orders", "namespace": "shop", "dimensions": {"version": "{version}"}, "unit": "Count"},
    "total": {"metric": "Orders", "namespace": "shop", "dimensions": {}},
}
LATE = 120.0


def settings(**more: Any) -> CloudwatchSettings:
    return CloudwatchSettings.model_validate({"dimensions": DIMENSIONS, "series": SERIES, **more})


# --- what is asked ----------------------------------------------------------------------------------------------------


def test_only_whole_periods_that_are_long_over_are_asked_for() -> None:
    for now in (1_795_608_000.0, 1_795_608_059.9, 1_795_608_060.0, 1_795_611_599.5):
        for window in (30.0, 60.0, 61.0, 300.0, 3600.0):
            span = span_of(settings(), window, now)
            assert span.period >= window
            assert span.start % span.period == 0, "as every clock cuts it"
            assert now - LATE - span.period < span.end <= now - LATE, "the newest that is complete"
    assert span_of(settings(), 30.0, 1_795_608_000.0).period == 60
    assert span_of(settings(period="10s"), 30.0, 1_795_608_000.0).period == 30
    assert span_of(settings(period="20s"), 30.0, 1_795_608_000.0).period == 60
    assert span_of(settings(delay="0s"), 30.0, 1_795_608_000.0).end == 1_795_608_000
    assert all(3600 % period == 0 for period in PERIODS)


def asked(about: About, **more: Any) -> list[dict[str, Any]]:
    queries = queries_of(settings(**more), about, 60)
    valid("GetMetricData", {"MetricDataQueries": queries, "ScanBy": "TimestampAscending", **Span(0, 60).parameters()})
    assert len({query["Id"] for query in queries}) == len(queries)
    assert sum(query["ReturnData"] for query in queries) == len(queries) or about.query
    return queries


def test_metrics_by_name_are_a_target_groups() -> None:
    [query] = asked(replace(GREEN, metric="p99"))
    assert query["MetricStat"] == {
        "Metric": {
            "Namespace": "AWS/ApplicationELB",
            "MetricName": "TargetResponseTime",
            "Dimensions": [
                {"Name": "LoadBalancer", "Value": "app/shop/50dc6c495c0c9188"},
                {"Name": "TargetGroup", "Value": GROUPS["green"]},
            ],
        },
        "Period": 60,
        "Stat": "p99",
    }
    errors = asked(replace(BLUE, metric="error_rate"))
    names = [query["MetricStat"]["Metric"]["MetricName"] for query in errors]
    assert names == ["RequestCount", "HTTPCode_Target_5XX_Count", "TargetConnectionErrorCount"]
    assert {q["MetricStat"]["Metric"]["Dimensions"][1]["Value"] for q in errors} == {GROUPS["blue"]}
    for metric in ("request_rate", "p50", "p90", "p95"):
        asked(replace(GREEN, metric=metric))
    for metric in ("cpu", "beauty"):
        with pytest.raises(Permanent, match=f"has no metric `{metric}`"):
            asked(replace(GREEN, metric=metric))
    for dimensions, why in (({}, "is needed"), ({"LoadBalancer": "app/shop/1"}, "tells the colours not apart")):
        with pytest.raises(Permanent, match=rf"`dimensions` of the source {why}: .*`TargetGroup: \{{blue"):
            asked(replace(GREEN, metric="p99"), dimensions=dimensions)


def test_metric_math_takes_along_only_what_it_speaks_of() -> None:
    queries = asked(replace(GREEN, query="100 * slow / all"))
    assert [(q["Id"], q["ReturnData"]) for q in queries] == [
        ("slow", False),
        ("all", False),
        ("greenroom_answer", True),
    ]
    assert queries[-1]["Expression"] == "100 * slow / all"
    assert "Period" not in queries[-1]
    assert len(asked(replace(GREEN, query="SUM(METRICS())"))) == len(SERIES) + 1
    [one] = asked(replace(GREEN, query="orders"))
    assert one["MetricStat"]["Metric"]["Dimensions"] == [{"Name": "version", "Value": "1.5"}]
    assert one["MetricStat"]["Unit"] == "Count"
    insights = "SELECT SUM(Orders) FROM shop WHERE version = '{version}'"
    [query] = asked(replace(GREEN, query=insights))
    assert (query["Expression"][-5:], query["Period"]) == ("'1.5'", 60)
    with pytest.raises(Permanent, match="no series `slwo` in `series`; there is: slow, all"):
        asked(replace(GREEN, query="slwo"))
    with pytest.raises(Permanent, match="2048"):
        asked(replace(GREEN, query="slow" + " + slow" * 400))


def test_what_is_filled_in_cannot_be_more_than_a_name() -> None:
    evil = "1' OR version = '2"
    assert (
        asked(replace(GREEN, version=evil, query="orders"))[0]["MetricStat"]["Metric"]["Dimensions"][0]["Value"] == evil
    )
    for version in (evil, 'a"b', "x) + (y", "a b", "a,b"):
        with pytest.raises(Permanent, match="a query would act upon"):
            asked(replace(GREEN, version=version, query="SEARCH('{shop,version} version=\"{version}\"', 'Sum')"))


def test_a_question_that_is_the_same_for_both_colours_is_seen() -> None:
    known = settings()
    assert not known.blind("")
    assert not known.blind("slow / all")
    assert not known.blind("orders / total")
    assert not known.blind("total * SEARCH('{shop} version={version}', 'Sum')")
    assert known.blind("total")
    assert known.blind("total / 2")
    assert settings(dimensions={"LoadBalancer": "app/shop/1"}).blind("")
    assert settings(dimensions={"LoadBalancer": "app/shop/1"}).blind("all")


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"dimensions": {"TargetGroup": "{color}"}}, r"\{color\} is not known here; there is \{colour\}"),
        ({"dimensions": {"TargetGroup": {"blue": "a"}}}, "green"),
        ({"dimensions": {"TargetGroup": {"blue": "a", "green": "a"}}}, "the same for blue and green"),
        ({"dimensions": {"TargetGroup": ""}}, "not empty"),
        ({"dimensions": {" ": "{colour}"}}, "no name of a dimension"),
        ({"dimensions": {f"d{n}": "{colour}" for n in range(31)}}, "at most 30"),
        ({"series": {"Slow": {"metric": "x"}}}, "cannot name a series"),
        ({"series": {"greenroom_answer": {"metric": "x"}}}, "cannot name a series"),
        ({"series": {"a": {"metric": "x", "stat": "p101"}}}, "no statistic; there is Sum"),
        ({"series": {"a": {"metric": "x", "stat": "sum"}}}, "no statistic"),
        ({"series": {"a": {"metric": "x", "statistic": "Sum"}}}, "Extra inputs"),
        ({"period": "45s"}, "no period of CloudWatch's; there is 1s, 5s"),
        ({"period": "7m"}, "no period"),
        ({"delay": "2h"}, "less than or equal to 3600"),
        ({"latency_unit": "us"}, "pattern"),
        ({"errors": []}, "at least 1"),
        ({"account": "12"}, "pattern"),
    ],
)
def test_wrong_settings_are_refused(more: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        settings(**more)


@pytest.mark.parametrize(
    "stat", ["Sum", "p99", "p99.9", "p100", "tm95", "TM(5%:95%)", "PR(:0.5)", "IQM", "SampleCount"]
)
def test_statistics_that_cloudwatch_has(stat: str) -> None:
    assert settings(series={"a": {"metric": "x", "stat": stat}}).series["a"].stat == stat


# --- the real answers -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def upstream() -> Iterator[tuple[str, int]]:
    with aws_front.moto() as address:
        yield address


@pytest.fixture
def cloud(upstream: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    aws_front.nobody(monkeypatch)
    front = Front(upstream, None)
    yield Cloud(upstream, front)
    front.close()


NOW = float(int(time.time()) // 3600 * 3600 + 1830)
"""Half a minute into a minute: the period that is asked for begins at 1620, and ends at 1680 of this hour."""
INSIDE, LATER, EARLIER = NOW - 180, NOW - 140, NOW - 240


def source(cloud: Cloud, **more: Any) -> CloudwatchSource:
    return CloudwatchSource(settings(**cloud.settings, **more), PLACE, lambda: NOW)


def fresh(name: str) -> dict[str, Any]:
    """Dimensions of this test's own: moto forgets nothing."""
    group = {colour: f"targetgroup/{name}-{colour}/1" for colour in ("blue", "green")}
    return {"LoadBalancer": "app/shop/1", "TargetGroup": group}


def count(cloud: Cloud, name: str, metric: str, at: float, *values: float, colour: str = "green") -> None:
    group = f"targetgroup/{name}-{colour}/1"
    cloud.count("AWS/ApplicationELB", metric, at, *values, LoadBalancer="app/shop/1", TargetGroup=group)


def value(asked: CloudwatchSource, about: About, metric: str) -> float | None:
    return asked.value(replace(about, metric=metric))


def answer(*results: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"MetricDataResults": list(results), **more}


def result(id: str, *values: float, at: float = NOW - 210, **more: Any) -> dict[str, Any]:
    times = [at + 60 * n for n in range(len(values))]
    return {"Id": id, "Label": id, "Timestamps": times, "Values": list(values), "StatusCode": "Complete", **more}


@pytest.mark.real
@pytest.mark.xdist_group("moto")
class TestCloudwatch:
    def test_each_colour_has_its_own_sums_of_one_complete_period(self, cloud: Cloud) -> None:
        for at, requests in ((EARLIER, 7.0), (INSIDE, 120.0), (LATER, 9.0)):
            count(cloud, "sums", "RequestCount", at, requests / 2, requests / 2)
        count(cloud, "sums", "RequestCount", INSIDE, 60.0, colour="blue")
        count(cloud, "sums", "HTTPCode_Target_5XX_Count", INSIDE, 10.0)
        count(cloud, "sums", "TargetConnectionErrorCount", INSIDE, 2.0)
        asked = source(cloud, dimensions=fresh("sums"))
        assert value(asked, GREEN, "request_rate") == 2.0
        assert value(asked, GREEN, "error_rate") == pytest.approx(0.1)
        assert value(asked, BLUE, "request_rate") == 1.0
        assert value(asked, BLUE, "error_rate") == 0.0, "CloudWatch keeps no series of errors that never were"
        assert cloud.front.calls == ["GetMetricData"] * 4

    def test_ft_50_no_data_is_not_zero(self, cloud: Cloud) -> None:
        asked = source(cloud, dimensions=fresh("nothing"))
        for metric in ("request_rate", "error_rate", "p99"):
            assert value(asked, GREEN, metric) is None
        assert asked.value(replace(GREEN, query="orders")) is None
        count(cloud, "nothing", "HTTPCode_Target_5XX_Count", INSIDE, 3.0)
        assert value(asked, GREEN, "error_rate") is None, "errors of how many?"
        count(cloud, "nothing", "RequestCount", INSIDE, 0.0)
        assert value(asked, GREEN, "request_rate") == 0.0, "here it is said that there were none"
        assert value(asked, GREEN, "error_rate") is None

    def test_ft_50_what_comes_late_is_not_read_in_part(self, cloud: Cloud) -> None:
        asked = source(cloud, dimensions=fresh("late"))
        count(cloud, "late", "RequestCount", LATER, 5.0)
        assert value(asked, GREEN, "request_rate") is None, "that period is not complete"
        assert value(source(cloud, dimensions=fresh("late"), delay="1m"), GREEN, "request_rate") == pytest.approx(
            5 / 60
        )

    def test_ft_50_nan_is_no_data(self) -> None:
        said = answer({**result("latency", float("nan")), "Timestamps": [_moment(NOW - 210)]})
        assert picked([said], Span(int(NOW) - 210, 60)) == {"latency": None}

    def test_a_query_of_one_series(self, cloud: Cloud) -> None:
        cloud.count("shop", "Orders", INSIDE, 3.0, 4.0, version="one")
        asked = source(cloud, series={"orders": {**SERIES["orders"], "unit": ""}})
        assert asked.value(replace(GREEN, version="one", query="orders")) == 7.0
        assert asked.value(replace(BLUE, query="orders")) is None

    def test_percentiles_are_milliseconds(self, cloud: Cloud) -> None:
        cloud.says("GetMetricData", answer(result("latency", 0.25)))
        assert value(source(cloud), GREEN, "p99") == 250.0
        assert value(source(cloud, latency_unit="ms"), GREEN, "p99") == 0.25

    def test_metric_math(self, cloud: Cloud) -> None:
        cloud.says("GetMetricData", answer(result("greenroom_answer", 12.5)))
        assert source(cloud).value(replace(GREEN, query="100 * slow / all")) == 12.5

    def test_values_of_other_periods_do_not_count(self, cloud: Cloud) -> None:
        cloud.says("GetMetricData", answer(result("greenroom_answer", 1.0, 2.0, 3.0, at=NOW - 270)))
        assert source(cloud).value(replace(GREEN, query="slow + all")) == 2.0

    def test_several_series_are_an_error_with_the_way_out(self, cloud: Cloud) -> None:
        two = [{**result("greenroom_answer", 1.0), "Label": label} for label in ("a", "b")]
        cloud.says("GetMetricData", answer(*two))
        with pytest.raises(Permanent, match=r"gives 2 series.*: a, b") as error:
            source(cloud).value(replace(GREEN, query="SEARCH('shop', 'Sum')"))
        assert "`SUM(…)`" in error.value.hint

    def test_ft_50_half_an_answer_is_none(self, cloud: Cloud) -> None:
        cloud.says("GetMetricData", answer(result("latency", 0.25, StatusCode="PartialData")), times=1)
        with pytest.raises(Temporary, match="only in part for latency"):
            value(source(cloud), GREEN, "p99")
        cloud.says("GetMetricData", answer(result("latency", StatusCode="InternalError")), times=1)
        with pytest.raises(Temporary, match="failed at latency"):
            value(source(cloud), GREEN, "p99")
        message = {"Code": "Denied", "Value": "not yours"}
        cloud.says("GetMetricData", answer(result("latency", StatusCode="Forbidden", Messages=[message])), times=1)
        with pytest.raises(Permanent, match="does not let us see latency: Denied not yours"):
            value(source(cloud), GREEN, "p99")

    def test_the_rest_of_an_answer_is_fetched(self, cloud: Cloud) -> None:
        first = answer(result("latency", StatusCode="PartialData"), NextToken="more")
        cloud.says("GetMetricData", first, times=1)
        cloud.says("GetMetricData", answer(result("latency", 0.5)), times=1)
        assert value(source(cloud), GREEN, "p99") == 500.0
        for n in range(9):
            cloud.says("GetMetricData", answer(NextToken=f"more {n}"), times=1)
        with pytest.raises(Temporary, match="no end after 5 pages"):
            value(source(cloud), GREEN, "p99")
        assert len(cloud.front.calls) < 10

    def test_what_cannot_be_asked_is_unknown_and_says_why(self, cloud: Cloud) -> None:
        about = (replace(GREEN, metric="p99"), replace(BLUE, metric="p99"))
        cloud.fails("throttle", times=1)
        with pytest.raises(Temporary, match="throttles cloudwatch:GetMetricData on p99"):
            source(cloud).value(about[0])
        cloud.fails("denied", times=1, message="User: ci is not authorized to perform: cloudwatch:GetMetricData")
        reading = SourceGauge(source(cloud)).read(*about)
        assert "denies cloudwatch:GetMetricData" in reading.problem
        assert reading.candidate is None
        cloud.fails("refused", times=1, __type="ValidationError", message="Error in expression 'greenroom_answer'")
        with pytest.raises(Permanent, match="Error in expression"):
            source(cloud).value(replace(GREEN, query="slow +"))

    def test_the_analysis_reads_both_versions(self, cloud: Cloud) -> None:
        for colour, errors in (("green", 10.0), ("blue", 1.0)):
            count(cloud, "both", "RequestCount", INSIDE, 100.0, colour=colour)
            count(cloud, "both", "HTTPCode_Target_5XX_Count", INSIDE, errors, colour=colour)
        gauge = SourceGauge(source(cloud, dimensions=fresh("both")), "candidate <= 2 * baseline")
        reading = gauge.read(replace(GREEN, metric="error_rate"), replace(BLUE, metric="error_rate"))
        assert (reading.candidate, reading.baseline, reading.holds) == (0.1, 0.01, False)

    def test_what_asking_needs_is_looked_at_before_a_deploy(
        self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        good = settings(**cloud.settings)
        assert CloudwatchSource.problems(good, PLACE) == []
        cloud.fails("throttle", times=1)
        assert CloudwatchSource.problems(good, PLACE) == [], "it may do later"
        cloud.fails("denied", times=1)
        [problem] = CloudwatchSource.problems(good, PLACE)
        assert "denies cloudwatch:GetMetricData" in problem
        [problem] = CloudwatchSource.problems(settings(**cloud.settings, account="111122223333"), PLACE)
        assert "the file wants 111122223333" in problem
        [problem] = CloudwatchSource.problems(settings(endpoint=cloud.front.url), PLACE)
        assert "which region" in problem
        reading = SourceGauge(CloudwatchSource(settings(endpoint=cloud.front.url), PLACE)).read(
            replace(GREEN, metric="p99"), None
        )
        assert "which region" in reading.problem
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        [problem] = CloudwatchSource.problems(good, PLACE)
        assert "no credentials" in problem

    def test_metrics_of_another_account_are_not_read(self, cloud: Cloud) -> None:
        with pytest.raises(Permanent, match="the file wants 111122223333"):
            value(source(cloud, account="111122223333"), GREEN, "p99")
        assert "GetMetricData" not in cloud.front.calls
        assert value(source(cloud, account=aws_front.ACCOUNT), GREEN, "p99") is None


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
