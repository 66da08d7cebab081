"""Adapters by name: everybody's come the same way, and what is wrong with one is said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from greenroom import plugins
from greenroom.adapters.checks.http import HttpCheck
from greenroom.errors import UsageError


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages that is seen in this test only."""
    monkeypatch.syspath_prepend(str(tmp_path))
    plugins.forget()
    yield tmp_path
    plugins.forget()


def install(folder: Path, package: str, code: str, entry: str) -> None:
    (folder / f"{package}.py").write_text(code)
    about = folder / f"{package}-2.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 2.0\n")
    (about / "entry_points.txt").write_text(f"[greenroom.checks]\n{entry} = {package}:Check\n")
    plugins.forget()


def test_the_built_in_ones_come_through_entry_points() -> None:
    assert plugins.find("check", "http") is HttpCheck
    for kind in plugins.GROUPS:
        for name in plugins.known(kind):
            assert isinstance(plugins.find(kind, name), type)


def test_somebody_elses_is_found(packages: Path) -> None:
    install(packages, "strangers_one", "class Check: Settings = None", "strange")
    assert plugins.find("check", "strange").__module__ == "strangers_one"
    assert {"command", "http", "strange"} <= set(plugins.known("check"))


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import no_such_thing", "No module named 'no_such_thing'; is `no_such_thing` installed?"),
        ("1 / 0", "cannot be imported: ZeroDivisionError: division by zero"),
        ("Check = 5", "is no class: strangers_two:Check"),
        ("", "has no attribute 'Check'"),
    ],
)
def test_one_that_is_broken_is_named_with_its_package(packages: Path, code: str, said: str) -> None:
    install(packages, "strangers_two", code, "strange")
    try:
        with pytest.raises(UsageError) as caught:
            plugins.find("check", "strange")
    finally:
        __import__("sys").modules.pop("strangers_two", None)
    assert "the check `strange` of strangers_two 2.0" in caught.value.message
    assert said in caught.value.message


def test_two_of_one_name_are_refused(packages: Path) -> None:
    install(packages, "strangers_three", "class Check: ...", "http")
    with pytest.raises(UsageError, match=r"two packages offer the check `http`: greenroom .* and strangers_three 2.0"):
        plugins.find("check", "http")


def test_an_unknown_name_gets_the_closest_and_all() -> None:
    with pytest.raises(
        UsageError,
        match=r"no check `comand`; did you mean `command`\? Known: alarm, cache, command, compare, dns, http, load, ",
    ):
        plugins.find("check", "comand")
