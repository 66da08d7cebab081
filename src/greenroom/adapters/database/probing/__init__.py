"""Before the schema is changed: what in the database, and of those who use it, will suffer or stand in the way."""

from __future__ import annotations

from greenroom.adapters.database.probing.probes import Premise, probe

__all__ = ["Premise", "probe"]
