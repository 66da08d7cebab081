"""Files of SQL: cut into statements (`split`), and what each statement does (`changes`)."""

from __future__ import annotations

from greenroom.adapters.database.reading.changes import changes
from greenroom.adapters.database.reading.split import Allow, Statement, split
from greenroom.adapters.database.reading.tokens import Unreadable

__all__ = ["Allow", "Statement", "Unreadable", "changes", "split"]
