"""Prints the verbs of docs/reference/cli.md from the command line's own definitions.

python scripts/reference_cli.py            writes them between the markers
python scripts/reference_cli.py --check    exits 1 if they are not current
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from greenroom.cli import app as cli

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "cli.md"
BEGIN, END = "<!-- verbs: begin (made by scripts/reference_cli.py) -->", "<!-- verbs: end -->"


def group() -> click.Group:
    """The command line itself, under whatever name it stands in its module."""
    return next(value for value in vars(cli).values() if isinstance(value, click.Group))


def verb(name: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=f"greenroom {name}")
    usage = " ".join(["greenroom", name, *command.collect_usage_pieces(context)])
    yield from (f"### {name}", "", "```", usage, "```", "")
    yield from (*paragraphs(command.help or ""), "")
    records = [p.get_help_record(context) for p in command.params if isinstance(p, click.Option) and not p.hidden]
    rows = [(option, text) for record in records if record for option, text in [record]]
    if rows:
        yield from ("| option | |", "|---|---|")
        yield from (f"| `{option.replace('|', '/')}` | {' '.join(text.split())} |" for option, text in rows)
        yield ""
    if isinstance(command, click.Group):
        for below in sorted(command.commands):
            yield from verb(f"{name} {below}", command.commands[below])


def paragraphs(text: str) -> Iterator[str]:
    """The help as people read it; `\\b` keeps the lines of a paragraph, which Markdown wants as a block."""
    for index, paragraph in enumerate(text.strip().split("\n\n")):
        if index:
            yield ""
        if paragraph.startswith("\b\n"):
            yield from ("```", *paragraph[2:].splitlines(), "```")
        else:
            yield " ".join(paragraph.split())


def verbs() -> str:
    whole = group()
    names = whole.list_commands(click.Context(whole))
    lines: list[str] = []
    for name in names:
        command = whole.get_command(click.Context(whole), name)
        if command is not None and not command.hidden:
            lines += verb(name, command)
    return "\n".join(lines).strip()


def page_with_verbs(text: str) -> str:
    """The page with its generated part made anew."""
    before, _, rest = text.partition(BEGIN)
    _, marker, after = rest.partition(END)
    if not marker:
        raise SystemExit(f"{PAGE.name} has lost its markers: {BEGIN} … {END}")
    return f"{before}{BEGIN}\n{verbs()}\n{END}{after}"


def main() -> int:
    text = PAGE.read_text(encoding="utf-8")
    wanted = page_with_verbs(text)
    if "--check" in sys.argv:
        return int(text != wanted)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
