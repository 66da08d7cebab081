"""How test runs are added up: what decides whether CI is green must not be wrong in its favour."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest

from tests.docs.pages import ROOT


@pytest.fixture(scope="module")
def runner() -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_tests", ROOT / "scripts" / "run_tests.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_a_test_that_passed_and_then_failed_to_clean_up_has_failed_once(runner: ModuleType) -> None:
    tally = runner.Tally()
    tally.add({"passed": ["a", "b"], "failed": ["c"], "error": ["b", "c"], "skipped": ["d"]})
    assert (tally.passed, tally.failed, tally.skipped) == (1, ["b", "c"], 1)
    assert not tally.good
    assert tally.closing_line(1.5).strip("= ") == "2 failed, 1 passed, 1 skipped in 1.50s"


def test_nothing_run_is_not_good(runner: ModuleType) -> None:
    assert not runner.Tally().good
    assert not runner.Tally(skipped=3).good
    assert runner.Tally(passed=1).good


def test_an_unknown_skip_fails_in_ci_only(runner: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    results = {"passed": ["a"], "skips refused": ["b | no network"]}
    for ci, good in (("true", False), ("", True)):
        monkeypatch.setenv("CI", ci)
        tally = runner.Tally()
        tally.add(results)
        assert tally.good is good


def test_a_run_that_broke_without_a_failed_test_fails(runner: ModuleType) -> None:
    for code, good in ((0, True), (5, True), (1, False), (2, False), (3, False), (4, False), (-9, False)):
        tally = runner.Tally(passed=1)
        runner.run(tally, "pure", pytest=lambda *_, code=code: (code, {}))
        assert tally.good is good, code


def test_second_chances_are_few_and_only_for_what_passes_alone(runner: ModuleType) -> None:
    asked: list[str] = []

    def alone(_name: str, *arguments: str) -> tuple[int, dict[str, list[str]]]:
        asked.append(arguments[-1])
        return (0, {"passed": [arguments[-1]]}) if arguments[-1] == "a" else (1, {"failed": [arguments[-1]]})

    tally = runner.Tally(failed=["a", "b"])
    runner.second_chances(tally, ["a", "b"], alone)
    assert (tally.flaky, tally.failed, tally.passed, asked) == (["a"], ["b"], 1, ["a", "b"])
    many = [f"t{n}" for n in range(runner.SECOND_CHANCES + 1)]
    runner.second_chances(runner.Tally(failed=many), many, alone)
    assert asked == ["a", "b"]
