"""Every verb with its options. What a verb does is imported when it is called."""

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
from greenroom.errors import GreenroomError

NOT_BUILT = ("serve", "db", "preview", "parity", "adopt", "rehearse")
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
            hint = f"; did you mean `{near[0]}`?" if near else "; `greenroom --help` lists the verbs"
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


def verb(*decorators: Callable[..., Any]) -> Callable[[Callable[..., int]], click.Command]:
    """A verb: its body gets a `Context` and its own options."""

    def make(body: Callable[..., int]) -> click.Command:
        name = body.__name__.strip("_")

        def call(file: Path | None, as_json: bool, **options: Any) -> int:
            ctx = click.get_current_context()
            before: Context = ctx.obj
            context = replace(before, verb=name, file=file or before.file, json=as_json or before.json)
            return guarded(context, lambda: body(context, **options))

        call.__doc__ = body.__doc__
        wrapped: Any = common(call)
        for decorate in reversed(decorators):
            wrapped = decorate(wrapped)
        return cli.command(name)(wrapped)

    return make


def guarded(context: Context, body: Callable[[], int]) -> int:
    """Errors of ours are one clear block; anything else is a bug, and is told with what is known of the route."""
    try:
        return body()
    except GreenroomError as error:
        return context.failed(error)
    except (KeyboardInterrupt, BrokenPipeError, click.exceptions.Abort):
        raise
    except Exception as error:
        if os.environ.get("GREENROOM_DEBUG") == "1":
            raise
        from greenroom.cli.unforeseen import report

        return report(context, error)


# --- the verbs, in the order in which one meets them ------------------------------------------------------------


@verb(
    click.option("--ci", type=click.Choice(["github", "gitlab"]), help="Write a workflow for it as well."),
    click.option("--systemd", is_flag=True, help="Write a systemd unit that wakes the service after a reboot."),
)
def init(context: Context, ci: str | None, systemd: bool) -> int:
    """Write a commented starter file. Nothing that exists is overwritten."""
    from greenroom.cli.setup import init

    return init(context, ci, systemd=systemd)


@verb(click.argument("version"))
def plan(context: Context, version: str) -> int:
    """What a deploy would do; changes nothing.

    Step by step, whether it can be without downtime, and if not why."""
    from greenroom.cli.foresee import plan

    return plan(context, version)


@verb(
    click.argument("version"),
    why_option,
    click.option("--keep", is_flag=True, help="If it fails, keep the candidate running to look at."),
    detach_option,
)
def deploy(context: Context, version: str, why: str, keep: bool, detach: bool) -> int:
    """Release VERSION, to the end of the bake. The same command again follows a release that runs."""
    from greenroom.cli.steer import deploy

    return deploy(context, version, why, keep=keep, detach=detach)


@verb()
def status(context: Context) -> int:
    """Who is live, where the traffic really goes, and why."""
    from greenroom.cli.look import status
    from greenroom.cli.sheet import exit_code

    document = status(context)
    quick.show(document, context.json)
    return exit_code(document)


@verb(why_option, detach_option)
def promote(context: Context, why: str, detach: bool) -> int:
    """Go on now: approve a step, or end the bake early."""
    from greenroom.cli.steer import steer

    return steer(context, "promote", why, detach=detach)


@verb(why_option)
def pause(context: Context, why: str) -> int:
    """Hold the release where it is. Its time stands still; the automatic rollback stays armed."""
    from greenroom.cli.steer import pause

    return pause(context, why)


@verb(why_option, detach_option)
def resume(context: Context, why: str, detach: bool) -> int:
    """Go on with what is paused, or down."""
    from greenroom.cli.steer import steer

    return steer(context, "resume", why, detach=detach)


@verb(why_option, detach_option)
def abort(context: Context, why: str, detach: bool) -> int:
    """End a release before any traffic has moved."""
    from greenroom.cli.steer import steer

    return steer(context, "abort", why, detach=detach)


@verb(why_option, detach_option)
def rollback(context: Context, why: str, detach: bool) -> int:
    """Put the traffic back to the version before, at once. Needs no version."""
    from greenroom.cli.steer import steer

    return steer(context, "rollback", why, detach=detach)


@verb(
    click.option("--accept", is_flag=True, help="What the route does now is right: take it over."),
    why_option,
)
def reconcile(context: Context, accept: bool, why: str) -> int:
    """Put the route back to what the journal says. Wakes the engine: also what to run after a reboot."""
    from greenroom.cli.stand import reconcile

    return reconcile(context, why, accept=accept)


@verb(click.option("--why", required=True, help="The reason, for the journal."))
def unlock(context: Context, why: str) -> int:
    """Take the lock from whoever holds it. Only for a holder that is surely gone."""
    from greenroom.cli.stand import unlock

    return unlock(context, why)


@verb(click.option("--last", "count", type=click.IntRange(1), default=20, show_default=True, help="How many."))
def history(context: Context, count: int) -> int:
    """The releases: when, by whom, how they ended and why."""
    from greenroom.cli.history import history

    return history(context, count)


@verb(click.argument("release", default=""))
def show(context: Context, release: str) -> int:
    """All that happened in a release, by default the last.

    RELEASE is its id or its version."""
    from greenroom.cli.history import show

    return show(context, release)


@verb(
    click.argument("what", metavar="[COLOUR|RELEASE]", default=""),
    click.argument("process", default=""),
    click.option("--lines", type=click.IntRange(0), default=50, show_default=True, help="How many of each replica."),
    click.option("--follow", is_flag=True, help="Go on printing what is written, until Ctrl-C."),
)
def logs(context: Context, what: str, process: str, lines: int, follow: bool) -> int:
    """What the processes of a colour or release wrote.

    By default those of the last release."""
    from greenroom.cli.logs import logs

    return logs(context, what, process, lines, follow=follow)


@verb(why_option)
def retire(context: Context, why: str) -> int:
    """Remove the idle environment now. There is no way back in an instant after that."""
    from greenroom.cli.stand import retire

    return retire(context, why)


@verb(click.option("--yes", is_flag=True, help="Do not ask."), why_option)
def down(context: Context, yes: bool, why: str) -> int:
    """Stop the service on purpose.

    The router first, so that nothing is cut off behind it, then both environments."""
    from greenroom.cli.stand import down

    return down(context, why, yes=yes)


@verb()
def doctor(context: Context) -> int:
    """Check the set-up, and what runs.

    File, machine, engine, supervisor, router, journal, disk, and what happens after a reboot."""
    from greenroom.cli.doctor import doctor

    return doctor(context)


@verb(click.option("--out", type=click.Path(path_type=Path), default=Path("greenroom-demo"), show_default=True))
def demo(context: Context, out: Path) -> int:
    """A minute that shows it all, with real traffic."""
    from greenroom.cli.setup import demo

    return demo(context, out)


@verb(click.argument("shell", type=click.Choice(["bash", "zsh", "fish"])))
def completion(context: Context, shell: str) -> int:
    """Print the completion script of a shell.

    For example: eval "$(greenroom completion bash)""""
    from greenroom.cli.setup import completion

    return completion(context, shell, cli)


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
