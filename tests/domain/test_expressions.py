from __future__ import annotations

import pytest

from greenroom.domain.expressions import holds, problem


@pytest.mark.parametrize(
    ("expression", "candidate", "baseline", "answer"),
    [
        ("candidate < 0.05 and candidate <= 2 * baseline", 0.04, 0.03, True),
        ("candidate < 0.05 and candidate <= 2 * baseline", 0.04, 0.01, False),
        ("candidate < 0.05 or baseline > 1", 0.06, 2.0, True),
        ("not candidate > 5", 4.0, None, True),
        ("0 < candidate < 10", 11.0, None, False),
        ("candidate - baseline <= -1", 1.0, 3.0, True),
        ("candidate / baseline < 2", 1.0, 0.0, None),
        ("candidate < 5", None, 1.0, None),
        ("candidate < 5", float("nan"), 1.0, None),
        ("candidate <= 2 * baseline", 1.0, None, None),
        ("candidate < 5 or candidate < baseline", 4.0, None, True),
    ],
)
def test_ft_50_an_expression_holds_or_does_not_or_cannot_be_said(
    expression: str, candidate: float | None, baseline: float | None, answer: bool | None
) -> None:
    assert problem(expression) == ""
    assert holds(expression, candidate, baseline) is answer


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("candidat < 5", "`candidat` is not known"),
        ("open('x') < candidate", "`open('x')` is a call"),
        ("candidate.real < 5", "`candidate.real` cannot stand here"),
        ("candidate ** 99 < 5", "`candidate ** 99` cannot be computed here"),
        ("candidate < 'a'", "`'a'` is no number"),
        ("candidate in (1, 2)", "cannot be compared so"),
        ("(x := 5) < candidate", "cannot stand here"),
        ("candidate +", "cannot be read"),
        ("candidate + 1", "is no condition"),
        ("baseline < 5", "says nothing about `candidate`"),
        ("[c for c in candidate] < 5", "cannot stand here"),
        ("candidate < True", "`True` is no number"),
        ("candidate < 5 if baseline else 6", "is no condition"),
        ("candidate < " + "9" * 500, "is longer than 500 characters"),
        ("~candidate < 1", "cannot be computed here"),
    ],
)
def test_everything_else_is_refused_with_what_is_known(expression: str, said: str) -> None:
    assert said in problem(expression)
    if "cannot be read" not in said and "longer" not in said and "no condition" not in said and "says" not in said:
        assert "candidate and baseline" in problem(expression)
