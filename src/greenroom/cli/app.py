"""Every verb with its options. What a verb does is imported when it is called."""

from __future__ import annotations

from pathlib import Path

import click

from greenroom.cli import quick
from greenroom.cli.context import Context
from greenroom.cli.frame import cli, detach_option, run, verb, why_option


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


@verb(
    click.option(
        "--out", type=click.Path(path_type=Path), default=Path("greenroom-demo"), show_default=True, help="Where."
    )
)
def demo(context: Context, out: Path) -> int:
    """A minute that shows it all, with real traffic."""
    from greenroom.cli.setup import demo

    return demo(context, out)


@verb(click.argument("shell", type=click.Choice(["bash", "zsh", "fish"])))
def completion(context: Context, shell: str) -> int:
    """Print the completion script of a shell.

    Evaluate it where the shell starts: eval "$(greenroom completion bash)" in ~/.bashrc.
    """
    from greenroom.cli.setup import completion

    return completion(context, shell, cli)


__all__ = ["cli", "run"]
