"""Router `haproxy`: the HAProxy that people run already, told by one file of its own and at its socket.

The file is written first, so the route survives a restart; then the running process takes it over, by one atomic commit
of a map for the shares and by the addresses of prepared servers for the replicas. Nothing is reloaded to switch.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from greenroom.adapters.envoy.sense import refuse_nonsense
from greenroom.adapters.haproxy import examine, loading, parity, render, route, runtime, slots
from greenroom.adapters.haproxy.layout import Layout
from greenroom.adapters.haproxy.record import NOTHING, Disk, Record
from greenroom.adapters.haproxy.runtime import Line, Live, Silent
from greenroom.adapters.haproxy.settings import HaproxySettings
from greenroom.adapters.hosts.fenced import Gone, Write
from greenroom.adapters.hosts.local import LocalHost
from greenroom.adapters.told import Told, compact, digest
from greenroom.domain.model import Colour, Routing, RoutingSpec
from greenroom.errors import Permanent, Temporary
from greenroom.ports import ActionKey, Capability, Facts, Place


class HaproxyRouter:
    Settings: ClassVar[type[HaproxySettings]] = HaproxySettings
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {
            Capability.WEIGHTS,
            Capability.TEST_ROUTE,
            Capability.DRAIN,
            Capability.MEASUREMENTS,
            Capability.LATENCY,
            Capability.HOSTS,
            Capability.STICKY,
            Capability.FIRST,
            Capability.PARITY,
        }
    )

    def __init__(self, settings: HaproxySettings, place: Place) -> None:
        self._settings = settings
        self._host = place.host or LocalHost()
        self._layout = Layout.of(settings, place)
        self._record = Record(self._host, self._layout)
        self._line = Line(self._host, settings.socket)
        self._shape = render.shape(settings, self._layout)

    # observing

    def observe(self) -> Routing:
        disk = self._record.read()
        base = Routing(
            running=False,
            told=disk.told.spec if disk.told else None,
            revision=disk.raw.revision if disk.raw else "",
            epoch=disk.raw.epoch if disk.raw else 0,
            unfinished=bool(disk.unfinished),
        )
        never, notes = disk.trouble == NOTHING, [disk.trouble] if disk.trouble else []
        try:
            live = runtime.look(self._line, self._layout)
        except Silent as error:
            return replace(base, detail="" if never else "; ".join([*notes, f"HAProxy does not answer: {error}"]))
        found = route.read(self._layout, live.route) if live.route else None
        if not live.loaded or found is None:
            lost = "HAProxy has no route of this service" if live.loaded else self._not_loaded()
            lost = lost if live.mapped or not live.loaded else "no frontend of HAProxy asks for this service's route"
            return replace(base, detail="" if never else "; ".join([*notes, lost]))
        return self._compared(replace(base, running=True), disk, live, found, notes)

    def _compared(self, base: Routing, disk: Disk, live: Live, found: route.Route, notes: list[str]) -> Routing:
        """What is live beside what was told."""
        lacking = []
        if refused := (disk.raw.extra.get("refused") if disk.raw else ""):
            notes.append(str(refused))
        elif disk.raw and live.shape != disk.raw.extra.get("shape"):
            lacking.append("its settings")
            notes.append(self._not_loaded())
        wanted = slots.wanted(self._layout, disk.slots)
        if slots.arrivals(wanted, live.servers) or slots.departures(wanted, live.servers):
            lacking.append("its replicas")
            notes.append("HAProxy has other replicas than it was told")
        told = disk.told
        if found.split is None:
            notes.append("the live route is not one that Greenroom wrote")
        ours = told is None or (found.split is not None and found.sequence < told.sequence)
        if told and found.revision == told.revision:
            ours = (found.split, found.test, live.who) == (told.spec.split, told.spec.test, route.who(told.spec))
        if not ours:
            notes.append(f"the route was changed by somebody else at {self._line.path}: {live.route}")
        elif told and found.revision != told.revision and not refused:
            notes.append("not handed over to HAProxy: the route; tell it again")
        behind = bool(lacking) or (told is not None and found.revision != told.revision)
        return replace(
            base,
            told=base.told if ours else None,
            live=found.split,
            live_revision=found.revision + (f" without {', '.join(lacking)}" if lacking else ""),
            holding=live.holding(self._layout),
            unfinished=base.unfinished or (behind and ours and not refused),
            detail="; ".join(notes),
        )

    def _not_loaded(self) -> str:
        way = f"`{self._settings.reload}`" if self._settings.reload else "reload it, like `systemctl reload haproxy`"
        return f"HAProxy has not loaded {self._layout.file} as it is now: {way}"

    # telling

    def apply(self, spec: RoutingSpec, key: ActionKey) -> None:
        refuse_nonsense(spec)
        self._record.fence(key.epoch)
        disk = self._record.read()
        held = slots.place(disk.slots, spec, self._settings.slots)
        told = self._compose(spec, key, disk.raw, held)
        config = render.config(self._settings, self._layout, held)
        live, silence = self._look()
        if live is None or live.shape != self._shape:
            disk = self._load(key.epoch, told, config, disk, live)
        value = route.write(self._layout, spec, told.revision)
        who = route.who(spec)
        self._record.write(key.epoch, told, disk, {"config": config, "map": route.map_text(value, who)})
        if live is None:
            raise Temporary(
                f"HAProxy does not answer ({silence}): what it shall do is written, and counts when it starts",
                hint="start it, like `systemctl start haproxy`",
            )
        self._take_over(key.epoch, value, who, slots.wanted(self._layout, held))

    def _look(self) -> tuple[Live | None, str]:
        """What runs, or why that cannot be seen."""
        try:
            return runtime.look(self._line, self._layout), ""
        except Silent as error:
            return None, str(error)

    def _compose(self, spec: RoutingSpec, key: ActionKey, before: Told | None, held: render.Slots) -> Told:
        document = {
            "shape": self._shape,
            "slots": slots.dump(held),
            "split": [spec.split.blue, spec.split.green],
            "test": spec.test,
            **({"first": [spec.first.colour, route.who(spec)]} if spec.first else {}),
            "names": [[spec.backend(c).version, spec.backend(c).release] for c in Colour],
        }
        essence = digest(compact(document))
        # Without a record, the count goes on from a number that was never reached.
        sequence = before.sequence if before else time.time_ns() // 1_000_000
        if before is None or before.essence != essence or before.extra.get("refused"):
            sequence += 1
        extra = {"shape": self._shape, "slots": slots.dump(held)}
        return Told(spec, key.epoch, sequence, essence, str(key), extra)

    def _take_over(self, epoch: int, value: str, who: str, wanted: slots.Servers) -> None:
        """New replicas, then the route, then those that are not used any more leave."""
        try:
            live = runtime.look(self._line, self._layout)
            new, old = slots.arrivals(wanted, live.servers), slots.departures(wanted, live.servers)
            same = (live.route, live.who) == (value, who)
            if same and not new and not old:
                return
            # Who was overtaken after this finds a newer epoch, or a version that is committed no more.
            version = runtime.prepare(self._line, self._layout)
            self._record.fence(epoch)
            runtime.tell(self._line, new)
            if not same:
                runtime.commit(self._line, self._layout, version, route.entries(value, who))
            runtime.tell(self._line, old)
        except Silent as error:
            raise Temporary(f"HAProxy does not answer: {error}", retry_after=0.5) from error

    def _load(self, epoch: int, told: Told, config: bytes, disk: Disk, live: Live | None) -> Disk:
        """Settings have changed: HAProxy has to read the file anew. Refused, it is put back as it was."""
        files = {"config": config}
        if disk.route is None:
            files["map"] = route.map_text(route.GONE)
        written = self._record.write(epoch, told, disk, files)
        settings, layout = self._settings, self._layout
        if refusal := loading.refusal_of_check(self._host, settings, live):
            self._undo(epoch, told, disk, written, refusal)
        if live is None:
            return written
        if not settings.reload:
            raise Permanent(
                f"{layout.file} is written, but HAProxy has not loaded it as it is now",
                hint="reload it once, like `sudo systemctl reload haproxy`, or let Greenroom do it: `router.reload`",
            )
        if refusal := loading.refusal_of_reload(self._host, settings, layout, self._line, self._shape):
            self._undo(epoch, told, disk, written, refusal)
        return written

    def _undo(self, epoch: int, told: Told, before: Disk, written: Disk, why: str) -> None:
        """A file that HAProxy refuses must not be there when it is started next."""
        said = f"HAProxy refused {self._layout.file}, which was put back as it was: {why}"
        extra = {**told.extra, "slots": slots.dump(before.slots) if before.raw else {}, "refused": said}
        old = b"# Nothing is released here yet.\n" if before.config is None else before.config
        self._record.write(epoch, replace(told, extra=extra), written, {"config": old})
        raise Permanent(said, hint="mend what it says, or take back the change of `router`; then try again")

    def remove(self) -> None:
        disk, epoch = self._record.read(), self._record.epoch()
        if disk.raw is None and disk.trouble == NOTHING and disk.route is None:
            return
        if disk.route is not None:
            self._record.change(epoch, Write(self._layout.map_file, route.map_text(route.DOWN), 0o644))
        live, _ = self._look()
        if live and live.route:  # else the file says it when it starts
            self._take_over(epoch, route.DOWN, "", dict.fromkeys(live.servers, ""))
        self._record.change(epoch, Gone(self._layout.told))

    # asking

    def reach(self, test: bool = False) -> tuple[str, Mapping[str, str]]:
        settings, way = self._settings, self._settings.test_route
        if test and way.listen:
            return self._near(way.listen.scheme, way.listen.near), {}
        public = settings.url or self._near(settings.listen[0].scheme, settings.listen[0].near)
        if not test:
            return public, {}
        return public, {way.header: "1"} if way.header else {"Host": way.host or ""}

    def _near(self, scheme: str, address: tuple[str, int]) -> str:
        near = self._host.nearby(address)
        if isinstance(near, str):
            raise Permanent(f"{near} cannot be asked by HTTP")
        host, port = near
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"

    @staticmethod
    def prepared(settings: HaproxySettings, place: Place) -> dict[str, bytes]:
        """The files, by path, that HAProxy can be started with before anything was released."""
        layout = Layout.of(settings, place)
        nobody: render.Slots = {colour: [None] * settings.slots for colour in Colour}
        return {
            layout.file: render.config(settings, layout, nobody),
            layout.map_file: route.map_text(route.GONE),
        }

    @staticmethod
    def prepare(settings: HaproxySettings, place: Place) -> list[str]:
        """Write the first files, which change nothing for users; what to add to people's own, and where."""
        router, layout = HaproxyRouter(settings, place), Layout.of(settings, place)
        disk = router._record.read()
        if lack := examine.folder(router._host, layout):
            raise Permanent(lack)
        if disk.trouble == NOTHING:
            files = HaproxyRouter.prepared(settings, place)
            if disk.route is not None:
                del files[layout.map_file]
            router._record.change(router._record.epoch(), *(Write(p, text, 0o644) for p, text in files.items()))
        return render.include_lines(settings, layout)

    def inspect(self, colour: Colour) -> Mapping[str, Facts]:
        """The running HAProxy's own settings of the replicas that users reach."""
        try:
            return parity.facts(runtime.look(self._line, self._layout), self._layout, colour)
        except Silent as error:
            raise Temporary(f"HAProxy does not answer: {error}") from error

    @staticmethod
    def problems(settings: HaproxySettings, place: Place) -> list[str]:
        """What would keep the router from working, each with its way out."""
        return examine.problems(settings, place)

    @staticmethod
    def hazards(settings: HaproxySettings, place: Place) -> list[str]:
        """What users would notice of a deploy that works."""
        return examine.hazards(settings, place)
