"""The verbs that change something: ask, follow to the end, say what is so now."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from greenroom.cli.context import Context, Installation
from greenroom.cli.follow import Follower, begun_at, find
from greenroom.cli.screens import screen_for
from greenroom.cli.stand import until_up
from greenroom.cli.summary import last_words
from greenroom.cli.text import plain
from greenroom.domain.excerpt import condensed, kinds
from greenroom.domain.phases import Status
from greenroom.domain.status import release_document
from greenroom.errors import Refused, UsageError

if TYPE_CHECKING:
    from greenroom.control import Accepted
    from greenroom.domain.release import Release

WANTED: dict[str, frozenset[Status]] = {
    "deploy": frozenset({Status.SUCCEEDED}),
    "adopt": frozenset({Status.SUCCEEDED}),
    "promote": frozenset({Status.SUCCEEDED}),
    "resume": frozenset({Status.SUCCEEDED}),
    "abort": frozenset({Status.ABORTED}),
    "rollback": frozenset({Status.ROLLED_BACK}),
    "rehearse": frozenset(),
}
"""The end that each verb asks for: exit code 0."""

TAIL = 12
"""Lines of a failed candidate's output."""


def deploy(context: Context, version: str, why: str, *, keep: bool, overrides: Sequence[str] = (), detach: bool) -> int:
    check_version(version)
    installed = context.open()
    _stays(installed, detach=detach)
    _may_be_overridden(installed, overrides, why)
    if not _follows(installed, version) and (problems := installed.problems()):
        raise UsageError("\n".join(problems), hint="nothing was touched")
    accepted = installed.deploy(version, why, keep=keep, overrides=overrides)
    if not accepted.release:
        return until_up(context, installed, f"{accepted.text}; the route agrees.", _unreleased(installed))
    return _follow(context, installed, accepted, "deploy", detach=detach)


def _unreleased(installed: Installation) -> str:
    """The same version once more brings no changed file to life."""
    service, loaded = installed.control.state(), installed.loaded
    active = service.active
    live = [r for r in (service.release, *service.past) if r is not None and active and r.id == active.release]
    if not live or loaded is None or "adopt" in live[0].definition or live[0].definition == loaded.document:
        return ""
    return f"{installed.file.name} was changed since {live[0].id}: that takes effect with another version"


def _may_be_overridden(installed: Installation, overrides: Sequence[str], why: str) -> None:
    if overrides and not why:
        raise UsageError("--override needs a reason: `--why`", hint="it is kept in the journal")
    gates = installed.gates() if overrides else {}
    for name in overrides:
        if name not in gates:
            known = ", ".join(gates) or "there are none in this file"
            raise UsageError(f"there is no gate `{name}`; gates: {known}", hint="nothing was touched")
        if not gates[name]:
            raise Refused(f"the gate {name} cannot be overridden", hint="it is there so that nobody goes round it")


def rehearse(context: Context, version: str, why: str) -> int:
    if version:
        check_version(version)
    installed = context.open()
    if problems := installed.problems():
        raise UsageError("\n".join(problems), hint="nothing was touched")
    accepted = installed.rehearse(version, why)
    return _follow(context, installed, accepted, "rehearse", detach=False)


def promote(context: Context, why: str, *, detach: bool) -> int:
    """Who may not approve is told so at once, before anything is written."""
    installed = context.reach()
    if said := installed.objection():
        text, _, hint = said.partition("; ")
        raise Refused(text, hint=hint)
    return steer(context, "promote", why, detach=detach, groups=list(installed.groups()))


def _stays(installed: Installation, *, detach: bool) -> None:
    if detach and not installed.here:
        raise UsageError(
            "--detach needs a resident engine, and a service that runs elsewhere has none",
            hint="the command's own engine does the work: let it run to the end",
        )


def adopt(context: Context, version: str, container: str, upstream: str, why: str) -> int:
    check_version(version)
    if bool(container) == bool(upstream):
        raise UsageError("say what serves users now: `--container NAME` or `--upstream HOST:PORT`")
    installed = context.open()
    if not installed.adopts:
        raise UsageError(
            "this environment cannot take over what runs already", hint="`environment: {type: docker}` can"
        )
    if problems := installed.problems():
        raise UsageError("\n".join(problems), hint="nothing was touched")
    taken = {"container": container} if container else {"upstream": upstream}
    accepted = installed.adopt(version, taken, why)
    return _follow(context, installed, accepted, "adopt", detach=False)


