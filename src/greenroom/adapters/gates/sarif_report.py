"""Reading SARIF 2.1.0 as scanners write it: levels, places, suppressions, and whether they looked at all."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from greenroom.adapters.gates.results import (
    Found,
    Level,
    Report,
    Spot,
    Unreadable,
    hidden,
    key,
    mapping,
    mappings,
    one_line,
    shown_file,
)

_NO_FINDING = frozenset({"pass", "notApplicable", "informational"})
_NO_PRINT = frozenset({"commitSha", "commitMessage", "email", "author", "date"})
"""Gitleaks' partial fingerprints: of the commit, not of the finding."""
_PRINT = re.compile(r"[0-9A-Za-z+/=_:.-]{16,}")
"""A value that can tell findings apart; Semgrep writes `requires login` into each."""
_SEVERE = ((7.0, Level.ERROR), (4.0, Level.WARNING), (0.1, Level.NOTE))
"""`security-severity` is a CVSS score: high and critical, medium, low."""


def of_sarif(document: Any, base: Path) -> Report:
    """`base`: what files are shown relative to. `Unreadable` if it is no SARIF."""
    if not isinstance(document, Mapping) or not isinstance(document.get("runs"), list):
        raise Unreadable("is no SARIF: it has no `runs`")
    version = document.get("version")
    if version != "2.1.0":
        raise Unreadable(f"is SARIF of version {one_line(str(version), 20)}; 2.1.0 is read here")
    runs = mappings(document["runs"])
    if not runs:
        raise Unreadable("has no run: nothing looked")
    parts = [_Run(run, base) for run in runs]
    return Report(
        tuple(part.tool for part in parts),
        tuple(found for part in parts for found in part.found()),
        tuple(line for part in parts for line in part.blind()),
        tuple(line for part in parts for level, line in part.notices() if level is Level.WARNING),
        max((end for part in parts for end in part.ends()), default=None),
    )


