"""Every rule: its examples, its words, its page."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from greenroom.adapters.database.judging import RULES, Rule
from greenroom.adapters.database.judging.rules import rehearsed
from greenroom.domain.schema import Ruling
from tests.database.examples import judged

ROOT = Path(__file__).parents[2]
BY_REHEARSAL = {rule.id for rule in rehearsed.RULES} | {"server-refuses"}
"""Only what a server did tells: tests/database/test_shadow.py."""
READ = [rule for rule in RULES.values() if rule.id not in BY_REHEARSAL]


@pytest.mark.parametrize("rule", READ, ids=lambda rule: rule.id)
def test_the_example_is_ruled_as_the_page_says(rule: Rule) -> None:
    found = [ruled for ruled in judged(rule.refused) if ruled.rule == rule.id]
    assert found
    assert found[0].ruling is rule.ruling
    assert found[0].instead


@pytest.mark.parametrize("rule", READ, ids=lambda rule: rule.id)
def test_the_other_example_may_run(rule: Rule) -> None:
    found = judged(rule.allowed)
    assert rule.id not in {ruled.rule for ruled in found}
    assert Ruling.REFUSE not in {ruled.ruling for ruled in found}


@pytest.mark.parametrize("rule", READ, ids=lambda rule: rule.id)
def test_what_is_said_is_whole(rule: Rule) -> None:
    """Every name of the templates is filled, or nothing is known of it; sentences begin and end."""
    for ruled in (found for found in judged(rule.refused) if found.rule):
        text = ruled.reason + ruled.instead
        assert "{" not in text.replace("{}", "")
        assert ruled.reason[0] == ruled.reason[0].upper()
        assert ruled.reason.endswith((".", "!", "?"))


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.id)
def test_names_are_plain(rule: Rule) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", rule.id)
    assert not rule.title.endswith(".")


def test_the_page_is_current() -> None:
    script = ROOT / "scripts" / "migration_rules.py"
    assert subprocess.run([sys.executable, script, "--check"], cwd=ROOT, check=False).returncode == 0
