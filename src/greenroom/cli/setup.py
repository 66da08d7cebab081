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
_AWS = (
    "Read {file} and infra/main.tf, and correct region, account and repository there and in the workflow. Then `terraform "
    "-chdir=infra init` and `terraform -chdir=infra apply`; what it says of listeners and address goes into {file}; then "
    "`greenroom plan VERSION`."
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
    if (ci or systemd or platform == "ecs") and file.exists():
        found = replace(found, service=locate(file)[0])
    if platform == "ecs":
        wanted = _on_aws(file, found, router, systemd=systemd)
    else:
        wanted = {file: starter.starter(found, router=router or "envoy")}
    wanted |= _beside(file, found, ci, systemd=systemd, aws=platform == "ecs")
    there = [path for path in wanted if path.exists() or path.is_symlink()]
    written = [path for path in wanted if path not in there]
    if not written and not router:
        raise Refused(f"{' and '.join(_listed(there))}: there already; nothing is overwritten", hint=_on(file))
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


def _on_aws(file: Path, found: Found, router: str | None, *, systemd: bool) -> dict[Path, str]:
    """The file, what Terraform is to apply, and the workflow that releases."""
    from greenroom.config import starter_aws

    if router or systemd:
        given = f"--router {router}" if router else "--systemd"
        raise UsageError(
            f"{given} is for machines of your own", hint="With --platform ecs the router is the load balancer."
        )
    folder, region = file.absolute().parent, _region()
    made = {folder / path: text for path, text in starter_aws.infrastructure(found, region).items()}
    return {file: starter_aws.starter(found, region), **made}


def _region() -> str:
    from greenroom.config.starter_aws import REGION

    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or REGION


def _beside(file: Path, found: Found, ci: str | None, *, systemd: bool, aws: bool) -> dict[Path, str]:
    """What calls Greenroom, where it is asked for. On AWS something has to: no engine is resident there."""
    from greenroom.config import workflows

    folder = file.absolute().parent
    wanted: dict[Path, str] = {}
    if aws or (ci and _said(file, "environment").get("type") == "ecs"):
        wanted[folder / WORKFLOWS["github"]] = _workflow_on_aws(file, found, ci)
    elif ci:
        workflow = workflows.github if ci == "github" else workflows.gitlab
        wanted[folder / WORKFLOWS[ci]] = workflow(found, file.absolute(), hosts=bool(_said(file, "hosts")))
    if systemd:
        unit = workflows.systemd(found, file.absolute(), _greenroom())
        wanted[folder / f"greenroom-{found.service}.service"] = unit
    return wanted


def _workflow_on_aws(file: Path, found: Found, ci: str | None) -> str:
    from greenroom.config import starter_aws, workflows

    if ci == "gitlab":
        raise UsageError("on AWS there is a workflow for GitHub only", hint="docs/guides/aws.md says what others need.")
    return starter_aws.workflow(found, _region(), workflows.deploy(file, '"$VERSION"'))


def _said(file: Path, section: str) -> dict[str, object]:
    """A section of the file as it stands there; {} if there is none."""
    from greenroom.config.source import read

    found = read(file).document.get(section) if file.exists() else None
    return found if isinstance(found, dict) else {}


def _tell(
    context: Context, found: Found, written: list[Path], there: list[Path], to_add: Mapping[str, list[str]]
) -> None:
    file, folder = context.file, context.file.absolute().parent
    begun = f"Found {found.kind}. " if file in written else ""
    if written:
        context.say(f"{begun}Written: {', '.join(_listed(written))}.")
    if there:
        context.say(f"There already, and left as it is: {', '.join(_listed(there))}.")
    if (folder / ".git").exists() and ".greenroom" not in _read(folder / ".gitignore"):
        context.say("Add `.greenroom/` to .gitignore: the service's state on this machine is kept there.")
    for host, lines in to_add.items():
        context.say()
        if host:
            context.say(f"On {host}:", "bold")
        context.lines([f"  {line}" for line in lines])  # not wrapped: they are to be copied
    if to_add:
        context.say()


def _listed(paths: list[Path]) -> list[str]:
    """Terraform's module as the one thing that it is."""
    named = (f"{path.parent}/" if path.parent.parts[-2:] == ("infra", "greenroom") else str(path) for path in paths)
    return list(dict.fromkeys(named))


def _what_next(file: Path, written: list[Path], router: str | None) -> str:
    if any(path.parts[-2:] == ("infra", "main.tf") for path in written):
        return _AWS.format(file=file)
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
