"""The reference of the command line: verbs, options and exit codes as they are."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

from greenroom import errors
from greenroom.domain.status import EXIT
from tests.docs.pages import ROOT

CLI = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
VERBS = (
    "init plan deploy status promote pause resume abort rollback reconcile unlock "
    "history show logs retire down doctor demo"
)


def test_the_verbs_in_the_docs_are_current() -> None:
    script = ROOT / "scripts" / "reference_cli.py"
    assert subprocess.run([sys.executable, script, "--check"], cwd=ROOT, check=False).returncode == 0, "run `make docs`"


def test_every_promised_verb_is_there() -> None:
    assert set(VERBS.split()) <= set(re.findall(r"^### (\w+)$", CLI, re.MULTILINE))


def test_every_verb_takes_file_and_json() -> None:
    sections = dict(re.findall(r"^### (\w+)\n(.*?)(?=^### |\Z)", CLI, re.MULTILINE | re.DOTALL))
    lacking = [name for name in VERBS.split() if "--json" not in sections[name] or "--file" not in sections[name]]
    assert set(lacking) <= {"init", "demo"}


def error_classes(root: type[errors.GreenroomError] = errors.GreenroomError) -> Iterator[type[errors.GreenroomError]]:
    yield root
    for below in root.__subclasses__():
        yield from error_classes(below)


def test_every_exit_code_is_documented() -> None:
    documented = {int(number) for number in re.findall(r"^\| (\d) \|", CLI, re.MULTILINE)}
    used = {error.exit_code for error in error_classes()} | set(EXIT.values())
    assert used <= documented
