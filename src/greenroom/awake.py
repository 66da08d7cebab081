"""Somebody is awake: one engine of one service, and what belongs to it.

The resident engine (`resident`) is one in a process of its own. A service that lives on other machines, where nothing of
ours is installed, has none: the command's own engine works, in a thread, for as long as the command runs (`beside`). The
lease decides between engines.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from greenroom import __version__, enquiry
from greenroom.domain.assess import History, quantile
from greenroom.domain.model import Colour
from greenroom.domain.observation import Seen
from greenroom.domain.release import Service
from greenroom.domain.status import lock_document, status_document
from greenroom.engine.album import Album
from greenroom.engine.clock import SteadyClock
from greenroom.engine.fanout import Threads
from greenroom.engine.followers import Outbox
from greenroom.engine.inspection import Inspector
from greenroom.engine.lease import Heartbeat, Keeper
from greenroom.engine.reconciler import Reconciler
from greenroom.engine.recorder import MEASUREMENTS, FileRecorder
from greenroom.enquiry import IN_TROUBLE, Desk
from greenroom.errors import GreenroomError, JournalError
from greenroom.ports import ActionKey, Tidy
from greenroom.wiring import Installed

log = logging.getLogger("greenroom.engine")

LISTEN_EVERY = 0.25
"""Seconds between two looks into the journal for what others wrote, where nobody pokes."""

TIDY_EVERY = 30.0
LAST_WORDS, ENDS_WITHIN = 8.0, 15.0
"""Seconds for telling people of the end, and for the whole of an engine's end."""

KEPT = 3
"""Artefacts of ended releases that stay on disk, beside what is live or warm."""


class Awake:
    """The engine of one service. `run` returns when `stop` was called."""

    def __init__(self, installed: Installed, why: str) -> None:
        self.installed = installed
        self.keeper = Keeper(installed.journal, installed.owner(f"{why} pid {os.getpid()}"), why=why)
        self.fan, self.probes = Threads(6), Threads(4)
        self.reconciler = Reconciler(
            installed.name,
            installed.journal,
            self.keeper,
            installed.adapters_for,
            SteadyClock(),
            fan=self.fan,
            probes=self.probes,
            recorder=FileRecorder(installed.state / MEASUREMENTS),
        )
        self.heartbeat = Heartbeat(self.keeper)
        self.outbox = Outbox(
            installed.name,
            installed.journal,
            lambda: installed.notifiers_for(self.reconciler.service),
            installed.premises.cursors,
            SteadyClock(),
        )
        self.album = Album(installed.state, installed.name, installed.journal.read)
        self.inspector = Inspector(installed.state, installed.adapters_for, lambda: installed.vault.every())
        self.end, self.poked = threading.Event(), threading.Event()
        self.desk = Desk(installed.state, {"status": self.status, "poke": self.poke})

    def run(self) -> None:
        """Until somebody stops it."""
        self.desk.open()
        self.heartbeat.start()
        side = threading.Thread(target=self._side, name="greenroom-side", daemon=True)
        side.start()
        log.info("engine of %s, pid %d", self.installed.name, os.getpid())
        try:
            while not self.end.is_set():
                self._pause(self.reconciler.step())
                self.each_turn()
        finally:
            self.end.set()
            side.join(LAST_WORDS)
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

    def each_turn(self) -> None:
        """For who has more to look at."""

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
        doing = self.reconciler.decision.why if self.reconciler.decision else "starting"
        if journal == "ok" and (trouble := self.reconciler.trouble):
            doing = f"{IN_TROUBLE}{trouble}"
            problems.append(f"the engine is {doing}; {self.installed.state / 'logs' / 'engine.log'} says more")
        document = status_document(self.installed.name, service, seen, now, lock=lock, problems=problems)
        return {
            "status": document,
            "journal": journal,
            "rates": rates(seen.history) if seen else None,
            "engine": {"pid": os.getpid(), "doing": doing},
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
        """Keeping what failed, notifications and tidying: slow things that must not hold up a rollback."""
        due = {"notifying": 0.0, "tidying": time.monotonic() + TIDY_EVERY}
        while not self.end.wait(0.5):
            now = time.monotonic()
            self._keep()
            if now >= due["notifying"]:
                due["notifying"] = now + (_quietly("notifying", self.outbox.step) or 0.0)
            if now >= due["tidying"]:
                due["tidying"] = now + TIDY_EVERY
                _quietly("tidying", self._tidy)
        if not self.installed.here:  # nobody is awake after us to tell of the end
            self._keep()
            _quietly("notifying", self.outbox.step)

    def _keep(self) -> None:
        _quietly("keeping what failed", self._inspect)
        if self.keeper.other is None:
            _quietly("drawing", lambda: self.album.step(self.reconciler.service))

    def _inspect(self) -> None:
        if self.keeper.other is None:
            self.inspector.step(self.reconciler.service, self.reconciler.seen, self.installed.journal.now)

    def _tidy(self) -> None:
        service = self.reconciler.service
        if service.release is None:
            return
        adapters = self.installed.adapters_for(service)
        ours = (self.installed.supervisor,) if self.installed.here else ()
        for adapter in (adapters.environment, adapters.router, adapters.analyser, *ours):
            if isinstance(adapter, Tidy):
                adapter.tidy()
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


class Beside:
    """An engine in this process, beside the command that it serves; none where another one answers on this machine."""

    def __init__(self, installed: Installed) -> None:
        self._installed = installed
        self._awake: Awake | None = None
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            assert self._awake is not None
            self._awake.poke()
        elif enquiry.ask(self._installed.state, "poke", timeout=0.3) is None:
            self._installed.state.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._awake = Awake(self._installed, "the command's engine")
            self._thread = threading.Thread(target=self._awake.run, name="greenroom-engine", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """What it was doing is done to its end; the lease is given back, so that the next one need not wait."""
        if self._awake is not None and self._thread is not None:
            self._awake.stop()
            self._thread.join(ENDS_WITHIN)
