"""The journal in sentences: what a record says to a person, at once (`follow`) or later (`show`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from greenroom.domain.model import Verdict
from greenroom.domain.phases import ENDS, Phase
from greenroom.domain.records import Entry, Finished, Judged, Moved, Outcome, Requested, Started
from greenroom.domain.release import Release

GOOD = frozenset({Phase.SUCCEEDED})
BACK = frozenset({Phase.ABORTING, Phase.ABORTED, Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.FAILED})

DOES = {
    Phase.GATES: "the gates are asked",
    Phase.BUILD: "the source is copied and prepared",
    Phase.EXPAND: "the database gets what the new version needs",
    Phase.START: "the candidate starts",
    Phase.CHECKS: "the checks are asked",
    Phase.BACKFILL: "what was added is filled and verified",
    Phase.APPROVE: "the gates before the traffic are asked",
    Phase.SHIFT: "the traffic moves",
    Phase.BAKE: "both are up, automatic rollback is armed",
    Phase.ABORTING: "the candidate is removed",
    Phase.ROLLING_BACK: "the traffic goes back",
}
"""What begins with each phase."""

ADOPTING = {
    **DOES,
    Phase.START: "what runs already is looked at",
    Phase.SHIFT: "the router learns where it is",
    Phase.BAKE: "it stays as it is",
    Phase.ABORTING: "what runs is left as it was",
}
"""The same, where nothing new is started: what serves already is taken over."""

FIRST = {**DOES, Phase.BAKE: "it is watched; there is no version to go back to"}
"""The same, where nothing was live before."""


@dataclass(frozen=True, slots=True)
class Line:
    """`mark`: ✓ ✗ · or nothing. `topic`: a word for the left column. `more`: further lines, evidence mostly."""

    at: float
    mark: str
    topic: str
    text: str
    more: tuple[str, ...] = ()
    style: str = ""


def _does(release: Release) -> Mapping[Phase, str]:
    if "adopt" in release.definition:
        return ADOPTING
    return FIRST if release.baseline is None else DOES


def news(entry: Entry, release: Release) -> Line | None:
    """The record as a line for whoever follows; None for what is no news (intents, results as expected)."""
    match entry.record:
        case Started() | Finished(outcome=Outcome.DONE):
            return None
        case Judged(verdict=Verdict.WAIT, reason=""):
            return None
    return told(entry, release)


def told(entry: Entry, release: Release) -> Line:
    """Every record of a release has a line: for `show`."""
    match entry.record:
        case Requested() as record:
            return _requested(record, entry.at)
        case Moved() as record:
            return _moved(record, entry.at, _does(release))
        case Started() as record:
            return Line(entry.at, "", "doing", action(record.verb, record.key), style="dim")
        case Finished() as record:
            return _finished(record, entry.at)
        case Judged() as record:
            return _judged(record, entry.at)


def _requested(record: Requested, at: float) -> Line:
    what = record.command
    if what == "deploy":
        taken = record.details.get("adopt") or {}
        drill = (record.details.get("plan") or {}).get("rehearsal")
        verb = f"adopt {' '.join(map(str, taken.values()))} as" if taken else "rehearse" if drill else "deploy"
        what = f"{verb} {record.details.get('version', '?')} on {record.details.get('colour', '?')}"
    elif what == "reconcile" and record.details.get("accept"):
        what = "reconcile --accept"
    why = f": {record.why}" if record.why else ""
    return Line(at, "", "asked", f"{what}, by {record.by}{why}")


def _moved(record: Moved, at: float, does: Mapping[Phase, str]) -> Line:
    """The phase that begins now, and why: what has just been reached."""
    first, *more = record.why.splitlines() or [""]
    word = str(record.to).replace("_", " ")
    if record.to in ENDS | BACK:
        wanted = record.to in GOOD or by_hand(record.why)
        mark, style = ("✓" if record.to in ENDS else "", "") if wanted else ("✗", "red")
        return Line(at, mark, word, first, tuple(more), "good" if record.to in GOOD else style)
    if does is ADOPTING and record.to is Phase.START:
        first = "nothing is to be built"
    step = f", step {record.step + 1}" if record.to is Phase.SHIFT and record.step else ""
    return Line(at, "", word, f"{first}{step}; {does[record.to]}", tuple(more))


def by_hand(why: str) -> bool:
    """Somebody wanted it so."""
    return why.startswith(("rollback by ", "abort by "))


def _finished(record: Finished, at: float) -> Line:
    what = action(record.verb, record.key)
    if record.outcome is Outcome.DONE:
        return Line(at, "", "done", what + (f": {record.detail}" if record.detail else ""), style="dim")
    words = {
        Outcome.TEMPORARY: "failed, and is tried again",
        Outcome.PERMANENT: "failed",
        Outcome.UNCERTAIN: "may have happened; looking before it is repeated",
    }
    first, *more = record.detail.splitlines() or ["no reason given"]
    return Line(at, "✗", "trouble", f"{what} {words[record.outcome]}: {first}", tuple(more), "warn")


_SUBJECTS = {"live": "route", "route": "route", "look": "seen", "candidate": "candidate"}


def _judged(record: Judged, at: float) -> Line:
    topic, _, name = record.subject.partition(":")
    first, *more = record.reason.splitlines() or [""]
    text = f"{name}: {first}" if name and first else name or first
    if record.subject == "look" and record.verdict is Verdict.UNKNOWN:
        return Line(at, "✗", "blind", f"cannot see {text}", tuple(more), "warn")
    marks = {Verdict.PASS: ("✓", ""), Verdict.FAIL: ("✗", "red"), Verdict.UNKNOWN: ("?", "warn")}
    mark, style = marks.get(record.verdict, ("·", ""))
    return Line(at, mark, _SUBJECTS.get(record.subject, topic), text or str(record.verdict), tuple(more), style)


def action(verb: str, key: str) -> str:
    """What `Started` and `Finished` speak of: `r-0002/start/0/apply/green:r-0002:idle/1` in words."""
    parts = key.split("/")
    target = "/".join(parts[4:-1]) if len(parts) > 5 else ""
    match verb:
        case "make":
            return "make the artefact"
        case "apply":
            colour, _, rest = target.partition(":")
            release, _, role = rest.partition(":")
            return f"run {release} on {colour} as {role.replace('+sweep', ', ending what was left over')}"
        case "remove":
            return f"stop {target}"
        case "route":
            split, _, test = target.partition("+test-")
            blue, _, green = split.partition("-")
            return f"tell the router: blue {blue} · green {green}" + (f", test route to {test}" if test else "")
        case "unroute":
            return "stop the router"
        case "ask":
            return f"ask {target}"
        case "withdraw":
            return f"end {target}"
    return f"{verb} {target}"
