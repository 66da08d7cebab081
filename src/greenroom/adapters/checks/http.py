"""The check `http`: ask the candidate through the test route, and look at the whole answer.

Every failed assertion is a FAIL with what was expected and what came. Nobody answering is a FAIL too: the candidate
was healthy a moment ago. UNKNOWN is kept for what is our own doing: a name that cannot be resolved, an address that is
none.

A flow is one `ask`, from its first step to its last: cookies and extracted values are secrets, so they do not leave the
memory. Of a file of many flows, one `ask` asks as many as a moment allows; the memo holds how far it came.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from greenroom.adapters.checks import flows
from greenroom.adapters.checks.assertions import evidence_of, short, wrong_with
from greenroom.adapters.checks.exchange import Answer, Asking, Failed, Unclear, exchange, same_origin
from greenroom.adapters.checks.expectations import Asked, WatchSettings
from greenroom.adapters.checks.flowfile import Unusable, read_flows
from greenroom.adapters.checks.hidden import hidden_of
from greenroom.adapters.checks.steps import FlowSettings, HttpSettings
from greenroom.adapters.checks.visit import sent, variables_of
from greenroom.domain.model import Document, Verdict
from greenroom.domain.opinion import Case, Finding
from greenroom.domain.template import fill
from greenroom.ports import Place
from greenroom.units import show_duration

_REDIRECTS = 5


class HttpCheck:
    """Asked once per `ask`; retries are `WAIT`s with the number of the try in the memo."""

    Settings: ClassVar[type[HttpSettings]] = HttpSettings
    WatchSettings: ClassVar[type[WatchSettings]] = WatchSettings
    """A check with these can stand under `watch:`; its verdicts say by `again_after` when to ask next."""

    def __init__(self, settings: Asked, place: Place) -> None:
        self.settings = settings
        self.place = place
        self.name = settings.name or _address(settings)

    @staticmethod
    def problems(settings: Any, place: Place) -> list[str]:
        """What is wrong with the file of flows."""
        if not isinstance(settings, HttpSettings) or settings.file is None:
            return []
        try:
            read_flows(place.file.parent / settings.file, str(settings.file), settings.values)
        except Unusable as error:
            return [f"file: {problem}" for problem in error.problems]
        return []

    def ask(self, case: Case, memo: Document | None) -> Finding:
        finding = self._asked_once(case, memo)
        if finding.verdict is Verdict.WAIT:  # in the middle of a file
            return replace(finding, memo={**(finding.memo or {}), "tries": _tries(memo)})
        match self.settings:
            case WatchSettings(every=every):
                return Finding(finding.verdict, finding.reason, every, None, finding.evidence)
            case HttpSettings(retries=retries, retry_delay=delay) if finding.verdict is not Verdict.PASS:
                tried = _tries(memo) + 1
                if tried <= retries:
                    reason = f"try {tried} of {retries + 1}: {finding.reason}"
                    return Finding(Verdict.WAIT, reason, max(delay, 0.05), {"tries": tried}, finding.evidence)
        return finding

    def withdraw(self, case: Case, memo: Document | None) -> None:
        """Nothing stays behind."""

    def _asked_once(self, case: Case, memo: Document | None) -> Finding:
        match self.settings:
            case HttpSettings(steps=list(steps)) as settings:
                return flows.one(self.place, case, settings, FlowSettings(name=self.name, steps=steps))
            case HttpSettings(file=file) as settings if file is not None:
                return flows.every(self.place, case, settings, file, memo)
        return hidden_of(self.place, case).finding(self._once(case))

    # --- a single request

    def _once(self, case: Case) -> Finding:
        variables = variables_of(self.place, case)
        began = time.monotonic()
        try:
            answer = self._asked(case, variables)
            wrong = wrong_with(self.settings, answer, variables, time.monotonic() - began)
        except Failed as error:
            return Finding(Verdict.FAIL, str(error))
        except Unclear as error:
            return Finding(Verdict.UNKNOWN, str(error))
        if wrong is None:
            return Finding(Verdict.PASS, f"{answer.status} in {show_duration(time.monotonic() - began)}")
        return Finding(Verdict.FAIL, wrong, evidence=evidence_of(answer, hidden_of(self.place, case).conceal))

    def _asked(self, case: Case, variables: Mapping[str, str]) -> Answer:
        settings = self.settings
        address = _address(settings)
        candidate = isinstance(settings, HttpSettings) and address.startswith(("/", "{idle_url}"))
        url = fill("{idle_url}" + address if address.startswith("/") else address, variables)
        body, kind = sent(settings, variables)
        headers = {"content-type": kind} if kind else {}
        headers |= {name: fill(value, variables) for name, value in settings.headers.items()}
        if candidate:
            own = {name.lower() for name in case.headers}
            headers = {**{name: value for name, value in headers.items() if name.lower() not in own}, **case.headers}
        asking = Asking(
            url,
            settings.method,
            headers,
            body,
            time.monotonic() + settings.timeout,
            settings.timeout,
            verify=settings.tls.verify,
            ca=None if settings.tls.ca is None else self.place.file.parent / settings.tls.ca,
            server_name=settings.tls.name,
            days_left=settings.tls.days_left,
        )
        return _follow(asking, candidate) if settings.follow_redirects else exchange(asking)


def _address(settings: Asked) -> str:
    match settings:
        case HttpSettings(path=str(path)):
            return path
        case HttpSettings(url=str(url)) | WatchSettings(url=url):
            return url
        case HttpSettings(file=file) if file is not None:
            return str(file)
        case HttpSettings(steps=list(steps)):
            return steps[0].title
    return ""


def _follow(asking: Asking, candidate: bool) -> Answer:
    answer = exchange(asking)
    for _ in range(_REDIRECTS):
        if not answer.leads_to:
            return answer
        target = asking.resolve(answer.leads_to)
        if same_origin(asking.url, target):
            asking = asking.to(target, asking.headers, answer.status)
        elif candidate:  # what is there need not be the candidate: the test route ends here
            raise Failed(f"answered {answer.status} and leads away from the candidate, to {short(target)}")
        else:
            asking = asking.to(target, {})
        answer = exchange(asking)
    if answer.leads_to:
        raise Failed(f"redirected more than {_REDIRECTS} times, at last to {short(answer.leads_to)}")
    return answer


def _tries(memo: Document | None) -> int:
    tries = (memo or {}).get("tries", 0)
    return tries if isinstance(tries, int) and not isinstance(tries, bool) and tries >= 0 else 0
