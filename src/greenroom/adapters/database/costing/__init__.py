"""What a change of the schema will cost: bytes and rows of the tables that it works on, and about how long that takes."""

from __future__ import annotations

from greenroom.adapters.database.costing.priced import Sizes, priced, sizes
from greenroom.adapters.database.costing.speed import REFERENCE, Speed, measured
from greenroom.adapters.database.costing.work import Kind, Work, works

__all__ = ["REFERENCE", "Kind", "Sizes", "Speed", "Work", "measured", "priced", "sizes", "works"]
