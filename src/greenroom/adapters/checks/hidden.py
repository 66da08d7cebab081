"""Keeping out of what people read what must not be shown: secrets, cookies, values taken from answers."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from urllib.parse import quote, quote_plus

from greenroom.adapters.checks.exchange import PATH, QUERY
from greenroom.domain.opinion import Case, Finding
from greenroom.errors import PortError
from greenroom.ports import Place

SHORT = 4
"""Values under so many characters are too common to be replaced inside of words."""


class Hidden:
    """Replaces values by their names, also where they are escaped, or cut off by an ellipsis."""

    def __init__(self, secrets: Mapping[str, str] | None = None) -> None:
        self._shown: dict[str, str] = {}
        for name, value in (secrets or {}).items():
            if len(value) >= SHORT:
                self.add("${" + name + "}", value)

    def add(self, shown: str, value: str) -> None:
        for text in (value, *value.splitlines()):
            for form in _forms(text):
                if form.strip():
                    self._shown.setdefault(form, shown)

    def conceal(self, text: str) -> str:
        for value, shown in sorted(self._shown.items(), key=lambda item: -len(item[0])):
            if len(value) >= SHORT:
                text = text.replace(value, shown)
            else:
                text = shown.join(re.split(rf"(?<!\w){re.escape(value)}(?!\w)", text))
        return self._without_beginnings(text) if "…" in text else text

    def _without_beginnings(self, text: str) -> str:
        """A text that was shortened may end in the middle of a value."""
        before, *rest = text.split("…")
        done = []
        for part in (before, *rest[:-1]):
            done.append(self._without_beginning(part))
        return "…".join((*done, rest[-1]))

    def _without_beginning(self, text: str) -> str:
        for value, shown in self._shown.items():
            for length in range(min(len(value), len(text)), SHORT - 1, -1):
                if text.endswith(value[:length]):
                    return text[:-length] + shown
        return text

    def finding(self, found: Finding) -> Finding:
        evidence = tuple(self.conceal(line) for line in found.evidence)
        return Finding(found.verdict, self.conceal(found.reason), found.again_after, found.memo, evidence)


def hidden_of(place: Place, case: Case) -> Hidden:
    """The values of the release's `${NAME}`."""
    try:
        return Hidden(place.vault.values(case.release) if place.vault else {})
    except PortError:
        return Hidden()


def _forms(value: str) -> tuple[str, ...]:
    """As it may stand in a text: plain, in an address, in a form, in JSON, in HTML, as `short` shows it."""
    printable = "".join(c if c.isprintable() else " " for c in value)
    sent = (quote(value, safe=safe) for safe in ("", PATH, QUERY))
    escaped = (*sent, quote_plus(value), json.dumps(value)[1:-1], html.escape(value))
    return tuple(dict.fromkeys((value, *escaped, printable)))
