"""The program of the background job of files of SQL: `python -m greenroom.adapters.database ASK.json`."""

from __future__ import annotations

import sys

from greenroom.adapters.database.program import main
from greenroom.adapters.database.settings import SqlSettings
from greenroom.adapters.database.work import answer

if __name__ == "__main__":
    sys.exit(main(SqlSettings, answer))
