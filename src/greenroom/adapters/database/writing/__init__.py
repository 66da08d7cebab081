"""Helpers that write a migration's three files: a column that gets another name, another type, or other places."""

from __future__ import annotations

from greenroom.adapters.database.writing.draft import Draft
from greenroom.adapters.database.writing.move import move
from greenroom.adapters.database.writing.rename import rename
from greenroom.adapters.database.writing.retype import retype
from greenroom.adapters.database.writing.split import split

__all__ = ["Draft", "move", "rename", "retype", "split"]
