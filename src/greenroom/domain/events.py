"""What is worth telling a person, read off the journal: one event at most for each record. Pure.

`started`, `waiting_approval`, `warned`, `paused`, `drifted`, `recovered`, `stuck`, `shifted`, and the ends `succeeded`,
`aborted`, `rolled_back`, `failed`; `contracted`: the old is gone from the database. An event's id is its place in the
journal, so it is the same at every delivery.

Its facts: `stage`, `colour`, `active`, `active_version`; `baseline` (the version before); `by` (who asked for the release,
or for what the event tells), `why` (as they gave it); `reason` and `evidence` (lines); `took` (seconds since it began);
`share` (the candidate's, in percent); `numbers` (by colour: `version`, `role`, `requests`, `errors`, `error_rate`, `p50`,
`p99`, `over`), where a decision left them in the journal; `ways` (commands, each with what it does).
"""

from __future__ import annotations

from typing import Any

from greenroom.domain.gating import tolerated
from greenroom.domain.model import Event, Verdict
from greenroom.domain.numbers import beside
from greenroom.domain.phases import ENDS, Phase
from greenroom.domain.plan import CONTRACT
from greenroom.domain.records import Entry, Judged, Moved, Requested
from greenroom.domain.release import Release, Service
from greenroom.domain.status import waits_for_approval

KINDS = frozenset(
    (
        "started",
        "waiting_approval",
        "warned",
        "paused",
        "drifted",
        "stuck",
        "recovered",
        "shifted",
        "succeeded",
        "aborted",
        "rolled_back",
        "rehearsed",
        "contracted",
        "failed",
    )
)

_EVIDENCE = 20
"""Lines."""


def event_of(name: str, before: Service, entry: Entry, after: Service) -> Event | None:
    """What this record means to a person, given the state before and after it."""
    found = _found(before, entry, after)
    if found is None:
        return None
    kind, text = found
    release = after.release
    facts: dict[str, Any] = {"stage": str(release.phase), "colour": str(release.colour)} if release else {}
    if after.active is not None:
        facts |= {"active": str(after.active.colour), "active_version": after.active.version}
    if release is not None:
        facts |= _about(release, entry)
    if ways := _ways(kind, after, entry.at):
        facts["ways"] = ways
    names = (release.id, release.version) if release else ("", "")
    first, *more = text.splitlines() or [""]
    if more:
        facts["evidence"] = more[:_EVIDENCE]
    return Event(f"{name}/{entry.seq}", kind, name, entry.at, *names, first, facts)


def _found(before: Service, entry: Entry, after: Service) -> tuple[str, str] | None:
    match entry.record:
        case Requested(command="deploy", by=by):
            return "started", f"{_version(after)} is being {_verb(entry.record, after)} (asked for by {by})"
        case Requested(command="pause", by=by):
            return "paused", f"{_version(after)} was paused by {by}; `greenroom resume` goes on"
        case Moved() as record:
            return _moved(record, after)
        case Judged(subject="live"):
            return _live(before, after)
        case Judged(subject="route", verdict=verdict, reason=reason):
            if verdict is Verdict.FAIL:
                return "drifted", f"{reason}; `greenroom reconcile` puts it back"
            return ("recovered", "the route is as expected again") if before.drift else None
        case Judged(subject="stuck", verdict=verdict, reason=reason):
            return ("recovered" if verdict is Verdict.PASS else "stuck"), reason
        case Judged(subject=CONTRACT.subject, verdict=verdict, reason=reason):
            return _contract(before, after, verdict, reason)
        case Judged(subject=subject) as record if subject.startswith("gate:"):
            return _gate(before, record, after)
        case _:
            return None


def _verb(record: Requested, after: Service) -> str:
    if record.details.get("adopt"):
        return "adopted"
    return "rehearsed" if after.release is not None and after.release.plan.rehearsal else "released"


def _moved(record: Moved, after: Service) -> tuple[str, str] | None:
    version = _version(after)
    match record.to:
        case Phase.SUCCEEDED:
            return "succeeded", _with(f"{version} is live", record.why)
        case Phase.ABORTED:
            return "aborted", _with(f"{version} was not released", record.why, "; no traffic was moved")
        case Phase.ROLLED_BACK if after.release is not None and after.release.rehearsed:
            return "rehearsed", f"the way back was rehearsed with {version}, and works"
        case Phase.ROLLED_BACK:
            live = after.active.version if after.active else "the version before"
            return "rolled_back", _with(f"{version} was taken back, {live} serves", record.why)
        case Phase.FAILED:
            return "failed", _with(f"{version} failed and keeps the traffic", record.why)
        case _:
            assert record.to not in ENDS
            return None


