"""The program of the background job: `python -m greenroom.adapters.database ASK.json`. It prints what it is at.

SIGTERM ends it as a person would: what the server is at is cancelled, and an index that is being built dropped.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from greenroom.adapters.database.job import SETTINGS, Ask, write
from greenroom.adapters.database.settings import SqlSettings
from greenroom.adapters.database.work import answer


def main() -> int:
    signal.signal(signal.SIGTERM, _interrupt)
    document = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    settings = SqlSettings.model_validate_json(os.environ.pop(SETTINGS))
    try:
        write(Path(document["answer"]), answer(Ask.read(document), settings, _tell).document())
    except KeyboardInterrupt:
        _tell("ended on request")
        return 130
    return 0


def _tell(text: str) -> None:
    print(" ".join(text.split()), flush=True)


def _interrupt(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
