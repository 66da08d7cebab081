"""CloudWatch in the file: what cannot be asked is refused when it is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenroom.config.loader import load
from greenroom.domain.plan import Gate, When
from greenroom.errors import UsageError

SMALL = """\
service: shop
environment: {type: process, processes: {web: {command: python3 app.py}}}
router: {type: envoy, listen: 127.0.0.1:8080}
"""
GROUPS = "TargetGroup: {blue: targetgroup/b/1, green: targetgroup/g/1}"


def file(folder: Path, text: str) -> Path:
    path = folder / "greenroom.yaml"
    path.write_text(SMALL + text, encoding="utf-8")
    return path


def test_alarms_are_a_gate_in_the_bake_and_a_watch(tmp_path: Path) -> None:
    loaded = load(file(tmp_path, "gates: [{type: alarm, names: [a]}]\nwatch: [{type: alarm, names: [a]}]\n"), {})
    assert loaded.plan.gates == (Gate("alarm", When.BAKE),)
    assert loaded.plan.watches == ("watch:alarm",)
    assert loaded.sections.watches[0].settings.name == "watch:alarm"


def test_a_question_for_cloudwatch(tmp_path: Path) -> None:
    source = f"source: {{type: cloudwatch, dimensions: {{{GROUPS}}}, series: {{a: {{metric: x}}}}}}"
    rules = f"analysis:\n  - {{metric: p99, max: 250ms, {source}}}\n  - {{query: a / 2, max: 1, {source}}}\n"
    loaded = load(file(tmp_path, rules), {})
    assert [rule.source for rule in loaded.plan.rules] == ["p99 of cloudwatch", "query 2"]


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (
            "metric: p99, max: 1s, source: {type: cloudwatch}",
            "`dimensions` of the source is needed: give a value for each",
        ),
        ("metric: p99, max: 1s, source: {type: cloudwatch, dimensions: {A: x}}", "tells the colours not apart"),
        (f"metric: cpu, max: 50%, source: {{type: cloudwatch, dimensions: {{{GROUPS}}}}}", "has no metric `cpu`"),
        (
            "query: a, max: 1, source: {type: cloudwatch, series: {b: {metric: x}}}",
            "no series `a` in `series`; there is: b",
        ),
        (
            "query: b, compare: {to: baseline, max_ratio: 2}, source: {type: cloudwatch, series: {b: {metric: x}}}",
            "cannot see colours",
        ),
    ],
)
def test_what_cannot_be_asked_is_refused(asked: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        load(file(tmp_path, f"analysis: [{{{asked}}}]\n"), {})
    assert "greenroom.yaml:4: analysis[0]: " in error.value.message
    assert why in error.value.message


def test_alarms_are_no_check_of_a_candidate(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"checks\[0\]\.type: `alarm` can only watch: write it under `watch:`"):
        load(file(tmp_path, "checks: [{type: alarm, names: [a]}]\n"), {})
