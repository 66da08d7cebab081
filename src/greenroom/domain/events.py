"""What is worth telling a person, read off the journal: one event at most for each record. Pure.

`started`, `waiting_approval`, `paused`, `drifted`, `recovered`, `stuck`, `shifted`, and the ends `succeeded`, `aborted`,
`rolled_back`, `failed`. An event's id is its place in the journal, so it is the same at every delivery.
"""

from __future__ import annotations

from typing import Any

from greenroom.domain.model import Event, Verdict
from greenroom.domain.phases import ENDS, Phase
from greenroom.domain.records import Entry, Judged, Moved, Requested
from greenroom.domain.release import Release, Service
from greenroom.domain.status import waits_for_approval

KINDS = frozenset(
    (
        "started",
        "waiting_approval",
        "paused",
        "drifted",
        "stuck",
        "recovered",
        "shifted",
        "succeeded",
        "aborted",
        "rolled_back",
        "failed",
    )
)


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
    names = (release.id, release.version) if release else ("", "")
    return Event(f"{name}/{entry.seq}", kind, name, entry.at, *names, text, facts)


def _found(before: Service, entry: Entry, after: Service) -> tuple[str, str] | None:
    match entry.record:
        case Requested(command="deploy", by=by):
            verb = "adopted" if entry.record.details.get("adopt") else "released"
            return "started", f"{_version(after)} is being {verb} (asked for by {by})"
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
        case _:
            return None


def _moved(record: Moved, after: Service) -> tuple[str, str] | None:
    version = _version(after)
    match record.to:
        case Phase.SUCCEEDED:
            return "succeeded", f"{version} is live: {record.why}"
        case Phase.ABORTED:
            return "aborted", f"{version} was not released: {record.why}; no traffic was moved"
        case Phase.ROLLED_BACK:
            live = after.active.version if after.active else "the version before"
            return "rolled_back", f"{version} was taken back, {live} serves: {record.why}"
        case Phase.FAILED:
            return "failed", f"{version} failed and keeps the traffic: {record.why}"
        case _:
            assert record.to not in ENDS
            return None


def _live(before: Service, after: Service) -> tuple[str, str] | None:
    release = after.release
    if release is None or release.phase is not Phase.SHIFT or _step_known(before.release):
        return None
    if waits_for_approval(release):
        return (
            "waiting_approval",
            f"{release.share} % of the traffic is on {release.version}; approve by `greenroom promote`",
        )
    return "shifted", f"{release.share} % of the traffic is on {release.version} ({release.colour})"


def _step_known(release: Release | None) -> bool:
    return release is None or release.live_since is not None


def _version(service: Service) -> str:
    return service.release.version if service.release else "nothing"
