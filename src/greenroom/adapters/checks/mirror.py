"""The check `mirror`: what copies of users' requests met at the candidate, beside what users met at the live colour.

The router makes the copies and throws their answers away; the core tells it to while this check is asked, and stops it
after. So the check itself begins nothing: it reads the router's counters, remembers in its memo what they were when it
began, and judges the difference when its time is over.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from greenroom.domain.assess import FLOOR, figures_document, figures_of, improbable
from greenroom.domain.figures import Figures
from greenroom.domain.history import difference, quantile, slower_than
from greenroom.domain.model import Document, Verdict
from greenroom.domain.opinion import Case, Finding
from greenroom.domain.wording import line, percent, value
from greenroom.errors import Permanent
from greenroom.ports import Analyser, Place
from greenroom.units import Percent, Seconds, Share, show_duration

_AGAIN = 1.0
_RESETS = 3
"""So often the counters may begin anew before it gives up."""
_NO_DIFFERENCE = 10.0
"""Milliseconds by which a copy may be slower in any case: a ratio of two very short times says nothing."""


class MirrorSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="mirror", min_length=1, description="What it is called in output and journal.")
    share: Percent = Field(
        default=10.0, description="How many of users' requests (GET and HEAD) are copied, in whole percent: 1% to 100%."
    )
    duration: Seconds = Field(default=30.0, gt=0, description="For how long.")
    min_requests: int = Field(default=50, ge=1, description="So many copies are needed for a verdict.")
    max_error_rate: Share = Field(
        default=0.01, description="The share of copies that may be answered by 5xx, or not within 10 seconds."
    )
    max_ratio: float = Field(
        default=2.0,
        ge=1,
        description="How many times worse than the live colour in the same time the candidate may be: in errors, in "
        "refusals (4xx), and in p50 and p99 of the latency. It fails when chance does not explain the difference.",
    )
    no_data: Literal["unknown", "ignore", "fail"] = Field(
        default="unknown",
        description="What too few copies mean: `unknown` and `fail` end the release, `ignore` lets it go on.",
    )

    @field_validator("share")
    @classmethod
    def _is_whole(cls, share: float) -> float:
        if share < 1 or share != int(share):
            raise ValueError(f"{share:g}% cannot be copied: write whole percents, from 1% to 100%")
        return share


class MirrorCheck:
    """`analyser`: the router's, which tells copies from users' own requests."""

    Settings: ClassVar[type[MirrorSettings]] = MirrorSettings

    def __init__(self, settings: MirrorSettings, place: Place, analyser: Analyser | None) -> None:
        self.settings = settings
        self.place = place
        self.name = settings.name
        self._analyser = analyser

    def ask(self, case: Case, memo: Document | None) -> Finding:
        if not case.public:
            return Finding(Verdict.PASS, "nothing is live to compare with")
        if self._analyser is None:
            raise Permanent("the router does not tell what it counts, so copies of requests cannot be judged")
        now = self._analyser.measure()
        live, copies = now.of(case.colour.other), now.mirrored
        begun = _Begun.read(memo)
        if begun is None or begun.incarnation != now.incarnation or now.at < begun.at:
            resets = begun.resets + 1 if begun else 0
            if resets > _RESETS:
                return Finding(Verdict.UNKNOWN, "the router was started again and again, and its counters with it")
            begun = _Begun(now.incarnation, now.at, live, copies, resets)
        spent, live, copies = now.at - begun.at, difference(begun.live, live), difference(begun.copies, copies)
        if spent < self.settings.duration:
            far = f"{spent:.0f} s of {show_duration(self.settings.duration)}"
            return Finding(Verdict.WAIT, f"{copies.requests} copies, {far}", _AGAIN, begun.document())
        return self._judge(live, copies, spent)

    def withdraw(self, case: Case, memo: Document | None) -> None:
        """Nothing stays behind: the core ends the copying."""

    def _judge(self, live: Figures, copies: Figures, spent: float) -> Finding:
        if copies.requests < self.settings.min_requests:
            text = (
                f"{copies.requests} of the {self.settings.min_requests} copies that a verdict needs, in {spent:.0f} s"
            )
            verdicts = {"unknown": Verdict.UNKNOWN, "ignore": Verdict.PASS, "fail": Verdict.FAIL}
            return Finding(verdicts[self.settings.no_data], text)
        if wrong := list(self._wrong(live, copies)):
            both = (("copies", copies), ("users", live))
            evidence = [f"{who}: {line(figures)}; statuses {_statuses(figures)}" for who, figures in both]
            return Finding(Verdict.FAIL, "; ".join(wrong), evidence=tuple(evidence))
        return Finding(Verdict.PASS, f"copies: {line(copies)}; users: {line(live)}")

    def _wrong(self, live: Figures, copies: Figures) -> Iterator[str]:
        most, ratio = self.settings.max_error_rate, self.settings.max_ratio
        compared = [("were refused (4xx)", _refused(copies), _refused(live))]
        if copies.errors > most * copies.requests:
            yield f"{copies.errors} of {copies.requests} copies failed: more than {percent(most)}"
        else:
            compared.append(("failed", copies.errors, live.errors))
        if live.requests < self.settings.min_requests:
            return
        for what, bad, usual in compared:
            allowed = min(1.0, max(FLOOR, ratio * usual / live.requests))
            if improbable(bad, copies.requests, allowed):
                shares = percent(bad / copies.requests), percent(usual / live.requests)
                yield f"{shares[0]} of the copies {what}, of users' requests {shares[1]}"
        for q in (0.5, 0.99):
            usually = quantile(live, q)
            if usually is None or not math.isfinite(usually):
                continue
            limit = max(ratio * usually, usually + _NO_DIFFERENCE)
            if improbable(*slower_than(copies, limit), 1 - q):
                name, found = f"p{q * 100:.0f}", quantile(copies, q) or 0.0
                yield f"{name} of the copies {value(name, found)}, of users' requests {value(name, usually)}"


class _Begun:
    """The counters when it began."""

    def __init__(self, incarnation: str, at: float, live: Figures, copies: Figures, resets: int = 0) -> None:
        self.incarnation, self.at, self.live, self.copies, self.resets = incarnation, at, live, copies, resets

    def document(self) -> Document:
        figures = {"live": figures_document(self.live), "copies": figures_document(self.copies)}
        return {"incarnation": self.incarnation, "at": self.at, "resets": self.resets, **figures}

    @classmethod
    def read(cls, memo: Document | None) -> _Begun | None:
        """None for what `document` did not write."""
        try:
            found = dict(memo or {})
            live, copies = figures_of(found["live"]), figures_of(found["copies"])
            if live is None or copies is None:
                return None
            return cls(str(found["incarnation"]), float(found["at"]), live, copies, int(found["resets"]))
        except (KeyError, TypeError, ValueError):
            return None


def _refused(figures: Figures) -> int:
    return sum(count for code, count in figures.statuses.items() if code.startswith("4"))


def _statuses(figures: Figures) -> str:
    return ", ".join(f"{code}: {count}" for code, count in sorted(figures.statuses.items()) if count) or "none"
