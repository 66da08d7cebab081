"""Gives the example shop a mood (see `tests.apps.moody`) for its next release."""

from __future__ import annotations

import shutil
from pathlib import Path

from greenroom.demo.stage import SHOP

MOODY = Path(__file__).parents[1] / "apps" / "moody.py"
CHECK = "x-check"
"""The header of requests that see nothing of a mood."""


def install(shop: Path, mood: str) -> None:
    """`shop`: the folder that is released."""
    shutil.copyfile(SHOP / "shop.py", shop / "plain.py")
    shutil.copyfile(MOODY, shop / "shop.py")
    (shop / "mood").write_text(mood)
