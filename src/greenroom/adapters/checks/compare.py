"""The check `compare`: the same requests to the live version and to the candidate, and what differs in the answers.

Only requests that change nothing (GET, HEAD, OPTIONS). The live version is asked twice, before the candidate and after it:
what differs between its own two answers (a date, a token, a number of visitors) cannot be told from a change, so it is
named, and not counted.
"""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from greenroom.adapters.checks.assertions import short
from greenroom.adapters.checks.compare_settings import Compared, CompareSettings
from greenroom.adapters.checks.cookies import Jar
from greenroom.adapters.checks.exchange import Answer, Failed, Unclear
from greenroom.adapters.checks.flowfile import Unusable, read_flows
from greenroom.adapters.checks.hidden import Hidden, hidden_of
from greenroom.adapters.checks.normal import Difference, Normal, Rules, difference, normal
from greenroom.adapters.checks.steps import GIVEN, Request, used
from greenroom.adapters.checks.visit import Side, Terms, Visit, host_of, variables_of
from greenroom.domain.model import Document, Verdict
from greenroom.domain.opinion import Case, Finding
from greenroom.ports import Place

SAFE = ("GET", "HEAD", "OPTIONS")
_MOMENT = 2.0
"""Seconds after which no further request is begun in the same `ask`."""
_NAMED, _LINES, _EACH = 3, 100, 25
_ANY_STATUS = list(range(100, 600))


@dataclass
class _Progress:
    """What the memo holds. `noise`, `odd`: paths that differ by themselves, and that nobody answers well."""

    done: int = 0
    different: list[str] = field(default_factory=list)
    noise: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, memo: Document | None, mark: str) -> _Progress:
        memo = memo or {}
        done = memo.get("done")
        lines = [memo.get(key) for key in ("different", "noise", "odd", "evidence")]
        if memo.get("mark") != mark or not isinstance(done, int) or not all(isinstance(each, list) for each in lines):
            return cls()
        return cls(done, *([str(line) for line in each or ()] for each in lines))

    def document(self, mark: str) -> Document:
        kept = {"different": self.different, "noise": self.noise, "odd": self.odd, "evidence": self.evidence}
        return {"mark": mark, "done": self.done, **kept}

    def take(self, path: str, found: Difference, status: int) -> None:
        """`path` and `found` have no secret in them any more: they go to the journal."""
        self.done += 1
        if found.noise:
            self.noise.append(short(f"{path} ({', '.join(found.noise[:_NAMED])})", 200))
        if found.what:
            line = short(f"{path}: {found.what}", 400)
            self.different.append(line)
            cut = [f"  … and {len(found.diff) - _EACH} more lines"] if len(found.diff) > _EACH else []
            self.evidence += [line, *(f"  {more}" for more in found.diff[:_EACH]), *cut]
            del self.evidence[_LINES:]
        elif status >= 400:
            self.odd.append(short(f"{path} ({status})", 200))


class _Unseen(Exception):
    """The live version cannot be asked."""


