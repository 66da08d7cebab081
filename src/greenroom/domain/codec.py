"""Records as JSON documents, and back: `{"kind": "moved", "v": 1, "release": "r-0007", …}`.

Every kind of record has a version of its own. Whoever changes the fields or the meaning of a record raises its version
in `VERSIONS` and adds to `UPGRADES` how a document of the old version becomes one of the new; documents already written
are never rewritten. What a newer Greenroom wrote is refused (`JournalNewer`), never half understood.

Not every value has a JSON form: numbers that are not finite become `"Infinity"`, `"-Infinity"` and `"NaN"`, which
`float()` reads, tuples become lists. Anything else that is not JSON is a `TypeError`: a bug of the writer.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from enum import Enum
from typing import Any, TypeAlias, get_args

from greenroom.domain.model import Verdict
from greenroom.domain.phases import Phase
from greenroom.domain.records import Entry, Outcome, Record
from greenroom.errors import JournalCorrupt, JournalNewer

Upgrade: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]

CLASSES: dict[str, type[Record]] = {cls.__name__.lower(): cls for cls in get_args(Record)}

VERSIONS: dict[str, int] = {"requested": 1, "moved": 1, "started": 1, "finished": 1, "judged": 1}

UPGRADES: dict[tuple[str, int], Upgrade] = {}
"""(kind, v) → from a document of version v to one of v + 1; without "kind" and "v", which the codec keeps."""

_ENUMS: dict[str, type[Enum]] = {"to": Phase, "outcome": Outcome, "verdict": Verdict}
_MAPPINGS = frozenset({"details", "facts"})


def encode(record: Record) -> dict[str, Any]:
    """The document of a record, as it is written today."""
    kind = type(record).__name__.lower()
    document: dict[str, Any] = {"kind": kind, "v": VERSIONS[kind]}
    for field in fields(record):
        value = getattr(record, field.name)
        document[field.name] = value.value if isinstance(value, Enum) else value
    return document


def decode(document: Any) -> Record:
    """The record of a document of this version or an older one.

    `JournalNewer`: it holds what this Greenroom does not know. `JournalCorrupt`: nobody can have written it so.
    """
    if not isinstance(document, Mapping) or not isinstance(document.get("kind"), str):
        raise JournalCorrupt("A record is damaged: it has no kind.")
    kind, version = document["kind"], document.get("v")
    if type(version) is not int or version < 1:
        raise JournalCorrupt(f"A record is damaged: {kind} has no version.")
    if kind not in CLASSES:
        raise _newer(f"records of the kind {kind!r}")
    if version > VERSIONS[kind]:
        raise _newer(f"{kind!r} records of version {version} (it knows {VERSIONS[kind]})")
    values = {name: value for name, value in document.items() if name not in ("kind", "v")}
    for old in range(version, VERSIONS[kind]):
        values = UPGRADES[kind, old](values)
    return _record(kind, values)


def dumps(record: Record) -> str:
    """The document as one line of JSON, readable by a person, encodable as UTF-8."""
    document = encode(record)
    try:
        text = _json(document)
    except ValueError:  # a number that is not finite: rare, so only then the document is walked
        text = _json(_finite(document))
    # Output of programs may hold bytes that are not text; as lone surrogates they only survive escaped.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def loads(text: str) -> Record:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise JournalCorrupt(f"A record is damaged: it is not JSON ({error}).") from None
    return decode(document)


def entry_document(entry: Entry) -> dict[str, Any]:
    """An entry as people and programs are shown it: its place, and the record."""
    return {"seq": entry.seq, "at": entry.at, "epoch": entry.epoch, **encode(entry.record)}


def _record(kind: str, values: dict[str, Any]) -> Record:
    cls = CLASSES[kind]
    known = {field.name: field for field in fields(cls)}
    if unknown := sorted(set(values) - set(known)):
        raise _newer(f"{kind!r} records with {', '.join(unknown)}")
    missing = [n for n, f in known.items() if n not in values and f.default is MISSING and f.default_factory is MISSING]
    if missing:
        raise JournalCorrupt(f"A record is damaged: {kind} without {', '.join(missing)}.")
    return cls(**{name: _value(kind, name, value) for name, value in values.items()})


def _value(kind: str, name: str, value: Any) -> Any:
    if name in _ENUMS:
        try:
            return _ENUMS[name](value)
        except ValueError:
            raise _newer(f"{kind!r} records with {name}: {value!r}") from None
    if name in _MAPPINGS:
        right = isinstance(value, dict)
    elif name == "memo":
        right = value is None or isinstance(value, dict)
    elif name == "step":
        right = type(value) is int
    else:
        right = isinstance(value, str)
    if not right:
        raise JournalCorrupt(f"A record is damaged: {kind} with {name}: {value!r}.")
    return value


def _newer(what: str) -> JournalNewer:
    return JournalNewer(
        f"The journal was written by a newer Greenroom: this one does not know {what}.",
        hint="Use the Greenroom that wrote it, or a newer one. The traffic is not affected.",
    )


def _json(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, allow_nan=False, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON: {value!r:.80}")


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
