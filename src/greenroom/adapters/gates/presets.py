"""Scanners with the options that make them honest. Each was measured: how it says that it found something, and how it
fails to say that it did not look. `docs/guides/gates.md` has the list.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from greenroom.adapters.gates.results import mapping, one_line

FOUND = 42
"""The exit code that is asked for where the usual one, 1, also means that the scanner failed."""
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}|\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_REPORT = '"$GREENROOM_REPORT"'


@dataclass(frozen=True, slots=True)
class Ran:
    """What a scanner left behind: its log, its report, and a second one beside it, where it writes one."""

    log: str
    report: Any
    beside: Any
    paths: Sequence[str]


@dataclass(frozen=True, slots=True)
class Preset:
    """`blind`: why it did not look although it says nothing of it; "" if it did. `most`: paths that it takes."""

    command: Callable[[str, str], str]
    """Of its arguments and its paths, quoted for the shell."""
    found: tuple[int, ...]
    blind: Callable[[Ran], str] | None
    paths: tuple[str, ...] = (".",)
    most: int = 100
    files: bool = True
    """Its paths are files and folders, which must be there."""
    format: str = "sarif"
    weak: bool = False
    """It gives every finding the level `warning`."""


def word(text: str) -> str:
    """Quoted for the shell; `{name}` and `${NAME}` are left for the shell to fill in from the environment."""
    parts: list[str] = []
    at = 0
    for match in _PLACEHOLDER.finditer(text):
        parts.append(shlex.quote(text[at : match.start()]) if match.start() > at else "")
        parts.append(f'"${{GREENROOM_{match[1].upper()}}}"' if match[1] else f'"{match[0]}"')
        at = match.end()
    return "".join(parts) + (shlex.quote(text[at:]) if at < len(text) or not parts else "")


def nothing_there(path: str, base: Path) -> str:
    """Why a scanner of files has nothing to look at there; "" if there is at least one file."""
    there = base / path
    if not there.exists():
        return f"there is no {path} to look at"
    if there.is_dir() and not any(files for _, _, files in os.walk(there)):
        return f"{path} has no file to look at"
    return ""


# --- gitleaks: exits with 0 where git fails, with 1 for leaks and for errors alike


def _gitleaks(kind: str) -> Callable[[str, str], str]:
    options = f"--no-banner --no-color --redact --exit-code {FOUND} --report-format sarif --report-path {_REPORT}"
    return lambda args, paths: f"gitleaks {kind} {options} {args} {paths} >/dev/null"


def _history(args: str, paths: str) -> str:
    """A shallow clone, as CI makes it, has no history to look at."""
    shallow = f'test "$(git -C {paths} rev-parse --is-shallow-repository)" = false'
    hint = "the repository is a shallow clone, or none: its history is not there to be looked at"
    return f"{shallow} || {{ echo {shlex.quote(hint)} >&2; exit 3; }}\n{_gitleaks('git')(args, paths)}"


def _gitleaks_blind(ran: Ran) -> str:
    lines = [line.partition(" ")[2] for line in ran.log.splitlines()]
    bad = [line for line in lines if line.startswith(("ERR ", "FTL ")) or "permission denied" in line]
    if bad:
        return f"gitleaks says: {one_line(bad[0][4:], 200)}"
    if any(re.match(r"INF (0 commits scanned|scanned ~0 bytes)", line) for line in lines):
        return "gitleaks looked at nothing (0 bytes)"
    return ""


# --- semgrep: zero files scanned is a success


def _semgrep(args: str, paths: str) -> str:
    options = "--metrics=off --disable-version-check --quiet --error"
    return (
        f"semgrep scan {options} --sarif-output={_REPORT} "
        f'--json-output="$GREENROOM_REPORT.beside" {args} {paths} >/dev/null'
    )


def _semgrep_blind(ran: Ran) -> str:
    scanned = mapping(mapping(ran.beside).get("paths")).get("scanned")
    if not isinstance(scanned, list):
        return "semgrep does not say which files it looked at"
    return "" if scanned else "semgrep looked at no file: there is none in a language of the rules, or git ignores them"


# --- bandit: a path that is not there is a success


def _bandit(args: str, paths: str) -> str:
    return f"bandit --quiet --recursive --format sarif --output {_REPORT} {args} {paths} >/dev/null"


def _bandit_blind(ran: Ran) -> str:
    runs = mapping(ran.report).get("runs")
    first = mapping(runs[0]) if isinstance(runs, list) and runs else {}
    totals = mapping(mapping(mapping(first.get("properties")).get("metrics")).get("_totals"))
    return "bandit looked at no line of Python" if totals.get("loc") == 0 and not first.get("results") else ""


# --- detect-secrets: says what it looked at only in its log; without `-n` it tries the secrets at their owners


def _detect_secrets(args: str, paths: str) -> str:
    return f"detect-secrets -v scan --no-verify {args} {paths} >{_REPORT}"


def _detect_secrets_blind(ran: Ran) -> str:
    looked = [line.partition("Checking file: ")[2] for line in ran.log.splitlines() if "Checking file: " in line]
    names = [os.path.normpath(name) for name in looked]
    for path in ran.paths:
        below = os.path.normpath(path)
        if not any(below == "." or name == below or name.startswith(below + os.sep) for name in names):
            hint = (
                "write `args: [--all-files]` where git does not know them, and name only paths below the file's folder"
            )
            return f"detect-secrets looked at no file of {path} ({hint})"
    return ""


# --- trivy: exits with 0 for findings and for lock files that it does not know


def _trivy(kind: str) -> Callable[[str, str], str]:
    options = f"--format sarif --output {_REPORT} --exit-code {FOUND} --no-progress"
    return lambda args, paths: f"trivy {kind} {options} {args} {paths} >/dev/null"


def _trivy_blind(ran: Ran) -> str:
    log = ran.log
    failed = re.search(r"^\S+\s+(?:ERROR|FATAL)\s+(.*)$", log, re.MULTILINE)
    if failed:
        return f"trivy says: {one_line(failed[1], 200)}"
    counts = {kind: re.search(rf"{kind}\D+(\d+)", log) for kind in ("language-specific files", "Detected config files")}
    none = {kind for kind, count in counts.items() if count and int(count[1]) == 0}
    if "[vuln]" in log and "language-specific files" in none and "Detected OS" not in log:
        return "trivy found nothing whose vulnerabilities it knows: no operating system and no lock file"
    if "[misconfig]" in log and "Detected config files" in none and "[vuln]" not in log and "[secret]" not in log:
        return "trivy found no configuration file that it knows"
    return ""


# --- ZAP: no result for a site that was never reached


def _zap(args: str, paths: str) -> str:
    """A passive scan by a plan of its own, in which a spider that saw no page is an error."""
    plan = """env:
  contexts: [{name: greenroom, urls: ["$GREENROOM_TARGET"]}]
  parameters: {failOnError: true, progressToStdout: true}
