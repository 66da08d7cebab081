"""The gate `sarif`: what it makes of reports, of scanners that could not look, and of what is known already."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from greenroom.adapters.gates.results import Level, Unreadable, hidden
from greenroom.adapters.gates.sarif import KEPT, LISTED, SarifGate
from greenroom.adapters.gates.sarif_report import of_sarif
from greenroom.adapters.gates.sarif_settings import SarifSettings
from greenroom.domain.model import Colour, Verdict
from greenroom.domain.opinion import Case, Finding
from greenroom.ports import Place
from tests.rigs.scanners import arguments, recorded, recording

PATIENCE = 60.0
CASE = Case("r-7", "2", Colour.GREEN, "", public="http://127.0.0.1:8080/")


class Pinned:
    """A vault."""

    def values(self, release: str) -> dict[str, str]:
        return {"TOKEN": "s3cret-value"}

    def pin(self, release: str, values: Any) -> None: ...

    def forget(self, release: str) -> None: ...


def gate(folder: Path, **values: Any) -> SarifGate:
    place = Place("shop", folder / "greenroom.yaml", folder / ".greenroom", vault=Pinned())
    return SarifGate(SarifSettings.model_validate({"name": "scan", **values}), place)


def answer(asked: SarifGate, case: Case = CASE) -> Finding:
    memo = None
    deadline = time.monotonic() + PATIENCE
    while True:
        finding = asked.ask(case, memo)
        if finding.verdict is not Verdict.WAIT:
            return finding
        assert time.monotonic() < deadline, "no verdict"
        memo = finding.memo
        time.sleep(0.02)


# --- presets, on what the scanners really said

PROGRAMS = {"gitleaks-history": "gitleaks", "trivy-image": "trivy", "zap": "zap.sh"}
F, P, U = Verdict.FAIL, Verdict.PASS, Verdict.UNKNOWN
PRESETS: list[tuple[str, str, dict[str, Any], Verdict, str]] = [
    (
        "gitleaks",
        "findings",
        {},
        F,
        "2 findings: warning settings.py:2 aws-access-token: aws-access-token has detected",
    ),
    ("gitleaks", "clean", {}, P, "gitleaks v8.0.0: nothing of level warning or above"),
    ("gitleaks", "blind-empty", {}, U, "it could not look: gitleaks looked at nothing (0 bytes)"),
    ("gitleaks", "blind-unreadable", {}, U, "it could not look: gitleaks says: skipping file: permission denied"),
    ("gitleaks", "blind-config", {}, U, "it could not look: exit code 1: "),
    ("gitleaks-history", "findings", {}, F, "2 findings: warning settings.py:2 aws-access-token"),
    ("gitleaks-history", "clean", {}, P, "nothing of level warning"),
    (
        "semgrep",
        "findings",
        {},
        F,
        "2 findings (1 suppressed in the source): error app/app.py:8 no-eval: eval runs what",
    ),
    ("semgrep", "findings", {"fail_on": "error"}, F, "1 finding (1 below error, 1 suppressed in the source): error"),
    ("semgrep", "clean", {}, P, "Semgrep OSS 1.182.0: nothing of level warning or above"),
    ("semgrep", "blind-no-file", {}, U, "it could not look: semgrep looked at no file"),
    ("semgrep", "blind-torn-file", {}, U, "it could not look: Syntax error at line broken/torn.py:1:"),
    ("semgrep", "blind-torn-file", {"strict": False}, P, "(1 warnings of the scanner)"),
    ("semgrep", "blind-rules", {}, U, "it could not look: exit code 7"),
    ("bandit", "findings", {}, F, "3 findings (2 below warning): error app/app.py:7 B602: subprocess call with shell"),
    ("bandit", "findings", {"fail_on": "note"}, F, "5 findings: error app/app.py:7"),
    ("bandit", "clean", {}, P, "Bandit 1.9.4: nothing of level warning or above"),
    ("bandit", "blind-path", {}, U, "it could not look: No such file or directory (none)"),
    (
        "bandit",
        "blind-torn-file",
        {},
        U,
        "it could not look: syntax error while parsing AST from file (broken/torn.py)",
    ),
    ("bandit", "blind-no-python", {}, U, "it could not look: bandit looked at no line of Python"),
    ("detect-secrets", "findings", {"paths": ["app"]}, F, "1 finding: error app/app.py:3 Secret Keyword: a secret"),
    ("detect-secrets", "clean", {"paths": ["clean"]}, P, "detect-secrets 1.5.0: nothing of level warning"),
    (
        "detect-secrets",
        "blind-untracked",
        {"paths": ["clean"]},
        U,
        "looked at no file of clean (write `args: [--all-files]`",
    ),
    ("detect-secrets", "blind-outside", {"paths": ["app"]}, U, "looked at no file of app"),
    ("trivy", "findings", {}, F, "4 findings (1 below warning): error Dockerfile:1 DS002: Artifact: Dockerfile; Type"),
    ("trivy", "clean", {}, P, "Trivy 0.59.1: nothing of level warning or above"),
    ("trivy", "blind-database", {}, U, "it could not look: exit code 1: "),
    ("trivy", "blind-nothing-known", {}, U, "trivy found no configuration file that it knows"),
    ("trivy-image", "blind-image", {"paths": ["shop:1"]}, U, "it could not look: exit code 1: "),
    (
        "zap",
        "findings",
        {},
        F,
        "2 findings: error https://shop.example/search?…:1 40012: Cross-site Scripting (XSS) is",
    ),
    ("zap", "clean", {}, P, "ZAP 2.16.1: nothing of level warning or above"),
    ("zap", "blind-no-page", {}, U, "it could not look: exit code 1"),
    ("zap", "blind-warning", {}, U, "it could not look: exit code 2"),
]


@pytest.mark.real
@pytest.mark.parametrize(
    ("preset", "kind", "values", "verdict", "reason"),
    PRESETS,
    ids=[f"{p}-{k}-{i}" for i, (p, k, *_) in enumerate(PRESETS)],
)
def test_presets_on_what_scanners_said(
    tmp_path: Path, preset: str, kind: str, values: dict[str, Any], verdict: Verdict, reason: str
) -> None:
    folder = project(tmp_path, preset)
    ran_in = "leaky" if preset == "trivy" else ""
    path = recorded(tmp_path / "bin", PROGRAMS.get(preset, preset), f"{preset}-{kind}", ran_in)
    more = {"rules": ["rules.yaml"]} if preset == "semgrep" else {}
    finding = answer(gate(folder, preset=preset, env={"PATH": path}, **more, **values))
    assert finding.verdict is verdict, finding
    assert reason in finding.reason
    assert len(finding.reason) <= 1000
    for secret in ("hunter2", "AKIA", "ghp_", "d41d8cd9", "<script>"):
        assert secret not in repr(finding)


def project(folder: Path, preset: str) -> Path:
    """Something to look at; a repository with a history, where that is looked at."""
    shop = folder / "shop"
    for name in ("app", "clean"):
        (shop / name).mkdir(parents=True)
        (shop / name / "a.py").write_text("A = 1\n")
    if preset == "gitleaks-history":
        subprocess.run(["git", "init", "-q", str(shop)], check=True)
    return shop


@pytest.mark.real
def test_a_history_that_is_not_there_is_not_clean(tmp_path: Path) -> None:
    """Gitleaks ends with 0 outside a repository, and sees one commit of a shallow clone."""
    path = recorded(tmp_path / "bin", "gitleaks", "gitleaks-history-clean")
    none = project(tmp_path, "gitleaks")
    finding = answer(gate(none, preset="gitleaks-history", env={"PATH": path}))
    assert (finding.verdict, "it could not look: exit code 3: the repository is a shallow" in finding.reason) == (
        U,
        True,
    )
    whole, shallow = tmp_path / "whole", tmp_path / "shallow"
    env = {
        **os.environ,
        **{f"GIT_{who}_{what}": "a@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }
    for command in (
        ["git", "init", "-q", str(whole)],
        ["git", "-C", str(whole), "commit", "-q", "--allow-empty", "-m", "one"],
        ["git", "-C", str(whole), "commit", "-q", "--allow-empty", "-m", "two"],
        ["git", "clone", "-q", "--depth", "1", f"file://{whole}", str(shallow)],
    ):
        subprocess.run(command, check=True, env=env)
    for folder, verdict in ((whole, P), (shallow, U)):
        (folder / "a.py").write_text("A = 1\n")
        assert answer(gate(folder, preset="gitleaks-history", env={"PATH": path})).verdict is verdict


@pytest.mark.real
def test_what_the_presets_ask_of_the_scanners(tmp_path: Path) -> None:
    folder = project(tmp_path, "zap")
    path = recorded(tmp_path / "bin", "gitleaks", "gitleaks-clean")
    answer(gate(folder, preset="gitleaks", env={"PATH": path}, paths=["app"], args=["--config", "my config.toml"]))
    asked = arguments(tmp_path / "bin", "gitleaks")
    assert asked[-3:] == ["--config", "my config.toml", "app"]
    assert asked[asked.index("--exit-code") + 1] == "42"
    assert "--redact" in asked
    path = recorded(tmp_path / "bin", "zap.sh", "zap-clean")
    answer(gate(folder, preset="zap", env={"PATH": path}))
    plan = yaml.safe_load((tmp_path / "bin" / "zap.sh.json.plan").read_text())
    assert plan["env"]["contexts"][0]["urls"] == ["http://127.0.0.1:8080"]
    assert [job["type"] for job in plan["jobs"]] == ["spider", "passiveScan-wait", "report"]
    assert plan["jobs"][0]["tests"][0]["onFail"] == "error"


@pytest.mark.real
def test_nothing_to_look_at_is_not_clean(tmp_path: Path) -> None:
    path = recorded(tmp_path / "bin", "trivy", "trivy-clean")
    folder = project(tmp_path, "trivy")
    (folder / "empty" / "deeper").mkdir(parents=True)
    for name, reason in (("none", "there is no none to look at"), ("empty", "empty has no file to look at")):
        finding = answer(gate(folder, preset="trivy", env={"PATH": path}, paths=[name]))
        assert (finding.verdict, finding.reason) == (U, reason)
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "mv").symlink_to(shutil.which("mv") or "/bin/mv")
    finding = answer(gate(folder, preset="gitleaks", env={"PATH": str(tmp_path / "bare")}))
    assert (finding.verdict, "command not found (exit code 127)" in finding.reason) == (U, True)


# --- commands of one's own, and files


def sarif(*results: dict[str, Any], **run: Any) -> dict[str, Any]:
    driver = {"name": "tool", "version": "1", "rules": run.pop("rules", [])}
    return {"version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": list(results), **run}]}


def result(
    which: str = "r1", line: int = 1, file: str = "a.py", text: str = "it is wrong", **more: Any
) -> dict[str, Any]:
    physical = {"artifactLocation": {"uri": file}, "region": {"startLine": line, **more.pop("region", {})}}
    return {"ruleId": which, "message": {"text": text}, "locations": [{"physicalLocation": physical}], **more}


def reading(folder: Path, report: Any, **values: Any) -> Finding:
    path = folder / "report.sarif"
    path.write_text(report if isinstance(report, str) else json.dumps(report), encoding="utf-8")
    return gate(folder, file="report.sarif", **values).ask(CASE, None)


ONE = json.dumps(sarif(result()))


@pytest.mark.real
@pytest.mark.parametrize(
    ("run", "values", "verdict", "reason"),
    [
        ("cp one.json {report}", {}, F, "1 finding: warning a.py:1 r1: it is wrong"),
        ('cp one.json "$GREENROOM_REPORT"; exit 1', {"finding_exits": [1]}, F, "1 finding"),
        ("cat one.json", {}, F, "1 finding"),
        ("cat one.json; echo noise >&2", {}, F, "1 finding"),
        ("cat none.json", {}, P, "tool 1: nothing of level warning or above"),
        ("cat one.json; exit 1", {}, U, "it could not look: exit code 1"),
        (
            "cat none.json; exit 1",
            {"finding_exits": [1]},
            U,
            "ended with exit code 1, as it does when it finds something",
        ),
        ("exit 0", {}, U, "its report is empty"),
        ("exit 0 # {report}", {}, U, "its report is not there"),
        ("echo '{'", {}, U, "its report is no JSON"),
        ("echo '[]'", {}, U, "its report is no SARIF"),
        ("no-such-scanner", {}, U, "command not found (exit code 127)"),
        ("cp -p old.json {report}", {}, U, "its report is older than its run"),
        ("cat one.json; sleep 600", {"timeout": "1s"}, U, "not finished within 1s"),
        ("kill -9 $$", {}, U, "ended by signal 9"),
        ("echo ${TOKEN} >&2; exit 3", {}, U, "exit code 3: ${TOKEN}"),
        ("true {artefact}", {}, U, "there is no `{artefact}` yet; it is made after the stage `source`"),
    ],
)
def test_a_command(tmp_path: Path, run: str, values: dict[str, Any], verdict: Verdict, reason: str) -> None:
    (tmp_path / "one.json").write_text(ONE)
    (tmp_path / "none.json").write_text(json.dumps(sarif()))
    (tmp_path / "old.json").write_text(ONE)
    os.utime(tmp_path / "old.json", (1, 1))
    finding = answer(gate(tmp_path, run=run, **values))
    assert (finding.verdict, reason in finding.reason) == (verdict, True), finding


@pytest.mark.real
def test_the_report_stays_for_its_owner_only(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(ONE)
    finding = answer(gate(tmp_path, run="cat one.json"))
    report = tmp_path / ".greenroom/logs/gates/r-7/scan.sarif"
    assert f"(all of it in {report})" in finding.reason
    assert json.loads(report.read_text()) == json.loads(ONE)
    assert report.parent.stat().st_mode & 0o077 == 0


@pytest.mark.real
def test_a_report_of_an_earlier_release_is_never_taken_for_this_one(tmp_path: Path) -> None:
    (tmp_path / "none.json").write_text(json.dumps(sarif()))
    assert answer(gate(tmp_path, run="cp none.json {report}")).verdict is P
    assert answer(gate(tmp_path, run="true {report}")).verdict is U


@pytest.mark.real
def test_the_reports_of_the_last_releases_stay(tmp_path: Path) -> None:
    logs = tmp_path / ".greenroom/logs/gates"
    for number in range(KEPT + 3):
        old = logs / f"r-{number + 10}"
        old.mkdir(parents=True)
        for name in ("scan.sarif", "scan.sarif.beside", "scan.known.json", "other.sarif"):
            (old / name).write_text("{}")
            os.utime(old / name, (1000 + number,) * 2)
    (tmp_path / "one.json").write_text(ONE)
    assert answer(gate(tmp_path, run="cat one.json", baseline="known.json")).verdict is F
    assert len(list(logs.glob("*/scan.sarif"))) == len(list(logs.glob("*/scan.known.json"))) == KEPT
    assert not (logs / "r-10" / "scan.sarif").exists()
    assert (logs / "r-7" / "scan.sarif").exists()
    assert len(list(logs.glob("*/other.sarif"))) == KEPT + 3


def test_a_file_that_is_too_old_or_not_there(tmp_path: Path) -> None:
    assert reading(tmp_path, sarif()).verdict is P
    os.utime(tmp_path / "report.sarif", (time.time() - 7200,) * 2)
    old = gate(tmp_path, file="report.sarif", max_age="1h").ask(CASE, None)
    assert (old.verdict, "its report is 2h old, more than 1h (`max_age`)" in old.reason) == (U, True)
    finding = reading(
        tmp_path, sarif(invocations=[{"executionSuccessful": True, "endTimeUtc": "2020-01-01T00:00:00Z"}])
    )
    assert (finding.verdict, "old, more than 1d" in finding.reason) == (U, True)
    missing = gate(tmp_path, file="none.sarif").ask(CASE, None)
    assert (missing.verdict, "its report is not there" in missing.reason) == (U, True)


def test_a_file_of_the_artefact(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "report.sarif").write_text(ONE)
    made = Case("r-7", "2", Colour.GREEN, "", artefact=str(tmp_path / "made"))
    assert gate(tmp_path, file="{artefact}/report.sarif").ask(made, None).verdict is F


BLIND: list[tuple[dict[str, Any], str]] = [
    ({"version": "2.1.0", "runs": []}, "has no run: nothing looked"),
    ({"version": "2.0.0", "runs": []}, "is SARIF of version 2.0.0"),
    ({"version": "2.1.0"}, "is no SARIF: it has no `runs`"),
    ({"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "x"}}}]}, "has no `results`: it did not look for any"),
    (
        sarif(invocations=[{"executionSuccessful": False, "exitCodeDescription": "disk full"}]),
        "did not succeed (executionS",
    ),
    (
        sarif(invocations=[{"toolExecutionNotifications": [{"level": "error", "message": {"text": "no database"}}]}]),
        "it could not look: no database",
    ),
    (
        sarif(
            result(),
            invocations=[{"toolConfigurationNotifications": [{"level": "error", "message": {"text": "no x"}}]}],
        ),
        "it could not look: no x",
    ),
    (
        {
            "version": "2.1.0",
            "runs": [
                *sarif()["runs"],
                {"tool": {"driver": {}}, "externalPropertyFileReferences": {"results": [{"location": {"uri": "x"}}]}},
            ],
        },
        "its results are in another file",
    ),
]


@pytest.mark.parametrize(("report", "reason"), BLIND, ids=[reason for _, reason in BLIND])
def test_a_report_that_says_that_nobody_looked(tmp_path: Path, report: dict[str, Any], reason: str) -> None:
    finding = reading(tmp_path, report)
    assert (finding.verdict, reason in finding.reason) == (U, True), finding


def test_a_warning_of_the_scanner_is_told_and_counts_if_asked(tmp_path: Path) -> None:
    report = sarif(invocations=[{"toolExecutionNotifications": [{"message": {"text": "skipped b.py"}}]}])
    assert "(1 warnings of the scanner)" in reading(tmp_path, report).reason
    finding = reading(tmp_path, report, strict=True)
    assert (finding.verdict, "skipped b.py" in finding.reason) == (U, True)


RULES = [
    {"id": "grave", "defaultConfiguration": {"level": "error"}},
    {"id": "quiet", "defaultConfiguration": {"level": "note"}},
    {"id": "scored", "properties": {"security-severity": "9.8"}, "defaultConfiguration": {"level": "note"}},
    {"id": "medium", "properties": {"security-severity": "5.0"}, "defaultConfiguration": {"level": "none"}},
    {"id": "plain"},
    {"id": "odd", "properties": {"security-severity": "NaN"}},
]
LEVELS: list[tuple[dict[str, Any], Level | None]] = [
    (result("grave"), Level.ERROR),
    (result("grave/sub"), Level.ERROR),
    (result("quiet"), Level.NOTE),
    (result("scored"), Level.ERROR),
    (result("medium"), Level.WARNING),
    (result("plain"), Level.WARNING),
    (result("odd"), Level.WARNING),
    (result("unheard-of"), Level.WARNING),
    (result("grave", level="note"), Level.NOTE),
    (result("plain", level="none"), Level.NONE),
    (result("x", ruleIndex=0), Level.ERROR),
    ({**result(), "ruleId": None, "rule": {"index": 1}}, Level.NOTE),
    (result("plain", kind="pass"), None),
    (result("plain", kind="notApplicable"), None),
    (result("grave", kind="review"), Level.NOTE),
    (result("grave", baselineState="absent"), None),
    (result("mine", rule={"toolComponent": {"index": 0}, "index": 0}), Level.ERROR),
]


@pytest.mark.parametrize(("entry", "level"), LEVELS, ids=[str(i) for i in range(len(LEVELS))])
def test_levels(entry: dict[str, Any], level: Level | None) -> None:
    report = sarif(entry, rules=RULES)
    extension = {"name": "more", "rules": [{"id": "mine", "defaultConfiguration": {"level": "error"}}]}
    report["runs"][0]["tool"]["extensions"] = [extension]
    assert [found.level for found in of_sarif(report, Path("/srv")).found] == ([] if level is None else [level])


@pytest.mark.parametrize(
    ("suppressions", "suppressed"),
    [
        ([], False),
        ([{"kind": "inSource"}], True),
        ([{"kind": "external", "status": "accepted"}], True),
        ([{"kind": "external", "status": "underReview"}], False),
        ([{"kind": "inSource"}, {"kind": "external", "status": "rejected"}], False),
    ],
)
def test_suppressions(tmp_path: Path, suppressions: list[Any], suppressed: bool) -> None:
    finding = reading(tmp_path, sarif(result(suppressions=suppressions)))
    assert finding.verdict is (P if suppressed else F)
    assert ("(1 suppressed in the source)" in finding.reason) is suppressed


@pytest.mark.parametrize(
    ("artefact", "more", "shown"),
    [
        ({"uri": "src/a%20b.py"}, {}, "src/a b.py"),
        ({"uri": "./src/../a.py"}, {}, "a.py"),
        ({"uri": "file:///srv/shop/src/a.py"}, {}, "src/a.py"),
        ({"uri": "file:///elsewhere/a.py"}, {}, "/elsewhere/a.py"),
        (
            {"uri": "a.py", "uriBaseId": "ROOT"},
            {"originalUriBaseIds": {"ROOT": {"uri": "file:///srv/shop/src/"}}},
            "src/a.py",
        ),
        ({"uri": "a.py", "uriBaseId": "%SRCROOT%"}, {}, "a.py"),
        ({"index": 0}, {"artifacts": [{"location": {"uri": "b.py"}}]}, "b.py"),
        ({"uri": "https://me:pass@shop.example/x?token=abc#y"}, {}, "https://shop.example/x?…"),
    ],
)
def test_files(artefact: dict[str, Any], more: dict[str, Any], shown: str) -> None:
    entry = result()
    entry["locations"][0]["physicalLocation"]["artifactLocation"] = artefact
    assert of_sarif(sarif(entry, **more), Path("/srv/shop")).found[0].file == shown


def test_many_findings_are_counted_and_the_worst_come_first(tmp_path: Path) -> None:
    many = [result(f"r{i}", line=i + 1) for i in range(LISTED + 11)] + [result("worst", line=9, level="error")]
    finding = reading(tmp_path, sarif(*many))
    assert finding.reason.startswith(f"{LISTED + 12} findings: error a.py:9 worst: it is wrong; warning a.py:1 r0")
    assert f"; and {LISTED + 9} more (all of it in" in finding.reason
    assert (len(finding.evidence), finding.evidence[-1]) == (LISTED + 1, "and 12 more")


def test_a_message_by_its_id_with_arguments() -> None:
    rules = [{"id": "r1", "messageStrings": {"m": {"text": "{0} calls {1}"}}}]
    entry = {**result(), "message": {"id": "m", "arguments": ["a", "b"]}}
    assert of_sarif(sarif(entry, rules=rules), Path("/srv")).found[0].message == "a calls b"


# --- secrets


@settings(max_examples=100, deadline=None)
@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="'\"`"), min_size=3, max_size=40),
    st.sampled_from(["'{}'", '"{}"', "`{}`"]),
)
def test_what_a_message_quotes_from_the_source_is_not_shown(secret: str, quotes: str) -> None:
    message = f"possible password: {quotes.format(secret)}."
    assert hidden(message, [f'password = "{secret}"']) == f"possible password: {quotes.format('…')}."


@pytest.mark.parametrize(
    ("message", "source", "shown"),
    [
        ("found hunter2hunter2 here", "x = 'hunter2hunter2'", "found … here"),
        ("key AKIAQ3EGRIPT5WNC7M2D", "AKIAQ3EGRIPT5WNC7M2D", "key …"),
        ("the password letmeinplease is weak", 'login("me", "letmeinplease")', "the password … is weak"),
        ("'k' is 'swordfish'", "{'k': 'swordfish'}", "'k' is '…'"),
        ("use of 'eval' detected", "", "use of 'eval' detected"),
        ("eval runs what it is given", "    eval(x)", "eval runs what it is given"),
        ("two\nlines\x1b[31m", "", "two; lines [31m"),
    ],
)
def test_messages(message: str, source: str, shown: str) -> None:
    assert hidden(message, [source] if source else []) == shown


def test_a_value_of_the_vault_is_never_shown(tmp_path: Path) -> None:
    finding = reading(tmp_path, sarif(result(text="it holds s3cret-value")))
    assert "${TOKEN}" in finding.reason
    assert "s3cret" not in repr(finding)


# --- what is known


def test_a_baseline_is_proposed_and_when_taken_over_it_holds(tmp_path: Path) -> None:
    """Moved, it is the same finding; a second one like it is new."""
    snippet = {"region": {"snippet": {"text": "    eval(x)"}}}
    report = sarif(result(line=3, **copy.deepcopy(snippet)), result("r2", line=9))
    first = reading(tmp_path, report, baseline="security/known.json")
    assert first.verdict is F
    command = first.reason.partition("to accept them: ")[2].rstrip(")").split()
    assert (command[0], command[2]) == ("cp", "security/known.json")
    (tmp_path / "security").mkdir()
    shutil.copy(command[1], tmp_path / command[2])
    again = reading(tmp_path, report, baseline="security/known.json")
    assert (again.verdict, "(2 known)" in again.reason) == (P, True)
    moved = sarif(result(line=30, region={"snippet": {"text": "eval(x)\n"}}))
    found = reading(tmp_path, moved, baseline="security/known.json")
    assert (found.verdict, "(1 known, 1 known but found no more)" in found.reason) == (P, True)
    twice = sarif(result(line=3, **copy.deepcopy(snippet)), result(line=4, **copy.deepcopy(snippet)))
    found = reading(tmp_path, twice, baseline="security/known.json")
    assert (found.verdict, found.reason.startswith("1 finding (1 known, 1 known but")) == (F, True)


def test_reasons_in_a_baseline_stay_when_it_is_renewed(tmp_path: Path) -> None:
    report = sarif(result())
    proposal = reading(tmp_path, report, baseline="known.json").reason.partition("cp ")[2].split()[0]
    known = json.loads(Path(proposal).read_text())
    known["known"][0]["why"] = "a false alarm"
    (tmp_path / "known.json").write_text(json.dumps(known))
    reading(tmp_path, sarif(result(), result("r2")), baseline="known.json")
    assert [entry["why"] for entry in json.loads(Path(proposal).read_text())["known"]] == ["a false alarm", ""]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "the baseline known.json is no JSON"),
        ("{}", "is no baseline of Greenroom"),
        ('{"version": 1, "known": [{"key": "x"}]}', "has an entry without `key` and `count`"),
    ],
)
def test_a_baseline_that_is_none_is_no_excuse(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "known.json").write_text(text)
    finding = reading(tmp_path, sarif(), baseline="known.json")
    assert (finding.verdict, reason in finding.reason) == (U, True)


def test_fingerprints_that_tell_nothing_apart_are_not_used() -> None:
    """Semgrep's are all alike, and gitleaks' are the commit's."""
    for preset in (
        "semgrep-findings",
        "gitleaks-findings",
        "gitleaks-history-findings",
        "bandit-findings",
        "trivy-findings",
    ):
        found = of_sarif(recording(preset)["report"], Path("/srv/shop")).found
        assert len({each.key for each in found}) == len(found) >= 2


