"""What `greenroom status` prints, from the status document. Standard library only, cheap to import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from greenroom.cli.text import Ink, ago, clock, columns, plain, rate_line, span, wrapped

Doc = Mapping[str, Any]

LABEL = 12
"""Columns before what a line says."""

_STYLES = {"ready": "good", "warm": "good", "starting": "warn", "unhealthy": "red", "unknown": "warn", "absent": "dim"}
_ALARMING = {"stuck", "failed", "rolling_back"}


def exit_code(status: Doc) -> int:
    """6: drifted, stuck, or the truth cannot be seen; 7: waiting for a person; 0 otherwise."""
    release = status.get("release") or {}
    if status.get("journal", "ok") in ("unreadable", "unwritable") or status.get("route") == "drifted":
        return 6
    if release.get("status") == "stuck" or (status.get("route") == "unknown" and not _nothing(status)):
        return 6
    if (active := status.get("active")) and status["environments"][active["colour"]]["state"] == "unknown":
        return 6
    return 7 if release.get("status") in ("paused", "waiting_approval") else 0


def sheet(status: Doc, width: int, ink: Ink) -> list[str]:
    """The lines for a person: who is live first, then why."""
    lines = [headline(status, ink), ""]
    if not _nothing(status) and not _still(status):
        lines += [*_environments(status, width, ink), ""]
    lines += _facts(status, width, ink)
    for problem in status.get("problems") or ():
        first, *rest = wrapped(problem, width, indent="    ", first="  ! ")
        lines += [ink(first, "warn"), *rest]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def headline(status: Doc, ink: Ink) -> str:
    """One sentence: who is live."""
    name, active, now = status.get("service") or "the service", status.get("active"), float(status["now"])
    if status.get("down"):
        return f"{ink(name, 'bold')} is down, on purpose"
    if active:
        version, colour = ink(str(active["version"]), "bold"), ink(active["colour"], active["colour"])
        since = f"since {clock(active['since'], now)} ({ago(active['since'], now)})"
        return f"{ink(name, 'bold')}: {version} is live on {colour} {since}"
    if status.get("journal", "ok") == "unreadable":
        return f"{ink(name, 'bold')}: the journal cannot be read; this is what runs"
    return f"{ink(name, 'bold')}: nothing is live yet"


def _nothing(status: Doc) -> bool:
    """Neither a release nor anything that runs: there is nothing to tell about environments."""
    environments = status.get("environments") or {}
    runs = any(e.get("state") not in ("absent", "unknown") for e in environments.values())
    return not (status.get("down") or status.get("active") or status.get("release") or runs or status.get("traffic"))


def _still(status: Doc) -> bool:
    """Down, and all of it has ended."""
    environments = (status.get("environments") or {}).values()
    return bool(status.get("down")) and all(e.get("state") == "absent" for e in environments)


def _environments(status: Doc, width: int, ink: Ink) -> list[str]:
    """The two colours, the active one first: a table of five columns."""
    active = (status.get("active") or {}).get("colour", "blue")
    order = sorted(status.get("environments") or {}, key=lambda colour: (colour != active, colour))
    rows, styles = [], []
    for colour in order:
        environment = status["environments"][colour]
        state = str(environment.get("state", "unknown"))
        cells = [colour, environment.get("version") or "–", state, replicas(environment), _traffic(status, colour)]
        rows.append([f"  {cells[0]}", *cells[1:]])
        styles.append((colour, colour if colour in ("blue", "green") else "", state, _STYLES.get(state, "")))
    heads = ["", "version", "state", "replicas", "traffic"]
    table = columns(rows, gap="   ", heads=heads)
    lines = [ink(table[0], "dim")]
    for line, (colour, paint, state, style) in zip(table[1:], styles, strict=True):
        before, after = line.split(state, 1) if state in line else (line, "")
        before = before.replace(colour, ink(colour, paint), 1)
        lines.append(f"{before}{ink(state, style)}{after}" if after or state in line else line)
        lines += [*_holding(status, colour), *_ailing(status["environments"][colour], width)]
    return lines


def replicas(environment: Doc) -> str:
    """`web 2/2, worker 1/1`: healthy of all, by process."""
    counts: dict[str, list[int]] = {}
    for member in environment.get("members") or ():
        if not member.get("process"):
            continue  # a machine that cannot be seen
        count = counts.setdefault(str(member.get("process")), [0, 0, 0])
        count[0] += member.get("health") == "healthy"
        count[1] += 1
        count[2] += int(member.get("restarts") or 0)
    texts = []
    for process, (healthy, every, restarts) in counts.items():
        again = f" ({restarts} restart{'s' if restarts > 1 else ''})" if restarts else ""
        texts.append(f"{process} {healthy}/{every}{again}")
    return ", ".join(texts) or "–"


def _ailing(environment: Doc, width: int) -> list[str]:
    """What is said of each replica that is not well."""
    lines: list[str] = []
    for member in environment.get("members") or ():
        if member.get("health") != "healthy" and member.get("detail"):
            detail = plain(str(member["detail"]).splitlines()[0])
            on = f"{member['machine']}/" if member.get("machine") else ""
            name = f"{on}{member['process']}-{member['replica']}"
            text = f"{name} is {member['health']}: {detail}" if member["process"] else detail
            lines += wrapped(text, width, indent=" " * 8, first=" " * 6)
    return lines


def _traffic(status: Doc, colour: str) -> str:
    shares = status.get("traffic")
    return "not seen" if shares is None else f"{shares.get(colour, 0):3} %"


def _holding(status: Doc, colour: str) -> list[str]:
    """What still holds a colour that gets no new requests."""
    held = (status.get("holding") or {}).get(colour, 0)
    if not held or (status.get("traffic") or {}).get(colour, 0):
        return []
    what = "requests or connections still hold it" if held > 1 else "request or connection still holds it"
    return [f"      {held} {what}"]


def _facts(status: Doc, width: int, ink: Ink) -> list[str]:
    lines: list[str] = []
    for label, text, style in _labelled(status):
        first, *rest = wrapped(text, width, indent=" " * LABEL, first=f"  {label:<{LABEL - 2}}")
        painted = ink(first[LABEL:], style) if style else first[LABEL:]
        lines += [ink(first[:LABEL], "dim") + painted, *(ink(line, style) for line in rest)]
    return lines


def _labelled(status: Doc) -> list[tuple[str, str, str]]:
    """(label, text, style) of every fact that there is."""
    facts: list[tuple[str, str, str]] = []
    if not _nothing(status):
        facts.append(("route", *_route(status)))
    for colour, rates in (status.get("rates") or {}).items():
        if (text := rate_line(rates)) and (rates.get("requests_per_s") or 0) > 0:
            facts.append((colour, text, "red" if (rates.get("errors_per_s") or 0) > 0 else ""))
    if release := status.get("release"):
        facts += _release(release, float(status["now"]))
        doing = str((status.get("engine") or {}).get("doing") or "")
        waits = release["status"] in ("running", "rolling_back") or _over(release, float(status["now"]))
        if waits and doing and doing not in str(release.get("reason")):
            facts.append(("engine", doing, ""))
    if warm := status.get("warm"):
        until = f"until {clock(warm['until'], status['now'])}"
        text, style = f"`greenroom rollback` returns to {warm['version']} on {warm['colour']}, {until}", ""
        if warm.get("able") is False:
            text = f"{warm['version']} on {warm['colour']} cannot serve now; `greenroom rollback` starts it first"
            style = "red"
        facts.append(("way back", text, style))
    if schema := status.get("schema"):
        facts.append(("database", *_schema(schema, status)))
    if kept := status.get("kept"):
        facts.append(("kept", _kept(kept, float(status["now"])), ""))
    if engine := _engine(status):
        facts.append(engine)
    if way := _way_on(status):
        facts.append(("next", way, ""))
    return facts


def _schema(schema: Doc, status: Doc) -> tuple[str, str]:
    """Whether the way back is safe as far as the database goes, and how far a contract is."""
    contract, safe = schema.get("contract"), schema.get("rollback_safe_until")
    if safe is not None:
        return f"rollback safe until {clock(safe, status['now'])}: nothing is taken away before that", ""
    if contract is None and (at := schema.get("contracted")) is not None:
        return f"the old was last taken away {clock(at, status['now'])}; `greenroom db status` tells what is left", ""
    if contract is None:
        return "no version to go back to; `greenroom db contract` takes away what nobody needs any more", ""
    said = (str(contract.get("reason") or "").splitlines() or [""])[0]
    style = {"pass": "good", "fail": "red", "unknown": "warn"}.get(str(contract.get("verdict")), "")
    return f"contract, asked for by {contract['by']}: {said or 'begins'}", style


def _kept(kept: Doc, now: float) -> str:
    until = f"until {clock(kept['until'], now)}" if kept.get("until") is not None else "until `greenroom retire`"
    look = f"`greenroom logs`, `greenroom show {kept['release']}`"
    return f"{kept['version']} stays on {kept['colour']} {until}, without traffic, to look at: {look}"


def _route(status: Doc) -> tuple[str, str]:
    route = status.get("route")
    if route == "drifted":
        why = status.get("drift") or "somebody else moved it"
        return f"drifted: {why}", "red"
    if status.get("journal", "ok") == "unreadable":
        return "unknown: there is no record to compare it with", "warn"
    if route == "unknown":
        return "unknown: what the router serves could not be confirmed", "warn"
    return "nothing is routed" if _still(status) else "in sync, seen at the router just now", ""


def _over(release: Doc, now: float) -> bool:
    """Its step or bake should have ended, and lasts longer."""
    until = release.get("until")
    return until is not None and now > until


def _release(release: Doc, now: float) -> list[tuple[str, str, str]]:
    state = str(release["status"])
    words = state.replace("_", " ")
    if release.get("ended") is not None:
        when = f"{clock(release['ended'], now)} ({ago(release['ended'], now)})"
    else:
        when = f"in {release['stage'].replace('_', ' ')} since {clock(release['since'], now)}"
        if until := release.get("until"):
            ends = f"until {clock(until, now, exact=True)} ({span(until - now)} left)"
            when += ", over since " + clock(until, now, exact=True) if _over(release, now) else f", {ends}"
    style = "red" if state in _ALARMING else "warn" if state in ("paused", "waiting_approval") else ""
    facts = [("release", f"{release['id']} ({release['version']}): {words}, {when}", style)]
    first, *more = str(release.get("reason") or "").splitlines() or [""]
    if first:
        facts.append(("", first, ""))
    if more:
        facts.append(("", f"… and {len(more)} line{'s' if len(more) > 1 else ''} more: `greenroom show`", "dim"))
    return facts


def _engine(status: Doc) -> tuple[str, str, str] | None:
    """Somebody should be awake. A lock that is held by it is no news."""
    engine, lock = status.get("engine"), status.get("lock")
    if engine is not None:
        return None
    if lock is None:
        return None
    who = f", {lock['holder']} works on it" if lock.get("holder") else "; nobody works on it now"
    return "lock", f"{lock['release']} by {lock['by']} since {clock(lock['since'], status['now'])}{who}", ""


def _way_on(status: Doc) -> str:
    """What a person may type now, where it is not said already."""
    release = status.get("release") or {}
    if status.get("journal", "ok") == "unreadable":
        return ""
    if status.get("down"):
        return "`greenroom resume` starts it again, `greenroom deploy VERSION` another version"
    if status.get("route") == "drifted":
        return "`greenroom reconcile` puts it back, `greenroom reconcile --accept` takes it over"
    if release.get("status") in ("paused", "waiting_approval"):
        return ""  # its sentence says how to go on
    if release.get("ended") is None and release:
        back = {"aborting": "abort", "rolling_back": "rollback"}.get(release.get("stage", ""))
        if back:
            return f"`greenroom {back}` follows it"
        exposed = release.get("stage") in ("shift", "bake")
        end = "`greenroom rollback` takes it back" if exposed else "`greenroom abort` ends it"
        return f"`greenroom deploy {release['version']}` follows it, {end}"
    return "`greenroom deploy VERSION` releases the first version" if _nothing(status) else ""
