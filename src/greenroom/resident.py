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
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from greenroom import __version__
from greenroom.domain.assess import History, quantile
from greenroom.domain.model import Colour
from greenroom.domain.observation import Seen
from greenroom.domain.release import Service
from greenroom.domain.status import lock_document, status_document
from greenroom.engine.clock import SteadyClock
from greenroom.engine.fanout import Threads
from greenroom.engine.followers import CursorFile, Outbox
from greenroom.engine.lease import Heartbeat, Keeper
from greenroom.engine.reconciler import Reconciler
from greenroom.enquiry import Desk
from greenroom.errors import GreenroomError, JournalError
from greenroom.ports import ActionKey
from greenroom.wiring import Installed, reopen

log = logging.getLogger("greenroom.resident")

LISTEN_EVERY = 0.25
"""Seconds between two looks into the journal for what others wrote, where nobody pokes."""

TIDY_EVERY = 30.0
KEPT = 3
"""Artefacts of ended releases that stay on disk, beside what is live or warm."""


class Resident:
    """The engine of one service and what belongs to it."""

    def __init__(self, installed: Installed) -> None:
        self.installed = installed
        self.keeper = Keeper(installed.journal, installed.owner(f"engine pid {os.getpid()}"), why="resident engine")
        self.fan, self.probes = Threads(6), Threads(4)
        self.reconciler = Reconciler(
            installed.name,
            installed.journal,
            self.keeper,
            installed.adapters_for,
            SteadyClock(),
            fan=self.fan,
            probes=self.probes,
        )
        self.heartbeat = Heartbeat(self.keeper)
        self.outbox = Outbox(
            installed.name,
            installed.journal,
            lambda: installed.notifiers_for(self.reconciler.service),
            CursorFile(installed.state / "notified.json"),
            SteadyClock(),
        )
        self.end, self.poked = threading.Event(), threading.Event()
        self.parent = os.getppid()
        self.journal_file = installed.state / "journal.db"
        self.journal_mark = _mark(self.journal_file)
        self.desk = Desk(installed.state, {"status": self.status, "poke": self.poke})

    def run(self) -> None:
        """Until SIGTERM, or until the supervisor is gone and a fresh one was started."""
        self.desk.open()
        self.heartbeat.start()
        side = threading.Thread(target=self._side, name="greenroom-side", daemon=True)
        side.start()
        log.info("engine of %s, pid %d", self.installed.name, os.getpid())
        try:
            while not self.end.is_set():
                self._pause(self.reconciler.step())
                if os.getppid() != self.parent:
                    self._orphaned()
                if _mark(self.journal_file) != self.journal_mark:
                    log.error("%s is gone, or another one; what stands there is for a new engine", self.journal_file)
                    self.end.set()
        finally:
            self.end.set()
            self.heartbeat.stop()
            self.reconciler.close()
            self.desk.close()

    def _pause(self, seconds: float) -> None:
        """Sleep, but not through a poke or a new record."""
        until = time.monotonic() + seconds
        while not self.end.is_set() and (left := until - time.monotonic()) > 0:
            if self.poked.wait(min(left, LISTEN_EVERY)):
                self.poked.clear()
                return
            if left > LISTEN_EVERY and self.reconciler.poked():
                return

    def _orphaned(self) -> None:
        log.warning("the supervisor has ended; starting a fresh one")
        try:
            self.installed.supervisor.apply(self.installed.engine_program())
        except GreenroomError as error:
            log.error("no fresh supervisor: %s", error)
            return
        self.end.set()

    def stop(self, *_: object) -> None:
        self.end.set()
        self.poked.set()

    # --- what is asked of us ----------------------------------------------------------------------------------

    def poke(self) -> dict[str, Any]:
        self.poked.set()
        return {"pid": os.getpid(), "version": __version__}

    def status(self) -> dict[str, Any]:
        """The status document, with the route read at this moment, and the rates of the last seconds."""
        service, seen, now = self.reconciler.service, self.reconciler.seen, self.installed.journal.now()
        problems: list[str] = []
        seen = self._route_now(service, seen, problems)
        journal = self._journal(problems)
        lock = self._lock(service)
        document = status_document(self.installed.name, service, seen, now, lock=lock, problems=problems)
        decision = self.reconciler.decision
        return {
            "status": document,
            "journal": journal,
            "rates": rates(seen.history) if seen else None,
            "engine": {"pid": os.getpid(), "doing": decision.why if decision else "starting"},
        }

    def _journal(self, problems: list[str]) -> str:
        """`ok`, `unreadable` or `unwritable`: what is live is still known here, but nothing can be decided any more."""
        try:
            self.installed.journal.read(self.reconciler.service.seq)
        except JournalError as error:
            problems.append(f"{error.message} {error.hint}".strip())
            return "unreadable"
        if (unusable := self.reconciler.unusable) is None:
            return "ok"
        problems.append(f"{unusable.message} {unusable.hint}".strip())
        return "unwritable"

    def _lock(self, service: Service) -> dict[str, Any] | None:
        try:
            lease = self.installed.journal.holder()
        except JournalError:
            lease = None
        return lock_document(service, lease.owner.text if lease else None, lease.expires if lease else None)

    def _route_now(self, service: Service, seen: Seen | None, problems: list[str]) -> Seen | None:
        if seen is None:
            problems.append("the engine has only just started and has not looked yet")
            return None
        problems += [f"{need}: {why}" for need, why in sorted(seen.unseen.items())]
        try:
            return replace(seen, routing=self.installed.adapters_for(service).router.observe())
        except GreenroomError as error:
            problems.append(f"routing: {error.message}")
            return replace(seen, routing=None)

    # --- beside the loop --------------------------------------------------------------------------------------

    def _side(self) -> None:
        """Notifications and tidying: slow things that must not hold up a rollback."""
        due = {"notifying": 0.0, "tidying": time.monotonic() + TIDY_EVERY}
        while not self.end.wait(0.5):
            now = time.monotonic()
            if now >= due["notifying"]:
                due["notifying"] = now + (_quietly("notifying", self.outbox.step) or 0.0)
            if now >= due["tidying"]:
                due["tidying"] = now + TIDY_EVERY
                _quietly("tidying", self._tidy)

    def _tidy(self) -> None:
        service = self.reconciler.service
        if service.release is None:
            return
        adapters = self.installed.adapters_for(service)
        for adapter in (adapters.environment, adapters.router, self.installed.supervisor):
            tidy: Callable[[], None] | None = getattr(adapter, "tidy", None)
            if tidy is not None:
                tidy()
        if service.running is not None or self.keeper.other is not None:
            return
        for release in unneeded(service):
            adapters.artefact.remove(release, ActionKey(release, "tidy", 0, "forget", release, 0))
            self.installed.vault.forget(release)


