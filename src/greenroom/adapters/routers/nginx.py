"""Router `nginx`: people's own nginx, told by a link that it follows at each request, so that nothing is reloaded.

To switch is to replace the link `live` by rename. What was told stands in `told.json`, written first; what is live is
asked of the running nginx itself, by a request that only its configuration can answer. The addresses of the colours
are another matter: they stand in files that nginx includes, and a change of them is a reload (`changing.Changer`).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from greenroom.adapters.envoy.sense import refuse_nonsense
from greenroom.adapters.hosts.fenced import Change, Gone, Link, Write, put
from greenroom.adapters.hosts.local import LocalHost
from greenroom.adapters.nginx import examine
from greenroom.adapters.nginx.changing import Changer
from greenroom.adapters.nginx.control import Nginx
from greenroom.adapters.nginx.log import rotate
from greenroom.adapters.nginx.probe import Foreign, Look, Seen, Silent
from greenroom.adapters.nginx.render import Topology, Upstreams, settings_of, topology
from greenroom.adapters.nginx.settings import Entrance, NginxSettings
from greenroom.adapters.nginx.shelf import CONFIGURATION, EPOCH, REFUSED, TOLD, Shelf, make, read
from greenroom.adapters.nginx.state import LIVE, OFF, STATES, State, made
from greenroom.adapters.told import Told, compact, digest, dumps
from greenroom.domain.model import Colour, Endpoint, Routing, RoutingSpec
from greenroom.ports import ActionKey, Capability, Facts, Place


class NginxRouter:
    Settings: ClassVar[type[NginxSettings]] = NginxSettings
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

    problems = staticmethod(examine.problems)
    hazards = staticmethod(examine.hazards)

    @staticmethod
    def prepare(settings: NginxSettings, place: Place) -> list[str]:
        """Write the first files, which change nothing for users; what to add to people's own, and where."""
        examine.prepare(settings, place)
        return examine.include_lines(settings, place)

    def __init__(self, settings: NginxSettings, place: Place) -> None:
        self._settings, self._place = settings, place
        self._host = place.host or LocalHost()
        self._folder = settings.place(place.service)
        self._nginx = Nginx(settings, self._host)
        self._changer = Changer(settings, place.service, self._host, self._nginx)

    # observing

    def observe(self) -> Routing:
        shelf, trouble, unfinished = self._told()
        told = shelf.told
        seen = self._changer.look(shelf.token) if shelf.token else Silent("nothing was prepared")
        state = State.read(seen.state) if isinstance(seen, Seen) else None
        if told is None and not trouble:
            if state is None:
                return Routing(running=False)
            trouble = "nothing was told, but users are routed: what was told was deleted"
        routing = Routing(
            running=state is not None,
            told=told.spec if told and not trouble else None,
            revision=told.revision if told else "",
            epoch=told.epoch if told else 0,
            unfinished=bool(unfinished) and not shelf.refused,
        )
        notes = [trouble] if trouble else []
        if unfinished:
            notes.append(f"not done: {', '.join(unfinished)}")
        if shelf.refused:
            notes.append(f"nginx refused the last configuration: {shelf.refused}")
        if not isinstance(seen, Seen) or state is None:
            return replace(routing, detail="; ".join([*notes, self._absence(seen)]))
        behind = told is not None and seen.topology != told.extra.get("topology")
        if behind and not shelf.refused:
            notes.append("not taken over by nginx: the new configuration")
            routing = replace(routing, unfinished=True)
        return replace(
            routing,
            live=state.split,
            live_revision=state.revision + (" with another configuration" if behind else ""),
            holding=self._nginx.holding(seen.pid, _upstreams(told)),
            detail="; ".join(notes),
        )

    def _told(self) -> tuple[Shelf, str, list[str]]:
        """The folder, why what was told is not to be relied on, and what of it was not done."""
        shelf = read(self._host, self._folder)
        while shelf.told is not None:
            unfinished, strange = shelf.compare(shelf.told)
            if not strange:
                return shelf, "", unfinished
            # Unless somebody told something new just now: that begins with told.json.
            again = read(self._host, self._folder)
            if again.told == shelf.told and again.compare(shelf.told)[1]:
                return again, f"changed by somebody else: {', '.join(f'{self._folder}/{name}' for name in strange)}", []
            shelf = again
        return shelf, shelf.trouble, []

    def _absence(self, seen: Look) -> str:
        where = self._settings.entrance.authority
        match seen:
            case Silent(why):
                return f"nginx does not answer at {where}: {why}"
            case Foreign(what):
                return f"nginx answers at {where} with {what}, not by Greenroom's files"
            case Seen(_, _, ""):
                return f"nginx's workers cannot follow {self._folder}/{LIVE}: every folder above must let them enter"
        return "nginx routes nothing of this service"

    # telling

    def apply(self, spec: RoutingSpec, key: ActionKey) -> None:
        refuse_nonsense(spec)
        shelf = read(self._host, self._folder)
        if shelf.told is None:
            make(self._host, self._folder)
        token = shelf.token or secrets.token_hex(16)
        final, first = _wanted(spec, shelf)
        named = _named(spec, shelf.told)
        last = self._topology(final, token, named)
        told = self._compose(spec, key, shelf, last, final)
        written = Write(TOLD, dumps(told))
        self._changer.become(self._topology(first, token, named), shelf, token, key.epoch, [written])
        settled = [Gone(REFUSED)] if shelf.refused else []
        self._changer.switch(told, State.of(spec, told.revision).name, key.epoch, written, *settled)
        if final != first:
            self._changer.become(last, read(self._host, self._folder), token, key.epoch, [written])

    def _topology(self, upstreams: Upstreams, token: str, named: tuple[str, str] | None) -> Topology:
        base = self._place.file.absolute().parent
        return topology(self._settings, self._place.service, upstreams, token, base, named)

    def _compose(self, spec: RoutingSpec, key: ActionKey, shelf: Shelf, wanted: Topology, ends: Upstreams) -> Told:
        before = shelf.told
        # Without a record, the count goes on from a number that was never reached.
        sequence = before.sequence if before else time.time_ns() // 1_000_000
        plain = dumps(Told(spec, 0, 0))
        essence = digest(compact([wanted.revision, digest(plain)]))
        if before is None or before.essence != essence:
            sequence += 1
        told = Told(spec, key.epoch, sequence, essence, str(key))
        files = {name: [digest(content), shelf.digest(name)] for name, content in wanted.files.items()}
        extra = {
            "topology": wanted.revision,
            "files": files,
            "state": [State.of(spec, told.revision).name, shelf.state],
            "upstreams": {c: [[e.host, e.port, e.machine] for e in ends[c]] for c in Colour},
            "moving": _moving(spec, before, ends),
            **({"first": named} if (named := _named(spec, before)) else {}),
        }
        return replace(told, extra=extra)

    def remove(self) -> None:
        """Nothing of this service is routed (or all to `before`); nginx goes on."""
        shelf = read(self._host, self._folder)
        if shelf.there and (TOLD in shelf.files or shelf.state != OFF):
            off: list[Change] = [made(OFF), Link(LIVE, f"{STATES}/{OFF}")]
            put(self._host, self._folder, shelf.epoch, *off, Gone(TOLD), Gone(REFUSED), Gone(EPOCH))

    def tidy(self) -> None:
        """The log that the analyser reads stays small."""
        rotate(self._host, self._folder, self._nginx)

    # asking

    def reach(self, test: bool = False) -> tuple[str, Mapping[str, str]]:
        way, entrance = self._settings.test_route, self._settings.entrance
        own = {"Host": entrance.named} if entrance.named else {}
        if not test:
            return self._url(entrance), own
        if way.listen:
            return self._url(Entrance.of(way.listen)), {}
        return self._url(entrance), {**own, way.header: "1"} if way.header else {"Host": way.host or ""}

    def _url(self, entrance: Entrance) -> str:
        near = self._host.nearby((entrance.host, entrance.port))
        host, port = near if not isinstance(near, str) else (near, entrance.port)
        named = f"[{host}]" if ":" in host else host
        return f"{'https' if entrance.tls else 'http'}://{named}:{port}{entrance.path}".rstrip("/")

    def inspect(self, colour: Colour) -> Mapping[str, Facts]:
        """How nginx speaks to this colour's replicas, wherever they are."""
        shelf = read(self._host, self._folder)
        told = shelf.told
        asked = self._topology(_upstreams(told), shelf.token, _named(None, told))
        on_disk = Topology("", {name: shelf.files.get(name, b"") for name in CONFIGURATION})
        mine, wanted = (settings_of(t, self._place.service, colour) for t in (on_disk, asked))
        return {"upstream": Facts(mine, wanted)} if told and _upstreams(told).get(colour) else {}