def test_a_scanners_own_fingerprint_is_used() -> None:
    prints = {"fingerprints": {"a/v1": "0123456789abcdef0123"}}
    here, there = (of_sarif(sarif(result(line=n, **prints)), Path("/srv")).found[0].key for n in (1, 2))
    other = of_sarif(sarif(result(fingerprints={"a/v1": "f" * 20})), Path("/srv")).found[0].key
    assert here == there != other


# --- settings

WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "needs `run:`, `file:` or `preset:`, one of the three"),
    ({"run": "x", "file": "y"}, "not `run` and `file`"),
    ({"file": "x", "finding_exits": [1]}, "`finding_exits` belongs to `run`"),
    ({"run": "x", "finding_exits": [0]}, "0 cannot mean that it found something"),
    ({"run": "x", "finding_exits": [127]}, "127 cannot mean"),
    ({"run": "x", "paths": ["."]}, "belong to `preset`"),
    ({"preset": "gitleaks", "paths": ["a", "b"]}, "looks at one path only, and would leave the others out"),
    ({"preset": "gitleaks", "fail_on": "error"}, "with `fail_on: error` none would ever fail"),
    ({"preset": "gitleaks", "paths": ["--help"]}, "is an option to the scanner"),
    ({"preset": "semgrep"}, "semgrep needs `rules`"),
    ({"preset": "bandit", "rules": ["x"]}, "`rules` belongs to the preset semgrep"),
    ({"preset": "detect-secrets", "format": "sarif"}, "leave `format` out"),
    ({"preset": "grype"}, "'trivy'"),
    ({"run": "x", "fail_on": "high"}, "'error', 'warning', 'note' or 'none'"),
    ({"run": "x", "env": {"A-B": "c"}}, "is no name of a variable"),
    ({"run": "x", "timeout": 30}, "has no unit"),
]


