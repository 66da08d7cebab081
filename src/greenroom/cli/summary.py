"""The last words of a command that followed a release: what is so now, why, and the ways on. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from greenroom.cli.follow import Ending
from greenroom.cli.lines import by_hand
from greenroom.cli.text import clock
from greenroom.domain.commands import ways_out
from greenroom.domain.phases import Phase, Status
from greenroom.domain.release import Release, Service
from greenroom.domain.status import EXIT, sentence


@dataclass(frozen=True, slots=True)
class Last:
    """`code`: the exit code. `hint`: what a person may do now. `ailing`: the candidate's output is worth a look."""

    code: int
    text: str
    hint: str = ""
    ailing: bool = False


def last_words(ending: Ending, wanted: Collection[Status]) -> Last:
    release, service, status = ending.release, ending.service, ending.status
    if ending.signal:
        return _left(ending)
    match status:
        case Status.SUCCEEDED:
            return Last(_code(status, wanted), *_succeeded(service, release, ending.now))
        case Status.ROLLED_BACK if release.rehearsed:
            return Last(0, _rehearsed(service, release))
        case Status.ROLLED_BACK:
            return Last(_code(status, wanted), *_rolled_back(service, release))
        case Status.ABORTED:
            asked = Status.ABORTED in wanted
            text = _whole(f"{release.version} was aborted{_why(release, 'before any traffic moved')}")
            kept = "`greenroom retire` removes the candidate, which was kept" if release.plan.keep else ""
            if "adopt" in release.definition:
                kept = "what runs was left as it was: mend that, then the same `greenroom adopt` again"
            return Last(
                _code(status, wanted),
                f"{text} {_serves(service)}{', untouched' if service.active else ''}.",
                kept or (_REFUSED if release.failure.startswith("expand: ") else _look(asked)),
                not asked,
            )
        case Status.FAILED:
            failed = _whole(f"{release.version} failed: {_brief(_reason(release))}")
            text = f"{failed} There was no version to go back to: it keeps the traffic."
            return Last(6, text, "`greenroom deploy VERSION` releases a better one, `greenroom down` stops it", True)
    why = sentence(service, release)
    text = f"{release.id} ({release.version}) {_state(status)} in {release.phase.spoken}: {why}."
    drifted = status is Status.PAUSED and service.drift
    hint = f"ways on: {ways_out(release)}"
    if service.drift:
        hint += ", `greenroom reconcile` (put the route back)"
    return Last(6 if drifted else EXIT.get(status, 6), text, hint)


def _code(status: Status, wanted: Collection[Status]) -> int:
    return 0 if status in wanted else EXIT[status]


def _state(status: Status) -> str:
    return {Status.PAUSED: "is paused", Status.WAITING_APPROVAL: "waits", Status.STUCK: "is stuck"}.get(status, "runs")


_REFUSED = "`greenroom show` tells the whole story, `greenroom db plan` how the migrations are judged now"
BRIEF = 120
"""Characters of a reason that the last words give: the whole of it stands above, and in `--json`."""


def _reason(release: Release) -> str:
    """The first line of why it went back."""
    return (
        (release.failure or release.why).splitlines()[0].rstrip(".") if release.failure or release.why else "no reason"
    )


def _brief(text: str) -> str:
    """Up to the last part of a sentence that fits, or the last word."""
    if len(text) <= BRIEF:
        return text
    ends = [at for mark in ("; ", ": ", ", ") if (at := text.rfind(mark, BRIEF // 2, BRIEF)) > 0]
    return f"{text[: max(ends, default=text.rfind(' ', BRIEF // 2, BRIEF))]} …"


def _whole(text: str) -> str:
    return text if text.endswith("…") else f"{text}."


def _why(release: Release, when: str = "") -> str:
    """` by ann@shop (too slow), before any traffic moved`, or `: error rate …`."""
    reason = _reason(release)
    if not by_hand(release.failure):
        return f" {when}: {_brief(reason)}" if when else f": {_brief(reason)}"
    who, _, why = reason.split(" by ", 1)[1].partition(": ")
    return f" by {who}" + (f" ({why})" if why else "") + (f", {when}" if when else "")


def _serves(service: Service) -> str:
    active = service.active
    return f"{active.version} is live on {active.colour}" if active else "Nothing is live"


def _look(asked: bool) -> str:
    return "" if asked else "`greenroom show` tells the whole story, `greenroom logs` what the candidate said"


def _succeeded(service: Service, release: Release, now: float) -> tuple[str, str]:
    active = service.active
    since = active.since if active is not None and active.release == release.id else release.since
    text = f"{release.version} is live on {release.colour} since {clock(since, now, exact=True)}"
    warm = service.warm_at(now)
    if warm is None:
        return f"{text}.", ""
    there, until = warm.deployed, clock(warm.until, now)
    text += f"; {there.version} stays warm on {there.colour} until {until}"
    return f"{text}: `greenroom rollback` goes back in an instant.", ""


def _rehearsed(service: Service, release: Release) -> str:
    share = "All traffic" if release.whole else f"{release.share} % of the traffic"
    took = f" {release.took_back:.2g} s after it was asked for" if release.took_back is not None else ""
    return f"The way back works: {share} went to {release.colour} and was back{took}. {_serves(service)}."


def _rolled_back(service: Service, release: Release) -> tuple[str, str]:
    text = f"{_whole(f'{release.version} was rolled back{_why(release)}')} {_serves(service)}."
    kept = f"{release.version} is kept on {release.colour} until `greenroom retire`" if release.plan.keep else ""
    return text, kept or _look(by_hand(release.failure))


def _left(ending: Ending) -> Last:
    """Ctrl-C: nothing is undone, nothing is lost; the engine goes on."""
    release = ending.release
    where = f"{release.id} ({release.version}) is in {release.phase.spoken}"
    goes_on = "and the resident engine goes on with it" if ending.resident else "and nobody goes on with it until then"
    text = f"Left as it is: {where}, {goes_on}."
    verbs = release.row.commands
    end = "`greenroom rollback` takes it back" if "rollback" in verbs else "`greenroom abort` ends it"
    ways = [f"`greenroom deploy {release.version}` follows it again"] + ([end] if {"rollback", "abort"} & verbs else [])
    if release.phase in (Phase.ABORTING, Phase.ROLLING_BACK) or release.going_back:
        ways = ["`greenroom status` tells how it goes"]
    return Last(128 + ending.signal, text, ", ".join(ways))
