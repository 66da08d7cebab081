"""Records survive the way to JSON and back; what is newer is refused; what was written once is read for ever."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.domain import codec
from greenroom.domain.model import Verdict
from greenroom.domain.phases import Phase
from greenroom.domain.records import Entry, Finished, Judged, Moved, Outcome, Record, Requested, Started
from greenroom.errors import JournalCorrupt, JournalNewer

# As version 1 was released. Never edit a line: raise the version, add an upgrade, and add a line.
WRITTEN: list[tuple[str, Record]] = [
    (
        '{"kind": "requested", "v": 1, "command": "deploy", "by": "ada", "why": "", "release": "r-0007",'
        ' "details": {"version": "1.4"}}',
        Requested("deploy", "ada", release="r-0007", details={"version": "1.4"}),
    ),
    (
        '{"kind": "moved", "v": 1, "release": "r-0007", "to": "shift", "why": "all checks passed", "step": 1,'
        ' "facts": {"percent": 5}}',
        Moved("r-0007", Phase.SHIFT, "all checks passed", 1, {"percent": 5}),
    ),
    (
        '{"kind": "started", "v": 1, "release": "r-0007", "verb": "route", "key": "r-0007/shift/1/route/green/0"}',
        Started("r-0007", "route", "r-0007/shift/1/route/green/0"),
    ),
    (
        '{"kind": "finished", "v": 1, "release": "r-0007", "verb": "route", "key": "k", "outcome": "temporary",'
        ' "detail": "no answer", "facts": {}}',
        Finished("r-0007", "route", "k", Outcome.TEMPORARY, "no answer"),
    ),
    (
        '{"kind": "judged", "v": 1, "release": "r-0007", "subject": "check:home", "verdict": "wait", "reason": "",'
        ' "memo": {"pid": 3}}',
        Judged("r-0007", "check:home", Verdict.WAIT, memo={"pid": 3}),
    ),
]

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_texts = st.text(st.characters(), max_size=20)  # lone surrogates too: the output of programs is not always text
_objects = st.dictionaries(_texts, _json, max_size=3)
_records = (
    st.builds(Requested, _texts, _texts, _texts, _texts, _objects)
    | st.builds(Moved, _texts, st.sampled_from(Phase), _texts, st.integers(0, 99), _objects)
    | st.builds(Started, _texts, _texts, _texts)
    | st.builds(Finished, _texts, _texts, _texts, st.sampled_from(Outcome), _texts, _objects)
    | st.builds(Judged, _texts, _texts, st.sampled_from(Verdict), _texts, st.none() | _objects)
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(_records)
def test_every_record_survives_and_is_plain_json_in_utf_8(record: Record) -> None:
    text = codec.dumps(record)
    json.loads(text.encode("utf-8"), parse_constant=_refuse)
    assert "\n" not in text
    assert codec.loads(text) == record


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


@pytest.mark.parametrize(("text", "record"), WRITTEN, ids=lambda value: type(value).__name__)
def test_what_version_1_wrote_is_read(text: str, record: Record) -> None:
    assert codec.loads(text) == record


def test_the_fields_of_a_record_change_only_with_its_version() -> None:
    """If this fails you changed a record: raise its version in the codec, add an upgrade and a line to WRITTEN."""
    today = {kind: (codec.VERSIONS[kind], *(f.name for f in fields(cls))) for kind, cls in codec.CLASSES.items()}
    assert today == {
        "requested": (1, "command", "by", "why", "release", "details"),
        "moved": (1, "release", "to", "why", "step", "facts"),
        "started": (1, "release", "verb", "key"),
        "finished": (1, "release", "verb", "key", "outcome", "detail", "facts"),
        "judged": (1, "release", "subject", "verdict", "reason", "memo"),
    }
    for kind, version in codec.VERSIONS.items():
        assert all((kind, old) in codec.UPGRADES for old in range(1, version))


@pytest.mark.parametrize(
    "change",
    [{"kind": "promised"}, {"v": 2}, {"to": "migrate"}, {"urgency": "high"}],
    ids=["kind", "version", "phase", "field"],
)
def test_what_a_newer_greenroom_wrote_is_refused_with_the_way_out(change: dict[str, Any]) -> None:
    document = codec.encode(Moved("r-1", Phase.BUILD, "because")) | change
    with pytest.raises(JournalNewer, match="newer Greenroom") as refusal:
        codec.decode(document)
    assert refusal.value.hint
    assert refusal.value.exit_code == 6
    name, value = next(iter(change.items()))
    assert (name if name == "urgency" else str(value)) in refusal.value.message


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "{}", '{"kind": 3}', '{"kind": "moved"}', '{"kind": "moved", "v": true}',
     '{"kind": "moved", "v": 1}', '{"kind": "started", "v": 1, "release": 3, "verb": "x", "key": "y"}',
     '{"kind": "moved", "v": 1, "release": "r", "to": "build", "why": "", "step": "1"}', "[" * 100_000],
    ids=range(12),
)  # fmt: skip
def test_damage_is_called_damage(text: str) -> None:
    with pytest.raises(JournalCorrupt, match="damaged"):
        codec.loads(text)


def test_an_old_document_is_upgraded_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(codec.VERSIONS, "started", 3)
    monkeypatch.setitem(codec.UPGRADES, ("started", 1), lambda old: {**old, "key": old["key"] + "/a"})
    monkeypatch.setitem(codec.UPGRADES, ("started", 2), lambda old: {**old, "key": old["key"] + "/b"})
    assert codec.loads(WRITTEN[2][0]) == Started("r-0007", "route", "r-0007/shift/1/route/green/0/a/b")


def test_numbers_that_are_not_finite_can_be_read_back_as_numbers() -> None:
    facts = {"latency": ((100.0, 3), (float("inf"), 9)), "least": float("-inf"), "rate": float("nan")}
    back = codec.loads(codec.dumps(Moved("r-1", Phase.BAKE, "", facts=facts)))
    assert isinstance(back, Moved)
    assert back.facts == {"latency": [[100.0, 3], ["Infinity", 9]], "least": "-Infinity", "rate": "NaN"}


def test_what_is_not_json_is_a_bug_of_its_writer() -> None:
    with pytest.raises(TypeError, match="set is not JSON"):
        codec.dumps(Requested("deploy", "ada", details={"names": {"a"}}))


def test_an_entry_is_shown_with_its_place() -> None:
    shown = codec.entry_document(Entry(4, 12.5, 2, Started("r-1", "stop", "k")))
    place = {"seq": 4, "at": 12.5, "epoch": 2}
    assert shown == {**place, "kind": "started", "v": 1, "release": "r-1", "verb": "stop", "key": "k"}
