"""The router on AWS: the origin path of a CloudFront distribution, replaced on the condition that it is what was read.

What was told stands in an object beside the versions, written first; what is live is asked at the users' address, and
counts as settled when CloudFront says that every edge has it and that the old pages are forgotten.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from greenroom.adapters.aws.client import Client
from greenroom.adapters.aws.glance import Glance
from greenroom.adapters.hosts.local import LocalHost
from greenroom.adapters.static.asked import Asked
from greenroom.adapters.static.cdn import Cdn, Pointed
from greenroom.adapters.static.objects import Clash, Held, Objects
from greenroom.adapters.static.probe import Foreign, Silent, absence, look
from greenroom.adapters.static.settings import RouterSettings
from greenroom.adapters.static.shelf import Shelf
from greenroom.adapters.static.telling import compose, is_of, needed, refuse
from greenroom.adapters.static.versions import Mark
from greenroom.adapters.told import Told, Unreadable, dumps, loads
from greenroom.domain.model import Colour, Routing, RoutingSpec, Split
from greenroom.errors import Permanent, Temporary
from greenroom.ports import ActionKey, Place

NOTHING = "nothing"
"""The version that is never there: to point at it is to route nothing."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One look at CloudFront and at what was told. `test`: None without a distribution for tests."""

    told: Told | None
    held: Held | None
    main: Pointed
    test: Pointed | None
    forgotten: bool
    trouble: str = ""


