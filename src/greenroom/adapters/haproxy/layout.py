"""Names and paths: what Greenroom's parts are called in HAProxy, and where its files are."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from greenroom.adapters.haproxy.settings import HaproxySettings
from greenroom.domain.model import Colour
from greenroom.ports import Place

ROUTE, FIRST = "route", "first"
"""The key of the map that says where users go; and the value of another one, a pattern of those who go first."""


@dataclass(frozen=True, slots=True)
class Layout:
    """`file` and `map_file` as this host sees them, `map_name` as HAProxy does."""

    service: str
    folder: str
    file: str
    map_file: str
    map_name: str

    @classmethod
    def of(cls, settings: HaproxySettings, place: Place) -> Layout:
        file = settings.file or f"/etc/haproxy/greenroom/{place.service}.cfg"
        map_file = file.removesuffix(".cfg") + ".map"
        inside = posixpath.join(settings.inside or posixpath.dirname(file), posixpath.basename(map_file))
        return cls(place.service, posixpath.join(str(place.state), "router"), file, map_file, inside)

    @property
    def told(self) -> str:
        return posixpath.join(self.folder, "told.json")

    @property
    def epoch(self) -> str:
        return posixpath.join(self.folder, "epoch")

    @property
    def word(self) -> str:
        """The service in the name of a variable."""
        return self.service.replace("-", "_")

    @property
    def choice(self) -> str:
        """The variable that holds the chosen backend of a user's request."""
        return f"txn.greenroom_{self.word}"

    @property
    def inner(self) -> str:
        """What the names of our own variables begin with."""
        return f"txn.gr_{self.word}_"

    @property
    def shape_name(self) -> str:
        """The process-wide variable that says which shape HAProxy has loaded."""
        return f"proc.greenroom_{self.word}"

    @property
    def frontend(self) -> str:
        return f"{self.service}_front"

    @property
    def calm(self) -> str:
        """Where users go while nothing is routed."""
        return f"{self.service}_calm"

    @property
    def untested(self) -> str:
        """Where the test route leads while there is nothing to test."""
        return f"{self.service}_untested"

    @property
    def figures(self) -> str:
        return f"{self.service}_figures"

    def users(self, colour: Colour) -> str:
        return f"{self.service}_{colour}"

    def test(self, colour: Colour) -> str:
        return f"{self.service}_{colour}_test"

    @property
    def backends(self) -> dict[str, Colour]:
        """Those with replicas."""
        return {name: colour for colour in Colour for name in (self.users(colour), self.test(colour))}
