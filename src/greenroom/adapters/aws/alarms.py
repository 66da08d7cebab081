"""CloudWatch's alarms: what the file says of them, what they say, and what that means.

An alarm has four answers: it rings, it is quiet, it has no data, or what it says cannot be known (it cannot be read, is
not there, or CloudWatch could not evaluate it). The last two are never the second, unless the file says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field, field_validator

from greenroom.adapters.aws.access import Access
from greenroom.adapters.aws.client import Client
from greenroom.adapters.checks.assertions import short
from greenroom.domain.model import Verdict
from greenroom.domain.opinion import Case
from greenroom.domain.template import fill
from greenroom.errors import PortError, Temporary
from greenroom.units import Seconds

NAMES = ("colour", "version", "release", "service")
Policy = Literal["unknown", "ignore", "fail"]
VERDICTS: Mapping[str, Verdict] = {"unknown": Verdict.UNKNOWN, "ignore": Verdict.PASS, "fail": Verdict.FAIL}
_PLACEHOLDER = re.compile(r"(?<!\$)\{([a-z_]+)\}")
_SHOWN = 5


class AlarmSettings(Access):
    name: str = Field(default="", description="What it is called in output and journal.")
    names: list[str] = Field(
        min_length=1,
        max_length=100,
        description="The alarms, metric and composite ones, by name. `{colour}` (the candidate's), `{version}`, `{release}` "
        "and `{service}` are filled in.",
    )
    unreadable: Policy = Field(
        default="unknown",
        description="What it means that alarms cannot be read, are not there, or could not be evaluated by CloudWatch: "
        "`unknown`, as for every other gate and watch, `fail`, or `ignore`: as if they were OK.",
    )
    no_data: Policy = Field(
        default="unknown",
        description="What INSUFFICIENT_DATA means: `unknown`, `fail`, or `ignore`: as if it were OK. For a gate in the "
        "bake: at its end.",
    )
    already: Literal["fail", "ignore"] = Field(
        default="fail",
        description="What an alarm means that is in ALARM since before the release began. `ignore`: it counts from when it "
        "has been OK once; for a release that is to mend what it rings about.",
    )
    every: Seconds = Field(default=10.0, ge=5, le=300, description="How often they are read.")

    @field_validator("names")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        for name in names:
            if not name.strip() or len(name) > 255 or not name.isprintable():
                raise ValueError(f"{name[:80]!r} is no name of an alarm")
            for variable in _PLACEHOLDER.findall(name):
                if variable not in NAMES:
                    known = ", ".join("{" + n + "}" for n in NAMES)
                    raise ValueError(f"{{{variable}}} is not known here; there is {known}")
        if len(set(names)) < len(names):
            raise ValueError("names an alarm twice")
        return names

    @property
    def fixed(self) -> tuple[str, ...]:
        """The names that are the same for every release."""
        return tuple(name for name in self.names if not _PLACEHOLDER.search(name))

    def wanted(self, case: Case, service: str) -> tuple[str, ...]:
        own = {"colour": str(case.colour), "version": case.version, "release": case.release, "service": service}
        return tuple(dict.fromkeys(fill(name, own) for name in self.names))


@dataclass(frozen=True, slots=True)
class Alarm:
    """`since`: when it came into this state, seconds since 1970, 0 if not known. `evaluated`: "" if all is well."""

    name: str
    state: str
    why: str = ""
    since: float = 0.0
    evaluated: str = ""


@dataclass(frozen=True, slots=True)
class Opinion:
    """What several alarms come to. `rings`: one is in ALARM. `unreadable`: why some cannot be known, "" for none."""

    verdict: Verdict
    reason: str
    evidence: tuple[str, ...] = ()
    unreadable: str = ""
    rings: bool = False


def read(client: Client, names: Sequence[str]) -> tuple[Alarm, ...]:
    """Those of them that are there. Composite ones are told only if they are asked for."""
    about = f"the alarm {names[0]}" if len(names) == 1 else f"{len(names)} alarms"
    client.confirm()
    asked = {"AlarmNames": list(names), "AlarmTypes": ["MetricAlarm", "CompositeAlarm"]}
    pages = client.pages("cloudwatch", "describe_alarms", about, **asked)
    kinds = ("MetricAlarms", "CompositeAlarms")
    return tuple(alarm_of(raw) for page in pages for kind in kinds for raw in page.get(kind, ()))


def look(client: Callable[[], Client], settings: AlarmSettings, case: Case, service: str) -> Opinion:
    """What the alarms come to now; that they could not be read is an answer too."""
    wanted = settings.wanted(case, service)
    try:
        return judged(settings, wanted, read(client(), wanted), case.begun)
    except PortError as error:
        return unread(settings, error.message)


def missing(settings: AlarmSettings) -> list[str]:
    """Alarms that are not there, before a deploy: a name that is wrong would be noticed in the bake, if ever."""
    try:
        found = read(Client(settings), settings.fixed) if settings.fixed else ()
    except Temporary:
        return []
    except PortError as error:
        return [f"{error.message} {error.hint}".strip()]
    there = {alarm.name for alarm in found}
    way = "correct the name; for composite alarms cloudwatch:DescribeAlarms must be allowed on `*`"
    return [f"names: there is no alarm {name!r}; {way}" for name in settings.fixed if name not in there]


def alarm_of(raw: Mapping[str, Any]) -> Alarm:
    changed = raw.get("StateTransitionedTimestamp") or raw.get("StateUpdatedTimestamp")
    since = changed.timestamp() if isinstance(changed, datetime) else 0.0
    why, evaluated = str(raw.get("StateReason", "")), str(raw.get("EvaluationState") or "")
    return Alarm(str(raw["AlarmName"]), str(raw.get("StateValue", "")), _line(why), since, evaluated)


def judged(settings: AlarmSettings, wanted: Sequence[str], found: Sequence[Alarm], begun: float) -> Opinion:
    """FAIL for any that rings; else what the policies say of those that say nothing; else PASS."""
    there = {alarm.name: alarm for alarm in found}
    ringing: list[str] = []
    excused: list[str] = []
    silent: list[str] = []
    unreadable: list[str] = [f"there is no alarm {short(name, 80)}" for name in wanted if name not in there]
    for alarm in (there[name] for name in wanted if name in there):
        before = 0 < alarm.since < begun
        label = f"the alarm {short(alarm.name, 80)}"
        match alarm.state:
            case "ALARM" if before and settings.already == "ignore":
                excused.append(f"{label} is in ALARM since before this release began ({_shown(alarm.since)})")
            case "ALARM":
                ringing.append(f"{label} {_rings(alarm, before)}")
            case "OK" if alarm.evaluated in ("EVALUATION_ERROR", "EVALUATION_FAILURE"):
                unreadable.append(f"{label} could not be evaluated ({alarm.evaluated}): {alarm.why}")
            case "OK" if not alarm.evaluated:
                pass
            case "OK" | "INSUFFICIENT_DATA":
                silent.append(f"{label} has {'only part of its' if alarm.evaluated else 'not enough'} data")
            case state:
                unreadable.append(f"{label} is in a state that is not known here: {short(state, 40)}")
    gone = _listed(unreadable)
    if ringing:
        return Opinion(Verdict.FAIL, _listed(ringing), tuple(ringing[_SHOWN:]), gone, rings=True)
    return _unsaid(settings, len(wanted), unreadable, silent, excused)


def _unsaid(
    settings: AlarmSettings, count: int, unreadable: Sequence[str], silent: Sequence[str], excused: Sequence[str]
) -> Opinion:
    """None rings: the worst that the policies make of the others."""
    gone = _listed(unreadable)
    answers = [(VERDICTS[settings.unreadable], unreadable), (VERDICTS[settings.no_data], silent)]
    for verdict in (Verdict.FAIL, Verdict.UNKNOWN):
        if lines := [line for answer, some in answers if answer is verdict for line in some]:
            return Opinion(verdict, _listed(lines), tuple(lines[_SHOWN:]), gone)
    ignored = [*unreadable, *silent, *excused]
    quiet = count - len(ignored)
    told = f"{quiet} of {count} alarms are OK" if ignored else "OK" if count == 1 else f"all {count} alarms are OK"
    return Opinion(Verdict.PASS, told + (f"; ignored: {_listed(ignored)}" if ignored else ""), (), gone)


def unread(settings: AlarmSettings, why: str) -> Opinion:
    """None of them could be asked about."""
    reason = f"the alarms could not be read: {short(_line(why), 400)}"
    return Opinion(VERDICTS[settings.unreadable], reason, (), reason)


def _rings(alarm: Alarm, before: bool) -> str:
    why = f": {short(alarm.why, 300)}" if alarm.why else ""
    if before:
        return f"was in ALARM already before this release began (since {_shown(alarm.since)}){why}"
    since = f" since {_shown(alarm.since)}" if alarm.since else ""
    return f"is in ALARM{since}{why}"


def _listed(lines: Sequence[str]) -> str:
    """The first few, on one line that a person can read."""
    more = f"; and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
    return short("; ".join(lines[:_SHOWN]), 900) + more


def _shown(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _line(text: str) -> str:
    return " ".join(text.split())
