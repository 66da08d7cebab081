"""The file's gates and the sources of its analysis: which stage asks, and what router and environment must be able to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from greenroom import plugins
from greenroom.config.nodes import Keys
from greenroom.config.planning import MIRROR, GateSection, Section, Sections
from greenroom.config.schema import File
from greenroom.domain.plan import CONTRACT, MIGRATING, Gate, When
from greenroom.ports import Capability

if TYPE_CHECKING:
    from greenroom.config.loader import _Loading

ENVIRONMENT = "environment"
"""The source that needs no settings: the environment itself."""

_SOURCE: Mapping[str, str] = {When.SOURCE: "at `when: source`"}
_BEFORE_THE_START: Mapping[str, str] = {**_SOURCE, When.ARTEFACT: "at `when: artefact`"}
_LATER: Mapping[str, tuple[Mapping[str, str], str]] = {
    "{idle_url}": (_BEFORE_THE_START, "nothing runs before the start: make it a check, or write `when: approve`"),
    "{artefact}": (_SOURCE, "it is made after that: write `when: artefact`"),
    "{live_url}": (_BEFORE_THE_START, "nothing of this release is live before the traffic moves: write `when: bake`"),
}
"""What a gate may be filled with: at which stages it is not known, and what to write instead."""

_STOPS = ("stop", "notify")


def gates(loading: _Loading) -> tuple[GateSection, ...]:
    """Each with its stage: as the file says, else where its kind is usually asked."""
    written = loading.source.document.get("gates")
    rows = [row for row in written if isinstance(row, Mapping)] if isinstance(written, list) else []
    found: list[GateSection] = []
    reserved = [*MIGRATING, CONTRACT] if loading.source.document.get("migrations") is not None else []
    taken: dict[str, Keys] = {gate.name: ("migrations",) for gate in reserved}
    for index, raw in enumerate(rows):
        keys: Keys = ("gates", index)
        section = loading.section("gate", raw, keys, "")
        if section is None:
            continue
        name = loading.name(raw, section.type, "gates", keys, taken)
        taken[name] = keys
        gate = _gate(loading, raw, section, name, keys)
        if gate is not None:
            settings = section.settings
            if "name" in type(settings).model_fields:
                settings = settings.model_copy(update={"name": name})
            found.append(GateSection(section.type, name, settings, gate))
    return tuple(found)


def _gate(loading: _Loading, raw: Mapping[str, Any], section: Section, name: str, keys: Keys) -> Gate | None:
    type = section.type
    adapter = plugins.find("gate", type)
    stages: tuple[When, ...] = adapter.WHEN
    when, stops = raw.get("when", str(stages[0])), raw.get("on_failure", "stop")
    if when not in stages:
        loading.wrong((*keys, "when"), f"a gate `{type}` can be asked at: {', '.join(stages)}")
        return None
    if stops not in _STOPS:
        loading.wrong((*keys, "on_failure"), "should be `stop` (the release goes no further, or back) or `notify`")
        return None
    for later, (early, instead) in _LATER.items():
        if when in early and later in _asked(raw, section.settings):
            loading.wrong(keys, f"`{later}` is not there yet {early[when]}; {instead}")
    return Gate(name, When(when), bool(getattr(adapter, "PEOPLE", False)), stops == "notify")


def _asked(raw: Mapping[str, Any], settings: Any) -> str:
    """Where names may stand; a preset looks at something by itself where no `paths` are given."""
    return str({**raw, "name": ""}) + " ".join(getattr(settings, "looked_at", ()))


def sources(loading: _Loading) -> Mapping[int, Section]:
    """Of the rules that ask somebody else than the router, but for those that ask the environment."""
    written = loading.source.document.get("analysis")
    found: dict[int, Section] = {}
    for index, raw in enumerate(written if isinstance(written, list) else ()):
        asked = raw.get("source") if isinstance(raw, Mapping) else None
        if isinstance(asked, Mapping):
            if asked.get("type") == ENVIRONMENT:
                continue
            section = loading.section("source", asked, ("analysis", index, "source"), "")
            if section is not None:
                found[index] = section
                _sees_colours(loading, raw, section, index)
                _can_be_asked(loading, raw, section, index)
    return found


def _sees_colours(loading: _Loading, raw: Mapping[str, Any], section: Section, index: int) -> None:
    """A question that is the same for both colours compares a number with itself."""
    blind = getattr(section.settings, "blind", None)
    compares = raw.get("compare") is not None or "baseline" in str(raw.get("expression", ""))
    if compares and blind is not None and blind(str(raw.get("query") or "")):
        text = "cannot see colours: it asks the same for the candidate and the baseline, so comparing them says nothing"
        loading.wrong(("analysis", index), f"{text}; write {{colour}}, {{version}} or {{release}} into what is asked")


def _can_be_asked(loading: _Loading, raw: Mapping[str, Any], section: Section, index: int) -> None:
    """What a source can see to be no question for it is said now, not in the middle of a shift."""
    refuses = getattr(section.settings, "refuses", None)
    why = refuses(str(raw.get("metric") or ""), str(raw.get("query") or "")) if refuses is not None else ""
    if why:
        loading.wrong(("analysis", index), why)


def agree(loading: _Loading, file: File, sections: Sections, able: frozenset[Capability] | None, router: str) -> None:
    """What the router cannot do is said now, not in the middle of a shift."""
    if able is None:
        return
    if file.first is not None and Capability.FIRST not in able:
        loading.wrong(("first",), f"{router} cannot tell by a header who goes first; leave it out")
    if file.shield and Capability.SHIELD not in able:
        text = f"{router} cannot ask the baseline again for what failed on the candidate; leave it out"
        loading.wrong(("shield",), text)
    tested = getattr(getattr(sections.router.settings, "test_route", None), "header", None)
    if file.first is not None and tested is not None and file.first.header == tested.lower():
        text = f"`{tested}` is the header of the test route, which leads to the idle colour at any time; take another"
        loading.wrong(("first", "header"), text)
    environment = plugins.find("environment", sections.environment.type)
    using: frozenset[Capability] = getattr(environment, "capabilities", frozenset())
    for index, entry in enumerate(file.analysis or ()):
        if entry.source_type == ENVIRONMENT and Capability.USAGE not in using:
            text = f"the environment `{sections.environment.type}` does not tell what its processes use"
            loading.wrong(("analysis", index), text)
    for index, section in enumerate(sections.checks):
        if section.type == MIRROR and Capability.MIRROR not in able:
            loading.wrong(("checks", index), f"{router} cannot copy requests; leave the check `mirror` out")