jobs:
  - type: spider
    parameters: {maxDuration: 5}
    tests:
      - {name: pages, type: stats, statistic: automation.spider.urls.added, operator: ">=", value: 1, onFail: error}
  - {type: passiveScan-wait, parameters: {maxDuration: 5}}
  - type: report
    parameters: {template: sarif-json, reportDir: "$GREENROOM_FOLDER", reportFile: zap.json}
"""
    return (
        f'GREENROOM_TARGET={paths}\nGREENROOM_FOLDER="$GREENROOM_REPORT.zap"\nrm -rf "$GREENROOM_FOLDER"\n'
        f'mkdir "$GREENROOM_FOLDER" || exit 3\ncat >"$GREENROOM_FOLDER/plan.yaml" <<PLAN\n{plan}PLAN\n'
        f'zap.sh -cmd -silent -autorun "$GREENROOM_FOLDER/plan.yaml" {args}\ncode=$?\n'
        f'mv -f "$GREENROOM_FOLDER/zap.json" {_REPORT}\nrm -rf "$GREENROOM_FOLDER"\nexit $code'
    )


PRESETS: Mapping[str, Preset] = {
    "bandit": Preset(_bandit, (1,), _bandit_blind),
    "detect-secrets": Preset(_detect_secrets, (), _detect_secrets_blind, format="detect-secrets"),
    "gitleaks": Preset(_gitleaks("dir"), (FOUND,), _gitleaks_blind, most=1, weak=True),
    "gitleaks-history": Preset(_history, (FOUND,), _gitleaks_blind, most=1, weak=True),
    "semgrep": Preset(_semgrep, (1,), _semgrep_blind),
    "trivy": Preset(_trivy("fs"), (FOUND,), _trivy_blind, most=1),
    "trivy-image": Preset(_trivy("image"), (FOUND,), _trivy_blind, ("{artefact}",), most=1, files=False),
    "zap": Preset(_zap, (), None, ("{live_url}",), most=1, files=False),
}
