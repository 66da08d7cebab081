"""The documentation against the code: files load, links lead somewhere, generated parts are current."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from greenroom.config.loader import load
from greenroom.config.schema import File
from greenroom.config.source import parse
from tests.docs.pages import PAGES, ROOT, Block, all_blocks, blocks

KEYS = set(File.model_fields)
VALUES = {
    "SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T0/B0/x",
    "APPRISE_URL": "json://shop.example/a",
    "DATABASE_URL": "postgresql://deploy@db.example:5432/shop",
}
"""Of variables that must be more than any address."""
WHOLE = """\
service: shop
environment: {type: process, processes: {web: {command: python3 app.py}}}
router: {type: envoy, listen: 127.0.0.1:8080}
"""


@pytest.mark.parametrize("block", all_blocks("yaml"), ids=lambda block: block.id)
def test_every_yaml_block_loads(block: Block, tmp_path: Path) -> None:
    """A whole file as it is; a part of one in the place of the same keys of a small file."""
    keys = set(parse(block.text, block.page).document)
    if not keys & KEYS:
        return  # another program's file; that it is YAML is seen by now
    file = tmp_path / "greenroom.yaml"
    rest = [line for line in WHOLE.splitlines() if line.split(":")[0] not in keys]
    file.write_text("\n".join([block.text, *rest]) + "\n", encoding="utf-8")
    named = set(re.findall(r"\$\{([A-Z_]+)\}", block.text))
    loaded = load(file, {name: VALUES.get(name, "https://shop.example/a") for name in named})
    assert loaded.service


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for block in blocks(page):
        text = text.replace(block.text, "")
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link or link.startswith("mailto:"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{link} leads nowhere"
        assert not anchor or anchor in anchors(target), f"{link}: there is no such heading"


def test_the_phases_in_the_docs_are_current() -> None:
    done = subprocess.run([sys.executable, ROOT / "scripts" / "phases.py", "--check"], cwd=ROOT, check=False)
    assert done.returncode == 0, "run `make docs`"