def _upstreams(told: Told | None) -> dict[Colour, tuple[Endpoint, ...]]:
    """Where the colours are, by the files that go with this telling."""
    known = told.extra.get("upstreams", {}) if told else {}
    return {colour: tuple(Endpoint(*e) for e in known.get(colour, ())) for colour in Colour}


def _named(spec: RoutingSpec | None, before: Told | None) -> tuple[str, str] | None:
    """By which header nginx knows who may go first. It is kept, so that the next release with the same needs no reload."""
    if spec is not None and spec.first is not None:
        return spec.first.header, spec.first.value
    known = before.extra.get("first") if before else None
    return (known[0], known[1]) if known else None


def _moving(spec: RoutingSpec, before: Told | None, ends: Upstreams) -> bool:
    """Whether the last release that came to a known colour came to another address than the one before it."""
    moving = bool(before and before.extra.get("moving"))
    for colour, known in _upstreams(before).items():
        fresh = spec.backend(colour)
        if before and known and fresh.endpoints and fresh.release != before.spec.backend(colour).release:
            moving = known != ends[colour]
    return moving


def _wanted(spec: RoutingSpec, shelf: Shelf) -> tuple[Upstreams, Upstreams]:
    """Where the colours shall be in the end, and where until the switch: what serves until then stays where it is.

    A colour that nobody is sent to stays as it is, so that to forget it costs no reload.
    """

    def used(split_of: int, colour: Colour, *more: Colour | None) -> bool:
        return split_of > 0 or colour in more

    now, current = State.read(shelf.state), _upstreams(shelf.told)
    final: dict[Colour, tuple[Endpoint, ...]] = {}
    first: dict[Colour, tuple[Endpoint, ...]] = {}
    for colour in Colour:
        later = used(spec.split.of(colour), colour, spec.test, spec.first.colour if spec.first else None)
        final[colour] = spec.backend(colour).endpoints or (() if later else current[colour])
        serves = now is not None and used(now.split.of(colour), colour, now.test, now.first)
        first[colour] = current[colour] if serves and not later and current[colour] else final[colour]
    return final, first
