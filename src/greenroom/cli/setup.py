"""init, completion, demo: what one does once."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from greenroom.cli.context import Context
from greenroom.errors import Refused, UsageError

if TYPE_CHECKING:
    from greenroom.config.starter import Found

_KNOWN = {
    "nginx": "where your users come in (`router.url`) and where nginx sends them now (`router.before`)",
    "haproxy": "where your users come in (`router.listen`, or `router.url` with a frontend of your own)",
}
_AGAIN = (
    "Read {file}, and say in it what runs and {known}. Then give this command again: it writes what your proxy is to "
    "include, and says which lines to add to your own files."
)
WORKFLOWS = {"github": Path(".github") / "workflows" / "release.yml", "gitlab": Path(".gitlab-ci.yml")}


def init(context: Context, platform: str | None, router: str | None, ci: str | None, *, systemd: bool) -> int:
    """Write what is missing; say what was found, and what to do next."""
    from greenroom.config import starter
    from greenroom.config.source import locate

    file = context.file
    folder = file.absolute().parent
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder")
    found = starter.detect(folder, platform or "")
    if (ci or systemd) and file.exists():
        found = replace(found, service=locate(file)[0])
    wanted = {file: starter.starter(found, router=router or "envoy"), **_beside(file, found, ci, systemd=systemd)}
    there = [path for path in wanted if path.exists() or path.is_symlink()]
    written = [path for path in wanted if path not in there]
    if not written and not router:
        raise Refused(f"{' and '.join(map(str, there))}: there already; nothing is overwritten", hint=_on(file))
    for path in written:
        starter.create(path, wanted[path])
    # Not for a file that nobody has read yet: what it says of the proxy was guessed.
    to_add = context.open().prepare() if router and file not in written else {}
    if context.json:
        context.document(
            {
                "service": found.service,
                "found": found.kind,
                "written": [str(path) for path in written],
                "kept": [str(path) for path in there],
                "add": {host: list(lines) for host, lines in to_add.items()},
            }
        )
        return 0
    _tell(context, found, written, there, to_add)
    context.say(_what_next(file, written, router))
    return 0


def _beside(file: Path, found: Found, ci: str | None, *, systemd: bool) -> dict[Path, str]:
    """What calls Greenroom, where it is asked for."""
    from greenroom.config import workflows

    folder = file.absolute().parent
    wanted: dict[Path, str] = {}
    if ci:
        workflow = workflows.github if ci == "github" else workflows.gitlab
        wanted[folder / WORKFLOWS[ci]] = workflow(found, file.absolute(), hosts=_on_hosts(file))
    if systemd:
        unit = workflows.systemd(found, file.absolute(), _greenroom())
        wanted[folder / f"greenroom-{found.service}.service"] = unit
    return wanted


def _on_hosts(file: Path) -> bool:
    from greenroom.config.source import read

    return file.exists() and bool(read(file).document.get("hosts"))


def _tell(
    context: Context, found: Found, written: list[Path], there: list[Path], to_add: Mapping[str, list[str]]
) -> None:
    file, folder = context.file, context.file.absolute().parent
    begun = f"Found {found.kind}. " if file in written else ""
    if written:
        context.say(f"{begun}Written: {', '.join(map(str, written))}.")
    if there:
        context.say(f"There already, and left as it is: {', '.join(map(str, there))}.")
    if (folder / ".git").exists() and ".greenroom" not in _read(folder / ".gitignore"):
        context.say("Add `.greenroom/` to .gitignore: the service's state on this machine is kept there.")
    for host, lines in to_add.items():
        context.say()
        if host:
            context.say(f"On {host}:", "bold")
        context.lines([f"  {line}" for line in lines])  # not wrapped: they are to be copied
    if to_add:
        context.say()


def _what_next(file: Path, written: list[Path], router: str | None) -> str:
    if file in written:
        return _AGAIN.format(file=file, known=_KNOWN[router]) if router in _KNOWN else _next(file)
    if written:
        return "Their first lines say what they are for: read them, and adapt them."
    return f"Then `greenroom doctor{_named(file)}` tells whether all is in place."


def _on(file: Path) -> str:
    """The way on with a file that was there: a proxy of people's own may still have to be told."""
    from greenroom.config.source import read

    section = None
    with contextlib.suppress(UsageError):  # what is wrong with it is not the question here
        section = read(file).document.get("router")
    kind = section.get("type") if isinstance(section, dict) else None
    prepares = (
        f" `greenroom init --router {kind}{_named(file)}` says what to add to your {kind}." if kind in _KNOWN else ""
    )
    return f"{_next(file)}{prepares}"


def _next(file: Path) -> str:
    named = _named(file)
    return f"Read {file}, then: `greenroom plan 1{named}`, `greenroom deploy 1{named}`."


def _named(file: Path) -> str:
    return "" if str(file) == "greenroom.yaml" else f" --file {file}"


def _greenroom() -> str:
    """The command, by its whole path: a unit has another PATH."""
    found = shutil.which("greenroom", path=os.path.dirname(sys.executable)) or shutil.which("greenroom")
    return os.path.abspath(found) if found else f"{sys.executable} -m greenroom"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def completion(context: Context, shell: str, verbs: click.Command) -> int:
    """The script that a shell evaluates."""
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    assert made is not None
    script = made(verbs, {}, "greenroom", "_GREENROOM_COMPLETE").source()
    if context.json:
        context.document({"shell": shell, "script": script})
    else:
        print(script)
    return 0


def demo(context: Context, out: Path) -> int:
    """The demo speaks for itself; with `--json` the document says how it ended and where its log is."""
    from greenroom.demo import story

    if not context.json:
        return story.run(out)
    sys.stdout.flush()
    stdout, sys.stdout = sys.stdout, sys.stderr
    try:
        code = story.run(out)
    finally:
        sys.stdout = stdout
    context.document({"exit": code, "folder": str(out.resolve()), "requests": str(out.resolve() / "requests.jsonl")})
    return code
