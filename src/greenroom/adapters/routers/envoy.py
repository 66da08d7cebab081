"""Router `envoy`: a real proxy, told by files that it watches, so that it routes on when Greenroom is dead.

A switch replaces one file by rename. What was told stands in `told.json`, written first; what is live is asked at the
proxy itself. The two agree only when the proxy has taken over every file of the last telling.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from greenroom.adapters.envoy import binary, examine
from greenroom.adapters.envoy.admin import Admin, Live, Silent, look
from greenroom.adapters.envoy.files import Draft, Folder, Sheet, marks
from greenroom.adapters.envoy.render import bootstrap, parts
from greenroom.adapters.envoy.requests import ACCESS_LOG
from greenroom.adapters.envoy.sense import destinations, refuse_nonsense
from greenroom.adapters.envoy.settings import EnvoySettings
from greenroom.adapters.process.output import rotate
from greenroom.adapters.told import Told, Unreadable
from greenroom.domain.model import Colour, Routing, RoutingSpec
from greenroom.errors import Permanent, PortError, Temporary
from greenroom.ports import ActionKey, Capability, Life, Place, Program, ProgramStatus

_TAKEN_OVER_WITHIN = 2.0
_TRY_AGAIN_AFTER = 5.0
_REFUSAL = re.compile(r"update rejected: (.*)")
_LOG_TAIL = 64 * 1024
_NOTHING = "nothing was told yet"


class EnvoyRouter:
    Settings: ClassVar[type[EnvoySettings]] = EnvoySettings
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {
            Capability.WEIGHTS,
            Capability.TEST_ROUTE,
            Capability.DRAIN,
            Capability.MEASUREMENTS,
            Capability.LATENCY,
            Capability.STICKY,
            Capability.MIRROR,
            Capability.FIRST,
            Capability.SHIELD,
        }
    )

    problems = staticmethod(examine.problems)
    hazards = staticmethod(examine.hazards)

    def __init__(self, settings: EnvoySettings, place: Place) -> None:
        self._settings = settings
        self._place = place
        self._folder = Folder(place.state)
        self._admin = Admin(self._folder.path)
        self._log = place.state.absolute() / "logs" / "router.log"
        self._access_log = place.state.absolute() / ACCESS_LOG

    # observing

    def observe(self) -> Routing:
        told, trouble, unfinished = self._told()
        live = self._look()
        base = Routing(
            running=live is not None,
            told=told.spec if told and not trouble else None,
            revision=told.revision if told else "",
            epoch=told.epoch if told else 0,
            holding=live.holding if live else {},
            unfinished=bool(unfinished),
        )
        if live is None:
            never = trouble == _NOTHING and not self._may_run()
            return base if never else replace(base, detail=trouble or "the proxy does not answer")
        if not live.serving:
            return replace(base, detail=trouble or "the proxy is starting")
        behind = [name for name, mark in marks(told).items() if live.versions.get(name) != mark.version] if told else []
        notes = [trouble] if trouble else []
        if unfinished:
            notes.append(f"not handed over to the proxy: {', '.join(unfinished)}; tell it again")
        if behind:
            notes.append(f"not taken over by the proxy: {', '.join(behind)}{self._refusal(live)}")
            # A port may be free again, a certificate there: the proxy only tries again when it is told again.
            stuck = all(self._folder.age(name) > _TRY_AGAIN_AFTER for name in behind)
            base = replace(base, unfinished=base.unfinished or stuck)
        if live.split is None:
            notes.append("the live route is not one that Greenroom wrote")
        # The route names the whole telling, so it counts only when every other file is there too.
        lacking = sorted({*behind, *unfinished} - ({"route"} if live.versions["route"] != base.revision else set()))
        revision = live.versions["route"] + (f" without {', '.join(lacking)}" if lacking else "")
        return replace(base, live=live.split, live_revision=revision, detail="; ".join(notes))

    def _told(self) -> tuple[Told | None, str, list[str]]:
        """What was told, why it is not to be relied on, and which files were not handed over."""
        try:
            told = self._folder.told()
            while told is not None:
                unfinished, strange = self._folder.compare(told)
                if not strange:
                    return told, "", unfinished
                # Unless somebody told something new just now: that begins with told.json.
                again = self._folder.told()
                if again == told:
                    return told, f"changed by somebody else: {', '.join(map(str, strange))}", []
                told = again
        except Unreadable as error:
            return None, str(error), []
        return None, _NOTHING, []

    def _refusal(self, live: Live) -> str:
        """Why the proxy refused something last, from its own log; "" if it never did."""
        if not live.rejected:
            return ""
        try:
            with self._log.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_TAIL))
                reasons = _REFUSAL.findall(log.read().decode(errors="replace"))
        except OSError:
            reasons = []
        return f"; its last refusal: {reasons[-1].strip()[:500]}" if reasons else "; refused, see logs/router.log"

    # telling

    def apply(self, spec: RoutingSpec, key: ActionKey) -> None:
        refuse_nonsense(spec)
        with self._folder.lock():
            before = self._before()
            if before and key.epoch < before.epoch:
                raise Permanent(
                    f"the router was told something under a newer lease ({before.epoch}) than ours ({key.epoch})",
                    hint="another Greenroom is in charge now; this one has to stop",
                )
            told, made = self._compose(spec, key, before)
            self._prepare()
            behind = [name for name, sheet in made.items() if self._folder.digest(name) != sheet.digest]
            plain = behind == ["route"] and before is not None and self._folder.complete(before)
            self._folder.write_told(told)
            if plain:
                # A mere switch: what it leads to was taken over at an earlier telling.
                self._folder.write_sheet(made["route"])
            else:
                self._hand_over(told, made)
        self._keep_running()

    def _before(self) -> Told | None:
        try:
            return self._folder.told()
        except Unreadable:
            # Telling anew is how it is repaired.
            return None

    def _compose(self, spec: RoutingSpec, key: ActionKey, before: Told | None) -> tuple[Told, dict[str, Sheet]]:
        base = self._place.file.absolute().parent
        content = parts(self._settings, self._place.service, spec, self._folder.live, base, self._access_log)
        draft = Draft.of(content)
        # Without a record, the count goes on from a number that was never reached.
        sequence = before.sequence if before else time.time_ns() // 1_000_000
        if before is None or before.essence != draft.essence:
            sequence += 1
        told = Told(spec, key.epoch, sequence, draft.essence, str(key))
        made = draft.sheets(told.revision)
        files = {name: [sheet.version, sheet.digest, self._folder.digest(name)] for name, sheet in made.items()}
        return replace(told, extra={"files": files}), made

    def _prepare(self) -> None:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        wanted = json.dumps(bootstrap(self._folder.live)).encode()
        if not self._folder.bootstrap.exists() or self._folder.bootstrap.read_bytes() != wanted:
            self._folder.write(self._folder.bootstrap, wanted)

    def _hand_over(self, told: Told, made: Mapping[str, Sheet]) -> None:
        """Clusters and endpoints first, then the route that uses them, then what is used no more, then listeners."""
        used = {c for c in Colour if told.spec.split.of(c) or c in destinations(told.spec)}
        unused = {c for c in Colour if c not in used}
        stale = self._stale(made)
        self._replace([name for name in stale if name not in unused and name not in ("route", "lds")], made, wait=True)
        self._replace([name for name in stale if name == "route"], made, wait=bool(unused.intersection(stale)))
        self._replace([name for name in stale if name in unused or name == "lds"], made, wait=False)
        self._folder.tidy(made)

    def _stale(self, made: Mapping[str, Sheet]) -> list[str]:
        """The files that are not what they have to be, on disk or in the running proxy."""
        live = self._look()
        return [
            name
            for name, sheet in made.items()
            if self._folder.digest(name) != sheet.digest or (live and live.versions.get(name) != sheet.version)
        ]

    def _replace(self, names: list[str], made: Mapping[str, Sheet], *, wait: bool) -> None:
        """With `wait`, until a running proxy has taken them over: a matter of milliseconds, or it never will."""
        for name in names:
            self._folder.write_sheet(made[name])
        deadline = time.monotonic() + _TAKEN_OVER_WITHIN
        while wait and names and (live := self._look()):
            behind = [name for name in names if live.versions.get(name) != made[name].version]
            if not behind:
                return
            if time.monotonic() > deadline:
                raise Temporary(f"the proxy has not taken over {', '.join(behind)}{self._refusal(live)}")
            time.sleep(0.001)

    def _look(self) -> Live | None:
        try:
            return look(self._admin)
        except Silent:
            return None

    # running

    def _keep_running(self) -> None:
        supervisor = self._place.supervisor
        if supervisor is None:
            return
        try:
            supervisor.apply(self._program(supervisor.observe().get(binary.NAME)))
        except PortError:
            # It was told, and it routes: a rollback must not fail because of the supervisor.
            if self._look() is None:
                raise

    def _may_run(self) -> bool:
        """Whether a proxy may be there that does not answer; where that cannot be known, it may."""
        try:
            status = self._place.supervisor.observe().get(binary.NAME) if self._place.supervisor else None
        except PortError:
            return True
        return status is not None and status.life not in (Life.STOPPED, Life.FAILED)

    def _program(self, current: ProgramStatus | None) -> Program:
        """The one that runs, as long as it could be started again: another one would mean a restart."""
        if current and current.life in (Life.RUNNING, Life.STARTING, Life.ORPHAN):
            used = binary.executable_of(current.program.command)
            if used and used.exists() and current.program.directory == self._folder.path:
                return current.program
        executable = binary.find()
        if executable is None:
            raise Permanent(binary.problem())
        return binary.program(executable, self._folder.path, self._folder.bootstrap, self._log)

    def remove(self) -> None:
        with self._folder.lock():
            if self._place.supervisor:
                self._place.supervisor.remove(binary.NAME)
            self._folder.forget()

    def tidy(self) -> None:
        """Its logs do not grow for ever. Envoy appends, so it writes on in the emptied file."""
        for path in (self._access_log, self._log):
            rotate(path)

    def reach(self, test: bool = False) -> tuple[str, Mapping[str, str]]:
        public, way = self._settings.listen[0].url, self._settings.test_route
        if not test:
            return public, {}
        if way.listen:
            return way.listen.url, {}
        return public, {way.header: "1"} if way.header else {"Host": way.host or ""}