def unneeded(service: Service) -> list[str]:
    """Releases whose artefacts and secrets nothing can need again: not live, not warm, not among the last ones."""
    needed = {d.release for d in (service.active, service.warm.deployed if service.warm else None) if d}
    ended = [*service.past, *([service.release] if service.release else [])]
    return [release.id for release in ended[:-KEPT] if release.id not in needed]


def _quietly(what: str, work: Callable[[], float | None]) -> float | None:
    try:
        return work()
    except (GreenroomError, OSError) as error:
        log.warning("%s: %s", what, error)
    except Exception:
        log.exception("%s", what)
    return None


def rates(history: History, seconds: float = 5.0) -> dict[str, Any] | None:
    """By colour, over the last seconds: requests/s, errors/s, p50 and p99 in ms. None without two measurements."""
    span = min(seconds, history.span)
    if span <= 0:
        return None
    found = {}
    for colour in Colour:
        figures = history.window(colour, seconds)
        found[str(colour)] = {
            "requests_per_s": figures.requests / span,
            "errors_per_s": figures.errors / span,
            "p50_ms": quantile(figures, 0.5),
            "p99_ms": quantile(figures, 0.99),
        }
    return found


def _mark(path: Path) -> tuple[int, int] | None:
    """Which file it is: another one of the same name has another mark."""
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_dev, about.st_ino


def main(argv: list[str]) -> int:
    name, file, state = argv
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        resident = Resident(reopen(name, Path(file), Path(state)))
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
