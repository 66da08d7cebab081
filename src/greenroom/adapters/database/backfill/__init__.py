"""Backfills: a table is filled by ranges of its key, while users work. Resumable, throttled, verified at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from greenroom.adapters.database.backfill.settings import BackfillSettings

if TYPE_CHECKING:
    from greenroom.adapters.database.backfill.fill import Fill, Unfit
    from greenroom.adapters.database.backfill.running import Outcome, backfill, fills, progress, verified

__all__ = ["BackfillSettings", "Fill", "Outcome", "Unfit", "backfill", "fills", "progress", "verified"]

_WHERE = {"Fill": "fill", "Unfit": "fill"} | dict.fromkeys(
    ("Outcome", "backfill", "fills", "progress", "verified"), "running"
)


def __getattr__(name: str) -> Any:
    """Every command reads the settings; what reads SQL is loaded only when it is asked for."""
    if name not in _WHERE:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
