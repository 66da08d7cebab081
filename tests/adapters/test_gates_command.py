"""The gate `command`: what it knows at each stage, and what a command that cannot be run means."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from greenroom.adapters.checks.command import CommandCheck
from greenroom.adapters.gates.command import CommandGate
from greenroom.domain.model import Colour, Verdict
from greenroom.domain.opinion import Case, Finding
from greenroom.ports import Place

pytestmark = pytest.mark.real
PATIENCE = 60.0
SOURCE = Case("r-7", "2", Colour.GREEN, "")
BAKE = replace(SOURCE, artefact="sha256:abc", public="http://shop.example/")


def ask(folder: Path, run: str, case: Case) -> Finding:
    place = Place("shop", folder / "greenroom.yaml", folder / ".greenroom")
    gate = CommandGate(CommandGate.Settings(name="lint", run=run), place)
    memo = None
    deadline = time.monotonic() + PATIENCE
    while True:
        finding = gate.ask(case, memo)
        if finding.verdict is not Verdict.WAIT:
            return finding
        assert time.monotonic() < deadline, "no verdict"
        memo = finding.memo
        time.sleep(0.02)


def test_what_a_command_knows_before_the_build(tmp_path: Path) -> None:
    run = 'test "{version} {release} {colour} {service} ${GREENROOM_ARTEFACT-none}" = "2 r-7 green shop none"'
    assert ask(tmp_path, run, SOURCE).verdict is Verdict.PASS


def test_what_a_command_knows_under_traffic(tmp_path: Path) -> None:
    run = 'test {artefact}={live_url} = "$GREENROOM_ARTEFACT=$GREENROOM_LIVE_URL" && test {live_url} = http://shop.example'
    assert ask(tmp_path, run, BAKE).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("run", "case", "verdict", "reason"),
    [
        ("exit 3", SOURCE, Verdict.FAIL, "exit code 3"),
        ("no-such-linter", SOURCE, Verdict.UNKNOWN, "command not found (exit code 127)"),
        ("./lint", SOURCE, Verdict.UNKNOWN, "the command is not executable (exit code 126)"),
        (
            "scan {artefact}",
            SOURCE,
            Verdict.UNKNOWN,
            "there is no `{artefact}` yet; it is made after the stage `source`",
        ),
        ("scan {live_url}", SOURCE, Verdict.UNKNOWN, "there is no `{live_url}` yet; nothing is live"),
        ("scan {idle_url}", SOURCE, Verdict.UNKNOWN, "there is no `{idle_url}` yet; nothing runs before the start"),
    ],
)
def test_a_command_that_could_not_look_is_unknown(
    tmp_path: Path, run: str, case: Case, verdict: Verdict, reason: str
) -> None:
    (tmp_path / "lint").write_text("not a program")
    finding = ask(tmp_path, run, case)
    assert finding.verdict is verdict
    assert finding.reason.startswith(reason)


def test_a_check_of_the_same_name_is_another_one(tmp_path: Path) -> None:
    """They have folders of their own, for both may run in one release."""
    gate = ask(tmp_path, "echo gate; exit 3", SOURCE)
    assert str(tmp_path / ".greenroom/logs/gates/r-7/lint.log") in gate.reason
    place = Place("shop", tmp_path / "greenroom.yaml", tmp_path / ".greenroom")
    check = CommandCheck(CommandCheck.Settings(name="lint", run="sleep 600"), place)
    assert check.ask(SOURCE, None).verdict is Verdict.WAIT
    assert ask(tmp_path, "true", SOURCE).verdict is Verdict.PASS
    assert check.ask(SOURCE, None).verdict is Verdict.WAIT
    check.withdraw(SOURCE, None)
