"""The file's gates and the sources of its analysis: which stage asks, and what router and environment must be able to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from greenroom import plugins
from greenroom.config.nodes import Keys
from greenroom.config.planning import MIRROR, GateSection, Section, Sections
from greenroom.config.schema import File
from greenroom.domain.plan import Gate, When
from greenroom.ports import Capability

if TYPE_CHECKING:
    from greenroom.config.loader import _Loading

ENVIRONMENT = "environment"
"""The source that needs no settings: the environment itself."""

_BEFORE_THE_START = (When.SOURCE, When.ARTEFACT)
_STOPS = ("stop", "notify")


def gates(loading: _Loading) -> tuple[GateSection, ...]:
    """Each with its stage: as the file says, else where its kind is usually asked."""
    written = loading.source.document.get("gates")
    rows = [row for row in written if isinstance(row, Mapping)] if isinstance(written, list) else []
    found: list[GateSection] = []
    taken: dict[str, Keys] = {}
    for index, raw in enumerate(rows):
        keys: Keys = ("gates", index)
        section = loading.section("gate", raw, keys, "")
        if section is None:
            continue
        name = loading.name(raw, section.type, "gates", keys, taken)
        taken[name] = keys
        gate = _gate(loading, raw, section.type, name, keys)
        if gate is not None:
            settings = section.settings
            if "name" in type(settings).model_fields:
                settings = settings.model_copy(update={"name": name})
            found.append(GateSection(section.type, name, settings, gate))
    return tuple(found)


def _gate(loading: _Loading, raw: Mapping[str, Any], type: str, name: str, keys: Keys) -> Gate | None:
    adapter = plugins.find("gate", type)
    stages: tuple[When, ...] = adapter.WHEN
    when, stops = raw.get("when", str(stages[0])), raw.get("on_failure", "stop")
    if when not in stages:
        loading.wrong((*keys, "when"), f"a gate `{type}` can be asked at: {', '.join(stages)}")
        return None
    if stops not in _STOPS:
        loading.wrong((*keys, "on_failure"), "should be `stop` (the release goes no further, or back) or `notify`")
        return None
    if when in _BEFORE_THE_START and "{idle_url}" in str(raw):
        text = "`{idle_url}` is not there yet: nothing runs before the start; make it a check, or ask it later"
        loading.wrong(keys, text)
    return Gate(name, When(when), bool(getattr(adapter, "PEOPLE", False)), stops == "notify")


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
    return found


def agree(loading: _Loading, file: File, sections: Sections, able: frozenset[Capability] | None, router: str) -> None:
    """What the router cannot do is said now, not in the middle of a shift."""
    if able is None:
        return
    if file.first is not None and Capability.FIRST not in able:
        loading.wrong(("first",), f"{router} cannot tell by a header who goes first; leave it out")
    if file.shield and Capability.SHIELD not in able:
        text = f"{router} cannot ask the baseline again for what failed on the candidate; leave it out"
        loading.wrong(("shield",), text)
    environment = plugins.find("environment", sections.environment.type)
    using: frozenset[Capability] = getattr(environment, "capabilities", frozenset())
    for index, entry in enumerate(file.analysis or ()):
        if entry.source_type == ENVIRONMENT and Capability.USAGE not in using:
            text = f"the environment `{sections.environment.type}` does not tell what its processes use"
            loading.wrong(("analysis", index), text)
    for index, section in enumerate(sections.checks):
        if section.type == MIRROR and Capability.MIRROR not in able:
            loading.wrong(("checks", index), f"{router} cannot copy requests; leave the check `mirror` out")
