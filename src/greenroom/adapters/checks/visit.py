"""One visit: requests one after the other, as one browser makes them, at one version or at both in turn.

No request leaves the version that it is meant for: a redirect to elsewhere, or a step whose address turns out to be
elsewhere, is a failure.
"""

from __future__ import annotations

import html
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from greenroom.adapters.checks.assertions import evidence_of, short, steps_of, value_at, wrong_with
from greenroom.adapters.checks.cookies import Jar
from greenroom.adapters.checks.exchange import Answer, Asking, Failed, Unclear, exchange, same_origin
from greenroom.adapters.checks.expectations import Tls, Wanted
from greenroom.adapters.checks.hidden import SHORT, Hidden
from greenroom.adapters.checks.steps import Extract, Request, StepSettings
from greenroom.domain.opinion import Case
from greenroom.domain.template import fill
from greenroom.ports import Place
from greenroom.units import show_duration

_REDIRECTS = 5
_LONGEST = 8000
"""Characters of a value that is taken from an answer."""


@dataclass(frozen=True, slots=True)
class Side:
    """A version and the way to it. `own`: headers of the route, which no step may change."""

    title: str
    url: str
    own: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for all requests of a check. `deadline`: on the monotonic clock, for all of them."""

    variables: Mapping[str, str]
    headers: Mapping[str, str]
    tls: Tls
    folder: Path
    deadline: float


class Wrong(Exception):
    """An answer that is not what was asked for. `answer`: the one."""

    def __init__(self, text: str, answer: Answer) -> None:
        super().__init__(text)
        self.answer = answer


class Visit:
    """`values`: what was extracted. `log`: a line for each request, for people, with nothing hidden in it."""

    def __init__(self, terms: Terms, jar: Jar, hidden: Hidden) -> None:
        self._terms, self.jar, self._hidden = terms, jar, hidden
        self.values: dict[str, str] = {}
        self.log: list[str] = []
        self.last: Answer | None = None

    def go(self, side: Side, steps: Iterable[StepSettings]) -> None:
        """All steps; `Wrong`, `Failed` or `Unclear` at the first that is not as it must be."""
        for step in steps:
            self._named(step, partial(self._step, side, step))

    def ask(self, side: Side, request: Request) -> Answer:
        """One request with its assertions."""
        return self._named(request, partial(self._judged, side, request))

    def _named(self, request: Request, act: Callable[[], Answer]) -> Answer:
        """Errors say which request it was."""
        title = request.name or f"{request.method} {request.path}"
        try:
            return act()
        except Wrong as error:
            raise Wrong(self._hidden.conceal(f"{title}: {error}"), error.answer) from None
        except (Failed, Unclear) as error:
            raise type(error)(self._hidden.conceal(f"{title}: {error}")) from None

    def _step(self, side: Side, step: StepSettings) -> Answer:
        answer = self._judged(side, step)
        for name, extract in step.extracts.items():
            value = self._taken(extract, answer)
            if value is None:
                raise Wrong(f"there is nothing to take for {{{name}}}: no {extract.kind} {extract.what!r}", answer)
            self.values[name] = value
            self._hidden.add("{" + name + "}", value)
        return answer

    def _judged(self, side: Side, request: Request) -> Answer:
        variables = {**self._terms.variables, **self.values}
        began = time.monotonic()
        answer = self._answer(side, request, variables)
        took = time.monotonic() - began
        self.last = answer
        wrong = wrong_with(request, answer, variables, took)
        said = f"{side.title}: {request.method} {request.path} → {answer.status} in {show_duration(took)}"
        self.log.append(self._hidden.conceal(short(said, 200)) + (" ✗" if wrong else ""))
        if wrong:
            raise Wrong(wrong, answer)
        return answer

    def _answer(self, side: Side, request: Request, variables: Mapping[str, str]) -> Answer:
        asking = self._asking(side, request, variables)
        plain = asking.headers
        answer = self._exchanged(asking)
        for _ in range(_REDIRECTS):
            if not request.follow_redirects or not answer.leads_to:
                return answer
            target = asking.resolve(answer.leads_to)
            if not same_origin(side.url, target):
                raise Failed(f"answered {answer.status} and leads away from {side.title}, to {short(target)}")
            asking = asking.to(target, plain, answer.status)
            answer = self._exchanged(asking)
        if answer.leads_to:
            raise Failed(f"redirected more than {_REDIRECTS} times, at last to {short(answer.leads_to)}")
        return answer

    def _asking(self, side: Side, request: Request, variables: Mapping[str, str]) -> Asking:
        left = self._terms.deadline - time.monotonic()
        if left <= 0:
            raise Failed("no time is left: all of it together takes longer than `timeout`")
        timeout = min(request.timeout, left)
        body, kind = sent(request, variables)
        headers = {name: fill(value, variables) for name, value in {**self._terms.headers, **request.headers}.items()}
        if kind and "content-type" not in {name.lower() for name in headers}:
            headers["content-type"] = kind
        own = {name.lower() for name in side.own}
        headers = {**{name: value for name, value in headers.items() if name.lower() not in own}, **side.own}
        tls = self._terms.tls
        asking = Asking(
            side.url,
            request.method,
            headers,
            body,
            time.monotonic() + timeout,
            round(timeout, 1),
            verify=tls.verify,
            ca=None if tls.ca is None else self._terms.folder / tls.ca,
            server_name=tls.name,
            days_left=tls.days_left,
        )
        return _at(asking, side, fill(request.path, variables))

    def _exchanged(self, asking: Asking) -> Answer:
        """With the cookies of the visit, in addition to those of a `Cookie` header."""
        parts = urlsplit(asking.url)
        path = parts.path or "/"
        headers = dict(asking.headers)
        cookies = self.jar.header(path)
        if cookies:
            name = next((name for name in headers if name.lower() == "cookie"), "cookie")
            headers[name] = f"{headers[name]}; {cookies}" if name in headers else cookies
        answer = exchange(replace(asking, headers=headers))
        self.jar.take(answer.cookies, path)
        for cookie in self.jar.kept:
            if len(cookie.value) >= SHORT:
                self._hidden.add("{cookie:" + cookie.name + "}", cookie.value)
        return answer

    def _taken(self, extract: Extract, answer: Answer) -> str | None:
        value: Any = None
        match extract.kind:
            case "header":
                value = answer.headers.get(extract.what.lower())
            case "cookie":
                value = self.jar.value(extract.what)
            case "matches":
                found = re.search(extract.what, answer.body.decode("utf-8", "replace"))
                value = _plain(found.group(found.re.groups) or "", answer) if found else None
            case "json":
                value = _of_json(extract.what, answer)
        return value if isinstance(value, str) and 0 < len(value) <= _LONGEST else None

    def evidence(self) -> tuple[str, ...]:
        """The requests that were made, and the beginning of the last answer."""
        body = evidence_of(self.last, self._hidden.conceal) if self.last else ()
        return (*self.log[-20:], *body)


def variables_of(place: Place, case: Case) -> dict[str, str]:
    """What fills `{name}` in requests and assertions."""
    return {
        "version": case.version,
        "release": case.release,
        "colour": str(case.colour),
        "service": place.service,
        **case.variables,
        "idle_url": case.url.rstrip("/"),
    }


def host_of(headers: Mapping[str, str]) -> str:
    """The last `Host` among them, "" for none."""
    return next((value for name, value in reversed(list(headers.items())) if name.lower() == "host"), "")


def sites_of(headers: Mapping[str, str], *routes: tuple[str, Mapping[str, str]]) -> tuple[str, ...]:
    """The names that the routes are asked by: of a `Host` header, else of the address."""
    found = []
    for url, own in routes:
        host = host_of({**headers, **own})
        found.append(urlsplit(f"//{host}").hostname if host else urlsplit(url).hostname)
    return tuple(name for name in found if name)


def sent(request: Wanted, variables: Mapping[str, str]) -> tuple[bytes | None, str]:
    """The body, and its type where it is not the request's own affair."""
    if request.form is not None:
        filled = {name: fill(value, variables) for name, value in request.form.items()}
        return urlencode(filled).encode(), "application/x-www-form-urlencoded"
    if isinstance(request.body, dict | list):
        return json.dumps(_filled(request.body, variables)).encode(), "application/json"
    return (None if request.body is None else fill(request.body, variables).encode()), ""


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return fill(value, variables)
    if isinstance(value, dict):
        return {key: _filled(item, variables) for key, item in value.items()}
    return [_filled(item, variables) for item in value] if isinstance(value, list) else value


def _at(asking: Asking, side: Side, path: str) -> Asking:
    """A path that was extracted may be a whole address; it must be of this version all the same."""
    if path.startswith("/") and not path.startswith("//"):
        target = side.url.rstrip("/") + path
    else:
        target = asking.resolve(urljoin(side.url, path))
    if not same_origin(side.url, target):
        raise Failed(f"leads away from {side.title}, to {short(target)}")
    return replace(asking, url=target)


def _plain(text: str, answer: Answer) -> str:
    """What stands in a page is written as HTML writes it."""
    return html.unescape(text) if "html" in answer.headers.get("content-type", "") else text


def _of_json(path: str, answer: Answer) -> str | None:
    try:
        found, value = value_at(json.loads(answer.body), steps_of(path) or ())
    except (ValueError, RecursionError):
        return None
    if not found or value is None or isinstance(value, dict | list):
        return None
    return value if isinstance(value, str) else json.dumps(value)
