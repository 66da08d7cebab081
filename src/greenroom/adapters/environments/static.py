"""The environment `static`: a colour is a link to a version that the artefact has published; nothing runs.

On this machine it is a link in the folder of the versions; in a bucket it is a small object that names the version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any, ClassVar, Protocol

from greenroom.adapters.hosts.fenced import Gone, Link, Write
from greenroom.adapters.static import examine
from greenroom.adapters.static.asked import Asked
from greenroom.adapters.static.files import INDEX
from greenroom.adapters.static.root import LIVE, RELEASES, Root, holds
from greenroom.adapters.static.settings import EnvironmentSettings
from greenroom.adapters.static.standing import Standing, read_standing, status
from greenroom.domain.model import Colour, EnvironmentSpec, EnvironmentStatus
from greenroom.errors import Permanent
from greenroom.ports import ActionKey, Capability, Paced, Place


class _Kind(Protocol):
    def observe(self, colour: Colour) -> EnvironmentStatus: ...
    def apply(self, colour: Colour, spec: EnvironmentSpec, key: ActionKey) -> None: ...
    def remove(self, colour: Colour, key: ActionKey) -> None: ...


class StaticEnvironment:
    Settings: ClassVar[type[EnvironmentSettings]] = EnvironmentSettings
    capabilities: ClassVar[frozenset[Capability]] = frozenset()

    anew: Callable[[], None]
    """Of `Paced`, there with a bucket only: a bucket is asked seldom."""

    problems = staticmethod(examine.environment_problems)

    @staticmethod
    def afar(written: Mapping[str, Any]) -> bool:
        """Of `Afar`: what is in a bucket needs no engine on this machine."""
        return bool(written.get("bucket"))

    def __init__(self, settings: EnvironmentSettings, place: Place, client: Asked | None = None) -> None:
        self._kind = _kind(settings, place, client)
        if isinstance(self._kind, Paced):
            self.anew = self._kind.anew

    def observe(self, colour: Colour) -> EnvironmentStatus:
        return self._kind.observe(colour)

    def apply(self, colour: Colour, spec: EnvironmentSpec, key: ActionKey) -> None:
        self._kind.apply(colour, spec, key)

    def remove(self, colour: Colour, key: ActionKey) -> None:
        self._kind.remove(colour, key)


def _kind(settings: EnvironmentSettings, place: Place, client: Asked | None) -> _Kind:
    if not settings.bucket:
        return OnThisMachine(Root(settings.folder(place), place.service, place.host))
    from greenroom.adapters.static.bucket_environment import InBucket

    return InBucket(settings, place, client)


class OnThisMachine:
    def __init__(self, root: Root) -> None:
        self.root = root

    def observe(self, colour: Colour) -> EnvironmentStatus:
        held, standing = self.root.held(colour), read_standing(self.root.read(f"{colour}.json"))
        if standing is None or standing.id != held:
            return self._unclear(colour, held, standing)
        return status(colour, standing, self._wrong(held, standing))

    def _unclear(self, colour: Colour, held: str, standing: Standing | None) -> EnvironmentStatus:
        """Nothing, or what was left in the middle or changed by somebody else: without members, it is applied again."""
        mark = self.root.mark(held) if held else None
        if standing is None and mark is None:
            return EnvironmentStatus(colour)
        release, version = (mark.release, mark.version) if mark else ("", "")
        if standing is not None:
            release, version = standing.release, standing.version
        detail = (
            f"{self.root.folder / colour} leads to {held or 'nothing'}, expected {standing.id if standing else '-'}"
        )
        return EnvironmentStatus(colour, release, version, detail=detail)

    def _wrong(self, held: str, standing: Standing) -> str:
        folder = self.root.folder / RELEASES / held
        if not folder.is_dir():
            return f"{folder} is gone: deploy that version again"
        if not (folder / INDEX).is_file():
            return f"{folder} holds no {INDEX}: deploy that version again"
        mark = self.root.mark(held)
        if mark is None or mark.release != standing.release:
            return f"{folder} was not published by Greenroom, or was changed: deploy that version again"
        return ""

    def apply(self, colour: Colour, spec: EnvironmentSpec, key: ActionKey) -> None:
        name = self._id(spec)
        target = f"{RELEASES}/{name}"
        free = holds(
            '[ "$(readlink "$2")" != "$3" ] || [ ! -L "$3" ] || [ "$(readlink "$3")" = "$4" ]',
            f"users are shown {colour}, which holds another version: move them first",
            LIVE,
            colour,
            target,
        )
        standing = Standing.of(spec, name, key.epoch)
        self.root.put(key.epoch, free, Write(f"{colour}.json", standing.dumps(), 0o644), Link(colour, target))

    def _id(self, spec: EnvironmentSpec) -> str:
        path = PurePosixPath(spec.artefact)
        if str(path.parent) != str(self.root.folder / RELEASES):
            raise Permanent(
                f"{spec.release} was published as {spec.artefact}, which is not in {self.root.folder / RELEASES}",
                hint="after `root` was changed, deploy that version again",
            )
        if not (self.root.folder / RELEASES / path.name).is_dir():
            raise Permanent(f"{spec.artefact} is gone", hint="deploy that version again")
        return path.name

    def remove(self, colour: Colour, key: ActionKey) -> None:
        if not self.root.there:
            return
        free = holds(
            '[ "$(readlink "$2")" != "$3" ]',
            f"users are shown {colour}: move them first, or stop routing",
            LIVE,
            colour,
        )
        self.root.put(key.epoch, free, Gone(colour), Gone(f"{colour}.json"))
