"""Every verb with its options. What a verb does is imported when it is called."""

from __future__ import annotations

import click

from greenroom.cli import quick
from greenroom.cli.context import Context
from greenroom.cli.frame import cli, detach_option, run, verb, why_option


@verb(
    click.option(
        "--platform", type=click.Choice(["process", "docker", "ecs"]), help="What runs; default: as it is found."
    ),
    click.option("--router", type=click.Choice(["envoy", "nginx", "haproxy"]), help="What stands before it."),
    click.option("--ci", type=click.Choice(["github", "gitlab"]), help="Write a workflow for it as well."),
    click.option("--systemd", is_flag=True, help="Write a systemd unit that wakes the service after a reboot."),
)
def init(context: Context, platform: str | None, router: str | None, ci: str | None, systemd: bool) -> int:
    """Write a commented starter file.

    For what it finds in the folder: a Dockerfile, a Procfile, Python, Node.js, plain files. Nothing that exists is
    overwritten: where the file is there already, only what else is asked for is written; with nothing to write, exit 4.

    `--platform ecs` writes what a service on Amazon ECS needs: the file, `infra/` for Terraform, and a workflow for GitHub.

    With a router of your own (nginx, haproxy) that the file names, its first files are written too, which change nothing
    for your users, and what to add to your own files is said. Your own files are read, never edited.
    """
    from greenroom.cli.setup import init

    return init(context, platform, router, ci, systemd=systemd)


@verb(click.argument("version"))
def plan(context: Context, version: str) -> int:
    """What a deploy would do; changes nothing.

    Step by step; whether it can be without downtime, and if not why; what stands in its way. Exit 0 if the deploy would
    begin (or VERSION is live, or being released already), else the code that it would end with.
    """
    from greenroom.cli.foresee import plan

    return plan(context, version)


@verb(
    click.argument("version"),
    why_option,
    click.option("--keep", is_flag=True, help="If it fails, keep the candidate running to look at."),
    click.option("--override", multiple=True, metavar="GATE", help="Do not ask this gate; needs --why."),
    detach_option,
)
def deploy(context: Context, version: str, why: str, keep: bool, override: tuple[str, ...], detach: bool) -> int:
    """Release VERSION, to the end of the bake.

    What is in the folder now is released under this name, one word. The file is checked first, then what it needs on
    this machine; with a mistake in either, exit 2, and nothing was touched.

    The same VERSION again follows a release that runs; one that is live already is not released again. While another
    release is unfinished: exit 5, with the ways out.

    A gate that may be overridden (a window that is closed) is not asked with `--override`; the reason is kept.
    """
    from greenroom.cli.steer import deploy

    return deploy(context, version, why, keep=keep, overrides=override, detach=detach)


@verb()
def status(context: Context) -> int:
    """Who is live, where the traffic really goes, and why.

    The router is asked at that moment. The resident engine answers; where none does, the command looks by itself, also
    when journal, file, supervisor or router are broken or gone, and says which.

    Exit 6 if the route drifted, the release is stuck, or the truth cannot be seen; 7 if it waits for a person; else 0.
    """
    from greenroom.cli.look import status
    from greenroom.cli.sheet import exit_code

    document = status(context)
    quick.show(document, context.json)
    return exit_code(document)


@verb(why_option, detach_option)
def promote(context: Context, why: str, detach: bool) -> int:
    """Go on now: approve what waits for a person, or end a step or the bake early.

    It goes on after a drift as well. A gate may want certain people, or more than one: who may not approve is refused (4).
    """
    from greenroom.cli.steer import promote

    return promote(context, why, detach=detach)


@verb(why_option)
def pause(context: Context, why: str) -> int:
    """Hold the release where it is.

    Its clocks stand still; the automatic rollback stays armed.
    """
    from greenroom.cli.steer import pause

    return pause(context, why)


@verb(why_option, detach_option)
def resume(context: Context, why: str, detach: bool) -> int:
    """Go on with what is paused, or down.

    A service that is down is started again with the version that was live. With nothing paused, what is live is seen
    to be up.
    """
    from greenroom.cli.steer import steer

    return steer(context, "resume", why, detach=detach)


@verb(why_option, detach_option)
def abort(context: Context, why: str, detach: bool) -> int:
    """End a release before any traffic has moved.

    After that it is `rollback`.
    """
    from greenroom.cli.steer import steer

    return steer(context, "abort", why, detach=detach)


@verb(why_option, detach_option)
def rollback(context: Context, why: str, detach: bool) -> int:
    """Put the traffic back to the version before, at once.

    Of the release that runs, or of the last one while the version before it is warm. Needs no version, no file that is
    right, and no pipeline. With no warm version left it is refused (4), and says what to deploy.
    """
    from greenroom.cli.steer import steer

    return steer(context, "rollback", why, detach=detach)


@verb(
    click.option("--accept", is_flag=True, help="What the route does now is right: take it over."),
    why_option,
)
def reconcile(context: Context, accept: bool, why: str) -> int:
    """Put the route back to what the journal says.

    It waits until it is so: exit 6 if not within two minutes. It also starts the resident engine, and what is live,
    where they do not run: it is what to run after a reboot.
    """
    from greenroom.cli.stand import reconcile

    return reconcile(context, why, accept=accept)


@verb(click.option("--why", required=True, help="The reason, for the journal."))
def unlock(context: Context, why: str) -> int:
    """Take the lock from whoever holds it.

    A holder that is dead loses it by itself; this is for one that cannot be asked. It can do no harm when it wakes up:
    journal and router refuse its epoch.
    """
    from greenroom.cli.stand import unlock

    return unlock(context, why)


@verb(click.option("--last", "count", type=click.IntRange(1), default=20, show_default=True, help="How many."))
def history(context: Context, count: int) -> int:
    """The releases: when, by whom, how they ended and why."""
    from greenroom.cli.history import history

    return history(context, count)


@verb(
    click.argument("release", default=""),
    click.option("--judge", is_flag=True, help="Try the file's present analysis on what was measured then."),
)
def show(context: Context, release: str, judge: bool) -> int:
    """All that happened in a release, by default the last.

    RELEASE is its id or its version. Who asked for what, what was done, what the checks and the router said. The file
    of a release and its secrets are not shown. With --judge: when and why the rules as they are now would have gone back.
    """
    if judge:
        from greenroom.cli.judged import judge as judged

        return judged(context, release)
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

    By default those of the last release: the candidate that failed. PROCESS is a process (web), a replica (web-1), or
    prepare.
    """
    from greenroom.cli.logs import logs

    return logs(context, what, process, lines, follow=follow)


from greenroom.cli import keeping  # noqa: E402, I001  # its verbs come after these
from greenroom.cli import database  # noqa: E402

__all__ = ["cli", "database", "keeping", "run"]
