"""`analysis:` as people write it: what it comes to, and what is said of what is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from greenroom.config.analysis import Analysis, limit, names_of, rules_of
from greenroom.domain.plan import Plan, Rule

PROMETHEUS = {"type": "prometheus", "url": "http://127.0.0.1:9090"}


def entry(**keys: Any) -> Analysis:
    return Analysis.model_validate(keys)


def refused(**keys: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        entry(**keys)
    return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in caught.value.errors())


def test_every_key_reaches_the_rule() -> None:
    made = entry(
        metric="p99",
        query="histogram_quantile(0.99, x)",
        name="slow answers",
        source=PROMETHEUS,
        max="250ms",
        compare={"to": "baseline", "max_ratio": 1.5, "confidence": "99.9%"},
        expression="candidate <= 2 * baseline",
        critical=True,
        warm_up="30s",
        min_requests=100,
        no_data="wait",
        every="15s",
        failures=2,
    )
    (rule,) = rules_of([made])
    assert rule == Rule(
        "p99",
        max=250.0,
        max_ratio=1.5,
        min_requests=100,
        no_data="wait",
        confidence=pytest.approx(0.999),
        critical=True,
        warm_up=30.0,
        source="slow answers",
        every=15.0,
        failures=2,
        expression="candidate <= 2 * baseline",
        query="histogram_quantile(0.99, x)",
    )
    assert Plan.of(Plan(rules=(rule,)).document()).rules == (rule,), "and the journal keeps it"


@pytest.mark.parametrize(
    ("metric", "written", "value"),
    [
        ("error_rate", "1%", 0.01),
        ("error_rate", 0, 0.0),
        ("p99", "250ms", 250.0),
        ("p50", "1.5s", 1500.0),
        ("request_rate", "100/s", 100.0),
        ("request_rate", "60/min", 1.0),
        ("request_rate", "7200 / h", 2.0),
        ("cpu", "1.5 cores", 1.5),
        ("cpu", "1 core", 1.0),
        ("cpu", "150%", 1.5),
        ("memory", "512MiB", 512 * 2**20),
        ("", 5, 5.0),
        ("", 0.25, 0.25),
        ("", "5%", 0.05),
    ],
)
def test_limits_as_people_write_them(metric: str, written: Any, value: float) -> None:
    assert limit(metric, written) == pytest.approx(value)


@pytest.mark.parametrize(
    ("metric", "written", "said"),
    [
        ("error_rate", 1, "1 has no unit: write 1%"),
        ("error_rate", "1", "is no percent"),
        ("p99", 250, "250 has no unit: write 250s for seconds, or 250ms"),
        ("p99", "0s", "no answer takes 0; write the slowest good p99, like 250ms"),
        ("request_rate", 100, "100 has no unit: write 100/s"),
        ("request_rate", "100", "is no rate; write it like 100/s"),
        ("cpu", 2, "2 has no unit: write `2 cores`, or `200%` of one"),
        ("cpu", "2 GHz", "write it like `1.5 cores` or `150%`"),
        ("memory", 512, "512 has no unit: write 512B, 512kB, 512MB or 512GB"),
        ("memory", "512", "is no size"),
        ("", "fast", "is no number; a query's limit is written in what the query gives"),
        ("", True, "is no number"),
        ("", float("nan"), "is no number"),
    ],
)
def test_a_limit_without_its_unit_is_told_how_to_be_written(metric: str, written: Any, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        limit(metric, written)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"metric": "p99"}, "has no limit; give it `max: 250ms` or `compare:"),
        ({"metric": "request_rate"}, "has no limit; give it `min: 10/s`"),
        ({"metric": "memory"}, "give it `max: 512MiB`"),
        ({"metric": "error_rate", "min": "1%"}, "nothing is wrong with too little of error_rate; write `max:`"),
        ({"metric": "p99", "min": "1s"}, "nothing is wrong with too little of p99"),
        ({"max": 5}, "needs a `metric:`, or a `query:` with a `source:`"),
        ({"query": "up", "max": 5}, "needs a `source:` that is asked"),
        ({"metric": "p99", "query": "up", "max": "1s"}, "the router knows no queries"),
        ({"metric": "p99", "max": "1s", "source": {"url": "x"}}, "`source` needs a `type:`"),
        ({"metric": "p99", "max": "1s", "source": {"type": "environment"}}, "tells `cpu` and `memory` only"),
        ({"metric": "cpu", "min": "2 cores", "max": "1 core"}, "`min` is more than `max`: nothing could be good"),
        ({"metric": "error_rate", "expression": "candidate < 1"}, "`expression` is for the values of a `source:`"),
        ({"metric": "request_rate", "compare": {"max_ratio": 2}}, "`request_rate` is not compared; write `min`"),
        ({"metric": "error_rate", "max": "1%", "warm_up": "5s"}, "error_rate counts from the first request"),
        ({"metric": "p99", "max": "1s", "every": "5s"}, "`every` is for a `source:`"),
        ({"metric": "p99", "max": "1s", "failures": 5}, "`failures` is for a `source:`"),
        ({"metric": "p99", "compare": {}}, "says nothing; give it `max_ratio: 1.5`, `confidence: 99.9%` or both"),
        ({"metric": "p99", "compare": {"confidence": "50%"}}, "should be from 80% to 99.9999%"),
        ({"metric": "p99", "compare": {"confidence": 99.9}}, "99.9 has no unit: write 99.9%"),
        ({"metric": "p99", "compare": {"max_ratio": 0.5}}, "greater than or equal to 1"),
        (
            {"source": PROMETHEUS, "expression": "candidate < limit"},
            "`limit` is not known; known are the names candidate",
        ),
        ({"source": PROMETHEUS, "expression": "print(candidate) < 5"}, "is a call, and nothing can be called here"),
        ({"source": PROMETHEUS, "expression": "candidate"}, "is no condition"),
        ({"metric": "error_rte", "max": "1%"}, "Input should be 'error_rate'"),
        ({"metric": "p99", "max": "1s", "maximum": 5}, "Extra inputs are not permitted"),
    ],
)
def test_what_is_said_of_a_bad_entry(keys: dict[str, Any], said: str) -> None:
    assert said in refused(**keys)


def test_sources_have_names_of_their_own_that_hold_no_secret() -> None:
    entries = [
        entry(metric="error_rate", max="1%"),
        entry(metric="memory", max="1GiB"),
        entry(metric="memory", max="2GiB", critical=True),
        entry(query="sum(rate(secret-token[1m]))", source=PROMETHEUS, max=5),
        entry(name="orders", query="x", source=PROMETHEUS, min=5),
        entry(metric="p99", source={"type": "http"}, max="1s"),
    ]
    names = names_of(entries)
    assert names == ("", "memory of environment", "memory of environment (3)", "query 4", "orders", "p99 of http")
    assert [rule.source for rule in rules_of(entries)] == list(names)


def test_cpu_and_memory_are_the_environments() -> None:
    assert entry(metric="cpu", max="2 cores").source_type == "environment"
    assert entry(metric="cpu", max="2 cores", source=PROMETHEUS).source_type == "prometheus"
    assert entry(metric="p99", max="1s").source_type == ""
