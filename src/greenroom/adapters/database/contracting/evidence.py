"""Whether the live version still uses what goes: two places to look, of which one must have seen, and none found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from greenroom.adapters.database.contracting import code
from greenroom.adapters.database.contracting.excuses import Problem
from greenroom.adapters.database.contracting.gate import Asked
from greenroom.adapters.database.contracting.statements import Counted, Look, Seen, between, failures, look
from greenroom.adapters.database.contracting.store import Store
from greenroom.domain.model import Verdict

_WITHOUT = "or say yourself why it is not used: `--allow evidence --why …`"


@dataclass(frozen=True, slots=True)
class Evidence:
    """`left`: seconds that the server's statements are still to be watched. `lines`: what was looked at, for people."""

    problems: tuple[Problem, ...] = ()
    left: float = 0.0
    lines: tuple[str, ...] = ()


def gather(asked: Asked, store: Store, reasons: Mapping[str, str], *, again: bool = False) -> Evidence:
    """`again`: it is hidden, so that no statement can name it any more; only the code is looked at once more."""
    used = [one for one in asked.goings if one.used]
    if not used and again:
        return Evidence()
    read = _code(asked, reasons)
    if again:
        return Evidence(_hits(read, Seen()), lines=_lines(read, None, asked))
    seen, left = _statements(asked, store)
    problems = _hits(read, seen)
    if not used or left > 0:
        return Evidence(problems, left, _lines(read, seen, asked))
    wanted = asked.settings.evidence
    proved = "code" in wanted and not read.unseen or "statements" in wanted and not seen.unseen
    if not proved:
        why = "; ".join(dict.fromkeys(text for text in (read.unseen, seen.unseen) if text)) or "`evidence` is empty"
        text = f"nothing could look whether {', '.join(map(str, used))} is still used: {why}"
        problems = (*problems, Problem("evidence", text, Verdict.UNKNOWN, _WITHOUT))
    return Evidence(problems, 0.0, _lines(read, seen, asked))


def of_code(asked: Asked, reasons: Mapping[str, str]) -> tuple[Problem, ...]:
    """What the live version's code says alone."""
    return _hits(_code(asked, reasons), Seen()) if any(one.used for one in asked.goings) else ()


def _code(asked: Asked, reasons: Mapping[str, str]) -> code.Found:
    if "code" not in asked.settings.evidence:
        return code.Found(unseen="the code is not searched (`evidence`)")
    names = sorted({one.words[-1] for one in asked.goings if one.used and one.kind != "function"})
    if not names:
        return code.Found(unseen="the code is not searched for what goes")
    skip = (*asked.settings.evidence_skip, "migrations")
    found = code.search(asked.order.artefact, names, skip)
    return replace(found, hits=tuple(hit for hit in found.hits if not code.allowed(hit, reasons)))


def _hits(read: code.Found, seen: Seen) -> tuple[Problem, ...]:
    made = []
    if read.hits:
        text = f"the live version's code names what goes: {_some(read.hits)}"
        made.append(Problem("code", text, hint="deploy a version without it first; or `--allow FILE:LINE --why …`"))
    if seen.hits:
        text = f"statements used it: {_some(seen.hits)}"
        made.append(
            Problem("statements", text, hint="deploy a version without them first; or `--allow statements --why …`")
        )
    if seen.stars:
        text = f"statements read all columns: {_some(seen.stars)}"
        hint = "a prepared one fails once a column goes: name the columns, or `--allow select-star --why …`"
        made.append(Problem("select-star", text, hint=hint))
    return tuple(made)


def _some(hits: tuple[str, ...]) -> str:
    return "; ".join(hits[:5]) + (f"; and {len(hits) - 5} more" if len(hits) > 5 else "")


def _lines(read: code.Found, seen: Seen | None, asked: Asked) -> tuple[str, ...]:
    lines = [read.unseen or f"code: {read.files} files of {asked.order.artefact} were searched"]
    if seen is not None:
        lines.append(seen.unseen or f"statements: {seen.ran} on its tables were watched")
    return tuple(lines)


def _statements(asked: Asked, store: Store) -> tuple[Seen, float]:
    """The first look is remembered; what the server counted is judged by the next ones."""
    settings, now = asked.settings, asked.order.now
    if "statements" not in settings.evidence:
        return Seen(unseen="statements are not watched (`evidence`)"), 0.0
    if settings.evidence_for <= 0:
        return Seen(unseen="statements are not watched (evidence_for: 0)"), 0.0
    seen, name = look(asked.ledger.session, asked.goings), asked.row.name
    if seen.counted.unseen and not seen.counted.uses:
        return Seen(unseen=seen.counted.unseen), 0.0
    remembered = store.watched(name)
    if remembered is None or remembered[0].get("version") != asked.order.version:
        return _begin(asked, store, seen)
    body, since = remembered
    found = between(Counted.of(body["first"]), seen, asked.goings)
    left = max(0.0, since + settings.evidence_for - now)
    if "anew" in found.unseen:
        return _begin(asked, store, seen)
    return (found, left) if found.hits or left == 0 else (Seen(stars=found.stars), left)


def _begin(asked: Asked, store: Store, seen: Look) -> tuple[Seen, float]:
    body = {"version": asked.order.version, "first": seen.counted.document()}
    store.watch(asked.row.name, body, asked.order.now)
    return Seen(), asked.settings.evidence_for


def usual(asked: Asked) -> tuple[Counted, float]:
    """The counters now, and the share of transactions that failed since the server counts."""
    now = look(asked.ledger.session, asked.goings).counted
    failed, ended = failures(Counted(), now)
    return now, failed / ended if ended else 0.0