def _with(text: str, why: str, tail: str = "") -> str:
    """The first line of `why` in the sentence; its evidence below."""
    first, *more = why.splitlines() or [""]
    return "\n".join((f"{text}: {first}{tail}", *more))


def _live(before: Service, after: Service) -> tuple[str, str] | None:
    release = after.release
    if release is None or release.phase is not Phase.SHIFT or _step_known(before.release):
        return None
    if waits_for_approval(release):
        return (
            "waiting_approval",
            f"{release.share} % of the traffic is on {release.version}; approve by `greenroom promote`",
        )
    return "shifted", f"{_share(release)} % of the traffic is on {release.version} ({release.colour})"


def _gate(before: Service, record: Judged, after: Service) -> tuple[str, str] | None:
    """People are told once that a gate waits for them, and of what failed and stops nothing."""
    gate = next((g for g in after.release.plan.gates if g.subject == record.subject), None) if after.release else None
    known = before.release.judgement(record.subject) if before.release else None
    if gate is None or after.release is None or record.release != after.release.id:
        return None
    if gate.people and record.verdict is Verdict.WAIT and known is None:
        text = f"{_version(after)} waits for approval ({gate.name})"
        told = "`greenroom promote`" in (record.reason.splitlines() or [""])[0]
        return "waiting_approval", _with(text, record.reason, "" if told else "; approve by `greenroom promote`")
    if tolerated(after.release, gate, record.verdict):
        could = "could not be answered" if record.verdict is Verdict.UNKNOWN else "failed"
        return "warned", _with(f"{gate.name} {could} for {_version(after)}, which goes on", record.reason)
    return None


def _contract(before: Service, after: Service, verdict: Verdict, reason: str) -> tuple[str, str] | None:
    """Told once each: that it waits (it may hide something meanwhile), that it is over, that it was refused."""
    known = before.contract.judged if before.contract else None
    live = after.active.version if after.active else "nothing"
    match verdict:
        case Verdict.PASS:
            return "contracted", _with(f"the old is gone from the database, {live} is live", reason)
        case Verdict.WAIT:
            hides = "greenroom db restore" in reason
            told = known is not None and "greenroom db restore" in known.reason
            return ("warned", _with("the old was moved out of reach", reason)) if hides and not told else None
        case _:
            return "warned", _with("nothing more was taken from the database", reason)


def _share(release: Release) -> int:
    return 100 if release.whole else release.share


def _step_known(release: Release | None) -> bool:
    return release is None or release.live_since is not None


def _version(service: Service) -> str:
    return service.release.version if service.release else "nothing"


def _about(release: Release, entry: Entry) -> dict[str, Any]:
    record = entry.record
    facts: dict[str, Any] = {"by": release.by, "took": round(max(0.0, entry.at - release.begun), 1)}
    if isinstance(record, Requested):
        facts["by"] = record.by
        if record.why:
            facts["why"] = record.why
    if release.baseline is not None:
        facts["baseline"] = release.baseline.version
    if release.failure:
        facts["reason"] = (release.failure.splitlines() or [""])[0]
    if release.phase in (Phase.SHIFT, Phase.BAKE):
        facts["share"] = _share(release)
    if found := _numbers(release, record):
        facts["numbers"] = found
    return facts


def _numbers(release: Release, record: object) -> dict[str, Any]:
    """Those that this record brings, else those with which it was decided to go back."""
    own = record.facts.get("figures") if isinstance(record, Moved) else None
    return beside(release, own or release.beside)


def _ways(kind: str, after: Service, at: float) -> dict[str, str]:
    """What a person may do now, by command."""
    back = {"greenroom rollback": "takes it back"}
    match kind:
        case "waiting_approval":
            moved = after.release is not None and after.release.row.exposed
            return {"greenroom promote": "approves"} | (back if moved else {"greenroom abort": "ends the release"})
        case "paused":
            moved = after.release is not None and after.release.row.exposed
            return {"greenroom resume": "goes on"} | (back if moved else {"greenroom abort": "ends the release"})
        case "warned" if after.running is None:
            return {"greenroom db status": "tells what is out of reach", "greenroom db restore": "puts it back"}
        case "shifted" | "warned":
            return back if after.release is not None and after.release.baseline is not None else {}
        case "succeeded":
            warm = after.warm_at(at)
            return {"greenroom rollback": f"{warm.deployed.version} serves again, at once"} if warm else {}
        case "drifted":
            return {"greenroom reconcile": "puts the route back", "greenroom reconcile --accept": "keeps it as it is"}
        case "stuck":
            return {"greenroom status": "says what is wrong", "greenroom doctor": "checks the set-up"}
        case "aborted" | "rolled_back" | "failed":
            release = after.release.id if after.release else ""
            return {f"greenroom show {release}".strip(): "tells the whole story"}
        case _:
            return {}