class _Run:
    def __init__(self, run: Mapping[str, Any], base: Path) -> None:
        self._run, self._base = run, base
        tool = mapping(run.get("tool"))
        self._components = [mapping(tool.get("driver")), *mappings(tool.get("extensions"))]
        driver = self._components[0]
        version = driver.get("semanticVersion") or driver.get("version") or ""
        self.tool = one_line(f"{driver.get('name') or 'a scanner without a name'} {version}".strip(), 60)
        self._invocations = mappings(run.get("invocations"))

    def blind(self) -> Iterator[str]:
        """Why this run did not look, or not at all that it should have."""
        if not isinstance(self._run.get("results"), list):
            beside = "results" in mapping(self._run.get("externalPropertyFileReferences"))
            yield "its results are in another file" if beside else "it has no `results`: it did not look for any"
        for invocation in self._invocations:
            if invocation.get("executionSuccessful") is False:
                why = invocation.get("processStartFailureMessage") or invocation.get("exitCodeDescription") or ""
                yield one_line(f"it says that it did not succeed (executionSuccessful is false) {why}".strip())
        yield from (line for level, line in self.notices() if level is Level.ERROR)

    def notices(self) -> Iterator[tuple[Level, str]]:
        """What it says of its own run, and of how it was set up."""
        for invocation in self._invocations:
            for kind in ("toolExecutionNotifications", "toolConfigurationNotifications"):
                for notice in mappings(invocation.get(kind)):
                    spot = self._spot(notice)
                    where = f" ({spot.file})" if spot.file else ""
                    text = one_line(str(mapping(notice.get("message")).get("text") or "no message"), 200)
                    yield Level.of(notice.get("level"), Level.WARNING), f"{text}{where}"

    def ends(self) -> Iterator[float]:
        for invocation in self._invocations:
            try:
                end = datetime.fromisoformat(str(invocation["endTimeUtc"]))
            except (KeyError, ValueError):
                continue
            yield (end if end.tzinfo else end.replace(tzinfo=UTC)).timestamp()

    def found(self) -> Iterator[Found]:
        for result in mappings(self._run.get("results")):
            kind = result.get("kind", "fail")
            if kind in _NO_FINDING or result.get("baselineState") == "absent":
                continue
            rule_id, rule = self._rule(result)
            spot = self._spot(result)
            message = hidden(_message(result, rule), spot.texts)
            level = _level(result, rule) if kind == "fail" else Level.NOTE
            prints = _prints(result)
            suppressed = _suppressed(result)
            yield Found(
                one_line(rule_id, 120), level, spot.file, spot.line, message, key(rule_id, spot, prints), suppressed
            )

    def _rule(self, result: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        """Its id and its description, by index or by id; the id may have more behind a slash."""
        asked = mapping(result.get("rule"))
        index = mapping(asked.get("toolComponent")).get("index")
        extension = index + 1 if isinstance(index, int) and 0 <= index < len(self._components) - 1 else 0
        rules = mappings(self._components[extension].get("rules"))
        index = asked.get("index", result.get("ruleIndex", -1))
        name = result.get("ruleId") or asked.get("id")
        if isinstance(index, int) and 0 <= index < len(rules):
            return str(name or rules[index].get("id") or "(no rule)"), rules[index]
        name = str(name or "(no rule)")
        everywhere = rules if extension else [r for c in self._components for r in mappings(c.get("rules"))]
        for wanted in (name, name.rpartition("/")[0]):
            for rule in everywhere:
                if wanted and rule.get("id") == wanted:
                    return name, rule
        return name, {}

    def _spot(self, result: Mapping[str, Any]) -> Spot:
        location = next(iter(mappings(result.get("locations"))), {})
        physical = mapping(location.get("physicalLocation"))
        region, around = mapping(physical.get("region")), mapping(physical.get("contextRegion"))
        texts = [mapping(part.get("snippet")).get("text") for part in (region, around)]
        texts += [mapping(location.get("properties")).get(name) for name in ("evidence", "attack")]
        line = region.get("startLine")
        file = self._file(mapping(physical.get("artifactLocation")))
        if not file:
            names = (logical.get("fullyQualifiedName") for logical in mappings(location.get("logicalLocations")))
            file = one_line(next((str(name) for name in names if name), ""))
        kept = tuple(text for text in texts if isinstance(text, str) and text)
        return Spot(file, line if isinstance(line, int) else 0, kept)

    def _file(self, artefact: Mapping[str, Any]) -> str:
        index, artefacts = artefact.get("index"), mappings(self._run.get("artifacts"))
        if "uri" not in artefact and isinstance(index, int) and 0 <= index < len(artefacts):
            artefact = mapping(artefacts[index].get("location"))
        uri = str(artefact.get("uri") or "")
        for _ in range(5):  # a base may have a base
            above = mapping(mapping(self._run.get("originalUriBaseIds")).get(str(artefact.get("uriBaseId"))))
            if not above.get("uri"):
                break
            uri, artefact = urljoin(str(above["uri"]), uri), above
        parts = urlsplit(uri) if "://" in uri else None
        if parts and parts.scheme != "file":  # the query of an address may hold a token
            return one_line(
                parts._replace(
                    query="…" if parts.query else "", fragment="", netloc=parts.netloc.rpartition("@")[2]
                ).geturl()
            )
        return shown_file(unquote(parts.path if parts else uri), self._base)


def _level(result: Mapping[str, Any], rule: Mapping[str, Any]) -> Level:
    """Its own or its rule's; a CVSS score that says more counts more."""
    usual = Level.of(mapping(rule.get("defaultConfiguration")).get("level"), Level.WARNING)
    level = Level.of(result.get("level"), usual)
    for where in (result, rule):
        score = _score(mapping(where.get("properties")).get("security-severity"))
        if score is not None:
            return max(level, next((severe for limit, severe in _SEVERE if score >= limit), Level.NONE))
    return level


def _score(value: Any) -> float | None:
    try:
        score = float(value)
    except (TypeError, ValueError):
        return None
    return score if math.isfinite(score) else None


def _message(result: Mapping[str, Any], rule: Mapping[str, Any]) -> str:
    message = mapping(result.get("message"))
    text = message.get("text")
    if not isinstance(text, str):
        text = mapping(mapping(rule.get("messageStrings")).get(str(message.get("id")))).get("text")
    if not isinstance(text, str):
        text = mapping(rule.get("shortDescription")).get("text")
    if not isinstance(text, str):
        return "no message"
    arguments = message.get("arguments")
    for number, argument in enumerate(arguments if isinstance(arguments, list) else ()):
        text = text.replace(f"{{{number}}}", str(argument))
    return text


def _prints(result: Mapping[str, Any]) -> list[str]:
    """Those of the scanner's fingerprints that tell one finding from another."""
    for kind in ("fingerprints", "partialFingerprints"):
        values = {k: v for k, v in mapping(result.get(kind)).items() if isinstance(v, str)}
        good = [v for k, v in values.items() if k not in _NO_PRINT and _PRINT.fullmatch(v)]
        if good:
            return [values["primaryLocationLineHash"]] if values.get("primaryLocationLineHash") in good else good
    return []


def _suppressed(result: Mapping[str, Any]) -> bool:
    """All of them are accepted; one that is under review or was rejected suppresses nothing."""
    suppressions = mappings(result.get("suppressions"))
    return bool(suppressions) and all(each.get("status", "accepted") == "accepted" for each in suppressions)
