"""The presets of the gate `sarif` with the real scanners that Python's packages bring: semgrep, bandit, detect-secrets."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from greenroom.adapters.gates.sarif import SarifGate
from greenroom.adapters.gates.sarif_settings import SarifSettings
from greenroom.domain.model import Colour, Verdict
from greenroom.domain.opinion import Case, Finding
from greenroom.ports import Place
from tests.rigs.scanners import real

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("scanners")]
PATIENCE = 100.0
CASE = Case("r-7", "2", Colour.GREEN, "")
RULES = """rules:
  - {id: no-eval, languages: [python], severity: ERROR, message: eval runs whatever it is given, pattern: eval(...)}
"""
BAD = """import subprocess

password = "hunter2hunter2"


def run(it):
    subprocess.call(it, shell=True)
    eval(it)
"""
TORN = "def (:\n    eval(\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (
        ("bad/app.py", BAD),
        ("good/sums.py", "A = 1\n"),
        ("torn/x.py", TORN),
        ("text/a.txt", "hello\n"),
    ):
        path = tmp_path / name
        path.parent.mkdir()
        path.write_text(text)
    (tmp_path / "rules.yaml").write_text(RULES)
    return tmp_path


def ask(folder: Path, **values: Any) -> Finding:
    place = Place("shop", folder / "greenroom.yaml", folder / ".greenroom")
    gate = SarifGate(SarifSettings.model_validate({"name": "scan", "env": {"PATH": real()}, **values}), place)
    memo = None
    deadline = time.monotonic() + PATIENCE
    while True:
        finding = gate.ask(CASE, memo)
        if finding.verdict is not Verdict.WAIT:
            return finding
        assert time.monotonic() < deadline, "no verdict"
        memo = finding.memo
        time.sleep(0.05)


SEMGREP = {"preset": "semgrep", "rules": ["rules.yaml"]}
SECRETS = {"preset": "detect-secrets", "args": ["--all-files"]}
F, P, U = Verdict.FAIL, Verdict.PASS, Verdict.UNKNOWN
TABLE: list[tuple[dict[str, Any], str, Verdict, str]] = [
    (SEMGREP, "bad", F, "1 finding: error bad/app.py:8 no-eval: eval runs whatever it is given"),
    (SEMGREP, "good", P, "Semgrep OSS 1."),
    (SEMGREP, "torn", U, "it could not look: Syntax error at line torn/x.py:1:"),
    ({"preset": "bandit"}, "bad", F, "2 findings (2 below warning): error bad/app.py:7 B602:"),
    ({"preset": "bandit"}, "good", P, "Bandit 1."),
    ({"preset": "bandit"}, "torn", U, "it could not look: syntax error while parsing AST from file (torn/x.py)"),
    ({"preset": "bandit"}, "text", U, "it could not look: bandit looked at no line of Python"),
    (SECRETS, "bad", F, "1 finding: error bad/app.py:3 Secret Keyword: a secret"),
    (SECRETS, "good", P, "detect-secrets 1."),
    ({"preset": "detect-secrets"}, "good", U, "detect-secrets looked at no file of good"),
]


@pytest.mark.parametrize(
    ("values", "path", "verdict", "reason"), TABLE, ids=[f"{v['preset']}-{p}-{i}" for i, (v, p, *_) in enumerate(TABLE)]
)
def test_a_real_scanner(folder: Path, values: dict[str, Any], path: str, verdict: Verdict, reason: str) -> None:
    finding = ask(folder, paths=[path], **values)
    assert finding.verdict is verdict, finding
    assert reason in finding.reason
    assert "hunter2" not in repr(finding)


def test_a_baseline_survives_a_line_that_is_added_above(folder: Path) -> None:
    """By the text that bandit found, for it has no fingerprints."""
    values = {"preset": "bandit", "paths": ["bad"], "baseline": "known.json"}
    first = ask(folder, **values)
    proposal = Path(first.reason.partition("to accept them: cp ")[2].split()[0])
    (folder / "known.json").write_bytes(proposal.read_bytes())
    (folder / "bad" / "app.py").write_text("# a comment\n" + BAD)
    assert ask(folder, **values).verdict is P
    (folder / "bad" / "app.py").write_text(BAD + "\n\ndef more(it):\n    eval(it, {})\n")
    more = ask(folder, **values)
    assert (more.verdict, "1 finding (2 below warning, 2 known): warning bad/app.py:12" in more.reason) == (F, True), (
        more
    )
