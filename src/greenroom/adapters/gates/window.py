"""The gate `window`: releases go at certain hours, and not while it is frozen. A pure function of the case's clock.

Whether this machine knows the zone is looked at before a deploy, not whenever the file is read: a zone that an upgrade of
the machine takes away must not keep what is live from being rolled back.
"""

from __future__ import annotations

import re
import shlex
import zoneinfo
from datetime import UTC, timedelta, tzinfo
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from greenroom.adapters.gates.hours import Freeze, Hours, shown, span, wall_clock
from greenroom.domain.model import Document, Verdict
from greenroom.domain.opinion import Case, Finding
from greenroom.domain.plan import When
from greenroom.ports import Place
from greenroom.units import show_duration

_AGAIN = 60.0
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z][A-Za-z0-9_+-]*)*")


def _text(value: Any) -> Any:
    """A date that a reader of YAML has understood already is taken as it was written."""
    return value.isoformat() if hasattr(value, "isoformat") else value


class FreezeSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    start: Annotated[str, BeforeValidator(_text)] = Field(
        alias="from", description="The first day, `2026-12-20`, or the moment, `2026-12-20 18:00`."
    )
    end: Annotated[str, BeforeValidator(_text)] = Field(
        alias="to", description="The last day, the whole of it; or the moment at which it is over."
    )
    why: str = Field(default="", max_length=200, description="Told to who wants to release meanwhile.")

    @model_validator(mode="after")
    def _forward(self) -> Self:
        freeze = self.freeze
        if freeze.start >= freeze.end:
            raise ValueError(f"ends ({self.end}) before it begins ({self.start})")
        return self

    @property
    def freeze(self) -> Freeze:
        (start, _), (end, whole_day) = wall_clock(self.start), wall_clock(self.end)
        return Freeze(start, end + timedelta(days=whole_day), self.why)


class WindowSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="window", description="What it is called in output and journal.")
    open: list[str] = Field(
        default=[],
        description="When releases may go: `Mon-Fri 09:00-16:00`, `Sat,Sun 22:00-02:00`, `09:00-16:00` (every day). "
        "At any time, if empty.",
    )
    zone: str = Field(default="UTC", description="The time zone of all times here, like `Europe/Berlin`.")
    freezes: list[FreezeSettings] = Field(default=[], description="When they may not, whatever `open` says.")
    closed: Literal["refuse", "wait"] = Field(
        default="refuse", description="What a release does that finds it closed: end, or wait until it opens."
    )

    @field_validator("open")
    @classmethod
    def _spans(cls, texts: list[str]) -> list[str]:
        for text in texts:
            span(text)
        return texts

    @field_validator("zone")
    @classmethod
    def _zone(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(f"there is no time zone {name!r}; write it like `Europe/Berlin`")
        return name

    @model_validator(mode="after")
    def _opens(self) -> Self:
        if not self.open and not self.freezes:
            raise ValueError("needs `open:` or `freezes:`; a window that is always open does nothing")
        if not self.hours(UTC).opens_ever():
            raise ValueError("can never open: the freezes leave no time that is open for more than a year")
        return self

    def hours(self, zone: tzinfo) -> Hours:
        freezes = tuple(freeze.freeze for freeze in self.freezes)
        return Hours(tuple(span(text) for text in self.open), freezes, zone)


class WindowGate:
    Settings: ClassVar[type[WindowSettings]] = WindowSettings
    WHEN: ClassVar[tuple[When, ...]] = (When.SOURCE, When.APPROVE)
    PEOPLE: ClassVar[bool] = False
    OVERRIDE: ClassVar[bool] = True

    def __init__(self, settings: WindowSettings, place: Place) -> None:
        self.settings = settings
        self.name = settings.name

    @staticmethod
    def problems(settings: WindowSettings, place: Place) -> list[str]:
        try:
            zone_of(settings.zone)
        except ValueError as error:
            return [str(error)]
        return []

    def ask(self, case: Case, memo: Document | None) -> Finding:
        try:
            hours = self.settings.hours(zone_of(self.settings.zone))
        except ValueError as error:
            return Finding(Verdict.UNKNOWN, str(error))
        now = case.now
        change = hours.changes(now)
        if hours.open(now):
            until = f" until {shown(change, hours.zone, now)}" if change is not None else ""
            return Finding(Verdict.PASS, f"open{until}")
        frozen = hours.frozen(now)
        why = f" ({frozen.why})" if frozen and frozen.why else ""
        closed = f"frozen{why}" if frozen else "closed"
        opens = f"opens {shown(change, hours.zone, now)}" if change is not None else "does not open within a year"
        version, name = shlex.quote(case.version), shlex.quote(self.name)
        way = f'`greenroom deploy {version} --override {name} --why "…"` goes all the same'
        if self.settings.closed == "wait" and change is not None:
            return Finding(
                Verdict.WAIT,
                f"{closed}: waits until it {opens}; `greenroom abort`, and then {way}",
                min(_AGAIN, change - now),
            )
        left = f" (in {_rough(change - now)})" if change is not None else ""
        return Finding(Verdict.FAIL, f"{closed}: {opens}{left}; {way}")

    def withdraw(self, case: Case, memo: Document | None) -> None:
        """Nothing stays behind."""


def zone_of(name: str) -> tzinfo:
    """`ValueError` with the way out where this machine does not know it."""
    if name == "UTC":
        return UTC
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        pass
    if not zoneinfo.available_timezones():
        raise ValueError(
            "this machine has no table of time zones; install `tzdata` (the system's package, or Python's), or use UTC"
        )
    raise ValueError(f"there is no time zone {name!r}; write it like `Europe/Berlin`")


def _rough(seconds: float) -> str:
    """Two units are enough for a person: `2d3h`, `3h20m`, `45s`."""
    unit = 3600 if seconds >= 86400 else 60 if seconds >= 3600 else 1
    return show_duration(max(unit, round(seconds / unit) * unit))
