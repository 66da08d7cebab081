"""What is wrong with a bucket or a distribution, asked by reading alone."""

from __future__ import annotations

from greenroom.adapters.aws.client import Client
from greenroom.adapters.static.asked import Asked
from greenroom.adapters.static.cdn import Cdn
from greenroom.adapters.static.objects import Objects
from greenroom.adapters.static.settings import EnvironmentSettings, RouterSettings, Shelf
from greenroom.adapters.static.shelf import Shelf as Shelved
from greenroom.errors import PortError
from greenroom.ports import Place

HAZARDS = (
    "CloudFront brings a change to its edges in some minutes: until then some users are shown the version before, at a "
    "rollback too; pages of both versions find their hashed files meanwhile",
)


def bucket_problems(settings: EnvironmentSettings, place: Place, client: Asked | None = None) -> list[str]:
    try:
        asked = client or _confirmed(settings)
        owner = Shelved(Objects(asked, settings.bucket), settings.below(place.service)).owner()
    except PortError as error:
        return [f"environment.bucket: {_said(error)}"]
    if owner and owner != place.service:
        where = f"s3://{settings.bucket}/{settings.below(place.service)}"
        return [f"environment.prefix: {where} belongs to the service `{owner}`; give each service a prefix of its own"]
    return []


def distribution_problems(settings: RouterSettings, client: Asked | None = None) -> list[str]:
    found: list[str] = []
    try:
        asked = client or _confirmed(settings)
        cdn = Cdn(asked, settings.bucket)
        if not cdn.look(settings.distribution, settings.origin).enabled:
            found.append("router.distribution: it is disabled; enable it")
        way = settings.test_route
        if way and way.distribution and not cdn.look(way.distribution, "").enabled:
            found.append("router.test_route.distribution: it is disabled; enable it")
    except PortError as error:
        return [*found, f"router.distribution: {_said(error)}"]
    return found


def _confirmed(settings: Shelf) -> Asked:
    """In the account that the file names."""
    client = Client(settings.access)
    client.confirm()
    return client


def _said(error: PortError) -> str:
    return f"{error.message} ({error.hint})" if error.hint else error.message
