"""The reference of the file is current and complete."""

from __future__ import annotations

import json
from pathlib import Path

from greenroom.config.published import schema
from greenroom.config.reference import configuration

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
AGAIN = "run `python -m greenroom.config.reference docs/reference`"


def test_the_pages_are_current() -> None:
    assert (REFERENCE / "configuration.md").read_text(encoding="utf-8") == configuration(), AGAIN
    assert json.loads((REFERENCE / "greenroom.schema.json").read_text(encoding="utf-8")) == schema(), AGAIN


def test_every_key_says_what_it_means() -> None:
    rows = [line.split(" | ") for line in configuration().splitlines() if line.startswith("| `")]
    assert len(rows) > 60
    assert [row for row in rows if not row[-1].rstrip("| ").strip()] == []


def test_every_reference_in_the_schema_leads_somewhere() -> None:
    whole = schema()
    text = json.dumps(whole)
    for part in text.split('"$ref": "#/$defs/')[1:]:
        assert part.partition('"')[0] in whole["$defs"]
