"""Router `static`: one pointer to one version. A link that a web server follows, or the origin path of a CloudFront
distribution; all users see the same version, so there are no weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Protocol

from greenroom.adapters.static import examine
from greenroom.adapters.static.asked import Asked
from greenroom.adapters.static.root import IDLE, LIVE
from greenroom.adapters.static.settings import RouterSettings
from greenroom.domain.model import Routing, RoutingSpec
from greenroom.ports import ActionKey, Capability, Paced, Place


class _Kind(Protocol):
    def observe(self) -> Routing: ...
    def apply(self, spec: RoutingSpec, key: ActionKey) -> None: ...
    def remove(self) -> None: ...


class StaticRouter:
    Settings: ClassVar[type[RouterSettings]] = RouterSettings
    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.TEST_ROUTE})

    anew: Callable[[], None]
    """Of `Paced`, there with a bucket only: CloudFront is asked seldom."""

    problems = staticmethod(examine.router_problems)

    @staticmethod
    def hazards(settings: RouterSettings, place: Place) -> list[str]:
        return examine.router_hazards(settings)

    def __init__(self, settings: RouterSettings, place: Place, client: Asked | None = None) -> None:
        self._settings, self._place = settings, place
        self._kind = _kind(settings, place, client)
        if isinstance(self._kind, Paced):
            self.anew = self._kind.anew

    def observe(self) -> Routing:
        return self._kind.observe()

    def apply(self, spec: RoutingSpec, key: ActionKey) -> None:
        self._kind.apply(spec, key)

    def remove(self) -> None:
        self._kind.remove()

    def reach(self, test: bool = False) -> tuple[str, Mapping[str, str]]:
        """Without a URL in the file: the folder itself, which a check by a command can read."""
        way = self._settings.test_route
        url = (way.url if way else "") if test else self._settings.url
        if url or self._settings.bucket:
            return url, {}
        return f"file://{self._settings.folder(self._place)}/{IDLE if test else LIVE}", {}


def _kind(settings: RouterSettings, place: Place, client: Asked | None) -> _Kind:
    if settings.bucket:
        from greenroom.adapters.static.distribution import Distribution

        return Distribution(settings, place, client)
    from greenroom.adapters.static.pointing import Pointer

    return Pointer(settings, place)
