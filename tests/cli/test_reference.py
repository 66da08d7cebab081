"""The reference agrees with the code: every verb, option, field; and nothing that is not there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click
import pytest

from greenroom.cli.app import cli
from greenroom.cli.frame import NOT_BUILT
from tests.cli.office import Office

DOCS = Path(__file__).parents[2] / "docs" / "reference"
COMMON = {"--file", "-f", "--json", "--help", "-h"}


def sections(name: str, level: str) -> dict[str, str]:
    """Text by heading, of the headings of a level; a section ends where one of its level or above begins."""
    found: dict[str, str] = {}
    heading = ""
    for line in (DOCS / name).read_text().splitlines():
        if re.match(rf"#{{1,{len(level)}}} ", line):
            heading = line.removeprefix(level).strip() if line.startswith(f"{level} ") else ""
        elif heading:
            found[heading] = found.get(heading, "") + line + "\n"
    return found


def verbs(group: click.Group = cli, before: str = "") -> dict[str, click.Command]:
    """By what a person types, those of groups too."""
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found |= verbs(command, f"{before}{name} ")
        else:
            found[before + name] = command
    return found


TYPED = verbs()
VERBS = {
    next(name for name in sorted(TYPED, key=len, reverse=True) if title.strip("`").startswith(name)): (title, text)
    for title, text in sections("cli.md", "###").items()
}


def test_every_verb_is_described_in_order() -> None:
    assert list(VERBS) == list(TYPED)


@pytest.mark.parametrize("verb", list(TYPED))
def test_every_option_of_a_verb_is_described_and_no_other(verb: str) -> None:
    title, text = VERBS[verb]
    parameters = TYPED[verb].params
    options = {name for p in parameters if isinstance(p, click.Option) for name in p.opts} - COMMON
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)) - COMMON == options
    arguments = [p for p in parameters if isinstance(p, click.Argument)]
    assert len(title.strip("`").split()) - len(verb.split()) == len(arguments)
    for parameter in parameters:
        if isinstance(parameter, click.Option) and parameter.opts[0] not in COMMON:
            assert parameter.help


def test_what_is_not_built_is_said() -> None:
    text = sections("cli.md", "##")["Not built yet"]
    assert set(re.findall(r"`(\w+)`", text)) == set(NOT_BUILT)


def test_the_exit_codes_are_described() -> None:
    codes = re.findall(r"^\| ([\d, ]+) \|", sections("cli.md", "##")["Exit codes"], re.MULTILINE)
    assert codes == [*map(str, range(9)), "130, 143"]


def fields(text: str) -> set[str]:
    return set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))


def mentioned(section: str, field: str) -> set[str]:
    line = next(line for line in section.splitlines() if line.startswith(f"| `{field}` |"))
    return set(re.findall(r"`(\w+)`", line)) - {field}


def agree(document: dict[str, Any], text: str) -> None:
    assert set(document) == fields(text)


def test_every_field_of_every_document_is_described(office: Office) -> None:
    top, below = sections("documents.md", "##"), sections("documents.md", "###")
    office.type("deploy", "1")
    steering = json.loads(office.type("deploy", "2", "--json").out)
    agree(steering, top["Steering verbs"])
    agree(steering["release"], below["A release"])
    status = json.loads(office.type("status", "--json").out)
    agree(status, top["`status`"].split("###")[0])
    agree(status["idle"], below["An environment"])
    assert set(status["idle"]["members"][0]) <= mentioned(below["An environment"], "members")
    assert set(status["active"]) == mentioned(top["`status`"], "active")
    assert set(status["warm"]) <= mentioned(top["`status`"], "warm") | set(status["active"])
    agree(json.loads(office.type("plan", "3", "--json").out), top["`plan`"])
    agree(json.loads(office.type("history", "--json").out), top["`history`"])
    shown = json.loads(office.type("show", "--json").out)
    agree(shown, top["`show`"])
    assert set(shown["entries"][0]) <= mentioned(top["`show`"], "entries")
    (office.state / "logs" / "green").mkdir(parents=True)
    (office.state / "logs" / "green" / "web-1.log").write_text("hello\n")
    logs = json.loads(office.type("logs", "--json").out)
    agree(logs, top["`logs`"])
    assert set(logs["logs"][0]) == mentioned(top["`logs`"], "logs")
    doctor = json.loads(office.type("doctor", "--json").out)
    agree(doctor, top["`doctor`"])
    assert set(doctor["checks"][0]) <= mentioned(top["`doctor`"], "checks")
    agree(json.loads(office.type("completion", "bash", "--json").out), top["`completion`"])


def test_an_unfinished_release_shows_its_lock_without_an_engine(office: Office) -> None:
    office.type("deploy", "1", "--detach")
    office.sleep(0.1)
    office.awake = False
    status = json.loads(office.type("status", "--json").out)
    assert status["engine"] is None
    assert set(status["lock"]) <= mentioned(sections("documents.md", "##")["`status`"], "lock")
    assert "lock      r-0001 by ann@shop" in office.type("status").out


def test_the_document_of_init_is_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from greenroom.cli.app import run

    assert run(["init", "--json", "--file", str(tmp_path / "greenroom.yaml")]) == 0
    agree(json.loads(capsys.readouterr().out), sections("documents.md", "##")["`init`"])
