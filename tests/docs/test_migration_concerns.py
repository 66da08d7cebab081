"""docs/reference/migration-concerns.md names every concern that the code knows, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from greenroom.adapters.database.costing.priced import RULE

ROOT = Path(__file__).parents[2]


def test_every_concern_is_on_the_page() -> None:
    folder = ROOT / "src" / "greenroom" / "adapters" / "database"
    texts = [path.read_text() for part in ("probing", "writing") for path in (folder / part).glob("*.py")]
    said = {name for text in texts for name in re.findall(r"\b(?:warn|refuse)\(\s*\"([a-z-]+)\"", text)}
    page = (ROOT / "docs" / "reference" / "migration-concerns.md").read_text()
    assert len(said) > 40
    assert set(re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE)) == said | {RULE}