class CompareCheck:
    Settings: ClassVar[type[CompareSettings]] = CompareSettings

    def __init__(self, settings: CompareSettings, place: Place) -> None:
        self.settings, self.place = settings, place
        self.name = settings.name or "compare"
        replace = tuple((re.compile(one.matches), one.instead) for one in settings.replace)
        headers = tuple(dict.fromkeys(name.lower() for name in settings.compare_headers))
        self._rules = Rules(headers, tuple(settings.ignore), replace)

    @staticmethod
    def problems(settings: Any, place: Place) -> list[str]:
        """What is wrong with the file of flows."""
        try:
            _requests(settings, place)
        except Unusable as error:
            return [f"file: {problem}" for problem in error.problems]
        return []

    def ask(self, case: Case, memo: Document | None) -> Finding:
        """As many requests as a moment allows; the memo holds how far it came."""
        if not case.public:
            return Finding(Verdict.PASS, "nothing is live to compare with")
        hidden = hidden_of(self.place, case)
        try:
            requests = _requests(self.settings, self.place)
        except Unusable as error:
            return Finding(Verdict.FAIL, short(error.problems[0], 900))
        mark = hashlib.sha256(repr(requests).encode()).hexdigest()[:16]
        progress = _Progress.of(memo, mark)
        until = time.monotonic() + _MOMENT
        try:
            while progress.done < len(requests):
                request = requests[progress.done]
                progress.take(hidden.conceal(request.path), *self._compared(case, request, hidden))
                if time.monotonic() > until and progress.done < len(requests):
                    differ = f", {len(progress.different)} differ" if progress.different else ""
                    so_far = f"{progress.done} of {len(requests)} requests{differ}"
                    return Finding(Verdict.WAIT, so_far, 0.05, progress.document(mark))
        except (_Unseen, Unclear) as error:
            return hidden.finding(Finding(Verdict.UNKNOWN, str(error)))
        return hidden.finding(self._judged(progress, len(requests)))

    def withdraw(self, case: Case, memo: Document | None) -> None:
        """Nothing stays behind."""

    def _compared(self, case: Case, request: Compared, hidden: Hidden) -> tuple[Difference, int]:
        """What differs, with the status of the live version's answer."""
        live = Side(f"{case.colour.other} (live)", case.public)
        candidate = Side(f"{case.colour} (candidate)", case.url, case.headers)
        deadline = time.monotonic() + self.settings.timeout
        first, status = self._live(case, live, request, hidden, deadline)
        try:
            new = self._asked(case, candidate, request, hidden, deadline)
        except Failed as error:
            return Difference(hidden.conceal(f"no answer from {candidate.title}: {error}")), status
        second, _ = self._live(case, live, request, hidden, deadline)
        host = host_of({**self.settings.headers, **request.headers, **candidate.own})
        found = difference(first, normal(new, self._rules, candidate.url, host), second)
        diff = tuple(hidden.conceal(line) for line in found.diff)
        return replace(found, what=hidden.conceal(found.what), diff=diff), status

    def _live(self, case: Case, live: Side, request: Compared, hidden: Hidden, deadline: float) -> tuple[Normal, int]:
        try:
            answer = self._asked(case, live, request, hidden, deadline)
        except Failed as error:
            raise _Unseen(f"{live.title} cannot be asked: {error}") from None
        host = host_of({**self.settings.headers, **request.headers})
        return normal(answer, self._rules, live.url, host), answer.status

    def _asked(self, case: Case, side: Side, request: Compared, hidden: Hidden, deadline: float) -> Answer:
        settings = self.settings
        variables = variables_of(self.place, case)
        terms = Terms(variables, settings.headers, settings.tls, self.place.file.parent, deadline)
        whole = Request(**request.model_dump(), status=_ANY_STATUS)
        patient = whole.model_copy(update={"timeout": settings.timeout})
        return Visit(terms, Jar(), hidden).ask(side, patient)

    def _judged(self, progress: _Progress, count: int) -> Finding:
        different = progress.different
        parts = [f"{count - len(different)} of {count} requests are answered alike"]
        if different:
            more = f"; and {len(different) - _NAMED} more" if len(different) > _NAMED else ""
            parts.append(f"not alike: {'; '.join(short(line, 200) for line in different[:_NAMED])}{more}")
        if progress.noise:
            parts.append(f"differ by themselves, so not compared: {_some(progress.noise)} (`ignore` or `replace` them)")
        if progress.odd:
            parts.append(f"errors on both: {_some(progress.odd)}")
        if len(different) > self.settings.allow_different:
            return Finding(Verdict.FAIL, short("; ".join(parts), 900), evidence=tuple(progress.evidence))
        if different:
            parts.insert(1, f"{self.settings.allow_different} may differ")
        return Finding(Verdict.PASS, short("; ".join(parts), 900))


def _requests(settings: CompareSettings, place: Place) -> list[Compared]:
    """Of the file, those requests that need nothing but what Greenroom knows. `Unusable`."""
    found = [Compared(path=path) if isinstance(path, str) else path for path in settings.paths]
    if settings.file is not None:
        for flow in read_flows(place.file.parent / settings.file, str(settings.file)).flows:
            for step in flow.steps:
                sent = {"path": step.path, "headers": {**flow.headers, **step.headers}}
                if step.method in SAFE and GIVEN.issuperset(used(sent)) and step.path.startswith("/"):
                    one = Compared.model_validate({**sent, "method": step.method})
                    found += [] if one in found else [one]
        if not found:
            raise Unusable(f"{settings.file}: has no GET request that needs nothing of an earlier answer")
    return found


def _some(lines: list[str]) -> str:
    more = f" and {len(lines) - _NAMED} more" if len(lines) > _NAMED else ""
    return f"{', '.join(short(line, 80) for line in lines[:_NAMED])}{more}"
