"""The old goes: only when nobody can need it any more, first out of reach, then for good."""

from __future__ import annotations

from greenroom.adapters.database.contracting.going import Going
from greenroom.adapters.database.contracting.lock import hold
from greenroom.adapters.database.contracting.settings import ContractSettings
from greenroom.adapters.database.contracting.story import contract, restore

__all__ = ["ContractSettings", "Going", "contract", "hold", "restore"]
