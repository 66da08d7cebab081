"""More verbs: what one does once, or now and then, with a service."""

from __future__ import annotations

from pathlib import Path

import click

from greenroom.cli.context import Context
from greenroom.cli.frame import cli, verb, why_option


@verb(
    click.argument("version"),
    click.option("--container", default="", metavar="NAME", help="The container that serves now."),
    click.option("--upstream", default="", metavar="HOST:PORT", help="Where what serves now listens."),
    why_option,
)
def adopt(context: Context, version: str, container: str, upstream: str, why: str) -> int:
    """Take over what runs already, as the active VERSION.

    The container or address that serves users now becomes one of the two environments, so that the first deploy is a
    blue-green one already: no restart, no request lost. Refused (4) where something is live already.

    If it cannot be taken over, it is left running as it was.
    """
    from greenroom.cli.steer import adopt

    return adopt(context, version, container, upstream, why)


@verb(click.argument("version", required=False, default=""), why_option)
def rehearse(context: Context, version: str, why: str) -> int:
    """Drill the way back before it is needed.

    What is in the folder now is put on the idle environment (as VERSION; default: the one that is live) and checked; it
    gets 1% of the traffic for 10 seconds, and the traffic is taken back. Exit 0 if that was seen. Refused (4) while a
    warm version would have to give way.
    """
    from greenroom.cli.steer import rehearse

    return rehearse(context, version, why)


@verb(why_option)
def retire(context: Context, why: str) -> int:
    """Remove the idle environment now.

    It is drained first; the command waits until it is gone. There is no way back in an instant after that.
    """
    from greenroom.cli.stand import retire

    return retire(context, why)


@verb(click.option("--yes", is_flag=True, help="Do not ask."), why_option)
def down(context: Context, yes: bool, why: str) -> int:
    """Stop the service on purpose.

    First the router, so that nothing is cut off behind it, then both environments, then Greenroom's own processes; the
    command waits until all have ended. In a terminal it asks first. `resume` and `deploy` start it again.
    """
    from greenroom.cli.stand import down

    return down(context, why, yes=yes)


@verb()
def doctor(context: Context) -> int:
    """Check the set-up, and what runs.

    The file, Python, what a deploy needs (commands, folders, ports and who holds them, certificates), room on the disk,
    journal, supervisor, engine, router, and what starts the service after a reboot. Exit 0, 8 with warnings, 6 if
    something must be done.
    """
    from greenroom.cli.doctor import doctor

    return doctor(context)


@verb()
def parity(context: Context) -> int:
    """Prove that both environments are alike.

    What they really run with, not the file: image, command, variables, limits, mounts, networks, the router's settings.
    Only colour, version and port may differ, and what a release asked for; what differs on purpose stands in
    `parity.allow` of the file, with a reason. Exit 0, 8 with warnings, 6 if they are not alike.
    """
    from greenroom.cli.parity import parity

    return parity(context)


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

    In ~/.bashrc: eval "$(greenroom completion bash)"
    """
    from greenroom.cli.setup import completion

    return completion(context, shell, cli)
