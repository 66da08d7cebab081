"""`greenroom show --judge`: the rules of the file as it is now, tried on what was measured in a release. Changes nothing."""

from __future__ import annotations

from typing import Any

from greenroom.cli.context import Context
from greenroom.cli.history import releases
from greenroom.cli.text import span, wrapped
from greenroom.domain.model import Verdict
from greenroom.domain.plan import Rule
from greenroom.domain.recording import Replayed, Sample, replayed
from greenroom.domain.release import Release
from greenroom.domain.status import release_document
from greenroom.engine.recorder import MEASUREMENTS, recorded
from greenroom.errors import UsageError


def judge(context: Context, wanted: str) -> int:
    """What today's `analysis:` would have made of a release (its id or version; the last one by default)."""
    installed = context.open()
    loaded = installed.loaded
    assert loaded is not None
    service, every = releases(installed.control.entries(0)) if installed.begun else (None, [])
    matches = [r for r in every if wanted in (r.id, r.version)] if wanted else every
    if service is None or not matches:
        hint = f"the last ones: {', '.join(r.id for r in every[-5:])}" if every else "nothing was ever released here"
        raise UsageError(f"there is no release {wanted!r}" if wanted else "nothing was released yet", hint=hint)
    release = matches[-1]
    kept = recorded(installed.state / MEASUREMENTS, release.id)
    samples = [Sample(one.at, one.share, one.measurement) for one in kept]
    found = replayed(loaded.plan.rules, samples, release.colour, baseline=release.baseline is not None)
    document = release_document(service, release, installed.control.now())
    if context.json:
        context.document({"service": installed.name, "release": document, "judged": _document(found, len(samples))})
    else:
        context.lines(_lines(context, release, str(document["status"]), loaded.plan.rules, found))
    return 0


def _document(found: Replayed, samples: int) -> dict[str, Any]:
    return {
        "verdict": str(found.verdict),
        "after": round(found.after, 1),
        "share": found.share,
        "reason": found.reason,
        "evidence": list(found.evidence),
        "samples": samples,
    }


def _lines(context: Context, release: Release, status: str, rules: tuple[Rule, ...], found: Replayed) -> list[str]:
    state = status.replace("_", " ")
    lines = [context.ink(f"{release.id}: {release.version} on {release.colour}, {state}", "bold")]
    match found.verdict:
        case Verdict.FAIL:
            when = f"after {span(found.after)} with traffic, at {found.share:g} %"
            text, style = (
                f"by the rules of the file as it is now, it would have gone back {when}: {found.reason}",
                "red",
            )
        case Verdict.PASS:
            text, style = f"by the rules of the file as it is now, {span(found.after)} with traffic were good", "good"
        case _:
            text, style = f"it cannot be judged again: {found.reason}", "warn"
    lines += [context.ink(line, style) for line in wrapped(text, context.width)]
    lines += [line for each in found.evidence for line in wrapped(each, context.width, indent="    ", first="  ")]
    if asked := [rule.source for rule in rules if rule.source]:
        text = f"left out, for what a source said is not kept: {', '.join(asked)}"
        lines += [context.ink(line, "dim") for line in wrapped(text, context.width)]
    return lines
