"""The names in a bucket: the same as in the folder of the versions on a machine."""

from __future__ import annotations

from dataclasses import dataclass

from greenroom.adapters.static.objects import Clash, Objects
from greenroom.adapters.static.settings import MARK
from greenroom.adapters.static.versions import Manifest, Mark, read_manifest, read_mark
from greenroom.domain.model import Colour
from greenroom.errors import Permanent


@dataclass(frozen=True, slots=True)
class Names:
    prefix: str

    @property
    def releases(self) -> str:
        return f"{self.prefix}/releases/"

    @property
    def manifests(self) -> str:
        return f"{self.prefix}/manifests/"

    @property
    def told(self) -> str:
        return f"{self.prefix}/told.json"

    @property
    def service(self) -> str:
        return f"{self.prefix}/service"

    def of(self, version: str) -> str:
        """Where its files begin."""
        return f"{self.releases}{version}/"

    def mark(self, version: str) -> str:
        return self.of(version) + MARK

    def manifest(self, version: str) -> str:
        return f"{self.manifests}{version}.json"

    def colour(self, colour: Colour) -> str:
        return f"{self.prefix}/{colour}.json"

    def reference(self, bucket: str, version: str) -> str:
        return f"s3://{bucket}/{self.releases}{version}"


class Shelf:
    """What is in the bucket, below the prefix."""

    def __init__(self, objects: Objects, prefix: str) -> None:
        self.objects, self.names = objects, Names(prefix)

    def claim(self, service: str) -> None:
        """The prefix is this service's from now on; `Permanent` if it is another's."""
        owner = self.owner()
        if not owner:
            try:
                self.objects.put(self.names.service, service.encode())
                return
            except Clash:
                owner = self.owner()
        if owner != service:
            raise Permanent(
                f"s3://{self.objects.bucket}/{self.names.prefix} belongs to the service {owner!r}",
                hint="give each service a `prefix` of its own",
            )

    def owner(self) -> str:
        """ "" for nobody's."""
        return (self.objects.content(self.names.service) or b"").decode(errors="replace")

    def mark(self, version: str) -> Mark | None:
        return read_mark(self.objects.content(self.names.mark(version)))

    def manifests(self) -> list[Manifest]:
        keys = self.objects.list(self.names.manifests)
        found = (read_manifest(self.objects.content(self.names.manifests + key)) for key in keys)
        return [manifest for manifest in found if manifest is not None]

    def forget(self, version: str) -> None:
        """Its mark goes first: half a version is never taken for one."""
        self.objects.delete([self.names.mark(version)])
        below = self.names.of(version)
        self.objects.delete(below + key for key in self.objects.list(below))
        self.objects.delete([self.names.manifest(version)])
