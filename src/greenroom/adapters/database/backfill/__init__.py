"""Backfills: a table is filled by ranges of its key, while users work. Resumable, throttled, verified at the end."""

from __future__ import annotations

from greenroom.adapters.database.backfill.fill import Fill, Unfit
from greenroom.adapters.database.backfill.running import Outcome, backfill, fills, progress, verified
from greenroom.adapters.database.backfill.settings import BackfillSettings

__all__ = ["BackfillSettings", "Fill", "Outcome", "Unfit", "backfill", "fills", "progress", "verified"]
