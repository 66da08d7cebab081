"""The program of a background job, whoever works in it: `python -m MODULE ASK.json`, with the settings in its environment.

It prints what it is at. SIGTERM ends it as a person would: what the server is at is cancelled, and an index that is being
built dropped.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from greenroom.adapters.database.job import SETTINGS, Answer, Ask, write
from greenroom.adapters.database.ledger import Outdated
from greenroom.adapters.database.running import Hindered, Refusal, Tell
from greenroom.adapters.database.settings import DatabaseSettings
from greenroom.adapters.database.target import Full
from greenroom.domain.model import Verdict
from greenroom.domain.opinion import Finding
from greenroom.errors import GreenroomError, Permanent, PortError, UsageError

_Settings = TypeVar("_Settings", bound=DatabaseSettings)


def main(settings: type[_Settings], answer: Callable[[Ask, _Settings, Tell], Answer]) -> int:
    signal.signal(signal.SIGTERM, _interrupt)
    document = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    given = settings.model_validate_json(os.environ.pop(SETTINGS))
    try:
        write(Path(document["answer"]), answer(Ask.read(document), given, _tell).document())
    except KeyboardInterrupt:
        _tell("ended on request")
        return 130
    return 0


def answered(work: Callable[[], Finding], epoch: int) -> Answer:
    """Every end of it is an answer: never raises what Greenroom raises on purpose."""
    try:
        return Answer(work(), epoch)
    except Outdated as error:
        return Answer(failed(error), epoch, outdated=True)
    except Refusal as error:
        return Answer(Finding(Verdict.FAIL, error.message, evidence=error.problems), epoch)
    except (Permanent, UsageError, Hindered, Full) as error:
        return Answer(failed(error), epoch)
    except PortError as error:
        return Answer(Finding(Verdict.UNKNOWN, _said(error), 5.0), epoch)


def failed(error: GreenroomError) -> Finding:
    return Finding(Verdict.FAIL, _said(error))


def _said(error: GreenroomError) -> str:
    return f"{error.message.rstrip('.')}{f'; {error.hint}' if error.hint else ''}"


def _tell(text: str) -> None:
    print(" ".join(text.split()), flush=True)


def _interrupt(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt
