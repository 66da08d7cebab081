"""The picture of a running release, as lines: stages, split, rates, the sentence why. Pure: the screen draws it."""

from __future__ import annotations

from typing import Any

from greenroom.cli.follow import Picture
from greenroom.cli.text import Ink, clock, cut, rate_line, span
from greenroom.domain.phases import ENDS, Phase, Status
from greenroom.domain.plan import When
from greenroom.domain.release import Release
from greenroom.domain.status import release_document

FORWARD = (
    Phase.GATES,
    Phase.BUILD,
    Phase.EXPAND,
    Phase.START,
    Phase.CHECKS,
    Phase.BACKFILL,
    Phase.APPROVE,
    Phase.SHIFT,
    Phase.BAKE,
)
_ASKED = {
    Phase.GATES: When.SOURCE,
    Phase.EXPAND: When.EXPAND,
    Phase.BACKFILL: When.BACKFILL,
    Phase.APPROVE: When.APPROVE,
}
"""Phases that are left out where nothing is asked in them."""
BACKWARD = {Phase.ABORTING, Phase.ABORTED, Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.FAILED}
_LABEL = 10
_BARS = ((100, 60), (70, 30), (0, 20))
"""(from this width on, columns of the bar)"""


def progress(picture: Picture, width: int, ink: Ink) -> list[str]:
    """All lines, none wider than `width`."""
    release = picture.release
    lines = [_headline(picture, width, ink), ""]
    lines += [_stage(picture, phase, ink) for phase in _shown(picture)]
    lines.append("")
    document = release_document(picture.service, release, picture.now)
    if (split := _split(picture)) is not None:
        lines.append(_label("traffic", ink) + _bar(split, width, ink))
    lines += _rates(picture, ink)
    lines.append(_label("now", ink) + cut(_now(picture, str(document["reason"])), width - _LABEL - 2))
    if (until := document["until"]) is not None:
        lines.append(_label("until", ink) + f"{clock(until, exact=True)} ({span(until - picture.now)} left)")
    return lines


def _now(picture: Picture, reason: str) -> str:
    """What the engine is at, where it says; else why the release is where it is."""
    doing = str(((picture.told or {}).get("engine") or {}).get("doing") or "")
    asleep = not doing or picture.status in (Status.PAUSED, Status.WAITING_APPROVAL, Status.STUCK)
    text = reason if asleep or doing in reason or picture.release.phase in ENDS else doing
    return (text.splitlines() or ["…"])[0]


def _headline(picture: Picture, width: int, ink: Ink) -> str:
    release = picture.release
    does = "adopts {} as {}" if "adopt" in release.definition else "brings {} to {}"
    words = f"{picture.name}: {release.id} {does.format(release.version, release.colour)}"
    if release.baseline is not None and width >= 80:
        words += f", {release.baseline.version} was live on {release.baseline.colour}"
    after = span((release.ended or picture.now) - release.begun)
    return ink(cut(words, width - len(after) - 2), "bold") + "  " + ink(after, "dim")


def _shown(picture: Picture) -> list[Phase]:
    """The way forward; once it goes back, the way there and the way back."""
    if picture.release.phase not in BACKWARD:
        gates = picture.release.plan.gates_of
        left_out = {phase for phase, when in _ASKED.items() if not gates(when)}
        return [phase for phase in FORWARD if phase not in left_out]
    return [phase for phase in picture.stages if phase not in ENDS]


def _stage(picture: Picture, phase: Phase, ink: Ink) -> str:
    """`  ✓ start      2 s`"""
    begun = picture.stages.get(phase)
    name = f"{str(phase).replace('_', ' '):<13}"
    if begun is None:
        return ink(f"  · {name}", "dim")
    here = phase is picture.release.phase
    later = [at for at in picture.stages.values() if at >= begun and at != begun]
    end = picture.now if here else min(later, default=picture.now)
    took = span(end - begun)
    if here:
        style = "warn" if picture.status in (Status.PAUSED, Status.WAITING_APPROVAL, Status.STUCK) else "bold"
        return ink(f"  ▸ {name}", style) + ink(took, "dim")
    failed = picture.release.phase in BACKWARD and phase is _failed_in(picture)
    mark = ink("✗", "red") if failed else ink("✓", "good")
    return f"  {mark} {name}" + ink(took, "dim")


def _failed_in(picture: Picture) -> Phase | None:
    """The last phase of the way forward that was entered."""
    entered = [phase for phase in FORWARD if phase in picture.stages]
    return entered[-1] if entered else None


def _split(picture: Picture) -> tuple[int, int] | None:
    traffic = _status(picture).get("traffic")
    if not isinstance(traffic, dict):
        return None
    return int(traffic.get("blue", 0)), int(traffic.get("green", 0))


def _status(picture: Picture) -> dict[str, Any]:
    status = (picture.told or {}).get("status")
    return status if isinstance(status, dict) else {}


def _bar(split: tuple[int, int], width: int, ink: Ink) -> str:
    """Both colours' shares side by side, readable without colour as well."""
    blue, green = split
    size = next(bar for least, bar in _BARS if width >= least)
    if blue + green == 0:
        return "none yet"
    filled = round(size * blue / 100)
    bar = ink("█" * filled, "blue") + ink("▒" * (size - filled), "green")
    return f"{ink('blue', 'blue')} {blue:3} % {bar} {green:3} % {ink('green', 'green')}"


def _rates(picture: Picture, ink: Ink) -> list[str]:
    rates = (picture.told or {}).get("rates") or {}
    lines = []
    for colour in ("blue", "green"):
        if not _used(picture.release, colour):
            continue
        text = rate_line(rates.get(colour) or {})
        if text:
            wrong = (rates[colour].get("errors_per_s") or 0) > 0
            lines.append(f"  {ink(f'{colour:<{_LABEL}}', colour)}{ink(text, 'red') if wrong else text}")
    return lines


def _used(release: Release, colour: str) -> bool:
    return release.baseline is not None or release.colour == colour


def _label(text: str, ink: Ink) -> str:
    return "  " + ink(f"{text:<{_LABEL}}", "dim")
