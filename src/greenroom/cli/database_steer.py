"""`greenroom db status`, `db contract`, `db restore`: how far the shared database is, and the end of its old shape."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from greenroom.cli.context import Context, Installation
from greenroom.cli.stand import retire
from greenroom.cli.text import Ink, clock, columns, plain, span, wrapped
from greenroom.domain.model import Verdict
from greenroom.domain.phases import Phase
from greenroom.domain.release import Contract, Service
from greenroom.domain.schema import Part, Ruling, SchemaState, Stage, Stand
from greenroom.domain.status import schema_document
from greenroom.errors import GreenroomError, Permanent, PortError, Refused, Unobservable, UsageError
from greenroom.ports import Migrator

PATIENCE = 20.0
"""Seconds for which a contract that waits is watched; then it goes on without us."""

_CODES = {Verdict.PASS: 0, Verdict.WAIT: 7, Verdict.FAIL: 4, Verdict.UNKNOWN: 6}
_MARKS = {Stand.DONE: "✓", Stand.RUNNING: "▸", Stand.SOFT: "◦", Stand.PENDING: "·"}


def _migrator(installed: Installation) -> Migrator:
    found = installed.migrator()
    if found is None:
        hint = "`migrations: {url: ${DATABASE_URL}}` names the database, and a folder `migrations` the changes"
        raise UsageError(f"{installed.file.name} has no `migrations:`", hint=hint)
    return found


def _by_any_way(context: Context) -> tuple[Installation, Migrator]:
    """As the file says now; where it cannot be read as a whole, as what is live was told, with the secrets it was given."""
    try:
        installed = context.open()
    except UsageError:
        with contextlib.suppress(GreenroomError):
            installed = context.reach()
            if (found := installed.migrator()) is not None:
                return installed, found
        raise
    return installed, _migrator(installed)


# --- status ---------------------------------------------------------------------------------------------------------


def status(context: Context) -> int:
    installed, migrator = _by_any_way(context)
    seen = migrator.observe(installed.name)
    begun = installed.begun
    service, now = (installed.control.state(), installed.control.now()) if begun else (Service(), 0.0)
    document = status_document(installed.name, seen, service, now)
    if context.json:
        context.document(document)
    else:
        context.lines(page(document, context.width, context.ink))
    return int(document["exit"])


def status_document(name: str, seen: SchemaState, service: Service, now: float) -> dict[str, Any]:
    """`db status --json`."""
    return {
        "service": name,
        "exit": 6 if seen.unseen else 0,
        "unseen": seen.unseen,
        "migrations": [_part(part, service) for part in seen.parts],
        "schema": schema_document(service, now),
        "now": now,
    }


def _part(part: Part, service: Service) -> dict[str, Any]:
    known = {
        "migration": part.migration,
        "stage": str(part.stage),
        "state": str(part.stand),
        "release": part.release,
        "version": part.version,
        "by": part.by,
        "since": part.since or None,
        "detail": part.detail,
        "stopped": _stopped(part, service),
    }
    at = part.progress
    return known | {"progress": at and {"rows": at.rows, "of": at.of, "rate": at.rate, "left": at.left}}


def _stopped(part: Part, service: Service) -> str:
    """Why nobody goes on with what was begun, and how it goes on; "" where somebody does, or the journal does not know."""
    running, asked = service.running, service.contract
    if part.stand is not Stand.RUNNING or service.release is None:
        return ""
    if part.stage is Stage.CONTRACT:
        if asked is None or not asked.open:
            return "is half done, and nobody goes on with it; `greenroom db contract` does"
        return f"goes on when {running.id} is over" if running else ""
    if running is not None and running.phase not in (Phase.ABORTING, Phase.ROLLING_BACK):
        return "" if running.id == part.release else f"was begun by {part.release}; {running.id} goes on with it"
    ended = (*service.past, service.release)
    known = next((f" ({str(r.row.status).replace('_', ' ')})" for r in ended if r.id == part.release), "")
    way = "`greenroom deploy VERSION` goes on with it, where the release still has this migration"
    return f"stopped with {part.release}{known}, and what is done stays; {way}"


def page(document: Mapping[str, Any], width: int, ink: Ink) -> list[str]:
    """One line a migration, its three stages side by side; below it what goes on."""
    if document["unseen"]:
        text = f"{document['service']}: the database cannot be seen: {document['unseen']}"
        return [ink(line, "red") for line in wrapped(text, width)]
    parts = document["migrations"]
    names = list(dict.fromkeys(part["migration"] for part in parts))
    title = f"{document['service']}: {len(names)} migration{'' if len(names) == 1 else 's'} in the ledger"
    lines = [ink(title, "bold")]
    if names:
        rows = [[f"  {name}", *(_cell(parts, name, stage, document["now"]) for stage in Stage)] for name in names]
        head, *table = columns(rows, gap="   ", heads=["", *map(str, Stage)])
        lines += ["", ink(head, "dim"), *table]
    for part in parts:
        lines += _going_on(part, width)
    if schema := document["schema"]:
        lines += ["", *_safe(schema, float(document["now"]), width)]
    return lines


def _cell(parts: Sequence[Mapping[str, Any]], name: str, stage: Stage, now: float) -> str:
    part = next((p for p in parts if p["migration"] == name and p["stage"] == stage), None)
    if part is None:
        return "–"
    since = f" {clock(part['since'], now or part['since'])}" if part["since"] and part["state"] != "pending" else ""
    if part["stopped"]:
        return f"! stopped{since}"
    words = {"done": "done", "running": "runs", "soft": "out of reach", "pending": "waits"}
    return f"{_MARKS[Stand(part['state'])]} {words[part['state']]}{since}"


def _going_on(part: Mapping[str, Any], width: int) -> list[str]:
    at = part["progress"]
    texts = []
    if at and part["state"] == "running":
        left = f", {span(at['left'])} left" if at["left"] is not None else ""
        pace = "" if part["stopped"] else f", {at['rate']:,.0f} a second{left}"
        texts.append(f"{part['migration']}: {at['rows']:,} of about {at['of']:,} rows{pace}")
    if part["detail"] and part["state"] in ("running", "soft"):
        texts.append(f"{part['migration']}: {plain(part['detail'])}")
    if part["stopped"]:
        texts.append(f"{part['migration']}: its {part['stage']} {part['stopped']}")
    return [line for text in texts for line in wrapped(text, width, "    ", "  ")]


def _safe(schema: Mapping[str, Any], now: float, width: int) -> list[str]:
    lines = []
    if schema["rollback_safe_until"] is not None:
        lines += wrapped(f"rollback safe until {clock(schema['rollback_safe_until'], now)}", width, "    ", "  ")
    if contract := schema["contract"]:
        said = (contract["reason"].splitlines() or ["begins"])[0]
        lines += wrapped(f"contract, asked for by {contract['by']}: {said}", width, "    ", "  ")
    return lines


# --- contract -------------------------------------------------------------------------------------------------------


def contract(context: Context, why: str, allow: Sequence[str], *, close_window: bool) -> int:
    if (allow or close_window) and not why:
        raise UsageError(
            f"{'--allow' if allow else '--close-window'} needs a reason: `--why`", hint="the ledger keeps it"
        )
    installed = context.reach()
    migrator = _migrator(installed)
    _aimed(installed, migrator, dict.fromkeys(allow, why))
    if close_window and (code := _in_vain(context, installed, migrator, dict.fromkeys(allow, why))):
        return code
    if close_window and installed.control.state().warm_at(installed.control.now()) is not None:
        code = retire(context, why)
        if code:
            return code
    accepted = context.ask(installed, "contract", why, allow=dict.fromkeys(allow, why))
    if not accepted.written:
        context.say(f"{accepted.text}.")
    return _follow(context, installed)


def _aimed(installed: Installation, migrator: Migrator, allowed: Mapping[str, str]) -> None:
    """What is allowed must be something: a name or a place that nothing stands at is a slip, told before anything begins."""
    asked = installed.control.state().contract
    if not allowed or (asked is not None and asked.open):
        return  # the same command again goes on with one that has begun, for which other things count by now

    def against(overrides: Mapping[str, str]) -> list[str]:
        order = replace(installed.order(), overrides=overrides)
        ruled = migrator.judge((Stage.CONTRACT,), order) if any(":" in one for one in allowed) else ()
        refused = [f"{one.file}:{one.line}: {one.rule}" for one in ruled if one.ruling is Ruling.REFUSE]
        return [*migrator.foresee(order), *refused]

    try:
        left = against(allowed)
        for place in (one for one in allowed if ":" in one):
            if left == against({name: why for name, why in allowed.items() if name != place}):
                known = "; ".join((plain(one).splitlines() or [""])[0] for one in against({})[:5])
                hint = f"what stands against it: {known}" if known else "nothing stands against it so far; leave it out"
                raise UsageError(f"--allow {place}: nothing stands against the contract there", hint=hint)
    except PortError as error:
        raise Unobservable(error.message, hint=error.hint) from error


def _in_vain(context: Context, installed: Installation, migrator: Migrator, allowed: Mapping[str, str]) -> int:
    """The way back is not given up for a contract that would be refused then; 0 if nothing stands against it."""
    order = installed.order()
    alone = {colour: version for colour, version in order.colours.items() if version == order.running}
    order = replace(order, colours=alone, overrides=allowed, baked=True, closed=installed.by())
    try:
        found = migrator.foresee(order)
    except PortError as error:
        raise Unobservable(error.message, hint=error.hint) from error
    if not found:
        return 0
    first, *more = found
    if more and not context.json:
        context.lines([line for text in more for line in wrapped(plain(text), context.width, "    ", "  · ")])
    return context.result(4, f"refused: {first}", hint="nothing was changed, the way back is still open")


def _follow(context: Context, installed: Installation) -> int:
    """Until it is over, or waits for longer than anybody wants to look at it."""
    tick, heard = context.tools.clock, ""
    calm = tick.now() + PATIENCE
    while True:
        asked = installed.control.state().contract
        if asked is None:
            raise Refused("it was taken back meanwhile", hint="`greenroom db status` tells how far it is")
        said = asked.judged.reason if asked.judged else ""
        if said != heard and context.live:
            context.say(f"  {(said.splitlines() or [''])[0]}")
            heard = said
        if not asked.open or (asked.judged is not None and tick.now() > calm):
            return _end(context, installed, asked)
        if tick.now() > calm + PATIENCE:
            installed.ensure_engine()
            calm = tick.now()
        tick.sleep(0.2)


def _end(context: Context, installed: Installation, asked: Contract) -> int:
    assert asked.judged is not None
    verdict, (first, *more) = asked.judged.verdict, asked.judged.reason.splitlines() or [""]
    goes_on = "the engine goes on with it" if installed.here else "the same command again goes on with it"
    kept = "nothing more was taken away"
    texts = {
        Verdict.PASS: (first or "what nobody needed any more is gone", "there is nothing to go back to now"),
        Verdict.WAIT: (f"not yet: {first}", f"{goes_on}; `greenroom db status` tells how"),
        Verdict.FAIL: (f"refused: {first}", f"{kept}; `greenroom db contract --help`"),
        Verdict.UNKNOWN: (f"it could not be told: {first}", kept),
    }
    text, hint = texts[verdict]
    if told := [plain(line) for line in more if line not in first and not context.json]:
        context.lines([*(line for each in told for line in wrapped(each, context.width, "    ", "  · ")), ""])
    return context.result(_CODES[verdict], text, hint=hint)


def restore(context: Context, name: str, why: str) -> int:
    """The engine is told first, so that it does not hide again what is put back here."""
    installed = context.reach()
    migrator = _migrator(installed)
    asked = installed.control.state().contract
    name = name or _hidden(migrator, installed.name, may_be_none=asked is not None and asked.open)
    context.ask(installed, "restore", why)
    if not name:
        return context.result(0, "The contract was taken back; nothing was out of reach.")
    try:
        found = migrator.restore(installed.order(), name)
    except Permanent as error:
        raise Refused(error.message, hint=error.hint) from error
    except PortError as error:
        raise Unobservable(error.message, hint=error.hint) from error
    hint = "" if found.verdict is Verdict.PASS else "`greenroom db status` tells what is out of reach"
    return context.result(_CODES[found.verdict], found.reason or "it is all in its place again", hint=hint)


def _hidden(migrator: Migrator, service: str, *, may_be_none: bool) -> str:
    """The one migration that has something out of reach; "" where there is none, and need not be."""
    seen = migrator.observe(service)
    if seen.unseen:
        raise Unobservable(f"the database cannot be seen: {seen.unseen}")
    names = [part.migration for part in seen.parts if part.stand is Stand.SOFT]
    if len(names) == 1 or (not names and may_be_none):
        return names[0] if names else ""
    if names:
        raise UsageError(
            f"several are out of reach: {', '.join(names)}", hint="`greenroom db restore MIGRATION` names one"
        )
    raise Refused("nothing is out of reach", hint="what was removed is gone; `greenroom db status` tells how far it is")
