"""The old goes: only when nobody can need it any more, first out of reach, then for good."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from greenroom.adapters.database.contracting.settings import ContractSettings

if TYPE_CHECKING:
    from greenroom.adapters.database.contracting.going import Going
    from greenroom.adapters.database.contracting.lock import hold
    from greenroom.adapters.database.contracting.story import contract, foresee, restore

__all__ = ["ContractSettings", "Going", "contract", "foresee", "hold", "restore"]

_WHERE = {"Going": "going", "hold": "lock", "contract": "story", "foresee": "story", "restore": "story"}


def __getattr__(name: str) -> Any:
    """Every command reads the settings; what reads SQL is loaded only when it is asked for."""
    if name not in _WHERE:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
