"""`greenroom db …`: the verbs of the shared database. What a verb does is imported when it is called."""

from __future__ import annotations

from pathlib import Path

import click

from greenroom.cli.context import Context
from greenroom.cli.frame import Verbs, cli, verb, why_option


@cli.group("db", cls=Verbs, invoke_without_command=True)
@click.pass_context
def db(ctx: click.Context) -> int:
    """The database that both colours share: judge, write, follow and finish its migrations."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
    return 0


_STAGES = click.Choice(["expand", "backfill", "contract"])
_DIALECTS = click.Choice(["postgres", "mysql", "sqlite"])
_existing = click.Path(exists=True, dir_okay=False, path_type=Path)

folder_option = click.option("--folder", type=click.Path(path_type=Path), help="Where the migrations are.")
name_option = click.option(
    "--name", default="", help="The migration's name; default: the next number and what it does."
)
url_option = click.option(
    "--url",
    default="",
    envvar="GREENROOM_DATABASE",
    help="The database; default: GREENROOM_DATABASE, else the one of the file.",
)
accept_option = click.option(
    "--accept", multiple=True, metavar="WHAT", help="Go on although this stands in the way, as the refusal names it."
)


@verb(group=db)
def plan(context: Context) -> int:
    """Judge every statement that has not run yet; changes nothing.

    Each for its stage: what the version that serves users cannot live with is refused, with the reason and the safer way.
    Locks, sizes and times are told where the database is reached; what is rehearsed, where `migrations.shadow` says where.
    Exit 0 if all may run, 8 with warnings, 4 if anything is refused.
    """
    from greenroom.cli.database_judge import plan

    return plan(context)


@verb(
    click.argument("sql", metavar="FILE", type=_existing),
    click.option("--phase", type=_STAGES, required=True, help="The stage that it is for."),
    click.option("--dialect", type=_DIALECTS, default="postgres", show_default=True, help="Whose SQL it is."),
    click.option("--schema", type=_existing, help="The schema before it, as SQL."),
    click.option("--applied", type=_existing, multiple=True, help="Files that ran before it, in order."),
    click.option(
        "--shadow",
        default="",
        envvar="GREENROOM_SHADOW",
        metavar="URL",
        help="A server where a shadow database may be made; better in the variable GREENROOM_SHADOW.",
    ),
    group=db,
)
def check(
    context: Context, sql: Path, phase: str, dialect: str, schema: Path | None, applied: tuple[Path, ...], shadow: str
) -> int:
    """Judge one FILE of SQL; needs no service.

    With --shadow it is rehearsed on a database of the same schema, without rows, that is made there and removed again.
    Exit 0 if all may run, 8 with warnings, 4 if anything is refused, 2 if the file cannot be read.
    """
    from greenroom.cli.database_judge import check

    return check(context, sql, phase, dialect, schema, applied, shadow)


@verb(group=db)
def _status(context: Context) -> int:
    """How far every migration is, as the ledger in the database has it.

    The progress of a backfill, until when a rollback is safe, what a contract waits for. Exit 6 if it cannot be seen.
    """
    from greenroom.cli.database_steer import status

    return status(context)


@verb(
    click.argument("column", metavar="TABLE.COLUMN"),
    click.argument("new", metavar="NEW"),
    folder_option,
    name_option,
    url_option,
    accept_option,
    group=db,
)
def rename(
    context: Context, column: str, new: str, folder: Path | None, name: str, url: str, accept: tuple[str, ...]
) -> int:
    """Write the three stages of a column's new name.

    A new column beside the old one, kept equal to it by a trigger while both versions run; then the old one goes. The
    database is read, and nothing in it is changed; no file is overwritten.
    """
    from greenroom.cli.database_write import write

    return write(context, "rename", folder, name, url, accept, column=column, new=new)


@verb(
    click.argument("column", metavar="TABLE.COLUMN"),
    click.argument("type", metavar="TYPE"),
    click.option("--to", default="", metavar="NAME", help="The new column's name; default: made from the old one."),
    click.option("--by", default="", metavar="EXPR", help="The new value, from the old column's name."),
    click.option("--back", default="", metavar="EXPR", help="The old value, from the new column's name."),
    folder_option,
    name_option,
    url_option,
    accept_option,
    group=db,
)
def retype(
    context: Context,
    column: str,
    type: str,
    to: str,
    by: str,
    back: str,
    folder: Path | None,
    name: str,
    url: str,
    accept: tuple[str, ...],
) -> int:
    """Write the three stages of a column's new type.

    As far as values can go there and back: what cannot be right while both versions write is refused, with the way in two
    releases.
    """
    from greenroom.cli.database_write import write

    return write(context, "retype", folder, name, url, accept, column=column, type=type, by=by, to=to, back=back)


@verb(
    click.argument("column", metavar="TABLE.COLUMN"),
    click.argument("into", metavar="NEW...", nargs=-1, required=True),
    click.option("--by", required=True, metavar="EXPR, EXPR", help="Each new value, from the old column's name."),
    click.option("--back", default="", metavar="EXPR", help="The old value, from the new columns' names."),
    click.option("--one-way", is_flag=True, help="The first of two releases: its version still writes the old column."),
    folder_option,
    name_option,
    url_option,
    accept_option,
    group=db,
)
def split(
    context: Context,
    column: str,
    into: tuple[str, ...],
    by: str,
    back: str,
    one_way: bool,
    folder: Path | None,
    name: str,
    url: str,
    accept: tuple[str, ...],
) -> int:
    """Write the three stages of a column that becomes several."""
    from greenroom.cli.database_write import write

    return write(
        context, "split", folder, name, url, accept, column=column, into=into, by=by, back=back, one_way=one_way
    )


@verb(
    click.argument("column", metavar="TABLE.COLUMN"),
    click.argument("to", metavar="TABLE.COLUMN"),
    click.option("--by", required=True, metavar="KEY", help="The column of the second table that points at the first."),
    folder_option,
    name_option,
    url_option,
    accept_option,
    group=db,
)
def move(
    context: Context,
    column: str,
    to: str,
    by: str,
    folder: Path | None,
    name: str,
    url: str,
    accept: tuple[str, ...],
) -> int:
    """Write the three stages of a column that goes to another table."""
    from greenroom.cli.database_write import write

    return write(context, "move", folder, name, url, accept, column=column, to=to, by=by)


@verb(
    click.option("--close-window", is_flag=True, help="Give up the way back now: retire the warm version first."),
    click.option("--allow", multiple=True, metavar="RULE", help="Let go what it was refused for; needs --why."),
    why_option,
    group=db,
)
def contract(context: Context, close_window: bool, allow: tuple[str, ...], why: str) -> int:
    """Take away what nobody needs any more.

    Only once the version before cannot come back: after `keep_warm`, `retire`, or with --close-window. First it is moved out
    of reach, which `greenroom db restore` undoes at once, and watched for `migrations.soft_drop`; then it is removed.
    Exit 0 when it is gone, 7 while it is watched, 4 if it is refused.
    """
    from greenroom.cli.database_steer import contract

    return contract(context, why, allow, close_window=close_window)


@verb(click.argument("name", metavar="[MIGRATION]", default=""), why_option, group=db)
def restore(context: Context, name: str, why: str) -> int:
    """Put back what a contract has moved out of reach, and not yet removed; the contract is over.

    MIGRATION need only be named where several are out of reach.
    """
    from greenroom.cli.database_steer import restore

    return restore(context, name, why)
