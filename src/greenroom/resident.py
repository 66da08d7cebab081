"""The resident engine: somebody is always awake. One process per service, kept alive by the supervisor.

    python -m greenroom.resident NAME FILE STATE

It needs neither the command that began a release nor the file: what it must know is in the journal and the vault. When
its supervisor dies, it starts a fresh one, whose engine waits for this one to end, and goes.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from greenroom.awake import Awake
from greenroom.errors import GreenroomError, JournalError
from greenroom.wiring import Installed, ground_of, reopen

if TYPE_CHECKING:
    from greenroom.config.planning import Ground

log = logging.getLogger("greenroom.resident")


class Resident(Awake):
    """Ends when its supervisor is gone and a fresh one was started, or when its journal is not its own any more."""

    def __init__(self, installed: Installed) -> None:
        super().__init__(installed, "resident engine")
        self.parent = os.getppid()
        self.journal_file = installed.state / "journal.db"
        self.journal_mark = _mark(self.journal_file)

    def each_turn(self) -> None:
        if os.getppid() != self.parent:
            self._orphaned()
        if _mark(self.journal_file) != self.journal_mark:
            log.error("%s is gone, or another one; what stands there is for a new engine", self.journal_file)
            self.end.set()

    def _orphaned(self) -> None:
        log.warning("the supervisor has ended; starting a fresh one")
        try:
            self.installed.supervisor.apply(self.installed.engine_program())
        except GreenroomError as error:
            log.error("no fresh supervisor: %s", error)
            return
        self.end.set()


def _mark(path: Path) -> tuple[int, int] | None:
    """Which file it is: another one of the same name has another mark."""
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_dev, about.st_ino


def _ground(file: Path) -> Ground | None:
    """A journal elsewhere is written in the file; without a good one it is looked for here."""
    try:
        return ground_of(file)
    except GreenroomError as error:
        log.warning("%s", error)
        return None


def main(argv: list[str]) -> int:
    name, file, state = argv
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        resident = Resident(reopen(name, Path(file), Path(state), ground=_ground(Path(file))))
    except JournalError as error:
        log.error("%s; %s", error.message, error.hint)
        time.sleep(2.0)  # the supervisor starts us again at once
        return error.exit_code
    signal.signal(signal.SIGTERM, resident.stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resident.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
