"""The check `parity`: are both colours alike in what they really run with? Asked in every release with a baseline.

Made by the wiring, of a release's own environment and router, not by a `type` of the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from greenroom.domain.model import Colour, Document, Verdict
from greenroom.domain.opinion import Case, Finding
from greenroom.domain.parity import COLOURS, Allowance, Comparison, Difference, Kind, compare, sentence
from greenroom.errors import Permanent, Temporary
from greenroom.ports import Capability, Effective, Environment, Facts, Router

NAMED = 3
"""Differences in the reason of a finding; its evidence has all."""

_SHORT, _LINE = 120, 1000

Looked = Mapping[Colour, Mapping[str, Facts]]


class ParityCheck:
    """`environment` and `router` are asked where they can say (`Capability.PARITY`); at least one of them should.
    `allow`: what differs on purpose, as (path, why).

    What cannot be seen raises, as every port does: `Temporary` is asked again by the engine and becomes UNKNOWN in the
    end. Two colours that could not be looked at are not alike.
    """

    name = "parity"

    def __init__(self, environment: Environment, router: Router, allow: Iterable[tuple[str, str]] = ()) -> None:
        self._environment, self._router = _able(environment), _able(router)
        self._allow = tuple(Allowance(path, why) for path, why in allow)

    @property
    def able(self) -> bool:
        return self._environment is not None or self._router is not None

    def ask(self, case: Case, memo: Document | None) -> Finding:
        found = self.compare()
        if found.nothing or found.alone is case.colour.other:
            raise Temporary(f"what {case.colour} really runs with cannot be seen: nothing runs there now")
        if found.alone is case.colour:
            return Finding(Verdict.PASS, f"only {case.colour} runs: there is nothing to compare it with")
        evidence = tuple(sentence(difference)[:_LINE] for difference in found.found)
        if found.wrong:
            return Finding(Verdict.FAIL, _wrong(found), evidence=evidence)
        return Finding(Verdict.PASS, _fine(found), evidence=evidence)

    def withdraw(self, case: Case, memo: Document | None) -> None:
        """Nothing stays behind."""

    def compare(self) -> Comparison:
        """Both colours as they are now. `alone` is decided by the environment, where it can say."""
        if not self.able:
            raise Permanent("neither the environment nor the router can say what it really runs with")
        environment = _looked(self._environment)
        router = _looked(self._router)
        present = environment if self._environment is not None else router
        blue, green = (_merged(environment[c], router[c]) if _runs(present[c]) else {} for c in COLOURS)
        return compare(blue, green, self._allow)


def _able(adapter: Any) -> Effective | None:
    """The adapter, if it can say."""
    return adapter if Capability.PARITY in adapter.capabilities else None


def _looked(adapter: Effective | None) -> Looked:
    return {colour: adapter.inspect(colour) if adapter is not None else {} for colour in COLOURS}


def _runs(stated: Mapping[str, Facts]) -> bool:
    return any(facts.effective for facts in stated.values())


def _merged(environment: Mapping[str, Facts], router: Mapping[str, Facts]) -> dict[str, Facts]:
    """A process may be called `upstream`, too."""
    named = {f"router.{name}" if name in environment else name: facts for name, facts in router.items()}
    return {**environment, **named}


def _wrong(found: Comparison) -> str:
    named = [_short(difference) for difference in found.wrong[:NAMED]]
    rest = len(found.wrong) - len(named)
    more = f" and {rest} more" if rest > 0 else ""
    way = "`greenroom parity` shows all; what differs on purpose is named in `parity.allow`, with a reason"
    return f"blue and green are not alike: {'; '.join(named)}{more}; {way}"[:_LINE]


def _fine(found: Comparison) -> str:
    """PASS keeps no evidence, so it names what it let pass."""
    parts = [f"{found.compared - len(found.found)} of {found.compared} facts are alike"]
    changed = [x.path for x in found.found if x.kind is Kind.CHANGED]
    if changed:
        parts.append(f"changed by this release: {_list(changed)}")
    parts += [f"{x.path} may differ: {x.why}" for x in found.found if x.kind is Kind.ALLOWED][:NAMED]
    if found.apart:
        parts.append(f"not compared: {', '.join(f'{name} ({colour} only)' for name, colour in found.apart.items())}")
    if found.unused:
        parts.append(f"`parity.allow` names what is not there: {_list(list(found.unused))}")
    return "; ".join(parts)[:_LINE]


def _list(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def _short(difference: Difference) -> str:
    text, longest = sentence(difference), len(difference.path) + _SHORT
    return text if len(text) <= longest else text[: longest - 1] + "…"
