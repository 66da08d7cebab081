"""The router on this machine: the link that a web server follows. To switch is to replace it by rename."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from greenroom.adapters.hosts.fenced import Change, Gone, Link, Write
from greenroom.adapters.hosts.local import LocalHost
from greenroom.adapters.static.probe import Foreign, Silent, absence, look
from greenroom.adapters.static.root import EPOCH, IDLE, LIVE, RELEASES, TOLD, Root, holds
from greenroom.adapters.static.settings import MARK, RouterSettings
from greenroom.adapters.static.telling import compose, is_of, needed, refuse
from greenroom.adapters.static.versions import Mark
from greenroom.adapters.told import Told, Unreadable, dumps, loads
from greenroom.domain.model import Colour, Routing, RoutingSpec, Split
from greenroom.ports import ActionKey, Place


@dataclass(frozen=True, slots=True)
class Shelf:
    """The links as they are, and what was told. `trouble`: why that is not to be relied on."""

    told: Told | None = None
    live: str = ""
    idle: str = ""
    trouble: str = ""
    unfinished: bool = False


class Pointer:
    """`root`: given by tests."""

    def __init__(self, settings: RouterSettings, place: Place, root: Root | None = None) -> None:
        self._url = settings.url
        self._host = place.host or LocalHost()
        self.root = root or Root(settings.folder(place), place.service, place.host)
        self._service = place.service

    # observing

    def observe(self) -> Routing:
        shelf = self._read()
        told = shelf.told
        if told is None and not shelf.trouble:
            return Routing(running=False)
        live, revision, detail = self._live(shelf)
        if shelf.trouble:
            revision = ""  # it was not us who told it
        return Routing(
            running=True,
            told=told.spec if told else None,
            live=live,
            live_revision=revision,
            revision=told.revision if told else "",
            epoch=told.epoch if told else 0,
            unfinished=shelf.unfinished,
            detail="; ".join(text for text in (shelf.trouble, detail) if text),
        )

    def _read(self) -> Shelf:
        shelf = self._once()
        while shelf.trouble:
            again = self._once()  # somebody may be telling something new just now: that begins with told.json
            if again == shelf:
                break
            shelf = again
        return shelf

    def _once(self) -> Shelf:
        raw = self.root.read(TOLD)
        live, idle = self.root.link(LIVE), self.root.link(IDLE)
        where = str(self.root.folder / LIVE)
        if raw is None:
            trouble = f"nothing was told, but {where} leads to {live}: {TOLD} was deleted" if live else ""
            return Shelf(None, live, idle, trouble)
        try:
            told = loads(raw, str(self.root.folder / TOLD))
        except Unreadable as error:
            return Shelf(None, live, idle, str(error))
        wanted, before = told.extra["live"]
        if live == wanted:
            return Shelf(told, live, idle, unfinished=idle != told.extra["idle"])
        if live == before:
            return Shelf(told, live, idle, unfinished=True)
        moved = f"{where} was moved by somebody else: it leads to {live or 'nothing'}, expected {wanted or 'nothing'}"
        split = _split(live)
        if split is None:
            return Shelf(None, live, idle, moved)
        # What the link says is what was told, whoever told it.
        return Shelf(replace(told, spec=replace(told.spec, split=split), essence="moved"), live, idle, moved)

    def _live(self, shelf: Shelf) -> tuple[Split | None, str, str]:
        """What is served, the revision that this is, and why it is not the one that was told."""
        told = shelf.told
        pointed = _split(shelf.live)
        if not self._url:
            there = pointed == Split.none() or (self.root.folder / LIVE / MARK).is_file()
            revision = told.revision if told and there and not shelf.unfinished else ""
            return pointed if there else None, revision, "" if there else f"{self.root.folder / LIVE} leads nowhere"
        seen = look(self._host, self._url, self._service)
        if isinstance(seen, Foreign | Silent):
            if pointed != Split.none():
                return None, "", absence(self._url, seen)
            return pointed, told.revision if told and not shelf.unfinished else "", ""
        colour = self._colour(seen, told)
        if colour is None:
            return None, "", f"{self._url} serves {seen.version} ({seen.release}), which no colour holds"
        right = (
            told is not None and told.spec.split.of(colour) > 0 and is_of(told, colour, seen) and not shelf.unfinished
        )
        detail = "" if right else f"{self._url} serves {seen.version} ({seen.release}) of {colour}"
        return Split.all_to(colour), told.revision if told and right else "", detail

    def _colour(self, seen: Mark, told: Told | None) -> Colour | None:
        for colour in Colour:
            if self.root.held(colour) == seen.id or (told is not None and is_of(told, colour, seen)):
                return colour
        return None

    # telling

    def apply(self, spec: RoutingSpec, key: ActionKey) -> None:
        refuse(spec)
        shelf = self._once()
        told = compose(spec, key, shelf.told)
        wanted = _link(spec)
        idle = str(spec.test) if spec.test else ""
        final = replace(told, extra={"live": [wanted, wanted], "idle": idle})
        meant = replace(told, extra={"live": [wanted, shelf.live], "idle": idle})
        changes: list[Change] = [self._stands(spec, colour) for colour in Colour if needed(spec, colour)]
        changes.append(Write(TOLD, dumps(meant), 0o644))
        changes.append(Link(LIVE, wanted) if wanted else Gone(LIVE))
        changes.append(Link(IDLE, idle) if idle else Gone(IDLE))
        self.root.put(key.epoch, *changes, Write(TOLD, dumps(final), 0o644))

    def _stands(self, spec: RoutingSpec, colour: Colour) -> Change:
        backend = spec.backend(colour)
        name = backend.endpoints[0].host
        return holds(
            '[ "$(readlink "$2")" = "$3" ] && [ -f "$2/$4" ]',
            f"{colour} does not hold {backend.version} ({backend.release}): look whether `root` is the same in "
            "`environment` and `router`",
            colour,
            f"{RELEASES}/{name}",
            MARK,
        )

    def remove(self) -> None:
        if self.root.there:
            text = (self.root.read(EPOCH) or b"").strip()
            epoch = int(text) if text.isdigit() else 0
            self.root.put(epoch, Gone(LIVE), Gone(IDLE), Gone(TOLD), Gone(EPOCH))


def _link(spec: RoutingSpec) -> str:
    return next((str(colour) for colour in Colour if spec.split.of(colour) > 0), "")


def _split(link: str) -> Split | None:
    """None for a link that is not ours."""
    known: Mapping[str, Split] = {"": Split.none(), **{str(colour): Split.all_to(colour) for colour in Colour}}
    return known.get(link)