class Distribution:
    """`client`: given by tests."""

    def __init__(self, settings: RouterSettings, place: Place, client: Asked | None = None) -> None:
        self._settings, self._service = settings, place.service
        self._host = place.host or LocalHost()
        asked: Asked = client or Client(settings.access)
        self._shelf = Shelf(Objects(asked, settings.bucket), settings.below(place.service))
        self._cdn = Cdn(asked, settings.bucket)
        self._glance = Glance(self._look)
        self._done = ""
        """The invalidation that was seen to be done: it stays so."""

    def anew(self) -> None:
        self._glance.anew()

    # observing

    def observe(self) -> Routing:
        picture = self._glance.see()
        told, trouble = picture.told, picture.trouble
        if told is None and not trouble:
            return Routing(running=False)
        unfinished = False
        if told is not None:
            told, trouble, unfinished = self._compared(told, picture)
        live, right, detail = self._live(told, picture)
        current = picture.main.deployed and (picture.test is None or picture.test.deployed)
        settled = right and not unfinished and not trouble and current and picture.forgotten
        if not settled and not trouble and not detail:
            detail = "" if current and picture.forgotten else "CloudFront is bringing it to its edges"
        return Routing(
            running=True,
            told=told.spec if told else None,
            live=live,
            live_revision=told.revision if told and settled else "",
            revision=told.revision if told else "",
            epoch=told.epoch if told else 0,
            settles_at=told.extra["at"] + self._settings.edges if told and not settled else None,
            unfinished=unfinished,
            detail="; ".join(text for text in (trouble, detail) if text),
        )

    def _look(self) -> Picture:
        told, held, trouble = self._told()
        main = self._cdn.look(self._settings.distribution, self._settings.origin)
        way = self._settings.test_route
        test = self._cdn.look(way.distribution, "") if way and way.distribution else None
        return Picture(told, held, main, test, self._forgotten(told), trouble)

    def _told(self) -> tuple[Told | None, Held | None, str]:
        held = self._shelf.objects.get(self._shelf.names.told)
        if held is None:
            return None, None, ""
        try:
            return loads(held.content, f"s3://{self._settings.bucket}/{self._shelf.names.told}"), held, ""
        except Unreadable as error:
            return None, held, str(error)

    def _forgotten(self, told: Told | None) -> bool:
        if told is None or not self._settings.invalidate:
            return True
        invalidation = told.extra.get("invalidation", "")
        if not invalidation:
            return not told.extra.get("forget", False)
        if invalidation != self._done and self._cdn.forgotten(self._settings.distribution, invalidation):
            self._done = invalidation
        return bool(invalidation == self._done)

    def _compared(self, told: Told, picture: Picture) -> tuple[Told | None, str, bool]:
        """What was told by whoever told it last, why that was not us, and whether something of it is not done yet."""
        wanted, before = told.extra["path"]
        path = picture.main.path
        if path == wanted:
            behind = picture.test is not None and picture.test.path != told.extra["test"]
            stale = picture.main.deployed and self._to_forget(told)
            return told, "", behind or stale
        if path == before:
            return told, "", True
        moved = f"distribution {self._settings.distribution} was changed by somebody else: it points at {path or '/'}"
        for colour in Colour:
            if any(self._path(e.host) == path for e in told.spec.backend(colour).endpoints):
                spec = replace(told.spec, split=Split.all_to(colour))
                return replace(told, spec=spec, essence="moved"), moved, False
        return None, moved, False

    def _to_forget(self, told: Told) -> bool:
        return bool(self._settings.invalidate) and told.extra["forget"] and not told.extra["invalidation"]

    def _live(self, told: Told | None, picture: Picture) -> tuple[Split | None, bool, str]:
        """What users are shown, whether that is what was told, and why it is not."""
        nothing = told is not None and told.spec.split == Split.none()
        if not self._settings.url:
            live = (
                told.spec.split
                if told and picture.main.deployed and picture.main.path == told.extra["path"][0]
                else None
            )
            return live, live is not None, ""
        seen = look(self._host, self._settings.url, self._service)
        if isinstance(seen, Foreign | Silent):
            return (Split.none(), True, "") if nothing else (None, False, absence(self._settings.url, seen))
        for colour in Colour:
            if told is not None and is_of(told, colour, seen):
                right = told.spec.split.of(colour) > 0
                return Split.all_to(colour), right, "" if right else self._serves(seen)
        return None, False, f"{self._serves(seen)}, which was not told"

    def _serves(self, seen: Mark) -> str:
        return f"{self._settings.url} serves {seen.version} ({seen.release})"

    # telling

    def apply(self, spec: RoutingSpec, key: ActionKey) -> None:
        refuse(spec)
        self.anew()
        try:
            self._tell(spec, key, self._look())
        except Clash:
            raise Temporary("somebody else is telling CloudFront something at this moment") from None
        finally:
            self.anew()

    def _tell(self, spec: RoutingSpec, key: ActionKey, picture: Picture) -> None:
        before = picture.told
        if before is not None and before.epoch > key.epoch:
            raise Permanent(
                f"CloudFront was told under a newer lease ({before.epoch}) than ours ({key.epoch})",
                hint="another Greenroom is in charge now; this one has to stop",
            )
        for colour in Colour:
            if needed(spec, colour):
                self._stands(spec, colour)
        path, test = self._wanted(spec), self._path(_version(spec, spec.test))
        told = compose(spec, key, before)
        told = replace(told, extra=self._extra(told, before, path, test, picture))
        held = self._write(told, picture.held) if dumps(told) != _raw(picture) else picture.held
        if picture.main.path != path:
            self._cdn.point(self._settings.distribution, self._settings.origin, path, picture.main)
        way = self._settings.test_route
        if way and picture.test is not None and picture.test.path != test:
            self._cdn.point(way.distribution, "", test, picture.test)
        if picture.main.path == path and picture.main.deployed and self._to_forget(told):
            reference = f"greenroom-{self._service}-{told.revision}"
            invalidation = self._cdn.forget(self._settings.distribution, self._settings.invalidate, reference)
            self._write(replace(told, extra={**told.extra, "invalidation": invalidation}), held)

    def _extra(self, told: Told, before: Told | None, path: str, test: str, picture: Picture) -> Mapping[str, Any]:
        """`at`: when the path was changed last; `forget`: since then, edges may hold pages of the version before."""
        same = before is not None and before.extra["path"][0] == path
        known: Mapping[str, Any] = before.extra if before is not None and same else {}
        moving = picture.main.path != path
        return {
            "at": time.time() if moving else known.get("at", time.time()),
            "path": [path, picture.main.path if moving else path],
            "test": test,
            "forget": True if moving else known.get("forget", False),
            "invalidation": "" if moving else known.get("invalidation", ""),
        }

    def _write(self, told: Told, held: Held | None) -> Held:
        content = dumps(told)
        etag = self._shelf.objects.put(self._shelf.names.told, content, held, ContentType="application/json")
        return Held(content, etag)

    def _stands(self, spec: RoutingSpec, colour: Colour) -> None:
        backend = spec.backend(colour)
        mark = self._shelf.mark(backend.endpoints[0].host)
        if mark is None or mark.release != backend.release:
            where = f"s3://{self._settings.bucket}/{self._shelf.names.prefix}"
            raise Permanent(
                f"{backend.version} ({backend.release}) is not in {where}",
                hint="look whether `bucket` and `prefix` are the same in `environment` and `router`",
            )

    def _wanted(self, spec: RoutingSpec) -> str:
        return self._path(next((_version(spec, c) for c in Colour if spec.split.of(c) > 0), NOTHING))

    def _path(self, version: str) -> str:
        return f"/{self._shelf.names.releases}{version or NOTHING}"

    def remove(self) -> None:
        """The distribution stays, and shows nothing."""
        picture = self._look()
        path = self._path(NOTHING)
        if picture.held is None:
            return
        if picture.main.path != path:
            self._cdn.point(self._settings.distribution, self._settings.origin, path, picture.main)
            if self._settings.invalidate:
                reference = f"greenroom-{self._service}-{picture.main.etag}"
                self._cdn.forget(self._settings.distribution, self._settings.invalidate, reference)
        self._shelf.objects.delete([self._shelf.names.told])
        self.anew()


def _version(spec: RoutingSpec, colour: Colour | None) -> str:
    endpoints = spec.backend(colour).endpoints if colour else ()
    return endpoints[0].host if endpoints else NOTHING


def _raw(picture: Picture) -> bytes:
    return picture.held.content if picture.held else b""
