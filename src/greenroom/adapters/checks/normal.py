"""Two answers made comparable: addresses of the two routes, what may differ, the order of keys; and their differences."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from greenroom.adapters.checks.assertions import short
from greenroom.adapters.checks.cookies import names_of
from greenroom.adapters.checks.exchange import Answer

_WIDTH, _LINES, _VALUES = 160, 2000, 200
_TEXT = ("text/", "json", "xml", "javascript", "x-www-form-urlencoded")
BY_ITSELF = "(differs by itself)"
_INDEX = re.compile(r"\[(?:\d+|\*)\]")


@dataclass(frozen=True, slots=True)
class Rules:
    """`ignore`: paths of JSON values. `replace`: expressions with what is put instead, in texts."""

    headers: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    replace: tuple[tuple[re.Pattern[str], str], ...] = ()


@dataclass(frozen=True, slots=True)
class Normal:
    """An answer that can be compared. `facts`: status and headers. `body`: values of JSON by path, else lines."""

    facts: Mapping[str, str]
    body: Mapping[str, str] | tuple[str, ...] = ()

    @property
    def lines(self) -> list[str]:
        body = self.body
        return [f"{path} = {value}" for path, value in body.items()] if isinstance(body, Mapping) else list(body)

    @property
    def shown(self) -> list[str]:
        return [*(f"{name}: {value}" for name, value in self.facts.items()), "", *self.lines]


@dataclass(frozen=True, slots=True)
class Difference:
    """`what`: in a few words, "" for none. `diff`: the unified diff. `noise`: what differs from one answer of the live
    version to the next as well, so that nobody can say whether it differs."""

    what: str = ""
    diff: tuple[str, ...] = ()
    noise: tuple[str, ...] = ()


def normal(answer: Answer, rules: Rules, url: str, host: str) -> Normal:
    """`url`, `host`: by which the version was asked; where its answers name them, they are alike."""
    here = _Here(url, host)
    facts = {"status": str(answer.status)}
    for name in rules.headers:
        if name == "set-cookie":
            value = ", ".join(names_of(answer.cookies))
        else:
            value = here.alike(answer.headers.get(name, ""))
        if value:
            facts[name] = value
    kind = answer.headers.get("content-type", "").lower()
    if answer.body and kind and not any(word in kind for word in _TEXT):
        digest = hashlib.sha256(answer.body).hexdigest()[:12]
        return Normal(facts, (f"({len(answer.body)} bytes, sha256 {digest})",))
    text = here.alike(answer.body.decode("utf-8", "replace"))
    for pattern, instead in rules.replace:
        text = pattern.sub(instead, text)
    document = _document(text) if "json" in kind and not answer.cut else None
    if document is not None:
        return Normal(facts, dict(_leaves(document.value, "", rules.ignore)))
    if "html" in kind:
        text = re.sub(r">\s*<", ">\n<", text)
    return Normal(facts, (*_lines(text), *(["(more than 1 MB; the rest was not read)"] if answer.cut else [])))


def _lines(text: str) -> Iterator[str]:
    """What comes after many lines stands for itself by its hash, so that comparing takes no time to speak of."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    yield from lines[:_LINES]
    if rest := lines[_LINES:]:
        digest = hashlib.sha256("\n".join(rest).encode()).hexdigest()[:12]
        yield f"({len(rest)} more lines, sha256 {digest})"


def difference(first: Normal, candidate: Normal, second: Normal) -> Difference:
    """Between the live version's first answer and the candidate's, without what differs in its second one, too."""
    facts_noise = _restless(first.facts, second.facts)
    one, two = _without(first.facts, facts_noise), _without(candidate.facts, facts_noise)
    what = [f"{name} {_was(one, name)} → {_was(two, name)}" for name in _restless(one, two)]
    if isinstance(first.body, Mapping) and isinstance(candidate.body, Mapping):
        noise = _restless(first.body, second.body if isinstance(second.body, Mapping) else {})
        left, right = _without(first.body, noise), _without(candidate.body, noise)
        paths = _restless(left, right)
        named = ", ".join(paths[:3]) + (", …" if len(paths) > 3 else "")
        what += [f"{_counted(len(paths), 'value')} of the body ({named})"] if paths else []
        live, new = (Normal(facts, _only(body, paths[:_VALUES])) for facts, body in ((one, left), (two, right)))
    else:
        before, after, noise = _still(first.lines, candidate.lines, second.lines)
        changed = sum(max(i2 - i1, j2 - j1) for op, i1, i2, j1, j2 in _opcodes(before, after) if op != "equal")
        what += [f"{_counted(changed, 'line')} of the body"] if changed else []
        live, new = Normal(one, tuple(before)), Normal(two, tuple(after))
    diff = tuple(_diff(live, new)) if what else ()
    return Difference("; ".join(what), diff, (*facts_noise, *noise))


