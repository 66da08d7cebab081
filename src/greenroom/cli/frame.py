"""What all verbs share: `--file` and `--json`, names that are refused well, errors as one clear block."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from greenroom.cli import quick
from greenroom.cli.context import Context, Tools, complain
from greenroom.errors import GreenroomError, UsageError

NOT_BUILT = ("serve", "preview")
"""Promised verbs that this version does not know yet."""

INTERRUPTED = 130

Body = Callable[..., int]


class Verbs(click.Group):
    """Verbs in the order of the documentation; an unknown one is refused with the nearest known."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0] if args else ""
        if word in NOT_BUILT:
            raise click.UsageError(f"`{word}` is not built yet")
        if word and not word.startswith("-") and word not in self.commands:
            near = difflib.get_close_matches(word, self.commands, 1)
            hint = f"; did you mean `{near[0]}`?" if near else f"; `{ctx.command_path} --help` lists the verbs"
            raise click.UsageError(f"there is no verb `{word}`{hint}")
        return super().resolve_command(ctx, args)


def common(body: Callable[..., Any]) -> Callable[..., Any]:
    """`--file` and `--json`, which every verb takes."""
    body = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, progress on stderr.")(
        body
    )
    return click.option(
        "-f", "--file", "file", type=click.Path(path_type=Path), help=f"The service's file; default {quick.FILE}."
    )(body)


def why_option(body: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--why", default="", help="The reason, for the journal.")(body)


detach_option = click.option("--detach", is_flag=True, help="Do not follow; the resident engine carries it out.")


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=True,
)
@common
@click.option("--version", is_flag=True, help="Print the version.")
@click.pass_context
def cli(ctx: click.Context, file: Path | None, as_json: bool, version: bool) -> int:
    """Release without downtime: prove the new version on the idle environment, move the traffic, watch, go back."""
    given = ctx.obj if isinstance(ctx.obj, Context) else Context("", Path(quick.FILE))
    ctx.obj = replace(given, file=file or given.file, json=as_json or given.json)
    if version:
        click.echo(f"greenroom {quick.version()}")
    elif ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
    return 0


def verb(*decorators: Callable[..., Any], group: click.Group = cli) -> Callable[[Callable[..., int]], click.Command]:
    """A verb: its body gets a `Context` and its own options."""

    def make(body: Callable[..., int]) -> click.Command:
        name = body.__name__.strip("_")
        spoken = name if group is cli else f"{group.name} {name}"

        def call(file: Path | None, as_json: bool, **options: Any) -> int:
            ctx = click.get_current_context()
            before: Context = ctx.obj
            context = replace(before, verb=spoken, file=file or before.file, json=as_json or before.json)
            try:
                return guarded(context, lambda: body(context, **options))
            finally:
                context.close()

        call.__doc__ = body.__doc__
        wrapped: Any = common(call)
        for decorate in reversed(decorators):
            wrapped = decorate(wrapped)
        return group.command(name)(wrapped)

    return make


def guarded(context: Context, body: Callable[[], int]) -> int:
    """Errors of ours are one clear block; anything else is a bug, and is told with what is known of the route."""
    try:
        return body()
    except GreenroomError as error:
        return context.failed(error)
    except (KeyboardInterrupt, BrokenPipeError, click.exceptions.Abort):
        raise
    except ModuleNotFoundError as error:
        from greenroom.plugins import extra_of

        extra = extra_of(error)
        if not extra:
            return _unforeseen(context, error)
        told = UsageError(f"`{error.name}` is not installed", hint=f"`pip install 'greenroom[{extra}]'`")
        return context.failed(told)
    except Exception as error:
        return _unforeseen(context, error)


def _unforeseen(context: Context, error: Exception) -> int:
    if os.environ.get("GREENROOM_DEBUG") == "1":
        raise error
    from greenroom.cli.unforeseen import report

    return report(context, error)


def run(arguments: Sequence[str], tools: Tools | None = None) -> int:
    """One command; its exit code."""
    context = Context("", Path(quick.FILE), tools=tools or Tools())
    try:
        code = cli.main(list(arguments), prog_name="greenroom", standalone_mode=False, obj=context)
    except click.ClickException as error:
        return _usage(error, as_json="--json" in arguments)
    except click.exceptions.Abort:
        print("\ninterrupted; nothing was asked for", file=sys.stderr)
        return INTERRUPTED
    return int(code or 0)


def _usage(error: click.ClickException, *, as_json: bool) -> int:
    where = getattr(error, "ctx", None)
    hint = f"`{where.command_path} --help` shows how it is used" if where is not None else ""
    message = error.format_message()
    complain(message[:1].lower() + message[1:] if message[:2].istitle() else message, hint)
    if as_json:
        Context("", Path(quick.FILE), json=True).result(2, message, hint=hint)
    return 2
