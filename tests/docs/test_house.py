"""The house's own rules: sizes, words, and what is promised in pyproject.toml exists."""

from __future__ import annotations

import ast
import importlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
LONGEST_MODULE, LONGEST_FUNCTION = 299, 39

WRITTEN = ("*.py", "*.md", "*.sh", "*.toml", "*.yaml", "*.yml", "*.txt")
FOLDERS = ("src", "tests", "scripts", "bench", "examples", "docs", "changes")
FORBIDDEN = {
    r"\b(TODO|FIXME|XXX|HACK)\b": "finish it, or say in docs/ what is missing",
    r"(?<![\w.:/~$}-])/(root|home/\w+|work|opt/\w+)/": "a path of somebody's machine",
    r"\b(unittest\.mock|mock\.patch)\b|from unittest import mock": "fake, never patch",
    r"monkeypatch\.setattr\(\s*[\"']?greenroom": "fake, never patch: a constructor argument is missing",
    r"\b(blacklist|whitelist|canary)\b": "not a word of the glossary",
}
EXEMPT = {Path(__file__), ROOT / "docs" / "reference" / "benchmarks.md"}


def excuses() -> dict[str, str]:
    lines = (ROOT / "tests" / "docs" / "excuses.txt").read_text().splitlines()
    pairs = (line.split("|", 1) for line in lines if line.strip() and not line.startswith("#"))
    return {name.strip(): why.strip() for name, why in pairs}


def functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, int]]:
    """Every function with its lines of body, the docstring not counted."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from functions(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            documented = ast.get_docstring(node) is not None
            docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
            yield f"{prefix}{node.name}", (node.end_lineno or 0) - node.lineno + 1 - docstring
            yield from functions(node, f"{prefix}{node.name}.")


def too_long(of_the_limit: float = 1.0) -> dict[str, int]:
    found: dict[str, int] = {}
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        name = path.relative_to(ROOT).as_posix()
        if text.count("\n") > LONGEST_MODULE * of_the_limit:
            found[name] = text.count("\n")
        found |= {f"{name}::{f}": n for f, n in functions(ast.parse(text)) if n > LONGEST_FUNCTION * of_the_limit}
    return found


def test_modules_and_functions_are_short_or_excused() -> None:
    unexcused = {name: lines for name, lines in too_long().items() if name not in excuses()}
    assert not unexcused, f"shorten them, or give the reason in tests/docs/excuses.txt: {unexcused}"


def test_no_excuse_outlives_its_need() -> None:
    assert set(excuses()) <= set(too_long(of_the_limit=0.8))


def written_files() -> Iterator[Path]:
    yield from (ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile", "pyproject.toml"))
    for folder in FOLDERS:
        for pattern in WRITTEN:
            yield from (path for path in (ROOT / folder).rglob(pattern) if path not in EXEMPT)


def test_no_forbidden_words() -> None:
    found = []
    for path in written_files():
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            found += [
                f"{path.relative_to(ROOT)}:{number}: {match.group(0)!r}: {why}"
                for pattern, why in FORBIDDEN.items()
                if (match := re.search(pattern, line))
            ]
    assert not found, "\n".join(found)


def entry_points() -> list[tuple[str, str, str]]:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    return [(group, name, target) for group, names in groups.items() for name, target in names.items()]


@pytest.mark.parametrize(("group", "name", "target"), entry_points(), ids=lambda value: str(value))
def test_every_entry_point_leads_to_an_adapter(group: str, name: str, target: str) -> None:
    module, _, attribute = target.partition(":")
    adapter = getattr(importlib.import_module(module), attribute)
    assert adapter.__doc__ or importlib.import_module(module).__doc__, f"{target} promises nothing"
    if group != "greenroom.journals":
        assert hasattr(adapter, "Settings") or hasattr(adapter, "WatchSettings"), f"{target} has no Settings"


def test_the_version_is_in_the_changelog_and_in_the_package() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()
    package = importlib.import_module("greenroom")
    assert getattr(package, "__version__", version) == version


def test_locks_name_no_place() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        assert not re.search(r"://|--(index|extra-index|find-links|trusted)", lock.read_text()), lock.name