def check_version(version: str) -> None:
    """A version is a word: it stands in file names, headers and logs."""
    if not version or len(version) > 100 or not version.isprintable() or any(c.isspace() for c in version):
        raise UsageError(f"{version[:40]!r} is no version", hint="use one word of at most 100 characters, like 1.4.2")
    if version.startswith("-"):
        raise UsageError(f"{version!r} is no version: it begins with a dash")


def _follows(installed: Installation, version: str) -> bool:
    """This version is being released already. Creates nothing to find that out."""
    if not installed.begun:
        return False
    running = installed.control.state().running
    return running is not None and running.version == version


def steer(context: Context, verb: str, why: str, *, detach: bool, **details: Any) -> int:
    """promote, resume, abort, rollback: ask, and follow the release to its end."""
    installed = context.reach()
    _stays(installed, detach=detach)
    asleep = verb == "resume" and installed.control.state().running is None
    accepted = context.ask(installed, verb, why, **details)
    if asleep:
        return until_up(context, installed)
    if not accepted.release:
        return context.result(0, f"{accepted.text}.")
    return _follow(context, installed, accepted, verb, detach=detach)


def pause(context: Context, why: str) -> int:
    installed = context.reach()
    accepted = context.ask(installed, "pause", why)
    release = installed.control.state().running
    if release is None or release.paused is None:
        raise Refused("the release has ended meanwhile", hint="`greenroom status` shows what is")
    document = release_document(installed.control.state(), release, installed.control.now())
    text = f"{release.id} ({release.version}) is paused in {release.phase}" if accepted.written else accepted.text
    return context.result(0, f"{text}.", hint="`greenroom resume` goes on with it", release=document)


def _follow(context: Context, installed: Installation, accepted: Accepted, verb: str, *, detach: bool) -> int:
    release = accepted.release
    if detach:
        service, now = installed.control.state(), installed.control.now()
        document = release_document(service, find(service, release), now)
        text = f"{release}: {accepted.text}; the resident engine carries it out."
        return context.result(0, text, hint="`greenroom status` tells how it goes", release=document)
    whole = verb in ("deploy", "adopt", "rehearse") or not accepted.written
    after = begun_at(installed, release) if whole else accepted.seq - 1
    if not accepted.written:
        context.say(f"{accepted.text}.")
    screen = screen_for(context.stream, live=context.live, ink=context.ink)
    return _conclude(context, installed, Follower(installed, context.tools, screen, release, after), WANTED[verb])


def _conclude(context: Context, installed: Installation, follower: Follower, wanted: Collection[Status]) -> int:
    ending = follower.run()
    last = last_words(ending, wanted)
    if not ending.signal and ending.status in (Status.ROLLED_BACK, Status.FAILED) and not ending.release.rehearsed:
        _why(context, installed, ending.release)
    if last.ailing:
        for line in _output(installed, ending.release):
            print(line, file=context.stream)
    document = release_document(ending.service, ending.release, ending.now)
    return context.result(last.code, last.text, hint=last.hint, release=document)


def _why(context: Context, installed: Installation, release: Release) -> None:
    """Both versions side by side, and the picture."""
    from greenroom.cli.history import own_of
    from greenroom.cli.show import evidence

    found = evidence(installed.name, installed.state, release, own_of(installed.control.entries(0), release.id))
    if lines := found.lines(context.width, context.stream, context.ink):
        context.lines([*lines, ""])


def _output(installed: Installation, release: Release) -> list[str]:
    """The last lines that the candidate wrote, but for what its failure said already, and what two replicas share."""
    from greenroom.cli.outputs import outputs

    lines: list[str] = []
    known = [kinds(release.failure.splitlines()[1:])]
    for output in outputs(installed, str(release.colour)):
        written = condensed(output.tail(3 * TAIL) if output.changed(release.begun - 1) else [])[-TAIL:]
        bare = kinds(written)
        if not written or any(bare <= other for other in known):
            continue
        known.append(bare)
        lines += ["", f"The last lines of {output.name} on {release.colour} ({output.where}):"]
        lines += [f"  | {plain(installed.conceal(line))}" for line in written]
    return [*lines, ""] if lines else []