@pytest.mark.parametrize(("values", "problem"), WRONG, ids=[problem for _, problem in WRONG])
def test_what_makes_no_sense_is_refused(values: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError) as error:
        SarifSettings.model_validate(values)
    assert problem in str(error.value)


def test_a_report_of_another_kind_is_not_read_as_detect_secrets(tmp_path: Path) -> None:
    finding = reading(tmp_path, sarif(), format="detect-secrets")
    assert (finding.verdict, "is no report of detect-secrets" in finding.reason) == (U, True)
    nothing = {"version": "1.5.0", "plugins_used": [], "results": {}}
    assert "told to look for nothing" in reading(tmp_path, nothing, format="detect-secrets").reason


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_mangled_report_is_read_or_refused_and_never_a_crash(data: st.DataObject) -> None:
    """One value anywhere in a real report becomes something else."""
    report = recording(data.draw(st.sampled_from(["semgrep-findings", "bandit-findings", "trivy-findings"])))["report"]
    paths = list(_paths(report))
    *way, last = data.draw(st.sampled_from(paths))
    target = report
    for step in way:
        target = target[step]
    target[last] = data.draw(st.sampled_from([None, 7, -1, "x", "", [], {}, [None], [7], {"a": 1}, True, 1e400]))
    try:
        found = of_sarif(report, Path("/srv/shop")).found
    except Unreadable:
        return
    assert all(len(each.text) < 1000 and each.text.isprintable() for each in found)


def _paths(value: Any, above: tuple[Any, ...] = ()) -> Any:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in items:
        yield (*above, key)
        yield from _paths(below, (*above, key))
