"""Whether an answer over HTTP is what was asked for, said in words."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from greenroom.adapters.checks.exchange import Answer
from greenroom.domain.template import fill
from greenroom.units import show_duration

if TYPE_CHECKING:
    from greenroom.adapters.checks.expectations import Wanted

_SHOWN = 120
_STEP = re.compile(r'\.?([^.\[\]"]+)|\[(\d{1,9})\]|\["([^"]+)"\]')


def wrong_with(wanted: Wanted, answer: Answer, variables: Mapping[str, str], took: float) -> str | None:
    """The first assertion that does not hold, in words; None if all do."""
    if answer.status not in wanted.statuses:
        return _wrong_status(wanted, answer)
    for name, text in wanted.expect_headers.items():
        got = answer.headers.get(name.lower())
        if got is None:
            return f"the answer has no header {name}"
        if fill(text, variables) not in got:
            return f"the header {name} is {short(got)!r} and does not contain {short(fill(text, variables))!r}"
    body = answer.body.decode("utf-8", "replace")
    beyond = " in its first 1 MB" if answer.cut else ""
    if wanted.contains is not None and fill(wanted.contains, variables) not in body:
        return f"the body does not contain {short(fill(wanted.contains, variables))!r}{beyond}"
    if wanted.matches is not None and not re.search(wanted.matches, body):
        return f"nothing in the body matches {short(wanted.matches)!r}{beyond}"
    if wanted.fields:
        wrong = _wrong_json(wanted.fields, answer, variables)
        if wrong:
            return wrong
    if wanted.max_time is not None and took > wanted.max_time:
        return f"took {show_duration(took)}, more than {show_duration(wanted.max_time)}"
    return None


def _wrong_status(wanted: Wanted, answer: Answer) -> str:
    statuses = " or ".join(str(s) for s in wanted.statuses)
    if answer.leads_to and not wanted.follow_redirects:
        return (
            f"answered {answer.status}, expected {statuses}: it leads to {short(answer.leads_to)} "
            "(ask there, or set `follow_redirects: true`)"
        )
    return f"answered {answer.status}, expected {statuses}"


def _wrong_json(fields: Mapping[str, Any], answer: Answer, variables: Mapping[str, str]) -> str | None:
    if answer.cut:
        return "the body has more than 1 MB, too much to be read as JSON"
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        return "the body is not JSON"
    for path, expected in fields.items():
        expected = fill(expected, variables) if isinstance(expected, str) else expected
        found, value = value_at(document, steps_of(path) or ())
        if not found:
            return f"the JSON has no {path}"
        if not _equal(expected, value):
            return f"{path} is {short(json.dumps(value))}, expected {short(json.dumps(expected, default=str))}"
    return None


def steps_of(path: str) -> tuple[str | int, ...] | None:
    """`a.b[0]` as `("a", "b", 0)`; `$` is the whole body; None if it is no path."""
    if path == "$":
        return ()
    steps: list[str | int] = []
    at = 0
    while at < len(path):
        match = _STEP.match(path, at)
        if not match or (at == 0 and path.startswith(".")) or (at > 0 and match.group(1) and path[at] != "."):
            return None
        steps.append(int(match.group(2)) if match.group(2) else match.group(1) or match.group(3))
        at = match.end()
    return tuple(steps) or None


def value_at(document: Any, steps: tuple[str | int, ...]) -> tuple[bool, Any]:
    for step in steps:
        if isinstance(step, int) and isinstance(document, list) and step < len(document):
            document = document[step]
        elif isinstance(document, dict) and str(step) in document:
            document = document[str(step)]
        else:
            return False, None
    return True, document


def _equal(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, bool) or isinstance(value, bool):
        return wanted is value
    if isinstance(wanted, str) and isinstance(value, int | float):  # `5.10` in YAML is the text that it is
        try:
            return float(wanted) == value
        except (ValueError, OverflowError):
            return False
    return bool(wanted == value)


def evidence_of(answer: Answer, conceal: Callable[[str], str] = str) -> tuple[str, ...]:
    """The first lines of its body. `conceal` sees them before they are shortened."""
    text = conceal(answer.body[:20_000].decode("utf-8", "replace"))[:2000]
    lines = (short(line.strip(), 200) for line in text.splitlines())
    return tuple(line for line in lines if line)[:5]


def short(text: str, limit: int = _SHOWN) -> str:
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= limit else text[: limit - 1] + "…"