def _restless(one: Mapping[str, str], two: Mapping[str, str]) -> list[str]:
    return sorted(name for name in {*one, *two} if one.get(name) != two.get(name))


def _without(values: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    left_out = set(names)
    return {name: value for name, value in values.items() if name not in left_out}


def _only(values: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    return {name: values[name] for name in names if name in values}


def _still(first: list[str], candidate: list[str], second: list[str]) -> tuple[list[str], list[str], list[str]]:
    """The lines of live version and candidate without noise: a line for which the live version itself gave another one
    is the same in both. And which lines these are."""
    restless = {i for op, i1, i2, _, _ in _opcodes(first, second) if op != "equal" for i in range(i1, i2)}
    one, two, noise = list(first), list(candidate), []
    for op, i1, i2, j1, j2 in _opcodes(first, candidate):
        if op == "equal" or i2 - i1 != j2 - j1:
            continue
        for i, j in zip(range(i1, i2), range(j1, j2), strict=True):
            if i in restless:
                one[i] = two[j] = BY_ITSELF
                noise.append(f"line {i + 1}")
    return one, two, noise


def _opcodes(one: Sequence[str], two: Sequence[str]) -> list[tuple[str, int, int, int, int]]:
    """As `difflib` has them. What is alike at both ends is set aside first: it is the most of most answers."""
    head = next((i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))
    most = min(len(one), len(two)) - head
    tail = next((i for i in range(most) if one[-1 - i] != two[-1 - i]), most)
    middle = difflib.SequenceMatcher(None, one[head : len(one) - tail], two[head : len(two) - tail])
    return [(op, i1 + head, i2 + head, j1 + head, j2 + head) for op, i1, i2, j1, j2 in middle.get_opcodes()]


def _diff(first: Normal, candidate: Normal) -> Iterator[str]:
    for line in difflib.unified_diff(first.shown, candidate.shown, "live", "candidate", lineterm="", n=1):
        yield short(line, _WIDTH)


def _was(facts: Mapping[str, str], name: str) -> str:
    return short(facts.get(name, "none"), 60)


@dataclass(frozen=True, slots=True)
class _Document:
    value: Any


def _document(text: str) -> _Document | None:
    try:
        return _Document(json.loads(text))
    except (ValueError, RecursionError):
        return None


def _leaves(value: Any, path: str, ignore: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each value of a JSON document by its path, in the order of keys; without what is ignored."""
    if path and _matches(path, ignore):
        return
    if isinstance(value, dict) and value:
        for key in sorted(value):
            step = key if re.fullmatch(r"[^.\[\]\"]+", key) else f'["{key}"]'
            yield from _leaves(
                value[key], f"{path}.{step}" if path and not step.startswith("[") else path + step, ignore
            )
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from _leaves(item, f"{path}[{index}]", ignore)
    else:
        yield path or "$", json.dumps(value, ensure_ascii=False)


def _matches(path: str, ignore: Iterable[str]) -> bool:
    """`items[*].id` means each of the list."""
    general = _INDEX.sub("[*]", path)
    return any(one in (path, general) for one in ignore)


class _Here:
    """The addresses by which a version was asked, as they may stand in its answers."""

    def __init__(self, url: str, host: str) -> None:
        parts = urlsplit(url)
        names = [name for name in (host, parts.netloc) if name]
        self._forms = [f"{scheme}://{name}" for name in names for scheme in ("https", "http")] + names

    def alike(self, text: str) -> str:
        for form in self._forms:
            text = text.replace(form, "{here}")
        return text


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")
